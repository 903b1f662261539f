"""The defaults of torch with which networks are created and used, whatever the caller has set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, torch has its own modes: float32, gradients, no inference mode, no autocast.

    So networks and steps are the same, bit for bit, whether or not the caller has set another
    default type, `torch.no_grad`, `torch.inference_mode` or autocast. Products of float32 are in
    float32. Torch may round their factors to TF32 or bfloat16, and by default it does so in
    convolutions on GPUs. At the end, the caller's settings are restored.
    """
    dtype = torch.get_default_dtype()
    autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
    backends: Any = torch.backends
    cuda, cudnn, mkldnn = backends.cuda, backends.cudnn, backends.mkldnn
    products = (cuda.matmul, cudnn.conv, mkldnn.matmul, mkldnn.conv)
    precisions = [product.fp32_precision for product in products]
    for product in products:
        product.fp32_precision = "ieee"
    torch.set_default_dtype(torch.float32)
    for kind in autocast:
        torch.set_autocast_enabled(kind, False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for kind, enabled in autocast.items():
            torch.set_autocast_enabled(kind, enabled)
        torch.set_default_dtype(dtype)
        for product, precision in zip(products, precisions, strict=True):
            product.fp32_precision = precision


@contextmanager
def cpu_by_default() -> Iterator[None]:
    """Inside, tensors are created on the CPU unless a device is named. Random choices need it."""
    if torch.get_default_device().type == "cpu":
        yield  # without the context, which costs time in every operation
        return
    with torch.device("cpu"):
        yield
