"""Weightings of multi-task learning as torchjd has them, brought to one convention.

A scalarizer of torchjd makes one value of the losses. The weight of a loss is the derivative of
that value, and the weights are divided by their mean: the gradient's direction is the scalarizer's,
its length that of every other prioritization. Losses are the unsmoothed NLL; a domain that was not
drawn in a step stands in with its latest loss, at first that of chance.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchjd import scalarization

from mpnas_kit.prioritization.weigher import Seen, Weigher
from mpnas_kit.settings import check, require


class _Scalarized(ABC):
    """A setting whose weigher is a scalarizer of torchjd."""

    @abstractmethod
    def begin(self, domains: int, seed: int) -> "Scalarization":
        """A scalarizer that has seen nothing."""

    def weigher(self, classes: Mapping[str, int], seed: int = 0) -> Weigher:
        """Begin a loop over domains with these numbers of classes."""
        return _Replayed(self, classes, seed)


class Scalarization:
    """A scalarizer at work: weights from losses, then whatever it learns from the step."""

    looks_back = False

    def __init__(self, scalarizer: scalarization.Scalarizer) -> None:
        self.scalarizer: Any = scalarizer

    def weights(self, losses: Tensor) -> Tensor:
        """(domains,) -> (domains,): the derivative of the scalarizer's value."""
        losses = losses.clone().requires_grad_()
        with torch.enable_grad():
            (weights,) = torch.autograd.grad(self.scalarizer(losses), losses)
        return weights.detach()

    def learn(self, before: Tensor, after: Tensor) -> None:
        """End the step. after: the losses of the same batches after it, if it `looks_back`."""


@dataclass(frozen=True)
class Uncertainty(_Scalarized):
    """Weights exp(-s_d), s_d a learned log-variance (Kendall et al. 2018): who is hard weighs less.

    rate: of the Adam optimiser that learns s on the scalarizer's own value.
    """

    rate: float = 0.025

    def __post_init__(self) -> None:
        check(self, "uncertainty")
        require(self.rate > 0, f"uncertainty: rate must be above 0, not {self.rate}.")

    def begin(self, domains: int, seed: int) -> Scalarization:
        """See the class."""
        return _Uncertainty(domains, self.rate)


class _Uncertainty(Scalarization):
    def __init__(self, domains: int, rate: float) -> None:
        super().__init__(scalarization.UW(domains).double())
        self.optimiser = torch.optim.Adam(self.scalarizer.parameters(), lr=rate)

    def learn(self, before: Tensor, after: Tensor) -> None:
        self.optimiser.zero_grad()
        with torch.enable_grad():
            self.scalarizer(before).backward()
        self.optimiser.step()


@dataclass(frozen=True)
class DWA(_Scalarized):
    """Dynamic weight average (Liu et al. 2019): who falls slowly weighs more.

    N softmax(r / temperature), r = L(last epoch) / L(the epoch before); uniform for the first two.
    Domains have no common epoch, so one is `epoch` steps (ours).
    """

    temperature: float = 2.0
    epoch: int = 50

    def __post_init__(self) -> None:
        check(self, "dwa")
        require(self.temperature > 0, f"dwa: temperature must be above 0, not {self.temperature}.")
        require(self.epoch >= 1, f"dwa: epoch must be at least 1 step, not {self.epoch}.")

    def begin(self, domains: int, seed: int) -> Scalarization:
        """See the class."""
        return _Dwa(self.temperature, self.epoch)


class _Dwa(Scalarization):
    def __init__(self, temperature: float, epoch: int) -> None:
        super().__init__(scalarization.DWA(temperature))
        self.epoch, self.steps = epoch, 0

    def learn(self, before: Tensor, after: Tensor) -> None:
        self.steps += 1
        if self.steps % self.epoch == 0:
            self.scalarizer.step()


@dataclass(frozen=True)
class RandomWeights(_Scalarized):
    """Softmax of normal noise, anew every step (Lin et al. 2022): the control of all weightings."""

    def begin(self, domains: int, seed: int) -> Scalarization:
        """See the class."""
        return _Random(seed)


class _Random(Scalarization):
    def __init__(self, seed: int) -> None:
        super().__init__(scalarization.Random())
        self.seed, self.steps = seed, 0

    def weights(self, losses: Tensor) -> Tensor:
        self.steps += 1
        with torch.random.fork_rng(devices=[]):  # torchjd draws from the global generator
            torch.default_generator.manual_seed(1_000_003 * self.seed + self.steps)
            return super().weights(losses)


@dataclass(frozen=True)
class FAMO(_Scalarized):
    """Fast adaptive multitask optimisation (Liu et al. 2023): losses fall at an equal rate.

    It compares the losses before and after each step, so a step costs one more forward pass.
    rate, decay: of the Adam optimiser of its logits.
    """

    rate: float = 0.025
    decay: float = 1e-3

    def __post_init__(self) -> None:
        check(self, "famo")
        require(self.rate > 0, f"famo: rate must be above 0, not {self.rate}.")
        require(self.decay >= 0, f"famo: decay must not be below 0, not {self.decay}.")

    def begin(self, domains: int, seed: int) -> Scalarization:
        """See the class."""
        return _Famo(domains, self.rate, self.decay)


class _Famo(Scalarization):
    looks_back = True

    def __init__(self, domains: int, rate: float, decay: float) -> None:
        super().__init__(scalarization.FAMO(domains, lr=rate, weight_decay=decay).double())

    def learn(self, before: Tensor, after: Tensor) -> None:
        self.scalarizer.update(after)


@dataclass(frozen=True)
class GeometricMean(_Scalarized):
    """The geometric mean of the losses (Chennupati et al. 2019): weights in proportion to 1 / L_d.

    So the domain that is nearly solved weighs most.
    """

    def begin(self, domains: int, seed: int) -> Scalarization:
        """See the class."""
        return Scalarization(scalarization.GeometricMean())


class _Replayed(Weigher):
    """A scalarizer and the record of all it was told.

    The record is its state: a resume replays it, which takes no network, and so needs nothing of
    the scalarizer's insides.
    """

    def __init__(self, setting: _Scalarized, classes: Mapping[str, int], seed: int) -> None:
        self._setting, self._seed = setting, seed
        self._index = {d: i for i, d in enumerate(classes)}
        chance = [math.log(n) for n in classes.values()]
        self._chance = torch.tensor(chance, dtype=torch.float64)
        self._restart()
        self.looks_back = self._work.looks_back

    def _restart(self) -> None:
        self._work = self._setting.begin(len(self._index), self._seed)
        self._before = self._chance.clone()
        self._record: list[Tensor] = []  # (2, domains) a step: losses before and after it
        self._open = False

    def weigh(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        self._end_step(self._before)
        losses = self._before.clone()
        for domain, seen in batches.items():
            losses[self._index[domain]] = max(seen.nll, 1e-8)  # logarithms are taken of it
        weights = self._begin_step(losses)
        weights = weights / weights.mean()
        return {d: float(weights[self._index[d]]) for d in batches}

    def look_back(self, nll: Mapping[str, float]) -> None:
        after = self._before.clone()
        for domain, value in nll.items():
            after[self._index[domain]] = max(value, 1e-8)
        self._end_step(after)

    def _begin_step(self, losses: Tensor) -> Tensor:
        self._before, self._open = losses, True
        return self._work.weights(losses)

    def _end_step(self, after: Tensor) -> None:
        if self._open:
            self._work.learn(self._before, after)
            self._record.append(torch.stack([self._before, after]))
            self._open = False

    def state_dict(self) -> dict[str, Any]:
        self._end_step(self._before)
        empty = torch.zeros(0, 2, len(self._index), dtype=torch.float64)
        return {"record": torch.stack(self._record) if self._record else empty}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._restart()
        for before, after in state["record"]:
            self._begin_step(before.clone())
            self._end_step(after.clone())
