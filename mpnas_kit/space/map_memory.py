"""Feature maps that a block keeps for the backward pass, counted in values per image.

The forms hold for the modules of this kit on torch's own operations, in training mode. A weight is
not counted: it is there anyway. A block of your own is measured: its forward pass runs once, on
torch's meta device, without data.
"""

from functools import cache

import torch
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError, RaisedBy
from mpnas_kit.space.blocks import (
    Block,
    Conv,
    InvertedBottleneck,
    PooledConv,
    SeparableConv,
    build_block,
    require_map,
)
from mpnas_kit.space.space import Use


def kept_values(use: Use) -> int:
    """Return how many values a block keeps for the backward pass, per image.

    These are the inputs of its convolutions, batch norms and hard-swishes, and of the product in
    squeeze-and-excite. The output of the block is not counted: the next block keeps it.

    Raises `MpnasError` if the block is not hashable, or its module returns no feature map.

    >>> stem = mk.pocket_space().uses(mk.pocket_space().uniform_paths()[0])[0]
    >>> kept_values(stem) == 3 * 32**2 + 2 * stem.out_channels * 16**2  # the stem has a hard-swish
    True
    """
    sizes = (use.in_channels, use.out_channels, use.stride, use.size)
    try:
        hash(use.block)
    except TypeError:
        raise MpnasError(
            f"block {use.block.name!r} cannot be hashed, so its feature maps cannot be counted: "
            "expected a frozen dataclass with numbers and texts."
        ) from None
    return _kept(use.block, *sizes)  # type: ignore[arg-type] # it is hashable


@cache
def _kept(block: Block, width: int, out: int, stride: int, size: int) -> int:
    before, after = size**2, (-(-size // stride)) ** 2  # pixels of input and output
    match block:
        case Conv() if type(block) is Conv:  # a subclass may build another module
            return width * before + out * after * (1 + (block.activation == "hardswish"))
        case SeparableConv() if type(block) is SeparableConv:
            plain = InvertedBottleneck(block.kernel, 1, activation=block.activation)
            return _kept(plain, width, out, stride, size)
        case InvertedBottleneck() if type(block) is InvertedBottleneck:
            hidden = block.hidden or block.expansion * width
            maps = 2 + (block.activation == "hardswish")  # inputs of norm, hard-swish, convolution
            values = width * before  # input of the block
            if hidden != width:
                values += hidden * before * maps
            values += hidden * after * maps
            values += hidden * after * block.se  # input of the product in squeeze-and-excite
            return values + out * after  # input of the last norm
        case PooledConv() if type(block) is PooledConv:
            return width + out
    return _measured(block, width, out, stride, size)


def _measured(block: Block, width: int, out: int, stride: int, size: int) -> int:
    """Return the values that a forward pass of two images keeps, per image."""
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
    return sum(kept.values()) // 2
