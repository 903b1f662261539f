"""ABDP, and the prioritizations that are close to it: uniform, boosted and dynamic weights."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from mpnas_kit.domains.task import Task
from mpnas_kit.prioritization.domain_weights import Average, DomainWeights, Seen
from mpnas_kit.settings import check
from mpnas_kit.values import Range

TEMPERATURE = Range(1e-6, 1e6, infinity=True)
DECAY = Range(0, 1, below=True)


@dataclass(frozen=True)
class Uniform:
    """Every domain has weight 1.

    >>> weights = mk.Uniform().begin(suite.tasks)
    >>> seen = {"planted0": mk.Seen(nll=2.8, quality=0.1), "planted1": mk.Seen(0.5, 0.9)}
    >>> weights.weights(seen, progress=0.0)
    {'planted0': 1.0, 'planted1': 1.0}
    """

    def begin(self, tasks: Mapping[str, Task], seed: int = 0) -> DomainWeights:
        """Return weights that stay 1."""
        return _Equal()


@dataclass(frozen=True)
class ABDP:
    """Adaptive balanced domain prioritization: hard domains get a higher weight.

    The idea is that of MPNAS (Wang et al., WACV 2021, arXiv 2010.04904). The formula is ours:

    difficulty:  l_d = moving average of NLL_d / ln(classes_d), 1 at chance, 0 if solved
    weight:      p_d = N * softmax(l / w)_d over N domains, mean 1, at most N

    It is motivated by the tilted mean `w log mean exp(l / w)` of the difficulties (TERM, Li et al.,
    ICLR 2021, arXiv 2007.01162). p weighs the domains as the gradient of that mean does, except
    that the loss of a domain is not divided by ln(classes).

    start: temperature w at the first step, 1e-6 to 1e6 or infinity. A small w puts all weight on
    the hardest domain. Infinity gives the weights of `Uniform`, bit for bit.
    end: temperature w that is reached at the end of the stage, in the same range.
    schedule: how w goes from start to end. `constant` keeps w at start.
    decay: factor of the old average when a value is added to the moving average, 0 to below 1. The
    average is corrected for its bias towards 0.

    Raises `MpnasError` for a value out of its range.

    >>> weights = mk.ABDP().begin(suite.tasks)
    >>> seen = {"planted0": mk.Seen(nll=2.8, quality=0.1), "planted1": mk.Seen(0.5, 0.9)}
    >>> {d: round(w, 2) for d, w in weights.weights(seen, progress=0.0).items()}
    {'planted0': 1.39, 'planted1': 0.61}
    """

    start: Annotated[float, TEMPERATURE] = 1.0
    end: Annotated[float, TEMPERATURE] = 0.25
    schedule: Literal["exponential", "linear", "constant"] = "exponential"
    decay: Annotated[float, DECAY] = 0.95

    def __post_init__(self) -> None:
        check(self)

    def temperature(self, progress: float) -> float:
        """Return w after a share `progress` (0 to 1) of the steps."""
        if self.schedule == "constant" or progress <= 0 or math.isinf(self.start):
            return self.start
        if math.isinf(self.end):
            return self.end
        if self.schedule == "linear":
            return self.start + (self.end - self.start) * progress
        return float(self.start * (self.end / self.start) ** progress)

    def begin(self, tasks: Mapping[str, Task], seed: int = 0) -> DomainWeights:
        """Return weights that follow the difficulty of the domains."""
        return _Abdp(self, tasks)


@dataclass(frozen=True)
class Boosted:
    """Boosted weights `exp(L_d / w)`, with the loss L_d in nats. Here to be compared with.

    The formula is that of a reimplementation of MPNAS. We know no paper that states it. At chance
    and w = 1 the weight of a domain is its number of classes, so the domain with the most classes
    comes first.

    temperature: w, 1e-6 to 1e6, or infinity for equal weights.
    normalise: whether the weights are divided by their mean, as in every other prioritization. If
    not, they are unbounded and also raise the learning rate.
    decay: factor of the old average when a loss is added to the moving average, 0 to below 1.
    Default: 0, which takes the loss of the batch alone.

    Raises `MpnasError` for a value out of its range.

    >>> weights = mk.Boosted(normalise=False).begin(suite.tasks)
    >>> seen = {"planted0": mk.Seen(nll=2.7726, quality=0.1), "planted1": mk.Seen(0.0, 1.0)}
    >>> {d: round(w, 1) for d, w in weights.weights(seen, progress=0.0).items()}
    {'planted0': 16.0, 'planted1': 1.0}
    """

    temperature: Annotated[float, TEMPERATURE] = 1.0
    normalise: bool = True
    decay: Annotated[float, DECAY] = 0.0

    def __post_init__(self) -> None:
        check(self)

    def begin(self, tasks: Mapping[str, Task], seed: int = 0) -> DomainWeights:
        """Return weights that grow exponentially with the loss."""
        return _Boosted(self, tasks)


@dataclass(frozen=True)
class DynamicTaskPriority:
    """Dynamic task prioritization: focal weights of the accuracy (Guo et al., ECCV 2018).

    The weights are `-(1 - k_d)^gamma log k_d`, divided by their mean. k_d is a moving average of
    the accuracy on training batches, clamped to [0.01, 1].

    gamma: exponent, 0 to 100. A large one favours hard domains more.
    decay: factor of the old average when a value is added to the moving average, 0 to below 1. The
    average is corrected for its bias towards 0.

    Raises `MpnasError` for a value out of its range.

    >>> weights = mk.DynamicTaskPriority().begin(suite.tasks)
    >>> seen = {"planted0": mk.Seen(nll=2.8, quality=0.1), "planted1": mk.Seen(0.5, 0.9)}
    >>> {d: round(w, 2) for d, w in weights.weights(seen, progress=0.0).items()}
    {'planted0': 1.99, 'planted1': 0.01}
    """

    gamma: Annotated[float, Range(0, 100)] = 1.0
    decay: Annotated[float, DECAY] = 0.95

    def __post_init__(self) -> None:
        check(self)

    def begin(self, tasks: Mapping[str, Task], seed: int = 0) -> DomainWeights:
        """Return weights that follow the accuracy of the domains."""
        return _Dynamic(self, tasks)


class _Equal(DomainWeights):
    needs_losses = False

    def weights(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        return dict.fromkeys(batches, 1.0)


class _OfAverages(DomainWeights):
    """Weights that are a function of moving averages, one per domain."""

    def __init__(self, tasks: Mapping[str, Task], decay: float, unseen: float) -> None:
        self._index = {d: i for i, d in enumerate(tasks)}
        self._average = Average(len(tasks), decay, unseen)

    @abstractmethod
    def _measure(self, domain: str, seen: Seen) -> float:
        """Return the value that is averaged."""

    @abstractmethod
    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        """Return the weights of all domains, float64 (domains,).

        averages: float64 (domains,). progress: share of the steps that is done, 0 to 1.
        """

    def weights(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        for domain, seen in batches.items():
            self._average.add(self._index[domain], self._measure(domain, seen))
        weights = self._weights(self._average.values, progress)
        return {d: float(weights[self._index[d]]) for d in batches}

    def state_dict(self) -> dict[str, Any]:
        return self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average.load_state_dict(state)


class _Abdp(_OfAverages):
    """The weights of ABDP. The average is the difficulty, 1 for a domain that was not seen yet."""

    def __init__(self, setting: ABDP, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks, setting.decay, unseen=1.0)
        self._setting, self._chance = setting, {d: t.chance_loss for d, t in tasks.items()}

    def _measure(self, domain: str, seen: Seen) -> float:
        return seen.nll / self._chance[domain]

    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        scaled = averages / self._setting.temperature(progress)
        boost = torch.exp(scaled - scaled.max())
        return boost / boost.mean()


class _Boosted(_OfAverages):
    def __init__(self, setting: Boosted, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks, setting.decay, unseen=math.nan)
        self._setting = setting
        self._chance = torch.tensor([t.chance_loss for t in tasks.values()], dtype=torch.float64)

    def _measure(self, domain: str, seen: Seen) -> float:
        return seen.nll

    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        losses = torch.where(averages.isnan(), self._chance, averages)  # not seen yet: at chance
        scaled = losses / self._setting.temperature
        if not self._setting.normalise:
            return torch.exp(scaled)
        boost = torch.exp(scaled - scaled.max())
        return boost / boost.mean()


class _Dynamic(_OfAverages):
    def __init__(self, setting: DynamicTaskPriority, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks, setting.decay, unseen=math.nan)
        self._setting = setting
        chance = [t.chance_quality for t in tasks.values()]
        self._chance = torch.tensor(chance, dtype=torch.float64)

    def _measure(self, domain: str, seen: Seen) -> float:
        return seen.quality

    def _weights(self, averages: Tensor, progress: float) -> Tensor:
        k = torch.where(averages.isnan(), self._chance, averages).clamp(0.01, 1.0)
        focal = -((1 - k) ** self._setting.gamma) * torch.log(k)
        mean = focal.mean()
        return focal / mean if mean > 0 else torch.ones_like(focal)  # all domains are solved
