"""Rewards of a path: its quality and its cost in one number.

Q quality (accuracy on a reward batch, 0 to 1), T cost, T0 target, both in the cost model's unit.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from mpnas_kit.settings import require


class RewardFunction(Protocol):
    """A reward: a function of quality, cost and target, element by element."""

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """The reward, of the shape of `quality` and `cost`."""
        ...


def charged(cost: Tensor, target: float) -> Tensor:
    """What a domain is charged where the mean cost has a target (ours): (domains, paths), as cost.

    Its own cost, and all that the others are above the target or below it, taken over their paths
    of the step; below 0 where they are far below. So a domain may go above the target where others
    stay below. With `absolute` a unit has the same price for every domain, and the one it has where
    every domain has the target for itself.
    """
    excess = (cost - target).mean(1, keepdim=True)
    others = excess.sum(0, keepdim=True) - excess
    return cost + others


@dataclass(frozen=True)
class Absolute:
    """Q + beta |T / T0 - 1| (TuNAS, Bender et al. 2020, eq. 2); more negative: a harder target."""

    beta: float = -0.1

    def __post_init__(self) -> None:
        require(self.beta <= 0, f"reward absolute: beta must not be above 0, not {self.beta}.")

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """See the class."""
        return quality + self.beta * (cost / target - 1).abs()


@dataclass(frozen=True)
class Mnas:
    """Q (T / T0) ** beta (MnasNet, Tan et al. 2019, soft constraint)."""

    beta: float = -0.07

    def __post_init__(self) -> None:
        require(self.beta <= 0, f"reward mnas: beta must not be above 0, not {self.beta}.")

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """See the class."""
        return quality * _share(cost, target) ** self.beta


@dataclass(frozen=True)
class MnasHard:
    """Q min((T / T0) ** beta, 1) (MnasNet, hard constraint): nothing is won below the target."""

    beta: float = -0.5

    def __post_init__(self) -> None:
        require(self.beta <= 0, f"reward mnas_hard: beta must not be above 0, not {self.beta}.")

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """See the class."""
        return quality * (_share(cost, target) ** self.beta).clamp_max(1)


def _share(cost: Tensor, target: float) -> Tensor:
    """T / T0, at least 0.1: a charged cost may be 0 and less, of which there is no power."""
    return (cost / target).clamp_min(0.1)


Reward = Absolute | Mnas | MnasHard
