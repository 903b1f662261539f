"""The defaults of torch with which networks are created and used, whatever the caller has set."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, torch has its own modes: float32, gradients, no inference mode, no autocast.

    So networks and steps are the same, bit for bit, whether or not the caller has set another
    default type, `torch.no_grad`, `torch.inference_mode` or autocast. At the end, the caller's
    settings are restored.
    """
    dtype = torch.get_default_dtype()
    autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
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


@contextmanager
def cpu_by_default() -> Iterator[None]:
    """Inside, tensors are created on the CPU unless a device is named. Random choices need it."""
    if torch.get_default_device().type == "cpu":
        yield  # without the context, which costs time in every operation
        return
    with torch.device("cpu"):
        yield
