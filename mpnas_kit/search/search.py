"""The search stage: one controller per domain, one supernetwork, both learned at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit.domains.batches import Augment, DrawSchedule, streams
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.errors import MpnasError
from mpnas_kit.learning.loop import Callback, Stage, describe
from mpnas_kit.learning.prioritization import ABDP, Prioritization
from mpnas_kit.learning.step import accuracy, learning_rate, set_rate, sgd, weighted_step
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import Norm
from mpnas_kit.runs import RunFolder
from mpnas_kit.runtime import reproducible
from mpnas_kit.search.controller import Baseline, Controllers, ControllerSchedule
from mpnas_kit.search.data import SearchPart, divide
from mpnas_kit.search.rewards import Absolute, Reward, RewardFunction
from mpnas_kit.search.warmup import warm, warmup_probability
from mpnas_kit.settings import check, require, to_dict
from mpnas_kit.space.costs import Cost, MultiplyAdds
from mpnas_kit.space.space import Path, SearchSpace

Scope = Literal["domain", "joint"]
UNDECIDED = 0.5  # entropy over log(choices) above which a decision counts as not made


@dataclass(frozen=True)
class SearchConfig:
    """Settings of the search stage."""

    steps: int = 2000
    """Steps: each trains the sampled nodes once and rewards every controller once."""
    batch_size: int = 32
    """Training images a domain and step."""
    paths_per_step: int = 4
    """Paths a controller samples a step for its reward."""
    reward_batch: int = 32
    """Reward images a sampled path; all paths of a step see the same ones."""
    reward_share: float = 0.3
    """Share of the training split kept apart for rewards."""
    reward: Reward = field(default_factory=Absolute)
    """Reward of a path from its quality and cost."""
    reward_scope: Scope = "domain"
    """A controller's reward: that of its own domain, or the mean over all (joint)."""
    cost: Cost = field(default_factory=MultiplyAdds)
    """What a path costs."""
    cost_target: float | None = None
    """Cost to reach, in the cost model's unit; None: the mean cost of random paths."""
    cost_scope: Scope = "domain"
    """What is held to the target: every domain's own cost, or their mean (joint)."""
    controller_spread: float = 1.5
    """Scale of the controllers' rates: how far chance alone may spread logits by the end."""
    controller_growth: float = 10.0
    """Last controller rate over the first."""
    controller_delay: float = 0.25
    """Share of the steps before the controllers learn."""
    baseline: Baseline = "leave_one_out"
    """What is taken off a reward: leave_one_out or moving_average."""
    baseline_decay: float = 0.95
    """Decay of the moving average."""
    entropy_weight: float = 0.0
    """Weight of the policies' entropy in what they maximise."""
    warmup_share: float = 0.25
    """Share of the steps in which candidates are averaged, less and less often."""
    warmup_candidates: int = 4
    """At most so many candidates of a layer are averaged."""
    learning_rate: float = 0.2
    """Peak rate of the shared weights: linear warm-up, cosine to 0."""
    warmup: float = 0.025
    """Share of the steps in which that rate rises."""
    momentum: float = 0.9
    """Nesterov momentum."""
    weight_decay: float = 3e-4
    """On kernels and matrices."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""
    shift: int = 2
    """Augmentation: images are moved by at most so many pixels."""
    draw_temperature: float = 0.0
    """How often a domain is drawn: 0 all alike, 1 in proportion to its images, between tempered."""
    norm: Norm = "per_domain"
    """Whose batch statistics, scales and shifts: per_domain, mixed or naive."""
    priority: Prioritization = field(default_factory=ABDP)
    """Domain prioritization."""
    policy_snapshots: int = 100
    """How often over the search the choice probabilities are kept."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    seed: int = 0
    """Of the weights, the batches and the sampled paths."""
    threads: int | None = None
    """Threads of torch; None leaves the number as it is."""

    def __post_init__(self) -> None:
        check(self, "search")
        where = "search:"
        for name in ("steps", "paths_per_step", "policy_snapshots", "checkpoint_every"):
            value = getattr(self, name)
            require(value >= 1, f"{where} {name} must be at least 1, not {value}.")
        for name in ("batch_size", "reward_batch"):
            value = getattr(self, name)
            require(value >= 2, f"{where} {name} must be at least 2, not {value}: batch norm.")
        for name in ("controller_delay", "warmup_share"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{where} {name} must be in [0, 1), not {value}.")
        require(
            self.warmup_share <= self.controller_delay,
            f"{where} warmup_share ({self.warmup_share}) must not exceed controller_delay "
            f"({self.controller_delay}): rewards of averaged layers say nothing about choices.",
        )
        require(0 < self.reward_share < 1, f"{where} reward_share must be between 0 and 1.")
        require(self.learning_rate > 0, f"{where} learning_rate must be above 0.")
        require(self.controller_spread >= 0, f"{where} controller_spread must not be below 0.")
        require(self.controller_growth > 0, f"{where} controller_growth must be above 0.")
        require(0 <= self.baseline_decay < 1, f"{where} baseline_decay must be in [0, 1).")
        require(0 <= self.warmup <= 1, f"{where} warmup must be in [0, 1], not {self.warmup}.")
        require(0 <= self.momentum < 1, f"{where} momentum must be in [0, 1), not {self.momentum}.")
        for name in ("weight_decay", "shift", "draw_temperature", "entropy_weight"):
            value = getattr(self, name)
            require(value >= 0, f"{where} {name} must not be below 0, not {value}.")
        require(
            0 <= self.label_smoothing < 1,
            f"{where} label_smoothing must be in [0, 1), not {self.label_smoothing}.",
        )
        require(self.warmup_candidates >= 2, f"{where} warmup_candidates must be at least 2.")
        require(self.seed >= 0, f"{where} seed must be at least 0, not {self.seed}.")


@dataclass(frozen=True)
class SearchResult:
    """What a search gives back.

    paths: the most likely path of every domain. cost_target: in the unit of `config.cost`.
    history: a row a step and domain: loss (nats), weight, accuracy (training batch), and once
    controllers learn reward, quality (accuracy on the reward batch), cost, all mean over the
    sampled paths, and entropy (over log(choices), mean over decisions).
    policy: float32 (snapshots, domains, decisions, choices), probabilities, 0 where a decision has
    fewer choices; policy_steps: the step of each snapshot.
    """

    space: SearchSpace
    config: SearchConfig
    paths: dict[str, Path]
    cost_target: float
    history: pd.DataFrame
    policy: NDArray[np.float32]
    policy_steps: tuple[int, ...]

    @property
    def costs(self) -> dict[str, float]:
        """The cost of every domain's path, in the unit of `config.cost`."""
        return self.config.cost.costs(self.space, self.paths)

    def decisions(self) -> pd.DataFrame:
        """Whether the search decided: a row a domain and decision.

        Columns domain, decision, choice (the most likely one), probability, entropy (over
        log(choices): 1 undecided, 0 certain), decided (entropy at most 0.5).
        """
        rows = []
        for domain, probabilities in zip(self.paths, self.policy[-1], strict=True):
            for decision, p in zip(self.space.decisions, probabilities, strict=True):
                p = p[: len(decision.choices)].astype(np.float64)
                entropy = float(-(p * np.log(np.maximum(p, 1e-30))).sum() / np.log(len(p)))
                best = decision.choices[int(p.argmax())]
                rows.append(
                    {
                        "domain": domain,
                        "decision": decision.name,
                        "choice": best,
                        "probability": float(p.max()),
                        "entropy": entropy,
                        "decided": entropy <= UNDECIDED,
                    }
                )
        columns = ["domain", "decision", "choice", "probability", "entropy", "decided"]
        return pd.DataFrame(rows, columns=columns).astype({"decided": bool})

    def verdict(self) -> str:
        """One sentence: whether the search decided."""
        table = self.decisions()
        open_ = table[~table["decided"]]
        if len(open_) == 0:
            return f"the search decided all {len(table)} choices."
        worst = open_.groupby("domain").size().sort_values(ascending=False)
        named = ", ".join(f"{d} {n}" for d, n in worst.items())
        return (
            f"the search did not decide {len(open_)} of {len(table)} choices "
            f"(entropy above {UNDECIDED} of its maximum): {named}."
        )

    def __repr__(self) -> str:
        return (
            f"SearchResult({len(self.paths)} paths through {self.space.name!r}; {self.verdict()})"
        )


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
        "reward_function": None if reward is None else type(reward).__qualname__,
        "config": to_dict(config),
    }
    with reproducible(config.threads):
        run = RunFolder.open(folder, description) if folder is not None else None
        stage = _Search(parts, space, config, target, reward or config.reward, run)
        try:
            return stage.run(callbacks)
        finally:
            if run is not None:
                run.close()


def resolve_target(space: SearchSpace, config: SearchConfig, domains: int) -> float:
    """The cost target in force: the config's, or the mean cost of random paths (about 256).

    Raises `MpnasError` where no path can cost that.
    """
    low, high = config.cost.bounds(space, domains)
    if config.cost_target is None:
        generator = torch.Generator().manual_seed(0)
        costs: list[float] = []
        while len(costs) < 256:  # as many together as will share the network
            drawn = {str(i): space.sample(generator) for i in range(domains)}
            costs += config.cost.costs(space, drawn).values()
        return float(np.mean(costs))
    if not low <= config.cost_target <= high:
        raise MpnasError(
            f"cost_target {config.cost_target:g} cannot be reached: paths through {space.name!r} "
            f"cost {low:g} to {high:g} {config.cost.unit}."
        )
    return config.cost_target


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
    ) -> None:
        super().__init__(config.steps, config.checkpoint_every, folder)
        self.space, self.config, self.target, self.reward = space, config, target, reward
        classes = {d: p.classes for d, p in parts.items()}
        self.domains = tuple(parts)
        self.net = MultiPathNet.supernet(space, classes, config.norm, config.seed)
        self.optimiser = sgd(self.net, config.momentum, config.weight_decay)
        schedule = ControllerSchedule(
            config.controller_delay, config.controller_growth, config.controller_spread
        )
        self.controllers = Controllers(
            space,
            self.domains,
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
        self.weigher = config.priority.weigher(classes)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.policies: list[NDArray[np.float32]] = []

    def run(self, callbacks: Sequence[Callback]) -> SearchResult:
        if self.folder is not None and self.folder.exists("results.json"):
            self.finished(self.folder)
            return self._result(self.folder.read_array("policy.npy"))
        self.loop(callbacks)
        policy = np.stack(self.policies)
        result = self._result(policy)
        if self.folder is not None:
            self.folder.write_array("policy.npy", policy)
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
        paths = {
            d: warm(
                self.space,
                self.controllers[d].sample(self.generator),
                chance,
                config.warmup_candidates,
                self.generator,
            )
            for d in drawn
        }
        figures = weighted_step(
            self.net,
            self.optimiser,
            {d: self.streams[d].next() for d in drawn},
            paths,
            self.weigher,
            config.label_smoothing,
            self.step / config.steps,
        )
        if self.controllers.learns(self.step):
            for domain, more in self._reward(drawn).items():
                figures[domain] |= more
        for domain in drawn:
            figures[domain]["entropy"] = float(self.controllers[domain].indecision().mean())
        if self._snapshot_due():
            self.policies.append(self._policy())
        return figures

    def _reward(self, drawn: Sequence[str]) -> dict[str, dict[str, float]]:
        """Sample paths, measure them on the reward part, move the controllers."""
        count = self.config.paths_per_step
        sampled = {
            d: [self.controllers[d].sample(self.generator) for _ in range(count)] for d in drawn
        }
        batches = {d: self.reward_streams[d].next() for d in drawn}
        flows = [Flow(d, batches[d][0], path) for d in drawn for path in sampled[d]]
        with torch.no_grad():
            logits = self.net(flows)
        right = [accuracy(x, batches[f.domain][1]) for f, x in zip(flows, logits, strict=True)]
        quality = torch.tensor(right, dtype=torch.float64).view(len(drawn), count)
        cost = self._cost(sampled)
        rewards = self._rewards(quality, cost)
        self.controllers.update(self.step, sampled, dict(zip(drawn, rewards, strict=True)))
        columns = {"reward": rewards, "quality": quality, "cost": cost}
        return {
            d: {name: float(values[i].mean()) for name, values in columns.items()}
            for i, d in enumerate(drawn)
        }

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
        if self.config.cost_scope == "joint":
            cost = cost.mean(0).expand_as(cost)
        rewards = self.reward(quality, cost, self.target)
        if self.config.reward_scope == "joint":
            rewards = rewards.mean(0).expand_as(rewards)
        return rewards

    def _snapshot_due(self) -> bool:
        every = max(1, self.config.steps // self.config.policy_snapshots)
        return (self.step + 1) % every == 0 or self.step + 1 == self.config.steps

    def _policy(self) -> NDArray[np.float32]:
        stacked = torch.stack([self.controllers[d].probabilities for d in self.domains])
        return stacked.numpy().astype(np.float32)

    def _result(self, policy: NDArray[np.float32]) -> SearchResult:
        every = max(1, self.config.steps // self.config.policy_snapshots)
        steps = tuple(dict.fromkeys([*range(every, self.steps + 1, every), self.steps]))
        paths = {
            d: self.space.path(
                [
                    int(p[: len(x.choices)].argmax())
                    for p, x in zip(last, self.space.decisions, strict=True)
                ]
            )
            for d, last in zip(self.domains, policy[-1], strict=True)
        }
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
