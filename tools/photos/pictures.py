"""Labelled pictures of one domain: sources in groups, splits that do not leak, and pictures."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from photos import split_blocks
from PIL import Image
from tiles import Ints

from mpnas_kit.domains.duplicates import difference_hashes, duplicate_groups

SIDE = 96
RESOLUTION = 64  # at which the suite is used by default
WHITE = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Source:
    """One picture of a package, before pictures of the domain are made of it.

    label: index of its class.
    group: sources of one group are in one split.
    image: "L", "RGB" or "RGBA", of any size.
    """

    label: int
    group: str
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a domain.

    label: index of its class.
    split: 0 train, 1 val, 2 test.
    image: "L" or "RGB".
    """

    label: int
    split: int
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Domain:
    """All pictures of a domain.

    classes: names of the classes.
    pictures: in the order in which they are written.
    """

    classes: tuple[str, ...]
    pictures: list[Picture]

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of train, val and test pictures."""
        splits = [picture.split for picture in self.pictures]
        return splits.count(0), splits.count(1), splits.count(2)


@dataclass(frozen=True)
class Packages:
    """Folder that has the files of the Debian packages: `/` if they are installed."""

    root: Path

    def file(self, package: str, path: str) -> Path:
        """Return a file or folder of a Debian package."""
        found = self.root / path
        if not found.exists():
            raise SystemExit(
                f"{found} is missing: unpack or install the Debian package {package}, "
                "see tools/photos/README.md."
            )
        return found


def flat(image: Image.Image) -> Image.Image:
    """Return an image on white, "RGB"."""
    layer = image.convert("RGBA")
    ground = Image.new("RGB", layer.size, WHITE)
    ground.paste(layer, (0, 0), layer)
    return ground


def look_alike(images: Sequence[Image.Image]) -> Ints:
    """Return the group of every image, int64 (n,): images of one group are near duplicates.

    They are compared at 64 x 64 pixels, by the rule by which the kit reports duplicates.
    """
    size = (RESOLUTION, RESOLUTION)
    small = [flat(image).resize(size, Image.Resampling.BICUBIC) for image in images]
    pixels = np.stack([np.asarray(image).transpose(2, 0, 1) for image in small])
    digests = [np.void(hashlib.sha256(image.tobytes()).digest()) for image in pixels]
    return duplicate_groups(np.array(digests), difference_hashes(pixels), lambda at: pixels[at])


def distinct(sources: Sequence[Source]) -> list[Source]:
    """Return the sources without near duplicates.

    Of near duplicates with one label, the first one stays. Those with different labels are all
    dropped.
    """
    near = look_alike([source.image for source in sources])
    labels_of: dict[int, set[int]] = {}
    for source, group in zip(sources, near.tolist(), strict=True):
        labels_of.setdefault(group, set()).add(source.label)
    return [
        source
        for at, (source, group) in enumerate(zip(sources, near.tolist(), strict=True))
        if at == group and len(labels_of[group]) == 1
    ]


def split(sources: Sequence[Source], rng: Generator) -> list[tuple[Source, int]]:
    """Return the distinct sources, each with its split: 0 train, 1 val, 2 test.

    Whole groups are assigned, so that every class comes near 60/20/20 %.
    """
    kept = distinct(sources)
    groups = np.unique([source.group for source in kept], return_inverse=True)[1]
    splits = split_blocks(np.array([source.label for source in kept]), groups, rng)
    return list(zip(kept, splits.tolist(), strict=True))


def pictures_of(
    sources: Sequence[tuple[Source, int]],
    count: int,
    draw: Callable[[Source, int], Image.Image | None],
) -> Iterator[Picture]:
    """Yield up to `count` pictures of every source.

    draw: returns a picture of a source for a split; None if it is of no use.
    """
    for source, part in sources:
        for _ in range(count):
            image = draw(source, part)
            if image is not None:
                yield Picture(source.label, part, image)


def without_leaks(domain: Domain) -> Domain:
    """Return a domain without pictures that nearly equal one of an earlier split."""
    ordered = sorted(domain.pictures, key=lambda picture: picture.split)
    first = look_alike([picture.image for picture in ordered]).tolist()
    kept = [p for p, at in zip(ordered, first, strict=True) if p.split == ordered[at].split]
    return Domain(domain.classes, kept)
