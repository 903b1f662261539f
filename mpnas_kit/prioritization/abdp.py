"""ABDP, and what it is compared with that also follows difficulty: boosted and dynamic weights."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mpnas_kit.prioritization.weigher import Average, Seen, Weigher
from mpnas_kit.settings import check, require


@dataclass(frozen=True)
class Uniform:
    """Every domain weighs 1."""

    def weigher(self, classes: Mapping[str, int], seed: int = 0) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return ABDP(start=math.inf, end=math.inf, schedule="constant").weigher(classes, seed)


@dataclass(frozen=True)
class ABDP:
    """Adaptive balanced domain prioritization (the idea: MPNAS; the formula: ours, bounded).

    difficulty  l_d = moving average of NLL_d / ln(classes_d): 1 at chance, 0 when solved
    weight      p_d = N * softmax(l / w)_d: mean 1, at most N

    start, end: the temperature w at the first and the last step; infinity is `uniform`, bit for
    bit; a small w puts all weight on the hardest domain. schedule: how w goes from one to the
    other. decay: of the moving average, bias-corrected. Motivated by the tilted mean
    w log mean exp(l / w) of the losses (Li et al. 2021, TERM), of which p is the gradient's weight
    up to the division of each loss by ln(classes).
    """

    start: float = 1.0
    end: float = 0.25
    schedule: Literal["exponential", "linear", "constant"] = "exponential"
    decay: float = 0.95

    def __post_init__(self) -> None:
        check(self, "abdp")
        require(
            self.start > 0 and self.end > 0,
            f"abdp: start and end must be above 0, not {self.start} and {self.end}.",
        )
        require(0 <= self.decay < 1, f"abdp: decay must be in [0, 1), not {self.decay}.")

    def temperature(self, progress: float) -> float:
        """w after a share `progress` (0 to 1) of the steps."""
        if self.schedule == "constant" or progress <= 0 or math.isinf(self.start):
            return self.start
        if math.isinf(self.end):
            return self.end
        if self.schedule == "linear":
            return self.start + (self.end - self.start) * progress
        return float(self.start * (self.end / self.start) ** progress)

    def weigher(self, classes: Mapping[str, int], seed: int = 0) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return _Abdp(self, classes)


@dataclass(frozen=True)
class Boosted:
    """Weights exp(L_d / w), L_d in nats: the boosting of a reimplementation of MPNAS.

    At w = 1 a domain at chance weighs as many as it has classes, so the one with the most classes
    comes first. normalise: divide by the mean over domains, as every other prioritization does;
    False: the raw, unbounded factors, which also raise the learning rate. decay: of the moving
    average of L_d; 0: the loss of the batch alone.
    """

    temperature: float = 1.0
    normalise: bool = True
    decay: float = 0.0

    def __post_init__(self) -> None:
        check(self, "boosted")
        require(self.temperature > 0, f"boosted: temperature must be above 0: {self.temperature}.")
        require(0 <= self.decay < 1, f"boosted: decay must be in [0, 1), not {self.decay}.")

    def weigher(self, classes: Mapping[str, int], seed: int = 0) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return _Boosted(self, classes)


@dataclass(frozen=True)
class DynamicTaskPriority:
    """Focal weights of an accuracy k: -(1 - k)^gamma log k, mean 1 (Guo et al. 2018, DTP).

    k_d: moving average of the accuracy on training batches, bias-corrected, kept within [0.01, 1].
    """

    gamma: float = 1.0
    decay: float = 0.95

    def __post_init__(self) -> None:
        check(self, "dynamic_task_priority")
        where = "dynamic_task_priority:"
        require(self.gamma >= 0, f"{where} gamma must not be below 0, not {self.gamma}.")
        require(0 <= self.decay < 1, f"{where} decay must be in [0, 1), not {self.decay}.")

    def weigher(self, classes: Mapping[str, int], seed: int = 0) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return _Dynamic(self, classes)


class _OfAverages(Weigher):
    """Weights that are a function of one moving average a domain."""

    def __init__(self, classes: Mapping[str, int], decay: float, unseen: float) -> None:
        self._index = {d: i for i, d in enumerate(classes)}
        self._average = Average(len(classes), decay, unseen)

    @abstractmethod
    def _measure(self, domain: str, seen: Seen) -> float:
        """What is averaged."""

    @abstractmethod
    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        """(domains,) -> (domains,)."""

    def weigh(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        for domain, seen in batches.items():
            self._average.add(self._index[domain], self._measure(domain, seen))
        weights = self._weights(self._average.values, progress)
        return {d: float(weights[self._index[d]]) for d in batches}

    def state_dict(self) -> dict[str, Any]:
        return self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average.load_state_dict(state)


class _Abdp(_OfAverages):
    """The average is the difficulty: 1 at chance, 0 solved; 1 for a domain not yet seen."""

    def __init__(self, setting: ABDP, classes: Mapping[str, int]) -> None:
        super().__init__(classes, setting.decay, unseen=1.0)
        self._setting, self._chance = setting, {d: math.log(n) for d, n in classes.items()}

    def _measure(self, domain: str, seen: Seen) -> float:
        return seen.nll / self._chance[domain]

    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        scaled = averages / self._setting.temperature(progress)
        boost = torch.exp(scaled - scaled.max())
        return boost / boost.mean()


class _Boosted(_OfAverages):
    def __init__(self, setting: Boosted, classes: Mapping[str, int]) -> None:
        super().__init__(classes, setting.decay, unseen=math.nan)
        self._setting = setting
        self._chance = torch.tensor([math.log(n) for n in classes.values()], dtype=torch.float64)

    def _measure(self, domain: str, seen: Seen) -> float:
        return seen.nll

    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        losses = torch.where(averages.isnan(), self._chance, averages)  # unseen: as at chance
        scaled = losses / self._setting.temperature
        if not self._setting.normalise:
            return torch.exp(scaled)
        boost = torch.exp(scaled - scaled.max())
        return boost / boost.mean()


class _Dynamic(_OfAverages):
    def __init__(self, setting: DynamicTaskPriority, classes: Mapping[str, int]) -> None:
        super().__init__(classes, setting.decay, unseen=math.nan)
        self._setting = setting
        chance = [1 / n for n in classes.values()]
        self._chance = torch.tensor(chance, dtype=torch.float64)

    def _measure(self, domain: str, seen: Seen) -> float:
        return seen.accuracy

    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        k = torch.where(averages.isnan(), self._chance, averages).clamp(0.01, 1.0)
        focal = -((1 - k) ** self._setting.gamma) * torch.log(k)
        mean = focal.mean()
        return focal / mean if mean > 0 else torch.ones_like(focal)  # all solved: alike
