"""The search stage: one controller per domain, one supernetwork, both learned at once.

With one controller for all domains it is multi-head NAS, with no shared layer the domain-
independent search of the article: the same steps on the same batches.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit.domains.batches import Augment, DrawSchedule, streams
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.loop import Callback, Stage, describe
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import RunFolder, at_work
from mpnas_kit.engine.step import accuracy, learning_rate, set_rate, sgd, weighted_step
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.search.config import SearchConfig, resolve_target
from mpnas_kit.search.controller import Controllers, ControllerSchedule, PathController
from mpnas_kit.search.data import SearchPart, divide
from mpnas_kit.search.result import SearchResult, likeliest
from mpnas_kit.search.rewards import RewardFunction, charged
from mpnas_kit.search.warmup import warm, warmup_probability
from mpnas_kit.settings import to_dict
from mpnas_kit.space.space import Path, SearchSpace

Decided = TypeVar("Decided")
ALL = "all"  # the controller of all domains, where there is one


def search(
    suite: DomainSuite,
    space: SearchSpace,
    config: SearchConfig,
    *,
    reward: RewardFunction | None = None,
    folder: str | FilePath | None = None,
    callbacks: Sequence[Callback] = (),
) -> SearchResult:
    """Search a path for every domain of `suite` through `space`, jointly (MPNAS).

    Reads the training splits only. reward: any reward function, instead of `config.reward`.
    folder: a run folder; an interrupted search goes on in it and ends bit-identical, a finished one
    is only read. callbacks: told after every step. Raises `MpnasError` for a cost target that no
    path can reach, a folder of another config, a loss that is not finite.
    """
    parts = divide(suite, config.reward_share, config.seed)
    target = resolve_target(space, config, len(suite))
    description = {
        **describe("search", suite, space),
        "reward_function": None if reward is None else _named(reward),
        "config": to_dict(config),
    }
    compute = Compute.of(
        config.device, config.precision, config.micro_batches, config.norm, len(suite)
    )
    known = to_dict(SearchConfig())
    with (
        reproducible(config.threads, space.resolution),
        at_work(folder, description, known, compute.team) as run,
    ):
        stage = _Search(parts, space, config, target, reward or config.reward, run, compute)
        return stage.run(callbacks)


def _named(reward: RewardFunction) -> str:
    """What a run folder knows a reward function by: its module and name, or its settings."""
    if dataclasses.is_dataclass(reward):
        return repr(reward)
    named = reward if hasattr(reward, "__qualname__") else type(reward)
    return f"{named.__module__}.{named.__qualname__}"


class _Search(Stage):
    """One search and all of its state."""

    name = "search"

    def __init__(
        self,
        parts: Mapping[str, SearchPart],
        space: SearchSpace,
        config: SearchConfig,
        target: float,
        reward: RewardFunction,
        folder: RunFolder | None,
        compute: Compute,
    ) -> None:
        super().__init__(config.steps, config.checkpoint_every, folder, compute)
        self.space, self.config, self.target, self.reward = space, config, target, reward
        classes = {d: p.classes for d, p in parts.items()}
        self.domains = tuple(parts)
        self.net = MultiPathNet.supernet(
            space, classes, config.norm, config.seed, config.private_from, config.collapse
        ).to(compute.device)
        self.optimiser = sgd(self.net, config.momentum, config.weight_decay)
        schedule = ControllerSchedule(
            config.controller_delay, config.controller_growth, config.controller_spread
        )
        self.decider = {d: ALL if config.controllers == "one" else d for d in self.domains}
        self.controllers = Controllers(
            space,
            tuple(dict.fromkeys(self.decider.values())),
            schedule,
            config.steps,
            config.baseline,
            config.baseline_decay,
            config.entropy_weight,
        )
        self.streams = streams(
            {d: p.weights for d, p in parts.items()},
            config.batch_size,
            2 * config.seed,
            Augment(config.shift),
        )
        self.reward_streams = streams(
            {d: p.reward for d, p in parts.items()}, config.reward_batch, 2 * config.seed + 1
        )
        sizes = {d: len(p.weights.split) for d, p in parts.items()}
        self.draws = DrawSchedule(sizes, config.draw_temperature)
        self.weigher = config.priority.weigher(classes, config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.policies: list[NDArray[np.float32]] = []

    def run(self, callbacks: Sequence[Callback]) -> SearchResult:
        before = self.finished(lambda folder, results: folder.read_array("policy.npy"))
        if before is not None:
            return self._result(before)
        self.loop(callbacks)
        policy = np.stack(self.policies)
        result = self._result(policy)
        if self.folder is not None:
            self.folder.write_array("policy.npy", policy)
            tensors = {n: t.contiguous() for n, t in self.net.state_dict().items()}
            weights = safetensors.torch.save(tensors)
            self.folder.write("supernet.safetensors", lambda f: f.write(weights))
            self.folder.write_json("paths.json", {d: p.arch for d, p in result.paths.items()})
            self.write_timing(self.folder)
            self.folder.write_json(
                "results.json",
                {
                    "paths": {d: p.arch for d, p in result.paths.items()},
                    "cost_target": self.target,
                    "costs": result.costs,
                    "verdict": result.verdict(),
                    "decisions": result.decisions().to_dict("records"),
                },
            )
        return result

    def advance(self) -> dict[str, dict[str, float]]:
        """Train the sampled nodes on the weight part, then reward the controllers."""
        config = self.config
        rate = learning_rate(self.step, config.steps, config.learning_rate, config.warmup)
        set_rate(self.optimiser, rate)
        drawn = self.draws.drawn(self.step)
        chance = warmup_probability(self.step, config.steps, config.warmup_share)

        def warmed(policy: PathController) -> Path | Blend:
            path = policy.sample(self.generator)
            return warm(self.space, path, chance, config.warmup_candidates, self.generator)

        paths = self._decided(drawn, warmed)
        figures = weighted_step(
            self.net,
            self.optimiser,
            {d: self.streams[d].next() for d in drawn},
            paths,
            self.weigher,
            config.label_smoothing,
            self.step / config.steps,
            self.compute,
        )
        if self.controllers.learns(self.step):
            for domain, more in self._reward(drawn).items():
                figures[domain] |= more
        for domain in drawn:
            policy = self.controllers[self.decider[domain]]
            figures[domain]["entropy"] = float(policy.indecision().mean())
        if self._snapshot_due():
            self.policies.append(self.policy())
        return figures

    def _decided(
        self, drawn: Sequence[str], decide: Callable[[PathController], Decided]
    ) -> dict[str, Decided]:
        """What the controller of every drawn domain decides; a controller of several, once."""
        made = {
            name: decide(self.controllers[name])
            for name in dict.fromkeys(self.decider[d] for d in drawn)
        }
        return {d: made[self.decider[d]] for d in drawn}

    def _reward(self, drawn: Sequence[str]) -> dict[str, dict[str, float]]:
        """Sample paths, measure them on the reward part, move the controllers.

        What a path costs may hang on those of all domains, so all are sampled; only the drawn ones
        are measured, and only their controllers moved.
        """
        count = self.config.paths_per_step
        sampled = self._decided(
            self.domains, lambda policy: [policy.sample(self.generator) for _ in range(count)]
        )
        quality = self._quality({d: sampled[d] for d in drawn})
        cost = self._cost(sampled)
        charge = charged(cost, self.target) if self.config.cost_scope == "joint" else cost
        rows = [self.domains.index(d) for d in drawn]
        cost = cost[rows]
        rewards = self._rewards(quality, charge[rows])
        own = {
            name: [i for i, d in enumerate(drawn) if self.decider[d] == name]
            for name in dict.fromkeys(self.decider[d] for d in drawn)
        }
        self.controllers.update(
            self.step,
            {name: sampled[drawn[rows[0]]] for name, rows in own.items()},
            {name: rewards[rows].mean(0) for name, rows in own.items()},
        )
        columns = {"reward": rewards, "quality": quality, "cost": cost}
        return {
            d: {name: float(values[i].mean()) for name, values in columns.items()}
            for i, d in enumerate(drawn)
        }

    def _quality(self, sampled: Mapping[str, Sequence[Path]]) -> Tensor:
        """(domains, paths), float64: accuracy on the next reward batch."""
        domains, count = list(sampled), self.config.paths_per_step
        parts = self.compute.parts({d: self.reward_streams[d].next() for d in domains})
        flows = [
            Flow(domains[p.domain], p.images, path)
            for p in parts
            for path in sampled[domains[p.domain]]
        ]
        with torch.no_grad(), self.compute.autocast():
            logits = iter(self.net(flows))
        right = [[accuracy(next(logits), p.labels) for _ in range(count)] for p in parts]
        return self.compute.means((len(domains), count), parts, right)

    def _cost(self, sampled: Mapping[str, Sequence[Path]]) -> Tensor:
        """(domains, paths), float64: the k-th paths of all domains are one network."""
        together = zip(*sampled.values(), strict=True)
        costs = [
            self.config.cost.costs(self.space, dict(zip(sampled, paths, strict=True)))
            for paths in together
        ]
        return torch.tensor([[c[d] for c in costs] for d in sampled], dtype=torch.float64)

    def _rewards(self, quality: Tensor, cost: Tensor) -> Tensor:
        """(domains, paths)."""
        rewards = self.reward(quality, cost, self.target)
        if rewards.shape != quality.shape or not bool(rewards.isfinite().all()):
            raise self.compute.team.alike(
                f"the reward function {_named(self.reward)} gave {rewards.tolist()} in step "
                f"{self.step + 1}: expected a finite number for each of {len(quality)} domains x "
                f"{self.config.paths_per_step} paths."
            )
        if self.config.reward_scope == "joint":
            rewards = rewards.mean(0).expand_as(rewards)
        return rewards

    def _snapshot_due(self) -> bool:
        every = max(1, self.config.steps // self.config.policy_snapshots)
        return (self.step + 1) % every == 0 or self.step + 1 == self.config.steps

    def policy(self) -> NDArray[np.float32]:
        stacked = torch.stack(
            [self.controllers[self.decider[d]].probabilities for d in self.domains]
        )
        return stacked.numpy().astype(np.float32)

    def _result(self, policy: NDArray[np.float32]) -> SearchResult:
        every = max(1, self.config.steps // self.config.policy_snapshots)
        steps = tuple(dict.fromkeys([*range(every, self.steps + 1, every), self.steps]))
        paths = dict(zip(self.domains, likeliest(self.space, policy[-1]), strict=True))
        return SearchResult(
            self.space, self.config, paths, self.target, self.history(), policy, steps
        )

    def state(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "controllers": self.controllers.state_dict(),
            "weigher": self.weigher.state_dict(),
            "streams": {n: s.state_dict() for n, s in self.streams.items()},
            "reward_streams": {n: s.state_dict() for n, s in self.reward_streams.items()},
            "generator": self.generator.get_state(),
            "policies": [torch.from_numpy(p) for p in self.policies],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.controllers.load_state_dict(state["controllers"])
        self.weigher.load_state_dict(state["weigher"])
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])
        for name, stream in self.reward_streams.items():
            stream.load_state_dict(state["reward_streams"][name])
        self.generator.set_state(state["generator"])
        self.policies = [p.numpy() for p in state["policies"]]
