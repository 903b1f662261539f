"""Planted domains (ours): the right path of each one through `space.planted` is known.

An image has four quarters. In each quarter every pixel repeats three pixels further along one
direction: row, column or diagonal. It repeats with the same sign or with the opposite sign; the
sign is one bit of the class. The direction is planted: it depends on domain and quarter. Everything
else is noise with the same distribution for all classes.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import TensorSplit
from mpnas_kit.values import SEED, Range, checked

Direction = Literal["row", "column", "diagonal"]
DIRECTIONS: tuple[Direction, ...] = ("row", "column", "diagonal")
QUARTERS = 4
SIZE = 8  # height and width of a quarter, pixels
LAG = 3  # distance between a pixel and its repetition, pixels
CLASSES = 2**QUARTERS


def planted_directions(domain: int) -> tuple[str, ...]:
    """Return the direction of every quarter in a domain. A search should find these directions.

    domain: number of the domain, from 0.
    """
    return tuple(DIRECTIONS[(domain + 2 * quarter) % 3] for quarter in range(QUARTERS))


@checked("planted")
def planted_suite(
    count: Annotated[int, Range(1, 1000)] = 3,
    train: Annotated[int, Range(2, 1_000_000)] = 2000,
    test: Annotated[int, Range(1, 1_000_000)] = 200,
    seed: Annotated[int, SEED] = 0,
) -> DomainSuite:
    """Return a suite of planted domains `planted0`, `planted1`, ... (ours).

    Each domain has 16 classes and grey images, uint8 (n, 1, 16, 16). The right path of every domain
    through `planted_space` is known: `planted_path` returns it. Domain 3 has the directions of
    domain 0, and so on.

    count: number of domains, 1 to 1000.
    train: training images per domain, 2 to 1 million.
    test: images per domain in each of the validation and test splits, 1 to 1 million.
    seed: seed of all images and labels, 0 to 2**32 - 1.

    Raises `MpnasError` if a number is out of its range.

    >>> mk.planted_suite(2, train=64, test=16)
    DomainSuite('planted', 2 domains, 16 px)
    """
    generator = torch.Generator().manual_seed(seed)
    domains = []
    for index in range(count):
        splits = (_split(index, n, generator) for n in (train, test, test))
        classes = tuple(f"{c:04b}" for c in range(CLASSES))
        first, second, third = splits
        domains.append(Domain(f"planted{index}", classes, first, second, third))
    source = f"planted(count={count}, train={train}, test={test}, seed={seed})"
    return DomainSuite(tuple(domains), "planted", source)


def _split(domain: int, count: int, generator: torch.Generator) -> TensorSplit:
    labels = torch.randint(CLASSES, (count,), generator=generator)
    quarters = []
    for quarter, direction in enumerate(planted_directions(domain)):
        sign = 1.0 - 2.0 * ((labels >> quarter) & 1)
        quarters.append(_texture(direction, sign, generator))
    top, bottom = torch.cat(quarters[:2], 2), torch.cat(quarters[2:], 2)
    image = torch.cat([top, bottom], 1)
    pixels = (128 + 40 * image).clamp(0, 255).round().to(torch.uint8)
    return TensorSplit(pixels[:, None], labels)


def _texture(direction: str, sign: Tensor, generator: torch.Generator) -> Tensor:
    """Return white noise (n, SIZE, SIZE) that repeats after LAG pixels, times `sign` (n,)."""
    noise = torch.randn(len(sign), SIZE, SIZE, generator=generator)
    down, right = {"row": (0, LAG), "column": (LAG, 0), "diagonal": (LAG, LAG)}[direction]
    for i in range(down, SIZE):
        for j in range(right, SIZE):
            noise[:, i, j] = sign * noise[:, i - down, j - right]
    return noise
