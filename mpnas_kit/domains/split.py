"""Splits: the labelled images that a domain trains, validates or tests on."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.parts import lacks_attributes

CHUNK = 1024  # images read at once when a whole split is read


@runtime_checkable
class Split(Protocol):
    """Labelled images of one size. A class with these members is a split.

    An implementation may keep images encoded and decode them in `take`. It may have a method
    `pixel_counts()`, which returns how often each pixel value occurs in each channel, int64
    (C, 256). Without it, all training images are read once, for their mean and deviation.

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

    images: uint8 (n, C, H, W), C = 1 (grey) or 3 (RGB), H = W. NumPy arrays and nested lists are
    converted, and so are other whole numbers from 0 to 255.
    labels: class of every image, int64 (n,), 0 to classes - 1. NumPy arrays, lists and other whole
    numbers are converted. `Domain` checks both.

    Raises `MpnasError` if images or labels are no array of numbers.

    >>> split = mk.TensorSplit(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5) % 2)
    >>> len(split), split.shape, tuple(split.take(torch.tensor([0, 3])).shape)
    (5, (1, 8, 8), (2, 1, 8, 8))
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        images, labels = _tensor(self.images, "images"), _tensor(self.labels, "labels")
        if _is_whole(images) and images.dtype != torch.uint8 and images.numel():
            low, high = int(images.min()), int(images.max())
            if low < 0 or high > 255:
                raise MpnasError(
                    f"images have pixel values from {low} to {high}: expected 0 to 255, as uint8."
                )
            images = images.to(torch.uint8)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels.long() if _is_whole(labels) else labels)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return tuple(self.images.shape[1:])  # type: ignore[return-value] # checked by Domain

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64 (k,)) in that order: uint8 (k, C, H, W)."""
        return self.images.index_select(0, index)

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
    NumPy arrays and lists of whole numbers are converted.

    Raises `MpnasError` if `split` is no split, or a position is not in it.

    >>> half = mk.Subset(suite["planted0"].train, torch.arange(0, 64, 2))
    >>> len(half), half.shape
    (32, (1, 16, 16))
    """

    def __init__(self, split: Split, index: Tensor) -> None:
        require_split(split, "a subset's split")
        index = _tensor(index, "the index of a subset")
        count, is_empty = len(split), tuple(index.shape) == (0,)
        is_list = _is_whole(index) and index.ndim == 1
        if not is_empty and not (is_list and 0 <= int(index.min()) <= int(index.max()) < count):
            raise MpnasError(
                f"the index of a subset must be a list of whole numbers from 0 to {count - 1}, not "
                f"{short(index.tolist())}."
            )
        self.split, self.index = split, index.long()
        self._labels = split.labels[self.index]

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


def require_split(split: object, where: str) -> None:
    """Raise `MpnasError` unless `split` has the members of a split."""
    lacking = lacks_attributes(
        split, "labels", "shape", "take(index)", "fingerprint()", "__len__()"
    )
    if lacking is not None or isinstance(split, type):
        raise MpnasError(
            f"{where} got {short(split)}, which has no {lacking or 'images'}: expected a split "
            "such as TensorSplit."
        )


def by_class(labels: Tensor) -> dict[int, Tensor]:
    """Return the positions of the images of every class that has any, by class: int64 (k,).

    Classes and positions ascend. The labels are sorted once, so the time does not grow with
    classes x images.

    labels: class of every image, int64 (n,).
    """
    present, counts = labels.unique(return_counts=True)
    positions = labels.argsort(stable=True).split(counts.tolist())
    return dict(zip(present.tolist(), positions, strict=True))


def read(split: Split, index: Tensor) -> Tensor:
    """Return the images of a split at `index`, as `Split.take` does.

    Raises `MpnasError` if the split returns something else. An error of the split's own code gets
    a note that names the split.
    """
    with RaisedBy(lambda: f"take(index) of the split {short(split)}"):
        images = split.take(index)
    if not isinstance(images, Tensor):
        found = f"an object of class {type(images).__name__}"
    elif images.dtype != torch.uint8 or images.shape != (len(index), *split.shape):
        found = f"{images.dtype} {tuple(images.shape)}"
    else:
        return images
    raise MpnasError(
        f"the split {short(split)} returns {found} for {len(index)} images: expected torch.uint8 "
        f"{(len(index), *split.shape)}."
    )


def _tensor(values: Any, what: str) -> Tensor:
    """Return an array or a nested list of numbers as a tensor on the CPU, copied if needed."""
    try:
        if isinstance(values, Tensor):
            return values.detach().cpu()
        return torch.from_numpy(np.require(values, requirements=["C", "W"]))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise MpnasError(
            f"{what} must be a tensor, an array or a list of numbers, not {short(values)}."
        ) from None


def _is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor holds whole numbers. Truth values are none."""
    fractions = tensor.is_floating_point() or tensor.is_complex()
    return not fractions and tensor.dtype != torch.bool


def pixel_histogram(split: Split) -> Tensor:
    """Return how often each pixel value occurs in each channel: int64 (C, 256).

    A split that has a method `pixel_counts` is asked. Otherwise all its images are read.

    Raises `MpnasError` if the split returns something else.
    """
    own = getattr(split, "pixel_counts", None)
    if not callable(own):
        return count_pixels(split)
    with RaisedBy(lambda: f"pixel_counts() of the split {short(split)}"):
        counts: Tensor = own()
    channels, height, width = split.shape
    pixels = len(split) * height * width
    is_whole = isinstance(counts, Tensor) and counts.dtype == torch.int64
    if not is_whole or counts.shape != (channels, 256) or (counts.sum(1) != pixels).any():
        raise MpnasError(
            f"pixel_counts() of the split {short(split)} must be int64 ({channels}, 256), and "
            f"{pixels} in sum per channel."
        )
    return counts


def count_pixels(split: Split) -> Tensor:
    """Return how often each pixel value occurs in each channel: int64 (C, 256).

    Images are read in chunks, so the memory needed does not grow with the split.
    """
    channels = split.shape[0]
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for index in torch.arange(len(split)).split(CHUNK):
        images = read(split, index)
        for channel in range(channels):
            counts[channel] += torch.bincount(images[:, channel].flatten(), minlength=256)
    return counts
