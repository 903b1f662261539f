"""A counter of parameters and multiply-adds that shares nothing with `mpnas_kit.space.counting`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace


@dataclass
class Tally:
    """What was counted; `norm_parameters` are not among `parameters`."""

    multiply_adds: int = 0
    parameters: int = 0
    norm_parameters: int = 0


@contextmanager
def multiply_adds(module: nn.Module, tally: Tally) -> Iterator[None]:
    """Inside, every convolution and linear layer of `module` adds what one image costs."""

    def convolution(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        height, width = layer.kernel_size
        inner = max(1, inputs[0].shape[1] // layer.groups)  # 1 also for a depthwise slice
        tally.multiply_adds += output[0].numel() * inner * height * width

    def linear(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        tally.multiply_adds += inputs[0].shape[1] * output.shape[1]

    hooks: list[tuple[type, Callable[..., None]]] = [(nn.Conv2d, convolution), (nn.Linear, linear)]
    handles = [
        m.register_forward_hook(hook)
        for m in module.modules()
        for kind, hook in hooks
        if isinstance(m, kind)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def parameters(module: nn.Module, tally: Tally) -> None:
    """Add the parameters of `module`, as the shapes of its tensors say."""
    for part in module.modules():
        count = sum(p.numel() for p in part.parameters(recurse=False))
        if isinstance(part, nn.BatchNorm2d):
            tally.norm_parameters += count
        else:
            tally.parameters += count


def counted(space: SearchSpace, path: Path) -> tuple[Tally, Tensor]:
    """What a path costs, and its last map: its blocks are built one by one and run in a chain."""
    tally = Tally()
    with torch.device("meta"):
        x = torch.empty(1, 3, space.resolution, space.resolution)
        for use in space.uses(path):
            if use is None:
                continue
            module = use.block.build(
                x.shape[1], use.out_channels, use.stride, nn.BatchNorm2d
            ).eval()
            with multiply_adds(module, tally), torch.no_grad():
                x = module(x)
            parameters(module, tally)
    return tally, x
