"""Planted domains (ours) of which two should share their nodes, and a third one should not.

An image has four quarters. Each has stripes along rows and stripes along columns, two pixels wide,
below noise. Light and dark stripes may change places: that is one bit for the rows of a quarter,
and one for its columns.

The class is the two bits of the upper quarters: those of the rows in `rows0` and `rows1`, and those
of the columns in `columns`. `rows0` and `rows1` are the same task on few images each. `columns` has
the images of `rows0` and other labels. A node of `space.planted_sharing` computes one number per
image. So it can tell the bit of rows or that of columns, but not both.
"""

from typing import Annotated

import torch
from torch import Tensor

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.planted import QUARTERS, SIZE
from mpnas_kit.domains.split import TensorSplit
from mpnas_kit.values import SEED, Range, checked

PARTNERS = ("rows0", "rows1")  # domains that should share
OPPONENT = "columns"  # domain that should share with none
BITS = 2  # of the class: one per upper quarter
WIDTH = 2  # of a stripe, pixels
CONTRAST = 0.22  # of the stripes: deviation from the mean, over the standard deviation of the noise


@checked("planted_sharing")
def planted_sharing_suite(
    train: Annotated[int, Range(2, 1_000_000)] = 60,
    test: Annotated[int, Range(1, 1_000_000)] = 1000,
    seed: Annotated[int, SEED] = 0,
) -> DomainSuite:
    """Return a suite of which two domains should share nodes, and the third one with none (ours).

    The domains are `rows0`, `rows1` and `columns`. Each has 4 classes and grey images, uint8
    (n, 1, 16, 16). `rows0` and `rows1` are one task on different images. `columns` has the images
    of `rows0` with other labels. `planted_sharing_paths` returns the right paths.

    train: training images per domain, 2 to 1 million. With many, sharing gains little accuracy.
    test: images per domain in each of the validation and test splits, 1 to 1 million.
    seed: seed of all images and labels, 0 to 2**32 - 1.

    Raises `MpnasError` if a number is out of its range.

    >>> mk.planted_sharing_suite(train=64, test=16).names
    ('rows0', 'rows1', 'columns')
    """
    generator = torch.Generator().manual_seed(seed)
    classes = tuple(f"{c:02b}" for c in range(2**BITS))
    both = [[_images(n, generator) for n in (train, test, test)] for _ in PARTNERS]
    drawn = dict(zip(PARTNERS, both, strict=True)) | {OPPONENT: both[0]}
    domains = []
    for name, splits in drawn.items():
        first, second, third = (
            TensorSplit(pixels, columns if name == OPPONENT else rows)
            for pixels, rows, columns in splits
        )
        domains.append(Domain(name, classes, first, second, third))
    source = f"planted_sharing(train={train}, test={test}, seed={seed})"
    return DomainSuite(tuple(domains), "planted_sharing", source)


def _images(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, uint8 (n, 1, 16, 16), and the classes by rows and by columns, (n,) each."""
    bits = torch.randint(2, (2, QUARTERS, count), generator=generator)
    quarters = [_striped(1 - 2 * bits[:, quarter], generator) for quarter in range(QUARTERS)]
    image = torch.cat([torch.cat(quarters[:2], 2), torch.cat(quarters[2:], 2)], 1)
    pixels = (128 + 30 * image).clamp(0, 255).round().to(torch.uint8)
    rows, columns = (bits[:, :BITS] << torch.arange(BITS)[:, None]).sum(1)
    return pixels[:, None], rows, columns


def _striped(signs: Tensor, generator: torch.Generator) -> Tensor:
    """Return quarters with stripes below noise, (n, SIZE, SIZE).

    signs: signs of the stripes along rows and along columns, (2, n).
    """
    stripes = 1 - 2 * (torch.arange(SIZE) // WIDTH % 2)
    rows, columns = signs[:, :, None] * stripes  # (n, SIZE) each
    noise = torch.randn(signs.shape[1], SIZE, SIZE, generator=generator)
    image: Tensor = noise + CONTRAST * (rows[:, :, None] + columns[:, None, :])
    return image
