"""Duplicates: which images of a domain show the same, exactly or nearly.

Exact duplicates have the same pixels after decoding. Near duplicates are found in two steps (ours).
A difference hash of 64 bits (8 rows of 8 comparisons between neighbours in a 9 x 8 thumbnail)
selects pairs that differ in at most 3 bits. A pair counts if its 16 x 16 thumbnails differ little,
compared with their contrast:

    rms(a - b) <= 1 + 0.1 * standard deviation of a

So scans of different objects that only look alike are kept apart.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BITS = 3  # in which the hashes of near duplicates differ
MOST_PAIRS = 64  # pairs per image that are compared by their pixels
_MARGIN = 2.0  # by which a neighbour must be brighter, so that noise in even areas does not count
_BANDS = MOST_BITS + 1  # if at most 3 bits differ, one of 4 bands of 16 bits is equal
_PART = 2048  # pairs that are read at once

Pixels = Callable[[NDArray[np.int64]], NDArray[np.uint8] | NDArray[np.float32]]


def difference_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the difference hash of every image: uint8 (n, C, H, W) -> uint64 (n,)."""
    small = _pooled(images.mean(1, dtype=np.float32), 8, 9)
    brighter = small[:, :, 1:] > small[:, :, :-1] + _MARGIN
    return np.packbits(brighter.reshape(len(images), 64), axis=1).view("<u8")[:, 0]


def thumbnails(images: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Return small versions in three channels: (n, C, H, W) -> (n, 3, size, size).

    As pixels of `duplicate_groups` they give the same groups as the images, if these have the same
    channels.
    """
    small = _pooled(images, size, size)
    return np.broadcast_to(small, (len(small), 3, size, size))


def duplicate_groups(
    digests: NDArray[np.void], hashes: NDArray[np.uint64], pixels: Pixels
) -> NDArray[np.int64]:
    """Return the group of every image: the position of its first duplicate, or its own.

    digests: equal if and only if the pixels are equal, (n,).
    hashes: difference hashes, (n,).
    pixels: returns the images at some positions, (k, C, H, W), or their `thumbnails`.
    """
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    distinct = np.sort(first)
    groups = Groups(len(digests))
    groups.join(np.arange(len(digests)), first[inverse])
    for left, right in _pairs(hashes[distinct]):
        for start in range(0, len(left), _PART):
            a, b = distinct[left[start : start + _PART]], distinct[right[start : start + _PART]]
            near = _look_alike(pixels(a), pixels(b))
            groups.join(a[near], b[near])
    return groups.first()


class Groups:
    """Items that are joined into groups.

    count: number of items. At first, each is a group.
    """

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, items: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Join the group of each item with the group of the other at the same place."""
        for item, other in zip(items.tolist(), others.tolist(), strict=True):
            if item != other:
                a, b = self._root(item), self._root(other)
                self._parent[max(a, b)] = min(a, b)

    def first(self) -> NDArray[np.int64]:
        """Return the first item of the group of every item."""
        return np.array([self._root(item) for item in range(len(self._parent))], dtype=np.int64)

    def _root(self, item: int) -> int:
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item


def _pairs(hashes: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of positions whose hashes differ in few bits, each position as (k,), (k,)."""
    compared = np.zeros(len(hashes), dtype=np.int64)
    bands = [(hashes >> np.uint64(16 * band)).astype(np.uint16) for band in range(_BANDS)]
    for band, keys in enumerate(bands):
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(np.diff(keys[order])) + 1
        lefts, rights, waiting = [], [], 0
        for start, end in zip([0, *bounds], [*bounds, len(order)], strict=True):
            for place in range(start, end - 1):
                item, others = order[place], order[place + 1 : end]
                bits = np.bitwise_count(hashes[others] ^ hashes[item])
                close = bits <= MOST_BITS
                for before in bands[:band]:  # an earlier band had this pair
                    close &= before[others] != before[item]
                near = others[close][: MOST_PAIRS - compared[item]]
                if len(near):
                    compared[item] += len(near)
                    lefts.append(np.full(len(near), item))
                    rights.append(near)
                    waiting += len(near)
            if waiting >= _PART:
                yield np.concatenate(lefts), np.concatenate(rights)
                lefts, rights, waiting = [], [], 0
        if lefts:
            yield np.concatenate(lefts), np.concatenate(rights)


def _look_alike(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each image of `a` is a near duplicate of that of `b`."""
    one, other = (_pooled(x, 16, 16).reshape(len(x), -1) for x in (a, b))
    difference = np.sqrt(np.square(one - other).mean(1))
    return np.asarray(difference <= 1 + 0.1 * one.std(1))


def _pooled(images: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Return thumbnails: (..., H, W) -> (..., height, width), the mean over each cell.

    NumPy is used because torch would start its threads in every thread of a preparation.
    """
    *rest, tall, wide = images.shape
    if tall % height == 0 and wide % width == 0:  # ten times as fast
        sums = np.zeros((*rest, height, width), dtype=np.float32)
        for top in range(tall // height):
            for left in range(wide // width):
                sums += images[..., top :: tall // height, left :: wide // width]
        return np.asarray(sums / (tall // height * (wide // width)), dtype=np.float32)
    for axis, size in ((-1, width), (-2, height)):
        count = images.shape[axis]
        starts = np.arange(size) * count // size
        lengths = np.maximum(np.diff(starts, append=count), 1)  # 1 if the image has fewer pixels
        cells = np.add.reduceat(images, starts, axis, dtype=np.float32)
        images = cells / lengths.reshape((-1, 1) if axis == -2 else -1).astype(np.float32)
    return images
