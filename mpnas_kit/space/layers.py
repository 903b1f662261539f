"""What a search space is made of: layers and decisions, and the nodes and paths in them."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

from mpnas_kit.errors import MpnasError, short
from mpnas_kit.space.block import Block, Cost, Width, lacks_block, require_hashable
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.counting import count
from mpnas_kit.values import Range, convert_list, convert_plain, convert_text

Stride = Annotated[int, Range(1, 64)]
ZERO = "zero"  # choice that skips a layer
OWN = "*"  # owner of a node in a path: the domain that takes the path, whoever that is


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
