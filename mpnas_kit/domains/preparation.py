"""Preparation: how images get into the cache, on all cores, with progress, and after a kill."""

import hashlib
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mpnas_kit import files
from mpnas_kit.domains.cached_images import FORMAT, RECORD, Header
from mpnas_kit.domains.decoding import DECODER, BadImage, Fit, Original, decode_with_original, quiet
from mpnas_kit.domains.duplicates import difference_hashes, duplicate_groups
from mpnas_kit.domains.originals import ORIGINAL, ORIGINALS, write_paths
from mpnas_kit.domains.sources import Source, place_of, read_image
from mpnas_kit.errors import MpnasError

T = TypeVar("T")
HASH = 32  # bytes of the hash of a file
_PART_BYTES = 4_000_000  # pixels that are decoded by one task
_PART_IMAGES = 1024
_SPARE = 50_000_000  # bytes that are left free on the disk
_SMALL = 50_000_000  # bytes of a preparation whose size is not told
_QUICK = 2.0  # seconds; a shorter preparation says nothing

Tell = Callable[[str], None]


class Preparation:
    """The decoding of the images of a folder in the cache.

    sources, hashes: where the images are, and the hashes of their contents.
    fit: size and channels.
    folder: the folder to prepare.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        hashes: bytes,
        fit: Fit,
        folder: pathlib.Path,
        progress: "Progress",
    ) -> None:
        self.sources, self.hashes, self.fit, self.progress = sources, hashes, fit, progress
        self.folder, self.part = folder, folder.with_suffix(".part")
        assert fit.channels is not None
        self.shape = (len(sources), fit.channels, fit.resolution, fit.resolution)
        self.bytes = int(np.prod(self.shape[1:]))
        self.step = max(1, min(_PART_IMAGES, _PART_BYTES // self.bytes))

    def run(self) -> None:
        """Decode all images, and give the folder its name."""
        files.make_folder(self.part)
        count = len(self.sources)
        self._require_space(count * (self.bytes + RECORD.itemsize))
        starts = range(0, count, self.step)
        with (
            files.LargeFile(self.part / "pixels.bin", count * self.bytes) as pixels,
            files.LargeFile(self.part / "index.bin", count * RECORD.itemsize) as index,
            files.LargeFile(self.part / ORIGINALS, count * ORIGINAL.itemsize) as originals,
            files.LargeFile(self.part / "done.bin", len(starts)) as done,
        ):
            marks = done.read(0, len(starts))
            todo = [
                start
                for i, start in enumerate(starts)
                if not (marks[i] and self._is_whole(start, pixels, index))
            ]
            decoded = in_order(self._decoded, todo)
            for start, (images, about, before) in zip(todo, decoded, strict=True):
                pixels.write(start * self.bytes, images)
                index.write(start * RECORD.itemsize, about)
                originals.write(start * ORIGINAL.itemsize, before)
                done.write(start // self.step, b"\1")
                self.progress.say("decoding", min(start + self.step, count), count)
            pixels.sync()
            records = self._with_groups(index.read(0, index.size))
            index.write(0, records.tobytes())
            index.sync()
            originals.sync()
        self._finish(records)

    def _require_space(self, needed: int) -> None:
        there = sum(
            found.size
            for name in files.names_in(self.part)
            if (found := files.stamp(str(self.part / name)))
        )
        free = files.free_bytes(self.part)
        self.progress.size(needed, self.part.parent)
        if needed - there > free - _SPARE:
            raise MpnasError(
                f"the images need {needed / 1e6:,.0f} MB in the cache {self.part.parent}, but its "
                f"disk has {free / 1e6:,.0f} MB free: make room, or name another folder in the "
                "environment variable MPNAS_CACHE."
            )

    def _is_whole(self, start: int, pixels: files.LargeFile, index: files.LargeFile) -> bool:
        """Return whether a part that an earlier process marked as done has reached the disk."""
        count = min(self.step, len(self.sources) - start)
        images = pixels.read(start * self.bytes, count * self.bytes)
        content = index.read(start * RECORD.itemsize, count * RECORD.itemsize)
        digests = np.frombuffer(content, RECORD)["digest"]
        return bool((digests == _digests(images, count)).all())

    def _decoded(self, start: int) -> tuple[bytes, bytes, bytes]:
        """Return pixels, records and originals of the part that begins at an image."""
        count = min(self.step, len(self.sources) - start)
        images = np.zeros((count, *self.shape[1:]), dtype=np.uint8)
        records = np.zeros(count, dtype=RECORD)
        originals = np.zeros(count, dtype=ORIGINAL)
        for i in range(count):
            try:
                images[i], originals[i] = self._image(start + i)
            except BadImage:
                records["bad"][i] = True
        records["hash"] = difference_hashes(images)
        content = images.tobytes()
        records["digest"] = _digests(content, count)
        return content, records.tobytes(), originals.tobytes()

    def _image(self, position: int) -> tuple[NDArray[np.uint8], Original]:
        source = self.sources[position]
        content = read_image(source)
        expected = self.hashes[HASH * position : HASH * (position + 1)]
        if hashlib.sha256(content).digest() != expected:
            raise MpnasError(
                f"{place_of(source)} was changed while it was read: run the command again."
            )
        pixels, original = decode_with_original(content, self.fit)
        return pixels.numpy(), original

    def _with_groups(self, content: bytes) -> NDArray[Any]:
        """Return all records with the groups of duplicates. Images that are bad are alone."""
        records = np.frombuffer(content, RECORD).copy()
        good = np.flatnonzero(~records["bad"])
        records["group"] = np.arange(len(records))
        with files.file_errors("read", self.part / "pixels.bin"):
            pixels = np.memmap(self.part / "pixels.bin", np.uint8, "r", shape=self.shape)
        groups = duplicate_groups(
            records["digest"][good], records["hash"][good], lambda index: pixels[good[index]]
        )
        records["group"][good] = good[groups]
        return records

    def _finish(self, records: NDArray[Any]) -> None:
        reasons = {}
        for position in np.flatnonzero(records["bad"]).tolist():
            try:
                self._image(position)
            except BadImage as error:
                reasons[str(position)] = str(error)
        files.write_json(self.part / "bad.json", reasons)
        write_paths(self.part, [place_of(source) for source in self.sources])
        index = hashlib.sha256(records.tobytes()).hexdigest()
        header = Header(FORMAT, DECODER, self.shape, index, self.progress.name)
        files.write_json(self.part / "header.json", msgspec.to_builtins(header))
        files.rename_folder(self.part, self.folder)


def _digests(images: bytes, count: int) -> NDArray[np.void]:
    """Return the hash of the pixels of every image."""
    size = len(images) // count
    parts = (images[i * size : (i + 1) * size] for i in range(count))
    joined = b"".join(hashlib.blake2b(part, digest_size=16).digest() for part in parts)
    return np.frombuffer(joined, "V16")


def in_order(function: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
    """Yield the results of a function in the order of the items. All cores are used.

    Decoders and hashes release Python's lock, so threads are enough. Only a few results wait in
    memory at a time.
    """
    cores = _cores()
    with _pool(cores) as pool, quiet:  # entered once here, it costs little per image
        waiting: list[Future[T]] = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > cores + 1:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _cores() -> int:
    """Return the number of cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(allowed(0)) if allowed else os.cpu_count() or 1


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads. After an error, tasks that have not begun are dropped."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Progress:
    """Lines about a preparation that takes long.

    name: what is prepared.
    tell: called with each line.
    """

    def __init__(self, name: str, tell: Tell) -> None:
        self.name, self._tell = name, tell
        self._last, self._wait = time.monotonic(), _QUICK

    def size(self, needed: int, folder: pathlib.Path) -> None:
        """Tell the size of the images before they are written, unless it is small."""
        if needed > _SMALL:
            self._tell(f"the images of {self.name} need {needed / 1e6:,.0f} MB in {folder}")

    def say(self, what: str, count: int, total: int) -> None:
        """Tell how many of all images are done, at first after 2 seconds, then more rarely."""
        now = time.monotonic()
        if now - self._last < self._wait or count == total:
            return
        self._tell(f"{what} the images of {self.name}: {count:,} of {total:,}")
        self._last, self._wait = now, min(2 * self._wait, 30.0)


def to_stderr(line: str) -> None:
    """Print a line for a person who waits."""
    print(f"mpnas: {line}", file=sys.stderr, flush=True)
