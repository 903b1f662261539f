"""The images of one domain in the cache, as they are read."""

import hashlib
import pathlib
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mpnas_kit import files
from mpnas_kit.errors import MpnasError

FORMAT = 1
RECORD = np.dtype([("digest", "V16"), ("hash", "<u8"), ("group", "<i8"), ("bad", "?")])
"""What the index has per image: hash of its pixels, its difference hash, the position of the first
of its duplicates, and whether it cannot be read."""


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """The file header.json. index: checksum of index.bin."""

    format: int
    decoder: str
    shape: tuple[int, int, int, int]
    index: str


class CachedImages:
    """Decoded images in the cache.

    folder: their folder.
    shape: (n, C, H, W).
    index: one `RECORD` per image, (n,).
    bad: why an image cannot be read, by its position. Its pixels are 0.

    Raises `MpnasError` if the folder is damaged.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        header = files.read_json(folder / "header.json", Header)
        self.shape = header.shape
        content = files.read_bytes(folder / "index.bin")
        size = files.stamp(str(folder / "pixels.bin"))
        whole = size is not None and size.size == int(np.prod(self.shape))
        whole = whole and len(content) == self.shape[0] * RECORD.itemsize
        if not whole or hashlib.sha256(content).hexdigest() != header.index:
            raise MpnasError(f"{folder} is damaged: delete it.")
        self.index = np.frombuffer(content, RECORD)
        self.bad = {
            int(k): v for k, v in files.read_json(folder / "bad.json", dict[str, str]).items()
        }

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """All images, uint8 (n, C, H, W). The system reads a page when it is first used."""
        with files.file_errors("read", self.folder / "pixels.bin"):
            return np.memmap(self.folder / "pixels.bin", np.uint8, "r", shape=self.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder. Another process maps the same file."""
        return CachedImages, (self.folder,)
