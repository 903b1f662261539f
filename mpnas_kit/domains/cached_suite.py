"""Suites of images in the cache: their splits, and what a person should know about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mpnas_kit.domains import known_suites
from mpnas_kit.domains.cache import prepare, remember_given
from mpnas_kit.domains.cached_images import CachedImages, CachedSplit
from mpnas_kit.domains.decoding import Fit
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.known_suites import NO_SPLIT, KnownDomain, Origin
from mpnas_kit.domains.listing import Listed, Listing
from mpnas_kit.domains.sources import reading_order
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
    turn: whether an image that is turned by 90 degrees or mirrored keeps its label.
    """

    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION
    how: Literal["crop", "pad", "stretch"] = "crop"
    channels: Literal[1, 3] | None = None
    shares: tuple[float, float, float] = SHARES
    group: str | None = None
    seed: Annotated[int, SEED] = 0
    flip: bool = False
    turn: bool = False

    def __post_init__(self) -> None:
        check(self, "images")
        object.__setattr__(self, "shares", checked_shares(self.shares))
        file_groups((), self.group)

    @property
    def fit(self) -> Fit:
        """Size and mode of the images."""
        return Fit(self.resolution, self.how, self.channels)


Parts = Sequence[tuple[Listing, Treatment]]
"""The images of every domain, and how they are prepared."""


def suite_of(origin: Origin, parts: Callable[[], Parts], title: str, bad: Bad) -> DomainSuite:
    """Return the suite of some images. What the cache lacks is decoded.

    If the cache has the suite, and none of its files has changed, no image is listed or read.

    origin: what the suite is made of. A person gave it: `read` follows its text from now on.
    parts: lists the images of every domain, and how they are prepared.
    title: name of the suite.
    bad: what happens if images cannot be read (see `folders`).

    Raises `MpnasError` if images cannot be read and `bad` is `stop`.
    """
    name = title if title.strip() and title.isprintable() else "images"
    found = known_suites.find(origin)
    if found is not None:
        known, domains = found
        suite = DomainSuite(domains, name, origin.source, known.notices, known.left_out)
    else:
        suite = _made(origin, parts, name, bad)
    approve_text(origin.source)
    remember_given(origin.source)
    return suite


def _made(origin: Origin, parts: Callable[[], Parts], name: str, bad: Bad) -> DomainSuite:
    """Return the suite of images that are listed now, and note it in the cache."""
    before = known_suites.census(origin)
    listed = parts()
    for listing, _ in listed:
        require_usable(listing)
    sources = [image.source for listing, _ in listed for image in listing.images]
    paths = [source for source in sources if isinstance(source, str)] if origin.tables else []
    census = known_suites.whole_census(before, paths)
    orders = [reading_order([i.source for i in listing.images]) for listing, _ in listed]
    cached = [
        prepare(
            [listing.images[i].source for i in order.tolist()],
            how.fit,
            f"domain {listing.domain!r}",
        )
        for (listing, how), order in zip(listed, orders, strict=True)
    ]
    left_out = tuple(
        f"{listing.domain}: {listing.images[order[position]].name}: {why}"
        for (listing, _), order, images in zip(listed, orders, cached, strict=True)
        for position, why in images.bad.items()
    )
    if left_out and bad == "stop":
        raise MpnasError(
            f"{len(left_out):,} of {len(sources):,} images cannot be read: {_some(left_out)}. Mend "
            "or remove them, or leave them out (--bad skip, bad='skip')."
        )
    domains, known, notices = [], [], []
    for (listing, how), order, images in zip(listed, orders, cached, strict=True):
        domain, own, about = _domain(listing, how, images, order)
        domains.append(domain)
        known.append(own)
        notices += [*listing.notices, *about]
    if left_out:
        word = "image is" if len(left_out) == 1 else "images are"
        notices.append(f"{len(left_out):,} {word} left out: {_some(left_out)}.")
    suite = DomainSuite(tuple(domains), name, origin.source, tuple(notices), left_out)
    known_suites.keep(origin, census, paths if origin.tables else (), known, notices, left_out)
    return suite


def _some(items: Sequence[str]) -> str:
    """Return the first items in words, each shortened."""
    shown = [item if len(item) <= 120 else f"{item[:50]}...{item[-60:]}" for item in items[:_SHOWN]]
    shown = [item if item.isprintable() else ascii(item) for item in shown]
    rest = len(items) - len(shown)
    return "; ".join([*shown, f"and {rest:,} more"] if rest else shown)


def _domain(
    listing: Listing, how: Treatment, images: CachedImages, order: NDArray[np.int64]
) -> tuple[Domain, KnownDomain, list[str]]:
    """Return a domain of the images that can be read, its form in the cache, notices about it.

    order: for every image in the cache, its position in the listing.
    """
    cached = np.argsort(order)  # for every image of the listing, its position in the cache
    index = images.index[cached]
    good = np.flatnonzero(~index["bad"])
    left = Listing(listing.domain, tuple(listing.images[i] for i in good.tolist()))
    _, first, inverse = np.unique(index["group"][good], return_index=True, return_inverse=True)
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
        CachedSplit(images, cached[good[splits == i]], labels[splits == i])
        for i in range(len(SPLITS))
    )
    domain = Domain(
        listing.domain, listing.classes, train, val, test, how.flip, how=how.how, turn=how.turn
    )
    all_splits, all_labels = np.full((2, images.shape[0]), NO_SPLIT)
    all_splits[good], all_labels[good] = splits, labels
    known = KnownDomain.of(domain, images.folder.name, cached, all_splits, all_labels)
    return (
        domain,
        known,
        [
            f"domain {listing.domain!r}: {sentence}"
            for sentence in (
                *_missing_classes(domain),
                *_duplicates(left.images, labels, splits, duplicates),
            )
        ],
    )


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
