"""Convolutions and squeeze-and-excite at less than their full width, with lent weights."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.kernels.chain import Gate, Weights
from mpnas_kit.space.block import lend
from mpnas_kit.space.strips import depthwise_conv

Padding = Literal["symmetric", "same"]


def round8(channels: float) -> int:
    """Return the multiple of 8 nearest to `channels`, at least 8 and at least 90 % of `channels`.

    This is the rounding of widths in MobileNetV3 (Howard et al. 2019, arXiv 1905.02244).
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class ElasticConv(nn.Conv2d):
    """A dense or depthwise convolution that can be used at less than its full width.

    Its output has the size ceil(size / stride). It may borrow its weights from a larger
    convolution. Then it uses the first channels of that convolution and the centre of its kernels.

    same: whether the padding is that of TensorFlow's SAME: as few zeros as the size of the output
    needs, and if their number is odd, one more after the map than before it. Otherwise there are
    kernel // 2 zeros on every side.
    """

    _lender: "tuple[ElasticConv, ...]" = ()  # in a tuple, so that torch does not register it here
    same = False

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        """Return the output: (B, C, H, W) -> (B, out_channels, H', W').

        out_channels: width of the output; None: the full width. A depthwise convolution ignores
        it: its output has the width of its input.
        """
        weight, pad = self._weight(), self.kernel_size[0] // 2
        if self.same and self.stride[0] > 1:
            columns, rows = (self.zeros(size) for size in (x.shape[3], x.shape[2]))
            x, pad = F.pad(x, (*columns, *rows)), 0
        if self.groups > 1:
            return depthwise_conv(x, weight[: x.shape[1]], self.stride[0], pad)
        width, bias = out_channels or self.out_channels, self.owner.bias
        bias = None if bias is None else bias[:width]
        return F.conv2d(x, weight[:width, : x.shape[1]], bias, self.stride, pad)

    def zeros(self, size: int) -> tuple[int, int]:
        """Return the number of zeros before and after a map of this height or width."""
        if not self.same:
            return self.kernel_size[0] // 2, self.kernel_size[0] // 2
        stride = self.stride[0]
        both = max(0, (-(-size // stride) - 1) * stride + self.kernel_size[0] - size)
        return both // 2, both - both // 2

    def borrow(self, lender: nn.Module) -> None:
        """Use the weights and bias of `lender`, an `ElasticConv`, and delete the own ones.

        If the lender borrows too, these are the weights of its own lender.
        """
        assert isinstance(lender, ElasticConv)
        del self.weight
        self.bias = None
        self._lender = (lender.owner,)

    def part(self, in_channels: int, out_channels: int) -> Weights:
        """Return the weights that these widths use, for the native kernels."""
        return Weights(self.owner, out_channels, in_channels, self.kernel_size[0])

    @property
    def borrows(self) -> bool:
        """Whether this convolution has no weights of its own."""
        return bool(self._lender)

    @property
    def owner(self) -> "ElasticConv":
        """The convolution that has the weights and the bias: the lender, or this one."""
        return self._lender[0] if self.borrows else self

    @torch.no_grad()
    def plain(self, in_channels: int, out_channels: int) -> nn.Conv2d:
        """Return a plain convolution with copies of the weights that these widths use.

        It pads kernel // 2 zeros, also if this convolution is `same`.

        in_channels, out_channels: widths of its input and output. Those of a depthwise convolution
        are equal.
        """
        depthwise, bias = self.groups > 1, self.owner.bias
        copy = nn.Conv2d(
            in_channels,
            out_channels,
            self.kernel_size[0],
            self.stride[0],
            self.kernel_size[0] // 2,
            groups=in_channels if depthwise else 1,
            bias=bias is not None,
        )
        weight = self._weight()[:out_channels, : 1 if depthwise else in_channels]
        copy.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
        if bias is not None:
            copy.bias = nn.Parameter(bias[:out_channels].detach().clone())
        return copy

    def _weight(self) -> Tensor:
        if not self.borrows:
            return self.weight
        lent, kernel = self.owner.weight, self.kernel_size[0]
        edge = (lent.shape[-1] - kernel) // 2
        inner = slice(edge, edge + kernel)
        return lent[: self.out_channels, : self.in_channels // self.groups, inner, inner]


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    bias: bool = False,
    padding: Padding = "symmetric",
) -> ElasticConv:
    """Return a dense convolution. Its output has the size ceil(size / stride)."""
    made = ElasticConv(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
    made.same = padding == "same"
    return made


def depthwise(
    channels: int, kernel: int, stride: int, padding: Padding = "symmetric"
) -> ElasticConv:
    """Return a depthwise convolution. Its output has the size ceil(size / stride)."""
    pad = kernel // 2
    made = ElasticConv(channels, channels, kernel, stride, pad, groups=channels, bias=False)
    made.same = padding == "same"
    return made


class SqueezeExcite(nn.Module):
    """Squeeze-and-excite (Hu et al. 2018, arXiv 1709.01507) in the form of MobileNetV3.

    Width `round8(channels / 4)`, biased, ReLU, then hard sigmoid (Howard et al. 2019).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = conv(channels, round8(channels / 4), bias=True)
        self.expand = conv(round8(channels / 4), channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) with every channel multiplied by a gate in [0, 1]."""
        channels = x.shape[1]
        gate = F.relu(self.reduce(x.mean((2, 3), keepdim=True), round8(channels / 4)))
        return x * F.hardsigmoid(self.expand(gate, channels))

    def gate(self, channels: int) -> Gate:
        """Return the same for the native kernels."""
        inside = round8(channels / 4)
        return Gate(self.reduce.part(channels, inside), self.expand.part(inside, channels))

    def borrow(self, lender: nn.Module) -> None:
        """Use the weights of `lender`, a `SqueezeExcite` of at least as many channels."""
        assert isinstance(lender, SqueezeExcite)
        lend(lender.reduce, self.reduce)
        lend(lender.expand, self.expand)
