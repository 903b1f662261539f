"""The candidate blocks of a layer: what they compute, from which widths to which.

A block is a description; `build` makes its module. Modules are plain `nn.Module`s on (B, C, H, W).
In a space whose widths are searched, a module holds its largest width and computes on a slice:
it reads the width of its input from the input, and is called with its output width.

To add a block: subclass `Block`, give it a `name` and a `build`. Its costs are counted from the
module it builds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.depthwise import depthwise_conv

NormFactory = Callable[[int], nn.Module]  # channels -> normalisation over (B, C, H, W)
Activation = Literal["relu", "hardswish", "identity"]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "hardswish": nn.Hardswish,
    "identity": nn.Identity,
}


def round8(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, never below 8 or 90 % of it (MobileNetV3)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class Block(ABC):
    """A candidate of a layer."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name, unique within a layer, without blanks: `k5e3`, `k3e6se`."""

    @abstractmethod
    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """A module from (B, in, H, W) to (B, out, ceil(H / stride), ceil(W / stride)).

        Every batch normalisation in it must come from `norm(channels)`: the network decides whose
        statistics it keeps.
        """

    def hull(self, other: "Block") -> "Block | None":
        """The smallest block that holds the weights of this one and of `other`; None: none does.

        Candidates of a layer that have one can share weights in a supernet: then the modules of all
        three are a `Borrower`.
        """
        return None


@runtime_checkable
class Borrower(Protocol):
    """A module that can use the weights of a larger one of its kind instead of its own."""

    def borrow(self, lender: nn.Module) -> None:
        """Use the weights of `lender` from now on; have none."""
        ...


def lend(lender: nn.Module | None, borrower: nn.Module | None) -> None:
    """Let `borrower` use the weights of `lender`; where there is no borrower, do nothing."""
    if borrower is not None:
        if not isinstance(borrower, Borrower) or lender is None:
            raise MpnasError(
                f"a module {type(borrower).__name__} of a block with a hull has no `borrow`: "
                "expected one, or a `hull` that returns None."
            )
        borrower.borrow(lender)


class ElasticConv(nn.Conv2d):
    """A convolution, dense or depthwise, that can be used at less than its full width.

    It may borrow its weights from a larger one: then they are the first channels of that one, and
    the centre of its kernels.
    """

    _lender: "tuple[ElasticConv, ...]" = ()  # a tuple: torch must not see it as a part of this one

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        """(B, C, H, W) -> (B, `out_channels`, H', W'); None: the full width, depthwise: C."""
        weight = self._weight()
        if self.groups > 1:
            return depthwise_conv(x, weight[: x.shape[1]], self.stride[0])
        wanted = out_channels or self.out_channels
        bias = None if self.bias is None else self.bias[:wanted]
        return F.conv2d(x, weight[:wanted, : x.shape[1]], bias, self.stride, self.padding)

    def borrow(self, lender: nn.Module) -> None:
        """Use weights of `lender`, an `ElasticConv`, instead of weights of its own."""
        assert isinstance(lender, ElasticConv)
        del self.weight
        self._lender = (lender,)

    @property
    def borrows(self) -> bool:
        """Whether it has no weights of its own."""
        return bool(self._lender)

    def _weight(self) -> Tensor:
        if not self.borrows:
            return self.weight
        lent, kernel = self._lender[0].weight, self.kernel_size[0]
        edge = (lent.shape[-1] - kernel) // 2
        inner = slice(edge, edge + kernel)
        return lent[: self.out_channels, : self.in_channels // self.groups, inner, inner]


def conv(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, bias: bool = False
) -> ElasticConv:
    """A dense convolution with the padding that keeps the map at ceil(size / stride)."""
    return ElasticConv(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)


def depthwise(channels: int, kernel: int, stride: int) -> ElasticConv:
    """A depthwise convolution with the padding that keeps the map at ceil(size / stride)."""
    pad = kernel // 2
    return ElasticConv(channels, channels, kernel, stride, pad, groups=channels, bias=False)


class SqueezeExcite(nn.Module):
    """Squeeze-and-excite with width round8(channels / 4), ReLU, hard sigmoid (MobileNetV3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = conv(channels, round8(channels / 4), bias=True)
        self.expand = conv(round8(channels / 4), channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, every channel scaled by a gate in [0, 1]."""
        channels = x.shape[1]
        gate = F.relu(self.reduce(x.mean((2, 3), keepdim=True), round8(channels / 4)))
        return x * F.hardsigmoid(self.expand(gate, channels))


@dataclass(frozen=True)
class InvertedBottleneck(Block):
    """1x1 expand, depthwise k x k, optional squeeze-and-excite, 1x1 project (MobileNetV2/V3).

    `expansion`: hidden channels per input channel. `hidden`: hidden channels as an absolute
    number, instead (the rows of MobileNetV3). Without a real expansion there is no expand
    convolution. The input is added where stride is 1 and the widths agree.
    """

    kernel: int = 3
    expansion: int = 3
    se: bool = False
    activation: Activation = "relu"
    hidden: int | None = None

    @property
    def name(self) -> str:
        """`k5e3`, `k3e6se`; with an absolute width `k3h64`."""
        width = f"e{self.expansion}" if self.hidden is None else f"h{self.hidden}"
        return f"k{self.kernel}{width}{'se' if self.se else ''}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """The module."""
        return _InvertedBottleneck(self, in_channels, out_channels, stride, norm)

    def hull(self, other: Block) -> "InvertedBottleneck | None":
        """The largest kernel and expansion; none where only one of both expands. No SE."""
        if (
            not isinstance(other, InvertedBottleneck)
            or {type(self), type(other)} != {InvertedBottleneck}  # another build, other weights
            or (self.expansion == 1) != (other.expansion == 1)
            or self.activation != other.activation
            or self.hidden is not None
            or other.hidden is not None
        ):
            return None
        kernel = max(self.kernel, other.kernel)
        expansion = max(self.expansion, other.expansion)
        return InvertedBottleneck(kernel, expansion, activation=self.activation)


class _InvertedBottleneck(nn.Module):
    def __init__(
        self, block: InvertedBottleneck, in_channels: int, out: int, stride: int, norm: NormFactory
    ) -> None:
        super().__init__()
        hidden = block.hidden or block.expansion * in_channels
        self.block, self.out_channels, self.stride = block, out, stride
        self.act = _ACTIVATIONS[block.activation]()
        self.expand = conv(in_channels, hidden) if hidden != in_channels else None
        self.expand_norm = norm(hidden) if self.expand is not None else None
        self.depthwise, self.depthwise_norm = depthwise(hidden, block.kernel, stride), norm(hidden)
        self.se = SqueezeExcite(hidden) if block.se else None
        self.project, self.project_norm = conv(hidden, out), norm(out)

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        out = out_channels or self.out_channels
        y: Tensor = x
        if self.expand is not None and self.expand_norm is not None:
            hidden = self.block.hidden or self.block.expansion * x.shape[1]
            y = self.act(self.expand_norm(self.expand(y, hidden)))
        y = self.act(self.depthwise_norm(self.depthwise(y)))
        if self.se is not None:
            y = self.se(y)
        y = self.project_norm(self.project(y, out))
        return x + y if self.stride == 1 and x.shape[1] == out else y

    def borrow(self, lender: nn.Module) -> None:
        """Use the weights and norms of `lender`, the module of a hull; SE stays its own."""
        assert isinstance(lender, _InvertedBottleneck)
        for name in ("expand", "depthwise", "project"):
            lend(getattr(lender, name), getattr(self, name))
            lend(getattr(lender, f"{name}_norm"), getattr(self, f"{name}_norm"))


@dataclass(frozen=True)
class Conv(Block):
    """A k x k convolution, normalised, with an activation: stems and head convolutions."""

    kernel: int = 3
    activation: Activation = "hardswish"

    @property
    def name(self) -> str:
        """`conv3`."""
        return f"conv{self.kernel}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """The module."""
        return _Normalised(
            conv(in_channels, out_channels, self.kernel, stride), norm(out_channels), self
        )


class _Normalised(nn.Module):
    def __init__(self, convolution: ElasticConv, norm: nn.Module, block: Conv) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm
        self.act = _ACTIVATIONS[block.activation]()

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        y: Tensor = self.act(self.norm(self.convolution(x, out_channels)))
        return y


@dataclass(frozen=True)
class SeparableConv(Block):
    """Depthwise k x k and 1x1 convolution, each normalised; the input is added where it fits."""

    kernel: int = 3
    activation: Activation = "relu"

    @property
    def name(self) -> str:
        """`sep3`."""
        return f"sep{self.kernel}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """The module: an inverted bottleneck that does not expand."""
        bottleneck = InvertedBottleneck(self.kernel, 1, activation=self.activation)
        return _InvertedBottleneck(bottleneck, in_channels, out_channels, stride, norm)


@dataclass(frozen=True)
class PooledConv(Block):
    """Global average pooling, then a biased 1x1 convolution without normalisation, hard-swish."""

    @property
    def name(self) -> str:
        """`pooled`."""
        return "pooled"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """The module; its output is (B, out, 1, 1)."""
        return _PooledConv(conv(in_channels, out_channels, bias=True))


class _PooledConv(nn.Module):
    def __init__(self, convolution: ElasticConv) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        return F.hardswish(self.convolution(x.mean((2, 3), keepdim=True), out_channels))
