"""Prioritizations from multi-task learning. torchjd computes them.

A scalarizer of torchjd combines the losses of all domains into one value. The weight of a domain is
the derivative of that value with respect to its loss. The weights are then divided by their mean
(ours), as in every other prioritization. So the gradient has the direction that the scalarizer
gives it, but not its length.

Losses are NLLs in nats, without label smoothing. A domain that is not drawn in a step counts with
its latest loss. Before it is drawn for the first time it counts with the loss of chance.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor
from typing_extensions import override

from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.domains.task import Task
from mpnas_kit.prioritization.domain_weights import DomainWeights, Seen
from mpnas_kit.settings import check, require
from mpnas_kit.values import Range

RATE = Range(0, 100, above=True)  # learning rate of Adam


def _torchjd() -> Any:
    """Return `torchjd.scalarization`. It imports scipy.optimize, so only who needs it waits."""
    from torchjd import scalarization

    return scalarization


class _Scalarized(ABC):
    """A prioritization whose weights come from a scalarizer of torchjd."""

    @abstractmethod
    def scalarization(self, domains: int, seed: int) -> "Scalarization":
        """Return a new scalarizer for so many domains. seed: seed of the stage."""

    def begin(self, tasks: Mapping[str, Task], seed: int = 0) -> DomainWeights:
        """Return the weights that the scalarizer gives."""
        return _Replayed(self, tasks, seed)


class Scalarization:
    """A scalarizer and its state. In every step it gives weights, then learns from the losses."""

    needs_losses_after_step = False
    """Whether `learn` needs the losses after the step."""

    def __init__(self, scalarizer: Any) -> None:
        self.scalarizer = scalarizer

    def weights(self, losses: Tensor) -> Tensor:
        """Return the derivatives of the scalarizer's value: (domains,) -> (domains,)."""
        losses = losses.clone().requires_grad_()
        with torch.enable_grad():
            (weights,) = torch.autograd.grad(self.scalarizer(losses), losses)
        return weights.detach()

    def learn(self, before: Tensor, after: Tensor) -> None:
        """Learn from a step, at its end.

        before: losses before the step, (domains,).
        after: losses of the same batches after the step, (domains,). They equal `before` unless
        `needs_losses_after_step` is true.
        """


@dataclass(frozen=True)
class Uncertainty(_Scalarized):
    """Uncertainty weighting: hard domains get a lower weight.

    The weights are `exp(-s_d)`, divided by their mean. s_d is a log-variance that starts at 0. Adam
    minimises `sum over d of (exp(-s_d) L_d + s_d) / 2` over s. Source: Kendall et al., CVPR 2018,
    arXiv 1705.07115.

    rate: learning rate of that Adam, above 0 and up to 100.

    Raises `MpnasError` for a value out of its range.

    >>> mk.TrainConfig(prioritization="uncertainty(rate=0.01)").prioritization
    Uncertainty(rate=0.01)
    """

    rate: Annotated[float, RATE] = 0.025

    def __post_init__(self) -> None:
        check(self)

    @override
    def scalarization(self, domains: int, seed: int) -> Scalarization:
        return _Uncertainty(domains, self.rate)


class _Uncertainty(Scalarization):
    def __init__(self, domains: int, rate: float) -> None:
        super().__init__(_torchjd().UW(domains).double())
        self.optimiser = torch.optim.Adam(self.scalarizer.parameters(), lr=rate)

    def learn(self, before: Tensor, after: Tensor) -> None:
        self.optimiser.zero_grad()
        with torch.enable_grad():
            self.scalarizer(before).backward()
        self.optimiser.step()


@dataclass(frozen=True)
class DWA(_Scalarized):
    """Dynamic weight average (DWA): domains whose loss falls slowly get a higher weight.

    The weights are `N softmax(r / temperature)_d` over N domains, with r_d = (mean loss of the last
    epoch) / (mean loss of the epoch before). In the first two epochs they are uniform. Source: Liu
    et al., CVPR 2019, arXiv 1803.10704. Domains have no common epoch, so an epoch is a number of
    steps (ours).

    temperature: 0.001 to 1e6. A large one brings the weights closer together.
    epoch: length of an epoch in steps, 1 to 10 million.

    Raises `MpnasError` for a value out of its range.

    >>> mk.TrainConfig(prioritization="dwa(epoch=100)").prioritization
    DWA(temperature=2.0, epoch=100)
    """

    temperature: Annotated[float, Range(1e-3, 1e6)] = 2.0
    epoch: Annotated[int, Range(1, 10_000_000)] = 50

    def __post_init__(self) -> None:
        check(self)

    @override
    def scalarization(self, domains: int, seed: int) -> Scalarization:
        return _Dwa(self.temperature, self.epoch)


class _Dwa(Scalarization):
    def __init__(self, temperature: float, epoch: int) -> None:
        super().__init__(_torchjd().DWA(temperature))
        self.epoch, self.steps = epoch, 0

    def learn(self, before: Tensor, after: Tensor) -> None:
        self.steps += 1
        if self.steps % self.epoch == 0:
            self.scalarizer.step()


@dataclass(frozen=True)
class RandomWeights(_Scalarized):
    """Random weights: the control of all prioritizations (Lin et al., arXiv 2111.10603).

    The weights are the softmax of new normal noise in every step, divided by their mean.

    >>> mk.TrainConfig(prioritization="random_weights").prioritization
    RandomWeights()
    """

    @override
    def scalarization(self, domains: int, seed: int) -> Scalarization:
        return _Random(seed)


class _Random(Scalarization):
    def __init__(self, seed: int) -> None:
        super().__init__(_torchjd().Random())
        self.seed, self.steps = seed, 0

    def weights(self, losses: Tensor) -> Tensor:
        self.steps += 1
        with torch.random.fork_rng(devices=[]):  # torchjd draws from the global generator
            torch.default_generator.manual_seed(derived_seed(self.seed, self.steps))
            return super().weights(losses)


@dataclass(frozen=True)
class FAMO(_Scalarized):
    """Fast adaptive multitask optimisation (FAMO): all losses fall at about the same rate.

    The weights are `softmax(v)_d / L_d`, divided by their mean. After each step Adam moves the
    logits v along the change of log L_d. This needs the losses after the step, which cost one more
    forward pass. Source: Liu et al., NeurIPS 2023, arXiv 2306.03792.

    rate: learning rate of that Adam, above 0 and up to 100.
    decay: weight decay of that Adam, 0 to 100.

    Raises `MpnasError` for a value out of its range.

    >>> mk.TrainConfig(prioritization="famo(rate=0.01)").prioritization
    FAMO(rate=0.01, decay=0.001)
    """

    rate: Annotated[float, RATE] = 0.025
    decay: Annotated[float, Range(0, 100)] = 1e-3

    def __post_init__(self) -> None:
        check(self)

    @override
    def scalarization(self, domains: int, seed: int) -> Scalarization:
        return _Famo(domains, self.rate, self.decay)


class _Famo(Scalarization):
    needs_losses_after_step = True

    def __init__(self, domains: int, rate: float, decay: float) -> None:
        super().__init__(_torchjd().FAMO(domains, lr=rate, weight_decay=decay).double())

    def learn(self, before: Tensor, after: Tensor) -> None:
        self.scalarizer.update(after)


@dataclass(frozen=True)
class GeometricMean(_Scalarized):
    """Geometric mean of the losses: easy domains get a higher weight.

    The weights are `1 / L_d`, divided by their mean. So a domain that is nearly solved has most of
    the weight. Source: Chennupati et al., arXiv 1904.08492.

    >>> weights = mk.GeometricMean().begin(suite.tasks)
    >>> seen = {"planted0": mk.Seen(nll=1.5, quality=0.4), "planted1": mk.Seen(0.5, 0.9)}
    >>> weights.weights(seen, progress=0.0)
    {'planted0': 0.5, 'planted1': 1.5}
    """

    @override
    def scalarization(self, domains: int, seed: int) -> Scalarization:
        return Scalarization(_torchjd().GeometricMean())


class _Replayed(DomainWeights):
    """The weights that a scalarizer gives, with the losses of all steps.

    These losses are the state: a resume replays them. It needs no network, and no access to the
    state of the scalarizer.
    """

    def __init__(self, setting: _Scalarized, tasks: Mapping[str, Task], seed: int) -> None:
        self._setting, self._seed = setting, seed
        self._index = {d: i for i, d in enumerate(tasks)}
        chance = [t.chance_loss for t in tasks.values()]
        self._chance = torch.tensor(chance, dtype=torch.float64)
        self._restart()
        self.needs_losses_after_step = self._work.needs_losses_after_step

    def _restart(self) -> None:
        self._work = self._setting.scalarization(len(self._index), self._seed)
        self._before = self._chance.clone()
        self._record: list[Tensor] = []  # per step (2, domains): losses before and after it
        self._open = False

    def weights(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        self._end_step(self._before)
        losses = self._before.clone()
        for domain, seen in batches.items():
            losses[self._index[domain]] = max(seen.nll, 1e-8)  # its logarithm must be finite
        weights = self._begin_step(losses)
        weights = weights / weights.mean()
        return {d: float(weights[self._index[d]]) for d in batches}

    def after_step(self, nll: Mapping[str, float]) -> None:
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
        count, record = len(self._index), state["record"]
        fits = record.dim() == 3 and record.shape[1:] == (2, count)
        require(fits, f"the record must be of the losses of {count} domains before and after steps")
        self._restart()
        for before, after in record:
            self._begin_step(before.clone())
            self._end_step(after.clone())
