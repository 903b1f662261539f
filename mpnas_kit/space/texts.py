"""Search spaces as text and JSON: those of the kit by name, others by module, file or layers."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec
from torch import nn

from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.files import formed
from mpnas_kit.parts import Kind, Missing, absolute, by_text_name, to_text
from mpnas_kit.space.backbone import lite0, mobilenet_v3_large_like
from mpnas_kit.space.block import Block, NormFactory, lacks_block
from mpnas_kit.space.blocks import Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.factored import mobilenet_v3_like
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.planted import planted_space
from mpnas_kit.space.planted_sharing import planted_sharing_space
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import mobilenet_v3_large, pocket_space, pocket_strided


def _lacks_space(value: Any) -> str | None:
    return None if isinstance(value, SearchSpace) else "layers (it is not a SearchSpace)"


SPACE = Kind(
    "search space",
    {
        "pocket": pocket_space,
        "pocket_strided": pocket_strided,
        "mobilenet_v3_like": mobilenet_v3_like,
        "mobilenet_v3_large": mobilenet_v3_large,
        "lite0": lite0,
        "mobilenet_v3_large_like": mobilenet_v3_large_like,
        "planted": planted_space,
        "planted_sharing": planted_sharing_space,
    },
    _lacks_space,
)
BLOCK = Kind(
    "block", by_text_name(Conv, InvertedBottleneck, SeparableConv, PooledConv), lacks_block
)


def space_from_text(text: str, resolution: int) -> SearchSpace:
    """Return the search space written as `text`, which a person gave. Its module is imported.

    text: a space of the kit, such as `pocket`, or a space of your own, such as
    `my_spaces.py:tiny(width=8)`.
    resolution: height and width of the images, pixels. A function with an option `resolution` gets
    it.

    Raises `MpnasError` if the text cannot be read.

    >>> mk.space_from_text("pocket", 32)
    LayerwiseSpace('pocket', 12 layers, choices [9, 8, 9, 9, 8, 9, 9, 8, 9, 9])
    """
    space: SearchSpace = SPACE.parse(text, "space", {"resolution": resolution})
    space.source = absolute(text)
    return space


def describe_space(space: SearchSpace) -> dict[str, Any]:
    """Return a space as a dict of JSON values, from which `read_space` creates it again.

    Keys: name, resolution, source (text or None), and resolutions if domains differ. A
    `LayerwiseSpace` that is not part of the kit also has the key layers, with the text form of
    every block.
    """
    described: dict[str, Any] = {
        "name": space.name,
        "resolution": space.resolution,
        "source": space.source,
    }
    if space.resolutions:
        described["resolutions"] = dict(space.resolutions)
    if type(space) is LayerwiseSpace and (space.source is None or ":" in space.source):
        described["layers"] = [
            {
                "name": layer.name,
                "stride": layer.stride,
                "widths": list(layer.widths),
                "candidates": [None if c is None else _describe_block(c) for c in layer.candidates],
                "counts": layer.counts,
            }
            for layer in space.layers
        ]
    return described


def read_space(described: Mapping[str, Any], trust: bool) -> SearchSpace:
    """Return the space that `describe_space` described.

    The source is used if it needs no import or the folder is trusted. Otherwise the space is
    created from its layers. A block that needs an import becomes a `MissingBlock`.

    described: the dict in the run folder.
    trust: whether modules may be imported.

    Raises `Unavailable` if the source cannot be used and there are no layers.
    """
    recorded = formed(described, RecordedSpace, "the space of a run folder")
    source, resolution = recorded.source, recorded.resolution
    found: Any = None
    if source is not None:
        found = SPACE.read(source, trust, {"resolution": resolution})
        if not isinstance(found, Missing):
            found.source = source
            space: SearchSpace = found
            return space.with_resolutions(recorded.resolutions)
    if recorded.layers is None:
        raise (
            found.error()
            if found is not None
            else Unavailable(
                f"search space {recorded.name!r} has no text form and is not a LayerwiseSpace, "
                "so the run folder cannot hold it: give it again as `space`."
            )
        )
    layers = [
        Layer(
            x.name,
            x.stride,
            tuple(x.widths),
            tuple(None if c is None else _read_block(c, trust) for c in x.candidates),
            x.counts,
        )
        for x in recorded.layers
    ]
    whole = LayerwiseSpace(recorded.name, layers, resolution, source)
    return whole.with_resolutions(recorded.resolutions)


@dataclass(frozen=True)
class MissingBlock:
    """A block with a known name whose module was not imported. It cannot be built.

    name: name of the block.
    text: text form of the block; None: it has none.
    """

    name: str
    text: str | None = field(repr=False)

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Raise `Unavailable`. The message says where the block comes from."""
        self._fail()

    def _fail(self) -> NoReturn:
        if self.text is None:
            raise Unavailable(
                f"block {self.name!r} has no text form, so the run folder cannot hold it: give the "
                "space again."
            )
        raise Missing(self.text, "block").error()


class RecordedBlock(msgspec.Struct, forbid_unknown_fields=True):
    """A block in a run folder: its name and its text form; None: it has none."""

    name: str
    block: str | None


class RecordedLayer(msgspec.Struct, forbid_unknown_fields=True):
    """A layer in a run folder. A candidate that is None skips the layer."""

    name: str
    stride: int
    widths: list[int]
    candidates: list[RecordedBlock | None]
    counts: bool


class RecordedSpace(msgspec.Struct):
    """A space in a run folder, as `describe_space` returns it."""

    name: str
    resolution: int
    source: str | None = None
    resolutions: dict[str, int] = {}
    layers: list[RecordedLayer] | None = None
    fingerprint: str | None = None


def _describe_block(block: Block) -> dict[str, Any]:
    try:
        return {"name": block.name, "block": to_text(block)}
    except MpnasError:
        return {"name": block.name, "block": None}


def _read_block(described: RecordedBlock, trust: bool) -> Block:
    name, text = described.name, described.block
    found = Missing("", "block") if text is None else BLOCK.read(text, trust)
    if isinstance(found, Missing):
        return MissingBlock(name, text)
    block: Block = found
    return block


def block_text(block: Block) -> str:
    """Return a block as text for people, such as `inverted_bottleneck(kernel=5)`.

    A block that is not a dataclass is shown by its name.
    """
    return to_text(block, defaults=False) if dataclasses.is_dataclass(block) else block.name
