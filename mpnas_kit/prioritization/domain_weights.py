"""How much each domain's loss weighs, step by step: what every domain prioritization keeps to.

One convention for all: what is backpropagated is the sum over domains of weight * loss, and the
weights of all domains have mean 1, so that no prioritization wins by a larger learning rate. The
same object serves the search and the training stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Seen(NamedTuple):
    """What a domain's batch of one step shows.

    nll: mean negative log-likelihood, nats, no label smoothing. accuracy: top-1, 0 to 1.
    """

    nll: float
    accuracy: float


class Weigher(ABC):
    """A prioritization at work: one loop over steps."""

    looks_back = False
    """Whether `look_back` is to be told the losses after the step; that costs a forward pass."""

    @abstractmethod
    def weigh(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        """The weights of this step, for the domains in `batches` (those drawn in it).

        progress: the share of the steps that is done, 0 to 1.
        """

    def look_back(self, nll: Mapping[str, float]) -> None:  # noqa: B027  (most do not)
        """Be told the losses of the same batches after the step (if `looks_back`)."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a resume needs."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""


class Average:
    """Bias-corrected moving averages, one a domain; float64.

    A domain that was not yet seen has the value `unseen`.
    """

    def __init__(self, domains: int, decay: float, unseen: float) -> None:
        self.decay, self.unseen = decay, unseen
        self._average, self._seen = [0.0] * domains, [0.0] * domains

    def add(self, domain: int, value: float) -> None:
        """A value of the domain at index `domain`."""
        self._average[domain] = self.decay * self._average[domain] + (1 - self.decay) * value
        self._seen[domain] += 1

    @property
    def values(self) -> Tensor:
        """(domains,)."""
        average, seen = (torch.tensor(x, dtype=torch.float64) for x in (self._average, self._seen))
        corrected = 1 - self.decay**seen
        return torch.where(seen > 0, average / corrected.clamp_min(1e-300), self.unseen)

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs."""
        average, seen = (torch.tensor(x, dtype=torch.float64) for x in (self._average, self._seen))
        return {"average": average, "seen": seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._average, self._seen = state["average"].tolist(), state["seen"].tolist()
