"""The compilation of a library: processor level, compiler and flags.

The build of a wheel loads this file alone, without the packages that the kit needs. So it imports
only the standard library.

A library is compiled for a *level*, a set of instructions that a processor must have. The levels of
x86-64 are those of its psABI (https://gitlab.com/x86-psABIs/x86-64-ABI). v4 is about AVX-512, v3
about AVX2 and FMA.

The flags leave NaN and infinity as they are, so -ffast-math is not among them. No C++ runtime is
linked, so a library loads on any Linux with glibc. OpenMP is not linked either: its symbols are
those that torch has loaded already, because two OpenMP runtimes in one process disturb each other.
Only GCC compiles to these symbols.
"""

import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

SOURCE = pathlib.Path(__file__).parent / "source"
UNIT = "block.cpp"  # the only translation unit
SUFFIXES = (".cpp", ".h")  # end the names of sources
SUM = ".sha256"  # ends the name of the file with the checksum of a library
_V3 = {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}  # names of Linux
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
LEVELS: Mapping[str, Mapping[str, Set[str]]] = {
    "x86_64": {"x86-64-v4": _V4, "x86-64-v3": _V3},
    "aarch64": {"armv8-a": set()},
    "arm64": {"armv8-a": set()},  # aarch64 on macOS
}
"""By machine (`platform.machine()`): the levels, best first, and the features each one needs."""
FLAGS = (
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fno-exceptions",
    "-fno-rtti",
)
_LIBRARIES = ("-nodefaultlibs", "-lc", "-lm", *(["-lgcc"] if sys.platform == "linux" else []))
_LONGEST = 300  # seconds that a compiler may take


class NotCompiled(Exception):
    """A library cannot be compiled. The message says why, without a full stop."""


def best_level(machine: str, features: Collection[str]) -> str | None:
    """Return the best level of a processor, or None if it has none.

    machine: its kind, as `platform.machine()` names it.
    features: its features, as Linux names them in /proc/cpuinfo.

    >>> best_level("x86_64", ["sse2", "avx"]) is None
    True
    """
    levels = LEVELS.get(machine, {})
    return next((level for level, needed in levels.items() if needed <= set(features)), None)


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler.

    command: the words that start it.
    version: first line of what it says about its version, without its name.
    is_gcc: whether it is GCC, which compiles OpenMP to the symbols that torch has.
    """

    command: tuple[str, ...]
    version: str
    is_gcc: bool

    @classmethod
    def find(cls) -> "Compiler":
        """Return the compiler in $CXX or $CC; else the first of c++, g++, clang++ and cc.

        Raises `NotCompiled` if there is none, or it does not start.
        """
        given = next((name for name in ("CXX", "CC") if os.environ.get(name, "").strip()), None)
        if given is None:
            found = next(filter(shutil.which, ("c++", "g++", "clang++", "cc")), None)
            if found is None:
                raise NotCompiled("there is no C++ compiler: no c++, g++, clang++ or cc")
            command: tuple[str, ...] = (found,)
        else:
            try:
                command = tuple(shlex.split(os.environ[given]))
            except ValueError as error:
                raise NotCompiled(f"${given} cannot be read: {error}") from None
        text = _output([*command, "--version"])
        first = text.splitlines()[0] if text.strip() else ""
        version = first.removeprefix(f"{pathlib.PurePath(command[0]).name} ")
        return cls(command, version, "Free Software Foundation" in text)


@dataclass(frozen=True)
class Compilation:
    """How a library is compiled.

    compiler: the compiler. level: level of the processor. openmp: whether loops are parallel.
    """

    compiler: Compiler
    level: str
    openmp: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """Options of the compiler, without file names."""
        return (*FLAGS, f"-march={self.level}", *(["-fopenmp"] if self.openmp else []))

    def name(self, sources: Mapping[str, bytes]) -> str:
        """Return the name of the library: its level, and a hash of all that it is made of.

        sources: content of every source file by its name.
        """
        digest = hashlib.sha256(repr((self.compiler.version, self.flags, _LIBRARIES)).encode())
        for file, content in sorted(sources.items()):
            digest.update(f"{file} {len(content)} ".encode())
            digest.update(content)
        return f"{self.level}-{digest.hexdigest()[:8]}"

    def compile(self, source: pathlib.Path, library: pathlib.Path) -> None:
        """Compile a folder of sources into a library. An object file is left beside it.

        source: folder with the sources. library: file to write.

        Raises `NotCompiled` with the first error of the compiler.
        """
        command, unit = self.compiler.command, library.with_suffix(".o")
        _output([*command, *self.flags, "-c", str(source / UNIT), "-o", str(unit)])
        _output([*command, "-shared", str(unit), "-o", str(library), *_LIBRARIES])


def _output(command: list[str]) -> str:
    """Return what a command prints. Raises `NotCompiled` if it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONGEST,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise NotCompiled(f"{command[0]} takes more than {_LONGEST} seconds") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotCompiled(f"{command[0]} does not start: {why}") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        first = next(
            (line for line in lines if "error" in line), lines[0] if lines else "no reason"
        )
        raise NotCompiled(f"{command[0]} failed: {first.strip()[:300].rstrip('.')}")
    return done.stdout.decode("utf-8", "replace")
