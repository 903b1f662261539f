"""For all tests: one torch thread a worker, so that two workers do not wait for each other.

The native library is compiled before the first test, if it is not in the cache.
"""

import mpnas_kit  # noqa: I001  (before torch: it sets how OpenMP waits)

import torch

from mpnas_kit.kernels.library import find_library

assert mpnas_kit.__version__
find_library()  # if it must be compiled, then now: tests have caches of their own
torch.set_num_threads(1)
