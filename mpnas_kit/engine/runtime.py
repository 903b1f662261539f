"""How torch uses threads and memory. The user's own environment variables have precedence.

OpenMP threads spin while they wait. If another process is busy on the machine, they take time from
the thread they wait for, and a step takes far longer. So the kit lets them wait passively. This has
an effect only before torch is loaded.

glibc returns large blocks to the system as soon as they are free. Feature maps are large blocks, so
every step would pay for new pages. So the kit lets glibc keep them. `benchmarks/engine.py` measures
the gain: on a virtual machine with slow page faults a step took a third of the time.

On small images, waking a second thread for every operation of torch costs more than the thread
gains (`benchmarks/engine.py` measures this too). So with eager kernels small images get one thread,
and other cores can serve other processes (`mpnas sweep --jobs`). Native kernels wake threads once
per layer, so they use all of them.

On a GPU of NVIDIA, a matrix product is the same in every run only if cuBLAS has a fixed workspace.
It reads its size from the environment at the first product of a process.
"""

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mpnas_kit.errors import MpnasError

if TYPE_CHECKING:
    import torch

MANY_THREADS_FROM = 160  # pixels per side
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def prepare() -> None:
    """Let OpenMP wait passively, malloc keep its pages and cuBLAS have a fixed workspace.

    What the environment sets stays. Warns if torch is loaded already: OpenMP then keeps its
    default, which can be very slow.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # 8 buffers of 4096 KiB
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


def require_same_products(device: "torch.device") -> None:
    """Raise `MpnasError` if matrix products on a device may differ from run to run.

    Torch refuses them in a stage. That is so if cuBLAS was in use before `mpnas_kit` was imported,
    or if the environment sets another workspace.
    """
    import torch

    factor = torch.ones(1, 1, device=device)
    with _deterministic():
        try:
            torch.mm(factor, factor)
        except RuntimeError as error:
            if "CUBLAS_WORKSPACE_CONFIG" not in str(error):
                raise
            raise MpnasError(
                f"device {str(device)!r} would compute other numbers in every run: expected the "
                "environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8, or an import of mpnas_kit "
                "before torch uses the device. Start a new process."
            ) from None


@contextmanager
def _deterministic() -> Iterator[None]:
    """Inside, torch uses deterministic algorithms. At the end, the settings are restored."""
    import torch
    from torch.utils import deterministic

    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
    )
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # slow
    torch.backends.cudnn.benchmark = False  # it times algorithms, so each run may choose another
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = before[3]


@contextmanager
def reproducible(threads: int | None, resolution: int, native: bool = False) -> Iterator[int]:
    """Inside, torch uses deterministic algorithms, `threads` threads and its own defaults.

    The defaults are those of `plain_torch`, and the CPU is the default device. Yields the number of
    threads in use. At the end, the earlier settings are restored.

    threads: number of threads, 1 to 1024. None: the number that `threads_for` returns; with native
    kernels, torch's own number.
    resolution: pixels per side of the images.
    native: whether networks have native kernels. Then the threads are theirs, and torch has one:
    little is left for it, and its results could depend on their number.
    """
    import torch

    from mpnas_kit.kernels.threads import use_kernel_threads
    from mpnas_kit.network.defaults import cpu_by_default, plain_torch

    before = torch.get_num_threads()
    count = threads or (None if native else threads_for(resolution)) or before
    torch.set_num_threads(1 if native else count)
    try:
        with _deterministic(), plain_torch(), cpu_by_default(), use_kernel_threads(count):
            yield count
    finally:
        torch.set_num_threads(before)
