"""Every block over every choice: shapes, stride, residual, costs; and blocks at less width."""

import itertools

import counter
import pytest
import torch
from torch import nn

from mpnas_kit.space.block import Block
from mpnas_kit.space.blocks import Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.counting import count
from mpnas_kit.space.elastic import ElasticConv, conv, depthwise, round8

CHOICES = itertools.product((3, 5, 7), (1, 2, 3, 4, 5, 6), (False, True))
BOTTLENECKS = [
    InvertedBottleneck(kernel, expansion, se, activation)
    for (kernel, expansion, se), activation in zip(
        CHOICES, itertools.cycle(("relu", "relu", "hardswish")), strict=False
    )
]
ABSOLUTE = [
    InvertedBottleneck(5, se=se, hidden=hidden) for hidden in (8, 20) for se in (False, True)
]
PLAIN = [
    *(Conv(kernel, "identity") for kernel in (1, 3, 5, 7)),
    *(SeparableConv(kernel, "hardswish") for kernel in (3, 5, 7)),
]
BLOCKS: list[Block] = [*BOTTLENECKS, *ABSOLUTE, *PLAIN, PooledConv()]
SHAPES = [(8, 8, 1), (8, 12, 1), (8, 8, 2), (8, 12, 2)]  # in, out, stride


def label(block: Block) -> str:
    return f"{block.name}-{getattr(block, 'activation', '')}"


@pytest.mark.parametrize("block", BLOCKS, ids=label)
def test_every_block_keeps_its_shape_and_its_cost(block: Block) -> None:
    pooled = isinstance(block, PooledConv)
    for (channels, out, stride), size in itertools.product(
        SHAPES[:2] if pooled else SHAPES, (8, 7)
    ):
        module = block.build(channels, out, stride, nn.BatchNorm2d).eval()
        x = torch.randn(2, channels, size, size)
        tally = counter.Tally()
        with counter.multiply_adds(module, tally), torch.no_grad():
            y = module(x)
        expected = 1 if pooled else -(-size // stride)
        assert y.shape == (2, out, expected, expected)
        if (stride == 2) is (size == 8) and not pooled:
            continue  # counting takes time: half of the cases are enough
        counter.parameters(module, tally)
        assert tuple(count(block, channels, out, stride, size)) == (
            tally.multiply_adds,
            tally.parameters,
            tally.norm_parameters,
        )


@pytest.mark.parametrize("block", [*BOTTLENECKS[::5], SeparableConv(3)], ids=label)
def test_the_input_is_added_only_if_stride_and_widths_allow_it(block: Block) -> None:
    for channels, out, stride in SHAPES:
        module = block.build(channels, out, stride, nn.BatchNorm2d).eval()
        last = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)][-1]
        nn.init.zeros_(last.weight)  # the branch gives 0, so the output is the input or 0
        x = torch.randn(2, channels, 8, 8)
        y = module(x)
        residual = stride == 1 and channels == out
        assert torch.equal(y, x) if residual else not y.any()


def test_parts_of_an_inverted_bottleneck_are_those_of_mobilenet_v3() -> None:
    module = InvertedBottleneck(5, 3, se=True).build(8, 12, 2, nn.BatchNorm2d)
    kernels = [
        (tuple(m.weight.shape), m.stride[0], m.groups, m.bias is not None)
        for m in module.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert kernels == [
        ((24, 8, 1, 1), 1, 1, False),
        ((24, 1, 5, 5), 2, 24, False),
        ((8, 24, 1, 1), 1, 1, True),
        ((24, 8, 1, 1), 1, 1, True),
        ((12, 24, 1, 1), 1, 1, False),
    ]


def test_without_a_real_expansion_there_is_no_expand_convolution() -> None:
    for block in (InvertedBottleneck(3, 1), InvertedBottleneck(3, hidden=8)):
        module = block.build(8, 8, 1, nn.BatchNorm2d)
        assert sum(isinstance(m, nn.Conv2d) for m in module.modules()) == 2


def test_a_bottleneck_computes_what_its_parts_say() -> None:
    """Identity kernels and known statistics: the output can be worked out by hand."""
    module = InvertedBottleneck(3, 1, activation="relu").build(1, 1, 1, nn.BatchNorm2d).eval()
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        convolutions[0].weight.zero_()[0, 0, 1, 1] = 2.0
        convolutions[1].weight.fill_(3.0)
    x = torch.tensor([[[[1.0, -1.0], [0.5, 0.0]]]])
    expected = x + 3 * (2 * x).relu()
    torch.testing.assert_close(module(x), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(4, 8), (11, 16), (12, 16), (16, 16), (18, 24), (120 / 4, 32), (168, 168)],
)
def test_round8_never_loses_more_than_a_tenth(channels: float, expected: int) -> None:
    assert round8(channels) == expected and expected >= 0.9 * channels


def test_names_tell_the_blocks_of_a_layer_apart() -> None:
    assert len({b.name for b in BOTTLENECKS}) == len(BOTTLENECKS) == 36
    assert InvertedBottleneck(5, 3, True).name == "k5e3se"
    assert InvertedBottleneck(3, hidden=64).name == "k3h64"


# Blocks at less than their full width -----------------------------------------------------------


def sliced_copy(small: nn.Module, large: nn.Module) -> None:
    """Give `small` the first rows and columns of the tensors of `large`."""
    with torch.no_grad():
        for name, parameter in small.named_parameters():
            wide = large.get_parameter(name)
            parameter.copy_(wide[tuple(slice(n) for n in parameter.shape)])


def test_a_convolution_used_at_less_width_equals_a_small_one() -> None:
    for wide, small in (
        (conv(16, 24, 3, 2, bias=True), conv(8, 12, 3, 2, bias=True)),
        (depthwise(16, 5, 1), depthwise(8, 5, 1)),
    ):
        sliced_copy(small, wide)
        x = torch.randn(2, 8, 6, 6)
        torch.testing.assert_close(wide(x, small.out_channels), small(x))


class SlicedNorm(nn.BatchNorm2d):
    """A batch norm that takes fewer channels than it has, with batch statistics."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[1]
        return nn.functional.batch_norm(x, None, None, self.weight[:n], self.bias[:n], True)


@pytest.mark.parametrize(
    "block", [*BOTTLENECKS[::3], Conv(3), SeparableConv(3), PooledConv()], ids=label
)
def test_a_block_used_at_less_width_equals_a_small_block(block: Block) -> None:
    for wide, narrow in (((16, 24), (8, 12)), ((16, 24), (16, 12)), ((16, 16), (8, 8))):
        large = block.build(*wide, 1, SlicedNorm)
        small = block.build(*narrow, 1, SlicedNorm)
        nn.init.normal_(next(large.parameters()))
        sliced_copy(small, large)
        x = torch.randn(4, narrow[0], 6, 6)
        torch.testing.assert_close(large(x, narrow[1]), small(x), atol=1e-4, rtol=1e-4)


def test_every_kernel_of_a_block_is_elastic() -> None:
    module = InvertedBottleneck(3, 3, se=True).build(8, 8, 1, nn.BatchNorm2d)
    assert all(isinstance(m, ElasticConv) for m in module.modules() if isinstance(m, nn.Conv2d))
