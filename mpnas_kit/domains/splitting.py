"""Splitting: which images train, validate and test, if no one has decided it.

The splits that a domain lacks are taken out of its training images, or out of all images if it has
no splits. The images of a class are divided by the shares, at random. Images of one group stay
together.
"""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mpnas_kit.domains.domain import SPLITS
from mpnas_kit.domains.duplicates import Groups
from mpnas_kit.domains.listing import Listed, Listing
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.values import Range, convert_list, number

SHARES = (0.7, 0.15, 0.15)
TRAIN, VAL, TEST = range(3)


def checked_shares(shares: object) -> tuple[float, float, float]:
    """Return the shares of train, val and test if they are above 0 and their sum is 1."""
    items = convert_list(shares, "shares", "3 numbers")
    values = [number(item, Range(0, 1, above=True, below=True)) for item in items]
    if len(values) != 3 or None in values or not math.isclose(sum(values), 1, abs_tol=1e-6):  # type: ignore[arg-type]
        raise MpnasError(
            f"shares must be 3 numbers above 0 for train, val and test whose sum is 1, not "
            f"{short(items)}."
        )
    train, val, test = values
    return train, val, test  # type: ignore[return-value]


def file_groups(images: Sequence[Listed], pattern: str | None) -> list[str | None]:
    """Return the group of every image by its own group, otherwise by its file name.

    pattern: regular expression. An image whose file name has a match is in the group that the
    match, or its first bracket, names. None: only the image's own group counts.

    Raises `MpnasError` if the pattern is no regular expression, or matches no file name.

    >>> images = [Listed("", "cat/p7_1.png", "cat"), Listed("", "cat/other.png", "cat")]
    >>> file_groups(images, "^(p[0-9]+)_")
    ['p7', None]
    """
    if pattern is None:
        return [image.group for image in images]
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise MpnasError(f"group {short(pattern)} is no regular expression: {error}.") from None
    found = (compiled.search(image.name.rpartition("/")[2]) for image in images)
    by_name = [m and m[min(1, compiled.groups)] for m in found]
    groups = [image.group or name for image, name in zip(images, by_name, strict=True)]
    if images and not any(groups):
        raise MpnasError(
            f"group {short(pattern)} matches no file name, such as "
            f"{short(images[0].name.rpartition('/')[2])}."
        )
    return groups


def require_usable(listing: Listing) -> None:
    """Raise `MpnasError` if the classes and splits of a domain cannot be used. No image is read."""
    images, classes = listing.images, listing.classes
    where = f"domain {listing.domain!r}"
    if len(classes) < 2:
        raise MpnasError(f"{where} has only the class {short(classes[0])}: expected at least 2.")
    undecided = [image for image in images if image.split is None]
    if undecided and len(undecided) < len(images):
        raise MpnasError(
            f"{where}: {len(undecided)} of {len(images)} images have no split, such as "
            f"{short(undecided[0].name)}: expected a split for all or for none."
        )
    if not undecided and not any(image.split == "train" for image in images):
        raise MpnasError(
            f"{where} has no images in train, but in other splits: expected some. To evaluate a "
            "model on them, give the folder that has the classes, such as pets=photos/pets/test."
        )


def split_images(
    listing: Listing,
    duplicates: NDArray[np.int64],
    *,
    shares: tuple[float, float, float] = SHARES,
    group: str | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Return the split of every image: 0 (train), 1 (val) or 2 (test), (n,).

    listing: the images.
    duplicates: group of duplicates of every image (see `duplicate_groups`).
    shares: shares of train, val and test. Where only some splits are missing, they are taken out of
    the training images in these proportions.
    group: pattern for groups by file name (see `file_groups`).
    seed: seed of the random order.

    Raises `MpnasError` if the pattern matches no file name.
    """
    images = listing.images
    splits = np.array([SPLITS.index(image.split or "train") for image in images])
    missing = [split for split in (VAL, TEST) if not (splits == split).any()]
    pool = np.flatnonzero(splits == TRAIN)
    if not missing or not len(pool):
        return splits
    labels = np.unique([images[i].label for i in pool], return_inverse=True)[1]
    groups = _joined(duplicates, file_groups(images, group))[pool]
    whole = shares[TRAIN] + sum(shares[split] for split in missing)
    wanted = {split: shares[split] / whole for split in missing}
    splits[pool] = divide(labels, groups, wanted, seed)
    return splits


def divide(
    labels: NDArray[np.int64], groups: NDArray[np.int64], wanted: Mapping[int, float], seed: int
) -> NDArray[np.int64]:
    """Return the split of every image: 0 (train), or one that is wanted, (n,).

    A class of n images gives `round(n * share)` of them to a split, and at least one if it has an
    image for every split. Every class keeps at least one group in train. Large groups are placed
    first, each into the split that it fits best.

    labels: class of every image, (n,).
    groups: group of every image, (n,). Images of one group stay together.
    wanted: share of every other split, by its number.
    seed: seed of the random order.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).numpy()
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    quotas = _quotas(np.bincount(labels), wanted)  # (splits, classes)
    splits = np.zeros(len(labels), dtype=np.int64)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[members[order[::-1]]] = np.arange(len(order))[::-1]  # by the first image in `order`
    large = np.flatnonzero(sizes > 1)
    by_group = np.argsort(members, kind="stable")
    starts = np.cumsum(sizes) - sizes
    trains = np.zeros(quotas.shape[1], dtype=bool)  # classes that have training images
    for item in sorted(large.tolist(), key=lambda g: (-sizes[g], rank[g])):
        images = by_group[starts[item] : starts[item] + sizes[item]]
        present, counts = np.unique(labels[images], return_counts=True)
        has_all = trains[present].all()
        split = _best(quotas[:, present], counts, (TRAIN, *wanted)) if has_all else TRAIN
        splits[images] = split
        quotas[split, present] -= counts
        trains[present] |= split == TRAIN
    single = order[sizes[members[order]] == 1]
    by_label = single[np.argsort(labels[single], kind="stable")]
    ends = np.cumsum(np.bincount(labels[single], minlength=quotas.shape[1]))
    for label, own in enumerate(np.split(by_label, ends[:-1])):
        rest = own if trains[label] else own[1:]  # the first one trains
        for split, count in _affordable(quotas[:, label], tuple(wanted), len(rest)).items():
            splits[rest[:count]] = split
            rest = rest[count:]
    return splits


def _affordable(quotas: NDArray[np.int64], wanted: Sequence[int], most: int) -> dict[int, int]:
    """Return the number of single images per split: its quota, or less if there are too few."""
    counts = {split: max(0, int(quotas[split])) for split in wanted}
    while sum(counts.values()) > most:
        counts[max(counts, key=lambda split: counts[split])] -= 1
    return counts


def _best(quotas: NDArray[np.int64], counts: NDArray[np.int64], among: Sequence[int]) -> int:
    """Return the split that a group exceeds least; among equal ones, the least filled.

    quotas: images that still fit, per split and class of the group, (3, k).
    counts: images of the group, per class, (k,).
    """

    def key(split: int) -> tuple[int, float]:
        left = quotas[split]
        return int(np.maximum(0, counts - left).sum()), -float(left.sum())

    return min(among, key=key)


def _quotas(counts: NDArray[np.int64], wanted: Mapping[int, float]) -> NDArray[np.int64]:
    """Return the number of images per split and class, int64 (3, classes)."""
    quotas = np.zeros((3, len(counts)), dtype=np.int64)
    enough = counts > len(wanted)
    for split, share in wanted.items():
        quotas[split] = np.maximum(np.floor(counts * share + 0.5), enough)
    for split in wanted:  # a class keeps one image in train
        over = quotas.sum(0) >= np.maximum(counts, 1)
        quotas[split] -= over & (quotas[split] > enough)
    quotas[TRAIN] = counts - quotas.sum(0)
    return quotas


def _joined(duplicates: NDArray[np.int64], names: Sequence[str | None]) -> NDArray[np.int64]:
    """Return the group of every image, joined by duplicates and by names of groups."""
    if not any(names):
        return duplicates
    first: dict[str, int] = {}
    others = [i if name is None else first.setdefault(name, i) for i, name in enumerate(names)]
    groups = Groups(len(names))
    groups.join(np.arange(len(names)), duplicates)
    groups.join(np.arange(len(names)), np.array(others))
    return groups.first()
