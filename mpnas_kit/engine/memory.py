"""The memory budget of a step: what goes forward and back together, and what is computed again.

A forward pass keeps feature maps for its backward pass. If all micro-batches of a step go forward
before the first goes back, the maps of all domains are in memory at the same time. If the maps of
one micro-batch are too many, only the inputs of layers are kept, and the backward pass computes
each layer once more.
"""

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mpnas_kit.network.net import Blend, Flow
from mpnas_kit.space.map_memory import Maps, maps_of
from mpnas_kit.space.space import SearchSpace

MB = 1_000_000  # bytes
PASSING = 8  # maps of the largest size that single operations take beside those that are kept


class Division(NamedTuple):
    """How a step goes forward and back.

    groups: indices of the flows that go together, in order.
    recompute: whether the backward pass computes the maps inside of layers again.
    """

    groups: list[list[int]]
    recompute: bool


@dataclass(frozen=True)
class MemoryBudget:
    """Largest size of the feature maps of a step.

    These are the maps that it keeps for its backward pass, and those that single operations need
    for a moment: gradients, and copies in another order. The latter count as 8 maps of the largest
    size (measured by `benchmarks/memory.py`).

    megabytes: the budget, in MB (1 million bytes). None: there is none.
    value: bytes of a value of a feature map: 4 for float32, 2 for bfloat16.
    """

    megabytes: int | None = None
    value: int = 4
    _warned: set[str] = field(default_factory=set, compare=False)

    def divide(self, space: SearchSpace, flows: Sequence[Flow]) -> Division:
        """Return how a step on some flows stays within the budget.

        A group has as many flows as fit, and at least one. If one flow alone exceeds the budget,
        all are recomputed. If it exceeds it even then, a warning says so, once for each domain: the
        step takes more memory than the budget. Without a budget all flows are one group.
        """
        if self.megabytes is None:
            return Division([list(range(len(flows)))], recompute=False)
        limit = self.megabytes * MB
        every = [_Held.of(space, flow, self.value * len(flow.images)) for flow in flows]
        recompute = any(held.size(recompute=False) > limit for held in every)
        groups, whole = list[list[int]](), _Held()
        for index, (flow, held) in enumerate(zip(flows, every, strict=True)):
            size = held.size(recompute)
            if size > limit:
                self._warn(flow, size, limit)
            if not groups or (whole + held).size(recompute) > limit:
                groups.append([])
                whole = _Held()
            groups[-1].append(index)
            whole += held
        return Division(groups, recompute)

    def _warn(self, flow: Flow, size: int, limit: int) -> None:
        if flow.domain in self._warned:
            return
        self._warned.add(flow.domain)
        warnings.warn(
            f"the feature maps of one micro-batch of domain {flow.domain!r} take about "
            f"{size / MB:,.1f} MB, more than the memory_budget of {limit / MB:,.0f} MB, although "
            "the backward pass computes most of them again. The step runs all the same. With "
            f"{math.ceil(size / limit)} times as many micro_batches they would fit.",
            stacklevel=2,
        )


@dataclass(frozen=True)
class _Held:
    """Bytes of the maps that some flows hold in a step.

    inputs: inputs of their layers.
    layers: for every layer what it keeps for the backward pass, its input included.
    largest: the largest map of each flow's micro-batch, and of these the largest.
    """

    inputs: int = 0
    layers: tuple[int, ...] = ()
    largest: int = 0

    @classmethod
    def of(cls, space: SearchSpace, flow: Flow, scale: int) -> "_Held":
        """Return what a flow holds. scale: bytes of a value times images."""
        maps = layer_maps(space, flow)
        return cls(
            scale * sum(m.entrance for m in maps),
            tuple(scale * m.kept for m in maps),
            scale * max(m.largest for m in maps),
        )

    def __add__(self, other: "_Held") -> "_Held":
        pairs = itertools.zip_longest(self.layers, other.layers, fillvalue=0)
        return _Held(
            self.inputs + other.inputs,
            tuple(a + b for a, b in pairs),
            max(self.largest, other.largest),
        )

    def size(self, recompute: bool) -> int:
        """Return the most that is in memory at a time, if all go forward and back together."""
        kept = self.inputs + max(self.layers, default=0) if recompute else sum(self.layers)
        return kept + PASSING * self.largest


class StepMaps(NamedTuple):
    """Values of the feature maps that a step has in memory.

    whole: all flows go forward and back together.
    least: the largest flow alone, recomputed: the smallest budget that holds.
    """

    whole: int
    least: int


def step_maps(space: SearchSpace, flows: Sequence[Flow]) -> StepMaps:
    """Return the values that a step on some flows has in memory, at most and at least."""
    every = [_Held.of(space, flow, len(flow.images)) for flow in flows]
    whole = sum(every, _Held())
    return StepMaps(whole.size(recompute=False), max(held.size(recompute=True) for held in every))


class LayerMaps(NamedTuple):
    """Feature maps of a layer, in values per image.

    entrance: values of its input; 0 if it is skipped.
    kept: values that it keeps for the backward pass, its input included.
    largest: values of its largest map.
    """

    entrance: int
    kept: int
    largest: int


def layer_maps(space: SearchSpace, flow: Flow) -> list[LayerMaps]:
    """Return what a flow keeps in every layer. An averaged layer keeps all its candidates' maps.

    space: search space of the flow's path.
    """
    path = flow.path
    layers = path.layers if isinstance(path, Blend) else [(use,) for use in space.uses(path)]
    share = (flow.images.shape[-1] / space.resolution) ** 2
    found = []
    for uses in layers:
        every = [(use.in_channels * use.size**2, *maps_of(use)) for use in uses if use is not None]
        entrances, kept, largest = zip(*every, strict=True) if every else ((0,), (0,), (0,))
        figures = max(entrances), sum(kept), max(largest)
        found.append(LayerMaps(*(math.ceil(share * n) for n in figures)))
    return found


def maps_per_image(space: SearchSpace, flow: Flow) -> Maps:
    """Return the values that a flow keeps for the backward pass, and those of its largest map.

    Both are per image.

    space: search space of the flow's path.
    """
    maps = layer_maps(space, flow)
    return Maps(sum(m.kept for m in maps), max(m.largest for m in maps))
