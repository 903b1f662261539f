"""The spaces that come with the kit, by name."""

from collections.abc import Callable

from mpnas_kit.errors import unknown
from mpnas_kit.space.blocks import (
    Activation,
    Conv,
    InvertedBottleneck,
    PooledConv,
)
from mpnas_kit.space.factored import mobilenet_v3_like
from mpnas_kit.space.space import Layer, LayerwiseSpace, SearchSpace


def pocket_space(resolution: int = 32) -> LayerwiseSpace:
    """The space for 32 x 32 images (ours): 10 searched layers of 8 blocks, most can be skipped.

    Widths are fixed a stage. Its paths cost 0.13 to 1.87 million multiply-adds, a factor of 15. It
    is narrow, so that accuracy depends on the path (`benchmarks/path_spread.py` measures how far).
    Only the layers that change the width must stay.
    """
    stages = ((8, 1, 1), (16, 2, 3), (24, 2, 3), (32, 1, 3))  # width, stride, layers
    activation: Activation = "hardswish"
    blocks = (
        InvertedBottleneck(3, 1, activation=activation),
        InvertedBottleneck(3, 2, activation=activation),
        InvertedBottleneck(3, 4, activation=activation),
        InvertedBottleneck(5, 1, activation=activation),
        InvertedBottleneck(5, 2, activation=activation),
        InvertedBottleneck(5, 4, activation=activation),
        InvertedBottleneck(3, 2, se=True, activation=activation),
        InvertedBottleneck(7, 2, activation=activation),
    )
    width_before = 8
    layers = [Layer("stem", 2, (width_before,), (Conv(3),))]
    for stage, (width, stride, depth) in enumerate(stages, start=1):
        for index in range(depth):
            step = stride if index == 0 else 1
            optional = step == 1 and width == width_before
            candidates = (None, *blocks) if optional else blocks
            layers.append(Layer(f"{stage}.{index + 1}", step, (width,), candidates))
            width_before = width
    layers.append(Layer("head", 1, (64,), (Conv(1),)))
    return LayerwiseSpace("pocket", layers, resolution)


def mobilenet_v3_large(resolution: int = 224) -> LayerwiseSpace:
    """MobileNetV3-Large as a space with a single path (Howard et al. 2019, table 1).

    At 224 pixels and 1000 classes: 5,483,032 parameters, 216,589,760 multiply-adds.
    """
    rows: tuple[tuple[int, int, int, bool, Activation, int], ...] = (
        # kernel, hidden, width, squeeze-and-excite, activation, stride
        (3, 16, 16, False, "relu", 1),
        (3, 64, 24, False, "relu", 2),
        (3, 72, 24, False, "relu", 1),
        (5, 72, 40, True, "relu", 2),
        (5, 120, 40, True, "relu", 1),
        (5, 120, 40, True, "relu", 1),
        (3, 240, 80, False, "hardswish", 2),
        (3, 200, 80, False, "hardswish", 1),
        (3, 184, 80, False, "hardswish", 1),
        (3, 184, 80, False, "hardswish", 1),
        (3, 480, 112, True, "hardswish", 1),
        (3, 672, 112, True, "hardswish", 1),
        (5, 672, 160, True, "hardswish", 2),
        (5, 960, 160, True, "hardswish", 1),
        (5, 960, 160, True, "hardswish", 1),
    )
    layers = [Layer("stem", 2, (16,), (Conv(3),))]
    for i, (kernel, hidden, width, se, activation, stride) in enumerate(rows, start=1):
        block = InvertedBottleneck(kernel, se=se, activation=activation, hidden=hidden)
        layers.append(Layer(f"{i}", stride, (width,), (block,)))
    layers.append(Layer("head", 1, (960,), (Conv(1),)))
    layers.append(Layer("hidden", 1, (1280,), (PooledConv(),)))
    return LayerwiseSpace("mobilenet_v3_large", layers, resolution)


SPACES: dict[str, Callable[[int], SearchSpace]] = {
    "pocket": pocket_space,
    "mobilenet_v3_like": mobilenet_v3_like,
    "mobilenet_v3_large": mobilenet_v3_large,
}


def space_by_name(name: str, resolution: int) -> SearchSpace:
    """The space of that name for images of `resolution` pixels."""
    if name not in SPACES:
        raise unknown("space", name, SPACES)
    return SPACES[name](resolution)
