"""How many threads the native kernels use. It changes their speed, not their results."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_THREADS: ContextVar[int | None] = ContextVar("threads", default=None)


def kernel_threads() -> int:
    """Return the number of threads of the native kernels. Default: that of torch."""
    return _THREADS.get() or torch.get_num_threads()


@contextmanager
def use_kernel_threads(count: int | None) -> Iterator[None]:
    """Inside, native kernels use `count` threads. None: as many as torch."""
    token = _THREADS.set(count)
    try:
        yield
    finally:
        _THREADS.reset(token)
