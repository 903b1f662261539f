"""Parameters and multiply-adds of a block, computed by the block or counted from its module.

The blocks of the kit compute their cost. The module of any other block is run on torch's meta
device, with one image and without data. Multiply-adds are those of convolutions and linear layers,
without batch norm and activations. Papers write FLOPs for them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.space.block import Block, Cost, build_block, require_map


@cache
def count(block: Block, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
    """Return the cost of a block for one input map, with the batch norm of one domain.

    A block that computes its cost is asked (see `Costed`). The module of any other is counted.

    The map has the shape (in_channels, size, size). `block` must be hashable.

    Raises `MpnasError` if the block returns no cost, or its module returns no feature map.
    """
    compute = _own_cost(block)
    if compute is None:
        return count_module(block, in_channels, out_channels, stride, size)
    with RaisedBy(lambda: f"cost of block {block.name!r}"):
        answer = compute(in_channels, out_channels, stride, size)
    return _converted(block, answer)


def count_module(block: Block, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
    """Return the cost of the module that a block builds (see `count`)."""
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


def _own_cost(block: Block) -> Callable[..., Any] | None:
    """Return the method with which a block computes its cost; None: it has none that holds.

    A `cost` holds for the `build` of its own class and of the classes above. It does not hold if a
    class below, or the object itself, has another `build`.
    """
    cost = getattr(block, "cost", None)
    places = [getattr(block, "__dict__", {}), *map(vars, type(block).__mro__)]
    first = next((m for m in places if "build" in m or "cost" in m), {})
    return cost if callable(cost) and "cost" in first else None


def _converted(block: Block, answer: Any) -> Cost:
    """Return what a block computed, checked."""
    fits = isinstance(answer, tuple) and len(answer) == len(Cost._fields)
    if not fits or not all(type(part) is int and part >= 0 for part in answer):
        raise MpnasError(
            f"cost of block {block.name!r} returns {short(answer)}: expected a Cost of whole "
            "numbers, at least 0."
        )
    return Cost(*answer)
