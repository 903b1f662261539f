"""The planted space (ours): the right path of every planted domain is known.

Layer l sees only quarter l of the image (see `domains.planted`). It has one block per direction.
The kernel of a block reaches along its direction only. So only the block of the planted direction
can see its bit of the class. With blocks of equal cost, nothing but quality tells paths apart.
"""

from collections.abc import Sequence
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
from mpnas_kit.space.block import Block, NormFactory
from mpnas_kit.space.blocks import Conv
from mpnas_kit.space.layers import Layer, Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.values import Range, checked

REACH = 2 * LAG + 1  # pixels that a kernel reaches along its direction
STEM = Conv(1)


@checked("planted")
def planted_space(equal_cost: bool = False) -> LayerwiseSpace:
    """Return the space for planted domains: images of 16x16 pixels (ours).

    It has four searched layers, one per quarter of the image. Each has three blocks, one per
    direction: `row`, `column`, `diagonal`. No layer can be skipped.

    equal_cost: whether all paths have the same multiply-adds and parameters. Otherwise `diagonal`
    costs more.

    Raises `MpnasError` if equal_cost is not true or false.

    >>> mk.planted_space()
    LayerwiseSpace('planted', 5 layers, choices [3, 3, 3, 3])
    >>> even = mk.planted_space(equal_cost=True)
    >>> mk.cost_bounds(mk.MultiplyAdds(), even, domains=1)
    (199680.0, 199680.0)
    """
    block = EvenBlock if equal_cost else DirectedBlock
    name = "planted(equal_cost=True)" if equal_cost else "planted"
    candidates = [[block(d, quarter) for d in DIRECTIONS] for quarter in range(QUARTERS)]
    return space_of_quarters(name, candidates)


def space_of_quarters(
    source: str, candidates: Sequence[Sequence[Block]], stem: Block = STEM
) -> LayerwiseSpace:
    """Return a space with a stem and one searched layer per quarter of the image.

    source: text form of the space. It begins with its name.
    candidates: blocks of every quarter, which keep the shape of their map.
    stem: block of the first layer.
    """
    width = (12,)
    layers = [Layer("stem", 1, width, (stem,))]
    for quarter, blocks in enumerate(candidates):
        layers.append(Layer(f"quarter{quarter}", 1, width, tuple(blocks)))
    return LayerwiseSpace(source.partition("(")[0], layers, 2 * SIZE, source=source)


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


class EvenBlock(DirectedBlock):
    """A `DirectedBlock` with seven weights per channel in every direction, so all cost the same."""

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: (B, C, 16, 16) -> the same shape. Only `in_channels` is used."""
        return _Even(self, in_channels, norm)


class OnQuarter(nn.Module):
    """A residual block on one quarter of the image: (B, C, 16, 16) -> the same shape.

    A subclass has the method `added`.

    quarter: number of the quarter.
    """

    def __init__(self, quarter: int) -> None:
        super().__init__()
        self.quarter = quarter

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with what the block adds to its quarter."""
        if x.shape[-1] != 2 * SIZE:
            raise MpnasError(
                f"blocks of the planted space take images of {2 * SIZE} pixels, not "
                f"{x.shape[-1]}: expected this resolution in every domain."
            )
        row, column = divmod(self.quarter, 2)
        top, left = row * SIZE, column * SIZE
        part = x[:, :, top : top + SIZE, left : left + SIZE]
        return x + F.pad(self.added(part), (left, SIZE - left, top, SIZE - top))

    def added(self, part: Tensor) -> Tensor:
        """Return what is added to a quarter, (B, C, 8, 8) -> the same shape."""
        raise NotImplementedError


class Reaching(OnQuarter):
    """A block whose kernels reach along a direction.

    1x1 convolution to `hidden` channels, depthwise convolution, ReLU, 1x1 convolution back.

    quarter: number of the quarter. channels: width of the map. kernel: height and width of the
    depthwise kernel. norm: builds batch norms.
    """

    def __init__(
        self, quarter: int, channels: int, kernel: tuple[int, int], norm: NormFactory
    ) -> None:
        super().__init__(quarter)
        hidden, pad = 2 * channels, (kernel[0] // 2, kernel[1] // 2)
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.reach = nn.Conv2d(hidden, hidden, kernel, padding=pad, groups=hidden, bias=False)
        self.inner, self.project = norm(hidden), nn.Conv2d(hidden, channels, 1, bias=False)
        self.outer = norm(channels)

    def added(self, part: Tensor) -> Tensor:
        """Return what is added to a quarter, (B, C, 8, 8) -> the same shape."""
        hidden = F.relu(self.inner(self.reached(self.expand(part))))
        projected: Tensor = self.outer(self.project(hidden))
        return projected

    def reached(self, x: Tensor) -> Tensor:
        """Return the depthwise convolution of a quarter, (B, hidden, 8, 8) -> the same shape."""
        raise NotImplementedError


class _Directed(Reaching):
    def __init__(self, block: DirectedBlock, channels: int, norm: NormFactory) -> None:
        shape = {"row": (1, REACH), "column": (REACH, 1), "diagonal": (REACH, REACH)}
        super().__init__(block.quarter, channels, shape[block.direction], norm)
        self.diagonal = block.direction == "diagonal"

    def reached(self, x: Tensor) -> Tensor:
        weight = self.reach.weight
        if self.diagonal:
            weight = weight * torch.eye(REACH, device=weight.device)
        return F.conv2d(x, weight, None, 1, self.reach.padding, 1, len(weight))


class _Even(Reaching):
    """Weights a pixel and its neighbours along a direction. So zeros of a kernel cost nothing."""

    def __init__(self, block: EvenBlock, channels: int, norm: NormFactory) -> None:
        super().__init__(block.quarter, channels, (1, REACH), norm)
        self.down, self.right = {"row": (0, 1), "column": (1, 0), "diagonal": (1, 1)}[
            block.direction
        ]

    def reached(self, x: Tensor) -> Tensor:
        down, right = LAG * self.down, LAG * self.right
        padded = F.pad(x, (right, right, down, down))
        neighbours = [
            padded[:, :, i * self.down :, i * self.right :][:, :, :SIZE, :SIZE]
            for i in range(REACH)
        ]
        return torch.einsum(
            "nchwi,ci->nchw", torch.stack(neighbours, 4), self.reach.weight[:, 0, 0]
        )
