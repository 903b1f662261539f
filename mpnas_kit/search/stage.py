"""The search stage: the controllers and the weights of the supernet learn.

They learn at the same time, or with `two_phases` first the weights and then the controllers.

MPNAS has one controller per domain and a shared supernet. Multi-head NAS has one controller for all
domains. Domain-independent NAS (the bundle) shares no layer. All three do the same steps on the
same batches.
"""

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit.domains.batches import Augment, DomainStream, Drawn, DrawSchedule, streams
from mpnas_kit.domains.domain import DomainSuite, require_trainable
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.engine.checkpoint import load_optimiser
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.loop import (
    Callback,
    Stage,
    StepCallback,
    compute_for,
    history_table,
    identity,
    record,
    require_callbacks,
    space_for,
)
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import Contents, StageFolder, open_on_leader
from mpnas_kit.engine.start_table import START, as_read, write_start_table
from mpnas_kit.engine.step import learning_rate, optimiser_of, set_rate, weighted_step
from mpnas_kit.engine.trackers import StageStart, check_trackers, tracked
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import as_path
from mpnas_kit.network.frozen import Frozen, grown_space
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.domain_weights import begin_weights
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.data import SearchPart, divide, require_divisible
from mpnas_kit.search.expected_cost import ExpectedCost, require_exact
from mpnas_kit.search.fairness import FairPaths
from mpnas_kit.search.landmarks import Landmarks, PathValues, path_values, tau_record
from mpnas_kit.search.merging import IMAGES, Front, merged_paths
from mpnas_kit.search.quality import FixedStream, Measured, path_qualities, require_quality
from mpnas_kit.search.reranking import best_of, candidates, near
from mpnas_kit.search.result import FRONT, SearchResult, likeliest, snapshot_every, target_record
from mpnas_kit.search.rewards import charged, cost_terms_of, rewards_of
from mpnas_kit.search.scoring import PathQuality, Scorer
from mpnas_kit.search.warmup import warm, warmup_probability
from mpnas_kit.settings import require, to_dict
from mpnas_kit.space.costs import cost_fingerprint, path_costs
from mpnas_kit.space.layers import Path, Use
from mpnas_kit.space.private_layers import SHARED
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.starts.source import Start
from mpnas_kit.values import require_type

_RERANK = 999_983  # tells the paths of a re-ranking from other draws of the same seed
ALL = "all"  # name of the controller if there is one for all domains


def search(
    suite: DomainSuite,
    space: SearchSpace,
    config: SearchConfig | None = None,
    *,
    start: Start | None = None,
    frozen: Frozen | None = None,
    landmarks: Landmarks | None = None,
    folder: str | pathlib.Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> SearchResult:
    """Search a path through `space` for every domain of `suite`, jointly.

    The method is MPNAS (Wang et al., WACV 2021, arXiv 2010.04904). The controllers learn as in
    TuNAS (Bender et al., CVPR 2020, arXiv 2008.06120). Only the training splits are read.

    suite: domains with their images.
    space: search space for images of the suite's resolution. If domains differ in resolution, the
    cost of a path counts at the size of the domain's images.
    config: settings. None: `SearchConfig()`.
    start: pretrained weights, which the supernet begins with. What each tensor gets is in the
    result's `start_table`. None: all weights begin at random.
    frozen: trained network to which the domains of `suite` are added, such as a `TrainResult` of
    the same space. Per layer, a path may use its nodes, which do not change, or new ones (see
    `GrownSpace`). None: all nodes are new.
    landmarks: paths that were trained before the search, whose prediction is part of the quality of
    a path (see `PathValues.mix`). `Run.search` makes them. None: the setting `landmarks` is 0.
    folder: stage folder. An interrupted search continues in it, and ends as if it had not been
    interrupted, bit for bit. A finished search is only read. None: no files are written.
    callbacks: functions of a `StepEvent`, called after every step.

    Raises `MpnasError` if no path can have the cost target, if `start` and `frozen` are both given,
    if nothing can be added to `frozen`, if `landmarks` do not fit the settings, if the folder has
    another config, start or landmarks, or if a loss is not finite.

    >>> config = mk.SearchConfig(steps=4, batch_size=8, reward_batch=8)
    >>> found = mk.search(suite, space, config)
    >>> sorted(found.paths)
    ['planted0', 'planted1']
    """
    config = SearchConfig() if config is None else config
    require_type(config, SearchConfig, "config")
    space = space_for(suite, space)
    require_trainable(suite, config.micro_batches)
    require_divisible(suite, config.reward_share, config.micro_batches)
    require_quality(config.quality, suite.tasks)
    if config.exact_cost:
        require_exact(config.reward, config.cost)
    require_callbacks(callbacks)
    check_trackers(callbacks)
    if start is not None:
        require_type(start, Start, "start")
        require(frozen is None, "start and frozen are both given: expected only one of them.")
    plain = space
    if frozen is not None:
        space = grown_space(plain, frozen, suite.names, config.norm, config.private)
    targets = resolve_targets(space, config, suite.names)
    values = path_values(landmarks, config, space, suite.names)
    compute = compute_for(config, len(suite), folder)
    place = None if folder is None else as_path(folder, "folder")
    start_of_stage = StageStart("search", config, space, suite.names, place)
    with (
        reproducible(config.threads, space.resolution, compute.kernels is not None),
        open_on_leader(
            folder,
            lambda: _contents(suite, plain, space, config, start, frozen, values, compute.variant),
            compute.team,
        ) as run,
        tracked(callbacks, start_of_stage, compute.team) as followed,
    ):
        finished = compute.team.on_leader(lambda: _finished(run, plain, config))
        if finished is not None:
            return followed.ended(finished)
        # of a TrainResult: its weights expect what those of its start do
        standard = getattr(frozen, "standard", None) if start is None else start.standard
        parts = divide(suite, config.reward_share, config.seed, standard)
        net = None if frozen is None else frozen.net
        computed = _Search(parts, space, config, targets, start, net, run, compute, values)
        return followed.ended(computed.run(followed.callbacks))


def _contents(
    suite: DomainSuite,
    plain: SearchSpace,
    space: SearchSpace,
    config: SearchConfig,
    start: Start | None,
    frozen: Frozen | None,
    values: PathValues | None,
    kernels: str,
) -> Contents:
    """Return the content of the search's config.json.

    plain: the search space. space: the same, or the `GrownSpace` around a frozen network.
    values: what its landmarks say of paths; None: it has none.
    kernels: variant of the kernels.
    """
    begins_with: dict[str, str] = {}
    more: dict[str, Any] = {}
    if start is not None:
        begins_with, more = {"start": start.checksum}, {"start": start.text}
    if frozen is not None:
        begins_with = {"start": frozen.net.fingerprint()}
        more = {"frozen": {d: path.arch for d, path in frozen.paths.items()}}
    after = {} if values is None else {"landmark_scores": values.landmarks.fingerprint()}
    return Contents(
        {
            **identity("search", suite, plain, ["train"]),
            **begins_with,
            "config": to_dict(config),
            "costs": cost_fingerprint(config.cost, space),
            **after,
        },
        kernels,
        known=to_dict(SearchConfig()),
        record=lambda: {**record(suite, plain), "cost_unit": config.cost.unit, **more},
    )


def _finished(
    folder: StageFolder | None, space: SearchSpace, config: SearchConfig
) -> SearchResult | None:
    if folder is None or not folder.is_finished:
        return None
    return SearchResult.load(folder.folder, space=space, config=config)


class _Search(Stage):
    """One search, with all of its state."""

    name = "search"
    free = (
        "optimiser.state",
        "controllers.optimiser.state",
        "prioritization",
        "streams.*.order",
        "reward_streams.*.order",
        "measured.*.paths",
        "measured.*.qualities",
        "policies",
    )

    def __init__(
        self,
        parts: Mapping[str, SearchPart],
        space: SearchSpace,
        config: SearchConfig,
        targets: Mapping[str, float],
        start: Start | None,
        frozen: MultiPathNet | None,
        folder: StageFolder | None,
        compute: Compute,
        values: PathValues | None = None,
    ) -> None:
        super().__init__(config.steps, config.checkpoint_every, folder, compute)
        self.space, self.config, self.targets = space, config, dict(targets)
        self.values = values
        tasks = {d: p.task for d, p in parts.items()}
        self.domains = tuple(parts)
        self.net = MultiPathNet.supernet(
            space, tasks, config.norm, config.seed, config.private, config.collapse
        )
        classes = {d: p.classes for d, p in parts.items()}
        loaded = None if start is None else start.load(self.net, classes)
        self.start_table = None if loaded is None else as_read(loaded.table)
        if frozen is not None:
            self.net.freeze(frozen)
        self.net.to(compute.device)
        self.net.kernels = compute.kernels
        given = frozenset() if loaded is None else loaded.names
        self.optimiser = optimiser_of(self.net, config, given)
        schedule = ControllerSchedule(
            config.controller_delay, config.controller_growth, config.controller_spread
        )
        self.controller_of = {d: ALL if config.controllers == "one" else d for d in self.domains}
        names = tuple(dict.fromkeys(self.controller_of.values()))
        self.row_of = {d: names.index(name) for d, name in self.controller_of.items()}
        self.weight_steps = schedule.first(config.steps) if config.two_phases else config.steps
        self.fair = FairPaths(space, names, config.seed) if config.sampling == "fair" else None
        self.controllers = Controllers(
            space,
            names,
            schedule,
            config.steps,
            config.baseline,
            config.baseline_decay,
            config.entropy_weight,
            config.prior,
        )
        self.streams = streams(
            {d: p.weights for d, p in parts.items()},
            config.batch_size,
            2 * config.seed,
            Augment(config.shift),
        )
        self.reward_sources = {d: p.reward for d, p in parts.items()}
        self.reward_streams = self._reward_streams()
        # With mixed statistics, the quality of a path depends on the other paths of the step.
        keeps = config.two_phases and config.norm != "mixed"
        self.measured = Measured(self.domains, len(space.decisions)) if keeps else None
        sizes = {d: len(p.weights.split) for d, p in parts.items()}
        self.draws = DrawSchedule(sizes, config.draw_temperature)
        self.weights = begin_weights(config.prioritization, tasks, config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.policies: list[NDArray[np.float32]] = []
        self.prices: dict[Use, float] = {}
        self.expected: dict[str, ExpectedCost] = {}
        if config.exact_cost:
            seen = {d: space.of(d) for d in self.domains}
            tables = {own: ExpectedCost(config.cost, own) for own in dict.fromkeys(seen.values())}
            self.expected = {d: tables[own] for d, own in seen.items()}

    def _reward_streams(self) -> Mapping[str, DomainStream | FixedStream]:
        """Return the reward batches of every domain: in a fixed order if weights are frozen."""
        sources, size = self.reward_sources, self.config.reward_batch
        seed = 2 * self.config.seed + 1
        if not self.config.two_phases:
            return streams(sources, size, seed)
        return {
            d: FixedStream(source, size, derived_seed(seed, i))
            for i, (d, source) in enumerate(sources.items())
        }

    def run(self, callbacks: Sequence[StepCallback]) -> SearchResult:
        self.loop(callbacks)
        policy = np.stack(self.policies)
        result = self._result(policy)
        if self.folder is not None:
            paths = {d: p.arch for d, p in result.paths.items()}
            self.folder.write_array("policy.npy", policy)
            self.folder.write_tensors("supernet.safetensors", self.net.state_dict())
            self.folder.write_json("paths.json", paths)
            names = ["policy.npy", "supernet.safetensors", "paths.json"]
            if self.start_table is not None:
                write_start_table(self.folder, self.start_table)
                names.append(START)
            if result.front is not None:
                self.folder.write_json(FRONT, result.front.record())
                names.append(FRONT)
            landmark_seconds = 0.0 if self.values is None else self.values.landmarks.seconds
            self.write_timing(self.folder, landmark_seconds)
            self.folder.finish(
                {
                    "paths": paths,
                    **target_record(self.targets),
                    "costs": result.costs,
                    "verdict": result.verdict(),
                    "decisions": result.decisions().to_dict("records"),
                    **tau_record(result.landmark_tau),
                },
                self.rows,
                names,
            )
        return result

    def advance(self) -> dict[str, dict[str, float]]:
        """Train the sampled nodes on the weight part, then reward the controllers."""
        drawn = self.draws.drawn(self.step)
        trains = self.step < self.weight_steps
        figures = self._train(drawn) if trains else {d: {} for d in drawn}
        if self.controllers.learns(self.step):
            for domain, more in self._reward(drawn).items():
                figures[domain] |= more
        indecision = self.controllers.indecision()
        entropy = indecision.mean(1).tolist() if indecision.numel() else [0.0] * len(indecision)
        for domain in drawn:
            figures[domain]["entropy"] = entropy[self.row_of[domain]]
        if self._snapshot_due():
            self.policies.append(self.policy())
        return figures

    def _train(self, drawn: Sequence[str]) -> dict[str, dict[str, float]]:
        """Do one step of the weights on sampled paths, or on blends in the warm-up."""
        config, steps = self.config, self.weight_steps
        set_rate(
            self.optimiser, learning_rate(self.step, steps, config.learning_rate, config.warmup)
        )
        chance = warmup_probability(self.step, config.steps, config.warmup_share)
        sampled = self._training_paths(drawn)
        warmed = warm(
            self.space,
            list(sampled.values()),
            chance,
            config.warmup_candidates,
            self.generator,
        )
        paths = dict(zip(sampled, warmed, strict=True))
        return weighted_step(
            self.net,
            self.optimiser,
            {d: self.streams[d].next() for d in drawn},
            {d: paths[self.controller_of[d]] for d in drawn},
            self.weights,
            config.label_smoothing,
            self.step / steps,
            self.compute,
        )

    def _training_paths(self, domains: Sequence[str]) -> dict[str, Path]:
        """Return the path that trains the weights of some domains, by name of their controller."""
        if self.fair is None:
            return {name: paths[0] for name, paths in self._sample(domains, 1).items()}
        before, drawn = self.draws.draws_before(self.step), dict[str, int]()
        for d in domains:
            name = self.controller_of[d]
            drawn[name] = max(drawn.get(name, 0), before[d])
        return self.fair.draw(drawn)

    def _sample(self, domains: Sequence[str], count: int) -> dict[str, list[Path]]:
        """Sample paths for some domains, by name of their controller."""
        names = dict.fromkeys(self.controller_of[d] for d in domains)
        return self.controllers.sample(names, count, self.generator)

    def _reward(self, drawn: Sequence[str]) -> dict[str, dict[str, float]]:
        """Sample paths, measure their quality on the reward part, and update the controllers.

        The cost of a path may depend on the paths of all domains, so paths are sampled for all
        domains. Quality is measured for the drawn domains only, and only their controllers learn.
        """
        own = self._sample(self.domains, self.config.paths_per_step)
        sampled = {d: own[self.controller_of[d]] for d in self.domains}
        quality = self._quality({d: sampled[d] for d in drawn})
        if self.values is not None:
            weight = self.config.landmark_weight
            quality = self.values.mix(quality, {d: sampled[d] for d in drawn}, weight)
        exact: Tensor | None = None
        if self.config.exact_cost:
            costs, terms = self._expected(drawn)
            learned = self._in_scope(quality)
            rewards = self._in_scope(quality + terms.detach()[:, None])
            cost = costs[:, None].expand_as(quality)
            alone = self.config.reward_scope == "domain" and self.config.controllers == "domain"
            exact = terms.sum() if alone else terms.mean()
        else:
            cost = self._cost(sampled)
            charge = charged(cost, self._targets()) if self._is_joint else cost
            rows = [self.domains.index(d) for d in drawn]
            cost = cost[rows]
            learned = rewards = self._in_scope(self._rewards(drawn, quality, charge[rows]))
        groups: dict[str, list[int]] = {}
        for i, domain in enumerate(drawn):
            groups.setdefault(self.controller_of[domain], []).append(i)
        self.controllers.update(
            self.step,
            {name: own[name] for name in groups},
            {name: learned[rows].mean(0) for name, rows in groups.items()},
            exact,
        )
        means = torch.stack([rewards, quality, cost]).mean(2).T.tolist()  # (domains, 3)
        columns = ("reward", "quality", "cost")
        return {
            d: dict(zip(columns, row, strict=True)) for d, row in zip(drawn, means, strict=True)
        }

    @property
    def _is_joint(self) -> bool:
        """Whether the cost target holds for the mean over domains."""
        return self.config.cost_scope == "joint"

    def _targets(self) -> Tensor:
        """Return the cost targets, float64 (domains, 1)."""
        return torch.tensor([[self.targets[d]] for d in self.domains], dtype=torch.float64)

    def _expected(self, drawn: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return expected cost and cost term of the drawn domains: float64 (domains,) each.

        The cost term has the gradient of the own policy only. What other domains spend is a
        constant for a domain, as it is for its sampled rewards.
        """
        probabilities = self.controllers.log_probabilities.exp()
        found = {table: table(probabilities) for table in dict.fromkeys(self.expected.values())}
        every = [found[self.expected[d]][self.row_of[d]] for d in self.domains]
        costs = torch.stack(every)
        fixed = costs.detach()
        charge = costs
        if self._is_joint:
            charge = charged(fixed[:, None], self._targets())[:, 0] + (costs - fixed)
        rows = [self.domains.index(d) for d in drawn]
        charge = charge[rows]
        terms = self._by_target(
            drawn, lambda own, target: cost_terms_of(self.config.reward, charge[own], target)
        )
        return fixed[rows], terms

    def _quality(self, sampled: Mapping[str, Sequence[Path]]) -> Tensor:
        """Return the quality on the next reward batch, float64 (domains, paths), 0 to 1."""
        streams, measured = self.reward_streams, self.measured
        numbers = {d: s.number for d, s in streams.items() if isinstance(s, FixedStream)}
        batches = {d: streams[d].next() for d in sampled}
        if measured is None:
            return self._measure(batches, sampled)
        lacking = {d: measured.lacking(d, numbers[d], paths) for d, paths in sampled.items()}
        lacking = {d: paths for d, paths in lacking.items() if paths}
        if lacking:
            table = self._measure({d: batches[d] for d in lacking}, lacking).tolist()
            for (domain, paths), qualities in zip(lacking.items(), table, strict=True):
                measured.add(domain, numbers[domain], paths, qualities)
        known = [measured.of(d, numbers[d], paths) for d, paths in sampled.items()]
        return torch.tensor(known, dtype=torch.float64)

    def _measure(self, batches: Mapping[str, Drawn], paths: Mapping[str, Sequence[Path]]) -> Tensor:
        """Return the quality of the paths of every domain on its batch, float64 (domains, paths).

        Domains may differ in their number of paths. The rest of a row is then 0.
        """
        domains, most = list(paths), max(map(len, paths.values()))
        tasks = [self.net.tasks[d] for d in domains]
        parts = self.compute.parts(batches)
        flows = [
            Flow(domains[p.domain], p.images, path)
            for p in parts
            for path in paths[domains[p.domain]]
        ]
        with torch.no_grad(), self.compute.autocast():
            logits = iter(self.net(flows))
        rows = []
        for p in parts:
            outputs = list(islice(logits, len(paths[domains[p.domain]])))
            row = path_qualities(self.config.quality, tasks[p.domain], outputs, p.labels)
            rows.append(F.pad(row, (0, most - len(row))))
        return self.compute.means((len(domains), most), parts, rows)

    def _cost(self, sampled: Mapping[str, Sequence[Path]]) -> Tensor:
        """Return the costs, float64 (domains, paths).

        The k-th paths of all domains form one network, since a joint cost depends on all its paths.
        """
        networks = zip(*sampled.values(), strict=True)
        costs = [
            path_costs(
                self.config.cost, self.space, dict(zip(sampled, paths, strict=True)), self.prices
            )
            for paths in networks
        ]
        return torch.tensor([[c[d] for c in costs] for d in sampled], dtype=torch.float64)

    def _rewards(self, domains: Sequence[str], quality: Tensor, cost: Tensor) -> Tensor:
        """Return the rewards, float64 (domains, paths).

        domains: names of the domains, in the order of the rows.
        """
        reward = self.config.reward
        return self._by_target(
            domains, lambda own, target: rewards_of(reward, quality[own], cost[own], target)
        )

    def _by_target(
        self, domains: Sequence[str], compute: Callable[[list[int], float], Tensor]
    ) -> Tensor:
        """Return what a function gives for the domains, which it gets once per cost target.

        compute: function from the rows of some domains, and their target, to a row for each.
        """
        rows: dict[int, Tensor] = {}
        try:
            for target in dict.fromkeys(self.targets[d] for d in domains):
                own = [i for i, d in enumerate(domains) if self.targets[d] == target]
                rows |= dict(zip(own, compute(own, target), strict=True))
        except MpnasError as error:
            raise self.compute.team.error_on_all_ranks(f"step {self.step + 1}: {error}") from None
        return torch.stack([rows[i] for i in range(len(domains))])

    def _in_scope(self, rewards: Tensor) -> Tensor:
        """Return the rewards of every domain, or for each of them the mean over all domains."""
        if self.config.reward_scope == "joint":
            return rewards.mean(0).expand_as(rewards)
        return rewards

    def _snapshot_due(self) -> bool:
        every = snapshot_every(self.config)
        return (self.step + 1) % every == 0 or self.step + 1 == self.config.steps

    def policy(self) -> NDArray[np.float32]:
        rows = [self.row_of[d] for d in self.domains]
        return self.controllers.probabilities[rows].numpy()

    def _result(self, policy: NDArray[np.float32]) -> SearchResult:
        paths = self._paths(policy[-1])
        return SearchResult(
            self.space,
            self.config,
            paths,
            path_costs(self.config.cost, self.space, paths),
            self.targets,
            self.config.cost.unit,
            history_table(self.rows),
            policy,
            self.start_table,
            None if self.values is None else self.values.tau(),
            self._front(paths),
        )

    def _paths(self, policy: NDArray[np.float32]) -> dict[str, Path]:
        """Return the path of every domain: the likeliest one, or the best one of a re-ranking."""
        config = self.config
        likely = dict(zip(self.domains, likeliest(self.space, policy), strict=True))
        if config.rerank == 0:
            return likely
        wanted = path_costs(config.cost, self.space, likely) if self._is_joint else self.targets
        quality = self._measured_quality(likely, images=sys.maxsize)
        generator = torch.Generator().manual_seed(derived_seed(config.seed, _RERANK))
        found: dict[str, Path] = {}
        for name in dict.fromkeys(self.controller_of.values()):
            domains = [d for d in self.domains if self.controller_of[d] == name]

            def fits(path: Path, domains: Sequence[str] = tuple(domains)) -> bool:
                costs = path_costs(config.cost, self.space, dict.fromkeys(domains, path))
                return near(sum(costs.values()), sum(wanted[d] for d in domains))

            paths = candidates(self.controllers, name, fits, config.rerank, generator)
            qualities = torch.stack([quality(d, paths) for d in domains]).mean(0)
            found |= dict.fromkeys(domains, best_of(paths, qualities))
        return {d: found[d] for d in self.domains}

    def _measured_quality(self, base: Mapping[str, Path], images: int) -> PathQuality:
        """Return the quality of paths on the supernet as it is now, mixed with the landmarks.

        base: a path of every domain, from which differences count (see `PathValues.mixed`).
        images: largest number of reward images per domain.
        """
        config = self.config
        seed = 2 * config.seed + 1
        scorer = Scorer(self.net, self.reward_sources, config.quality, images, seed, self.compute)
        if self.values is None:
            return scorer.quality
        return self.values.mixed(scorer.quality, base, config.landmark_weight)

    def _front(self, paths: Mapping[str, Path]) -> Front | None:
        """Return the result of the merge pass; None: the search has none."""
        config = self.config
        if not config.merge or config.private != SHARED:
            return None
        quality = self._measured_quality(paths, IMAGES)
        return merged_paths(self.space, paths, quality, config, self.targets)

    def state(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "controllers": self.controllers.state_dict(),
            "prioritization": self.weights.state_dict(),
            "streams": {n: s.state_dict() for n, s in self.streams.items()},
            "reward_streams": {n: s.state_dict() for n, s in self.reward_streams.items()},
            "generator": self.generator.get_state(),
            "policies": [torch.from_numpy(p) for p in self.policies],
            **({} if self.measured is None else {"measured": self.measured.state_dict()}),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        load_optimiser(self.optimiser, state["optimiser"])
        self.controllers.load_state_dict(state["controllers"])
        self.weights.load_state_dict(state["prioritization"])
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])
        for name, rewards in self.reward_streams.items():
            rewards.load_state_dict(state["reward_streams"][name])
        self.generator.set_state(state["generator"])
        if self.measured is not None:
            self.measured.load_state_dict(state["measured"])
        every, due = snapshot_every(self.config), self.step // snapshot_every(self.config)
        due += self.step == self.config.steps and self.config.steps % every > 0
        shape = self.policy().shape
        policies = [p.numpy() for p in state["policies"]]
        require(
            [(p.dtype, p.shape) for p in policies] == [(np.dtype(np.float32), shape)] * due,
            f"expected {due} policies of shape {shape}",
        )
        self.policies = policies
