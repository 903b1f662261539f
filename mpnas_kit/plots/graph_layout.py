"""Positions of all parts of the path graph. All lengths are points (1/72 inch)."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.path as mpath
import networkx as nx
import numpy as np

from mpnas_kit.space.layers import ZERO, Node

MOST_ROWS = 14  # with more choices, a choice has no row of its own
HALF_WIDTH = 0.34  # half the width of a node with a name, in distances of layers
UNUSED = "unused"  # block name of the node that stands for all unused nodes of a layer
_TOP, _BOTTOM, _LEFT, _CHARACTER = 46.0, 36.0, 10.0, 5.0


@dataclass(frozen=True)
class Layout:
    """Positions and sizes, in points.

    width, height: size of the box that holds the graph.
    at: centre of every drawn node.
    rows: vertical position of every row that has a name.
    heads: end of the line of every domain, at its classifier.
    columns: horizontal position of every layer.
    lane: distance between two lines side by side.
    lane_half: half the height of the lane of skipped layers.
    slot: horizontal distance between the steep parts of two lines.
    half_width: half the width of a node.
    unused: number of unused nodes that a summary node stands for.
    named: whether the names of the blocks are written on the nodes.
    """

    width: float
    height: float
    at: dict[Node, tuple[float, float]]
    rows: dict[str, float]
    heads: dict[str, tuple[float, float]]
    columns: tuple[float, ...]
    lane: float
    lane_half: float
    slot: float
    half_width: float
    unused: dict[Node, int]
    named: bool

    def half_height(self, users: int) -> float:
        """Return half the height of a node, which grows with the number of domains that use it."""
        return max(4.5, users * self.lane / 2 + 2.5)


def lay_out(graph: nx.DiGraph, width: float, height: float) -> Layout:
    """Return the layout of an architecture graph in a box of `width` x `height` points."""
    layers = _layers(graph)
    domains: tuple[str, ...] = graph.graph["domains"]
    names = row_names(graph)
    named = is_named(names)
    left = _LEFT + (
        34.0 if named else _CHARACTER * max((len(n) + 7 * (n == ZERO) for n in names), default=4)
    )
    right = 14.0 + _CHARACTER * 1.12 * max(len(d) for d in domains)
    pitch = (width - left - right) / (len(layers) + 0.35)
    columns = tuple(left + pitch * (i + 0.45) for i in range(len(layers)))
    top, bottom = height - _TOP, _BOTTOM
    columns_of_nodes = stacks(graph)
    skips = any(n.block == ZERO for n in graph)
    count = (
        max(len(s) for s in columns_of_nodes)
        if named
        else max(1, len([n for n in names if n != ZERO]))
    )
    rise = (top - bottom) / (count + (1.35 if skips else 0))
    base = bottom + (1.35 * rise if skips else 0)  # lower edge of the rows, above the skip lane
    lane_row = bottom + 0.5 * rise
    plain = [n for n in names if n != ZERO]
    rows = {} if named else {n: top - (k + 0.5) * rise for k, n in enumerate(plain)}
    at: dict[Node, tuple[float, float]] = {}
    for x, layer, stack in zip(columns, layers, columns_of_nodes, strict=True):
        middle = (top + base) / 2
        for k, node in enumerate(stack):
            spread = middle + ((len(stack) - 1) / 2 - k) * rise
            at[node] = x, rows.get(node.block, spread) if len(stack) > 1 else spread
        at |= {n: (x, lane_row) for n in layer if n.block == ZERO}
    if skips:
        rows[ZERO] = lane_row
    half_width = pitch * (HALF_WIDTH if named else 0.17)
    step = (top - bottom) / len(domains)
    ends = {d: (width - right + 4, top - (k + 0.5) * step) for k, d in enumerate(domains)}
    most = max(len(graph.nodes[n]["users"]) for n in graph if graph.nodes[n]["searched"] or named)
    skipping = max((len(graph.nodes[n]["users"]) for n in graph if n.block == ZERO), default=0)
    unused = {
        s[-1]: len(layer) - len(s) + 1 - any(n.block == ZERO for n in layer)
        for s, layer in zip(columns_of_nodes, layers, strict=True)
        if s[-1].block == UNUSED
    }
    lane = min(3.4, 0.74 * rise / most, 0.8 * (top - bottom) / len(domains))
    return Layout(
        width,
        height,
        at,
        rows,
        ends,
        columns,
        lane=lane,
        lane_half=max(6.0, lane * (skipping / 2 + 0.8)),
        slot=min(lane / 0.75, 0.8 * (pitch - 2 * half_width) / len(domains)),
        half_width=half_width,
        unused=unused,
        named=named,
    )


def _layers(graph: nx.DiGraph) -> list[list[Node]]:
    layers: dict[int, list[Node]] = {}
    for node, layer in graph.nodes(data="layer"):
        layers.setdefault(layer, []).append(node)
    return [layers[i] for i in sorted(layers)]


def row_names(graph: nx.DiGraph) -> list[str]:
    """Return the distinct choices of the searched layers, in order, `zero` last."""
    names = dict.fromkeys(n.block for n in graph if graph.nodes[n]["searched"])
    return sorted(names, key=lambda n: n == ZERO)


def is_named(names: Sequence[str]) -> bool:
    """Return whether nodes carry the names of blocks, because there are too many rows or none."""
    return len(names) > MOST_ROWS or not names


def stacks(graph: nx.DiGraph) -> list[list[Node]]:
    """Return the drawn nodes of every layer, from top to bottom."""
    named = is_named(row_names(graph))
    return [_drawn(graph, layer, named) for layer in _layers(graph)]


def _drawn(graph: nx.DiGraph, layer: Sequence[Node], named: bool) -> list[Node]:
    """Return the drawn nodes of a layer: all, or the used ones and one for the unused ones."""
    nodes = [n for n in layer if n.block != ZERO]
    if not named:
        return nodes
    used = [n for n in nodes if graph.nodes[n]["users"]]
    return used if len(used) == len(nodes) else [*used, Node(layer[0].layer, UNUSED)]


def line(stops: Sequence[tuple[float, float, float, float]], slot: float) -> mpath.Path:
    """Return a smooth line through stops, horizontal inside every stop.

    stops: (x, y, half width, offset) of every stop; offset: height of the line above the centre.
    slot: horizontal shift of steep parts, to the right on the way down. Lines with different slots
    do not cover each other.
    """
    x, y, half, offset = stops[0]
    points, codes = (
        [(x - half, y + offset), (x + half, y + offset)],
        [mpath.Path.MOVETO, mpath.Path.LINETO],
    )
    for (x0, y0, half0, o0), (x1, y1, half1, o1) in zip(stops, stops[1:], strict=False):
        start, end, rise = x0 + half0, x1 - half1, y1 - y0
        gap = end - start
        lean = slot * -2 * rise / np.hypot(gap, 2 * rise)
        middle = float(np.clip((start + end) / 2 + lean, start, end))
        points += [(middle, y0 + o0), (middle, y1 + o1), (end, y1 + o1), (x1 + half1, y1 + o1)]
        codes += [mpath.Path.CURVE4] * 3 + [mpath.Path.LINETO]
    return mpath.Path(np.array(points), codes)
