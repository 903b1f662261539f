"""The paths of two domains side by side: their blocks, and which of them are shared."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mpnas_kit.analysis.graph import architecture_graph, count_kinds
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style
from mpnas_kit.plots.graph import rounded_box
from mpnas_kit.space.layers import ZERO, Node, Path
from mpnas_kit.space.space import SearchSpace

KINDS = {"shared": "shared by both", "private": "private to one"}
_TOP, _BOTTOM, _LEFT, _CHARACTER = 24.0, 24.0, 6.0, 5.0  # points
_CLASSIFIER = "classifier"


@style.literal
def two_paths(
    space: SearchSpace,
    paths: Mapping[str, Path],
    first: str,
    second: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw the paths of two domains side by side, from the first layer (top) to the classifiers.

    One box per layer, stem and head included, with the name of the block. If both domains have the
    same block in a layer, the boxes are dark and joined; otherwise they are light. A skipped layer
    (`zero`) is a thin line. The classifiers are squares in the colours of the domains.

    space: search space of the paths.
    paths: path of every domain. Colours are those of all `paths`.
    first, second: names of two different domains.
    ax: axes to draw into, with equal units on both axes; None: a new figure.

    Raises `MpnasError` if a domain is unknown or both domains are the same.
    """
    names = style.chosen_domains([first, second], list(paths))
    if first == second:
        raise MpnasError(f"two_paths needs two different domains, not {first!r} twice.")
    graph = architecture_graph(space, {d: paths[d] for d in names})
    colors = style.drawn_colors(list(paths))
    layers = [*(layer.name for layer in space.layers), _CLASSIFIER]
    ax = ax if ax is not None else _figure(len(layers))
    box, points = ax.get_window_extent(), 72 / ax.figure.dpi
    width, height = box.width * points, box.height * points
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_aspect("equal")
    ax.set_axis_off()
    pitch = (height - _TOP - _BOTTOM) / len(layers)
    rows = [height - _TOP - (i + 0.5) * pitch for i in range(len(layers))]
    for name, y in zip(layers, rows, strict=True):
        ax.text(_LEFT, y, name, va="center", fontsize=8)
    left = _LEFT + _CHARACTER * max(map(len, layers))
    free = width - left
    half = 0.17 * free, min(10.0, 0.37 * pitch)
    columns = left + 0.28 * free, left + 0.74 * free
    for domain, x in zip(names, columns, strict=True):
        nodes = [n for n, users in graph.nodes(data="users") if domain in users]
        ax.text(x, height - _TOP / 2, domain, ha="center", va="center", fontsize=10)
        _line(ax, x, rows, nodes, pitch, colors[domain])
        for node, y in zip(nodes, rows, strict=False):
            if node.block != ZERO:
                _box(ax, graph, node, (x, y), half)
        square = {"facecolor": colors[domain], "edgecolor": "none", "label": _CLASSIFIER}
        ax.add_patch(rounded_box(x, rows[-1], 5.0, 5.0, zorder=4, **square))
    for node, kind in graph.nodes(data="kind"):
        if kind == "shared":
            ends = columns[0] + half[0], columns[1] - half[0]
            level = rows[node.layer], rows[node.layer]
            ax.plot(ends, level, color=style.SHARED, linewidth=0.5 * half[1], label="_joined")
    _legend(ax)
    kinds = count_kinds(graph)
    ax.set_title(
        f"Paths of {first!r} and {second!r}: {kinds['shared']} nodes shared, "
        f"{kinds['private']} private",
        fontsize=11,
    )
    return ax


def _figure(rows: int) -> Axes:
    height = 1.1 + 0.29 * rows
    figure = plt.figure(figsize=(6.0, height))
    return figure.add_axes((0.01, 0.01, 0.98, 1 - 0.4 / height))


def _line(
    ax: Axes, x: float, rows: Sequence[float], nodes: Sequence[Node], pitch: float, color: str
) -> None:
    """Draw a path from the first layer to the classifier; skipped layers are thin and named."""
    for node, y in zip(nodes, rows, strict=False):
        skips = node.block == ZERO
        how: dict[str, Any] = {"linewidth": 1.0 if skips else 3.0, "solid_capstyle": "butt"}
        label = "_skip" if skips else "_path"
        ends = y + (0.5 if node.layer else 0.0) * pitch, y - 0.5 * pitch
        ax.plot((x, x), ends, color=color, zorder=1, label=label, **how)
        if skips:
            ax.text(x + 5, y, ZERO, va="center", fontsize=7.5)
    ax.plot((x, x), (rows[-1] + 0.5 * pitch, rows[-1]), color=color, linewidth=3.0, zorder=1)


def _box(
    ax: Axes, graph: nx.DiGraph, node: Node, at: tuple[float, float], half: tuple[float, float]
) -> None:
    """Draw the box of a layer that is not skipped."""
    block, about = node.block, graph.nodes[node]
    kind = about["kind"]
    face = {"shared": style.SHARED, "private": style.PRIVATE}[kind]
    color = {"shared": style.TEXT_ON_SHARED, "private": style.TEXT_ON_PRIVATE}[kind]
    edge: dict[str, Any] = {"edgecolor": style.OUTLINE, "linewidth": 0.8, "zorder": 3}
    box = rounded_box(*at, *half, facecolor=face, label=kind, **edge)
    ax.add_patch(box)
    style.tips([box], [f"{about['layer_name']} {block}: {', '.join(about['users'])}"])
    size = min(8.5, 1.5 * half[1], 2 * half[0] / (0.64 * len(block)))
    ax.text(*at, block, ha="center", va="center_baseline", fontsize=size, color=color, zorder=4)


def _legend(ax: Axes) -> None:
    """Draw the legend of boxes and lines below the paths."""
    faces = {"shared": style.SHARED, "private": style.PRIVATE}
    handles: list[Any] = [
        Patch(facecolor=faces[kind], edgecolor=style.OUTLINE, label=text)
        for kind, text in KINDS.items()
    ]
    handles.append(Line2D([], [], color=style.ink(), linewidth=1.0, label="skipped layer (zero)"))
    ax.legend(
        handles=handles, loc="lower center", ncols=3, frameon=False, fontsize=8.5, borderaxespad=0.2
    )
