"""The pocket spaces and MobileNetV3-Large."""

from collections.abc import Iterator
from itertools import combinations

from mpnas_kit.space.blocks import Activation, Conv, InvertedBottleneck, PooledConv
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.space import Resolution
from mpnas_kit.space.strided import StridedSpace


def pocket_space(resolution: Resolution = 32) -> LayerwiseSpace:
    """Return the pocket space (ours): 10 searched layers of 8 blocks, for images of 32x32 pixels.

    Blocks are inverted bottlenecks (see `InvertedBottleneck`) of a few kernels and expansions. Only
    a layer that changes the width cannot be skipped. The width is fixed per stage: 8, 16, 24, 32.
    The space is narrow, so that accuracy depends on the path; `benchmarks/path_spread.py` measures
    how much. At 32 pixels paths cost 0.13 to 1.87 million multiply-adds.

    resolution: height and width of the images, 1 to 4096 pixels.

    >>> mk.pocket_space()
    LayerwiseSpace('pocket', 12 layers, choices [9, 8, 9, 9, 8, 9, 9, 8, 9, 9])
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
    return LayerwiseSpace("pocket", layers, resolution, source="pocket")


def pocket_strided(resolution: Resolution = 32) -> StridedSpace:
    """Return the pocket space in which a path also chooses where its maps are halved (ours).

    The stem halves the map, and so do the first layers of two of the four stages. In `pocket_space`
    these are stages 2 and 3. `benchmarks/path_spread.py` measures how much accuracy depends on the
    path, among paths of equal multiply-adds.

    resolution: height and width of the images, 1 to 4096 pixels.

    >>> mk.pocket_strided()
    StridedSpace('pocket_strided', 12 layers, choices [6, 8, 8, 9, 9, 8, 9, 9, 8, 9, 9])
    """
    firsts = [f"{stage}.1" for stage in range(1, 5)]
    layers = [
        Layer(x.name, 1, x.widths, tuple(c for c in x.candidates if c)) if x.name in firsts else x
        for x in pocket_space(resolution).layers
    ]
    halved = list(combinations(firsts, 2))
    return StridedSpace("pocket_strided", layers, halved, resolution, source="pocket_strided")


def mobilenet_v3_large(resolution: Resolution = 224) -> LayerwiseSpace:
    """Return MobileNetV3-Large as a space with a single path.

    Source: Howard et al. 2019, arXiv 1905.02244, table 1. With 224 pixels and 1000 classes it has
    5,483,032 parameters and 216,589,760 multiply-adds, classifier and batch norm included.

    resolution: height and width of the images, 1 to 4096 pixels.

    >>> large = mk.mobilenet_v3_large()
    >>> large.cost(large.parse("")).parameters
    4177632
    """
    layers = [Layer("stem", 2, (16,), (Conv(3),))]
    layers += [Layer(name, step, (width,), (block,)) for name, step, width, block in large_blocks()]
    layers.append(Layer("head", 1, (960,), (Conv(1),)))
    layers.append(Layer("hidden", 1, (1280,), (PooledConv(),)))
    return LayerwiseSpace("mobilenet_v3_large", layers, resolution, source="mobilenet_v3_large")


def large_blocks() -> Iterator[tuple[str, int, int, InvertedBottleneck]]:
    """Yield name, stride, width and block of the layers of MobileNetV3-Large between stem and head.

    Source: Howard et al. 2019, arXiv 1905.02244, table 1.
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
    for i, (kernel, hidden, width, se, activation, stride) in enumerate(rows, start=1):
        block = InvertedBottleneck(kernel, se=se, activation=activation, hidden=hidden)
        yield f"{i}", stride, width, block
