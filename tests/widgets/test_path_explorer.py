"""The path explorer: what it sends to its view, moves, focus, and its exports."""

import json
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.analysis.moves import path_sizes
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import UnionShare
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Node
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.training.stage import train
from mpnas_kit.widgets import Focus, PathExplorer
from mpnas_kit.widgets.path_view import PARTS


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(tiny.suite(3), tiny.space(), tiny.search_config(steps=8, policy_snapshots=4))


@pytest.fixture
def explorer() -> PathExplorer:
    """Three domains; at the first of two snapshots nothing is decided."""
    space = tiny.space()
    first = dict.fromkeys("abc", space.parse("zero k3e1"))
    last = tiny.paths(space, ["k3e1 k3e1", "k3e1 k5e3", "zero k5e3"])
    policy = np.zeros((2, 3, 2, 4), dtype=np.float32)
    policy[0, :, 0], policy[0, :, 1, :3] = 1 / 4, 1 / 3
    for d, path in enumerate(last.values()):
        for i, choice in enumerate(path.choices):
            policy[1, d, i, choice] = 1.0
    targets = dict.fromkeys("abc", 1e5)
    return PathExplorer(space, [first, last], (4, 8), policy=policy, targets=targets)


def send(explorer: PathExplorer, **message: Any) -> None:
    """Send a message as the browser does."""
    explorer.view._handle_custom_msg(message, [])


# The graph ----------------------------------------------------------------------------------------


def test_probabilities_arrive_in_the_order_of_candidates(found: SearchResult) -> None:
    explorer = PathExplorer.of(found)
    columns = [len(layer.candidates) for layer in found.space.layers]
    values = np.frombuffer(explorer.view.probabilities, np.uint8) / PARTS
    values = values.reshape(len(explorer.steps), len(found.paths), sum(columns))
    assert values[:, :, 0] == pytest.approx(1)  # the stem
    assert values[:, :, 1:5] == pytest.approx(found.policy[:, :, 0], abs=0.5 / PARTS + 1e-9)
    assert values[:, :, 5:8] == pytest.approx(found.policy[:, :, 1, :3], abs=0.5 / PARTS + 1e-9)


def test_undecided_choices_are_told_from_agreement(explorer: PathExplorer) -> None:
    assert explorer.graph["undecided"] == [[[1, 2]] * 3, [[]] * 3]
    data = explorer.data()
    assert data["decided"].all() and data["step"].unique().tolist() == [8]
    explorer.at = 0
    open_ = explorer.data().set_index("layer")["decided"]
    assert open_["stem"].all() and not open_["one"].any() and not open_["two"].any()


def test_without_a_policy_every_choice_is_decided() -> None:
    space = tiny.space()
    explorer = PathExplorer(space, [tiny.paths(space, ["k3e1 k3e1"])])
    assert explorer.graph["undecided"] == [] and explorer.view.probabilities == b""
    assert "probability" not in explorer.data() and explorer.graph["targets"] is None
    json.dumps(explorer.graph)


def test_nodes_are_described_in_words_and_have_the_cost_of_the_search() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["k3e1 k3e1"])
    (_, one, two, _) = PathExplorer(space, [paths], cost=mk.Footprint()).graph["nodes"]
    assert one[3]["about"].startswith("inverted bottleneck, kernel 5, expansion 2, se")
    assert two[0]["cost"] == two[0]["multiply_adds"] > 0 and one[0]["cost"] is None
    joint = PathExplorer(space, [paths], cost=UnionShare())
    assert joint.graph["nodes"][2][0]["cost"] is None and joint.graph["unit"] == "parameters"
    private = PathExplorer(space, [paths], private=PrivateLayers(since=2)).graph["nodes"]
    assert [column[0]["copied"] for column in private] == [False, False, True, True]


# Moves --------------------------------------------------------------------------------------------


def test_a_move_changes_the_sizes_at_once_and_can_be_taken_back(explorer: PathExplorer) -> None:
    found, before = explorer.found, explorer.view.edited
    assert before["paths"] is None and not before["undo"] and explorer.moved() == []
    explorer.at = 0
    send(explorer, do="move", domain="a", layer=2, block="k5e3")
    assert explorer.at == 1 and explorer.moved() == [("a", 2)]
    assert explorer.paths["a"].arch == "k3e1 k5e3" and found["a"].arch == "k3e1 k3e1"
    edited, sizes = explorer.view.edited, path_sizes(explorer.space, explorer.paths)
    assert edited["paths"] == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]] and edited["undo"]
    assert edited["now"]["parameters"] == sizes.parameters < edited["found"]["parameters"]
    assert edited["now"]["similarity"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert edited["found"] == before["now"]
    send(explorer, do="undo")
    assert explorer.paths == found and explorer.view.edited == before
    send(explorer, do="undo")  # there is nothing to take back
    assert explorer.view.edited == before


def test_a_reset_gives_one_domain_or_all_their_found_paths(explorer: PathExplorer) -> None:
    for domain in "abc":
        explorer.move(domain, 1, "k3e2")
    send(explorer, do="reset", domain="b")
    assert explorer.moved() == [("a", 1), ("c", 1)]
    send(explorer, do="reset", domain="")
    assert explorer.moved() == [] and explorer.paths == explorer.found
    explorer.undo()
    assert explorer.moved() == [("a", 1), ("c", 1)]


def test_a_move_that_is_not_possible_is_refused_in_words(explorer: PathExplorer) -> None:
    send(explorer, do="move", domain="a", layer=2, block="zero")
    assert explorer.view.refused.startswith("layer 'two' cannot be skipped")
    assert explorer.moved() == [] and explorer.bar.problem == ""
    send(explorer, do="move", domain="d", layer=2, block="k5e3")
    assert explorer.view.refused.startswith("unknown domain 'd'")
    send(explorer, do="move", domain="a", layer="2", block=None)
    assert explorer.view.refused.startswith("layer must be the index of a layer")
    send(explorer, do="move", domain="a", layer=2, block="k5e3")
    assert explorer.view.refused == "" and explorer.moved() == [("a", 2)]


@pytest.mark.parametrize(
    ("archs", "message"),
    [
        ({"a": "k3e1 k3e1"}, "paths must be the path of every domain: b, c is missing"),
        (dict.fromkeys("abcd", "k3e1 k3e1"), "unknown domain 'd'"),
    ],
)
def test_paths_can_be_set_whole_only(
    explorer: PathExplorer, archs: dict[str, str], message: str
) -> None:
    with pytest.raises(MpnasError, match=message):
        explorer.paths = {d: explorer.space.parse(arch) for d, arch in archs.items()}
    with pytest.raises(MpnasError, match="must be a Path, not 'k3e1 k3e1'"):
        explorer.paths = dict.fromkeys("abc", "k3e1 k3e1")
    with pytest.raises(MpnasError, match="paths must be a dict, not 3"):
        explorer.paths = 3
    assert explorer.paths == explorer.found
    explorer.paths = dict.fromkeys("cba", explorer.found["a"])
    assert list(explorer.paths) == ["a", "b", "c"] and explorer.moved() == [
        ("b", 2),
        ("c", 1),
        ("c", 2),
    ]


def test_edited_paths_are_trained(found: SearchResult, tmp_path: File) -> None:
    explorer = PathExplorer.of(found)
    explorer.move("a", 2, "k3e1")
    config = tiny.train_config()
    trained = train(tiny.suite(3), found.space, explorer.paths, config, folder=tmp_path)
    assert trained.paths == explorer.paths
    assert (StageFolder.read(tmp_path).read_config().paths or {})["a"] == explorer.paths["a"].arch


def test_an_added_domain_moves_and_a_frozen_one_does_not() -> None:
    base = tiny.space()
    space = GrownSpace(base, {"a": base.parse("k3e2 k5e3")})
    explorer = PathExplorer(space, [{"c": space.parse("k3e2 k5e3")}])
    with pytest.raises(MpnasError, match="domain 'a' is frozen on the path k3e2 k5e3"):
        explorer.move("a", 1, "k3e1")
    before = explorer.measure().parameters
    explorer.move("c", 1, "k3e2*")
    assert explorer.paths["c"].arch == "k3e2 k5e3 own:1"
    assert explorer.measure().parameters > before
    assert explorer.graph["nodes"][1][2]["about"].endswith(", frozen")


# Focus --------------------------------------------------------------------------------------------


def test_the_explorer_writes_what_is_chosen_to_its_focus(explorer: PathExplorer) -> None:
    focus = explorer.focus
    assert focus.selected == (None, None, None, None, None)
    explorer.domain, explorer.compare = "b", ["a", "c"]
    explorer.pinned, explorer.at = [[1, "k3e1"], [2, "k5e3"]], 0
    assert focus.selected == ("b", ("a", "c"), Node(2, "k5e3"), 4, None)
    explorer.pinned, explorer.domain, explorer.compare = [[1, "k3e1"]], "", []
    assert focus.selected == (None, None, Node(1, "k3e1"), 4, None)


def test_the_explorer_follows_its_focus(explorer: PathExplorer) -> None:
    focus = explorer.focus
    focus.domain, focus.pair, focus.node = "c", ("b", "a"), (2, "k5e3")
    assert (explorer.domain, explorer.compare) == ("c", ["b", "a"])
    assert explorer.pinned == [[2, "k5e3"]] == explorer.view.pinned
    for step, at in ((1, 0), (4, 0), (7, 0), (8, 1), (100, 1)):
        focus.search_step = step
        assert explorer.at == at == explorer.view.at and focus.search_step == step
    focus.clear()
    assert (explorer.domain, explorer.compare, explorer.pinned) == ("", [], [])


def test_what_the_explorer_lacks_counts_as_not_chosen() -> None:
    space = tiny.space()
    focus = Focus(["a", "z"], mk.lite0(32))
    explorer = PathExplorer(space, [tiny.paths(space, ["k3e1 k3e1"])], focus=focus)
    focus.domain, focus.pair = "z", ("a", "z")
    focus.node, focus.search_step = (1, "k3e1"), 3
    assert (explorer.domain, explorer.compare, explorer.at) == ("", [], 0)
    focus.node = (5, "k3e6")
    assert explorer.pinned == [] and focus.selected.domain == "z"


def test_two_explorers_with_one_focus_show_the_same(found: SearchResult) -> None:
    focus = Focus(list(found.paths), found.space)
    first = PathExplorer.of(found, focus=focus)
    other = PathExplorer.of(found, focus=focus, bar=False)
    first.view.set_trait("domain", "b")  # as the browser does
    first.view.set_trait("at", 1)
    assert (other.domain, other.at) == ("b", 1)
    assert other.children == (other.view,) and first.children == (first.bar, first.view)


# Exports ------------------------------------------------------------------------------------------


def test_the_data_are_those_of_the_shown_paths(explorer: PathExplorer) -> None:
    explorer.move("a", 2, "k5e3")
    explorer.shown = ["a", "b"]
    data = explorer.data()
    assert data["domain"].unique().tolist() == ["a", "b"] and len(data) == 8
    row = data.set_index(["domain", "layer"]).loc[("a", "two")]
    use = explorer.space.uses(explorer.paths["a"])[2]
    assert use is not None
    assert row["block"] == "k5e3" and row["users"] == 2 and row["moved"]
    assert row["parameters"] == use.cost.parameters
    explorer.at = 0
    assert not explorer.data()["moved"].any()


def test_the_code_makes_the_same_explorer(found: SearchResult) -> None:
    explorer = PathExplorer.of(found)
    explorer.move("b", 1, "zero")
    explorer.shown, explorer.compare, explorer.at = ["a", "b"], ["a", "b"], 1
    explorer.pinned, explorer.domain = [[1, "k3e2"]], "b"
    names: dict[str, Any] = {"found": found}
    exec(explorer.code(), names)
    again = names["explorer"]
    for name in ("shown", "compare", "at", "pinned", "domain", "paths"):
        assert getattr(again, name) == getattr(explorer, name), name


def test_a_rehearsal_ends_as_it_began(explorer: PathExplorer) -> None:
    explorer.move("a", 2, "k5e3")
    before = explorer.code(), explorer.view.edited
    explorer.rehearse()
    assert (explorer.code(), explorer.view.edited) == before
