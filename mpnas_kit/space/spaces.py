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
    """The space for 32 x 32 images (ours): 11 searched layers of 8 blocks, optional ones skippable.

    Widths are fixed a stage; the deep half uses hard-swish.
    """
    stages: tuple[tuple[int, int, int, Activation], ...] = (  # width, stride, layers, activation
        (16, 1, 2, "relu"),
        (24, 2, 3, "relu"),
        (40, 2, 3, "hardswish"),
        (64, 1, 3, "hardswish"),
    )
    layers = [Layer("stem", 2, (16,), (Conv(3),))]
    for stage, (width, stride, depth, activation) in enumerate(stages, start=1):
        blocks = (
            InvertedBottleneck(3, 1, activation=activation),
            InvertedBottleneck(3, 3, activation=activation),
            InvertedBottleneck(3, 6, activation=activation),
            InvertedBottleneck(5, 1, activation=activation),
            InvertedBottleneck(5, 3, activation=activation),
            InvertedBottleneck(5, 6, activation=activation),
            InvertedBottleneck(3, 3, se=True, activation=activation),
            InvertedBottleneck(7, 3, activation=activation),
        )
        for index in range(depth):
            first = index == 0
            keeps = not first or (stage == 1)
            candidates = (None, *blocks) if keeps else blocks
            layers.append(
                Layer(f"{stage}.{index + 1}", stride if first else 1, (width,), candidates)
            )
    layers.append(Layer("head", 1, (128,), (Conv(1),)))
    return LayerwiseSpace("pocket", layers, resolution)


def mobilenet_v3_large(resolution: int = 224) -> LayerwiseSpace:
    """MobileNetV3-Large as a space with a single path (Howard et al. 2019, arXiv 1905.02244, table 1).

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
