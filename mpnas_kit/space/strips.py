"""A faster backward pass for depthwise convolutions with large kernels, on CPUs (ours).

Torch computes the gradient of the weights fast if a kernel has at most 3 columns, with any number
of rows. Wider kernels are about ten times slower. So this module computes the gradient of a k x k
kernel in strips of 3 columns, each from a part of the image that is moved sideways. Every tap is
the same sum of products in both ways. `benchmarks/engine.py` measures both.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_STRIP = 3  # columns of a strip


def depthwise_conv(x: Tensor, weight: Tensor, stride: int, pad: int) -> Tensor:
    """Return a depthwise convolution without bias: (B, C, H', W').

    x: float (B, C, H, W).
    weight: float (C, 1, k, k), k odd.
    stride: at least 1.
    pad: zeros on every side of the map.
    """
    if weight.shape[-1] > _STRIP and x.device.type == "cpu" and torch.is_grad_enabled():
        if torch.is_autocast_enabled("cpu"):  # a custom function does not see autocast
            x, weight = (t.to(torch.get_autocast_dtype("cpu")) for t in (x, weight))
        y: Tensor = _StripGradient.apply(x, weight, stride, pad)  # type: ignore[no-untyped-call]
        return y
    return F.conv2d(x, weight, None, stride, pad, 1, weight.shape[0])


class _StripGradient(torch.autograd.Function):
    """Depthwise convolution whose weight gradient is computed in strips."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, pad: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pad = stride, pad
        return F.conv2d(x, weight, None, stride, pad, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        gradient, stride, pad, kernel = gradients[0], ctx.stride, ctx.pad, weight.shape[-1]
        x_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = _backward(gradient, x, weight, stride, pad, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            weight_gradient = torch.empty_like(weight)
            strip = weight[..., :_STRIP].contiguous(memory_format=torch.channels_last)
            padded = F.pad(x, (pad,) * 4)  # padding inside the convolution is slow on small maps
            height, width = ((n - 1) * stride for n in gradient.shape[2:])
            for first in (*range(0, kernel - _STRIP, _STRIP), kernel - _STRIP):
                moved = padded[..., : height + kernel, first : first + width + _STRIP]
                moved = moved.contiguous(memory_format=torch.channels_last)
                taps = _backward(gradient, moved, strip, stride, 0, (False, True, False))[1]
                weight_gradient[..., first : first + _STRIP] = taps
        return x_gradient, weight_gradient, None, None


def _backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    pad: int,
    needed: tuple[bool, ...],
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
        needed,
    )
    return result
