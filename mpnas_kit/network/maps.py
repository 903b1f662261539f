"""Feature maps of many flows on their way through a network: what is one, what lies together.

Maps of several flows that a node made in one go lie in one tensor, and where the next node takes
the same ones nothing is copied. Flows of the same images that have taken the same way so far have
one map: the paths a controller samples in a step begin alike, the more so as it decides.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

CHUNK = 1 << 18  # bytes of input that a node takes in one go on a CPU


class Map:
    """The feature map (count, C, H, W) of a batch of one domain: part number `part` of a pack."""

    __slots__ = ("count", "domain", "pack", "part")

    def __init__(self, domain: str, count: int, pack: "Pack", part: int) -> None:
        self.domain, self.count, self.pack, self.part = domain, count, pack, part

    @property
    def tensor(self) -> Tensor:
        """The map itself."""
        return self.pack.parts[self.part]


class Pack:
    """Maps of these counts of images, one behind the other in one tensor."""

    def __init__(self, whole: Tensor, counts: Sequence[int]) -> None:
        self.whole, self.counts = whole, counts
        self._parts: Sequence[Tensor] | None = None

    @property
    def parts(self) -> Sequence[Tensor]:
        """The maps."""
        if self._parts is None:
            alone = len(self.counts) == 1
            self._parts = (self.whole,) if alone else self.whole.split(self.counts)
        return self._parts


def alone(domain: str, tensor: Tensor) -> Map:
    """A map that lies in no other's tensor."""
    return Map(domain, len(tensor), Pack(tensor, [len(tensor)]), 0)


def together(maps: Sequence[Map]) -> Tensor:
    """The maps in one tensor; nothing is copied where they are a pack already."""
    pack = maps[0].pack
    if len(pack.counts) == len(maps) and all(
        m.pack is pack and m.part == i for i, m in enumerate(maps)
    ):
        return pack.whole
    return maps[0].tensor if len(maps) == 1 else torch.cat([m.tensor for m in maps])


def apart(whole: Tensor, maps: Sequence[Map]) -> list[Map]:
    """What a node made of `together(maps)`, as maps of the same batches."""
    pack = Pack(whole, [m.count for m in maps])
    return [Map(m.domain, m.count, pack, i) for i, m in enumerate(maps)]


def average(maps: Sequence[Map]) -> Map:
    """The mean of several maps of one batch."""
    return alone(maps[0].domain, torch.stack([m.tensor for m in maps]).mean(0))


def chunks(maps: Sequence[Map]) -> Iterator[Sequence[Map]]:
    """What a node best takes in one go: on a GPU all, on a CPU what its cache can hold.

    One call for many maps saves calls, and where they are small that is most of the time; what no
    longer fits into the cache goes through memory instead, several times a node.
    """
    first = maps[0].tensor
    most = CHUNK // (first[0].numel() * first.element_size())
    begin = images = 0
    for end, m in enumerate(maps):
        if end > begin and images + m.count > most and first.device.type == "cpu":
            yield maps[begin:end]
            begin, images = end, 0
        images += m.count
    yield maps[begin:]
