"""The settings of the search stage, and the cost target that they set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch

from mpnas_kit.engine.config import StageConfig
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.defaults import cpu_by_default
from mpnas_kit.search.controller import Baseline
from mpnas_kit.search.quality import Quality
from mpnas_kit.search.rewards import REWARD, Absolute, Reward
from mpnas_kit.settings import require
from mpnas_kit.space.costs import COST, CostModel, MultiplyAdds, cost_bounds, path_costs
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import Range

Scope = Literal["domain", "joint"]
Owners = Literal["domain", "one"]
Sampling = Literal["policy", "fair"]
SCALE = Range(0, 1000, above=True)  # of a factor of cost targets


@dataclass(frozen=True)
class SearchConfig(StageConfig):
    """Settings of the search stage.

    Raises `MpnasError` for a value of a wrong type or out of its range.

    >>> config = SearchConfig(steps=600, reward="absolute(beta=-0.2)")
    >>> config.reward, config.cost
    (Absolute(beta=-0.2), MultiplyAdds())
    """

    stage: ClassVar[str] = "search"

    steps: Annotated[int, Range(1, 10_000_000)] = 2000
    """Steps. Each trains the sampled nodes once and rewards the controllers once."""
    learning_rate: Annotated[float, Range(0, 1_000_000, above=True)] = 0.2
    """Peak learning rate of the shared weights: linear warm-up, then cosine to 0."""
    sampling: Sampling = "policy"
    """Paths that train the weights: drawn by the policy, or fair: every choice equally often."""
    two_phases: bool = False
    """Whether weights learn only until controller_delay, and controllers then on frozen weights."""
    paths_per_step: Annotated[int, Range(1, 10_000)] = 4
    """Paths that a controller samples per step for its reward."""
    reward_batch: Annotated[int, Range(2, 1_000_000)] = 32
    """Reward images per sampled path. All paths of a step see the same images."""
    reward_share: Annotated[float, Range(0, 1, above=True, below=True)] = 0.3
    """Share of the training split that is used for rewards only."""
    quality: Quality = "task"
    """Quality of a path: that of the task (accuracy), or the mean probability of the true class."""
    reward: Annotated[Reward, REWARD] = field(default_factory=Absolute)
    """Reward of a path from its quality and cost."""
    controllers: Owners = "domain"
    """One controller per domain, or one for all (rewarded for the mean over domains)."""
    collapse: bool = True
    """Whether candidates of a layer that differ only in size share one set of weights."""
    reward_scope: Scope = "domain"
    """Reward of a controller: that of its own domain, or the mean over all domains (joint)."""
    cost: Annotated[CostModel, COST] = field(default_factory=MultiplyAdds)
    """Cost model: what a path costs."""
    cost_target: Annotated[float | None, Range(0, 1e18, above=True)] = None
    """Cost target, in the unit of the cost model. None: the target that `cost_level` sets."""
    cost_level: Annotated[float, Range(0, 1)] = 1.0
    """Cost target if cost_target is None: 0 the cheapest path, 1 the mean of random paths."""
    cost_scale: Annotated[float, SCALE] = 1.0
    """Factor of the cost target, whether cost_target or cost_level sets it."""
    cost_scope: Scope = "domain"
    """What the target holds for: the cost of every domain, or the mean over domains (joint)."""
    exact_cost: bool = False
    """Whether the reward's cost term is that of the policy's expected cost, with exact gradient."""
    controller_spread: Annotated[float, Range(0, 1000)] = 1.5
    """Sets the controllers' learning rate: deviation of a logit at the end if rewards are noise."""
    controller_growth: Annotated[float, Range(1e-6, 1e6)] = 10.0
    """Last learning rate of the controllers divided by their first."""
    controller_delay: Annotated[float, Range(0, 1, below=True)] = 0.25
    """Share of the steps before the controllers learn."""
    prior: Annotated[float | None, Range(0, 1, above=True, below=True)] = None
    """First probability of every choice of the space's original path. None: all are equal."""
    baseline: Baseline = "leave_one_out"
    """Baseline that is subtracted from a reward: leave_one_out or moving_average."""
    baseline_decay: Annotated[float, Range(0, 1, below=True)] = 0.95
    """Factor of the old average when a step is added to the moving average."""
    entropy_weight: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the policies' entropy in the objective of the controllers."""
    warmup_share: Annotated[float, Range(0, 1, below=True)] = 0.25
    """Share of the steps in which candidates are averaged, at most controller_delay."""
    warmup_candidates: Annotated[int, Range(2, 10_000)] = 4
    """Largest number of candidates of a layer that are averaged."""
    policy_snapshots: Annotated[int, Range(1, 1_000_000)] = 100
    """Number of times that the search records the choice probabilities."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fits_micro_batches("reward_batch")
        require(
            self.warmup_share <= self.controller_delay,
            f"search: warmup_share ({self.warmup_share}) must not exceed controller_delay "
            f"({self.controller_delay}): in averaged layers, rewards cannot compare choices.",
        )
        require(
            not self.two_phases or self.controller_delay * self.steps >= 1,
            f"search: with two_phases, weights learn only until controller_delay "
            f"({self.controller_delay:g} of {self.steps} steps): expected at least one step.",
        )


@cpu_by_default()
def resolve_target(space: SearchSpace, config: SearchConfig, domains: int) -> float:
    """Return the cost target of a search with images of one size, in the unit of its cost model.

    It is `cost_target` or, if that is None, the target that `cost_level` sets, times `cost_scale`.
    The mean cost of random paths is estimated from at least 256 paths.

    domains: number of domains that share the network.

    Raises `MpnasError` if no path can have this cost, or if it is 0.
    """
    low, high = cost_bounds(config.cost, space, domains)
    target = config.cost_target
    if target is None:
        generator = torch.Generator().manual_seed(0)
        costs: list[float] = []
        while len(costs) < 256:  # joint costs depend on how many share the network
            drawn = {str(i): space.sample(generator) for i in range(domains)}
            costs += path_costs(config.cost, space, drawn).values()
        target = low + config.cost_level * (float(np.mean(costs)) - low)
        if target <= 0:
            raise MpnasError(
                f"cost_level {config.cost_level:g} gives the cost target 0, because the cheapest "
                "path costs nothing: expected a higher cost_level, or a cost_target above 0."
            )
    is_between = config.cost_target is None and config.cost_scale == 1  # two costs of paths
    if not is_between and not low <= target * config.cost_scale <= high:
        raise MpnasError(
            f"{_target_text(config, target)} cannot be reached: paths of space {space.name!r} "
            f"cost {low:g} to {high:g} {config.cost.unit} for images of {space.resolution} pixels."
        )
    return target * config.cost_scale


def _target_text(config: SearchConfig, target: float) -> str:
    """Return a cost target for a message, with its factor.

    target: the target without its factor.
    """
    words = f"cost_target {target:g}"
    scale = config.cost_scale
    return words if scale == 1 else f"{words} times cost_scale {scale:g} ({target * scale:g})"


def resolve_targets(
    space: SearchSpace, config: SearchConfig, domains: Sequence[str]
) -> dict[str, float]:
    """Return the cost target of every domain, in the unit of the cost model (ours).

    A `cost_target` holds for all domains, or for their mean (cost scope `joint`). `cost_level` sets
    a target for every size of images, since larger images cost more. `cost_scale` is a factor
    of all targets.

    domains: names of the domains that share the network.

    Raises `MpnasError` if no path can have this cost, or if it is 0.

    >>> config = mk.SearchConfig()
    >>> mixed = mk.pocket_space(64).with_resolutions({"photos": 64, "digits": 32})
    >>> {d: round(t / 1e3) for d, t in resolve_targets(mixed, config, ["photos", "digits"]).items()}
    {'photos': 3557, 'digits': 890}
    """
    model, target = config.cost, config.cost_target
    if not space.resolutions or hasattr(model, "bounds"):
        return dict.fromkeys(domains, resolve_target(space, config, len(domains)))
    if target is not None and config.cost_scope == "joint":
        bounds = [cost_bounds(model, space.of(d), len(domains)) for d in domains]
        low, high = np.mean(bounds, axis=0).tolist()
        if not low <= target * config.cost_scale <= high:
            raise MpnasError(
                f"{_target_text(config, target)} cannot be reached: the mean cost of the domains' "
                f"paths is {low:g} to {high:g} {model.unit}."
            )
        return dict.fromkeys(domains, target * config.cost_scale)
    sizes = {space.of(d).resolution: space.of(d) for d in domains}
    targets = {size: resolve_target(own, config, len(domains)) for size, own in sizes.items()}
    return {d: targets[space.of(d).resolution] for d in domains}
