"""What the explorers show and return, without a browser."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.analysis.comparison import Outcome, compare
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.space.layers import Node
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train
from mpnas_kit.widgets import (
    DomainBrowser,
    PathExplorer,
    PrioritizationExplorer,
    ResultsExplorer,
    SearchMonitor,
    SimilarityExplorer,
    prioritization,
)
from mpnas_kit.widgets.paths import Selection
from mpnas_kit.widgets.view import Bar

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(tiny.suite(3), tiny.space(), tiny.search_config(steps=8, policy_snapshots=4))


@pytest.fixture(scope="module")
def trained(found: SearchResult) -> TrainResult:
    return train(tiny.suite(3), found.space, found.paths, tiny.train_config(steps=8))


@pytest.fixture
def results(trained: TrainResult) -> ResultsExplorer:
    outcomes = [
        Outcome("mpnas", "abdp", trained, 100),
        Outcome("random_paths", "abdp", trained, 200),
    ]
    return ResultsExplorer(compare(outcomes))


# Paths --------------------------------------------------------------------------------------------


def test_the_graph_has_the_paths_of_every_snapshot_and_the_costs_of_nodes(
    found: SearchResult,
) -> None:
    explorer = PathExplorer.of(found)
    graph = explorer.graph
    assert graph["steps"] == list(found.policy_steps) and explorer.at == len(graph["steps"]) - 1
    assert graph["domains"] == list(found.paths)
    last = dict(zip(graph["domains"], graph["paths"][-1], strict=True))
    for domain, path in found.paths.items():
        nodes = [column[k] for column, k in zip(graph["nodes"], last[domain], strict=True)]
        assert " ".join(n["block"] for n in nodes[1:-1]) == str(path)
        cost = found.space.cost(path)
        assert sum(n["multiply_adds"] for n in nodes) == cost.multiply_adds
        assert sum(n["parameters"] for n in nodes) == cost.parameters
    json.dumps(graph)


def test_python_reads_the_selection(found: SearchResult) -> None:
    explorer = PathExplorer.of(found)
    assert explorer.selected == Selection((), ("a", "b", "c"))
    explorer.shown = ["a", "c"]
    explorer.pinned = [[1, "k3e2"]]  # as the browser sends it
    assert explorer.selected == Selection((Node(1, "k3e2"),), ("a", "c"))
    explorer.compare = ["b", "c"]
    assert explorer.selected.domains == ("b", "c")
    with pytest.raises(MpnasError, match="unknown domain 'd'"):
        explorer.shown = ["a", "d"]


def test_private_copies_are_told_from_shared_nodes() -> None:
    space = mk.lite0(32)
    path = space.parse(space.original.arch[:-4] + "k3e6~")
    explorer = PathExplorer(space, [dict.fromkeys("ab", path)])
    explorer.pinned = [[space.searched[-1], "k3e6~"]]
    assert set(explorer.selected.nodes) <= space.nodes(path)
    cards = {n["block"]: n for n in explorer.graph["nodes"][space.searched[-1]]}
    assert [cards[f"k3e6{s}"]["copied"] for s in ("", "~", "*")] == [False, True, True]
    assert "1x1 convolutions of k3e6" in cards["k3e6~"]["about"]
    assert "private copy" in cards["k3e6*"]["about"]
    assert "2 private" in explorer.figure().axes[0].get_title()


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("compare", ["a"], "compare must be two domains, or none, not 1"),
        ("at", 99, "at must be the index of a snapshot"),
        ("at", -1, "at must be the index of a snapshot"),
        ("pinned", [[9, "k3e2"]], "pinned must be nodes"),
        ("pinned", [[1, "nope"]], "pinned must be nodes"),
        ("pinned", ["x"], "pinned must be nodes"),
        ("pinned", [3], "pinned must be nodes"),
    ],
)
def test_an_invalid_selection_is_refused_in_python(
    found: SearchResult, trait: str, value: Any, message: str
) -> None:
    explorer = PathExplorer.of(found)
    before = explorer.selected, explorer.at
    with pytest.raises(MpnasError, match=message):
        setattr(explorer, trait, value)
    assert (explorer.selected, explorer.at) == before


# All of them --------------------------------------------------------------------------------------


def test_an_error_in_a_callback_is_shown_and_raised(
    trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = PrioritizationExplorer(trained)

    def broken(*arguments: object) -> None:
        raise ValueError("broken <here>")

    monkeypatch.setattr(prioritization, "replayed", broken)
    with pytest.raises(ValueError, match="broken"):
        explorer.rehearse()
    assert explorer.bar.problem == "ValueError: broken <here>"
    monkeypatch.undo()
    explorer.decay.value = 0.5
    assert explorer.bar.problem == ""


def test_every_control_can_be_rehearsed(
    found: SearchResult, trained: TrainResult, results: ResultsExplorer
) -> None:
    for explorer in (
        SimilarityExplorer(found),
        PrioritizationExplorer(trained),
        results,
        DomainBrowser(tiny.suite(3), trained),
    ):
        values = [c.value for c in explorer.children if hasattr(c, "value")]
        explorer.rehearse()
        assert [c.value for c in explorer.children if hasattr(c, "value")] == values


def test_every_explorer_has_a_static_figure(
    found: SearchResult, trained: TrainResult, results: ResultsExplorer
) -> None:
    for explorer in (
        PathExplorer.of(found),
        SearchMonitor.of(found),
        SimilarityExplorer(found),
        PrioritizationExplorer(trained),
        results,
        DomainBrowser(tiny.suite(3), trained),
    ):
        data, about = explorer._repr_mimebundle_()
        assert WIDGET in data and data["image/svg+xml"].startswith("<svg role=")
        assert about["image/svg+xml"]["alt"] == explorer.alt != ""
    data = SearchMonitor(tiny.space(), ["a"])._repr_mimebundle_()
    assert "image/svg+xml" not in data


def test_no_explorer_module_computes() -> None:
    """Explorers show results. They have no optimiser, no sampling and no linear algebra."""
    for file in (Path(prioritization.__file__).parent).glob("*.py"):
        assert "import torch" not in file.read_text(), file
        assert "scipy" not in file.read_text(), file


def test_a_late_answer_is_marked_and_a_quick_one_sends_no_message() -> None:
    bar, seen = Bar(title="Paths"), []
    bar.observe(lambda change: seen.append(change["new"]), "busy")
    with bar.marked_if_late():
        pass
    assert seen == []
    with bar.marked_if_late():
        while not bar.busy:
            time.sleep(0.01)
    assert seen == [True, False]
