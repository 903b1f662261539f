"""Search spaces: the candidates of every layer, and what a path chooses among them."""

import copy
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import product
from typing import Annotated

import torch

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.space.block import Block, Cost
from mpnas_kit.space.layers import OWN, Decision, Layer, Node, Path, Use
from mpnas_kit.space.private import OwnCopy, OwnDepthwise, Strided
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.values import Range, convert_list, convert_plain, convert_text, require_type

Resolution = Annotated[int, Range(1, 4096)]  # height and width of images, in pixels
_OWN_LAYERS = re.compile(r"own:(\d{1,6}(?:,\d{1,6})*)")  # last word of an arch string


class SearchSpace(ABC):
    """A search space: layers, their candidates, and the decisions that choose among them.

    Layers with one candidate (stem, head) are not searched. This is a base class: use
    `LayerwiseSpace`, `StridedSpace`, `FactoredSpace` or `BackboneSpace`, or implement the abstract
    methods.

    name: name of the space, for tables and errors.
    layers: layers from input to output. The first one gets an RGB image.
    resolution: height and width of the images, 1 to 4096 pixels. If domains differ, that of the
    largest images.
    decisions: decisions of a controller; None: one per searched layer, which chooses its candidate.
    source: text form that creates the space again, such as `pocket` or
    `my_pkg.spaces:tiny(width=8)`; None: no text creates it, so it exists only in this process.

    Attributes: `resolutions` has the height and width of every domain's images, by domain, in
    pixels. It is empty if all are of the size `resolution`. `original` is the path of the network
    that the space is built around; None: there is no such network.

    Raises `MpnasError` for a value of a wrong type or out of its range, if there is no layer, two
    have one name, or a layer that changes the width has `zero`.
    """

    original: Path | None = None

    def __init__(
        self,
        name: str,
        layers: Sequence[Layer],
        resolution: int,
        decisions: Sequence[Decision] | None = None,
        source: str | None = None,
    ) -> None:
        self.name = convert_text(name, "the name of a space")
        where = f"space {self.name!r}"
        self.layers: tuple[Layer, ...] = convert_list(layers, f"{where}: layers", "layers")
        self.resolution = convert_plain(resolution, Resolution, f"{where}: resolution")
        self.resolutions: Mapping[str, int] = {}
        self.source = convert_plain(source, str | None, f"{where}: source")
        for layer in self.layers:
            require_type(layer, Layer, f"{where}: a layer")
        names = [layer.name for layer in self.layers]
        if not names or len(set(names)) < len(names):
            raise MpnasError(
                f"{where} needs layers with distinct names, at least one, not {short(names)}."
            )
        self.decisions = tuple(decisions if decisions is not None else self._one_per_layer())
        previous: tuple[int, ...] = ()
        for layer in self.layers:
            if None in layer.candidates and layer.widths != previous:
                raise MpnasError(
                    f"layer {layer.name!r} changes the width: it cannot be skipped, so remove None "
                    "from its candidates."
                )
            previous = layer.widths

    def _one_per_layer(self) -> Iterable[Decision]:
        for i, layer in enumerate(self.layers):
            if len(layer.candidates) > 1:
                yield Decision(layer.name, i, layer.choices)

    # What a subclass implements -------------------------------------------------------------------

    @abstractmethod
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return the index of the candidate that `choices` choose, for every layer.

        choices: index of the choice for every decision.
        """

    @abstractmethod
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return the output width that `choices` choose, for every layer, in channels.

        choices: index of the choice for every decision.
        """

    @abstractmethod
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        """Return whether each decision matters. Decisions inside a skipped layer do not.

        choices: index of the choice for every decision.
        """

    @abstractmethod
    def arch(self, choices: Sequence[int]) -> str:
        """Return the arch string of a path: one word per searched layer, its block or `zero`.

        choices: index of the choice for every decision.
        """

    @abstractmethod
    def parse(self, arch: str) -> Path:
        """Return the path that an arch string describes.

        Raises `MpnasError` if the number of words is wrong or a choice is unknown.
        """

    @abstractmethod
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        """Return the cheapest and the most expensive path.

        price: cost of a block as a path uses it. A path costs the sum over its blocks.
        """

    @abstractmethod
    def uniform_paths(self) -> tuple[Path, ...]:
        """Return the uniform paths: one per block that every searched layer offers (ours).

        A uniform path has the same block in every layer, skips no layer, and has the base widths.
        The approaches `single_path` and `shared_trunk` use these paths as baselines.
        """

    def widest(self, path: Path) -> Path:
        """Return the path with the same blocks and the largest width in every layer."""
        return path

    def decisions_of(self, layer: int) -> tuple[int, ...]:
        """Return the indices of the decisions on which the use of a layer depends.

        Their choices determine its candidate, its widths and the size of its map. Choices of other
        decisions do not matter. Default: the decisions of the layer, if no width is searched.

        layer: index of the layer.

        Raises `MpnasError` if widths are searched, and the space does not implement this method.
        """
        for own in self.layers:
            if len(own.widths) > 1:
                raise MpnasError(
                    f"space {self.name!r} does not say on which decisions a layer depends, and "
                    f"the width of layer {own.name!r} is searched: expected a method "
                    "decisions_of(layer)."
                )
        return tuple(i for i, d in enumerate(self.decisions) if d.layer == layer)

    def deciding(self, layer: int) -> tuple[int, ...]:
        """Return the indices of the decisions that the candidate of a layer depends on.

        Its widths and the size of its map may depend on others (see `decisions_of`).

        layer: index of the layer.
        """
        return tuple(i for i, decision in enumerate(self.decisions) if decision.layer == layer)

    def alternatives(self, layer: int, pick: int) -> tuple[int, ...]:
        """Return the indices of the candidates whose maps have the size of those of a candidate.

        layer: index of the layer.
        pick: index of the candidate, which is one of them.
        """
        strides = [_own_stride(block) for block in self.layers[layer].candidates]
        return tuple(i for i, stride in enumerate(strides) if stride == strides[pick])

    def sizes(self, choices: Sequence[int]) -> tuple[int, ...]:
        """Return height and width of every layer's input map, in pixels; last those of the output.

        choices: index of the choice for every decision.
        """
        return self._sizes

    def all_sizes(self, layer: int) -> tuple[int, ...]:
        """Return all sizes that the input map of a layer can have, in pixels, ascending.

        layer: index of the layer; after the last one the output of the network.
        """
        return (self._sizes[layer],)

    @property
    def total_stride(self) -> int:
        """Pixels of the image, in each direction, per position of the last map.

        >>> mk.pocket_space().total_stride
        8
        """
        return math.prod(layer.stride for layer in self.layers)

    # What follows from these methods --------------------------------------------------------------

    def path(self, choices: Sequence[int]) -> Path:
        """Return the path with these choices.

        choices: index of the choice for every decision. Inside a skipped layer any valid index
        gives the same path.

        Raises `MpnasError` if the number of choices is wrong or an index is out of range.
        """
        choices = convert_list(choices, "the choices of a path", "whole numbers")
        if len(choices) != len(self.decisions):
            raise MpnasError(
                f"a path through space {self.name!r} has {len(self.decisions)} choices, "
                f"not {len(choices)}."
            )
        for decision, choice in zip(self.decisions, choices, strict=True):
            is_index = hasattr(choice, "__index__") and not isinstance(choice, bool)
            if not is_index or not 0 <= choice < len(decision.choices):
                raise MpnasError(
                    f"decision {decision.name!r} has choices 0 to {len(decision.choices) - 1}, "
                    f"not {short(choice)}."
                )
        pairs = zip(choices, self.active(choices), strict=True)
        canonical = tuple(int(c) if active else 0 for c, active in pairs)
        return Path(canonical, self.arch(canonical))

    def read(self, arch: str) -> Path:
        """Return the path that an arch string describes, also one with own nodes.

        arch: arch string as `parse` reads it; its last word may be `own:` with the layers of `own`,
        such as `k3e1 k5e3 own:0,2`.

        Raises `MpnasError` if the rest is no arch string, or a layer is not on the path.

        >>> path = space.read("row diagonal column row own:1")
        >>> path.own, str(path)
        ((1,), 'row diagonal column row own:1')
        """
        require_type(arch, str, "an arch string")
        *words, last = arch.split() or [""]
        found = _OWN_LAYERS.fullmatch(last)
        if found is None:
            return self.parse(arch)
        return self.with_own(self.parse(" ".join(words)), map(int, found[1].split(",")))

    def with_own(self, path: Path, layers: Iterable[int]) -> Path:
        """Return the path with nodes of its own in these layers, and in no others.

        layers: indices of layers, from 0.

        Raises `MpnasError` if the path has no node in one of them.
        """
        plain = self.path(path.choices)
        own, uses = tuple(sorted(set(layers))), self.uses(plain)
        for layer in own:
            if not 0 <= layer < len(uses) or uses[layer] is None:
                raise MpnasError(
                    f"the path {short(plain.arch)} has no node in layer {layer} (from 0), so its "
                    "domain cannot have one of its own there."
                )
        words = [plain.arch, f"own:{','.join(map(str, own))}"] if own else [plain.arch]
        return Path(plain.choices, " ".join(words).strip(), own)

    def require(self, path: Path) -> None:
        """Raise `MpnasError` unless `path` is a path of this space."""
        require_type(path, Path, f"a path through space {self.name!r}")
        sizes = [len(d.choices) for d in self.decisions]
        if len(path.choices) != len(sizes) or any(
            choice >= size for choice, size in zip(path.choices, sizes, strict=True)
        ):
            raise MpnasError(
                f"the path {short(path.arch)} does not lead through space {self.name!r}: expected "
                "a path of this space, as its `parse` returns."
            )

    def require_original(self) -> Path:
        """Return the original path. Raises `MpnasError` if there is none."""
        if self.original is None:
            raise MpnasError(
                f"space {self.name!r} is not built around a network, so it has no original path: "
                "expected prior None, or a space such as lite0."
            )
        return self.original

    def sample(self, generator: torch.Generator) -> Path:
        """Draw a random path. Every choice of a decision has the same probability.

        generator: source of the random numbers.
        """
        return self.path(
            [int(torch.randint(len(d.choices), (), generator=generator)) for d in self.decisions]
        )

    def uses(self, path: Path) -> tuple[Use | None, ...]:
        """Return how the path uses each layer; None for a layer that it skips.

        Raises `MpnasError` if it is not a path of this space.
        """
        self.require(path)
        known, uses = self._known_uses, []
        for key in self.places(path.choices):
            if key not in known:
                known[key] = self.use(*key)
            uses.append(known[key])
        for layer in path.own:
            use = uses[layer]
            assert use is not None
            uses[layer] = use._replace(node=use.node._replace(owner=OWN))
        return tuple(uses)

    def places(self, choices: Sequence[int]) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield the arguments of `use` for every layer: layer, candidate, widths and size.

        choices: index of the choice for every decision.
        """
        picks, widths = self.candidate_indices(choices), self.widths(choices)
        sizes = self.sizes(choices)
        yield from zip(range(len(picks)), picks, (3, *widths), widths, sizes, strict=False)

    def widest_uses(self) -> Iterator[Use]:
        """Yield the use of every node of the space at its largest widths and map, in order."""
        for i, layer in enumerate(self.layers):
            width = self.layers[i - 1].widths[-1] if i else 3
            for pick in range(len(layer.candidates)):
                use = self.use(i, pick, width, layer.widths[-1])
                if use is not None:
                    yield use

    def use(
        self, layer: int, pick: int, in_channels: int, out_channels: int, size: int | None = None
    ) -> Use | None:
        """Return the use of one candidate at these widths, or None for `zero`.

        layer: index of the layer.
        pick: index of the candidate.
        in_channels, out_channels: widths of input and output.
        size: height and width of the input map, pixels. None: the largest that it can have.
        """
        spec = self.layers[layer]
        candidate, stride, suffix = spec.candidates[pick], spec.stride, ""
        if isinstance(candidate, Strided):
            stride, suffix = candidate.stride, candidate.suffix
        block = candidate.block if isinstance(candidate, Strided) else candidate
        if block is None:
            return None
        node, pointwise = Node(layer, block.name + suffix), None
        if isinstance(block, OwnCopy):
            node, block = Node(layer, block.block.name + suffix, OWN), block.block
        elif isinstance(block, OwnDepthwise):
            node, pointwise = node._replace(owner=OWN), Node(layer, block.block.name + suffix)
            block = block.block
        size = self.all_sizes(layer)[-1] if size is None else size
        return Use(node, block, in_channels, out_channels, stride, size, pointwise=pointwise)

    def candidate_node(self, layer: int, pick: int) -> Node:
        """Return the node of a candidate in tables, graphs and path similarity.

        Its name is that of the candidate, and `*` owns it if it is private.

        layer: index of the layer.
        pick: index of the candidate.
        """
        owner = OWN if self.is_private(layer, pick) else ""
        return Node(layer, self.layers[layer].choices[pick], owner)

    def is_private(self, layer: int, pick: int) -> bool:
        """Return whether a candidate is a node that no other domain can use.

        layer: index of the layer.
        pick: index of the candidate.
        """
        block = self.layers[layer].candidates[pick]
        block = block.block if isinstance(block, Strided) else block
        return isinstance(block, OwnCopy | OwnDepthwise)

    def all_uses(self) -> Iterator[Use]:
        """Yield every use that a path can have: by layer, candidate, widths and size of its map.

        Uses of different layers may differ in nothing but their layer.
        """
        for i, layer in enumerate(self.layers):
            for pick in range(len(layer.candidates)):
                for widths, size in product(self.width_pairs(i), self.all_sizes(i)):
                    use = self.use(i, pick, *widths, size)
                    if use is not None:
                        yield use

    def width_pairs(self, layer: int) -> Iterator[tuple[int, int]]:
        """Yield the widths of input and output that a layer can have.

        layer: index of the layer.
        """
        widths = self.layers[layer - 1].widths if layer else (3,)
        yield from product(widths, self.layers[layer].widths)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        """Height and width of every layer's input map, pixels, by the strides of the layers."""
        sizes = [self.resolution]
        for layer in self.layers:
            sizes.append(-(-sizes[-1] // layer.stride))
        return tuple(sizes)

    def with_resolutions(self, resolutions: Mapping[str, int]) -> "SearchSpace":
        """Return this space for domains whose images differ in size. Paths and nodes are the same.

        resolutions: height and width of every domain's images, by domain, 1 to 4096 pixels. If all
        are of the size `resolution`, they are not kept.

        Raises `MpnasError` if a resolution is out of its range, or above `resolution`.
        """
        require_type(resolutions, Mapping, f"space {self.name!r}: resolutions")
        sizes = {
            domain: convert_plain(size, Resolution, f"resolution of domain {domain!r}")
            for domain, size in resolutions.items()
        }
        for domain, size in sizes.items():
            if size > self.resolution:
                raise MpnasError(
                    f"images of domain {domain!r} have {size} pixels per side, but space "
                    f"{self.name!r} expects at most {self.resolution}: use a larger space."
                )
        kept = sizes if set(sizes.values()) - {self.resolution} else {}
        if kept == self.resolutions:
            return self
        other = copy.copy(self)
        other.resolutions = kept
        return other

    def of(self, domain: str) -> "SearchSpace":
        """Return this space as a domain sees it: `resolution` is that of the domain's images.

        Costs depend on it. Domains that `resolutions` lacks have images of the size `resolution`.

        domain: name of a domain.

        >>> mixed = mk.pocket_space(64).with_resolutions({"photos": 64, "digits": 32})
        >>> path = mixed.uniform_paths()[0]
        >>> [round(mixed.of(d).cost(path).multiply_adds / 1e3) for d in mixed.resolutions]
        [1114, 278]
        """
        if not self.resolutions:
            return self
        size = self.resolutions.get(domain, self.resolution)
        if size not in self._at:
            other = copy.copy(self)
            other._forget_sizes()
            other.resolution, other.resolutions = size, {}
            self._at[size] = other
        return self._at[size]

    def _forget_sizes(self) -> None:
        """Drop what depends on the size of the images, after it has changed."""
        for name in ("_sizes", "_known_uses"):
            self.__dict__.pop(name, None)

    @cached_property
    def _known_uses(self) -> dict[tuple[int, int, int, int, int], Use | None]:
        """Uses by the arguments of `use`. They are kept, since all paths have the same ones."""
        return {}

    @cached_property
    def _at(self) -> dict[int, "SearchSpace"]:
        """This space for other sizes of images, by size. They are kept, since costs ask often."""
        return {}

    @cached_property
    def searched(self) -> tuple[int, ...]:
        """Indices of the searched layers: those with more than one candidate."""
        return tuple(i for i, layer in enumerate(self.layers) if len(layer.candidates) > 1)

    def nodes(self, path: Path, *, all_layers: bool = False) -> frozenset[Node]:
        """Return the nodes of a path that count in path similarity, or all its nodes.

        `zero` is not a node. Layers that are not searched do not count, and neither do searched
        layers with `counts=False`. A node counts as shared, whoever owns it, unless the path chose
        a private copy: then its owner is `*`, and its name that of the candidate.

        all_layers: whether to return the nodes of all layers.
        """
        counted = [i for i in self.searched if self.layers[i].counts]
        layers = range(len(self.layers)) if all_layers else counted
        picks = self.candidate_indices(path.choices)
        return frozenset(
            self.candidate_node(i, picks[i])
            for i, use in enumerate(self.uses(path))
            if use is not None and i in layers
        )

    def cost(self, path: Path) -> Cost:
        """Return multiply-adds for one image and parameters of a path, without the classifier."""
        return sum((u.cost for u in self.uses(path) if u is not None), Cost())

    def union_cost(self, paths: Iterable[Path], *, private: PrivateLayers = SHARED) -> Cost:
        """Return the cost of the union of paths: each distinct node once, without classifiers.

        A node counts with the largest widths that any path uses, at the size `resolution`. Private
        nodes count for every path.

        private: layers in which each path has nodes of its own.
        """
        largest: dict[Node, Use] = {}
        for owner, uses in self._uses_in_union(paths):
            for use in (_owned(u, owner, private) for u in uses if u is not None):
                largest[use.node] = largest.get(use.node, use).covering(use)
        borrowed = {u.pointwise: u.borrowed_parameters for u in largest.values() if u.pointwise}
        lent = sum(n for node, n in borrowed.items() if node not in largest)
        own = sum((u.cost for u in largest.values()), Cost())
        twice = sum(u.borrowed_parameters for u in largest.values())
        return own + Cost(0, lent - twice)

    def _uses_in_union(self, paths: Iterable[Path]) -> Iterator[tuple[str, tuple[Use | None, ...]]]:
        """Yield a name and the uses of every path of the union of `paths`."""
        for number, path in enumerate(paths):
            yield str(number), self.uses(path)

    def fingerprint(self) -> str:
        """Return a short hash over name, resolution, layers, strides, widths and choices."""
        described = [(x.name, x.stride, x.widths, x.choices) for x in self.layers]
        sizes = (sorted(self.resolutions.items()),) if self.resolutions else ()
        whole = (self.name, self.resolution, described, *sizes)
        return sha256(repr(whole).encode()).hexdigest()[:16]

    def blocks_fingerprint(self) -> str:
        """Return a short hash over the settings of all candidates.

        Two blocks with the same name may have different settings.
        """
        # Blocks had no padding once. Runs of that time are continued.
        described = repr([x.candidates for x in self.layers]).replace(", padding='symmetric'", "")
        return sha256(re.sub(r" at 0x\w+", "", described).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        sizes = [len(d.choices) for d in self.decisions]
        return f"{type(self).__name__}({self.name!r}, {len(self.layers)} layers, choices {sizes})"


def _own_stride(block: Block | None) -> int | None:
    """Return the stride that a candidate has of its own; None: it has that of its layer."""
    block = block.block if isinstance(block, OwnCopy) else block
    return block.stride if isinstance(block, Strided) else None


def _owned(use: Use, owner: str, private: PrivateLayers) -> Use:
    """Return a use whose private nodes have the name `owner`."""
    if use.node.layer in private:
        pointwise = use.pointwise and use.pointwise._replace(owner=owner)
        return use._replace(node=use.node._replace(owner=owner), pointwise=pointwise)
    return use._replace(node=use.node._replace(owner=owner)) if use.node.owner == OWN else use
