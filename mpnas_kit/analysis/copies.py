"""Copies: images of a suite that show the same, within splits, across splits and across domains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mpnas_kit.domains.cached_images import CachedSplit
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.domains.duplicates import difference_hashes, duplicate_groups, thumbnails
from mpnas_kit.domains.split import CHUNK, Split, Subset, read

MOST_IMAGES = 100_000  # images per split that are compared
Indices = NDArray[np.int64]
_SIDE = 16  # pixels of the small versions that confirm near duplicates


@dataclass(frozen=True)
class Part:
    """The images of a split that are compared.

    domain, split: their names.
    images: all images of the split.
    index: positions of the compared images in the split, int64 (n,), ascending.
    """

    domain: str
    split: str
    images: Split
    index: Indices


class Copies(NamedTuple):
    """Copies among the images of a suite. Returned by `find_copies`.

    rows: all images that have a copy before them. Columns domain, split, image (index in the
    split), label (class index); other_domain, other_split, other_image, other_label: the first
    image of which it is a copy; kind (`exact` or `near`).
    counts: where copies are, one row per pair of splits that have some. Columns domain, split,
    other_domain, other_split, exact, near (numbers). Between two splits: images of the first that
    have a copy in the other, exact or only near. Within one split: images that have a copy before
    them.
    sampled: splits of which not all images were compared, such as `photos/train`.
    """

    rows: pd.DataFrame
    counts: pd.DataFrame
    sampled: tuple[str, ...]


def find_copies(suite: DomainSuite, most: int = MOST_IMAGES) -> Copies:
    """Return the copies among all images of a suite.

    Images are exact copies if their pixels are equal after decoding, and near copies as defined in
    `domains.duplicates`. Small versions in three channels are compared, so that images of domains
    that differ in size and channels can be copies of each other. Copies within a domain are those
    that the domain has alone: two images that are not alike are no copies of each other because
    both are like an image of another domain.

    suite: domains with their images.
    most: images per split that are compared. Of a larger split, so many are drawn at random.
    """
    parts = [
        Part(domain.name, name, domain.split(name), _some(len(domain.split(name)), most))
        for domain in suite
        for name in SPLITS
    ]
    number = np.repeat(np.arange(len(parts)), [len(part.index) for part in parts])
    image = np.concatenate([part.index for part in parts])
    groups, first = _groups(parts, number, image)
    own = groups.copy()
    for start in range(0, len(parts), len(SPLITS)):
        splits = parts[start : start + len(SPLITS)]  # of one domain
        (places,) = np.nonzero((number >= start) & (number < start + len(SPLITS)))
        own[places] = places[_groups(splits, number[places] - start, image[places])[0]]
    sampled = [p for p in parts if len(p.index) < len(p.images)]
    return Copies(
        _rows(parts, number, image, (own, groups), first),
        _counts(parts, number, (own, groups), first),
        tuple(f"{part.domain}/{part.split}" for part in sampled),
    )


def _some(count: int, most: int) -> Indices:
    if count <= most:
        return np.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return np.sort(order[:most].numpy())


def _rows(
    parts: Sequence[Part],
    number: Indices,
    image: Indices,
    groups: tuple[Indices, Indices],
    first: Indices,
) -> pd.DataFrame:
    """Return the rows of `Copies`.

    number, image: part and index in its split, of every compared image.
    groups: first copy of any kind of every compared image, in its domain and in all domains.
    first: first exact copy of every compared image.
    """
    own, everywhere = groups
    nearest = np.where(own != np.arange(len(own)), own, everywhere)
    (copies,) = np.nonzero(nearest != np.arange(len(own)))
    exact = first[copies] != copies
    others = np.where(exact, first[copies], nearest[copies])

    def about(index: Indices, prefix: str) -> dict[str, Any]:
        places = list(zip(number[index].tolist(), image[index].tolist(), strict=True))
        return {
            f"{prefix}domain": [parts[p].domain for p, _ in places],
            f"{prefix}split": [parts[p].split for p, _ in places],
            f"{prefix}image": [i for _, i in places],
            f"{prefix}label": [int(parts[p].images.labels[i]) for p, i in places],
        }

    kind = np.where(exact, "exact", "near")
    return pd.DataFrame({**about(copies, ""), **about(others, "other_"), "kind": kind})


def _counts(
    parts: Sequence[Part], number: Indices, groups: tuple[Indices, Indices], first: Indices
) -> pd.DataFrame:
    """Return the counts of `Copies` (see `_rows`)."""
    everywhere = groups[1]
    sizes = np.bincount(everywhere, minlength=len(everywhere))
    (members,) = np.nonzero(sizes[everywhere] > 1)
    part, same = number[members], first[members]
    rows = []
    for earlier, later in combinations_with_replacement(range(len(parts)), 2):
        own, other = part == later, part == earlier
        group = groups[parts[earlier].domain != parts[later].domain][members]
        if earlier == later:
            whole = int(own.sum()) - len(np.unique(group[own]))
            exact = int(own.sum()) - len(np.unique(same[own]))
        else:
            whole = int(np.isin(group[own], group[other]).sum())
            exact = int(np.isin(same[own], same[other]).sum())
        if whole:
            one, two = parts[later], parts[earlier]
            rows.append((one.domain, one.split, two.domain, two.split, exact, whole - exact))
    columns = ["domain", "split", "other_domain", "other_split", "exact", "near"]
    return pd.DataFrame(rows, columns=columns)


def _groups(parts: Sequence[Part], number: Indices, image: Indices) -> tuple[Indices, Indices]:
    """Return the first copy, exact or near, and the first exact copy of every compared image."""
    known = [_hashes(part.images, part.index) for part in parts]
    digests = np.concatenate([digest for digest, _ in known])
    hashes = np.concatenate([own for _, own in known])

    def small(index: Indices) -> NDArray[np.float32]:
        result = np.empty((len(index), 3, _SIDE, _SIDE), dtype=np.float32)
        for p in np.unique(number[index]):
            own = number[index] == p
            images = read(parts[p].images, torch.from_numpy(image[index[own]])).numpy()
            result[own] = thumbnails(images, _SIDE)
        return result

    _, start, inverse = np.unique(digests, return_index=True, return_inverse=True)
    return duplicate_groups(digests, hashes, small), start[inverse]


def _hashes(split: Split, index: Indices) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    """Return the hash of the pixels and the difference hash of images of a split."""
    if isinstance(split, CachedSplit):
        records = split.records()[index]
        return records["digest"], records["hash"]
    if isinstance(split, Subset):
        return _hashes(split.split, split.index.numpy()[index])
    digests, hashes = [], []
    for images in _chunks(split, index):
        digests += [blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        hashes.append(difference_hashes(images))
    return np.frombuffer(b"".join(digests), "V16"), np.concatenate(hashes)


def _chunks(split: Split, index: Indices) -> Iterator[NDArray[np.uint8]]:
    for part in torch.from_numpy(index).split(CHUNK):
        yield read(split, part).numpy()
