"""The moving average of a network's weights, which is what a training returns."""

import copy
from typing import Any

import torch
from torch import Tensor

from mpnas_kit.network.net import MultiPathNet


class Averaged:
    """A copy of a network whose weights are moving averages of the network's weights.

    The decay grows to `decay`: the first averages would otherwise keep the random weights too long.
    After n averages it is `min(decay, (1 + n) / (10 + n))`. Batch-norm statistics are not averaged:
    `recalibrate` measures them.

    net: network that is trained, on its device.
    decay: largest factor of the old average, 0 to below 1.

    Attributes: `net` is the copy, `count` the number of averages.

    >>> averaged = Averaged(trained.net, decay=0.99)
    >>> averaged.update()
    >>> averaged.count
    1
    """

    def __init__(self, net: MultiPathNet, decay: float) -> None:
        self.net, self.decay, self.count = copy.deepcopy(net), decay, 0
        self._own: list[Tensor] = list(self.net.parameters())
        self._current: list[Tensor] = list(net.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Average the present weights of the network in. The first ones are copied."""
        if self.count == 0:
            torch._foreach_copy_(self._own, self._current)
        else:
            decay = min(self.decay, (1 + self.count) / (10 + self.count))
            torch._foreach_lerp_(self._own, self._current, 1 - decay)
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume needs."""
        return {"net": self.net.state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.net.load_state_dict(state["net"])
        self.count = state["count"]
