"""A disk that fails: the n-th change of a file in a folder is refused, as the system would."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

FULL, BROKEN, READ_ONLY = errno.ENOSPC, errno.EIO, errno.EROFS


class Count:
    """The number of changes so far."""

    changes = 0


@contextmanager
def failing(folder: Path, number: int, error: int = FULL) -> Iterator[Count]:
    """Inside, change `number` (from 1) of what is in `folder` fails.

    A disk that is full or read-only stays so: all later changes fail too. A write fails half way.
    Changes are creating, writing, syncing, renaming, linking, cutting, and making a folder.
    """
    count, place = Count(), str(folder)
    real = {name: getattr(os, name) for name in ("open", "write", *_PATHS, *_DESCRIPTORS)}

    def refused(target: str) -> bool:
        if not target.startswith(place):
            return False
        count.changes += 1
        return count.changes == number or (count.changes > number and error != BROKEN)

    def fail(target: str) -> Any:
        raise OSError(error, os.strerror(error), target)

    def opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) and refused(os.path.abspath(path)):
            fail(os.fspath(path))
        return int(real["open"](path, flags, *rest, **more))

    def write(descriptor: int, content: Any) -> int:
        if refused(_target(descriptor)):
            real["write"](descriptor, bytes(content)[: len(content) // 2])
            fail(_target(descriptor))
        return int(real["write"](descriptor, content))

    def of_path(name: str) -> Any:
        def changed(path: Any, *rest: Any, **more: Any) -> Any:
            if refused(os.path.abspath(path)):
                fail(os.fspath(path))
            return real[name](path, *rest, **more)

        return changed

    def of_descriptor(name: str) -> Any:
        def changed(descriptor: int) -> Any:
            if refused(_target(descriptor)):
                fail(_target(descriptor))
            return real[name](descriptor)

        return changed

    fakes = {"open": opened, "write": write}
    fakes |= {name: of_path(name) for name in _PATHS}
    fakes |= {name: of_descriptor(name) for name in _DESCRIPTORS}
    with mock.patch.multiple(os, **fakes):
        yield count


_PATHS = ("replace", "link", "truncate", "mkdir")
_DESCRIPTORS = ("fsync",)


def _target(descriptor: int) -> str:
    """Return the file that a descriptor is open for."""
    return os.readlink(f"/proc/self/fd/{descriptor}")
