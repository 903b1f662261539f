"""The depthwise convolution: its output and gradients equal those of torch."""

import pytest
import torch
import torch.nn.functional as F

from mpnas_kit.space.strips import depthwise_conv


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_output_and_gradients_are_those_of_the_convolution_of_torch(
    kernel: int, stride: int, size: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, size, size, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    weight = torch.randn(6, 1, kernel, kernel, generator=generator)
    for tensor in (x, weight):
        tensor.requires_grad_()
    expected = F.conv2d(x, weight, None, stride, kernel // 2, 1, 6)
    output = depthwise_conv(x, weight, stride, kernel // 2)
    pull = torch.randn(expected.shape, generator=generator)
    torch.testing.assert_close(output, expected)
    for ours, stock in zip(
        torch.autograd.grad(output, (x, weight), pull),
        torch.autograd.grad(expected, (x, weight), pull),
        strict=True,
    ):
        torch.testing.assert_close(ours, stock, atol=1e-4, rtol=1e-4)
