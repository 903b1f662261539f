"""Batch normalisation of all segments of a tensor at once, for devices other than the CPU (ours).

A segment is a run of images that is normalised alone. A loop over the segments takes several calls
per segment, and copies the tensor. On a GPU each call costs more time than its arithmetic if maps
are small. Here the number of calls does not depend on the number of segments.

No value of one segment reaches another, not even one that is not finite. No call waits for the
device, and each has a deterministic form on CUDA.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Grouping:
    """Which images of a tensor belong to which segment.

    Segments of one size need no tensors on the device. Others need two small ones.

    sizes: images of every segment, at least 1, in the order of the tensor.
    device: device of the tensor.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        self._segments, self._size = len(sizes), sizes[0]
        self._tensors: tuple[Tensor, Tensor] | None = None  # images per segment, segment per image
        if any(size != self._size for size in sizes):
            lengths = torch.tensor(sizes)
            index = torch.arange(len(sizes)).repeat_interleave(lengths)
            self._tensors = (
                lengths.to(device, non_blocking=True),
                index.to(device, non_blocking=True),
            )

    def mean(self, images: Tensor) -> Tensor:
        """Return the means over the images of every segment: (B, C) -> (segments, C)."""
        if self._tensors is None:
            return images.view(self._segments, self._size, -1).mean(1)
        lengths, _ = self._tensors
        # "unsafe" leaves out a check of the lengths for which it would wait for the device
        means: Tensor = torch.segment_reduce(images, "mean", lengths=lengths, axis=0, unsafe=True)
        return means

    def sum(self, means: Tensor) -> Tensor:
        """Return the sums over the images of every segment, from their means: (segments, C)."""
        return means * (self._size if self._tensors is None else self._tensors[0][:, None])

    def spread(self, segments: Tensor) -> Tensor:
        """Return for every image the row of its segment: (segments, C) -> (B, C, 1, 1)."""
        if self._tensors is None:
            rows = segments.repeat_interleave(self._size, 0)
        else:
            rows = segments[self._tensors[1]]
        return rows[:, :, None, None]


def normalise(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    grouping: Grouping,
    eps: float,
) -> Tensor:
    """Return `(x - mean) / sqrt(var + eps) * weight + bias` for the segment of every image.

    x: (B, C, H, W). mean, var, weight, bias: (segments, C). The result has the type of `x`.
    """
    scale = grouping.spread(weight * (var + eps).rsqrt())
    centred = x.to(scale.dtype) - grouping.spread(mean)
    return torch.addcmul(grouping.spread(bias), centred, scale).to(x.dtype)


def batch_normalise(
    x: Tensor, weight: Tensor, bias: Tensor, grouping: Grouping, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `x` normalised with the statistics of each segment, and these statistics.

    x: (B, C, H, W). weight, bias: (segments, C), float32 or float64.
    eps: added to the variances, above 0.

    Returns the normalised tensor in the type of `x`, with gradient, and the means and variances
    (divided by the number of values), (segments, C) each, without gradient.
    """
    result: tuple[Tensor, Tensor, Tensor] = _BatchNorm.apply(x, weight, bias, grouping, eps)  # type: ignore[no-untyped-call]
    return result


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation per segment. It keeps `x` and two rows per segment for the gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, grouping: Grouping, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The variance of a segment is the mean of its images' variances, plus the variance of
        their means (all images have as many values). No large squares are subtracted.
        """
        values = x.to(weight.dtype)
        image_var, image_mean = torch.var_mean(values, (2, 3), correction=0)  # (B, C)
        mean = grouping.mean(image_mean)
        apart = image_mean - grouping.spread(mean)[:, :, 0, 0]
        var = grouping.mean(torch.addcmul(image_var, apart, apart))
        ctx.save_for_backward(x, weight, mean, var)
        ctx.grouping, ctx.eps = grouping, eps
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        return normalise(values, mean, var, weight, bias, grouping, eps).to(x.dtype), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """With `z = (x - mean) / deviation`, g the gradient of the output, and means per segment:

        x: `weight / deviation * (g - mean(g) - z * mean(g * z))`; weight: `sum(g * z)`;
        bias: `sum(g)`.
        """
        x, weight, mean, var = ctx.saved_tensors
        grouping: Grouping = ctx.grouping
        g = gradients[0].to(weight.dtype)
        inverse = (var + ctx.eps).rsqrt()
        centred = x.to(weight.dtype) - grouping.spread(mean)
        g_mean = grouping.mean(g.mean((2, 3)))
        gz_mean = grouping.mean((g * centred).mean((2, 3))) * inverse
        scale, values = weight * inverse, x.shape[2] * x.shape[3]
        slope, offset = -scale * inverse * gz_mean, -scale * g_mean
        x_gradient = torch.addcmul(grouping.spread(offset), centred, grouping.spread(slope))
        x_gradient = x_gradient.addcmul_(g, grouping.spread(scale)).to(x.dtype)
        weight_gradient, bias_gradient = (grouping.sum(m) * values for m in (gz_mean, g_mean))
        return x_gradient, weight_gradient, bias_gradient, None, None
