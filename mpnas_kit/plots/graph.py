"""The architecture as one picture: all candidates, and the path of every domain."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import networkx as nx
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch, Rectangle

from mpnas_kit.analysis.graph import architecture_graph, count_kinds
from mpnas_kit.plots import style
from mpnas_kit.plots.graph_layout import (
    HALF_WIDTH,
    UNUSED,
    Layout,
    is_named,
    lay_out,
    line,
    row_names,
    stacks,
)
from mpnas_kit.space.layers import ZERO, Node, Path
from mpnas_kit.space.space import SearchSpace

KINDS = {
    "shared": "several domains",
    "private": "one domain",
    "unused": "unused",
}
_TOLD = 12  # domains in the value of a node
_ON_NODE = 7.0  # size of a name on a node, 1/72 inch
_WIDTH = 0.64  # of a character, in sizes of the font
_LONGEST = 14  # characters of a name on a node


@style.literal
def path_graph(
    space: SearchSpace,
    paths: Mapping[str, Path],
    *,
    domains: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the domains' paths through the layers of `space`, from left to right.

    One row per choice. Nodes of several domains are dark and show the number of domains. Nodes of
    one domain are light, unused nodes are dotted. Dashed lines are the possible connections. A
    coloured line per domain ends at the domain's classifier. The lowest row is for skipped layers
    (`zero`). If the layers offer more than 14 different choices (as in the factored space), only
    the used nodes are drawn, with their names, and the number of unused nodes.

    space: search space of the paths.
    paths: path of every domain.
    domains: names of the domains to draw, in order; None: all. Colours are those of all `paths`.
    ax: axes to draw into, with equal units on both axes; None: a new figure.

    Raises `MpnasError` if there are no paths or a domain is unknown.
    """
    names = style.chosen_domains(domains, list(paths))
    colors = style.drawn_colors(list(paths))
    dashes = style.dashes(list(paths))
    graph = architecture_graph(space, {d: paths[d] for d in names})
    ax = ax if ax is not None else _figure(graph)
    box = ax.get_window_extent()
    points = 72 / ax.figure.dpi
    layout = lay_out(graph, box.width * points, box.height * points)
    ax.set(xlim=(0, layout.width), ylim=(0, layout.height))
    ax.set_aspect("equal")
    ax.set_axis_off()
    _background(ax, graph, layout)
    _possible(ax, graph, layout)
    for domain in names:
        _domain(ax, graph, layout, domain, colors[domain], dashes[domain])
    for node in layout.at:
        _node(ax, graph, layout, node)
    _legend(ax, layout)
    kinds = count_kinds(graph)
    ax.set_title(
        f"Paths of {len(names)} domains through {space.name!r}: {kinds['shared']} nodes shared, "
        f"{kinds['private']} private, {kinds['unused']} unused",
        fontsize=11,
    )
    return ax


def _figure(graph: nx.DiGraph) -> Axes:
    layers = 1 + max(layer for _, layer in graph.nodes(data="layer"))
    names = row_names(graph)
    rows = max(map(len, stacks(graph))) if is_named(names) else len(names)
    rows = max(rows, len(graph.graph["domains"]))
    height = min(5.6, max(3.6, 2.0 + 0.4 * rows))
    height = max(height, 1.3 + 0.155 * len(graph.graph["domains"]))  # their names need room
    pitch = 0.62
    if is_named(names):  # each node has room for its name
        longest = max(len(_short(n)) for stack in stacks(graph) for n in stack)
        pitch = max(pitch, _ON_NODE * _WIDTH * longest / (2 * HALF_WIDTH * 72))
    fig = plt.figure(figsize=(max(8.0, pitch * layers + 1.2), height))
    return fig.add_axes((0.005, 0.005, 0.99, 1 - 0.38 / height))


def _background(ax: Axes, graph: nx.DiGraph, layout: Layout) -> None:
    """Draw the names of rows, layers and stages, and the lane of skipped layers."""
    color, columns = style.ink(), layout.columns
    left = columns[0] - layout.half_width
    for name, y in layout.rows.items():
        text = f"{name} (skip)" if name == ZERO else name
        ax.text(left - 6, y, text, ha="right", va="center", fontsize=8, color=color)
    if ZERO in layout.rows:
        half = layout.lane_half
        size = columns[-1] - left, 2 * half
        corner = left, layout.rows[ZERO] - half
        ax.add_patch(Rectangle(corner, *size, facecolor=style.OUTLINE, alpha=0.13, linewidth=0))
    top = layout.height - 38
    layer_names = dict(graph.nodes(data="layer_name"))
    by_layer = {n.layer: layer_names[n] for n in graph}
    for i, x in enumerate(columns):
        ax.text(x, top, by_layer[i], ha="center", va="center", fontsize=8, color=color)
    for stage, group in groupby(range(len(columns)), lambda i: by_layer[i].rpartition(".")[0]):
        members = list(group)
        if not stage:
            continue
        ends = columns[members[0]] - layout.half_width, columns[members[-1]] + layout.half_width
        ax.plot(ends, (top + 9, top + 9), color=color, linewidth=0.8, solid_capstyle="butt")
        middle = sum(ends) / 2
        ax.text(
            middle, top + 18, f"stage {stage}", ha="center", va="center", fontsize=9, color=color
        )
    x = next(iter(layout.heads.values()))[0]
    ax.text(x, top, "classifiers", ha="left", va="center", fontsize=8, color=color)


def _possible(ax: Axes, graph: nx.DiGraph, layout: Layout) -> None:
    """Draw the possible connections: dashed lines between the drawn nodes of adjacent layers."""
    half = layout.half_width
    by_layer = {i: [n for n in layout.at if n.layer == i] for i in range(len(layout.columns))}
    skips = [layout.at[n] for n in layout.at if n.block == ZERO]
    ways = [((x - half, y), (x + half, y)) for x, y in skips]
    for i in range(len(layout.columns) - 1):
        for before in by_layer[i]:
            for after in by_layer[i + 1]:
                (x0, y0), (x1, y1) = layout.at[before], layout.at[after]
                ways.append(((x0 + half, y0), (x1 - half, y1)))
    dashes: dict[str, Any] = {"linewidth": 0.4, "linestyle": (0, (4, 3)), "alpha": 0.5}
    mesh = LineCollection(ways, color=style.OUTLINE, zorder=1, label="possible", **dashes)
    ax.add_collection(mesh, autolim=False)


def _domain(
    ax: Axes, graph: nx.DiGraph, layout: Layout, domain: str, color: str, dashes: Any
) -> None:
    """Draw the line of one domain, from the first layer to its classifier."""
    stops = []
    for node, users in graph.nodes(data="users"):
        if domain in users:
            offset = ((len(users) - 1) / 2 - users.index(domain)) * layout.lane
            stops.append((*layout.at[node], layout.half_width, offset))
    x, y = layout.heads[domain]
    width = 0.72 * layout.lane
    names = graph.graph["domains"]
    slot = ((len(names) - 1) / 2 - names.index(domain)) * layout.slot
    patch = PathPatch(
        line([*stops, (x, y, 0.0, 0.0)], slot),
        facecolor="none",
        edgecolor=color,
        linewidth=width,
        linestyle=dashes,
        capstyle="butt",
        zorder=3,
        label=domain,
    )
    ax.add_patch(patch)
    style.tips(patch, [f"{domain}: {_arch(graph, domain)}"])
    ax.add_patch(
        rounded_box(
            x + 3, y, 3.5, 3.5, facecolor=color, edgecolor="none", zorder=4, label="classifier"
        )
    )
    ax.text(x + 10, y, domain, ha="left", va="center", fontsize=8.5, color=style.ink())


def rounded_box(
    x: float, y: float, half_width: float, half_height: float, **how: Any
) -> FancyBboxPatch:
    """Return a box with rounded corners around (x, y), in data units."""
    corner = (x - half_width, y - half_height)
    shape = f"round,pad=0,rounding_size={min(3.0, half_width, half_height)}"
    return FancyBboxPatch(corner, 2 * half_width, 2 * half_height, boxstyle=shape, **how)


def _node(ax: Axes, graph: nx.DiGraph, layout: Layout, node: Node) -> None:
    """Draw one node. `zero` is not a node: it has the lane only."""
    x, y = layout.at[node]
    if node.block == ZERO:
        return
    summary = node.block == UNUSED
    users = () if summary else graph.nodes[node]["users"]
    kind = "unused" if summary else graph.nodes[node]["kind"]
    half = layout.half_width, layout.half_height(max(1, len(users)))
    faces = {"shared": style.SHARED, "private": style.PRIVATE, "unused": ax.get_facecolor()}
    outline = (0, (1, 1.5)) if kind == "unused" else "-"
    box = rounded_box(
        x,
        y,
        *half,
        facecolor=faces[kind],
        edgecolor=style.OUTLINE,
        linestyle=outline,
        linewidth=0.8,
        zorder=5,
        label=kind,
    )
    ax.add_patch(box)
    style.tips([box], [_about(graph, layout, node)])
    on_node = {"shared": style.TEXT_ON_SHARED, "private": style.TEXT_ON_PRIVATE}
    text = str(len(users)) if kind == "shared" else ""
    if summary:
        text = f"+{layout.unused[node]}"
    elif layout.named:
        text = _short(node)
    color = on_node.get(kind, style.ink())
    fitting = 2 * layout.half_width / (_WIDTH * max(1, len(text)))
    size = min(_ON_NODE, fitting) if layout.named else 7.5
    ax.text(x, y, text, ha="center", va="center_baseline", fontsize=size, color=color, zorder=6)


def _arch(graph: nx.DiGraph, domain: str) -> str:
    """Return the arch string of a domain: its blocks in the searched layers."""
    rows = graph.nodes(data=True)
    return " ".join(n.block for n, about in rows if about["searched"] and domain in about["users"])


def _short(node: Node) -> str:
    return style.shortened(node.block, _LONGEST)


def _about(graph: nx.DiGraph, layout: Layout, node: Node) -> str:
    """Return the value of a node on hover: layer, block, and the domains that use it."""
    if node.block == UNUSED:
        return f"{layout.unused[node]} unused nodes"
    about = graph.nodes[node]
    users = ", ".join(about["users"][:_TOLD]) or "unused"
    more = f" and {len(about['users']) - _TOLD} more" if len(about["users"]) > _TOLD else ""
    count = f" ({len(about['users'])} domains)" if len(about["users"]) > 1 else ""
    return f"{about['layer_name']} {node.block}{count}: {users}{more}"


def _legend(ax: Axes, layout: Layout) -> None:
    """Draw the legend of nodes and lines below the graph."""
    edge = style.OUTLINE
    shared = KINDS["shared"] + ("" if layout.named else " (number)")
    handles = [
        Patch(facecolor=style.SHARED, edgecolor=edge, label=shared),
        Patch(facecolor=style.PRIVATE, edgecolor=edge, label=KINDS["private"]),
        Patch(facecolor="none", edgecolor=edge, linestyle=":", label=KINDS["unused"]),
        Line2D([], [], color=edge, linewidth=0.8, linestyle=(0, (4, 4)), label="possible edge"),
        Line2D([], [], color=style.ink(), linewidth=2, label="path"),
    ]
    ax.legend(
        handles=handles, loc="lower center", ncols=5, frameon=False, fontsize=8.5, borderaxespad=0.2
    )
