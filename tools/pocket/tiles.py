"""Labelled tiles of one domain, and functions that split and clean them."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIZE = 32
SPLITS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
BLOCK = (TRAIN,) * 5 + (VAL,) * 2 + (TEST,) * 2

Images = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Labelled tiles of one domain.

    classes: names of the classes.
    images: uint8 (n, 32, 32) grey or (n, 32, 32, 3) RGB.
    labels: int64 (n,), indices into `classes`.
    splits: int64 (n,): 0 train, 1 val, 2 test.
    """

    classes: tuple[str, ...]
    images: Images
    labels: Ints
    splits: Ints

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Ints) -> "Tiles":
        """Return the tiles at `index`, in that order."""
        return Tiles(self.classes, self.images[index], self.labels[index], self.splits[index])

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of train, val and test tiles."""
        train, val, test = np.bincount(self.splits, minlength=3).tolist()
        return train, val, test


def make_tiles(
    classes: Sequence[str],
    images: Sequence[NDArray[np.generic]],
    labels: Sequence[int],
    splits: Sequence[int] | Ints,
) -> Tiles:
    """Return `Tiles` from lists with one entry per tile."""
    return Tiles(
        tuple(classes),
        np.stack(images).astype(np.uint8),
        np.asarray(labels, np.int64),
        np.asarray(splits, np.int64),
    )


def generator(domain: str) -> Generator:
    """Return a random generator with a seed from the name, so that domains are independent."""
    return np.random.default_rng(zlib.crc32(domain.encode()))


def package_file(package: str, *parts: str) -> Path:
    """Return a file or folder in an installed package. The package is not imported."""
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root, *parts)
        if path.exists():
            return path
    raise SystemExit(
        f"{package}/{'/'.join(parts)} is missing: install tools/pocket/requirements.txt."
    )


def debian_file(package: str, path: str) -> Path:
    """Return a file or folder of a Debian package.

    It is looked for below the folder in the environment variable POCKET_DEBIAN, in which packages
    are unpacked; if it is not set, below `/`.
    """
    found = Path(os.environ.get("POCKET_DEBIAN", "/"), path)
    if not found.exists():
        raise SystemExit(
            f"{found} is missing: install the Debian package {package}, or unpack it into a folder "
            "that POCKET_DEBIAN names."
        )
    return found


def split_groups(
    labels: Sequence[int] | Ints,
    groups: Sequence[int] | Ints,
    rng: Generator,
    train: float = 0.6,
    val: float = 0.2,
) -> Ints:
    """Split every class at random. All tiles of a group are in the same split.

    labels: class of every tile (n,).
    groups: group of every tile (n,). A group belongs to one class.
    train, val: shares of the groups of a class; the rest is test.

    Returns the split of every tile, int64 (n,) of 0, 1, 2.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    splits = np.full(len(labels), TRAIN, np.int64)
    for label in np.unique(labels):
        order = rng.permutation(np.unique(groups[labels == label]))
        first, last = round(train * len(order)), round((train + val) * len(order))
        splits[np.isin(groups, order[first:last])] = VAL
        splits[np.isin(groups, order[last:])] = TEST
    return splits


def split_in_blocks(difficulty: Sequence[Any], rng: Generator) -> Ints:
    """Split things 5 to 2 to 2, so that each split has the same mix of difficulties.

    difficulty: one value per thing; values can be compared. Every nine neighbours in their order
    are split at random. The rest, fewer than nine, is a random part of such a block.

    Returns the split of every thing, int64 (n,) of 0, 1, 2.
    """
    order = sorted(range(len(difficulty)), key=difficulty.__getitem__)
    splits = np.empty(len(order), np.int64)
    for start in range(0, len(order), len(BLOCK)):
        block = order[start : start + len(BLOCK)]
        splits[block] = rng.permutation(BLOCK)[: len(block)]
    return splits


def coarse(tiles: Tiles, levels: int) -> Tiles:
    """Return the tiles with `levels` evenly spaced values per channel, from black to white."""
    step = 255 / (levels - 1)
    images = (np.round(tiles.images / step) * step).round().astype(np.uint8)
    return Tiles(tiles.classes, images, tiles.labels, tiles.splits)


def distinct(tiles: Tiles) -> Ints:
    """Return the indices of the tiles without exact duplicates, in ascending order.

    Of equal images with one label, the first one of the lowest split stays (train, then val, then
    test). Equal images with different labels are all dropped.
    """
    keys = [image.tobytes() for image in tiles.images]
    labels_of: dict[bytes, set[int]] = {}
    for key, label in zip(keys, tiles.labels.tolist(), strict=True):
        labels_of.setdefault(key, set()).add(label)
    first: dict[bytes, int] = {}
    for index in np.argsort(tiles.splits, kind="stable").tolist():
        if len(labels_of[keys[index]]) == 1:
            first.setdefault(keys[index], index)
    return np.sort(np.fromiter(first.values(), np.int64))


def in_file_order(tiles: Tiles, rng: Generator) -> Tiles:
    """Return the tiles ordered by split: train, val, test. Each split is shuffled.

    So the first images of a split are a random sample of it.
    """
    shuffled = rng.permutation(len(tiles))
    return tiles.take(shuffled[np.argsort(tiles.splits[shuffled], kind="stable")])
