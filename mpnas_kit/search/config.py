"""The settings of a search, and the cost target they come to."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from mpnas_kit.engine.compute import Precision
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.norms import Norm
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.prioritization.methods import Prioritization
from mpnas_kit.search.controller import Baseline
from mpnas_kit.search.rewards import Absolute, Reward
from mpnas_kit.settings import check, require, require_threads
from mpnas_kit.space.costs import Cost, MultiplyAdds
from mpnas_kit.space.space import SearchSpace

Scope = Literal["domain", "joint"]
Deciders = Literal["domain", "one"]


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
    controllers: Deciders = "domain"
    """One controller a domain, or one for all: every domain takes its path, it is rewarded for the
    mean over domains."""
    private_from: int | None = None
    """Index of the first layer (stem: 0) whose weights no domain shares; None: all are shared."""
    collapse: bool = True
    """Whether candidates of a layer that differ in size only have one set of weights."""
    reward_scope: Scope = "domain"
    """A controller's reward: that of its own domain, or the mean over all (joint)."""
    cost: Cost = field(default_factory=MultiplyAdds)
    """What a path costs."""
    cost_target: float | None = None
    """Cost to reach, in the cost model's unit; None: what `cost_level` says."""
    cost_level: float = 1.0
    """The target where none is given: 0 the cheapest path, 1 the mean cost of random paths."""
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
    """Threads of torch; None: one for small images, for others as many as torch has."""
    device: str | None = None
    """Where it computes, as torch names it (cpu, cuda); None: on a GPU where there is one."""
    precision: Precision = "float32"
    """Of the forward and backward pass: float32, or bfloat16 by autocast. Weights are float32."""
    micro_batches: int = 1
    """Parts of a batch, each normalised alone: the processes of torchrun share them out."""

    def __post_init__(self) -> None:
        check(self, "search")
        where = "search:"
        require_threads(self.threads, where)
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
        require(
            0 <= self.cost_level <= 1,
            f"{where} cost_level must be in [0, 1], not {self.cost_level}.",
        )
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
        require(
            self.private_from is None or self.private_from >= 0,
            f"{where} private_from must be a layer's index or None, not {self.private_from}.",
        )
        require(self.warmup_candidates >= 2, f"{where} warmup_candidates must be at least 2.")
        least = min(self.batch_size, self.reward_batch)
        require(
            1 <= self.micro_batches <= least // 2,
            f"{where} micro_batches must leave at least 2 of {least} images in each, not be "
            f"{self.micro_batches}.",
        )
        require(self.seed >= 0, f"{where} seed must be at least 0, not {self.seed}.")


def resolve_target(space: SearchSpace, config: SearchConfig, domains: int) -> float:
    """The cost target in force: the config's, or that of its cost level (by 256 random paths).

    Raises `MpnasError` where no path can cost that.
    """
    low, high = config.cost.bounds(space, domains)
    if config.cost_target is None:
        generator = torch.Generator().manual_seed(0)
        costs: list[float] = []
        while len(costs) < 256:  # as many together as will share the network
            drawn = {str(i): space.sample(generator) for i in range(domains)}
            costs += config.cost.costs(space, drawn).values()
        return low + config.cost_level * (float(np.mean(costs)) - low)
    if not low <= config.cost_target <= high:
        raise MpnasError(
            f"cost_target {config.cost_target:g} cannot be reached: paths through {space.name!r} "
            f"cost {low:g} to {high:g} {config.cost.unit}."
        )
    return config.cost_target
