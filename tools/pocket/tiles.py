"""The tiles of one domain while they are being made, and how they are split and cleaned."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIZE = 32
SPLITS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)

Images = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Labelled tiles of one domain.

    images: uint8 (n, 32, 32) grey or (n, 32, 32, 3) RGB.
    labels: int64 (n,), an index into `classes`.
    splits: int64 (n,), 0 train, 1 val, 2 test.
    """

    classes: tuple[str, ...]
    images: Images
    labels: Ints
    splits: Ints

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Ints) -> "Tiles":
        """The tiles at `index`, in that order."""
        return Tiles(self.classes, self.images[index], self.labels[index], self.splits[index])

    def counts(self) -> tuple[int, int, int]:
        """Number of train, val and test tiles."""
        train, val, test = np.bincount(self.splits, minlength=3).tolist()
        return train, val, test


def make_tiles(
    classes: Sequence[str],
    images: Sequence[NDArray[np.generic]],
    labels: Sequence[int],
    splits: Sequence[int] | Ints,
) -> Tiles:
    """Stack lists into `Tiles`."""
    return Tiles(
        tuple(classes),
        np.stack(images).astype(np.uint8),
        np.asarray(labels, np.int64),
        np.asarray(splits, np.int64),
    )


def generator(domain: str) -> Generator:
    """The random generator of a domain: seeded by its name, so domains do not depend on another."""
    return np.random.default_rng(zlib.crc32(domain.encode()))


def package_file(package: str, *parts: str) -> Path:
    """A file or folder inside an installed package, found without importing the package."""
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root, *parts)
        if path.exists():
            return path
    raise SystemExit(
        f"{package}/{'/'.join(parts)} is missing: install tools/pocket/requirements.txt."
    )


def split_groups(
    labels: Sequence[int] | Ints,
    groups: Sequence[int] | Ints,
    rng: Generator,
    train: float = 0.6,
    val: float = 0.2,
) -> Ints:
    """Split class by class so that a group lies wholly in one split.

    labels, groups: (n,). A group belongs to one class. Returns int64 (n,) of 0, 1, 2.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    splits = np.full(len(labels), TRAIN, np.int64)
    for label in np.unique(labels):
        order = rng.permutation(np.unique(groups[labels == label]))
        first, last = round(train * len(order)), round((train + val) * len(order))
        splits[np.isin(groups, order[first:last])] = VAL
        splits[np.isin(groups, order[last:])] = TEST
    return splits


def coarse(tiles: Tiles, levels: int) -> Tiles:
    """The same tiles with `levels` evenly spaced values a channel, black and white included."""
    step = 255 / (levels - 1)
    images = (np.round(tiles.images / step) * step).round().astype(np.uint8)
    return Tiles(tiles.classes, images, tiles.labels, tiles.splits)


def distinct(tiles: Tiles) -> Ints:
    """The indices, in order, that are left when exact duplicates over all splits are dropped.

    Of equal images with one label the first of the lowest split stays (train before val before
    test); equal images with differing labels are all dropped.
    """
    keys = [image.tobytes() for image in tiles.images]
    labels_of: dict[bytes, set[int]] = {}
    for key, label in zip(keys, tiles.labels.tolist(), strict=True):
        labels_of.setdefault(key, set()).add(label)
    kept: dict[bytes, int] = {}
    for index in np.argsort(tiles.splits, kind="stable").tolist():
        if len(labels_of[keys[index]]) == 1:
            kept.setdefault(keys[index], index)
    return np.sort(np.fromiter(kept.values(), np.int64))


def in_file_order(tiles: Tiles, rng: Generator) -> Tiles:
    """Train, then val, then test, each shuffled: any first images of a split are a fair sample."""
    shuffled = rng.permutation(len(tiles))
    return tiles.take(shuffled[np.argsort(tiles.splits[shuffled], kind="stable")])
