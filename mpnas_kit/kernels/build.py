"""Where a library of kernels comes from: from the wheel, or from a compiler at its first use.

    PACKAGE/kernels/prebuilt/    in a wheel: one library per level
    CACHE/kernels/               libraries that were compiled on this machine
        LEVEL-HASH.so            a library
        LEVEL-HASH.sha256        its checksum
        lock                     one process at a time compiles

HASH is that of sources, compiler and flags, so a new release or another compiler has another file.
Loading a library is running it. So `CACHE/kernels` is private to its user, and a library is loaded
only if it has its checksum: one that a full disk or a crash damaged is compiled again. If the cache
cannot be used, the library is compiled in a temporary folder, for this process alone.
"""

import contextlib
import ctypes
import hashlib
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from mpnas_kit import files
from mpnas_kit.errors import MpnasError, reason
from mpnas_kit.kernels.compiler import SUFFIXES, SUM, Compilation, Compiler, NotCompiled

ABI = 2  # what `mpnas_kernels_abi` returns: it counts changes of the functions' arguments
_WAIT = "mpnas: compiling the native kernels, which takes up to a minute"
PREBUILT = pathlib.Path(__file__).parent / "prebuilt"


class Built(NamedTuple):
    """A loaded library.

    name: `LEVEL-HASH`. functions: its functions.
    """

    name: str
    functions: ctypes.CDLL


def native(level: str, openmp: bool, source: pathlib.Path, prebuilt: pathlib.Path) -> Built:
    """Return the library for a level of processors.

    level: a level of `compiler.LEVELS`.
    openmp: whether this process has loaded the OpenMP runtime of GCC.
    source: folder with the sources.
    prebuilt: folder with libraries that were compiled before. It need not exist.

    Raises `MpnasError` if there is no library and none can be compiled.
    """
    for name in files.names_in(prebuilt):
        library = prebuilt / name
        if name.startswith(f"{level}-") and library.suffix == ".so" and _is_whole(library):
            with contextlib.suppress(MpnasError):  # it is for another libc or another OpenMP
                return Built(library.stem, _load(library))
    names = [name for name in files.names_in(source) if name.endswith(SUFFIXES)]
    sources = {name: files.read_bytes(source / name) for name in names}
    try:
        compiler = Compiler.find()
        compilation = Compilation(compiler, level, openmp and compiler.is_gcc)
        name = compilation.name(sources)
        try:
            return Built(name, _from_cache(compilation, name, source))
        except MpnasError:  # nothing can be written there, or nothing there can be executed
            with _compiled(compilation, source) as library:
                return Built(name, _load(library))
    except NotCompiled as error:
        raise MpnasError(f"{error}.") from None


def _from_cache(compilation: Compilation, name: str, source: pathlib.Path) -> ctypes.CDLL:
    """Load a library from the cache. If it is missing or damaged, it is compiled first."""
    folder = files.make_private_folder(files.cache_folder() / "kernels")
    library = folder / f"{name}.so"
    if not _is_whole(library):
        with files.locked(folder / "lock"):
            if not _is_whole(library):  # another process may have compiled it meanwhile
                files.remove_unfinished(folder)
                with _compiled(compilation, source) as new:
                    content = files.read_bytes(new)
                checksum = hashlib.sha256(content).hexdigest().encode()
                files.write_together({library: content, library.with_suffix(SUM): checksum})
    return _load(library)


def _is_whole(library: pathlib.Path) -> bool:
    """Return whether a library exists and has its checksum."""
    checksum = library.with_suffix(SUM)
    if not (files.exists(library) and files.exists(checksum)):
        return False
    return files.checksum(library).encode() == files.read_bytes(checksum)


@contextlib.contextmanager
def _compiled(compilation: Compilation, source: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a library that is compiled now. Its file is removed afterwards."""
    with (
        files.file_errors("write", "temporary files"),
        tempfile.TemporaryDirectory(prefix="mpnas-") as folder,
    ):
        library = pathlib.Path(folder) / "kernels.so"
        print(_WAIT, file=sys.stderr, flush=True)
        compilation.compile(source, library)
        yield library


def _load(library: pathlib.Path) -> ctypes.CDLL:
    """Load a library. Raises `MpnasError` if it cannot be loaded, or has other functions."""
    try:
        functions = ctypes.CDLL(str(library))
        functions.mpnas_kernels_abi.restype = ctypes.c_int64
        abi = functions.mpnas_kernels_abi()
    except (OSError, AttributeError) as error:
        raise MpnasError(f"{library} cannot be loaded: {reason(error)}.") from None
    if abi != ABI:
        raise MpnasError(f"{library} has ABI {abi}: expected {ABI}.")
    return functions
