"""Moving a domain to another node, and the sizes of a set of paths."""

import math

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.analysis.moves import move, path_sizes
from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.space.costs import Parameters, UnionShare
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.space.space import SearchSpace


def blocks(space: SearchSpace, path: mk.Path) -> list[str]:
    picks = space.candidate_indices(path.choices)
    return [layer.choices[k] for layer, k in zip(space.layers, picks, strict=True)]


@pytest.mark.parametrize("factored", [False, True])
def test_a_move_changes_one_layer_and_no_width(
    factored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if factored:
        tiny.shrink_factored(monkeypatch)
    space = mk.mobilenet_v3_like(16) if factored else tiny.space()
    archs = ["conv5 zero x1 k5e2se zero x0.5 k3e1 k3e1se"] if factored else ["zero k3e1"]
    for path in map(space.parse, archs):
        for layer in space.searched:
            for block in space.layers[layer].choices:
                moved = move(space, path, layer, block)
                expected = blocks(space, path)
                expected[layer] = block
                assert blocks(space, moved) == expected
                assert space.widths(moved.choices) == space.widths(path.choices)
                back = move(space, moved, layer, blocks(space, path)[layer])
                assert back == path and space.parse(moved.arch) == moved


def test_a_move_reaches_private_copies_of_a_backbone() -> None:
    space = mk.lite0(32)
    layer = space.searched[3]
    for block in space.layers[layer].choices:
        moved = move(space, space.original, layer, block)
        assert blocks(space, moved)[layer] == block
    assert "k5e6*" in space.layers[layer].choices


def test_a_move_to_a_node_of_its_own_in_a_grown_space() -> None:
    base = tiny.space()
    frozen = {"a": base.parse("k3e2 k5e3")}
    space = GrownSpace(base, frozen)
    path = space.parse("k3e2 k3e1")
    moved = move(space, path, 1, "k3e2*")
    assert moved.arch == "k3e2 k3e1 own:1" and move(space, moved, 1, "k3e2") == path
    before = path_sizes(space, {"c": path}).parameters
    own = space.uses(moved)[1]
    assert own is not None
    assert path_sizes(space, {"c": moved}).parameters - before == own.cost.parameters
    both = {**frozen, "c": base.parse("k3e2 k3e1")}
    assert before == base.union_cost(both.values()).parameters


def test_own_nodes_of_other_layers_are_kept() -> None:
    space = tiny.space()
    path = space.read("k3e2 k5e3 own:1,2")
    assert move(space, path, 2, "k3e3").arch == "k3e2 k3e3 own:1"
    assert move(space, path, 1, "zero").arch == "zero k5e3 own:2"


@pytest.mark.parametrize(
    ("layer", "block", "message"),
    [
        (2, "zero", "layer 'two' cannot be skipped: expected one of its blocks, k3e1, "),
        (2, "k9", "unknown block in layer 'two' 'k9'"),
        (0, "k3e1", "unknown block in layer 'stem' 'k3e1'"),
        (4, "k3e1", "layer must be the index of a layer, 0 to 3, not 4"),
        (-1, "k3e1", "layer must be the index of a layer, 0 to 3, not -1"),
        (True, "k3e1", "not True"),
        ("two", "k3e1", "not 'two'"),
    ],
)
def test_a_move_that_is_not_possible_is_refused(layer: int, block: str, message: str) -> None:
    space = tiny.space()
    with pytest.raises(MpnasError, match=message):
        move(space, space.parse("zero k3e1"), layer, block)


def test_a_node_that_no_path_has_beside_the_others_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frozen node is too narrow for the path, so the path has one of its own anyway."""
    tiny.shrink_factored(monkeypatch)
    base = mk.mobilenet_v3_like(16)
    narrow = base.parse("conv3 zero x0.5 k3e1 zero x0.5 k3e1 zero")
    space = GrownSpace(base, {"a": narrow})
    wide = space.parse("conv3 zero x1 k3e1 zero x0.5 k3e1 zero")
    with pytest.raises(MpnasError, match="no path of space .* has 'k3e1\\*' in layer '1.1'"):
        move(space, wide, 2, "k3e1*")


def test_sizes_are_those_of_the_network_and_the_similarity_matrix() -> None:
    suite, space = tiny.suite(3), tiny.space()
    paths = tiny.paths(space, ["k3e2 k3e1", "k3e2 k5e3", "zero k3e1"])
    sizes = path_sizes(space, paths, Parameters())
    net = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=0)
    accounted = account(net, paths)
    assert sizes.parameters == accounted.parameters(batch_norm=False, heads=False)
    assert sizes.similarity == pytest.approx(jaccard_matrix(space, paths, pairs=2).mean)
    assert sizes.costs == {d: space.cost(p).parameters for d, p in paths.items()}
    assert sizes.domains == {d: space.cost(p).multiply_adds for d, p in paths.items()}
    alone = path_sizes(space, {"a": paths["a"]})
    assert alone.similarity is None and alone.multiply_adds == sizes.domains["a"]


def test_private_layers_count_for_every_domain() -> None:
    suite, space = tiny.suite(2), tiny.space()
    paths = tiny.paths(space, ["k3e2 k3e1", "k3e2 k3e1"])
    for since in (None, 0, 2):
        private = PrivateLayers(since=since)
        net = MultiPathNet.of_paths(
            space,
            paths,
            suite.tasks,
            "per_domain",
            seed=0,
            private=private,
        )
        counted = account(net, paths).parameters(batch_norm=False, heads=False)
        assert path_sizes(space, paths, private=private).parameters == counted


def test_a_joint_cost_depends_on_all_paths() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["k3e2 k3e1", "k3e2 k5e3"])
    sizes = path_sizes(space, paths, UnionShare())
    assert math.isclose(sum(sizes.costs.values()), sizes.parameters)
    with pytest.raises(MpnasError, match="path_sizes got no paths"):
        path_sizes(space, {})
