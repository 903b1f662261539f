"""For all tests: one torch thread a worker, so that two workers do not wait for each other."""

import mpnas_kit  # noqa: I001  (before torch: it sets how OpenMP waits)

import torch

assert mpnas_kit.__version__
torch.set_num_threads(1)
