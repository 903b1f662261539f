"""Search spaces and paths: which blocks stand to choose in every layer, and what was chosen."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Literal, NamedTuple

import torch

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.space.blocks import Block
from mpnas_kit.space.counting import Cost, count

Measure = Literal["multiply_adds", "parameters"]
ZERO = "zero"  # the choice that skips a layer


class Node(NamedTuple):
    """A candidate of a layer. Domains whose paths meet in a node share its weights.

    owner: the domain that has a copy of its own; empty where whoever comes shares.
    """

    layer: int
    block: str
    owner: str = ""


class Use(NamedTuple):
    """A node as a path uses it: with widths, and the size of its input map in pixels."""

    node: Node
    block: Block
    in_channels: int
    out_channels: int
    stride: int
    size: int

    @property
    def cost(self) -> Cost:
        """Its parameters and multiply-adds."""
        return count(self.block, self.in_channels, self.out_channels, self.stride, self.size)


@dataclass(frozen=True)
class Layer:
    """One layer of a space.

    `candidates`: the blocks to choose from; None is `zero`, which skips the layer and may stand
    only where the layer keeps the shape. `widths`: output widths, ascending; more than one where
    the width is searched. `counts`: whether its nodes count in path similarity, if it is searched.
    """

    name: str
    stride: int
    widths: tuple[int, ...]
    candidates: tuple[Block | None, ...]
    counts: bool = True

    def __post_init__(self) -> None:
        for name in (c.name for c in self.candidates if c is not None):
            if name == ZERO or not re.fullmatch(r"\S+", name):
                raise MpnasError(
                    f"layer {self.name!r}: a block cannot be called {name!r}; expected a name "
                    f"without blanks, other than {ZERO!r}."
                )
        if len(set(self.choices)) < len(self.choices) or not self.candidates:
            raise MpnasError(f"layer {self.name!r} needs distinct candidates, not {self.choices}.")
        if None in self.candidates and self.stride != 1:
            raise MpnasError(f"layer {self.name!r} has stride {self.stride}: it cannot be skipped.")

    @property
    def choices(self) -> tuple[str, ...]:
        """The names of the candidates, in order."""
        return tuple(ZERO if c is None else c.name for c in self.candidates)


@dataclass(frozen=True)
class Decision:
    """One categorical decision of a controller: its name, the layer it is about, its choices."""

    name: str
    layer: int
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Path:
    """One end-to-end path: a choice for every decision of its space. Prints as its arch string.

    `choices`: an index for every decision; 0 for decisions inside a skipped layer, so that equal
    architectures are equal paths. Made by `SearchSpace.path` and `SearchSpace.parse` only.
    """

    choices: tuple[int, ...]
    arch: str = field(compare=False)

    def __str__(self) -> str:
        return self.arch


class SearchSpace(ABC):
    """A supernetwork as a description: layers, candidates, and the decisions that pick among them.

    `resolution`: height and width of the input images, pixels. Layers with one candidate (stem,
    head) are not searched.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[Layer],
        resolution: int,
        decisions: Sequence[Decision] | None = None,
    ) -> None:
        self.name, self.layers, self.resolution = name, tuple(layers), resolution
        self.decisions = tuple(decisions if decisions is not None else self._one_a_layer())
        previous: tuple[int, ...] = ()
        for layer in self.layers:
            if None in layer.candidates and layer.widths != previous:
                raise MpnasError(f"layer {layer.name!r} changes the width: it cannot be skipped.")
            previous = layer.widths

    def _one_a_layer(self) -> Iterable[Decision]:
        for i, layer in enumerate(self.layers):
            if len(layer.candidates) > 1:
                yield Decision(layer.name, i, layer.choices)

    # What a path means ---------------------------------------------------------------------------

    @abstractmethod
    def picks(self, choices: Sequence[int]) -> tuple[int, ...]:
        """For every layer the index of the candidate that `choices` picks."""

    @abstractmethod
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        """For every layer the output width that `choices` picks."""

    @abstractmethod
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        """For every decision whether it matters (False inside a skipped layer)."""

    @abstractmethod
    def arch(self, choices: Sequence[int]) -> str:
        """The arch string: a word a searched layer, its block or `zero`."""

    @abstractmethod
    def parse(self, arch: str) -> Path:
        """The path written as `arch`; an unknown layer or choice is named."""

    @abstractmethod
    def extremes(self, measure: Measure = "multiply_adds") -> tuple[Path, Path]:
        """The path of the least and the path of the greatest cost."""

    @abstractmethod
    def alike(self) -> tuple[Path, ...]:
        """The paths by hand: the same block in every layer, none skipped, widths as they are."""

    def widest(self, path: Path) -> Path:
        """The same path with the largest width wherever widths are searched."""
        return path

    # What follows from it ------------------------------------------------------------------------

    def path(self, choices: Sequence[int]) -> Path:
        """The path with these choices, one index a decision."""
        if len(choices) != len(self.decisions):
            raise MpnasError(
                f"a path through {self.name!r} has {len(self.decisions)} choices, "
                f"not {len(choices)}."
            )
        for decision, choice in zip(self.decisions, choices, strict=True):
            if not 0 <= choice < len(decision.choices):
                raise MpnasError(
                    f"decision {decision.name!r} has choices 0 to {len(decision.choices) - 1}, "
                    f"not {choice}."
                )
        kept = zip(choices, self.active(choices), strict=True)
        clean = tuple(int(c) if active else 0 for c, active in kept)
        return Path(clean, self.arch(clean))

    def sample(self, generator: torch.Generator) -> Path:
        """A path drawn uniformly: every choice of every decision equally likely."""
        return self.path(
            [int(torch.randint(len(d.choices), (), generator=generator)) for d in self.decisions]
        )

    def uses(self, path: Path) -> tuple[Use | None, ...]:
        """For every layer how the path uses it; None where it skips it."""
        picks, widths = self.picks(path.choices), self.widths(path.choices)
        return tuple(
            self.use(i, pick, widths[i - 1] if i else 3, widths[i]) for i, pick in enumerate(picks)
        )

    def use(self, layer: int, pick: int, in_channels: int, out_channels: int) -> Use | None:
        """Candidate `pick` of layer `layer` at these widths; None for `zero`."""
        spec = self.layers[layer]
        block = spec.candidates[pick]
        if block is None:
            return None
        node = Node(layer, block.name)
        return Use(node, block, in_channels, out_channels, spec.stride, self._sizes[layer])

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        """The size of every layer's input map, pixels."""
        sizes = [self.resolution]
        for layer in self.layers:
            sizes.append(-(-sizes[-1] // layer.stride))
        return tuple(sizes)

    @cached_property
    def searched(self) -> tuple[int, ...]:
        """The indices of the layers that have something to choose."""
        return tuple(i for i, layer in enumerate(self.layers) if len(layer.candidates) > 1)

    def nodes(self, path: Path, *, all_layers: bool = False) -> frozenset[Node]:
        """The nodes a path uses: those that count in path similarity, or all.

        `zero` is no node; layers that are not searched, stems and heads do not count.
        """
        counted = [i for i in self.searched if self.layers[i].counts]
        kept = range(len(self.layers)) if all_layers else counted
        return frozenset(u.node for u in self.uses(path) if u is not None and u.node.layer in kept)

    def cost(self, path: Path) -> Cost:
        """Exact parameters and multiply-adds of a path, classifiers left out."""
        return sum((u.cost for u in self.uses(path) if u is not None), Cost())

    def union_cost(self, paths: Iterable[Path]) -> Cost:
        """The cost of all nodes that the paths use, each once, at its largest width in use."""
        largest: dict[Node, Use] = {}
        for use in (u for p in paths for u in self.uses(p) if u is not None):
            known = largest.get(use.node, use)
            widest = use._replace(
                in_channels=max(use.in_channels, known.in_channels),
                out_channels=max(use.out_channels, known.out_channels),
            )
            largest[use.node] = widest
        return sum((u.cost for u in largest.values()), Cost())

    def fingerprint(self) -> str:
        """A short hash over resolution, layers, widths and the names of all choices."""
        described = [(x.name, x.stride, x.widths, x.choices) for x in self.layers]
        return sha256(repr((self.name, self.resolution, described)).encode()).hexdigest()[:16]

    def blocks_fingerprint(self) -> str:
        """A short hash over the settings of all candidates, which their names need not tell."""
        described = repr([x.candidates for x in self.layers])
        return sha256(re.sub(r" at 0x\w+", "", described).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        sizes = [len(d.choices) for d in self.decisions]
        return f"{type(self).__name__}({self.name!r}, {len(self.layers)} layers, choices {sizes})"


class LayerwiseSpace(SearchSpace):
    """A space with fixed widths and one decision a layer: which candidate. Costs are exact sums."""

    def __init__(self, name: str, layers: Sequence[Layer], resolution: int) -> None:
        super().__init__(name, layers, resolution)
        for layer in self.layers:
            if len(layer.widths) != 1:
                raise MpnasError(f"layer {layer.name!r} of {name!r} needs one width.")

    def picks(self, choices: Sequence[int]) -> tuple[int, ...]:
        """For every layer the index of its candidate."""
        remaining = iter(choices)
        return tuple(next(remaining) if len(x.candidates) > 1 else 0 for x in self.layers)

    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        """The fixed widths."""
        return tuple(layer.widths[0] for layer in self.layers)

    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        """All: a decision is the whole layer."""
        return (True,) * len(choices)

    def arch(self, choices: Sequence[int]) -> str:
        """`k5e3 zero k3e6se ...`, a word a decision."""
        pairs = zip(self.decisions, choices, strict=True)
        return " ".join(decision.choices[choice] for decision, choice in pairs)

    def parse(self, arch: str) -> Path:
        """The path written as `arch`."""
        words = arch.split()
        if len(words) != len(self.decisions):
            raise MpnasError(
                f"arch string {arch!r} has {len(words)} words: {self.name!r} needs "
                f"{len(self.decisions)}, one a searched layer."
            )
        return self.path(
            [choice_index(d, word) for d, word in zip(self.decisions, words, strict=True)]
        )

    def alike(self) -> tuple[Path, ...]:
        """One path for every block that all searched layers have; where none is, the only path."""
        if not self.decisions:
            return (self.path(()),)
        names = [d.choices for d in self.decisions]
        common = [n for n in names[0] if n != ZERO and all(n in own for own in names)]
        return tuple(self.parse(" ".join([name] * len(names))) for name in common)

    def extremes(self, measure: Measure = "multiply_adds") -> tuple[Path, Path]:
        """The path of the least and the path of the greatest cost."""

        def cost(layer: int, pick: int) -> int:
            width = self.layers[layer - 1].widths[0] if layer else 3
            use = self.use(layer, pick, width, self.layers[layer].widths[0])
            return int(getattr(use.cost, measure)) if use else 0

        costs = [[cost(d.layer, c) for c in range(len(d.choices))] for d in self.decisions]
        least, most = ([c.index(pick(c)) for c in costs] for pick in (min, max))
        return self.path(least), self.path(most)


def choice_index(decision: Decision, word: str) -> int:
    """The index of choice `word` of a decision; an unknown one is named with the nearest."""
    if word not in decision.choices:
        raise unknown(f"choice in layer {decision.name!r}", word, decision.choices)
    return decision.choices.index(word)
