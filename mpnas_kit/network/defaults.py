"""The defaults of torch with which networks are created and used, whatever the caller has set."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, torch has its own defaults: float32, the CPU, gradients, no inference mode.

    So networks and steps are the same, bit for bit, whether or not the caller has set another
    default type, another default device, `torch.no_grad` or `torch.inference_mode`. At the end, the
    caller's settings are restored.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device("cpu")
    for kind in autocast:
        torch.set_autocast_enabled(kind, False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for kind, enabled in autocast.items():
            torch.set_autocast_enabled(kind, enabled)
        if device.type != "cpu":
            torch.set_default_device(device)
        torch.set_default_dtype(dtype)
