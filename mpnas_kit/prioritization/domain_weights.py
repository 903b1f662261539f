"""How much each domain's loss counts, step by step: the interface of every prioritization.

All prioritizations keep one convention. The loss of a step is the sum over domains of
weight * loss. The weights of all domains have mean 1, so no prioritization wins by a larger
learning rate. Search and training use the same interface.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from mpnas_kit.domains.task import Task
from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.parts import lacks_attributes, shown
from mpnas_kit.settings import require
from mpnas_kit.values import Range, number

WEIGHTS = Range(0, 1e30)


class Seen(NamedTuple):
    """Loss and quality of one domain's batch in one step.

    nll: mean loss over the batch, in nats, without label smoothing.
    quality: mean quality over the batch (accuracy), 0 to 1.
    """

    nll: float
    quality: float


UNKNOWN = Seen(math.nan, math.nan)  # what weights get that do not need the losses of the step


class DomainWeights(ABC):
    """The domain weights of one search or training, with their state.

    `Prioritization.begin` returns them. A subclass needs `weights`. If it has a state, it also
    needs `state_dict` and `load_state_dict`, so that a resumed stage continues with the same
    numbers.
    """

    needs_losses = True
    """Whether `weights` depends on losses or qualities of the step. If not, it gets NaN for both.
    With a memory budget, a step then saves a forward pass. Optional in a class of your own."""
    needs_losses_after_step = False
    """Whether `after_step` is called. The call costs one more forward pass in every step."""

    @abstractmethod
    def weights(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        """Return the weight of every domain in `batches`.

        A weight is finite and at least 0. Over all domains of the run the weights have mean 1.

        batches: loss and quality of the domains that are drawn in this step.
        progress: share of the steps that is done, 0 to 1.
        """

    def after_step(self, nll: Mapping[str, float]) -> None:  # noqa: B027  (most do not need it)
        """Learn from the losses of the same batches after the step.

        Called only if `needs_losses_after_step` is true.

        nll: mean loss of every drawn domain, in nats, without label smoothing.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume needs: tensors and plain values. By default empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Continue from a state that `state_dict` returned."""


class Prioritization(Protocol):
    """A domain prioritization, as a setting of a stage.

    A frozen dataclass with `begin` is enough.

    >>> weights = mk.ABDP().begin(suite.tasks)
    >>> seen = {"planted0": mk.Seen(nll=2.8, quality=0.1), "planted1": mk.Seen(0.5, 0.9)}
    >>> {d: round(w, 2) for d, w in weights.weights(seen, progress=1.0).items()}
    {'planted0': 1.93, 'planted1': 0.07}
    """

    def begin(self, tasks: Mapping[str, Task], seed: int = 0) -> DomainWeights:
        """Return the weights at the start of a stage, before its first step.

        tasks: task of every domain of the stage.
        seed: seed of the stage, for weights that are random. Default: 0.
        """
        ...


def begin_weights(
    prioritization: Prioritization, tasks: Mapping[str, Task], seed: int
) -> DomainWeights:
    """Return the weights of a prioritization at the start of a stage, checked.

    An error of its own code gets a note that names the prioritization.

    tasks: task of every domain of the stage.
    seed: seed of the stage.

    Raises `MpnasError` if it returns something else than `DomainWeights`.
    """
    with RaisedBy(lambda: f"begin of the prioritization {shown(prioritization)}"):
        weights = prioritization.begin(dict(tasks), seed)
    lacking = lacks_attributes(
        weights,
        "weights(batches, progress)",
        "needs_losses_after_step",
        "after_step(nll)",
        "state_dict()",
        "load_state_dict(state)",
    )
    if lacking is not None or isinstance(weights, type):
        raise MpnasError(
            f"begin of the prioritization {shown(prioritization)} returns {short(weights)}, which "
            f"has no {lacking or 'state (it is a class)'}: expected DomainWeights."
        )
    return weights


def needs_losses(weights: DomainWeights) -> bool:
    """Return whether the weights of a step depend on its losses or qualities."""
    return bool(getattr(weights, "needs_losses", True))


def checked_weights(
    weights: DomainWeights, seen: Mapping[str, Seen], progress: float
) -> dict[str, float]:
    """Return the weights of the domains in `seen`, checked.

    seen: loss and quality of the domains that are drawn in this step.
    progress: share of the steps that is done, 0 to 1.

    Raises `MpnasError` if a weight is not a number from 0 to 1e30.
    """
    name = type(weights).__name__.strip("_")
    with RaisedBy(f"weights of the prioritization ({name})"):
        answer: Any = weights.weights(dict(seen), progress)
    if not isinstance(answer, Mapping):
        raise MpnasError(
            f"the prioritization ({name}) returns {short(answer)}: expected a dict with the weight "
            "of every domain."
        )
    checked = {}
    for domain in seen:
        weight = number(answer.get(domain), WEIGHTS)
        if weight is None:
            raise MpnasError(
                f"the prioritization ({name}) gives domain {domain!r} the weight "
                f"{short(answer.get(domain))}: expected a finite number, at least 0."
            )
        checked[domain] = weight
    return checked


class Average:
    """Moving averages, one per domain, float64.

    They are corrected for the bias towards 0 of the first steps (Adam, Kingma and Ba,
    arXiv 1412.6980).

    domains: number of domains.
    decay: factor of the old average when a value is added, 0 to below 1.
    unseen: average of a domain that has no value yet.
    """

    def __init__(self, domains: int, decay: float, unseen: float) -> None:
        self.decay, self.unseen = decay, unseen
        self._average, self._seen = [0.0] * domains, [0.0] * domains

    def add(self, domain: int, value: float) -> None:
        """Add a value to the average of the domain with index `domain`."""
        self._average[domain] = self.decay * self._average[domain] + (1 - self.decay) * value
        self._seen[domain] += 1

    @property
    def values(self) -> Tensor:
        """Averages of all domains, float64 (domains,)."""
        average, seen = (torch.tensor(x, dtype=torch.float64) for x in (self._average, self._seen))
        corrected = 1 - self.decay**seen
        return torch.where(seen > 0, average / corrected.clamp_min(1e-300), self.unseen)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume needs."""
        average, seen = (torch.tensor(x, dtype=torch.float64) for x in (self._average, self._seen))
        return {"average": average, "seen": seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Raises `MpnasError` if it is the state of another number of domains.
        """
        count = len(self._average)
        shapes = {tuple(state[name].shape) for name in ("average", "seen")}
        require(shapes == {(count,)}, f"the averages must be those of {count} domains")
        self._average, self._seen = state["average"].tolist(), state["seen"].tolist()
