"""How torch uses threads and memory here: set before torch is loaded, said aloud, overruled freely.

OpenMP threads that spin while they wait steal the time of the thread they wait for, once another
process is busy on the machine, and a training step then takes far longer. So they wait passively.

glibc gives large blocks back to the system as soon as they are free, and a network's feature maps
are large blocks: every step then pays for fresh pages again. `benchmarks/engine.py` measures what
keeping them saves; where page faults are slow, as in a virtual machine, a step took a third.

A second thread has to be woken for every operation, which on small images takes longer than it
helps (`benchmarks/engine.py` measures it). So small images get one, and other cores serve other
processes (`mpnas sweep --jobs`).
"""

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MANY_THREADS_FROM = 160  # pixels a side
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def prepare() -> None:
    """Let OpenMP wait passively and malloc keep its pages, unless the user's environment says.

    The first has no effect once torch is loaded; warns then, since the default can be very slow.
    """
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_pages()
    if any(name in os.environ for name in _PASSIVE):
        return
    if "torch" in sys.modules:
        warnings.warn(
            "torch was imported before mpnas_kit, so its threads spin while they wait: "
            "import mpnas_kit first, or set OMP_WAIT_POLICY=PASSIVE and GOMP_SPINCOUNT=0.",
            stacklevel=3,
        )
        return
    os.environ.update(_PASSIVE)


def _keep_pages() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if mallopt is not None:
        for option, size in (
            (_M_MMAP_THRESHOLD, 1 << 30),
            (_M_TRIM_THRESHOLD, (1 << 31) - 1),
            (_M_TOP_PAD, 1 << 26),
        ):
            mallopt(option, size)


def threads_for(resolution: int) -> int | None:
    """How many threads serve images of so many pixels a side best; None: as many as torch has."""
    return 1 if resolution < MANY_THREADS_FROM else None


@contextmanager
def reproducible(threads: int | None, resolution: int) -> Iterator[int]:
    """Inside, torch uses deterministic algorithms and `threads` threads (None: `threads_for`).

    Yields the number of threads in force. What was set before is set again at the end.
    """
    import torch
    from torch.utils import deterministic

    before = (
        torch.are_deterministic_algorithms_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.get_num_threads(),
    )
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # slow
    wanted = threads or threads_for(resolution)
    if wanted is not None:
        torch.set_num_threads(wanted)
    try:
        yield torch.get_num_threads()
    finally:
        torch.use_deterministic_algorithms(before[0])
        deterministic.fill_uninitialized_memory = before[1]  # type: ignore[attr-defined]
        torch.set_num_threads(before[2])
