"""What the explorers show and return, without a browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.analysis.comparison import Outcome, compare
from mpnas_kit.analysis.mistakes import confident_mistakes, confusion, predictions
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Subset
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.space.space import Node
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
from mpnas_kit.widgets.domains import CLASSES, MISTAKES, _with_most_mistakes
from mpnas_kit.widgets.paths import Selection

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


def test_a_cell_of_the_matrix_compares_its_two_domains(found: SearchResult) -> None:
    explorer = SimilarityExplorer(found)
    names = explorer.matrix.content["rows"]
    assert explorer.selected is None
    explorer.matrix.selected = [0, 2]
    assert explorer.selected == (names[0], names[2])
    assert explorer.paths.compare == [names[0], names[2]]
    explorer.matrix.selected = [1, 1]
    assert explorer.paths.compare == []
    value = explorer.similarity.matrix.loc[names[0], names[2]]
    assert explorer.matrix.content["values"][0][2] == pytest.approx(value, abs=1e-4)


# Results ------------------------------------------------------------------------------------------


def test_results_have_one_point_per_run_and_return_the_selected_one(
    results: ResultsExplorer,
) -> None:
    series = results.chart.content["panels"][0]["series"]
    keys = [key for one in series for key in one.get("keys", ())]
    assert keys == ["mpnas", "random_paths"] and results.selected is None
    results.chart.selected = "random_paths"
    assert results.selected is not None and results.selected["bytes"] == 200
    results.cost.value = "bytes"
    points = [s["x"] for s in results.chart.content["panels"][0]["series"] if s.get("keys")]
    assert points == [[100.0], [200.0]]
    results.split.value = "val"
    assert results.matrix.content["title"].startswith("val")


# Images -------------------------------------------------------------------------------------------


def test_predictions_agree_with_the_evaluation(trained: TrainResult) -> None:
    for domain in tiny.suite(3):
        table = predictions(trained, domain)
        assert table["right"].mean() == pytest.approx(trained.accuracy()[domain.name])
        counts = confusion(table, len(domain.classes)).to_numpy()
        assert counts.sum() == 12 and counts.trace() == table["right"].sum()
        wrong = confident_mistakes(table)
        assert not wrong["right"].any() and wrong["confidence"].is_monotonic_decreasing
        assert len(wrong) == 12 - counts.trace()


def test_the_browser_shows_mistakes_and_the_images_behind_a_cell(trained: TrainResult) -> None:
    browser = DomainBrowser(tiny.suite(3), trained)
    assert len(browser.selected) == 12 and browser.gallery.value.count("<img") == 12
    assert browser.gallery.value.count("alt=") == 12
    browser.domain.value = "b"
    table = browser.table()
    label, predicted = table.loc[0, ["label", "predicted"]]
    browser.matrix.selected = [int(label), int(predicted)]
    behind = table[(table["label"] == label) & (table["predicted"] == predicted)]
    assert browser.selected == behind["image"].tolist()
    browser.matrix.selected = []
    browser.which.value = MISTAKES
    assert browser.selected == confident_mistakes(table)["image"].tolist()


def test_the_browser_shows_recalls_and_says_which_classes_have_no_images(
    trained: TrainResult,
) -> None:
    suite = tiny.suite(3)
    whole = suite["a"]
    test = Subset(whole.test, torch.tensor([0, 3, 6, 1]))  # no image of the third class
    few = Domain("a", whole.classes, whole.train, whole.val, test)
    browser = DomainBrowser(DomainSuite((few, suite["b"])), trained)
    table = browser.table()
    recall = table[table["label"] == 0]["right"].mean()
    rows = browser.matrix.content["rows"]
    assert rows[0] == f"class0 · {recall:.0%} of 3" and rows[2] == "class2 · no images"
    assert "1 class has no image here" in browser.scores.value
    right, macro = table["right"].mean(), table.groupby("label")["right"].mean().mean()
    assert f"Top-1 {right:.1%}, macro {macro:.1%}" in browser.scores.value


def test_of_many_classes_the_matrix_has_those_with_most_mistakes() -> None:
    counts = np.diag(np.full(CLASSES + 5, 3))
    counts[44, 2] = counts[3, 44] = 7
    shown = _with_most_mistakes(counts)
    assert len(shown) == CLASSES and {2, 3, 44} <= set(shown) and shown == sorted(shown)
    assert _with_most_mistakes(counts[:4, :4]) == [0, 1, 2, 3]


def test_without_a_network_there_are_only_images() -> None:
    browser = DomainBrowser(tiny.suite(2))
    assert browser.gallery.value.count("<img") == 12
    assert "predicted" not in browser.gallery.value


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
