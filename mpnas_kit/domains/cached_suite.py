"""Suites of images in the cache: their splits, and what a person should know about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit.domains.cache import prepare, remember_given
from mpnas_kit.domains.cached_images import CachedImages
from mpnas_kit.domains.decoding import Fit
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.listing import Listed, Listing
from mpnas_kit.domains.originals import read_originals
from mpnas_kit.domains.splitting import (
    SHARES,
    checked_shares,
    file_groups,
    require_usable,
    split_images,
)
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.parts import approve_text
from mpnas_kit.settings import check
from mpnas_kit.values import SEED, Range

Bad = Literal["stop", "skip"]
_SHOWN = 3  # files that a message names
DEFAULT_RESOLUTION = 64


@dataclass(frozen=True)
class Treatment:
    """How the images of a domain are prepared.

    resolution, how, channels: size and mode (see `Fit`).
    shares, group, seed: how missing splits are made (see `split_images`).
    flip: whether a mirrored image keeps its label.
    """

    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION
    how: Literal["crop", "pad", "stretch"] = "crop"
    channels: Literal[1, 3] | None = None
    shares: tuple[float, float, float] = SHARES
    group: str | None = None
    seed: Annotated[int, SEED] = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check(self, "images")
        object.__setattr__(self, "shares", checked_shares(self.shares))
        file_groups((), self.group)

    @property
    def fit(self) -> Fit:
        """Size and mode of the images."""
        return Fit(self.resolution, self.how, self.channels)


class CachedSplit:
    """A split whose images are in the cache. They are read when they are taken.

    images: images of the domain in the cache.
    positions: positions of the split's images among them, int64 (n,).
    labels: class of every image, int64 (n,).
    """

    def __init__(
        self, images: CachedImages, positions: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> None:
        self._images, self._positions = images, positions
        self._labels = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def labels(self) -> Tensor:
        """Class of every image: int64 (n,)."""
        return self._labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self._images.shape[1:]

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64 (k,)) in that order: uint8 (k, C, H, W)."""
        return torch.from_numpy(self._images.pixels[self._positions[index.numpy()]])

    def records(self) -> NDArray[Any]:
        """Return the hashes and groups of duplicates of all images: `RECORD` (n,)."""
        return self._images.index[self._positions]

    def originals(self) -> pd.DataFrame | None:
        """Return what the files of all images were (see `read_originals`); None: not known."""
        table = read_originals(self._images.folder, self._images.shape[0])
        return None if table is None else table.iloc[self._positions].reset_index(drop=True)

    def fingerprint(self) -> str:
        """Return a short hash over the hashes of all images, and the labels. No pixel is read."""
        digest = sha256(repr((self.shape, len(self))).encode())
        digest.update(self._images.index["digest"][self._positions].tobytes())
        digest.update(self._labels.numpy().tobytes())
        return digest.hexdigest()[:16]


def suite_of(
    parts: Sequence[tuple[Listing, Treatment]], title: str, source: str, bad: Bad
) -> DomainSuite:
    """Return the suite of listed images. What the cache lacks is decoded.

    parts: images of every domain, and how they are prepared.
    title: name of the suite.
    source: text that creates it again. A person gave it: `read` follows it from now on.
    bad: what happens if images cannot be read (see `folders`).

    Raises `MpnasError` if images cannot be read and `bad` is `stop`.
    """
    for listing, _ in parts:
        require_usable(listing)
    cached = [
        prepare([i.path for i in listing.images], how.fit, f"domain {listing.domain!r}")
        for listing, how in parts
    ]
    left_out = tuple(
        f"{listing.domain}: {listing.images[position].name}: {why}"
        for (listing, _), images in zip(parts, cached, strict=True)
        for position, why in images.bad.items()
    )
    if left_out and bad == "stop":
        total = sum(len(listing.images) for listing, _ in parts)
        raise MpnasError(
            f"{len(left_out):,} of {total:,} images cannot be read: {_some(left_out)}. Mend or "
            "remove them, or leave them out (--bad skip, bad='skip')."
        )
    domains: list[Domain] = []
    notices: list[str] = []
    for (listing, how), images in zip(parts, cached, strict=True):
        domain, about = _domain(listing, how, images)
        domains.append(domain)
        notices += [*listing.notices, *about]
    if left_out:
        word = "image is" if len(left_out) == 1 else "images are"
        notices.append(f"{len(left_out):,} {word} left out: {_some(left_out)}.")
    approve_text(source)
    remember_given(source)
    name = title if title.strip() and title.isprintable() else "images"
    return DomainSuite(tuple(domains), name, source, tuple(notices), left_out)


def _some(items: Sequence[str]) -> str:
    """Return the first items in words, each shortened."""
    shown = [item if len(item) <= 120 else f"{item[:50]}...{item[-60:]}" for item in items[:_SHOWN]]
    shown = [item if item.isprintable() else ascii(item) for item in shown]
    rest = len(items) - len(shown)
    return "; ".join([*shown, f"and {rest:,} more"] if rest else shown)


def _domain(listing: Listing, how: Treatment, images: CachedImages) -> tuple[Domain, list[str]]:
    """Return a domain of the images that can be read, and notices about it."""
    good = np.flatnonzero(~images.index["bad"])
    left = Listing(listing.domain, tuple(listing.images[i] for i in good.tolist()))
    _, first, inverse = np.unique(
        images.index["group"][good], return_index=True, return_inverse=True
    )
    duplicates = first[inverse]
    number = {label: i for i, label in enumerate(listing.classes)}
    labels = np.array([number[image.label] for image in left.images], dtype=np.int64)
    splits = split_images(left, duplicates, shares=how.shares, group=how.group, seed=how.seed)
    for i, name in enumerate(SPLITS):
        if not (splits == i).any():
            raise MpnasError(
                f"domain {listing.domain!r} has no image for {name}: expected images of the split "
                "that can be read, or at least 3 different images in a class."
            )
    train, val, test = (
        CachedSplit(images, good[splits == i], labels[splits == i]) for i in range(len(SPLITS))
    )
    domain = Domain(listing.domain, listing.classes, train, val, test, how.flip, how=how.how)
    return domain, [
        f"domain {listing.domain!r}: {sentence}"
        for sentence in (
            *_missing_classes(domain),
            *_duplicates(left.images, labels, splits, duplicates),
        )
    ]


def _missing_classes(domain: Domain) -> list[str]:
    """Return a sentence per split in which classes have no image."""
    sentences = []
    for name in SPLITS:
        counts = torch.bincount(domain.split(name).labels, minlength=len(domain.classes))
        absent = [c for c, count in zip(domain.classes, counts.tolist(), strict=True) if not count]
        if absent:
            sentences.append(
                f"{len(absent)} of {len(domain.classes)} classes have no image in {name}: "
                f"{_some([short(label) for label in absent])}."
            )
    return sentences


def _duplicates(
    images: Sequence[Listed],
    labels: NDArray[np.int64],
    splits: NDArray[np.int64],
    duplicates: NDArray[np.int64],
) -> list[str]:
    """Return sentences about images that show the same: their number, splits and labels."""
    copies = np.flatnonzero(duplicates != np.arange(len(duplicates)))
    if not len(copies):
        return []

    def example(found: NDArray[np.int64]) -> str:
        copy = int(found[0])
        return _some([f"{images[copy].name} and {images[int(duplicates[copy])].name}"])

    apart = copies[splits[copies] != splits[duplicates[copies]]]
    unlike = copies[labels[copies] != labels[duplicates[copies]]]
    sentences = [
        f"{len(copies):,} of {len(images):,} images are exact or near duplicates of others, such "
        f"as {example(copies)}."
    ]
    if len(apart):
        sentences.append(
            f"{len(apart):,} duplicates are in different splits, so test results may be too good, "
            f"such as {example(apart)}."
        )
    if len(unlike):
        sentences.append(
            f"{len(unlike):,} duplicates have different classes, such as {example(unlike)}."
        )
    return sentences
