"""Domain prioritization: how much each domain's loss weighs, step by step.

One convention for all: what is backpropagated is the sum over domains of weight * loss, and the
weights have mean 1, so that no prioritization wins by a larger learning rate. The same object
serves the search and the training stage.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mpnas_kit.settings import check, require


class Weigher(ABC):
    """A prioritization at work: one loop over steps."""

    @abstractmethod
    def weigh(self, nll: Mapping[str, float], progress: float) -> dict[str, float]:
        """The weights of this step, for the domains in `nll`.

        nll: the mean negative log-likelihood (nats, no label smoothing) of each domain drawn in
        this step. progress: the share of the steps that is done, 0 to 1.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a resume needs."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""


@dataclass(frozen=True)
class Uniform:
    """Every domain weighs 1."""

    def weigher(self, classes: Mapping[str, int]) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return _Abdp(ABDP(start=math.inf, end=math.inf, schedule="constant"), classes)


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

    def weigher(self, classes: Mapping[str, int]) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return _Abdp(self, classes)


class _Abdp(Weigher):
    def __init__(self, setting: ABDP, classes: Mapping[str, int]) -> None:
        self._setting, self._chance = setting, {d: math.log(n) for d, n in classes.items()}
        self._index = {d: i for i, d in enumerate(classes)}
        self._average = torch.zeros(len(classes), dtype=torch.float64)
        self._seen = torch.zeros(len(classes), dtype=torch.float64)

    @property
    def difficulty(self) -> Tensor:
        """l, float64 (N,): 1 at chance, 0 solved; 1 for a domain not yet seen."""
        corrected = 1 - self._setting.decay**self._seen
        return torch.where(self._seen > 0, self._average / corrected.clamp_min(1e-300), 1.0)

    def weigh(self, nll: Mapping[str, float], progress: float) -> dict[str, float]:
        for domain, value in nll.items():
            i = self._index[domain]
            fresh = (1 - self._setting.decay) * value / self._chance[domain]
            self._average[i] = self._setting.decay * self._average[i] + fresh
            self._seen[i] += 1
        scaled = self.difficulty / self._setting.temperature(progress)
        boost = torch.exp(scaled - scaled.max())
        weights = boost / boost.mean()
        return {d: float(weights[self._index[d]]) for d in nll}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average.clone(), "seen": self._seen.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average, self._seen = state["average"].clone(), state["seen"].clone()


Prioritization = Uniform | ABDP
