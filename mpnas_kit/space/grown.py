"""The search space of a domain that is added to a trained network (ours).

Per layer, its path takes a block of the space and, if the network has that block there, either the
frozen node or a node of its own.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from typing_extensions import override

from mpnas_kit.space.backbone import BackboneSpace
from mpnas_kit.space.block import Block
from mpnas_kit.space.layers import OWN, Decision, Layer, Node, Path, Use
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.private import OwnCopy
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import require_type

FROZEN_OR_OWN = ("frozen", "own")  # choices of the added decisions


class GrownSpace(SearchSpace):
    """The paths of a domain that is added to a network, through frozen and new nodes (ours).

    The decisions are those of `base` and, for every layer with a frozen node, one between the
    frozen node and a node of its own. It matters only if the chosen block has a frozen node that is
    wide enough. A block without a frozen node is a new node, and so is a block whose frozen node is
    narrower than the path.

    Frozen are the nodes that the paths of the network share. Private nodes of a domain are not
    offered to others.

    base: search space of the network.
    paths: path of every domain of the network, by domain.
    private: layers in which each domain of the network has nodes of its own.

    The attribute `frozen_paths` has the paths of the network, by domain.

    >>> grown = GrownSpace(space, paths)
    >>> path = grown.parse("row diagonal column row own:0")
    >>> [use.frozen for use in grown.uses(path)][:2]
    [False, True]
    """

    def __init__(
        self, base: SearchSpace, paths: Mapping[str, Path], private: PrivateLayers = SHARED
    ) -> None:
        require_type(private, PrivateLayers, "private")
        self.base, self.frozen_paths = base, dict(paths)
        self.frozen = _extents(base, paths, private)
        layers = [
            Layer(
                layer.name,
                layer.stride,
                layer.widths,
                (
                    *layer.candidates,
                    *(OwnCopy(c) for c in layer.candidates if c and self._adds_copy(i, c)),
                ),
                layer.counts and len(layer.candidates) > 1,
            )
            for i, layer in enumerate(base.layers)
        ]
        self._added = [
            Decision(f"{layer.name}/node", i, FROZEN_OR_OWN)
            for i, layer in enumerate(base.layers)
            if any(self._adds_copy(i, c) for c in layer.candidates if c)
        ]
        decisions = (*base.decisions, *self._added)
        super().__init__(base.name, layers, base.resolution, decisions)
        self.resolutions = base.resolutions

    @override
    def of(self, domain: str) -> SearchSpace:
        base = self.base.of(domain)
        if base is self.base:
            return self
        if base.resolution not in self._at:
            other = copy.copy(self)
            other._forget_sizes()
            other.base, other.resolution, other.resolutions = base, base.resolution, {}
            self._at[base.resolution] = other
        return self._at[base.resolution]

    @override
    def width_pairs(self, layer: int) -> Iterator[tuple[int, int]]:
        return self.base.width_pairs(layer)

    def _extent(self, layer: int, block: Block) -> Use | None:
        """Return the frozen node of a block, as it is used at its largest widths, if there is."""
        return self.frozen.get(Node(layer, block.name))

    def _adds_copy(self, layer: int, block: Block) -> bool:
        """Return whether a block has a frozen node, and the base offers no private copy of it."""
        offered = OwnCopy(block).name in self.base.layers[layer].choices
        return not offered and self._extent(layer, block) is not None

    def _is_added(self, layer: int, pick: int) -> bool:
        """Return whether the base lacks a candidate."""
        return pick >= len(self.base.layers[layer].candidates)

    def plain(self, path: Path) -> Path:
        """Return a path as a path of `base`, with `Path.own`.

        path: path of this space, or of `base`: it gets own nodes in the layers in which the frozen
        node is too narrow for it.
        """
        return self.base.read(self.parse(path.arch).arch)

    def _plain_choices(self, choices: Sequence[int]) -> Sequence[int]:
        return choices[: len(self.base.decisions)]

    def _own_layers(self, choices: Sequence[int]) -> list[int]:
        own = []
        for i, pick, *sizes in self.places(choices):
            use = self.use(i, pick, *sizes)
            chosen = not self._is_added(i, pick) and self.base.is_private(i, pick)
            if use is not None and use.node.owner == OWN and not chosen:
                own.append(i)
        return own

    @override
    def use(
        self, layer: int, pick: int, in_channels: int, out_channels: int, size: int | None = None
    ) -> Use | None:
        candidate, is_added = self.layers[layer].candidates[pick], self._is_added(layer, pick)
        if is_added:
            assert isinstance(candidate, OwnCopy)
            pick = self.base.layers[layer].choices.index(candidate.block.name)
        use = self.base.use(layer, pick, in_channels, out_channels, size)
        if use is not None and use.pointwise in self.frozen:
            return use._replace(frozen_pointwise=True)
        extent = None if use is None else self.frozen.get(use.node)
        if use is None or extent is None:
            return use
        wide = in_channels <= extent.in_channels and out_channels <= extent.out_channels
        if wide and not is_added:
            return use._replace(frozen=True)
        return use._replace(node=use.node._replace(owner=OWN))

    @override
    def widest_uses(self) -> Iterator[Use]:
        yield from self.frozen.values()
        yield from (use for use in super().widest_uses() if not use.frozen)

    @override
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        picks = list(self.base.candidate_indices(self._plain_choices(choices)))
        for decision, choice in zip(self._added, choices[len(self.base.decisions) :], strict=True):
            layer = self.layers[decision.layer]
            name = f"{layer.choices[picks[decision.layer]]}*"
            if choice and name in layer.choices:
                picks[decision.layer] = layer.choices.index(name)
        return tuple(picks)

    @override
    def decisions_of(self, layer: int) -> tuple[int, ...]:
        first = len(self.base.decisions)
        added = (first + i for i, d in enumerate(self._added) if d.layer == layer)
        return (*self.base.decisions_of(layer), *added)

    @override
    def deciding(self, layer: int) -> tuple[int, ...]:
        first = len(self.base.decisions)
        added = (first + i for i, d in enumerate(self._added) if d.layer == layer)
        return (*self.base.deciding(layer), *added)

    @override
    def sizes(self, choices: Sequence[int]) -> tuple[int, ...]:
        return self.base.sizes(self._plain_choices(choices))

    @override
    def all_sizes(self, layer: int) -> tuple[int, ...]:
        return self.base.all_sizes(layer)

    @property
    @override
    def total_stride(self) -> int:
        return self.base.total_stride

    @override
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        return self.base.widths(self._plain_choices(choices))

    @override
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        plain = self._plain_choices(choices)
        uses = [self.use(*place) for place in self.base.places(plain)]
        offered = {use.node.layer for use in uses if use is not None and use.frozen}
        return (*self.base.active(plain), *(d.layer in offered for d in self._added))

    @override
    def arch(self, choices: Sequence[int]) -> str:
        path = self.base.path(self._plain_choices(choices))
        return self.base.with_own(path, self._own_layers(choices)).arch

    @override
    def parse(self, arch: str) -> Path:
        path = self.base.read(arch)
        return self.path([*path.choices, *(int(d.layer in path.own) for d in self._added)])

    @override
    def read(self, arch: str) -> Path:
        return self.parse(arch)

    @override
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        """Return the cheapest and the most expensive path.

        They are exact if the base is a `LayerwiseSpace` or a `BackboneSpace`. Otherwise they are
        those among the extremes of the base and the paths of the network, with frozen nodes only or
        with own nodes only.
        """
        if isinstance(self.base, LayerwiseSpace | BackboneSpace):
            return self._exact_extremes(price)
        paths = [*self.base.extremes(price), *self.frozen_paths.values()]
        both = [
            self.path([*path.choices, *[own] * len(self._added)])
            for path in paths
            for own in (0, 1)
        ]
        costs = [sum(price(use) for use in self.uses(path) if use) for path in both]
        return both[costs.index(min(costs))], both[costs.index(max(costs))]

    def _exact_extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        found = []
        for best in (min, max):
            words: list[str] = []
            own: list[int] = []
            for i, layer in enumerate(self.layers):
                width = self.layers[i - 1].widths[0] if i else 3
                uses = [self.use(i, p, width, layer.widths[0]) for p in range(len(layer.choices))]
                costs = [price(use) if use else 0.0 for use in uses]
                pick = costs.index(best(costs))
                name = layer.choices[pick]
                if self._is_added(i, pick):
                    name, own = name.removesuffix("*"), [*own, i]
                words += [name] if len(self.base.layers[i].candidates) > 1 else []
            path = self.base.with_own(self.base.parse(" ".join(words)), own)
            found.append(self.parse(path.arch))
        return found[0], found[1]

    @override
    def uniform_paths(self) -> tuple[Path, ...]:
        """Return the uniform paths of the base, with frozen nodes if there are any."""
        return tuple(self.parse(path.arch) for path in self.base.uniform_paths())

    @override
    def widest(self, path: Path) -> Path:
        count = len(self.base.decisions)
        wide = self.base.widest(self.base.path(path.choices[:count]))
        return self.path([*wide.choices, *path.choices[count:]])

    @override
    def _uses_in_union(self, paths: Iterable[Path]) -> Iterator[tuple[str, tuple[Use | None, ...]]]:
        """Yield a name and the uses of every path of the network, with those of `paths`."""
        for domain, path in self.frozen_paths.items():
            yield f"frozen {domain}", self.base.uses(path)
        yield from super()._uses_in_union(paths)

    @override
    def nodes(self, path: Path, *, all_layers: bool = False) -> frozenset[Node]:
        """Return the nodes of a path as in `SearchSpace.nodes`.

        A node of its own counts as a private copy, also if the frozen node is too narrow.
        """
        nodes = super().nodes(path, all_layers=all_layers)
        own = {use.node.layer for use in self.uses(path) if use and use.node.owner == OWN}
        return frozenset(
            Node(node.layer, f"{node.block}*", OWN)
            if node.layer in own and node.owner != OWN
            else node
            for node in nodes
        )


def _extents(
    space: SearchSpace, paths: Mapping[str, Path], private: PrivateLayers
) -> dict[Node, Use]:
    """Return the nodes that the paths share, as they are used at their largest widths."""
    found: dict[Node, Use] = {}
    for use in (u for path in paths.values() for u in space.uses(path) if u is not None):
        if use.node.owner == OWN or use.node.layer in private:
            continue
        known = found.get(use.node, use)
        found[use.node] = use._replace(
            in_channels=max(use.in_channels, known.in_channels),
            out_channels=max(use.out_channels, known.out_channels),
            frozen=True,
        )
    return dict(sorted(found.items(), key=lambda item: item[0]))
