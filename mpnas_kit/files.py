"""Files: how the kit reads and writes them, and what it says if the file system refuses.

All files of run folders, reports and tables go through this module. A file is written under another
name, synced and then renamed, so a reader finds the old file or the new one, never half of one. If
the system refuses an operation, the error names the operation, the path and the system's reason. No
other module translates an `OSError`.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import pathlib
import secrets
import shutil
import stat
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

import msgspec

from mpnas_kit.errors import MpnasError, reason

T = TypeVar("T")
UNFINISHED = ".mpnas-tmp"  # ends the name of a file that is being written
_NEW = ".new-"  # begins such a name if the file replaces none
_UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EMLINK)


def as_path(given: object, what: str = "path") -> pathlib.Path:
    """Return a path that a person gave, with `~` replaced by the home folder.

    given: text or path.
    what: what the path is for, in an error.

    Raises `MpnasError` if it is not a path.

    >>> as_path("runs/quick")
    PosixPath('runs/quick')
    """
    if not isinstance(given, str | os.PathLike):
        raise MpnasError(f"{what} must be text or a path, not {given!r}.")
    text = os.fspath(given)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise MpnasError(f"{what} must be the path of a file or folder, not {text!r}.")
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError:  # a user who is not known here
        raise MpnasError(f"{what} {text!r} names a home folder that does not exist.") from None


@contextmanager
def file_errors(operation: str, path: object, after: str = "") -> Iterator[None]:
    """Turn an error of the file system into `MpnasError`: `cannot OPERATION PATH: REASON.`

    operation: what is done, such as "write".
    path: file or folder.
    after: another sentence, which says what to do.
    """
    try:
        yield
    except MpnasError:
        raise
    except (OSError, MemoryError, UnicodeError, ValueError) as error:
        why = "memory ran out" if isinstance(error, MemoryError) else reason(error)
        raise MpnasError(
            f"cannot {operation} {_shown(path)}: {why}.{after and ' '}{after}"
        ) from None


def _shown(path: object) -> str:
    """Return a path for a message: in one line, and not longer than two lines of a terminal."""
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 160 else f"{text[:80]}...{text[-60:]}"


def exists(path: str | pathlib.Path) -> bool:
    """Return whether there is a file or folder. Raises `MpnasError` if the system hides it."""
    with file_errors("look at", path):
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def names_in(folder: pathlib.Path) -> list[str]:
    """Return the sorted names of what is in a folder; empty if there is no such folder."""
    if not exists(folder):
        return []
    with file_errors("list", folder):
        return sorted(os.listdir(folder))


class Entry(NamedTuple):
    """What is in a folder under one name. A link counts as what it leads to.

    name: its name in the folder.
    kind: `file`, `folder`, or `other`: a device, a pipe, or a link that leads nowhere.
    """

    name: str
    kind: Literal["file", "folder", "other"]


def entries_in(folder: str | pathlib.Path) -> list[Entry]:
    """Return what is in a folder, sorted by name. Raises `MpnasError` if it cannot be listed."""
    found = []
    with file_errors("list", folder), os.scandir(folder) as scan:
        for item in scan:
            kind: Literal["file", "folder", "other"] = "other"
            with contextlib.suppress(OSError):  # a link that leads to itself
                kind = "file" if item.is_file() else "folder" if item.is_dir() else "other"
            found.append(Entry(item.name, kind))
    return sorted(found)


def resolved(path: str | pathlib.Path) -> str:
    """Return the absolute path with all links followed."""
    with file_errors("look at", path):
        return os.path.realpath(path)


def make_folder(folder: pathlib.Path) -> pathlib.Path:
    """Return the folder. Make it, and those above it, if it does not exist."""
    with file_errors("create the folder", folder):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_private_folder(folder: pathlib.Path) -> pathlib.Path:
    """Return the folder, in which only this user can write. Make it if it does not exist.

    Raises `MpnasError` if it belongs to another user, or others can write in it.
    """
    make_folder(folder.parent)
    with file_errors("create the folder", folder), contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    with file_errors("look at", folder):
        about = os.lstat(folder)
    own = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    if not own or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise MpnasError(
            f"cannot use {_shown(folder)}: expected a folder of this user in which nobody else can "
            "write."
        )
    return folder


def cache_folder() -> pathlib.Path:
    """Return the folder of the cache. It need not exist.

    It is that in the environment variable `MPNAS_CACHE`. By default it is `mpnas-kit` in
    `XDG_CACHE_HOME`, or in `~/.cache`.
    """
    given = os.environ.get("MPNAS_CACHE")
    if given:
        return as_path(given, "MPNAS_CACHE").absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = pathlib.Path(base) if os.path.isabs(base) else as_path("~/.cache", "the cache")
    return home / "mpnas-kit"


# Reading ------------------------------------------------------------------------------------------


def read_bytes(path: pathlib.Path, offset: int = 0) -> bytes:
    """Return the content of a regular file. Raises `MpnasError` if it cannot be read.

    path: file to read.
    offset: number of bytes at its begin that are not read.
    """
    with file_errors("read", path), open(path, "rb", opener=_without_waiting) as file:
        _require_regular(path, os.fstat(file.fileno()))
        file.seek(offset)
        return file.read()


def require_regular(path: pathlib.Path) -> None:
    """Raise `MpnasError` if there is no file, or a device or a pipe, which could wait for ever."""
    with file_errors("read", path):
        _require_regular(path, os.stat(path))


def _require_regular(path: pathlib.Path, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise MpnasError(f"cannot read {path}: it is a device or a pipe, not a file.")


def _without_waiting(path: str, flags: int) -> int:
    """Open a file. Opening a named pipe would otherwise wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_json(path: pathlib.Path, form: type[T]) -> T:
    """Return the content of a JSON file in UTF-8, UTF-16 or UTF-32, with or without a mark.

    path: file to read.
    form: type of the content (see `formed`).

    Raises `MpnasError` if the file cannot be read or its content has another form.
    """
    return parse_json(read_bytes(path), form, path)


def parse_json(content: bytes, form: type[T], where: object) -> T:
    """Return what JSON text holds.

    content: the encoded text.
    form: type of the content (see `formed`).
    where: file and place of the text, for an error.

    Raises `MpnasError` if the text is not valid JSON, has a key twice in one object, has a number
    that is not finite, is nested too deeply, or has another form.
    """
    return formed(_parsed(content, where), form, where)


def formed(content: object, form: type[T], where: object) -> T:
    """Return content that was read from JSON as a type. Nothing is converted by guessing.

    content: JSON values.
    form: any type that msgspec knows, such as a `msgspec.Struct` with the fields of an object.
    where: file of the content, for an error.

    Raises `MpnasError` that names the field, what was expected and what was found.

    >>> formed({"steps": 3}, dict[str, int], "config.json")
    {'steps': 3}
    """
    with _form_errors(where):
        return msgspec.convert(content, form)


@contextmanager
def _form_errors(where: object) -> Iterator[None]:
    """Turn an error about the form of JSON content into `MpnasError` that names the field."""
    try:
        yield
    except msgspec.ValidationError as error:
        why, _, at = str(error).partition(" - at `$")
        field = at.rstrip("`").lstrip(".")
        raise MpnasError(
            f"{_shown(where)} cannot be read: {field + ': ' if field else ''}"
            f"{why[:1].lower()}{why[1:].replace('`', '')}."
        ) from None
    except RecursionError:
        raise MpnasError(f"{_shown(where)} cannot be read: it is nested too deeply.") from None


def read_large_json(path: pathlib.Path, form: type[T]) -> T:
    """Return the content of a JSON file of many megabytes, which is in UTF-8.

    Fields that `form` lacks are never held in memory. If an object has a key twice, the last one
    counts; `read_json` refuses this, but needs many times the time and memory.

    path: file to read.
    form: type of the content (see `formed`).

    Raises `MpnasError` if the file cannot be read or its content has another form.
    """
    with _form_errors(path):
        try:
            return msgspec.json.decode(read_bytes(path), type=form)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeError) as error:
            raise MpnasError(f"{_shown(path)} cannot be read: {reason(error)}.") from None


def _parsed(content: bytes, where: object) -> Any:
    try:
        return json.loads(
            content.decode(json.detect_encoding(content)),
            object_pairs_hook=_without_duplicates,
            parse_constant=_not_finite,
            parse_float=_finite,
        )
    except RecursionError:
        why = "it is nested too deeply"
    except UnicodeError:
        why = "it is not UTF-8 text"
    except ValueError as error:
        why = reason(error)
    raise MpnasError(f"{_shown(where)} cannot be read: {why}.")


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"it has the key {twice!r} twice")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _not_finite(text)
    return number


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def checksum(path: pathlib.Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def with_checksum(content: bytes) -> bytes:
    """Return bytes and their checksum, for `read_checked`."""
    return content + hashlib.sha256(content).digest()


def read_checked(path: pathlib.Path) -> bytes | None:
    """Return the content of a file that was written `with_checksum`.

    Returns None if there is no such file, or it is damaged.
    """
    if not exists(path):
        return None
    content = read_bytes(path)
    size = len(content) - hashlib.sha256().digest_size
    whole = hashlib.sha256(memoryview(content)[: max(size, 0)]).digest() == content[max(size, 0) :]
    return content[:size] if whole else None


class Stamp(NamedTuple):
    """What changes when the content of a file changes, without reading it.

    size: bytes.
    modified, changed: times of the content and of the entry, nanoseconds.
    """

    size: int
    modified: int
    changed: int


def stamp(path: str) -> Stamp | None:
    """Return the stamp of a file; None if there is none, or the system hides it."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def stamps_in(folder: str | pathlib.Path) -> Iterator[tuple[str, bool, Stamp | None]]:
    """Yield what is in a folder in any order: its name, whether it is a folder, and its stamp.

    A link counts as what it leads to. The stamp of a folder is None, and so is that of a link that
    leads nowhere.

    Raises `MpnasError` if the folder cannot be listed.
    """
    with file_errors("list", folder), os.scandir(folder) as scan:
        for item in scan:
            is_folder, found = False, None
            with contextlib.suppress(OSError):  # a link that leads nowhere
                is_folder = item.is_dir()
                if not is_folder:
                    about = item.stat()
                    found = Stamp(about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            yield item.name, is_folder, found


# Writing ------------------------------------------------------------------------------------------


def write_bytes(path: pathlib.Path, content: bytes, after: str = "") -> pathlib.Path:
    """Write a file as a whole, or not at all. Return its path.

    A link with this name is replaced. What it points to is not touched.

    path: file to write. Its folder must exist.
    content: content of the file.
    after: another sentence for an error, which says what to do.

    Raises `MpnasError` if the file cannot be written. An earlier file is then as before.
    """
    with file_errors("write", path, after), _unnamed(path, content) as temporary:
        if path.is_dir():
            raise MpnasError(f"cannot write {_shown(path)}: it is a folder.")
        os.replace(temporary, path)
    return path


def append_bytes(path: pathlib.Path, content: bytes) -> None:
    """Append to a file, which is made if it does not exist. A link is not followed.

    Raises `MpnasError` if the file cannot be written. It may then have a part of the content.
    """
    with file_errors("write", path):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)


def write_together(contents: Mapping[pathlib.Path, bytes]) -> None:
    """Write several files, each as a whole, or none of them (see `write_bytes`).

    All are first written under other names, and then renamed. If a file cannot be renamed, earlier
    files are put back. Only a process that is killed between two renames leaves some of the files.

    contents: content of every file, at least one. Their folders must exist.

    Raises `MpnasError` if a file cannot be written.
    """
    with file_errors("write", next(iter(contents))), contextlib.ExitStack() as stack:
        ready: dict[pathlib.Path, pathlib.Path] = {}
        for path, content in contents.items():
            with file_errors("write", path):
                if path.is_dir():
                    raise MpnasError(f"cannot write {_shown(path)}: it is a folder.")
                ready[path] = stack.enter_context(_unnamed(path, content))
        for path, temporary in ready.items():
            with file_errors("write", path):
                stack.enter_context(_put_back_on_error(path))
                os.replace(temporary, path)


@contextmanager
def _put_back_on_error(path: pathlib.Path) -> Iterator[None]:
    """If the body fails, the file is as it was before: the earlier one, or none."""
    earlier = path.parent / f".{secrets.token_hex(4)}{UNFINISHED}"
    there = os.path.lexists(path)
    if there:
        try:
            os.link(path, earlier, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            shutil.copy2(path, earlier, follow_symlinks=False)  # a file system without links
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.replace(earlier, path) if there else os.unlink(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(earlier)


def write_new(path: pathlib.Path, content: bytes) -> None:
    """Write a file as a whole, unless there is one with this name (see `write_bytes`).

    If several processes do this at the same time, one of them writes the file. What killed
    processes left of it is removed.
    """
    if not exists(path):
        with file_errors("write", path), _unnamed(path, content, _NEW) as temporary:
            try:
                os.link(temporary, path)
            except OSError as error:
                if exists(path):  # another process wrote it, and may have removed `temporary`
                    return
                if error.errno not in _UNSUPPORTED:
                    raise
                os.replace(temporary, path)  # a file system without links
    remove_unfinished(path.parent, _NEW)


def require_writable(folder: pathlib.Path) -> None:
    """Raise `MpnasError` if no file can be written in a folder. Nothing is left there."""
    with file_errors("write in", folder), _unnamed(folder / "any", b""):
        pass


@contextmanager
def _unnamed(path: pathlib.Path, content: bytes, start: str = ".") -> Iterator[pathlib.Path]:
    """Yield a new, complete file beside `path`, which the body renames. Nothing else is left.

    start: how its name begins.
    """
    temporary = path.parent / f"{start}{secrets.token_hex(4)}{UNFINISHED}"
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
    )
    try:
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield temporary
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def write_text(path: pathlib.Path, text: str, after: str = "") -> pathlib.Path:
    """Write text as UTF-8 (see `write_bytes`). Lone surrogates become question marks."""
    return write_bytes(path, text.encode("utf-8", "replace"), after)


def write_json(path: pathlib.Path, content: Any, after: str = "") -> pathlib.Path:
    """Write indented JSON (see `write_bytes`)."""
    return write_bytes(path, json_bytes(content), after)


def json_bytes(content: Any) -> bytes:
    """Return indented JSON in UTF-8."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "replace")


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes to an open file. The system may accept only some of them at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: pathlib.Path) -> None:
    """Make a rename durable. Some file systems cannot sync a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def remove_unfinished(folder: pathlib.Path, start: str = "") -> None:
    """Remove files that a killed process did not finish. No other process may still need them.

    start: how their names begin.
    """
    for name in names_in(folder):
        if name.startswith(start) and name.endswith(UNFINISHED):
            with file_errors("remove", folder / name), contextlib.suppress(FileNotFoundError):
                os.unlink(folder / name)


# Large files --------------------------------------------------------------------------------------


@contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Wait until no other process is in this context for the same file, then enter it.

    path: a file that is made for this. Some file systems have no locks; there, nobody waits.
    """
    with file_errors("lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with file_errors("lock", path):
            _lock_if_possible(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_if_possible(descriptor: int, how: int) -> None:
    """Lock an open file. Some file systems have no locks; there, nothing happens."""
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.ENOLCK):
            raise


def is_locked(path: pathlib.Path) -> bool:
    """Return whether a process has locked a file for itself. No right to write is needed.

    For a few microseconds the file has a lock that several processes can have. So whoever locks it
    for itself tries again for a moment. Some file systems have no locks; there, it is not locked.

    path: an existing file.
    """
    with file_errors("look at", path):
        descriptor = _without_waiting(str(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _lock_if_possible(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


@contextmanager
def locked_at_once(path: pathlib.Path, after: str = "") -> Iterator[bool]:
    """Yield whether no other process is in `locked` or reads a `RowFile` of the same file.

    If so, none enters or begins to read until this context ends.

    path: a file that is made if it does not exist.
    after: another sentence for an error, which says what to do.

    Raises `MpnasError` if the file system has no locks.
    """
    with file_errors("lock", path, after):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with file_errors("lock", path, after):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_free = True
            except BlockingIOError:
                is_free = False
        yield is_free
    finally:
        os.close(descriptor)


class RowFile:
    """Rows of one size in a file, read by number. No row stays in memory, as a mapped one would.

    As long as the object exists, `locked_at_once` knows that the file is used.

    path: the file, which must exist.
    row: bytes of a row.
    size: bytes of the file.

    Raises `MpnasError` if it cannot be opened, or is removed meanwhile.
    """

    def __init__(self, path: pathlib.Path, row: int) -> None:
        self.path, self.row = path, row
        with file_errors("read", path):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags)
            weakref.finalize(self, os.close, self._descriptor)
            _lock_if_possible(self._descriptor, fcntl.LOCK_SH)
            opened = os.fstat(self._descriptor)
            if not os.path.samestat(opened, os.stat(path)):
                raise MpnasError(f"cannot read {_shown(path)}: it was replaced meanwhile.")
            self.size = opened.st_size

    def read(self, numbers: Sequence[int], into: memoryview) -> None:
        """Read rows in the order of their numbers.

        The system is told all of them first, so that it need not wait for one before it asks the
        disk for the next.

        numbers: numbers of the rows, from 0.
        into: bytes, (len(numbers) * row,).

        Raises `MpnasError` if the file cannot be read, or is too short.
        """
        row = self.row
        with file_errors("read", self.path):
            if hasattr(os, "posix_fadvise"):  # not on macOS
                for number in numbers:
                    os.posix_fadvise(self._descriptor, number * row, row, os.POSIX_FADV_WILLNEED)
            for i, number in enumerate(numbers):
                part = into[i * row : (i + 1) * row]
                if os.preadv(self._descriptor, [part], number * row) != row:
                    raise MpnasError(f"cannot read {_shown(self.path)}: it is cut short.")


class LargeFile:
    """A file of a fixed size that is written in parts, in any order. It is a context.

    path: the file. If it exists, its content stays.
    size: bytes. The space is reserved at once, so that a full disk is known before the work.

    Raises `MpnasError` if it cannot be opened, or the disk is full.
    """

    def __init__(self, path: pathlib.Path, size: int) -> None:
        self.path, self.size = path, size
        with file_errors("write", path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o666)
            try:
                if size > os.fstat(self._descriptor).st_size:
                    self._reserve()
                os.ftruncate(self._descriptor, size)
            except BaseException:
                os.close(self._descriptor)
                raise

    def _reserve(self) -> None:
        if not hasattr(os, "posix_fallocate"):  # macOS
            return
        try:
            os.posix_fallocate(self._descriptor, 0, self.size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise

    def __enter__(self) -> "LargeFile":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def write(self, offset: int, content: bytes) -> None:
        """Write bytes at a place. Raises `MpnasError` if the system refuses."""
        with file_errors("write", self.path):
            rest = memoryview(content)
            while rest:
                count = os.pwrite(self._descriptor, rest, offset)
                rest, offset = rest[count:], offset + count

    def read(self, offset: int, count: int) -> bytes:
        """Return the bytes at a place. Raises `MpnasError` if the system refuses."""
        with file_errors("read", self.path):
            return os.pread(self._descriptor, count, offset)

    def sync(self) -> None:
        """Make what was written durable."""
        with file_errors("write", self.path):
            os.fsync(self._descriptor)


def free_bytes(folder: pathlib.Path) -> int:
    """Return the number of bytes that can still be written to the disk of a folder."""
    with file_errors("look at", folder):
        return shutil.disk_usage(folder).free


def touch(path: pathlib.Path) -> None:
    """Set the time of a file to now, if it exists and the system allows it."""
    with contextlib.suppress(OSError):
        os.utime(path)


def rename_folder(folder: pathlib.Path, name: pathlib.Path) -> None:
    """Give a folder another name on the same disk, and make that durable."""
    with file_errors("rename", folder):
        os.rename(folder, name)
        _sync_folder(name.parent)


def remove_file(path: pathlib.Path) -> None:
    """Remove a file, if it exists."""
    with file_errors("remove", path), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_folder(folder: pathlib.Path) -> None:
    """Remove a folder with all that is in it, if it exists. Links in it are not followed."""
    with file_errors("remove", folder), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
