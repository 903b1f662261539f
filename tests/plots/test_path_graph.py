"""The path graph draws every candidate by its kind, and one line per domain."""

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch, PathPatch

from mpnas_kit.analysis.graph import architecture_graph
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import domain_colors, path_graph
from mpnas_kit.plots.graph_layout import UNUSED, lay_out, line
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.factored import mobilenet_v3_like
from mpnas_kit.space.layers import Node, Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.spaces import mobilenet_v3_large


def lines(ax: Axes) -> dict[str, PathPatch]:
    return {str(p.get_label()): p for p in ax.patches if type(p) is PathPatch}


def boxes(ax: Axes) -> Counter[str]:
    return Counter(str(p.get_label()) for p in ax.patches if isinstance(p, FancyBboxPatch))


def texts(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts if t.get_text()]


def test_nodes_lines_and_labels(space: LayerwiseSpace, paths: dict[str, Path]) -> None:
    _, ax = plt.subplots(figsize=(8, 4))
    assert path_graph(space, paths, ax=ax) is ax
    assert len(plt.get_fignums()) == 1
    assert boxes(ax) == {"shared": 3, "private": 1, "unused": 2, "classifier": 3}
    colors = domain_colors("abc")
    drawn = lines(ax)
    assert {d: to_hex(p.get_edgecolor()) for d, p in drawn.items()} == colors
    (possible,) = (c for c in ax.collections if isinstance(c, LineCollection))
    assert len(possible.get_segments()) == 2 + 6 + 3 + 1  # the last: the lane of 1.2
    written = texts(ax)
    for name in ("a", "b", "c", "1.1", "1.2", "stem", "head", "stage 1", "conv1", "zero (skip)"):
        assert name in written
    assert written.count("3") == 3  # stem, conv1 of 1.1 and head have three domains
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels[0] == "several domains (number)"
    assert labels[1:] == ["one domain", "unused", "possible edge", "path"]
    assert "3 nodes shared, 1 private, 2 unused" in ax.get_title()


def test_lines_on_one_edge_lie_side_by_side(space: LayerwiseSpace, paths: dict[str, Path]) -> None:
    graph = architecture_graph(space, paths)
    layout = lay_out(graph, 700, 400)
    ax = path_graph(space, paths)
    first = {d: p.get_path().vertices[0] for d, p in lines(ax).items()}
    assert first["a"][1] > first["b"][1] > first["c"][1]
    width = lines(ax)["a"].get_linewidth()
    assert first["a"][1] - first["b"][1] >= width
    assert layout.half_height(3) > layout.lane


def test_the_line_of_a_skipped_layer_is_below_all_nodes(
    space: LayerwiseSpace, paths: dict[str, Path]
) -> None:
    layout = lay_out(architecture_graph(space, paths), 700, 400)
    lane = layout.at[Node(2, "zero")][1]
    assert lane + layout.lane_half < min(y for n, (_, y) in layout.at.items() if n.block != "zero")
    assert layout.rows["zero"] == lane
    rows = {n.block: y for n, (_, y) in layout.at.items() if n.layer in (1, 2)}
    assert rows == {k: layout.rows[k] for k in ("conv1", "conv3", "zero")}


def test_a_selection_keeps_its_colours(space: LayerwiseSpace, paths: dict[str, Path]) -> None:
    ax = path_graph(space, paths, domains=["b"])
    assert {d: to_hex(p.get_edgecolor()) for d, p in lines(ax).items()} == {
        "b": domain_colors("abc")["b"]
    }
    assert boxes(ax) == {"private": 4, "unused": 2, "classifier": 1}
    with pytest.raises(MpnasError, match="unknown domain 'x'"):
        path_graph(space, paths, domains=["x"])


def test_many_candidates_show_used_ones_and_a_count() -> None:
    space = mobilenet_v3_like(32)
    low, high = space.extremes(MultiplyAdds().price)
    graph = architecture_graph(space, {"low": low, "high": high})
    layout = lay_out(graph, 900, 400)
    assert layout.named
    first = [n.block for n in layout.at if n.layer == 2]
    assert first == ["k3e1", "k7e6se", UNUSED]
    assert layout.unused[Node(2, UNUSED)] == 34
    assert layout.unused[Node(3, UNUSED)] == 35  # `low` skips that layer
    ax = path_graph(space, {"low": low, "high": high})
    assert {"k3e1", "k7e6se", "+34", "zero (skip)"} <= set(texts(ax))


def test_a_space_without_choices() -> None:
    space = mobilenet_v3_large(32)
    path = space.path([])
    ax = path_graph(space, {"a": path, "b": path})
    assert boxes(ax) == {"shared": 18, "classifier": 2}
    assert "k5h960se" in texts(ax)


def test_ten_domains_stay_inside_the_axes(space: LayerwiseSpace) -> None:
    path = space.parse("conv1 zero")
    ax = path_graph(space, {f"domain{i}": path for i in range(10)})
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    for patch in lines(ax).values():
        points = patch.get_path().vertices
        assert x0 < points[:, 0].min() and points[:, 0].max() < x1
        assert y0 < points[:, 1].min() and points[:, 1].max() < y1


def test_steep_lines_are_shifted_sideways() -> None:
    stops = [(0.0, 0.0, 1.0, 0.0), (20.0, 100.0, 1.0, 0.0)]
    left, right = (line(stops, slot).vertices[2, 0] for slot in (3.0, -3.0))
    assert left == pytest.approx(10 - 3 * 200 / np.hypot(18, 200))
    assert left < 10 < right


def test_names_of_many_domains_and_of_blocks_are_legible(space: LayerwiseSpace) -> None:
    path = space.path([0] * len(space.decisions))
    names = [f"domain {i}" for i in range(40)]
    ax = path_graph(space, dict.fromkeys(names, path))
    ax.figure.canvas.draw()
    extents = [t.get_window_extent() for t in ax.texts if t.get_text() in names]
    assert len(extents) == 40
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])
    large = mobilenet_v3_like(32)
    paths = {d: large.path([i] * len(large.decisions)) for i, d in enumerate("ab")}
    graph = path_graph(large, paths)
    on_nodes = [t for t in graph.texts if t.get_text() in ("k3e1", "conv3")]
    assert on_nodes and all(t.get_fontsize() >= 6.75 for t in on_nodes), "9 pixels"
