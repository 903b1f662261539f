"""Parameters and multiply-adds, counted from the module that a block builds.

The forward pass of one image runs on torch's meta device, without data. Multiply-adds are those of
convolutions and linear layers, without batch norm and activations. Papers write FLOPs for them.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mpnas_kit.errors import RaisedBy
from mpnas_kit.space.blocks import Block, build_block, require_map


class Cost(NamedTuple):
    """Cost of a block, a path or a union.

    multiply_adds: multiply-adds of one image.
    parameters: number of parameters without those of batch norm.
    norm_parameters: number of parameters of batch norm.
    """

    multiply_adds: int = 0
    parameters: int = 0
    norm_parameters: int = 0

    def __add__(self, other: tuple[int, ...]) -> "Cost":  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


@cache
def count(block: Block, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
    """Return the cost of a block for one input map, with the batch norm of one domain.

    The map has the shape (in_channels, size, size). `block` must be hashable.
    """
    with torch.device("meta"):
        module = build_block(block, in_channels, out_channels, stride, nn.BatchNorm2d).eval()
        image = torch.empty(1, in_channels, size, size)
    with (
        RaisedBy(lambda: f"the module of block {block.name!r}"),
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
    ):
        output = module(image)
    require_map(block, output, 1, out_channels)
    norm = sum(
        p.numel() for m in module.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    )
    total = sum(p.numel() for p in module.parameters())
    return Cost(counter.get_total_flops() // 2, total - norm, norm)
