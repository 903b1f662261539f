"""Which channels of a tensor go where if weights move to a layer of another width or kernel."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

How = Literal["taken", "cut", "padded"]


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a feature map of a network, as channels of a map of the source.

    index: for every channel that of the source, int64 (n,), on the CPU; -1: the source lacks it.
    width: number of channels of the source.
    """

    index: Tensor
    width: int

    @classmethod
    def same(cls, width: int) -> "Channels":
        """Return all channels of the source, in its order."""
        return cls(torch.arange(width), width)

    @classmethod
    def leading(cls, width: int, count: int) -> "Channels":
        """Return the first channels of the source. Those that it lacks come last.

        count: number of channels to return.
        """
        return cls(
            F.pad(torch.arange(min(width, count)), (0, max(0, count - width)), value=-1), width
        )

    @classmethod
    def by_importance(cls, scores: Tensor, count: int) -> "Channels":
        """Return the most important channels of the source, most important first.

        scores: importance of every channel of the source, (width,). Of equal ones, the first comes
        first.
        count: number of channels to return. Those that the source lacks come last.
        """
        width = len(scores)
        order = torch.argsort(scores, descending=True, stable=True)[:count]
        return cls(F.pad(order, (0, count - len(order)), value=-1), width)

    def fitted(self, count: int, width: int) -> "Channels":
        """Return the first channels, for a tensor of the source that has only its first channels.

        count: number of channels to return, at most as many as there are.
        width: number of channels of the tensor.
        """
        index = self.index[:count]
        return Channels(torch.where(index < width, index, -1), width)

    @cached_property
    def are_same(self) -> bool:
        """Whether these are all channels of the source, in its order."""
        return torch.equal(self.index, torch.arange(self.width))

    @property
    def are_known(self) -> Tensor:
        """Whether the source has each channel, bool (n,)."""
        return self.index >= 0

    @property
    def known(self) -> int:
        """Number of channels that the source has."""
        return int(self.are_known.sum())

    def words(self, side: str) -> str:
        """Return in words which channels these are; "" if they are those of the source.

        side: `input` or `output`.
        """
        if self.are_same:
            return ""
        if self.known < self.width:
            return f"{self.known} of {self.width} {side} channels"
        if self.known < len(self.index):
            return f"{self.known} {side} channels, {len(self.index) - self.known} new"
        return f"{side} channels by importance"


@torch.no_grad()
def place(
    target: Tensor, source: Tensor, rows: Channels, columns: Channels | None = None
) -> tuple[How, str]:
    """Write weights, or a vector with a value per channel. Return how, and a note in words.

    The weights that write a new channel stay as they are. Those that read it become 0, so it does
    not change what a network computes. A kernel becomes its centre, or gets a border of zeros.

    target: what to write, (n, ...).
    source: weights of the source, (rows.width, ...), with as many dimensions. If there are four,
    the last two are height and width of a kernel.
    rows: output channels of the target.
    columns: input channels of the target; None: there are none, as in a depthwise convolution.

    >>> target, source = torch.zeros(1, 3), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> place(target, source, Channels(torch.tensor([1]), 2), Channels(torch.tensor([0, 1, -1]), 2))
    ('cut', '1 of 2 output channels, 2 input channels, 1 new')
    >>> target
    tensor([[3., 4., 0.]])
    """
    values = source.cpu()
    if columns is not None:
        values = values.index_select(1, columns.index.clamp_min(0))
        values[:, ~columns.are_known] = 0
    before, after = (t.shape[-1] if t.ndim == 4 else 1 for t in (source, target))
    if before != after:
        values = F.pad(values, ((after - before) // 2,) * 4)  # a negative border cuts
    known = rows.are_known
    whole = target.cpu().clone()
    whole[known] = values.index_select(0, rows.index[known]).to(whole)
    target.copy_(whole)
    sides = [rows] if columns is None else [rows, columns]
    notes = [side.words(name) for side, name in zip(sides, ("output", "input"), strict=False)]
    if before != after:
        notes.append(f"kernel {before} to {after}")
    how: How = "taken" if target.shape == source.shape else "padded"
    if after < before or any(side.known < side.width for side in sides):
        how = "cut"
    return how, ", ".join(filter(None, notes))
