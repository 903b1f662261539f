"""Entries of the cache: which there are, how large they are, and how they are removed.

An entry is removed only when a person asks for it, and never while a process uses it.
"""

import contextlib
import pathlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mpnas_kit import files
from mpnas_kit.domains.cached_images import Header
from mpnas_kit.errors import MpnasError

GONE = ".gone"  # ends the name of a folder that is being removed
_UNUSUAL = {".part": "unfinished", GONE: "removed in part"}
_KEY = re.compile(r"[0-9a-f]{40}(?:\.part|\.gone)?")  # all other names are not of the cache


@dataclass(frozen=True)
class CacheEntry:
    """What the cache has of one domain, or of one list of files.

    folder: its folder, or its file.
    what: what it is, such as `domain 'pets'`.
    shape: (n, C, H, W) of images; None: it has none.
    state: `ready`, `unfinished`, `removed in part` or `damaged`; or `list`: hashes of files, or
    splits of a suite.
    bytes: its size on the disk.
    used: time of the last use, in seconds since 1970.
    """

    folder: pathlib.Path
    what: str
    shape: tuple[int, int, int, int] | None
    state: Literal["ready", "unfinished", "removed in part", "damaged", "list"]
    bytes: int
    used: float

    def remove(self) -> bool:
        """Remove the entry, unless a process uses it. Return whether it is removed."""
        if self.state == "list":
            files.remove_file(self.folder)
            return True
        gone = self.folder.with_suffix(GONE)
        if self.state != "removed in part" and not self._renamed(gone):
            return False
        files.remove_folder(gone)
        return True

    def _renamed(self, gone: pathlib.Path) -> bool:
        """Give the folder another name, unless a process prepares or reads its images."""
        after = f"Remove {self.folder} yourself when no command uses it."
        with files.locked_at_once(self.folder.with_suffix(".lock"), after) as is_free:
            if not is_free or not files.exists(self.folder):
                return is_free
            with files.locked_at_once(self.folder / "pixels.bin", after) as is_free:
                if is_free:
                    files.remove_folder(gone)
                    files.rename_folder(self.folder, gone)
                return is_free


def cache_entries() -> list[CacheEntry]:
    """Return what is in the cache. What was used last comes first."""
    cache = files.cache_folder()
    found = [*_images(cache / "images"), *_lists(cache / "sources"), *_lists(cache / "suites")]
    return sorted(found, key=lambda entry: -entry.used)


def _images(folder: pathlib.Path) -> Iterator[CacheEntry]:
    for name in filter(_KEY.fullmatch, files.names_in(folder)):
        place = folder / name
        inside = {each: files.stamp(str(place / each)) for each in _names_in(place)}
        stamps = {each: stamp for each, stamp in inside.items() if stamp is not None}
        if not stamps:
            continue
        what, shape, state = "unknown images", None, _UNUSUAL.get(place.suffix, "damaged")
        with contextlib.suppress(MpnasError):  # there is no header, or it is damaged
            header = files.read_json(place / "header.json", Header)
            what, shape = header.name or what, header.shape
            state = "ready" if state == "damaged" else state
        times = [stamp.modified for stamp in stamps.values()]
        used = stamps["header.json"].modified if "header.json" in stamps else max(times)
        size = sum(stamp.size for stamp in stamps.values())
        yield CacheEntry(place, what, shape, state, size, used / 1e9)  # type: ignore[arg-type]


def _names_in(folder: pathlib.Path) -> list[str]:
    return files.names_in(folder) if folder.is_dir() else []


def _lists(folder: pathlib.Path) -> Iterator[CacheEntry]:
    what = {"sources": "hashes of files", "suites": "splits of a suite"}[folder.name]
    for name in filter(_KEY.fullmatch, files.names_in(folder)):
        stamp = files.stamp(str(folder / name))
        if stamp is not None:
            yield CacheEntry(folder / name, what, None, "list", stamp.size, stamp.modified / 1e9)


def remove_beyond(entries: Sequence[CacheEntry], limit: float) -> list[CacheEntry]:
    """Remove the longest unused entries until at most `limit` bytes stay.

    Return those that should go and stay, because a process uses them. Others go instead of them.
    """
    over, kept = sum(entry.bytes for entry in entries) - limit, []
    for entry in sorted(entries, key=lambda entry: entry.used):
        if over <= 0:
            break
        if entry.remove():
            over -= entry.bytes
        else:
            kept.append(entry)
    return kept


def unused_for(entries: Sequence[CacheEntry], days: float) -> list[CacheEntry]:
    """Return the entries that were not used for some days."""
    latest = time.time() - 24 * 3600 * days
    return [entry for entry in entries if entry.used < latest]
