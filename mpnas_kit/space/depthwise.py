"""A faster backward pass for depthwise convolutions with large kernels on small maps, on CPUs.

The stock gradient of the weights is fast for 3 x 3 kernels and, on maps of 8 x 8 pixels and less,
several times slower than its arithmetic for 5 x 5 and 7 x 7. A k x k gradient is put together here
from 3 x 3 ones on shifted images: its tap (i, j) is the same sum of products either way.
`benchmarks/engine.py` measures both.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_MAP = 8  # output pixels a side up to which the shifted form is the faster one


def depthwise_conv(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """(B, C, H, W), (C, 1, k, k) -> (B, C, ceil(H / stride), ceil(W / stride)), k odd, no bias."""
    kernel = weight.shape[-1]
    small = -(-x.shape[-1] // stride) <= LARGEST_MAP
    if kernel > 3 and small and x.device.type == "cpu":
        y: Tensor = _ShiftedGradient.apply(x, weight, stride)  # type: ignore[no-untyped-call]
        return y
    return F.conv2d(x, weight, None, stride, kernel // 2, 1, weight.shape[0])


class _ShiftedGradient(torch.autograd.Function):
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
        pad = weight.shape[-1] // 2
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _backward(gradient, x, weight, stride, pad, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            to_weight = torch.empty_like(weight)
            small = weight[:, :, :3, :3].contiguous(memory_format=torch.channels_last)
            padded = F.pad(x, (pad, pad, pad, pad))
            height, width = ((n - 1) * stride + 3 for n in gradient.shape[2:])
            for i in range(0, 2 * pad - 1, 2):  # taps i to i + 2; neighbours overlap in one tap
                for j in range(0, 2 * pad - 1, 2):
                    shifted = padded[:, :, i : i + height, j : j + width]
                    taps = _backward(gradient, shifted, small, stride, 0, (False, True, False))[1]
                    to_weight[:, :, i : i + 3, j : j + 3] = taps
        return to_x, to_weight, None


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, pad: int, wanted: tuple[bool, ...]
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
