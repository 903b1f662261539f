"""Planted truth (ours): domains and a space for which the right path of every domain is known.

An image has four quarters. In every quarter pixels repeat, or repeat with the sign turned, three
pixels on in one direction: along rows, along columns or along the diagonal. Which of the two is one
bit of the class; which direction is planted, another one in every domain and quarter. Everything
else is noise with the same distribution for all classes.

Layer l of the space looks at quarter l alone and offers one block a direction, with a kernel that
reaches along that direction only. A wrong block therefore cannot see its bit: the choice decides.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.domains.domain import Domain, DomainSuite, Split
from mpnas_kit.space.blocks import Block, Conv, NormFactory
from mpnas_kit.space.space import Layer, LayerwiseSpace, Path

DIRECTIONS = ("row", "column", "diagonal")
QUARTERS = 4
SIZE = 8  # pixels a side of a quarter
LAG = 3  # pixels from one repetition to the next
CLASSES = 2**QUARTERS


def planted_directions(domain: int) -> tuple[str, ...]:
    """The direction of every quarter in domain `domain` (from 0): what a search should find."""
    return tuple(DIRECTIONS[(domain + 2 * quarter) % 3] for quarter in range(QUARTERS))


def planted_suite(
    domains: int = 3, train: int = 2000, test: int = 200, seed: int = 0
) -> DomainSuite:
    """Domains of 16 classes, images uint8 (n, 1, 16, 16); their truth: `planted_directions`."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for index in range(domains):
        splits = (_split(index, n, generator) for n in (train, test, test))
        classes = tuple(f"{c:04b}" for c in range(CLASSES))
        first, second, third = splits
        made.append(Domain(f"planted{index}", classes, first, second, third))
    return DomainSuite(tuple(made), "planted")


def _split(domain: int, count: int, generator: torch.Generator) -> Split:
    labels = torch.randint(CLASSES, (count,), generator=generator)
    quarters = []
    for quarter, direction in enumerate(planted_directions(domain)):
        sign = 1.0 - 2.0 * ((labels >> quarter) & 1)
        quarters.append(_texture(direction, sign, generator))
    top, bottom = torch.cat(quarters[:2], 2), torch.cat(quarters[2:], 2)
    image = torch.cat([top, bottom], 1)
    pixels = (128 + 40 * image).clamp(0, 255).round().to(torch.uint8)
    return Split(pixels[:, None], labels)


def _texture(direction: str, sign: Tensor, generator: torch.Generator) -> Tensor:
    """(n, SIZE, SIZE): white noise that repeats, times `sign` (n,), after LAG pixels."""
    noise = torch.randn(len(sign), SIZE, SIZE, generator=generator)
    down, right = {"row": (0, LAG), "column": (LAG, 0), "diagonal": (LAG, LAG)}[direction]
    for i in range(down, SIZE):
        for j in range(right, SIZE):
            noise[:, i, j] = sign * noise[:, i - down, j - right]
    return noise


def planted_space() -> LayerwiseSpace:
    """Four searched layers of three blocks, one a direction; layer l sees quarter l."""
    width = (12,)
    layers = [Layer("stem", 1, width, (Conv(1),))]
    for quarter in range(QUARTERS):
        blocks = tuple(DirectedBlock(direction, quarter) for direction in DIRECTIONS)
        layers.append(Layer(f"quarter{quarter}", 1, width, blocks))
    return LayerwiseSpace("planted", layers, 2 * SIZE)


def planted_path(space: LayerwiseSpace, domain: int) -> Path:
    """The right path of a domain."""
    return space.parse(" ".join(planted_directions(domain)))


@dataclass(frozen=True)
class DirectedBlock(Block):
    """A residual block that reaches 7 pixels along one direction, within one quarter of the map."""

    direction: str
    quarter: int

    @property
    def name(self) -> str:
        """The direction."""
        return self.direction

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """The module."""
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
        row, column = divmod(self.block.quarter, 2)
        top, left = row * SIZE, column * SIZE
        part = x[:, :, top : top + SIZE, left : left + SIZE]
        weight = self.reach.weight
        if self.block.direction == "diagonal":
            weight = weight * torch.eye(weight.shape[-1], device=weight.device)
        conv = F.conv2d(self.expand(part), weight, None, 1, self.reach.padding, 1, len(weight))
        seen = self.outer(self.project(F.relu(self.inner(conv))))
        return x + F.pad(seen, (left, SIZE - left, top, SIZE - top))
