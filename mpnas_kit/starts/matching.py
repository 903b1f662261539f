"""Which layers of two search spaces correspond, and in which feature maps channels correspond.

A *stream* is a feature map and all that is added to it. It begins at its opener, a layer that
changes the size or the width of the map. The layers of stride 1 and equal width after it belong to
it, except for convolutions that cannot be skipped. So the channels of a stream mean the same from
its first layer to its last.

- A stage begins at a layer with a stride above 1. Openers correspond if they are the first, second
  and so on of their kind in the same stage. Kinds are dense convolutions (`Conv`), pooled ones
  (`PooledConv`), and all other blocks.
- Dense and pooled convolutions after the last other block are the tail. They correspond whatever
  the number of stages is.
- The other layers correspond if their openers do, and they have the same depth in the stream.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mpnas_kit.space.blocks import Conv, PooledConv
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.space import SearchSpace

_TAIL = -1  # stage of the layers after the last block that is neither dense nor pooled


class Place(NamedTuple):
    """Where a layer is in its space.

    opener: stage, kind and number of the opener of its stream. The latter counts the openers of
    this kind in the stage.
    depth: index in the stream; 0: the layer is the opener.
    """

    opener: tuple[int, str, int]
    depth: int


@dataclass(frozen=True)
class Matching:
    """Layers and streams of a network, and those of the source that correspond.

    A stream is named by the index of its opener, and the input of the network by -1.

    layers: for every layer of the network that of the source; None: there is none.
    streams: for every layer of the network the stream of its output.
    source_streams: the same for the source.
    """

    layers: tuple[int | None, ...]
    streams: tuple[int, ...]
    source_streams: tuple[int, ...]

    @classmethod
    def of(cls, source: SearchSpace, target: SearchSpace) -> "Matching":
        """Return the layers of two spaces that correspond."""
        known = {place: layer for layer, place in enumerate(places(source.layers))}
        return cls(
            tuple(known.get(place) for place in places(target.layers)),
            streams(target.layers),
            streams(source.layers),
        )

    def input_of(self, layer: int) -> int:
        """Return the stream that a layer of the network reads."""
        return self.streams[layer - 1] if layer else -1

    def source_of(self, stream: int) -> int | None:
        """Return the stream of the source that corresponds to one of the network, or None."""
        return -1 if stream == -1 else self.layers[stream]

    def reads_the_same(self, layer: int) -> bool:
        """Return whether a layer reads what the layer of the source that corresponds reads."""
        own = self.layers[layer]
        if own is None:
            return False
        read = self.source_streams[own - 1] if own else -1
        return self.source_of(self.input_of(layer)) == read


def streams(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return for every layer the index of the layer that opens the stream of its output."""
    found: list[int] = []
    for i, layer in enumerate(layers):
        joins = i > 0 and layer.stride == 1 and layer.widths == layers[i - 1].widths
        joins = joins and (_kind(layer) == "block" or None in layer.candidates)
        found.append(found[-1] if joins else i)
    return tuple(found)


def places(layers: Sequence[Layer]) -> list[Place]:
    """Return the place of every layer."""
    kinds = [_kind(layer) for layer in layers]
    last = max((i for i, kind in enumerate(kinds) if kind == "block"), default=len(layers))
    stage, counts, found = 0, defaultdict[tuple[int, str], int](int), list[Place]()
    for i, (layer, opener) in enumerate(zip(layers, streams(layers), strict=True)):
        stage += layer.stride > 1
        if opener < i:
            found.append(Place(found[-1].opener, i - opener))
            continue
        key = (_TAIL if i > last else stage), kinds[i]
        found.append(Place((*key, counts[key]), 0))
        counts[key] += 1
    return found


def _kind(layer: Layer) -> str:
    blocks = [block for block in layer.candidates if block is not None]
    for kind, cls in (("dense", Conv), ("pooled", PooledConv)):
        if all(isinstance(block, cls) for block in blocks):
            return kind
    return "block"
