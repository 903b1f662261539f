"""Images with which an export is checked and calibrated: given as images, or as a suite."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mpnas_kit.deploy.int8 import MOST
from mpnas_kit.deploy.pixels import batches_of_pixels, fitted
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.signature import Signature
from mpnas_kit.domains.split import Split, read
from mpnas_kit.errors import MpnasError


@dataclass(frozen=True)
class Samples:
    """Images of a domain, uint8 (n, 3, H, W). There may be none.

    calibration: from which the ranges of activations come: training images of a suite.
    check: with which a file is compared to torch: test images of a suite.
    suite: suite of this domain with labels; None: the images have no labels.
    """

    calibration: Tensor
    check: Tensor
    suite: DomainSuite | None = None


def samples_of(images: Any, domain: str, signature: Signature) -> Samples:
    """Return the images of a domain among those that a person gave.

    images: a suite with this domain; or images as in `Model.predict`, which then are both for
    calibration and for the check; or an empty list.
    domain: name of the domain.
    signature: its images.

    Raises `MpnasError` if the suite lacks the domain, or an item is no image.
    """
    size = signature.resolution
    if isinstance(images, DomainSuite):
        if domain not in images.names:
            raise MpnasError(
                f"the suite of images has no domain {domain!r}: it has {', '.join(images.names)}."
            )
        own = images.select([domain])
        return Samples(
            _of_split(own[domain].train, signature), _of_split(own[domain].test, signature), own
        )
    if isinstance(images, tuple | list) and not images:
        none = torch.empty(0, 3, size, size, dtype=torch.uint8)
        return Samples(none, none)
    batches = batches_of_pixels(images, signature.fit, 64)
    pixels = torch.cat([pixels.expand(-1, 3, -1, -1) for _, pixels in batches])
    return Samples(_spaced(pixels), pixels)


def _of_split(split: Split, signature: Signature) -> Tensor:
    images = read(split, _spaced(torch.arange(len(split))))
    return fitted(images, signature.fit).expand(-1, 3, -1, -1)


def _spaced(items: Tensor) -> Tensor:
    """Return at most `MOST` items, evenly spaced, so that sorted classes all have some."""
    if len(items) <= MOST:
        return items
    return items[torch.linspace(0, len(items) - 1, MOST).round().long()]
