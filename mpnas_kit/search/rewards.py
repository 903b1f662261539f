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
        return quality * (cost / target) ** self.beta


@dataclass(frozen=True)
class MnasHard:
    """Q min((T / T0) ** beta, 1) (MnasNet, hard constraint): nothing is won below the target."""

    beta: float = -0.5

    def __post_init__(self) -> None:
        require(self.beta <= 0, f"reward mnas_hard: beta must not be above 0, not {self.beta}.")

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """See the class."""
        return quality * ((cost / target) ** self.beta).clamp_max(1)


Reward = Absolute | Mnas | MnasHard
