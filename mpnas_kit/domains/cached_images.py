"""The images of one domain in the cache, as they are read."""

import contextlib
import hashlib
import pathlib
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.domains.originals import read_originals
from mpnas_kit.domains.split import count_pixels
from mpnas_kit.errors import MpnasError

FORMAT = 1
RECORD = np.dtype([("digest", "V16"), ("hash", "<u8"), ("group", "<i8"), ("bad", "?")])
"""What the index has per image: hash of its pixels, its difference hash, the position of the first
of its duplicates, and whether it cannot be read."""


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """The file header.json. index: checksum of index.bin. name: what the images are, in words."""

    format: int
    decoder: str
    shape: tuple[int, int, int, int]
    index: str
    name: str = ""


class CachedImages:
    """Decoded images in the cache. As long as the object exists, they are not removed.

    folder: their folder.
    shape: (n, C, H, W).
    bad: why an image cannot be read, by its position. Its pixels are 0.

    Raises `MpnasError` if the folder is damaged.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        header = files.read_json(folder / "header.json", Header)
        self.shape = header.shape
        self._rows = files.RowFile(folder / "pixels.bin", int(np.prod(self.shape[1:])))
        content = self._index_bytes()
        whole = self._rows.size == int(np.prod(self.shape))
        whole = whole and len(content) == self.shape[0] * RECORD.itemsize
        if not whole or hashlib.sha256(content).hexdigest() != header.index:
            raise MpnasError(f"{folder} is damaged: delete it.")
        self.bad = {
            int(k): v for k, v in files.read_json(folder / "bad.json", dict[str, str]).items()
        }

    def _index_bytes(self) -> bytes:
        return files.read_bytes(self.folder / "index.bin")

    @cached_property
    def index(self) -> NDArray[Any]:
        """One `RECORD` per image, (n,)."""
        return np.frombuffer(self._index_bytes(), RECORD)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at some positions (k,) in that order: uint8 (k, C, H, W)."""
        images = np.empty((len(positions), *self.shape[1:]), dtype=np.uint8)
        self._rows.read(positions.tolist(), images.reshape(-1).data)
        return images

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder. Another process opens the same file."""
        return CachedImages, (self.folder,)


class CachedSplit:
    """A split whose images are in the cache. They are read when they are taken.

    images: images of the domain in the cache.
    positions: positions of the split's images among them, int64 (n,).
    labels: class of every image, int64 (n,).
    fingerprint: the split's fingerprint, if it is known.
    """

    def __init__(
        self,
        images: CachedImages,
        positions: NDArray[np.int64],
        labels: NDArray[np.int64],
        fingerprint: str | None = None,
    ) -> None:
        self._images, self._positions, self._fingerprint = images, positions, fingerprint
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
        return torch.from_numpy(self._images.take(self._positions[index.numpy()]))

    def records(self) -> NDArray[Any]:
        """Return the hashes and groups of duplicates of all images: `RECORD` (n,)."""
        return self._images.index[self._positions]

    def originals(self) -> pd.DataFrame | None:
        """Return what the files of all images were (see `read_originals`); None: not known."""
        table = read_originals(self._images.folder, self._images.shape[0])
        return None if table is None else table.iloc[self._positions].reset_index(drop=True)

    def fingerprint(self) -> str:
        """Return a short hash over the hashes of all images, and the labels. No pixel is read."""
        if self._fingerprint is None:
            digest = hashlib.sha256(repr((self.shape, len(self))).encode())
            digest.update(self._images.index["digest"][self._positions].tobytes())
            digest.update(self._labels.numpy().tobytes())
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def pixel_counts(self) -> Tensor:
        """Return how often each pixel value occurs in each channel: int64 (C, 256).

        The images are read once. Later processes find the counts in the cache.
        """
        name = hashlib.sha256(self._positions.tobytes()).hexdigest()[:40]
        file = self._images.folder / f"counts-{name}.bin"
        found = files.read_checked(file)
        if found is not None:
            return torch.from_numpy(np.frombuffer(found, np.int64).reshape(-1, 256).copy())
        counts = count_pixels(self)
        with contextlib.suppress(MpnasError):  # a cache that can only be read
            files.write_bytes(file, files.with_checksum(counts.numpy().tobytes()))
        return counts
