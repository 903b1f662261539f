"""The space of the planted domains that should share or not (ours).

Every searched layer has one block. A path takes the node that all domains may share, or a private
copy of it, at the same cost. A node computes one number per image, so it can serve the domains that
look for rows or the one that looks for columns, but not both (see `domains.planted_sharing`).
"""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.domains.planted import QUARTERS, SIZE
from mpnas_kit.domains.planted_sharing import BITS, OPPONENT, PARTNERS, WIDTH
from mpnas_kit.settings import check
from mpnas_kit.space.block import Block, NormFactory
from mpnas_kit.space.blocks import Conv
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.planted import OnQuarter, space_of_quarters
from mpnas_kit.space.private import OwnCopy
from mpnas_kit.values import Range


def planted_sharing_space() -> LayerwiseSpace:
    """Return the space for the suite `planted_sharing_suite`: images of 16x16 pixels (ours).

    It has two searched layers, one per upper quarter of the image. Each has a block `sum`, whose
    node domains may share, and a private copy `sum*` of it.

    >>> mk.planted_sharing_space()
    LayerwiseSpace('planted_sharing', 3 layers, choices [2, 2])
    """
    blocks = [SumBlock(quarter) for quarter in range(BITS)]
    candidates: list[list[Block]] = [[block, OwnCopy(block)] for block in blocks]
    return space_of_quarters("planted_sharing", candidates, Conv(1, activation="identity"))


def planted_sharing_paths(space: LayerwiseSpace) -> dict[str, Path]:
    """Return the right path of every domain of `planted_sharing_suite` (ours).

    `rows0` and `rows1` share all nodes, and `columns` has private ones.

    space: the space that `planted_sharing_space` returns.

    >>> {d: str(path) for d, path in planted_sharing_paths(mk.planted_sharing_space()).items()}
    {'rows0': 'sum sum', 'rows1': 'sum sum', 'columns': 'sum* sum*'}
    """
    shared, private = (space.parse(" ".join([word] * BITS)) for word in ("sum", "sum*"))
    return {**dict.fromkeys(PARTNERS, shared), OPPONENT: private}


@dataclass(frozen=True)
class SumBlock:
    """A residual block that adds one weighted sum of the pixels of a quarter to all of them.

    Each output channel has its own factor of the sum. The block is linear, except for batch norm.

    quarter: number of the quarter, 0 or 1: upper left or upper right.

    Raises `MpnasError` for a value of a wrong type or out of its range.
    """

    quarter: Annotated[int, Range(0, BITS - 1)]

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """Name: `sum`."""
        return "sum"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: (B, C, 16, 16) -> the same shape. Only `in_channels` is used."""
        return _Sum(self.quarter, in_channels, norm)


class _Sum(OnQuarter):
    """Takes the mean over squares as wide as a stripe first: few weights learn from few images."""

    def __init__(self, quarter: int, channels: int, norm: NormFactory) -> None:
        super().__init__(quarter)
        self.mix = nn.Conv2d(channels, 1, 1, bias=False)
        self.sum = nn.Conv2d(1, 1, SIZE // WIDTH, bias=False)
        self.norm, self.spread = norm(1), nn.Conv2d(1, channels, 1, bias=False)

    def added(self, part: Tensor) -> Tensor:
        total = self.norm(self.sum(F.avg_pool2d(self.mix(part), WIDTH)))  # (B, 1, 1, 1)
        spread: Tensor = QUARTERS * self.spread(total)  # so much of it is in the image's mean
        return spread.expand_as(part)
