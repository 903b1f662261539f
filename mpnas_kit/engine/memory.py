"""The memory budget of a step: which micro-batches go forward and back together.

A forward pass keeps feature maps for its backward pass. If all micro-batches of a step go forward
before the first goes back, the maps of all domains are in memory at the same time.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from mpnas_kit.network.net import Blend, Flow
from mpnas_kit.space.map_memory import Maps, maps_of
from mpnas_kit.space.space import SearchSpace

MB = 1_000_000  # bytes
PASSING = 8  # maps of the largest size that single operations take beside those that are kept


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

    def groups(self, space: SearchSpace, flows: Sequence[Flow]) -> list[list[int]]:
        """Return the indices of the flows that go forward and back together, in order.

        A group has as many flows as fit into the budget, and at least one. Without a budget all
        flows are one group. If one flow alone exceeds the budget, a warning says so, once for each
        domain: the step then takes more memory than the budget.
        """
        if self.megabytes is None:
            return [list(range(len(flows)))]
        limit, groups = self.megabytes * MB, list[list[int]]()
        kept = passing = 0
        for index, flow in enumerate(flows):
            maps = maps_per_image(space, flow)
            own, moment = (
                self.value * len(flow.images) * n for n in (maps.kept, PASSING * maps.largest)
            )
            if own + moment > limit:
                self._warn(flow, own + moment, limit)
            if not groups or kept + own + max(passing, moment) > limit:
                groups.append([])
                kept = passing = 0
            groups[-1].append(index)
            kept, passing = kept + own, max(passing, moment)
        return groups

    def _warn(self, flow: Flow, size: int, limit: int) -> None:
        if flow.domain in self._warned:
            return
        self._warned.add(flow.domain)
        warnings.warn(
            f"the feature maps of one micro-batch of domain {flow.domain!r} take about "
            f"{size / MB:,.1f} MB, more than the memory_budget of {limit / MB:,.0f} MB. The step "
            f"runs all the same. With {math.ceil(size / limit)} times as many micro_batches they "
            "would fit.",
            stacklevel=2,
        )


def maps_per_image(space: SearchSpace, flow: Flow) -> Maps:
    """Return the values that a flow keeps for the backward pass, and those of its largest map.

    Both are per image. An averaged layer keeps the maps of all its candidates.

    space: search space of the flow's path.
    """
    path = flow.path
    layers = path.layers if isinstance(path, Blend) else [(use,) for use in space.uses(path)]
    maps = [maps_of(use) for uses in layers for use in uses if use is not None]
    share = (flow.images.shape[-1] / space.resolution) ** 2
    kept, largest = sum(m.kept for m in maps), max(m.largest for m in maps)
    return Maps(math.ceil(share * kept), math.ceil(share * largest))
