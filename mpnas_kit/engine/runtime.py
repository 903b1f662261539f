"""How torch uses threads and memory. The user's own environment variables have precedence.

OpenMP threads spin while they wait. If another process is busy on the machine, they take time from
the thread they wait for, and a step takes far longer. So the kit lets them wait passively. This has
an effect only before torch is loaded.

glibc returns large blocks to the system as soon as they are free. Feature maps are large blocks, so
every step would pay for new pages. So the kit lets glibc keep them. `benchmarks/engine.py` measures
the gain: on a virtual machine with slow page faults a step took a third of the time.

On small images, waking a second thread for every operation costs more than the thread gains
(`benchmarks/engine.py` measures this too). So small images get one thread. Other cores can serve
other processes (`mpnas sweep --jobs`).
"""

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MANY_THREADS_FROM = 160  # pixels per side
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def prepare() -> None:
    """Let OpenMP wait passively and malloc keep its pages, unless the environment sets them.

    Warns if torch is loaded already: OpenMP then keeps its default, which can be very slow.
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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        for option, size in (
            (_M_MMAP_THRESHOLD, 1 << 30),
            (_M_TRIM_THRESHOLD, (1 << 31) - 1),
            (_M_TOP_PAD, 1 << 26),
        ):
            mallopt(option, size)


def threads_for(resolution: int) -> int | None:
    """Return the best number of threads for images of `resolution` pixels per side.

    None: torch's own number.
    """
    return 1 if resolution < MANY_THREADS_FROM else None


@contextmanager
def reproducible(threads: int | None, resolution: int) -> Iterator[int]:
    """Inside, torch uses deterministic algorithms, `threads` threads and its own defaults.

    The defaults are those of `plain_torch`, and the CPU is the default device. Yields the number of
    threads in use. At the end, the earlier settings are restored.

    threads: number of threads, 1 to 1024. None: the number that `threads_for` returns.
    resolution: pixels per side of the images.
    """
    import torch
    from torch.utils import deterministic

    from mpnas_kit.network.defaults import cpu_by_default, plain_torch

    before = (
        torch.are_deterministic_algorithms_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.get_num_threads(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # slow
    count = threads or threads_for(resolution)
    if count is not None:
        torch.set_num_threads(count)
    try:
        with plain_torch(), cpu_by_default():
            yield torch.get_num_threads()
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[3])
        deterministic.fill_uninitialized_memory = before[1]  # type: ignore[attr-defined]
        torch.set_num_threads(before[2])
