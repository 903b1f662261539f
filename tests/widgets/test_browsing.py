"""The explorers of results, similarity and images: what they show, return and share."""

import io
import time

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from numpy.typing import NDArray
from PIL import Image

from mpnas_kit.analysis.comparison import Comparison, Outcome, compare
from mpnas_kit.analysis.mistakes import (
    confident_mistakes,
    confusion,
    first_predictions,
    images_at,
    predictions,
    top_predictions,
)
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Subset, TensorSplit
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train
from mpnas_kit.widgets import DomainBrowser, Focus, ResultsExplorer, SimilarityExplorer, domains
from mpnas_kit.widgets.confusion_view import CLASSES, classes_shown, filled
from mpnas_kit.widgets.domains import ALL, EVERY, LEAST_SURE, MOST_SURE, RIGHT, WRONG
from mpnas_kit.widgets.gallery_view import THUMB, png, sprite
from mpnas_kit.widgets.view import Explorer


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(tiny.suite(3), tiny.space(), tiny.search_config(steps=8, policy_snapshots=4))


@pytest.fixture(scope="module")
def trained(found: SearchResult) -> TrainResult:
    return train(tiny.suite(3), found.space, found.paths, tiny.train_config(steps=8))


@pytest.fixture
def comparison(trained: TrainResult) -> Comparison:
    """Three approaches with three seeds each; their accuracies are set by hand."""
    kinds = ("mpnas", "random_paths", "bundle")
    outcomes = [Outcome(a, "abdp", trained, 100 * i) for i, a in enumerate(kinds, 1)]
    one = compare(outcomes)
    gains = dict(zip(kinds, (0.0, 0.1, 0.3), strict=True))
    cells, rows = [], []
    for seed in range(3):
        for table, found, columns in (
            (one.cells, cells, ["val", "test"]),
            (one.domains, rows, ["accuracy"]),
        ):
            own = table.assign(seed=seed)
            change = own["approach"].map(gains) + 0.01 * seed
            found.append(own.assign(**{c: 0.3 + change for c in columns}))
    return Comparison(pd.concat(cells, ignore_index=True), pd.concat(rows, ignore_index=True))


def ran(code: str, **names: object) -> Explorer:
    """Run the code of an explorer. Return the explorer that it makes."""
    *lines, last = code.splitlines()
    space = dict(names)
    exec("\n".join(lines), space)
    made = space[last]
    assert isinstance(made, Explorer)
    return made


# Results ------------------------------------------------------------------------------------------


def test_results_have_a_point_and_a_row_per_approach_with_interval_and_place(
    comparison: Comparison,
) -> None:
    results = ResultsExplorer(comparison)
    points = {p["key"]: p for p in results.plot.content["points"]}
    assert list(points) == ["mpnas", "random_paths", "bundle"] and results.selected is None
    assert [p["own"] for p in points.values()] == [True, False, False]
    assert points["mpnas"]["y"] == pytest.approx(0.31)
    assert points["mpnas"]["low"] < 0.31 < points["mpnas"]["high"]
    assert [s["y"] for s in points["mpnas"]["seeds"]] == pytest.approx([0.3, 0.31, 0.32])
    rows = {r["key"]: r["cells"] for r in results.table.content["rows"]}
    assert rows["bundle"][1]["mark"] == "best" and rows["mpnas"][1]["mark"] == ""
    assert rows["mpnas"][1]["text"].startswith("31.0 ± ")
    assert results.table.order == [1, "descending"]


def test_a_point_a_row_and_a_row_of_the_matrix_are_selected_together(
    comparison: Comparison,
) -> None:
    results = ResultsExplorer(comparison)
    results.plot.selected = "bundle"
    assert results.table.selected == results.key == "bundle"
    assert results.selected is not None and results.selected["bytes"] == 300
    assert results.matrix.emphasis == {"rows": [2], "columns": []}
    results.table.selected = "mpnas"
    assert results.plot.selected == "mpnas"
    results.matrix._handle_custom_msg({"choose": "row", "index": 1}, [])
    assert results.key == "random_paths"
    results.matrix._handle_custom_msg({"choose": "row", "index": 1}, [])
    assert results.selected is None and results.plot.selected == ""


def test_cost_and_split_change_points_and_tables(comparison: Comparison) -> None:
    results = ResultsExplorer(comparison)
    results.cost.value = "bytes"
    assert [p["x"] for p in results.plot.content["points"]] == [100.0, 200.0, 300.0]
    results.split.value = "val"
    assert results.plot.content["y_title"].startswith("val")
    assert results.matrix.content["title"].startswith("val")
    assert results.data()["bytes"].tolist() == [100.0, 200.0, 300.0]


def test_a_domain_takes_the_place_of_the_mean_and_is_shared(trained: TrainResult) -> None:
    own = compare([Outcome("mpnas", "abdp", trained, 100)])
    results = ResultsExplorer(own)
    results.matrix.selected = [0, 1]
    assert results.focus.domain == results.domain.value == "b" and results.key == "mpnas"
    (point,) = results.plot.content["points"]
    assert point["y"] == pytest.approx(trained.accuracy("test")["b"], abs=1e-4)
    assert "b" in results.figure().axes[0].get_title()
    results.matrix._handle_custom_msg({"choose": "column", "index": 1}, [])
    assert results.focus.domain == "" == results.domain.value
    results.focus.domain = "c"
    assert results.domain.value == "c"
    assert results.matrix.emphasis == {"rows": [0], "columns": [2]}


def test_an_approach_without_a_known_size_has_no_point_but_a_row(comparison: Comparison) -> None:
    cells = comparison.cells.copy()
    cells.loc[cells["approach"] == "bundle", "parameters"] = float("nan")
    results = ResultsExplorer(Comparison(cells, comparison.domains))
    assert results.plot.content["points"][2]["x"] is None
    assert "1 of 3" in results.plot.content["note"]
    assert results.table.content["rows"][2]["cells"][2]["text"] == "not known"
    nothing = Comparison(cells.assign(parameters=float("nan")), comparison.domains)
    assert ResultsExplorer(nothing).plot.content["front"] == []


# Similarity ---------------------------------------------------------------------------------------


def test_the_matrix_has_no_diagonal_and_says_the_excess_over_chance(found: SearchResult) -> None:
    explorer = SimilarityExplorer(found)
    content, names = explorer.matrix.content, explorer.matrix.content["rows"]
    assert [content["values"][i][i] for i in range(3)] == [None] * 3
    value = explorer.similarity.matrix.loc[names[0], names[2]]
    excess = value - explorer.similarity.matched_value
    assert content["texts"][0][2] == f"{value:.2f}" and content["notes"][0][2] == f"{excess:+.2f}"
    assert content["scale"]["marks"][0]["value"] == explorer.similarity.matched_value
    table = explorer.data().set_index(["first", "second"])
    assert len(table) == 3
    assert table.loc[(names[0], names[2]), "similarity"] == pytest.approx(value)


def test_a_pair_and_a_domain_are_shared_both_ways(found: SearchResult) -> None:
    explorer = SimilarityExplorer(found)
    names = explorer.matrix.content["rows"]
    explorer.matrix.selected = [0, 2]
    assert explorer.selected == explorer.focus.pair == (names[0], names[2])
    assert explorer.paths.compare == [names[0], names[2]]
    explorer.focus.pair = (names[2], names[1])
    assert explorer.selected == (names[2], names[1])
    explorer.focus.pair = ()
    assert explorer.selected is None and explorer.paths.compare == []
    explorer.matrix._handle_custom_msg({"choose": "row", "index": 1}, [])
    assert explorer.focus.domain == names[1]
    assert explorer.matrix.emphasis == {"rows": [1], "columns": [1]}
    explorer.matrix._handle_custom_msg({"choose": "column", "index": 1}, [])
    assert explorer.focus.domain == "" and explorer.matrix.emphasis["rows"] == []


def test_the_matrix_follows_the_step_of_the_search(found: SearchResult) -> None:
    explorer = SimilarityExplorer(found)
    last = explorer.matrix.content
    for at, step in enumerate(found.policy_steps):
        explorer.focus.search_step = step
        shown = jaccard_matrix(found.space, found.paths_at(at), pairs=1).matrix
        assert explorer.shown.equals(shown.loc[explorer.shown.index, explorer.shown.columns])
    assert explorer.matrix.content == last
    explorer.focus.search_step = found.policy_steps[1]
    assert f"After step {found.policy_steps[1]}." in explorer.matrix.content["hint"]
    explorer.focus.search_step = None
    assert explorer.matrix.content == last


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


def test_the_likeliest_classes_have_probabilities_in_order(trained: TrainResult) -> None:
    domain = tiny.suite(3)["b"]
    top = top_predictions(trained, domain, count=9)
    assert len(top) == 12 * 4  # the domain has four classes
    shares = top["confidence"].to_numpy().reshape(12, 4)
    assert (np.diff(shares, axis=1) <= 0).all()
    assert shares.sum(1) == pytest.approx(np.ones(12), abs=1e-5)
    assert first_predictions(top).equals(predictions(trained, domain))
    with pytest.raises(MpnasError, match="count must be"):
        top_predictions(trained, domain, count=0)


def test_pages_go_through_all_images(trained: TrainResult) -> None:
    browser = DomainBrowser(tiny.suite(3), trained)
    browser.gallery.capacity = 5
    seen = []
    for first in (0, 5, 10):
        browser.gallery.first = first
        assert browser.gallery.content["total"] == 12 and browser.gallery.content["first"] == first
        assert len(browser.gallery.content["items"]) == len(browser.selected)
        seen += browser.selected
    assert seen == list(range(12))
    browser.gallery.first = 99
    assert browser.selected == [10, 11] and browser.gallery.first == 10
    browser.gallery.capacity = 4
    assert browser.selected == [8, 9, 10, 11]


def test_the_picture_of_a_page_has_its_images_side_by_side() -> None:
    images = np.random.default_rng(0).integers(0, 255, (14, 3, 8, 8), dtype=np.uint8)
    picture, (across, down) = sprite(images)
    pixels = np.asarray(Image.open(io.BytesIO(picture)))
    assert (across, down) == (12, 2) and pixels.shape == (16, 96, 3)
    for i, image in enumerate(images):
        row, column = divmod(i, across)
        part = pixels[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.array_equal(part.transpose(2, 0, 1), image)
    grey = np.asarray(Image.open(io.BytesIO(sprite(images[:2, :1])[0])))
    assert np.array_equal(grey, np.concatenate([images[0, 0], images[1, 0]], 1))
    large = Image.open(io.BytesIO(sprite(np.zeros((2, 1, 300, 300), dtype=np.uint8))[0]))
    assert large.size == (2 * THUMB, THUMB)
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(png(images[0])))).transpose(2, 0, 1), images[0]
    )


def test_images_are_filtered_and_ordered(trained: TrainResult) -> None:
    browser = DomainBrowser(tiny.suite(3), trained)
    table = browser.table()
    browser.shown.value = WRONG
    browser.order.value = MOST_SURE
    assert browser.selected == confident_mistakes(table)["image"].tolist()
    browser.shown.value = RIGHT
    browser.order.value = LEAST_SURE
    data = browser.data()
    assert data["right"].all() and data["confidence"].is_monotonic_increasing
    browser.shown.value = ALL
    browser.predicted.value = 1
    assert set(browser.data()["predicted"]) <= {"class1"}
    browser.label.value = 0
    assert set(browser.data()["class"]) <= {"class0"} and browser.classes.selected == "0"
    assert browser.matrix.selected == [0, 1]


def test_a_cell_of_the_confusion_matrix_has_its_images(trained: TrainResult) -> None:
    browser = DomainBrowser(tiny.suite(3), trained)
    browser.domain.value = "b"
    assert browser.focus.domain == "b"
    table = browser.table()
    label, predicted = table.loc[0, ["label", "predicted"]].astype(int)
    browser.matrix.selected = [label, predicted]
    behind = table[(table["label"] == label) & (table["predicted"] == predicted)]
    assert browser.selected == behind["image"].tolist()
    assert (browser.label.value, browser.predicted.value) == (label, predicted)
    browser.matrix.selected = []
    assert browser.selected == list(range(12)) and browser.label.value == EVERY
    browser.matrix._handle_custom_msg({"choose": "column", "index": predicted}, [])
    assert browser.selected == table[table["predicted"] == predicted]["image"].tolist()
    browser.classes.selected = "2"
    assert browser.label.value == 2 and browser.predicted.value == EVERY
    browser.domain.value = "c"
    assert browser.label.value == EVERY and browser.classes.selected == ""


def test_an_image_is_enlarged_with_its_likeliest_classes(trained: TrainResult) -> None:
    suite = tiny.suite(3)
    browser = DomainBrowser(suite, trained)
    browser.gallery.capacity = 4
    browser.order.value = LEAST_SURE
    browser.gallery.opened = 6
    image = int(browser._matching.iloc[6]["image"])
    assert image in browser.selected and browser.gallery.first == 4
    details, large = (
        browser.gallery.details,
        np.asarray(Image.open(io.BytesIO(browser.gallery.large))),
    )
    assert np.array_equal(large, images_at(suite["a"], "test", [image])[0, 0])
    top = top_predictions(trained, suite["a"])
    own = top[top["image"] == image]
    assert [one["share"] for one in details["top"]] == own["confidence"].tolist()
    assert [one["is"] for one in details["top"]] == (own["predicted"] == own["label"]).tolist()
    assert (details["index"], details["total"]) == (6, 12)


def test_predictions_are_computed_once(
    trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(trained: TrainResult, domain: Domain, split: str) -> pd.DataFrame:
        calls.append((domain.name, split))
        return top_predictions(trained, domain, split)

    monkeypatch.setattr(domains, "top_predictions", counted)
    browser = DomainBrowser(tiny.suite(3), trained)
    browser.rehearse()
    assert len(calls) == len(set(calls)) == 3 + 2  # domains on test, then two more splits


def test_recalls_are_listed_and_classes_without_images_are_said(trained: TrainResult) -> None:
    suite = tiny.suite(3)
    whole = suite["a"]
    test = Subset(whole.test, torch.tensor([0, 3, 6, 1]))  # no image of the third class
    few = Domain("a", whole.classes, whole.train, whole.val, test)
    browser = DomainBrowser(DomainSuite((few, suite["b"])), trained)
    table = browser.table()
    recall = table[table["label"] == 0]["right"].mean()
    rows = [row["cells"] for row in browser.classes.content["rows"]]
    assert (rows[0][1]["value"], rows[0][2]["value"]) == (3, pytest.approx(recall))
    assert rows[2][2]["text"] == "no images" and "value" not in rows[2][2]
    assert "1 class has no image here" in browser.scores.value
    right, macro = table["right"].mean(), table.groupby("label")["right"].mean().mean()
    assert f"Top-1 {right:.1%}, macro {macro:.1%}" in browser.scores.value


def test_of_many_classes_the_matrix_has_those_with_most_mistakes() -> None:
    counts = np.diag(np.full(CLASSES + 5, 3))
    counts[44, 2] = counts[3, 44] = 7
    shown = classes_shown(counts)
    assert len(shown) == CLASSES and {2, 3, 44} <= set(shown) and shown == sorted(shown)
    assert classes_shown(counts[:4, :4]) == [0, 1, 2, 3]
    counts[43, 41] = counts[42, 43] = 1
    assert {41, 42, 43} <= set(classes_shown(counts, 43))


@pytest.fixture
def many(found: SearchResult) -> DomainBrowser:
    """A browser of 300 classes with 3000 test images, and predictions of an untrained network."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> TensorSplit:
        images = torch.randint(0, 255, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
        return TensorSplit(images, torch.arange(count) % 300)

    wide = Domain("a", tuple(f"kind {i}" for i in range(300)), part(300), part(300), part(3000))
    suite = DomainSuite((wide,), "wide")
    config = tiny.train_config(steps=1)
    return DomainBrowser(suite, train(suite, found.space, {"a": found.paths["a"]}, config))


def test_hundreds_of_classes_are_small_and_quick(many: DomainBrowser) -> None:
    counts: NDArray[np.int64] = confusion(many.table(), 300).to_numpy()
    cells = np.frombuffer(many.map.counts, dtype="<i4").reshape(-1, 3)
    assert len(cells) == (counts > 0).sum() and counts[cells[:, 0], cells[:, 1]].tolist() == (
        cells[:, 2].tolist()
    )
    assert len(many.map.counts) < 50_000 and filled(counts) == many.map.counts
    label, predicted = cells[cells[:, 0] != cells[:, 1]][0, :2].tolist()
    many.map.selected = [label, predicted]
    table = many.table()
    behind = table[(table["label"] == label) & (table["predicted"] == predicted)]
    assert many.selected == behind["image"].tolist()[: many.gallery.capacity]
    assert {label, predicted} <= set(many._classes)
    assert [many._classes[i] for i in many.matrix.selected] == [label, predicted]
    many.classes.selected = "299"
    assert 299 in many._classes and many.map.marked == 299 and many.map.selected == []
    before = time.process_time()
    for label in range(10):
        many.classes.selected = str(label)
    assert time.process_time() - before < 10  # a goal of 0.1 s each, with much room


def test_without_a_network_there_are_only_images() -> None:
    browser = DomainBrowser(tiny.suite(2))
    assert browser.data().columns.tolist() == ["domain", "split", "image", "class"]
    assert "predicted" not in browser.gallery.content["items"][0]["alt"]
    browser.label.value = 2
    assert browser.data()["class"].tolist() == ["class2"] * 4
    browser.gallery.opened = 0
    assert browser.gallery.details["top"] == []
    assert len(browser.children) == 3


# All three ----------------------------------------------------------------------------------------


def test_code_makes_the_explorer_in_its_present_state(
    found: SearchResult, trained: TrainResult, comparison: Comparison
) -> None:
    results = ResultsExplorer(comparison)
    results.cost.value, results.split.value, results.domain.value = "union", "val", "b"
    results.key = "bundle"
    again = ran(results.code(), comparison=comparison)
    assert isinstance(again, ResultsExplorer) and again.data().equals(results.data())
    assert again.key == "bundle"
    similarity = SimilarityExplorer(found)
    similarity.focus.pair, similarity.focus.search_step = ("c", "a"), found.policy_steps[0]
    other = ran(similarity.code(), found=found)
    assert isinstance(other, SimilarityExplorer) and other.data().equals(similarity.data())
    assert other.selected == ("c", "a")
    browser = DomainBrowser(tiny.suite(3), trained)
    browser.domain.value, browser.label.value, browser.shown.value = "b", 2, WRONG
    copied = ran(browser.code(), suite=tiny.suite(3), trained=trained)
    assert isinstance(copied, DomainBrowser) and copied.data().equals(browser.data())


def test_explorers_with_one_focus_move_together(
    found: SearchResult, trained: TrainResult, comparison: Comparison
) -> None:
    focus = Focus(list(found.paths), found.space)
    results = ResultsExplorer(comparison, focus=focus)
    similarity = SimilarityExplorer(found, focus=focus)
    browser = DomainBrowser(tiny.suite(3), trained, focus=focus)
    assert focus.domain == ""
    browser.domain.value = "b"
    assert results.domain.value == "b" and "b" in similarity.matrix.content["rows"]
    results.domain.value = "c"
    assert browser.domain.value == "c" == focus.domain
    focus.domain = ""
    assert browser.domain.value == "c" and results.domain.value == ""


def test_domains_that_others_do_not_have_stay_private(trained: TrainResult) -> None:
    focus = Focus(["a", "other"])
    browser = DomainBrowser(tiny.suite(3), trained, focus=focus)
    browser.domain.value = "b"
    assert focus.domain == ""
    focus.domain = "other"
    assert browser.domain.value == "b"


def test_all_controls_can_be_rehearsed(comparison: Comparison) -> None:
    for explorer in (ResultsExplorer(comparison), DomainBrowser(tiny.suite(3))):
        before = explorer.data()
        explorer.rehearse()
        assert explorer.bar.problem == "" and not explorer.bar.busy
        assert explorer.data().equals(before)
