"""Splits: the labelled images that a domain trains, validates or tests on."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

CHUNK = 1024  # images read at once when a whole split is read


@runtime_checkable
class Split(Protocol):
    """Labelled images of one size. A class with these members is a split.

    An implementation may keep images encoded and decode them in `take`.

    labels: class of every image, int64 (n,), 0 to classes - 1.
    shape: (C, H, W) of every image, C = 1 (grey) or 3 (RGB), H = W, in pixels.
    """

    @property
    def labels(self) -> Tensor:
        """Class of every image: int64 (n,)."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64 (k,)) in that order: uint8 (k, C, H, W)."""
        ...

    def fingerprint(self) -> str:
        """Return a short hash over all images and labels. It changes if any of them changes."""
        ...


@dataclass(frozen=True, eq=False)
class TensorSplit:
    """A split with all images in memory.

    images: uint8 (n, C, H, W), C = 1 (grey) or 3 (RGB), H = W.
    labels: class of every image, int64 (n,), 0 to classes - 1. `Domain` checks both.

    >>> split = mk.TensorSplit(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5) % 2)
    >>> len(split), split.shape, tuple(split.take(torch.tensor([0, 3])).shape)
    (5, (1, 8, 8), (2, 1, 8, 8))
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return tuple(self.images.shape[1:])  # type: ignore[return-value] # checked by Domain

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64 (k,)) in that order: uint8 (k, C, H, W)."""
        return self.images[index]

    @cached_property
    def _hash(self) -> str:
        digest = sha256(repr((tuple(self.images.shape), tuple(self.labels.shape))).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def fingerprint(self) -> str:
        """Return a short hash over the bytes of images and labels."""
        return self._hash


class Subset:
    """A split with some images of another split. No image is copied.

    split: the other split.
    index: positions of the images in `split`, int64 (n,). Their order is the order of the subset.

    >>> half = mk.Subset(suite["planted0"].train, torch.arange(0, 64, 2))
    >>> len(half), half.shape
    (32, (1, 16, 16))
    """

    def __init__(self, split: Split, index: Tensor) -> None:
        self.split, self.index = split, index
        self._labels = split.labels[index]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> Tensor:
        """Class of every image: int64 (n,)."""
        return self._labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.split.shape

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64 (k,)) in that order: uint8 (k, C, H, W)."""
        return self.split.take(self.index[index])

    def fingerprint(self) -> str:
        """Return a short hash over the fingerprint of the other split and the index."""
        own = self.index.numpy().tobytes()
        return sha256(self.split.fingerprint().encode() + own).hexdigest()[:16]


def pixel_histogram(split: Split) -> Tensor:
    """Return how often each pixel value occurs in each channel: int64 (C, 256).

    Images are read in chunks, so the memory needed does not grow with the split.
    """
    channels = split.shape[0]
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for index in torch.arange(len(split)).split(CHUNK):
        images = split.take(index)
        for channel in range(channels):
            counts[channel] += torch.bincount(images[:, channel].flatten(), minlength=256)
    return counts
