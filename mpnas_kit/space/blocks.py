"""The blocks of the kit: inverted bottleneck, and three more convolutional ones."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.kernels.chain import Chain, Unit
from mpnas_kit.settings import check
from mpnas_kit.space.block import Block, Cost, NormFactory, lend
from mpnas_kit.space.elastic import ElasticConv, Padding, SqueezeExcite, conv, depthwise, round8
from mpnas_kit.values import Range

Activation = Literal["relu", "relu6", "hardswish", "identity"]
Kernel = Annotated[int, Range(1, 63, odd=True)]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "identity": nn.Identity,
}


def _cost_with_norm(weights: int, channels: int, size: int) -> Cost:
    """Return the cost of a convolution without bias and of the batch norm that follows it.

    weights: number of its weights. Each of them is used once per pixel of the output.
    channels: width of its output.
    size: height and width of its output, pixels.
    """
    return Cost(weights * size**2, weights, 2 * channels)


def _cost_with_bias(in_channels: int, out_channels: int) -> Cost:
    """Return the cost of a 1x1 convolution with bias on a map of one pixel."""
    weights = in_channels * out_channels
    return Cost(weights, weights + out_channels)


def _size_after(size: int, stride: int) -> int:
    """Return ceil(size / stride): the size of the output of `conv` and `depthwise`."""
    return -(-size // stride)


@dataclass(frozen=True)
class InvertedBottleneck:
    """Inverted bottleneck: 1x1 expand, depthwise k x k, optional squeeze-and-excite, 1x1 project.

    Batch normalisation follows every convolution except those of squeeze-and-excite. The activation
    follows the expand and the depthwise convolution. There is no expand convolution if the hidden
    width equals the input width. The input is added to the output if stride is 1 and both widths
    are equal.

    Sources: MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) and, for squeeze-and-excite and
    hard-swish, MobileNetV3 (Howard et al. 2019, arXiv 1905.02244).

    kernel: height and width of the depthwise kernel, 1 to 63, odd.
    expansion: hidden channels per input channel, 1 to 1000.
    se: whether the block has squeeze-and-excite.
    activation: `relu`, `relu6`, `hardswish` or `identity`.
    hidden: number of hidden channels, 1 to 100,000, instead of `expansion`; None: `expansion` sets
    it.
    padding: `symmetric`: kernel // 2 zeros on every side of a map; `same`: those of TensorFlow's
    SAME (see `ElasticConv`), as in networks that were trained there.

    Raises `MpnasError` for a value of a wrong type or out of its range.

    >>> block = mk.InvertedBottleneck(kernel=5, expansion=3, se=True)
    >>> module = block.build(8, 16, stride=2, norm=torch.nn.BatchNorm2d)
    >>> block.name, module(torch.zeros(2, 8, 32, 32)).shape
    ('k5e3se', torch.Size([2, 16, 16, 16]))
    """

    kernel: Kernel = 3
    expansion: Annotated[int, Range(1, 1000)] = 3
    se: bool = False
    activation: Activation = "relu"
    hidden: Annotated[int | None, Range(1, 100_000)] = None
    padding: Padding = "symmetric"

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """Name, such as `k5e3` or `k3e6se`; with `hidden` such as `k3h64`."""
        width = f"e{self.expansion}" if self.hidden is None else f"h{self.hidden}"
        return f"k{self.kernel}{width}{'se' if self.se else ''}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module (see `Block.build`)."""
        return _InvertedBottleneck(self, in_channels, out_channels, stride, norm)

    def cost(self, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
        """Return the cost (see `Costed.cost`)."""
        hidden, after = self.hidden_channels(in_channels), _size_after(size, stride)
        cost = _cost_with_norm(hidden * self.kernel**2, hidden, after)
        cost += _cost_with_norm(hidden * out_channels, out_channels, after)
        if hidden != in_channels:
            cost += _cost_with_norm(in_channels * hidden, hidden, size)
        if self.se:
            squeezed = round8(hidden / 4)
            cost += _cost_with_bias(hidden, squeezed) + _cost_with_bias(squeezed, hidden)
        return cost

    def expands(self, in_channels: int) -> bool:
        """Return whether the module has an expand convolution."""
        return self.hidden_channels(in_channels) != in_channels

    def hidden_channels(self, in_channels: int) -> int:
        """Return the number of hidden channels."""
        return self.hidden or self.expansion * in_channels

    def pointwise_parameters(self, in_channels: int, out_channels: int) -> int:
        """Return the number of weights of the 1x1 convolutions, without squeeze-and-excite."""
        expands = in_channels * self.expands(in_channels)
        return self.hidden_channels(in_channels) * (expands + out_channels)

    def hull(self, other: Block) -> Block | None:
        """Return the block with the larger kernel and the larger hidden width of both.

        If both have squeeze-and-excite, it has that of the larger width. What only one has stays
        with that one. Return None if the two blocks cannot share weights: only one of them expands,
        their activations or paddings differ, only one has `hidden`, or one is not a plain
        `InvertedBottleneck`. A block that does not expand stays apart because its depthwise kernels
        belong to the channels of its input, and those of the others to hidden channels that are
        learned.
        """
        own = _Hull.of(self)
        return None if own is None else own.hull(other)


@dataclass(frozen=True)
class _Hull:
    """What has the weights that several inverted bottlenecks share. It lends them, and is not run.

    kernel, width: the largest of the blocks. The width is that of `hidden`, or else of `expansion`.
    gated: width of every block with squeeze-and-excite, in any order.
    activation, padding: those of every block.
    fixed: whether widths are those of `hidden`.
    """

    kernel: int
    width: int
    gated: tuple[int, ...]
    activation: Activation
    padding: Padding
    fixed: bool

    @classmethod
    def of(cls, block: Block) -> "_Hull | None":
        """Return the hull of one block, or None if the block shares no weights."""
        if isinstance(block, cls):
            return block
        if type(block) is not InvertedBottleneck:
            return None  # a subclass may build otherwise
        width, fixed = block.hidden or block.expansion, block.hidden is not None
        gated = (width,) if block.se else ()
        return cls(block.kernel, width, gated, block.activation, block.padding, fixed)

    @property
    def name(self) -> str:
        """Name, such as `k7e6`; `k7e6se2` if it has squeeze-and-excite of expansion 2."""
        gate = f"se{self._gate}" if self._gate else ""
        return f"k{self.kernel}{'h' if self.fixed else 'e'}{self.width}{gate}"

    def hidden_channels(self, in_channels: int) -> int:
        """Return the number of hidden channels."""
        return self.width if self.fixed else self.width * in_channels

    @property
    def _gate(self) -> int:
        """Width of the squeeze-and-excite that several blocks share; 0: there is none."""
        return max(self.gated) if len(self.gated) > 1 else 0

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module with the weights (see `Block.build`)."""
        block = InvertedBottleneck(
            self.kernel,
            1 if self.fixed else self.width,
            activation=self.activation,
            hidden=self.width if self.fixed else None,
            padding=self.padding,
        )
        module = _InvertedBottleneck(block, in_channels, out_channels, stride, norm)
        if self._gate:
            module.se = SqueezeExcite(self._gate * (1 if self.fixed else in_channels))
        return module

    def hull(self, other: Block) -> "_Hull | None":
        """Return the hull that also has the weights of `other` (see `InvertedBottleneck.hull`)."""
        more = _Hull.of(other)
        if (
            more is None
            or (not self.fixed and (self.width == 1) != (more.width == 1))
            or self._kind != more._kind
        ):
            return None
        return _Hull(
            max(self.kernel, more.kernel),
            max(self.width, more.width),
            self.gated + more.gated,
            *self._kind,
        )

    @property
    def _kind(self) -> tuple[Activation, Padding, bool]:
        """What blocks must have in common."""
        return self.activation, self.padding, self.fixed


class _InvertedBottleneck(nn.Module):
    def __init__(
        self, block: InvertedBottleneck, in_channels: int, out: int, stride: int, norm: NormFactory
    ) -> None:
        super().__init__()
        hidden = block.hidden_channels(in_channels)
        self.block, self.out_channels, self.stride = block, out, stride
        self.act = _ACTIVATIONS[block.activation]()
        self.expand = conv(in_channels, hidden) if hidden != in_channels else None
        self.expand_norm = norm(hidden) if self.expand is not None else None
        self.depthwise = depthwise(hidden, block.kernel, stride, block.padding)
        self.depthwise_norm = norm(hidden)
        self.se = SqueezeExcite(hidden) if block.se else None
        self.project, self.project_norm = conv(hidden, out), norm(out)

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        out = out_channels or self.out_channels
        y: Tensor = x
        if self.expand is not None and self.expand_norm is not None:
            hidden = self.block.hidden_channels(x.shape[1])
            y = self.act(self.expand_norm(self.expand(y, hidden)))
        y = self.act(self.depthwise_norm(self.depthwise(y)))
        if self.se is not None:
            y = self.se(y)
        y = self.project_norm(self.project(y, out))
        return x + y if self.stride == 1 and x.shape[1] == out else y

    def chain(self, in_channels: int, out_channels: int) -> Chain:
        """Return the same as `forward` for the native kernels."""
        hidden, units = in_channels, []
        if self.expand is not None and self.expand_norm is not None:
            hidden = self.block.hidden_channels(in_channels)
            expand = self.expand.part(in_channels, hidden)
            units.append(Unit(expand, self.expand_norm, activation=self.block.activation))
        units.append(
            Unit(
                self.depthwise.part(hidden, hidden),
                self.depthwise_norm,
                self.stride,
                self.depthwise.same,
                depthwise=True,
                activation=self.block.activation,
                gate=None if self.se is None else self.se.gate(hidden),
            )
        )
        units.append(Unit(self.project.part(hidden, out_channels), self.project_norm))
        return Chain(units, residual=self.stride == 1 and in_channels == out_channels)

    def borrow(self, lender: nn.Module) -> None:
        """Use the weights and norms of `lender`, and its squeeze-and-excite if it has one."""
        assert isinstance(lender, _InvertedBottleneck)
        if lender.se is not None:
            lend(lender.se, self.se)
        for name in ("expand", "depthwise", "project"):
            lend(getattr(lender, name), getattr(self, name))
            lend(getattr(lender, f"{name}_norm"), getattr(self, f"{name}_norm"))

    def borrow_pointwise(self, lender: nn.Module) -> None:
        """Use the weights of `expand` and `project` of `lender` (see `PointwiseBorrower`)."""
        for name in ("expand", "project"):
            lend(getattr(lender, name), getattr(self, name))


@dataclass(frozen=True)
class Conv:
    """Dense k x k convolution, batch normalisation, activation. For stems and heads.

    kernel: height and width of the kernel, 1 to 63, odd.
    activation: `relu`, `relu6`, `hardswish` or `identity`.
    padding: zeros around a map, `symmetric` or `same` (see `InvertedBottleneck`).

    Raises `MpnasError` for a value of a wrong type or out of its range.

    >>> mk.Conv(3).build(3, 16, stride=2, norm=torch.nn.BatchNorm2d)(torch.zeros(2, 3, 9, 9)).shape
    torch.Size([2, 16, 5, 5])
    """

    kernel: Kernel = 3
    activation: Activation = "hardswish"
    padding: Padding = "symmetric"

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """Name, such as `conv3`."""
        return f"conv{self.kernel}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module (see `Block.build`)."""
        convolution = conv(in_channels, out_channels, self.kernel, stride, padding=self.padding)
        return _Normalised(convolution, norm(out_channels), self)

    def cost(self, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
        """Return the cost (see `Costed.cost`)."""
        weights = in_channels * out_channels * self.kernel**2
        return _cost_with_norm(weights, out_channels, _size_after(size, stride))


class _Normalised(nn.Module):
    def __init__(self, convolution: ElasticConv, norm: nn.Module, block: Conv) -> None:
        super().__init__()
        self.convolution, self.norm, self.block = convolution, norm, block
        self.act = _ACTIVATIONS[block.activation]()

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        y: Tensor = self.act(self.norm(self.convolution(x, out_channels)))
        return y

    def chain(self, in_channels: int, out_channels: int) -> Chain:
        """Return the same as `forward` for the native kernels."""
        own, activation = self.convolution, self.block.activation
        weights = own.part(in_channels, out_channels)
        return Chain([Unit(weights, self.norm, own.stride[0], own.same, activation=activation)])


@dataclass(frozen=True)
class SeparableConv:
    """Depthwise k x k convolution and 1x1 convolution, each with batch normalisation.

    The activation follows the depthwise convolution. The input is added to the output if stride is
    1 and both widths are equal.

    kernel: height and width of the depthwise kernel, 1 to 63, odd.
    activation: `relu`, `relu6`, `hardswish` or `identity`.

    Raises `MpnasError` for a value of a wrong type or out of its range.
    """

    kernel: Kernel = 3
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        check(self)

    @property
    def name(self) -> str:
        """Name, such as `sep3`."""
        return f"sep{self.kernel}"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: an inverted bottleneck that does not expand."""
        return self._bottleneck.build(in_channels, out_channels, stride, norm)

    def cost(self, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
        """Return the cost (see `Costed.cost`)."""
        return self._bottleneck.cost(in_channels, out_channels, stride, size)

    @property
    def _bottleneck(self) -> InvertedBottleneck:
        return InvertedBottleneck(self.kernel, 1, activation=self.activation)


@dataclass(frozen=True)
class PooledConv:
    """Global average pooling, 1x1 convolution with bias, hard-swish. No normalisation.

    The last layer before the classifier in MobileNetV3 (Howard et al. 2019, arXiv 1905.02244).
    """

    @property
    def name(self) -> str:
        """Name: `pooled`."""
        return "pooled"

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module: (B, in, H, W) -> (B, out, 1, 1)."""
        return _PooledConv(conv(in_channels, out_channels, bias=True))

    def cost(self, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
        """Return the cost (see `Costed.cost`). Stride and size do not matter."""
        return _cost_with_bias(in_channels, out_channels)


class _PooledConv(nn.Module):
    def __init__(self, convolution: ElasticConv) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        return F.hardswish(self.convolution(x.mean((2, 3), keepdim=True), out_channels))
