"""A faster backward pass for depthwise convolutions with large kernels, on CPUs.

The stock gradient of the weights is as fast as its arithmetic for kernels of up to 3 columns, with
any number of rows, and ten times slower for wider ones. So a k x k gradient is put together here
from strips of 3 columns, each taken on the image moved sideways: its tap (i, j) is the same sum of
products either way. `benchmarks/engine.py` measures both.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_STRIP = 3  # columns


def depthwise_conv(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """(B, C, H, W), (C, 1, k, k) -> (B, C, ceil(H / stride), ceil(W / stride)), k odd, no bias."""
    if weight.shape[-1] > _STRIP and x.device.type == "cpu" and torch.is_grad_enabled():
        if torch.is_autocast_enabled("cpu"):  # here: what is called inside does not see it
            x, weight = (t.to(torch.get_autocast_dtype("cpu")) for t in (x, weight))
        y: Tensor = _StripGradient.apply(x, weight, stride)  # type: ignore[no-untyped-call]
        return y
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])


class _StripGradient(torch.autograd.Function):
    """See the module."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        gradient, stride = gradients[0], ctx.stride
        kernel, pad = weight.shape[-1], weight.shape[-1] // 2
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _backward(gradient, x, weight, stride, pad, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            to_weight = torch.empty_like(weight)
            strip = weight[..., :_STRIP].contiguous(memory_format=torch.channels_last)
            padded = F.pad(x, (pad,) * 4)  # a convolution that pads is slow again on small maps
            height, width = ((n - 1) * stride for n in gradient.shape[2:])
            for first in (*range(0, kernel - _STRIP, _STRIP), kernel - _STRIP):
                moved = padded[..., : height + kernel, first : first + width + _STRIP]
                moved = moved.contiguous(memory_format=torch.channels_last)
                taps = _backward(gradient, moved, strip, stride, 0, (False, True, False))[1]
                to_weight[..., first : first + _STRIP] = taps
        return to_x, to_weight, None


def _backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    pad: int,
    wanted: tuple[bool, ...],
) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride] * 2,
        [pad] * 2,
        [1, 1],
        False,
        [0, 0],
        len(weight),
        wanted,
    )
    return result
