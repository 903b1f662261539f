"""Which kernels a stage computes with: those of a native library, or the operations of torch.

The operations of torch are called *eager*. They are the reference, and run everywhere. A *variant*
names what computes: `eager`, or `native LEVEL HASH` with the level of the processor and a hash of
sources, compiler and flags. One variant gives one result, to the bit. Another one may differ in the
last bits.
"""

import ctypes
import functools
import pathlib
import platform
from dataclasses import dataclass
from typing import Any, Literal

import torch

from mpnas_kit import files
from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels import build
from mpnas_kit.kernels.compiler import LEVELS, SOURCE, best_level

Kernels = Literal["auto", "native", "eager"]
EAGER = "eager"  # the variant of the operations of torch
_AT, _N, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_ARGUMENTS = {  # of the functions in source/block.cpp
    "mpnas_kernels_room": (_AT, _AT, _AT),
    "mpnas_kernels_forward": (_AT, _N, _AT, _N, _N, _AT, _N, _N, _N, _NUMBER),
    "mpnas_kernels_backward": (_AT, _N, _AT, _N, _N, _AT, _N, _N),
}


@dataclass(frozen=True)
class Library:
    """A native library.

    variant: its name, such as `native x86-64-v4 1a2b3c4d`.
    functions: its functions.

    A copy is the same library. In another process, it is the library of that process, or None.
    """

    variant: str
    functions: ctypes.CDLL

    def __deepcopy__(self, memo: dict[int, Any]) -> "Library":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return find_library, ()


def variant_of(library: Library | None) -> str:
    """Return the variant of a library. None is eager."""
    return EAGER if library is None else library.variant


def find_library() -> Library | None:
    """Return the library for the processor of this machine; None if there is none.

    The first call may compile it, which takes up to a minute. `missing_reason` says why there is
    none.
    """
    found = _found()
    return found if isinstance(found, Library) else None


def missing_reason() -> str | None:
    """Return why there is no library, in words and without a full stop; None: there is one."""
    found = _found()
    return None if isinstance(found, Library) else found


@functools.cache
def _found() -> Library | str:
    """Return the library, or the reason that there is none."""
    try:
        machine, features = _machine()
        level = best_level(machine, features)
        if level is None:
            known = dict.fromkeys(level for levels in LEVELS.values() for level in levels)
            return f"this processor ({machine}) has none of the levels {', '.join(known)}"
        openmp = hasattr(ctypes.CDLL(None), "GOMP_parallel")  # torch has loaded it
        name, loaded = build.native(level, openmp, SOURCE, build.PREBUILT)
    except MpnasError as error:
        return str(error).rstrip(".")
    for function, arguments in _ARGUMENTS.items():
        if not hasattr(loaded, function):
            return f"the library {name} has no function {function}"
        getattr(loaded, function).argtypes, getattr(loaded, function).restype = arguments, None
    return Library(f"native {level} {name.removeprefix(f'{level}-')}", loaded)


def _machine() -> tuple[str, list[str]]:
    """Return the kind of the processor, and those of its features that programs may use.

    Linux says them exactly. `torch.backends.cpu` knows fewer levels, and an environment variable
    changes what it says.
    """
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    text = files.read_bytes(cpuinfo).decode("utf-8", "replace") if files.exists(cpuinfo) else ""
    flags = (line.partition(":")[2] for line in text.splitlines() if line.startswith("flags"))
    return platform.machine(), next(flags, "").split()


def usable(kernels: Kernels) -> Library | None:
    """Return the library for a network that is only used, as its training was set; None: eager.

    Unlike a stage, it does not need the kernels of the training: its results need not be equal to
    the bit.
    """
    return None if kernels == "eager" else find_library()


def resolve(kernels: Kernels, device: torch.device, float32: bool = True) -> Library | None:
    """Return the library that a stage computes with; None: eager.

    kernels: `eager`; `native`, the library; or `auto`, which is the library on a CPU if there is
    one, otherwise eager.
    device: device of the stage.
    float32: whether the stage computes in float32.

    Raises `MpnasError` if `native` is asked for and there is no library, or not for the device or
    the precision.
    """
    fits = device.type == "cpu" and float32
    if kernels == "eager" or (kernels == "auto" and not fits):
        return None
    if device.type != "cpu":
        raise MpnasError(
            f"kernels 'native' compute on a CPU, not on device {str(device)!r}: expected device "
            "'cpu', or kernels 'auto' or 'eager'."
        )
    if not float32:
        raise MpnasError(
            "kernels 'native' compute in float32 only: expected precision 'float32', or kernels "
            "'auto' or 'eager'."
        )
    library = find_library()
    if library is None and kernels == "native":
        raise MpnasError(
            f"kernels 'native' cannot be used here ({missing_reason()}): expected a C++ compiler "
            "such as g++ for this machine, or kernels 'auto' or 'eager'."
        )
    return library
