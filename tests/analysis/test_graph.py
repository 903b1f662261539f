"""The architecture graph: every candidate, every possible edge, the edges taken."""

import subprocess
import sys

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.analysis.graph import architecture_graph, count_kinds
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.layers import Node
from mpnas_kit.space.layerwise import LayerwiseSpace


@pytest.fixture
def space() -> LayerwiseSpace:
    return tiny.two_searched_layers()


def test_nodes_and_edges(space: LayerwiseSpace) -> None:
    paths = {
        "a": space.parse("conv1 zero"),
        "b": space.parse("conv1 conv3"),
        "c": space.parse("conv1 zero"),
    }
    graph = architecture_graph(space, paths)
    kinds = {tuple(n[:2]): kind for n, kind in graph.nodes(data="kind")}
    assert kinds == {
        (0, "conv3"): "shared",
        (1, "conv1"): "shared",
        (1, "conv3"): "unused",
        (2, "zero"): "skip",
        (2, "conv1"): "unused",
        (2, "conv3"): "private",
        (3, "conv1"): "shared",
    }
    assert graph.number_of_edges() == 1 * 2 + 2 * 3 + 3 * 1
    assert all(possible for _, _, possible in graph.edges(data="possible"))
    taken = {(u[:2], v[:2]): d for u, v, d in graph.edges(data="domains") if d}
    assert taken == {
        ((0, "conv3"), (1, "conv1")): ("a", "b", "c"),
        ((1, "conv1"), (2, "zero")): ("a", "c"),
        ((1, "conv1"), (2, "conv3")): ("b",),
        ((2, "zero"), (3, "conv1")): ("a", "c"),
        ((2, "conv3"), (3, "conv1")): ("b",),
    }
    skip = graph.nodes[Node(2, "zero")]
    assert (skip["users"], skip["layer_name"], skip["searched"]) == (("a", "c"), "1.2", True)
    assert not graph.nodes[Node(0, "conv3")]["searched"]


def test_each_user_of_a_private_copy_has_one_of_its_own() -> None:
    space = mk.lite0(32)
    *others, _ = space.original.arch.split()
    last = space.searched[-1]
    own = space.parse(" ".join([*others, "k3e6*"]))
    mixed = space.parse(" ".join([*others, "k3e6~"]))
    graph = architecture_graph(space, {"a": own, "b": own, "c": mixed, "d": space.original})
    facts = {n: graph.nodes[n] for n in graph if n.layer == last and graph.nodes[n]["users"]}
    assert {(n.block, n.owner): (f["users"], f["kind"]) for n, f in facts.items()} == {
        ("k3e6*", "*"): (("a", "b"), "private"),
        ("k3e6~", "*"): (("c",), "private"),
        ("k3e6", ""): (("d",), "private"),
    }
    counts = count_kinds(graph)
    assert (counts["private"], counts["shared"]) == (4, len(space.layers) - 1)
    assert counts["unused"] == sum(1 for _, kind in graph.nodes(data="kind") if kind == "unused")


def test_no_paths(space: LayerwiseSpace) -> None:
    with pytest.raises(MpnasError, match="no paths"):
        architecture_graph(space, {})


def test_analysis_loads_no_display_library() -> None:
    code = (
        "import sys, mpnas_kit.analysis.graph, mpnas_kit.analysis.similarity; "
        "print([m for m in ('matplotlib', 'seaborn', 'ipywidgets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
