"""Feature maps that a block keeps for the backward pass, counted in values per image.

The forms hold for the modules of this kit on torch's own operations, in training mode. A weight is
not counted: it is there anyway. A block of your own is measured: its forward pass runs once, on
torch's meta device, without data.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mpnas_kit.errors import RaisedBy
from mpnas_kit.space.block import Block, build_block, require_hashable, require_map
from mpnas_kit.space.blocks import Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.layers import Use

_KEEP = {"hardswish", "relu6"}  # activations whose backward pass needs their input


class Maps(NamedTuple):
    """Feature maps of a block, in values per image.

    kept: values that the block keeps for the backward pass.
    largest: values of its largest map.
    """

    kept: int
    largest: int


def maps_of(use: Use) -> Maps:
    """Return how many values a block keeps for the backward pass, and those of its largest map.

    Kept are the inputs of its convolutions, batch norms, hard-swishes and ReLU6s, and of the
    product in squeeze-and-excite. The output of the block is not counted: the next block keeps it.

    Raises `MpnasError` if the block is not hashable, or its module returns no feature map.

    >>> stem = mk.pocket_space().uses(mk.pocket_space().uniform_paths()[0])[0]
    >>> maps_of(stem).kept == 3 * 32**2 + 2 * stem.out_channels * 16**2  # it has a hard-swish
    True
    """
    sizes = (use.in_channels, use.out_channels, use.stride, use.size)
    require_hashable(use.block, "feature maps")
    return _maps(use.block, *sizes)  # type: ignore[arg-type] # it is hashable


@cache
def _maps(block: Block, width: int, out: int, stride: int, size: int) -> Maps:
    before, after = size**2, (-(-size // stride)) ** 2  # pixels of input and output
    entrance, exit_ = width * before, out * after
    match block:
        case Conv() if type(block) is Conv:  # a subclass may build another module
            kept = entrance + exit_ * (1 + (block.activation in _KEEP))
            return Maps(kept, max(entrance, exit_))
        case SeparableConv() if type(block) is SeparableConv:
            plain = InvertedBottleneck(block.kernel, 1, activation=block.activation)
            return _maps(plain, width, out, stride, size)
        case InvertedBottleneck() if type(block) is InvertedBottleneck:
            hidden = block.hidden_channels(width)
            maps = 2 + (block.activation in _KEEP)  # inputs of norm, activation, convolution
            kept = entrance + maps * hidden * after + exit_
            kept += maps * hidden * before * (hidden != width)  # if it expands
            kept += hidden * after * block.se  # input of the product in squeeze-and-excite
            return Maps(kept, max(hidden * before, exit_))
        case PooledConv() if type(block) is PooledConv:
            return Maps(width + out, entrance)
    return _measured(block, width, out, stride, size)


def _measured(block: Block, width: int, out: int, stride: int, size: int) -> Maps:
    """Return what a forward pass of two images keeps, per image."""
    with torch.device("meta"):
        module = build_block(block, width, out, stride, nn.BatchNorm2d)
        image = torch.empty(2, width, size, size)
    kept = {}  # values by storage

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes() // tensor.element_size()
        return tensor

    with (
        RaisedBy(lambda: f"the module of block {block.name!r}"),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        output = module(image)
    require_map(block, output, 2, out)
    for tensor in (*module.parameters(), output):
        kept.pop(tensor.untyped_storage()._cdata, None)
    largest = max(image.numel(), output.numel(), *kept.values())
    return Maps(sum(kept.values()) // 2, largest // 2)
