"""Chains: the small networks that are timed, and the rows of a latency table that follow.

A block alone in a network takes longer than in a path: every call of a network costs time, and a
runtime changes the layout of maps at its ends. So each block is timed with a block after it, and
that block alone is subtracted:

    time of b = time of the network (b, next) - time of the network (next)
    time of a call = time of (pixels, stem, next) - time of (stem, next) + time of (end)

`next` is the cheapest block of the space that fits after b. After the last layer it is `end`:
global pooling and classifier. `pixels` is the normalisation. The sum over a path then contains the
time of exactly one call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import MultiplyAdds, cost_bounds
from mpnas_kit.space.latency_file import CALL, Time, Unit
from mpnas_kit.space.layers import Path, Use
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import SearchSpace

PIXELS, END = "pixels", "end"  # blocks of the pieces that are no blocks of the space
Chain = tuple[Unit, ...]
"""Pieces of a network, from input to output."""


class Formula(NamedTuple):
    """How the time of a unit of work follows from times of chains.

    added, subtracted: chains.
    """

    added: tuple[Chain, ...]
    subtracted: tuple[Chain, ...]

    def time(self, times: Mapping[Chain, Time]) -> Time:
        """Return the time of the unit, at least 0. Its spread is that of the first chain."""
        total = sum(times[c].milliseconds for c in self.added)
        total -= sum(times[c].milliseconds for c in self.subtracted)
        return Time(max(0.0, total), times[self.added[0]].spread)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """All its chains."""
        return self.added + self.subtracted


@dataclass(frozen=True)
class Chains:
    """The chains from which the latency table of a space is computed.

    uses: one use of every distinct unit of work, in the order of the space.
    formulas: how the time of every unit follows from times of chains.
    classes: number of classes of the classifier.
    resolution: height and width of the images, pixels.
    """

    uses: Mapping[Unit, Use]
    formulas: Mapping[Unit, Formula]
    classes: int
    resolution: int

    @classmethod
    def of(cls, space: SearchSpace, classes: int) -> "Chains":
        """Return the chains of a space."""
        uses: dict[Unit, Use] = {}
        for use in space.all_uses():
            uses.setdefault(Unit.of(use), use)
        cheapest: dict[tuple[int, int], Unit] = {}
        for unit in sorted(uses, key=lambda u: uses[u].cost.multiply_adds):
            cheapest.setdefault((unit.in_channels, unit.resolution), unit)

        def after(unit: Unit) -> Unit:
            width, size = unit.out_channels, -(-unit.resolution // unit.stride)
            return cheapest.get((width, size)) or Unit(END, width, classes, 1, size)

        formulas = {u: Formula(((u, after(u)),), ((after(u),),)) for u in uses}
        pixels = Unit(PIXELS, 3, 3, 1, space.resolution)
        stem = cheapest[3, space.resolution]
        width, (size,) = space.layers[-1].widths[-1], space.all_sizes(len(space.layers))
        formulas[Unit(CALL, 3, classes, 1, space.resolution)] = Formula(
            ((pixels, stem, after(stem)), (Unit(END, width, classes, 1, size),)),
            ((stem, after(stem)),),
        )
        return cls(uses, formulas, classes, space.resolution)

    def whole(self, space: SearchSpace, path: Path) -> Chain:
        """Return the whole network of a path, from pixels to logits."""
        units = [Unit.of(use) for use in space.uses(path) if use is not None]
        last = units[-1]
        size = -(-last.resolution // last.stride)
        end = Unit(END, last.out_channels, self.classes, 1, size)
        return (Unit(PIXELS, 3, 3, 1, self.resolution), *units, end)


def chain_words(chain: Chain) -> str:
    """Return a chain as text: one piece per word group, such as `conv,3,8,2,32 > end,8,10,1,16`."""
    return " > ".join(unit.row() for unit in chain)


def spread_paths(space: SearchSpace, count: int) -> list[Path]:
    """Return random paths, always the same ones, whose multiply-adds are spread evenly.

    count: number of paths, at least 1. If the space has fewer, it may return fewer.
    """
    generator = torch.Generator().manual_seed(0)
    low, high = cost_bounds(MultiplyAdds(), space, 1)
    found: dict[Path, None] = {}
    for number in range(count):
        target = low + (high - low) * (number + 0.5) / count
        try:
            path = sample_at_cost(space, MultiplyAdds(), target, 0.05, generator, tries=2000)
        except MpnasError:  # no path has such a cost
            path = space.sample(generator)
        found[path] = None
    return list(found)


Timer = Callable[[list[Chain]], Mapping[Chain, Time]]
"""A function that returns the time of every chain."""
