"""Candidates around a block: private copies of it, and the block with a stride of its own (ours).

A path that takes a private copy has a node that no other domain uses. In a network that begins with
trained weights, shared and private nodes begin with the same ones. So the choice is whether it pays
for a domain to change them alone.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from mpnas_kit.space.block import Block, NormFactory
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.elastic import conv


@dataclass(frozen=True)
class OwnCopy:
    """A candidate that is a node with the block of another candidate, for one domain only.

    block: the block.
    """

    block: Block

    @property
    def name(self) -> str:
        """Name of the block with a star, such as `k3e1*`."""
        return f"{self.block.name}*"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module of the block (see `Block.build`)."""
        return self.block.build(in_channels, out_channels, stride, norm)


@dataclass(frozen=True)
class OwnDepthwise:
    """A candidate that is a node for one domain, but with the 1x1 convolutions of a shared node.

    Private are the depthwise convolution, the batch norms and squeeze-and-excite. Depthwise filters
    per domain with common pointwise filters: Guo et al. 2019, arXiv 1902.00927.

    block: the block.
    """

    block: InvertedBottleneck

    @property
    def name(self) -> str:
        """Name of the block with a tilde, such as `k3e6~`."""
        return f"{self.block.name}~"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module of the block (see `Block.build`)."""
        return self.block.build(in_channels, out_channels, stride, norm)


@dataclass(frozen=True)
class Strided:
    """A candidate that is a block with a stride of its own, not that of its layer.

    block: the block; also a private copy.
    stride: its stride: 1, or 2, which halves the map.
    """

    block: Block
    stride: int

    @property
    def name(self) -> str:
        """Name of the block, and `/2` if its stride is 2, such as `k3e2/2`."""
        return f"{self.block.name}{self.suffix}"

    @property
    def suffix(self) -> str:
        """What the name has after that of the block."""
        return "" if self.stride == 1 else f"/{self.stride}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module of the block (see `Block.build`)."""
        return self.block.build(in_channels, out_channels, stride, norm)


class Bottleneck(Protocol):
    """A block with 1x1 convolutions to and from hidden channels."""

    @property
    def name(self) -> str:
        """Name of the block."""
        ...

    def hidden_channels(self, in_channels: int) -> int:
        """Return the number of hidden channels."""
        ...


@dataclass(frozen=True)
class Pointwise:
    """The 1x1 convolutions of a block. It lends them to other modules, and is not run.

    block: the block.
    """

    block: Bottleneck

    @property
    def name(self) -> str:
        """Name of the block with a tilde, such as `k3e6~`."""
        return f"{self.block.name}~"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module with the weights only. Stride and norm do not matter."""
        return _Pointwise(in_channels, self.block.hidden_channels(in_channels), out_channels)


class _Pointwise(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.expand = conv(in_channels, hidden) if hidden != in_channels else None
        self.project = conv(hidden, out_channels)
