"""The cache: images that are decoded once, and then read by index from a file.

    CACHE/sources/KEY         hashes of the contents of some files, by their names, sizes and times
    CACHE/images/KEY          the decoded images of one domain, by their contents and how they fit
        header.json           number and shape; written last
        pixels.bin            uint8 (n, C, H, W), mapped into memory
        index.bin             one record per image: hash of its pixels, group of duplicates
        bad.json              reason per image that cannot be read, by position
    CACHE/images/KEY.part     the same, unfinished: a killed preparation continues in it
    CACHE/images/KEY.lock     one process at a time prepares these images

CACHE is the folder in the environment variable `MPNAS_CACHE`. By default it is `mpnas-kit` in
`XDG_CACHE_HOME`, or in `~/.cache`. All of it can be deleted at any time.
"""

import hashlib
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mpnas_kit import files
from mpnas_kit.domains.decoding import DECODER, BadImage, Fit, decode, is_grey
from mpnas_kit.domains.duplicates import difference_hashes, duplicate_groups
from mpnas_kit.errors import MpnasError

T = TypeVar("T")
FORMAT = 1
RECORD = np.dtype([("digest", "V16"), ("hash", "<u8"), ("group", "<i8"), ("bad", "?")])
_PART_BYTES = 4_000_000  # pixels that are decoded by one task
_PART_IMAGES = 1024
_SPARE = 50_000_000  # bytes that are left free on the disk
_HASH = 32  # bytes of a hash of a file
_SMALL = 50_000_000  # bytes of a preparation whose size is not told
_QUICK = 2.0  # seconds; a shorter preparation says nothing

Tell = Callable[[str], None]


def cache_folder() -> pathlib.Path:
    """Return the folder of the cache. It need not exist."""
    given = os.environ.get("MPNAS_CACHE")
    if given:
        return files.as_path(given, "MPNAS_CACHE").absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = pathlib.Path(base) if os.path.isabs(base) else files.as_path("~/.cache", "the cache")
    return home / "mpnas-kit"


class _Header(msgspec.Struct, forbid_unknown_fields=True):
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
        header = files.read_json(folder / "header.json", _Header)
        self.shape = header.shape
        content = files.read_bytes(folder / "index.bin")
        size = files.stamp(str(folder / "pixels.bin"))
        whole = size is not None and size.size == int(np.prod(self.shape))
        whole = whole and len(content) == self.shape[0] * RECORD.itemsize
        if not whole or hashlib.sha256(content).hexdigest() != header.index:
            raise MpnasError(f"{folder} is damaged: delete it.")
        self.index = np.frombuffer(content, RECORD)
        self.bad = {int(k): v for k, v in files.read_json(folder / "bad.json", _Reasons).items()}

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """All images, uint8 (n, C, H, W). The system reads a page when it is first used."""
        with files.file_errors("read", self.folder / "pixels.bin"):
            return np.memmap(self.folder / "pixels.bin", np.uint8, "r", shape=self.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder. Another process maps the same file."""
        return CachedImages, (self.folder,)


_Reasons = dict[str, str]


def prepare(paths: Sequence[str], fit: Fit, name: str, tell: Tell | None = None) -> CachedImages:
    """Return the images of some files from the cache. What the cache lacks is decoded.

    paths: absolute paths.
    fit: size and channels. Channels None: 1 if all readable images are grey, otherwise 3.
    name: what the images are, for messages.
    tell: called with a line of text if it takes long; None: lines are written to stderr.

    An image that cannot be read is `bad` in the result. A killed preparation continues. Several
    processes can prepare the same images at once: one does it, the others wait.

    Raises `MpnasError` if the disk is too small, or a file changes meanwhile.
    """
    progress = _Progress(name, tell or _to_stderr)
    cache = cache_folder()
    for kind in ("sources", "images"):
        files.make_folder(cache / kind)
    hashes, grey = _sources(paths, cache / "sources", progress)
    fit = replace(fit, channels=fit.channels or (1 if grey else 3))
    about = repr((FORMAT, DECODER, fit, len(paths))).encode()
    key = hashlib.sha256(about + hashes).hexdigest()[:40]
    folder = cache / "images" / key
    found = _opened(folder)
    if found is not None:
        return found
    with files.locked(folder.with_suffix(".lock")):
        found = _opened(folder)  # another process may have prepared it meanwhile
        if found is None:
            files.remove_folder(folder)  # it is damaged
            _Preparation(paths, hashes, fit, folder, progress).run()
            found = CachedImages(folder)
    return found


def _opened(folder: pathlib.Path) -> CachedImages | None:
    """Return the images in a folder, or None if they are missing or damaged."""
    if not files.exists(folder / "header.json"):
        return None
    try:
        return CachedImages(folder)
    except ValueError:  # also an `MpnasError`
        return None


# Contents -----------------------------------------------------------------------------------------


def _sources(
    paths: Sequence[str], folder: pathlib.Path, progress: "_Progress"
) -> tuple[bytes, bool]:
    """Return the hashes of the contents of files, and whether all readable ones are grey images.

    If names, sizes and times are those of an earlier call, no file is read.
    """
    digest = hashlib.sha256(DECODER.encode())
    for path in paths:
        digest.update(repr((os.fsencode(path), files.stamp(path))).encode())
    file = folder / digest.hexdigest()[:40]
    if files.exists(file):
        content = files.read_bytes(file)
        body, check = content[:-_HASH], content[-_HASH:]
        whole = len(body) == 1 + _HASH * len(paths) and hashlib.sha256(body).digest() == check
        if whole:
            return body[1:], body[:1] == b"\1"

    def look(part: Sequence[str]) -> list[tuple[bytes, bool]]:
        return [_hash_and_grey(path) for path in part]

    parts = [paths[i : i + 256] for i in range(0, len(paths), 256)]
    hashes, grey = [], True
    for found in _in_order(look, parts):
        hashes += [value for value, _ in found]
        grey = grey and all(is_grey for _, is_grey in found)
        progress.say("reading", len(hashes), len(paths))
    body = bytes([grey]) + b"".join(hashes)
    files.write_bytes(file, body + hashlib.sha256(body).digest())
    return body[1:], grey


def _hash_and_grey(path: str) -> tuple[bytes, bool]:
    """Return the hash of a file's content, and False if it is an image with colours."""
    try:
        content = _read(path)
    except BadImage as error:
        return hashlib.sha256(f"unreadable: {error}".encode()).digest(), True
    try:
        grey = is_grey(content)
    except BadImage:
        grey = True
    return hashlib.sha256(content).digest(), grey


def _read(path: str) -> bytes:
    """Return the content of a file. Raises `BadImage` with the reason if that is impossible."""
    try:
        return files.read_bytes(pathlib.Path(path))
    except MpnasError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise BadImage(f"it cannot be read ({reason})") from None


# Preparation --------------------------------------------------------------------------------------


class _Preparation:
    """The decoding of the images of a folder in the cache.

    paths, hashes: files, and the hashes of their contents.
    fit: size and channels.
    folder: the folder to prepare.
    """

    def __init__(
        self,
        paths: Sequence[str],
        hashes: bytes,
        fit: Fit,
        folder: pathlib.Path,
        progress: "_Progress",
    ) -> None:
        self.paths, self.hashes, self.fit, self.progress = paths, hashes, fit, progress
        self.folder, self.part = folder, folder.with_suffix(".part")
        assert fit.channels is not None
        self.shape = (len(paths), fit.channels, fit.resolution, fit.resolution)
        self.bytes = int(np.prod(self.shape[1:]))
        self.step = max(1, min(_PART_IMAGES, _PART_BYTES // self.bytes))

    def run(self) -> None:
        """Decode all images, and give the folder its name."""
        files.make_folder(self.part)
        count = len(self.paths)
        self._require_space(count * (self.bytes + RECORD.itemsize))
        starts = range(0, count, self.step)
        with (
            files.LargeFile(self.part / "pixels.bin", count * self.bytes) as pixels,
            files.LargeFile(self.part / "index.bin", count * RECORD.itemsize) as index,
            files.LargeFile(self.part / "done.bin", len(starts)) as done,
        ):
            marks = done.read(0, len(starts))
            todo = [
                start
                for i, start in enumerate(starts)
                if not (marks[i] and self._is_whole(start, pixels, index))
            ]
            for start, (images, about) in zip(todo, _in_order(self._decoded, todo), strict=True):
                pixels.write(start * self.bytes, images)
                index.write(start * RECORD.itemsize, about)
                done.write(start // self.step, b"\1")
                self.progress.say("decoding", min(start + self.step, count), count)
            pixels.sync()
            records = self._with_groups(index.read(0, index.size))
            index.write(0, records.tobytes())
            index.sync()
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
        count = min(self.step, len(self.paths) - start)
        images = pixels.read(start * self.bytes, count * self.bytes)
        content = index.read(start * RECORD.itemsize, count * RECORD.itemsize)
        digests = np.frombuffer(content, RECORD)["digest"]
        return bool((digests == _digests(images, count)).all())

    def _decoded(self, start: int) -> tuple[bytes, bytes]:
        """Return the pixels and the records of the part that begins at an image."""
        count = min(self.step, len(self.paths) - start)
        images = np.zeros((count, *self.shape[1:]), dtype=np.uint8)
        records = np.zeros(count, dtype=RECORD)
        for i in range(count):
            try:
                images[i] = self._image(start + i)
            except BadImage:
                records["bad"][i] = True
        records["hash"] = difference_hashes(images)
        content = images.tobytes()
        records["digest"] = _digests(content, count)
        return content, records.tobytes()

    def _image(self, position: int) -> NDArray[np.uint8]:
        path = self.paths[position]
        content = _read(path)
        expected = self.hashes[_HASH * position : _HASH * (position + 1)]
        if hashlib.sha256(content).digest() != expected:
            raise MpnasError(f"{path} was changed while it was read: run the command again.")
        pixels: NDArray[np.uint8] = decode(content, self.fit).numpy()
        return pixels

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
        header = _Header(FORMAT, DECODER, self.shape, hashlib.sha256(records.tobytes()).hexdigest())
        files.write_json(self.part / "header.json", msgspec.to_builtins(header))
        files.rename_folder(self.part, self.folder)


def _digests(images: bytes, count: int) -> NDArray[np.void]:
    """Return the hash of the pixels of every image."""
    size = len(images) // count
    parts = (images[i * size : (i + 1) * size] for i in range(count))
    joined = b"".join(hashlib.blake2b(part, digest_size=16).digest() for part in parts)
    return np.frombuffer(joined, "V16")


def _in_order(function: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
    """Yield the results of a function in the order of the items. All cores are used.

    Decoders and hashes release Python's lock, so threads are enough. Only a few results wait in
    memory at a time.
    """
    cores = _cores()
    with _pool(cores) as pool:
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


class _Progress:
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


def _to_stderr(line: str) -> None:
    print(f"mpnas: {line}", file=sys.stderr, flush=True)
