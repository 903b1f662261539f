"""Parameters and multiply-adds, counted from the module a block builds.

The forward pass of one image is run on torch's meta device, without data. Papers of this field
say FLOPs and mean multiply-adds: those of convolutions and linear layers, batch norm and
activations left out.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mpnas_kit.space.blocks import Block


class Cost(NamedTuple):
    """What something costs. `parameters` leave out `norm_parameters`, of batch norm."""

    multiply_adds: int = 0
    parameters: int = 0
    norm_parameters: int = 0

    def __add__(self, other: tuple[int, ...]) -> "Cost":  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


@cache
def count(block: Block, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
    """The cost of a block on one (in_channels, size, size) map; batch norm of one domain."""
    with torch.device("meta"):
        module = block.build(in_channels, out_channels, stride, nn.BatchNorm2d).eval()
        image = torch.empty(1, in_channels, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(image)
    norm = sum(
        p.numel() for m in module.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    )
    everything = sum(p.numel() for p in module.parameters())
    return Cost(counter.get_total_flops() // 2, everything - norm, norm)
