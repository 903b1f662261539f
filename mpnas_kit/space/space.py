"""Search spaces and paths: the candidates of every layer, and what a path chooses among them."""

import copy
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import pairwise, product
from typing import Annotated, Any, NamedTuple

import torch
from typing_extensions import override

from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.space.blocks import (
    Block,
    Cost,
    InvertedBottleneck,
    Width,
    lacks_block,
    require_hashable,
)
from mpnas_kit.space.counting import count
from mpnas_kit.space.private import OwnCopy, OwnDepthwise, Strided
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.values import Range, convert_list, convert_plain, convert_text, require_type

Resolution = Annotated[int, Range(1, 4096)]  # height and width of images, in pixels
Stride = Annotated[int, Range(1, 64)]
ZERO = "zero"  # choice that skips a layer
OWN = "*"  # owner of a node in a path: the domain that takes the path, whoever that is
_OWN_LAYERS = re.compile(r"own:(\d{1,6}(?:,\d{1,6})*)")  # last word of an arch string


class Node(NamedTuple):
    """A block in a layer. If two paths use the same node, they share its weights.

    layer: index of the layer, from 0.
    block: name of the block.
    owner: domain that has a private copy of the node; empty: the node is shared; `*` in a path: the
    domain that takes the path.
    """

    layer: int
    block: str
    owner: str = ""


class Use(NamedTuple):
    """A node as a path uses it.

    node: the node.
    block: its block.
    in_channels: width of its input, channels.
    out_channels: width of its output, channels.
    stride: stride of the block.
    size: height and width of its input map, pixels.
    frozen: whether the weights of the node are there already and are not trained (`GrownSpace`).
    pointwise: shared node whose 1x1 convolutions the node uses; None: it has its own.
    frozen_pointwise: whether the node `pointwise` is frozen.

    >>> use = space.uses(space.parse("row row column column"))[1]
    >>> use.node.block, use.in_channels, use.size, use.cost.parameters
    ('row', 12, 16, 744)
    """

    node: Node
    block: Block
    in_channels: int
    out_channels: int
    stride: int
    size: int
    frozen: bool = False
    pointwise: Node | None = None
    frozen_pointwise: bool = False

    @property
    def cost(self) -> Cost:
        """Multiply-adds for one image, and parameters.

        Raises `MpnasError` if the block is not hashable, it computes no valid cost, or its module
        returns no feature map.
        """
        sizes = (self.in_channels, self.out_channels, self.stride, self.size)
        require_hashable(self.block, "cost")
        return count(self.block, *sizes)  # type: ignore[arg-type] # it is hashable

    def covering(self, other: "Use") -> "Use":
        """Return this use at widths and a map that are large enough for `other` too."""
        return self._replace(
            in_channels=max(self.in_channels, other.in_channels),
            out_channels=max(self.out_channels, other.out_channels),
            size=max(self.size, other.size),
        )

    @property
    def borrowed_parameters(self) -> int:
        """Parameters that belong to the node `pointwise`."""
        if self.pointwise is None:
            return 0
        assert isinstance(self.block, InvertedBottleneck)
        return self.block.pointwise_parameters(self.in_channels, self.out_channels)

    @property
    def private_parameters(self) -> int:
        """Parameters that the path has for itself alone, because it chose a private copy."""
        own = self.node.owner == OWN
        return self.cost.parameters - self.borrowed_parameters if own else 0


@dataclass(frozen=True)
class Layer:
    """One layer of a search space.

    name: name of the layer, for decisions and errors.
    stride: stride of every candidate, 1 to 64.
    widths: output widths in channels, 1 to 100,000, ascending. More than one if the width is
    searched.
    candidates: blocks to choose from, with distinct names. One candidate: the layer is not
    searched. None among them is `zero`, which skips the layer. Only a layer that keeps the shape of
    its map may have it.
    counts: whether the nodes of the layer count in path similarity, if the layer is searched.

    Raises `MpnasError` for a value of a wrong type or out of its range, if there is no candidate,
    two have one name, a name is not valid in an arch string, or a layer with a stride other than 1
    has `zero`.

    >>> mk.Layer("body", 1, (8,), (mk.Conv(3), mk.InvertedBottleneck(5, 2), None)).choices
    ('conv3', 'k5e2', 'zero')
    """

    name: str
    stride: int
    widths: tuple[int, ...]
    candidates: tuple[Block | None, ...]
    counts: bool = True

    def __post_init__(self) -> None:
        convert_text(self.name, "the name of a layer")
        where = f"layer {self.name!r}"
        stride = convert_plain(self.stride, Stride, f"{where}: stride")
        widths = convert_list(self.widths, f"{where}: widths", "whole numbers")
        widths = tuple(convert_plain(w, Width, f"{where}: a width") for w in widths)
        candidates = convert_list(self.candidates, f"{where}: candidates", "blocks")
        counts = convert_plain(self.counts, bool, f"{where}: counts")
        converted = {"stride": stride, "widths": widths, "candidates": candidates, "counts": counts}
        for field_name, value in converted.items():
            object.__setattr__(self, field_name, value)
        if not widths or any(a >= b for a, b in pairwise(widths)):
            raise MpnasError(
                f"{where} needs ascending widths, at least one, not {short(list(widths))}."
            )
        for block in (c for c in self.candidates if c is not None):
            _check_block(block, where)
        if len(set(self.choices)) < len(self.choices) or not self.candidates:
            raise MpnasError(
                f"{where} needs distinct candidates, at least one, not {short(self.choices)}."
            )
        if None in self.candidates and self.stride != 1:
            raise MpnasError(
                f"layer {self.name!r} has stride {self.stride}: it cannot be skipped, so remove "
                "None from its candidates."
            )

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """Names of the candidates, in order; `zero` for None."""
        return tuple(ZERO if c is None else c.name for c in self.candidates)


def _check_block(block: Any, where: str) -> None:
    """Raise `MpnasError` unless `block` is a block with a name that an arch string can have."""
    lacking = "settings (it is a class)" if isinstance(block, type) else lacks_block(block)
    if lacking is not None:
        raise MpnasError(
            f"{where}: candidates got {short(block)}, which has no {lacking}: expected a block, "
            "such as Conv(3), or None to skip the layer."
        )
    name = block.name
    if name == ZERO or not (isinstance(name, str) and re.fullmatch(r"\S{1,200}", name)):
        raise MpnasError(
            f"{where}: a block cannot be called {short(name)}: expected a name without blanks, "
            f"other than {ZERO!r}."
        )
    convert_text(name, f"{where}: the name of a block")


@dataclass(frozen=True)
class Decision:
    """One categorical decision of a controller.

    name: name of the decision, unique in its space.
    layer: index of the layer that it belongs to, from 0.
    choices: names of the choices, in order.
    """

    name: str
    layer: int
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Path:
    """One end-to-end path: a choice for every decision of its space. It prints as its arch string.

    Get paths from `SearchSpace.path`, `SearchSpace.parse`, `SearchSpace.read` and
    `SearchSpace.sample` only.

    choices: index of the choice for every decision. Decisions inside a skipped layer have 0, so
    that equal architectures are equal paths.
    arch: arch string. It does not take part in comparisons.
    own: indices of the layers in which the domain has a node of its own, ascending, although other
    domains have the same block there. Only paths of domains that were added later have any.

    >>> path = space.parse("row diagonal column row")
    >>> path.choices, str(path), path == space.path([0, 2, 1, 0])
    ((0, 2, 1, 0), 'row diagonal column row', True)
    """

    choices: tuple[int, ...]
    arch: str = field(compare=False)
    own: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.arch


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


class WordSpace(SearchSpace):
    """A search space with fixed widths, whose arch strings have one word per decision.

    Its decisions all matter. It is the base of `LayerwiseSpace` and `StridedSpace`.
    """

    words = "one per searched layer"  # what the words of an arch string stand for

    @override
    def widths(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(layer.widths[0] for layer in self.layers)

    @override
    def active(self, choices: Sequence[int]) -> tuple[bool, ...]:
        return (True,) * len(choices)

    @override
    def arch(self, choices: Sequence[int]) -> str:
        pairs = zip(self.decisions, choices, strict=True)
        return " ".join(decision.choices[choice] for decision, choice in pairs)

    @override
    def parse(self, arch: str) -> Path:
        require_type(arch, str, "an arch string")
        words = arch.split()
        if len(words) != len(self.decisions):
            raise MpnasError(
                f"arch string {short(arch)} has {len(words)} words: space {self.name!r} needs "
                f"{len(self.decisions)}, {self.words}."
            )
        return self.path(
            [choice_index(d, word) for d, word in zip(self.decisions, words, strict=True)]
        )


class LayerwiseSpace(WordSpace):
    """A search space with fixed widths and one decision per searched layer: its candidate.

    The arch string has one word per searched layer: the name of its block, or `zero`.

    name: name of the space, for tables and errors.
    layers: layers from input to output, each with one width.
    resolution: height and width of the images, pixels.
    source: text form that creates the space again; None: it exists only in this process.

    Raises `MpnasError` if a layer has several widths, or changes the width and has `zero`.

    >>> body = (mk.InvertedBottleneck(3, 2), mk.InvertedBottleneck(5, 2), None)
    >>> layers = [mk.Layer("stem", 2, (8,), (mk.Conv(3),)), mk.Layer("body", 1, (8,), body)]
    >>> mk.LayerwiseSpace("tiny", layers, resolution=32).parse("k5e2").choices
    (1,)
    """

    def __init__(
        self, name: str, layers: Sequence[Layer], resolution: int, source: str | None = None
    ) -> None:
        super().__init__(name, layers, resolution, source=source)
        for layer in self.layers:
            if len(layer.widths) != 1:
                raise MpnasError(
                    f"layer {layer.name!r} of space {name!r} needs one width, not "
                    f"{short(layer.widths)}."
                )

    @override
    def candidate_indices(self, choices: Sequence[int]) -> tuple[int, ...]:
        remaining = iter(choices)
        return tuple(next(remaining) if len(x.candidates) > 1 else 0 for x in self.layers)

    @override
    def uniform_paths(self) -> tuple[Path, ...]:
        """Return the uniform paths, or the only path if no layer is searched."""
        if not self.decisions:
            return (self.path(()),)
        names = [d.choices for d in self.decisions]
        common = [n for n in names[0] if n != ZERO and all(n in own for own in names)]
        return tuple(self.parse(" ".join([name] * len(names))) for name in common)

    @override
    def extremes(self, price: Callable[[Use], float]) -> tuple[Path, Path]:
        def cost(layer: int, pick: int) -> float:
            width = self.layers[layer - 1].widths[0] if layer else 3
            use = self.use(layer, pick, width, self.layers[layer].widths[0])
            return price(use) if use else 0.0

        costs = [[cost(d.layer, c) for c in range(len(d.choices))] for d in self.decisions]
        lowest, highest = ([c.index(best(c)) for c in costs] for best in (min, max))
        return self.path(lowest), self.path(highest)


def choice_index(decision: Decision, word: str) -> int:
    """Return the index of the choice called `word`. Raises `MpnasError` if it is unknown."""
    if word not in decision.choices:
        raise unknown(f"choice in layer {decision.name!r}", word, decision.choices)
    return decision.choices.index(word)
