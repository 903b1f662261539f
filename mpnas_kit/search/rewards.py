"""Rewards: quality and cost of a path in one number.

In the formulas, Q is the quality (accuracy on a reward batch, 0 to 1), T the cost, and T0 the cost
target. T and T0 are in the unit of the cost model.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.parts import Kind, by_text_name, shown
from mpnas_kit.settings import check
from mpnas_kit.values import Range

BETA = Range(-10, 0)  # of the exponent or factor of the cost
LARGEST = 1e15  # reward; the controllers square it in float32


class Reward(Protocol):
    """A reward: a function of quality, cost and target, element by element.

    A frozen dataclass with `__call__`, or a function at the top level of a module, is enough. If
    the reward is the quality plus a function of the cost, a method `cost_term(cost, target)` can
    return this function, computed by torch. The setting `exact_cost` of a search needs it.

    >>> def half_above_target(quality, cost, target):
    ...     return quality * torch.where(cost > target, 0.5, 1.0)
    >>> half_above_target(torch.tensor([0.8, 0.8]), torch.tensor([1e6, 3e6]), target=2e6)
    tensor([0.8000, 0.4000])
    >>> config = mk.SearchConfig(reward=half_above_target)
    """

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return the rewards: finite, at most 1e15, (domains, paths). Higher is better.

        quality: float64 (domains, paths), 0 to 1.
        cost: float64 (domains, paths), in the unit of the cost model. May be negative if the cost
        target holds for the mean over domains.
        target: cost target, in the same unit.
        """
        ...


def rewards_of(reward: Reward, quality: Tensor, cost: Tensor, target: float) -> Tensor:
    """Return the rewards of paths, checked: float64 (domains, paths).

    The reward gets copies of quality and cost, so it may change them. An error of its own code gets
    a note that names the reward.

    reward: the reward.
    quality, cost, target: its arguments (see `Reward`).

    Raises `MpnasError` if it returns something else than a finite number for each path.
    """
    with RaisedBy(lambda: f"the reward {shown(reward)}"):
        answer: Any = reward(quality.clone(), cost.clone(), target)
    if isinstance(answer, np.ndarray):
        answer = torch.from_numpy(answer) if answer.dtype.kind in "fiu" else answer
    is_number = (
        isinstance(answer, Tensor) and not answer.is_complex() and answer.dtype != torch.bool
    )
    if (
        not is_number
        or answer.shape != quality.shape
        or not bool((answer.abs() <= LARGEST).all())  # not true for NaN either
    ):
        found = answer.tolist() if isinstance(answer, (Tensor, np.ndarray)) else answer
        raise MpnasError(
            f"the reward {shown(reward)} returns {short(found)}: expected a tensor with a finite "
            f"number, at most 1e15, for each of {len(quality)} domains x {quality.shape[1]} paths."
        )
    rewards: Tensor = answer.detach().to(quality)
    return rewards


def cost_terms_of(reward: Reward, cost: Tensor, target: float) -> Tensor:
    """Return the cost terms of a reward that is quality plus cost term, with gradient, checked.

    reward: a reward with the method `cost_term`.
    cost: float64, in the unit of the cost model, with gradient. Returns the same shape.
    target: cost target, in the same unit.

    Raises `MpnasError` if the reward returns something else than a finite number for each cost.
    """
    own: Any = reward  # has the method
    with RaisedBy(lambda: f"cost_term of the reward {shown(reward)}"):
        answer = own.cost_term(cost, target)
    if (
        not isinstance(answer, Tensor)
        or answer.shape != cost.shape
        or not answer.is_floating_point()
        or not bool((answer.detach().abs() <= LARGEST).all())  # not true for NaN either
    ):
        found = answer.tolist() if isinstance(answer, Tensor) else answer
        raise MpnasError(
            f"cost_term of the reward {shown(reward)} returns {short(found)}: expected a tensor "
            f"with a finite number, at most 1e15, for each of {cost.numel()} costs."
        )
    return answer.to(cost)


def charged(cost: Tensor, target: float | Tensor) -> Tensor:
    """Return the cost charged to each path if the target holds for the mean over domains (ours).

    `charged[d, k] = cost[d, k] + sum over e != d of (mean over k of cost[e, k] - target[e])`

    cost: (domains, paths), in the unit of the cost model. Returns the same shape and unit; values
    may be negative. A domain may exceed the target if others stay below it.
    target: one target, or that of every domain, (domains, 1).

    >>> import torch
    >>> charged(torch.tensor([[5.0], [1.0]]), target=2.0)
    tensor([[4.],
            [4.]])
    """
    excess = (cost - target).mean(1, keepdim=True)
    others = excess.sum(0, keepdim=True) - excess
    return cost + others


@dataclass(frozen=True)
class Absolute:
    """Absolute reward: `Q + beta |T / T0 - 1|`. Costs above and below the target both lose.

    Source: TuNAS, Bender et al., CVPR 2020, arXiv 2008.06120.

    beta: -10 to 0. A more negative value keeps the cost closer to the target.

    Raises `MpnasError` if beta is out of its range.

    >>> cost = torch.tensor([1e6, 2e6, 3e6])
    >>> mk.Absolute()(torch.tensor([0.8, 0.8, 0.8]), cost, target=2e6)
    tensor([0.7500, 0.8000, 0.7500])
    """

    beta: Annotated[float, BETA] = -0.1

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return `Q + beta |T / T0 - 1|`, element by element."""
        return quality + self.cost_term(cost, target)

    def cost_term(self, cost: Tensor, target: float) -> Tensor:
        """Return `beta |T / T0 - 1|`, element by element."""
        return self.beta * (cost / target - 1).abs()


@dataclass(frozen=True)
class Mnas:
    """Reward of MnasNet with a soft constraint: `Q (T / T0) ** beta`. A low cost gains.

    Source: Tan et al., CVPR 2019, arXiv 1807.11626. T / T0 counts as at least 0.1 (ours).

    beta: -10 to 0. A more negative value penalises cost harder.

    Raises `MpnasError` if beta is out of its range.

    >>> cost = torch.tensor([1e6, 2e6, 3e6])
    >>> mk.Mnas(beta=-1.0)(torch.tensor([0.8, 0.8, 0.8]), cost, target=2e6)
    tensor([1.6000, 0.8000, 0.5333])
    """

    beta: Annotated[float, BETA] = -0.07

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return `Q (T / T0) ** beta`, element by element."""
        return quality * _share(cost, target) ** self.beta


@dataclass(frozen=True)
class MnasHard:
    """Reward of MnasNet with a hard constraint: `Q min((T / T0) ** beta, 1)`.

    A cost below the target gains nothing. Source: Tan et al., CVPR 2019, arXiv 1807.11626. T / T0
    counts as at least 0.1 (ours).

    beta: -10 to 0. A more negative value penalises a cost above the target harder.

    Raises `MpnasError` if beta is out of its range.

    >>> cost = torch.tensor([1e6, 2e6, 3e6])
    >>> mk.MnasHard(beta=-1.0)(torch.tensor([0.8, 0.8, 0.8]), cost, target=2e6)
    tensor([0.8000, 0.8000, 0.5333])
    """

    beta: Annotated[float, BETA] = -0.5

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return `Q min((T / T0) ** beta, 1)`, element by element."""
        return quality * (_share(cost, target) ** self.beta).clamp_max(1)


@dataclass(frozen=True)
class Linear:
    """Linear reward: `Q + beta T / T0`. Every part of the cost has the same price (ours).

    A path as expensive as the target loses `-beta` of accuracy, a path that costs 0 loses nothing.

    beta: -10 to 0. A more negative value makes cost more expensive.

    Raises `MpnasError` if beta is out of its range.

    >>> cost = torch.tensor([0.0, 1e6, 2e6])
    >>> mk.Linear()(torch.tensor([0.8, 0.8, 0.8]), cost, target=2e6)
    tensor([0.8000, 0.7500, 0.7000])
    """

    beta: Annotated[float, BETA] = -0.1

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return `Q + beta T / T0`, element by element."""
        return quality + self.cost_term(cost, target)

    def cost_term(self, cost: Tensor, target: float) -> Tensor:
        """Return `beta T / T0`, element by element."""
        return self.beta * (cost / target)


def _share(cost: Tensor, target: float) -> Tensor:
    """Return T / T0, at least 0.1. A charged cost can be negative, and then has no power."""
    return (cost / target).clamp_min(0.1)


def _lacks(value: Any) -> str | None:
    """Return what `value` lacks to be a reward."""
    ours = callable(value) and not isinstance(value, type)
    return None if ours else "method __call__(quality, cost, target)"


REWARD = Kind("reward", by_text_name(Absolute, Mnas, MnasHard, Linear), _lacks)
