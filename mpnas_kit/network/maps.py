"""Feature maps of many flows on their way through a network.

A node computes the maps of several flows in one call. They are parts of one tensor. If the next
node takes the same maps, no data is copied. Flows with the same images and the same path so far
share one map. This saves time: the paths that a controller samples in a step often begin with the
same nodes, and more so when the controller becomes certain.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

CHUNK = 1 << 18  # bytes of input that a node takes in one call on a CPU


class Map:
    """Feature map of a batch of one domain, (count, C, H, W).

    domain: name of the domain.
    count: images of the batch.
    size: width of the map, pixels.
    pack: pack that has the map; None: it is a tensor of its own.
    part: index of the map in the pack.
    """

    __slots__ = ("_tensor", "count", "domain", "pack", "part", "size")

    def __init__(
        self,
        domain: str,
        count: int,
        size: int,
        tensor: Tensor | None,
        pack: "Pack | None" = None,
        part: int = 0,
    ) -> None:
        self.domain, self.count, self.size = domain, count, size
        self._tensor, self.pack, self.part = tensor, pack, part

    @property
    def tensor(self) -> Tensor:
        """The map as a tensor, (count, C, H, W)."""
        if self._tensor is None:
            assert self.pack is not None
            self._tensor = self.pack.parts[self.part]
        return self._tensor


class Pack:
    """Several maps in one tensor.

    whole: the maps one after another, (sum of counts, C, H, W).
    counts: images of every map.
    """

    def __init__(self, whole: Tensor, counts: Sequence[int]) -> None:
        self.whole, self.counts = whole, counts

    @cached_property
    def parts(self) -> Sequence[Tensor]:
        """The maps as tensors, in order."""
        parts: Sequence[Tensor] = self.whole.split(self.counts)
        return parts


def alone(domain: str, tensor: Tensor) -> Map:
    """Return a map with a tensor of its own."""
    count, _, _, size = tensor.shape
    return Map(domain, count, size, tensor)


def together(maps: Sequence[Map]) -> Tensor:
    """Return the maps in one tensor. If they are a whole pack already, no data is copied."""
    if len(maps) == 1:
        return maps[0].tensor
    pack = maps[0].pack
    if (
        pack is not None
        and len(pack.counts) == len(maps)
        and all(m.pack is pack and m.part == i for i, m in enumerate(maps))
    ):
        return pack.whole
    return torch.cat([m.tensor for m in maps])


def apart(whole: Tensor, maps: Sequence[Map]) -> list[Map]:
    """Return the output of a node for `together(maps)` as maps of the same batches."""
    if len(maps) == 1:
        return [alone(maps[0].domain, whole)]
    pack, size = Pack(whole, [m.count for m in maps]), whole.shape[-1]
    return [Map(m.domain, m.count, size, None, pack, i) for i, m in enumerate(maps)]


def average(maps: Sequence[Map]) -> Map:
    """Return the mean of several maps of one batch."""
    return alone(maps[0].domain, torch.stack([m.tensor for m in maps]).mean(0))


def chunks(maps: Sequence[Map]) -> Iterator[Sequence[Map]]:
    """Yield groups of maps for one call of a node: all on a GPU, as many as fit a cache on a CPU.

    One call for many maps saves calls. If maps are small, calls take most of the time. If maps do
    not fit into the cache, they go through memory several times per node.
    """
    first = maps[0].tensor
    limit = CHUNK // (first[0].numel() * first.element_size())
    begin = images = 0
    for end, m in enumerate(maps):
        if end > begin and images + m.count > limit and first.device.type == "cpu":
            yield maps[begin:end]
            begin, images = end, 0
        images += m.count
    yield maps[begin:]
