"""The planted space (ours): the right path of every planted domain is known.

Layer l sees only quarter l of the image (see `domains.planted`). It has one block per direction.
The kernel of a block reaches along its direction only. So only the block of the planted direction
can see its bit of the class.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.domains.planted import (
    DIRECTIONS,
    LAG,
    QUARTERS,
    SIZE,
    Direction,
    planted_directions,
)
from mpnas_kit.errors import MpnasError
from mpnas_kit.settings import check
from mpnas_kit.space.blocks import Conv, NormFactory
from mpnas_kit.space.space import Layer, LayerwiseSpace, Path
from mpnas_kit.values import Range


def planted_space() -> LayerwiseSpace:
    """Return the space for planted domains: images of 16x16 pixels (ours).

    It has four searched layers, one per quarter of the image. Each has three blocks, one per
    direction: `row`, `column`, `diagonal`. No layer can be skipped.

    >>> mk.planted_space()
    LayerwiseSpace('planted', 5 layers, choices [3, 3, 3, 3])
    """
    width = (12,)
    layers = [Layer("stem", 1, width, (Conv(1),))]
    for quarter in range(QUARTERS):
        blocks = tuple(DirectedBlock(direction, quarter) for direction in DIRECTIONS)
        layers.append(Layer(f"quarter{quarter}", 1, width, blocks))
    return LayerwiseSpace("planted", layers, 2 * SIZE, source="planted")


def planted_path(space: LayerwiseSpace, domain: int) -> Path:
    """Return the right path of a planted domain (ours).

    space: the space that `planted_space` returns.
    domain: number of the domain in `planted_suite`, from 0.

    >>> str(mk.planted_path(mk.planted_space(), domain=1))
    'column row diagonal column'
    """
    return space.parse(" ".join(planted_directions(domain)))


@dataclass(frozen=True)
class DirectedBlock:
    """A residual block whose kernel reaches 7 pixels along one direction, within one quarter.

    direction: `row`, `column` or `diagonal`.
    quarter: number of the quarter, 0 to 3, row by row.

    Raises `MpnasError` for a value of a wrong type or out of its range.
    """

    direction: Direction
    quarter: Annotated[int, Range(0, QUARTERS - 1)]

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """Name: the direction."""
        return self.direction

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: (B, C, 16, 16) -> the same shape. Only `in_channels` is used."""
        return _Directed(self, in_channels, norm)


class _Directed(nn.Module):
    def __init__(self, block: DirectedBlock, channels: int, norm: NormFactory) -> None:
        super().__init__()
        self.block = block
        reach = 2 * LAG + 1
        shape = {"row": (1, reach), "column": (reach, 1), "diagonal": (reach, reach)}
        kernel = shape[block.direction]
        pad = (kernel[0] // 2, kernel[1] // 2)
        hidden = 2 * channels
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.reach = nn.Conv2d(hidden, hidden, kernel, padding=pad, groups=hidden, bias=False)
        self.inner, self.project = norm(hidden), nn.Conv2d(hidden, channels, 1, bias=False)
        self.outer = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 2 * SIZE:
            raise MpnasError(
                f"blocks of the planted space take images of {2 * SIZE} pixels, not "
                f"{x.shape[-1]}: expected this resolution in every domain."
            )
        row, column = divmod(self.block.quarter, 2)
        top, left = row * SIZE, column * SIZE
        part = x[:, :, top : top + SIZE, left : left + SIZE]
        weight = self.reach.weight
        if self.block.direction == "diagonal":
            weight = weight * torch.eye(weight.shape[-1], device=weight.device)
        conv = F.conv2d(self.expand(part), weight, None, 1, self.reach.padding, 1, len(weight))
        y = self.outer(self.project(F.relu(self.inner(conv))))
        return x + F.pad(y, (left, SIZE - left, top, SIZE - top))
