"""Figures of comparisons, prioritizations, trust and two paths show the numbers of their tables."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

import mpnas_kit as mk
from mpnas_kit import plots
from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.difficulty import difficulties
from mpnas_kit.analysis.prioritization import MEAN, prioritization_differences
from mpnas_kit.analysis.trust import Trust
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style
from mpnas_kit.plots.comparison import kind_labels
from mpnas_kit.plots.labels import places
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.prioritization.domain_weights import Seen
from mpnas_kit.prioritization.scalarizers import FAMO
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.spaces import mobilenet_v3_large
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.result import TrainResult

Kind = tuple[str, str, str]  # approach, prioritization, norm
APPROACHES: dict[Kind, tuple[float, float]] = {  # mean test accuracy at seed 0, parameters
    ("mpnas", "abdp", "per_domain"): (0.70, 2e6),
    ("bundle", "none", "per_domain"): (0.60, 9e6),
    ("single_path", "abdp", "per_domain"): (0.50, 1e6),
}
WEIGHTINGS: dict[Kind, tuple[float, float]] = {
    ("mpnas", w, "per_domain"): (a, 2e6)
    for w, a in {"uniform": 0.60, "abdp": 0.63, "famo": 0.58}.items()
}


def comparison(
    kinds: dict[Kind, tuple[float, float]], seeds: int = 3, domains: Sequence[str] = ("a", "b")
) -> Comparison:
    """Seed s adds s^2 %, domain i adds i * 10 %, and validation adds 1 % to test."""
    cells, rows = [], []
    for seed, (kind, (mean, parameters)) in product(range(seeds), kinds.items()):
        key = dict(zip(("approach", "prioritization", "norm"), kind, strict=True), seed=seed)
        first = mean + 0.01 * seed**2 - 0.05 * (len(domains) - 1)
        for (i, domain), (split, more) in product(
            enumerate(domains), (("val", 0.01), ("test", 0.0))
        ):
            accuracy = first + 0.1 * i + more
            rows.append({**key, "domain": domain, "split": split, "accuracy": accuracy})
        sizes = dict.fromkeys(
            ("parameters", "parameters_all", "per_image", "union", "n_images", "bytes"), parameters
        )
        test = mean + 0.01 * seed**2
        cells.append({**key, **sizes, "val": test + 0.01, "test": test, "test_macro": test})
    return Comparison(pd.DataFrame(cells), pd.DataFrame(rows))


SPREAD = float(np.std([0.0, 0.01, 0.04], ddof=1))
SHIFT = 0.05 / 3  # mean over three seeds minus the value of seed 0


def changed(trained: TrainResult, **others: Any) -> TrainResult:
    """The result of a training with another config or history."""
    names = ("net", "paths", "config", "evaluation", "history")
    return TrainResult(**{**{name: getattr(trained, name) for name in names}, **others})


@pytest.fixture
def weighed(trained: TrainResult) -> TrainResult:
    """100 steps under ABDP. a is at chance, b halfway, c solved; c is drawn every other step."""
    prioritization = ABDP(start=1.0, end=0.5, decay=0.9)
    tasks = trained.tasks
    state, noise, rows = prioritization.begin(tasks), np.random.default_rng(0), []
    for step in range(100):
        drawn = "abc" if step % 2 == 0 else "ab"
        levels = {d: {"a": 1.0, "b": 0.5, "c": 0.0}[d] + noise.uniform(0, 0.1) for d in drawn}
        seen = {d: Seen(x * tasks[d].chance_loss, 0.5) for d, x in levels.items()}
        weights = state.weights(seen, step / 100)
        rows += [
            {"step": step + 1, "domain": d, "loss": seen[d].nll, "weight": weights[d]}
            for d in drawn
        ]
    config = TrainConfig(prioritization=prioritization, steps=100)
    return changed(trained, config=config, history=pd.DataFrame(rows))


@pytest.fixture
def trust() -> Trust:
    rows = {
        "path": [0, 1, 2, 3],
        "arch": ["x"] * 4,
        "multiply_adds": [1e6, 2e6, 4e6, 8e6],
        "supernet": [0.1, 0.2, 0.4, 0.3],
        "retrained": [0.5, 0.6, 0.7, 0.8],
    }
    return Trust("a", pd.DataFrame(rows))


def marks(ax: Axes) -> dict[str, ErrorbarContainer]:
    return {
        str(c.get_label()): c
        for c in ax.containers
        if isinstance(c, ErrorbarContainer) and c.lines[0] is not None
    }


def at(mark: ErrorbarContainer) -> tuple[list[float], list[float]]:
    (x, y) = mark.lines[0].get_data()
    return list(x), list(y)


def ends(mark: ErrorbarContainer, axis: int) -> np.ndarray:
    """Return the ends of the deviation lines, (n, 2)."""
    (lines,) = mark.lines[2]
    return np.array(lines.get_segments())[:, :, axis]


def ticks(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.get_yticklabels()]


def texts(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts if t.get_text()]


def test_all_take_and_return_axes_in_the_active_colours(
    weighed: TrainResult, trust: Trust, space: LayerwiseSpace, paths: dict[str, Path]
) -> None:
    approaches, prioritizations = comparison(APPROACHES), comparison(WEIGHTINGS)

    def stacked(ax: Axes | None) -> Axes:
        if ax is None:
            return plots.weights_and_difficulties(weighed).axes[0]
        lower = ax.figure.add_subplot(2, 1, 2)
        assert plots.weights_and_difficulties(weighed, (ax, lower)) is ax.figure
        assert lower.lines
        return ax

    draws: list[Callable[[Axes | None], Axes]] = [
        lambda ax: plots.approach_dots(approaches, ax),
        lambda ax: plots.domain_dots(approaches, ax),
        lambda ax: plots.pareto(approaches, ax),
        lambda ax: plots.prioritization_dots(prioritizations, ax),
        lambda ax: plots.prioritization_heatmap(prioritizations, ax),
        lambda ax: plots.two_paths(space, paths, "a", "b", ax),
        lambda ax: plots.trust_scatter(trust, ax),
        stacked,
    ]
    for draw, context in zip(draws, (plots.TRANSPARENT, "dark_background") * 4, strict=True):
        plt.close("all")
        with plt.style.context(context):
            figure, ax = plt.subplots()
            assert draw(ax) is ax
            assert plt.get_fignums() == [figure.number]
            figure.canvas.draw()
            assert draw(None).figure is not figure
            text = to_hex(plt.rcParams["text.color"])
            written = [ax.title, *(t for t in ax.get_xticklabels() if t.get_text())]
            legend = ax.get_legend()
            written += legend.get_texts() if legend else []
            assert ax.get_title() and {to_hex(t.get_color()) for t in written} == {text}
            spines = [s for s in ax.spines.values() if s.get_visible() and ax.axison]
            assert all(to_hex(s.get_edgecolor()) == text for s in spines)


def means_drawn(ax: Axes) -> dict[str, Line2D]:
    return {str(x.get_label()): x for x in ax.lines if not str(x.get_label()).startswith("_")}


def test_approach_dots() -> None:
    ax = plots.approach_dots(comparison(APPROACHES))
    means = np.array([0.70, 0.60, 0.50]) + SHIFT
    drawn = means_drawn(ax)
    assert ticks(ax) == list(drawn) == ["mpnas", "bundle", "single_path"]
    assert [float(x.get_xdata()[0]) for x in drawn.values()] == pytest.approx(means)
    assert texts(ax) == [f"{m:.1%} \N{PLUS-MINUS SIGN} {100 * SPREAD:.1f}" for m in means]
    intervals = [c for c in ax.collections if isinstance(c, LineCollection)]
    seeds = [c for c in ax.collections if isinstance(c, PathCollection)]
    for row, (mean, interval, dots) in enumerate(zip(means, intervals, seeds, strict=True)):
        assert interval.get_segments()[0][:, 0] == pytest.approx([mean - SPREAD, mean + SPREAD])
        first = mean - SHIFT
        places = np.asarray(dots.get_offsets())
        assert places[:, 0] == pytest.approx([first, first + 0.01, first + 0.04])
        assert set(places[:, 1].round()) == {row}
    assert "abdp prioritization, per_domain norm, 3 seeds" in ax.get_title()


def test_approaches_have_shapes_and_greys_and_the_method_has_the_accent() -> None:
    lines = means_drawn(plots.approach_dots(comparison(APPROACHES)))
    colors = {name: to_hex(x.get_color()) for name, x in lines.items()}
    assert colors == {"mpnas": style.ACCENT, "bundle": style.GREY, "single_path": style.GREY}
    assert len({x.get_marker() for x in lines.values()}) == 3
    assert not set(colors.values()) & set(style.LIGHT_TONES)
    many: dict[Kind, tuple[float, float]] = {
        (f"a{i}", "none", "per_domain"): (0.5, 1e6) for i in range(15)
    }
    crowd = means_drawn(plots.approach_dots(comparison(many, seeds=1)))
    assert (
        len({(x.get_marker(), x.get_fillstyle(), x.get_markerfacecolor()) for x in crowd.values()})
        == 15
    )


def test_the_range_of_the_axis_is_that_of_the_values() -> None:
    for ax in (
        plots.approach_dots(comparison(APPROACHES)),
        plots.domain_dots(comparison(APPROACHES)),
    ):
        low, high = ax.get_xlim()
        assert low > 0.3 and high < 0.9


def test_labels_of_rows_do_not_overlap() -> None:
    long: dict[Kind, tuple[float, float]] = {
        (f"mpnas(collapse='none', widths={i}, kernels=3, blocks=7)", w, "per_domain"): (0.5, 1e6)
        for i in range(6)
        for w in ("abdp", "uniform")
    }
    for ax in (plots.approach_dots(comparison(long)), plots.domain_dots(comparison(long))):
        ax.figure.canvas.draw()
        written = [*ax.get_yticklabels(), *ax.texts]
        written += ax.get_legend().get_texts() if ax.get_legend() else []
        extents = [t.get_window_extent() for t in written if t.get_text()]
        assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])


def test_approach_dots_of_one_seed_have_no_spread() -> None:
    ax = plots.approach_dots(comparison(APPROACHES, seeds=1), split="val")
    found = [float(x.get_xdata()[0]) for x in means_drawn(ax).values()]
    assert found == pytest.approx([0.71, 0.61, 0.51])
    assert texts(ax) == ["71.0%", "61.0%", "51.0%"]
    assert not ax.collections
    assert ax.get_title() == "Mean accuracy (abdp prioritization, per_domain norm, 1 seed)"


def test_rows_are_named_by_what_differs() -> None:
    kinds = pd.DataFrame(APPROACHES.keys(), columns=["approach", "prioritization", "norm"])
    assert kind_labels(kinds) == ["mpnas", "bundle", "single_path"]
    assert kind_labels(kinds.iloc[:1]) == ["mpnas"]
    more = pd.concat([kinds, kinds.assign(prioritization="famo").iloc[:1]])
    assert kind_labels(more) == ["mpnas, abdp", "bundle", "single_path, abdp", "mpnas, famo"]
    norms = pd.concat([kinds, kinds.assign(norm="mixed")])
    assert kind_labels(norms)[::3] == ["mpnas, per_domain", "mpnas, mixed"]
    assert kind_labels(more.iloc[[0, 3]]) == ["abdp", "famo"]


def test_domain_dots() -> None:
    compared = comparison(APPROACHES, domains=("a", "b", "c"))
    ax = plots.domain_dots(compared)
    assert ticks(ax) == ["a", "b", "c"]
    drawn = marks(ax)
    assert list(drawn) == ["mpnas", "bundle", "single_path"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(drawn)
    table = compared.by_domain().set_index("approach")
    for name, mark in drawn.items():
        x, y = at(mark)
        assert x == pytest.approx(list(table.loc[name, ["a", "b", "c"]]))
        assert [round(v) for v in y] == [0, 1, 2]
        np.testing.assert_allclose(
            ends(mark, 0), np.array(x)[:, None] + [-SPREAD, SPREAD], rtol=1e-9
        )
    lanes = [at(m)[1][0] for m in drawn.values()]
    assert lanes == sorted(lanes) and len(set(lanes)) == 3
    looks = [(m.lines[0].get_color(), m.lines[0].get_marker()) for m in drawn.values()]
    assert len(set(looks)) == 3
    alone = marks(plots.domain_dots(comparison(APPROACHES, seeds=1), split="val"))
    assert at(alone["mpnas"])[0] == pytest.approx([0.66, 0.76])
    assert not alone["mpnas"].lines[2]


def test_pareto_with_intervals() -> None:
    compared = comparison(APPROACHES)
    ax = plots.pareto(compared, bars="interval")
    heights = [
        float(np.ptp(segment[:, 1]))
        for bar in ax.containers
        for line in bar.lines[2]
        for segment in line.get_segments()
    ]
    assert heights == pytest.approx([2 * 4.302653 * SPREAD / math.sqrt(3)] * 3, rel=1e-6)
    assert "95 % interval of the mean over seeds" in ax.get_title()


def test_pareto() -> None:
    worse = {("random", "abdp", "per_domain"): (0.65, 3e6)}
    compared = comparison({**APPROACHES, **worse})
    ax = plots.pareto(compared)
    for name, (mean, parameters) in {"mpnas": (0.7, 2e6), "random": (0.65, 3e6)}.items():
        x, y = at(marks(ax)[name])
        assert (x, y) == ([parameters], pytest.approx([mean + SHIFT]))
        np.testing.assert_allclose(ends(marks(ax)[name], 1), [[y[0] - SPREAD, y[0] + SPREAD]])
    (front,) = (line for line in ax.lines if line.get_label() == "Pareto front")
    assert front.get_drawstyle() == "steps-post"
    assert list(front.get_xdata()) == [1e6, 2e6, ax.get_xlim()[1]]
    assert list(front.get_ydata()) == pytest.approx([0.5 + SHIFT, *[0.7 + SHIFT] * 2])
    assert ax.get_xscale() == "log"
    assert sorted(texts(ax)) == ["bundle", "mpnas", "random", "single_path"]
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    narrow = plots.pareto(compared.where(approach=["mpnas"]), cost="bytes")
    assert narrow.get_xscale() == "linear" and narrow.get_xlabel() == "bytes of the weights"


def test_labels_of_a_crowd_do_not_cover_each_other() -> None:
    anchors = np.random.default_rng(0).uniform(140, 200, (14, 2))
    sizes = np.tile([60.0, 10.0], (14, 1))
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in anchors]
    found = [p.box for p in places(anchors, sizes, taken, np.array([0.0, 0.0, 400.0, 300.0]))]
    for i, (left, low, right, high) in enumerate(found):
        assert min(left, low) >= 0 and right <= 400 and high <= 300
        for x, y, across, up in [*found[:i], *taken]:
            assert right <= x or across <= left or high <= y or up <= low


def test_a_label_is_nearest_to_its_own_point() -> None:
    anchors = np.array([[100.0, 104.0], [100.0, 100.0], [104.0, 102.0]])
    sizes = np.tile([60.0, 10.0], (3, 1))
    found = [p.box for p in places(anchors, sizes, [], np.array([0.0, 0.0, 300.0, 200.0]))]
    for i, box in enumerate(found):
        gaps = np.hypot(*(anchors - np.clip(anchors, box[:2], box[2:])).T)
        assert gaps[i] == pytest.approx(gaps.min(), abs=0.5)


def uneven() -> Comparison:
    """abdp gains 3 % in domain a only, and at seed 1 another 2 %."""
    compared = comparison(WEIGHTINGS, seeds=2)
    rows = compared.domains.copy()
    rows.loc[rows["prioritization"] == "abdp", "accuracy"] -= 0.03
    gains = (rows["prioritization"] == "abdp") & (rows["domain"] == "a")
    rows.loc[gains, "accuracy"] += 0.03 + 0.02 * rows.loc[gains, "seed"]
    return Comparison(compared.cells, rows)


def test_differences_of_prioritizations_are_paired_by_seed() -> None:
    table = prioritization_differences(uneven())
    assert list(table.columns) == ["prioritization", "domain", "seeds", "difference", "spread"]
    rows = table.set_index(["prioritization", "domain"])
    assert list(rows.index) == [(w, d) for w in ("abdp", "famo") for d in (MEAN, "a", "b")]
    spread = 0.02 / math.sqrt(2)
    expected = {"a": (0.04, spread), "b": (0.0, 0.0), MEAN: (0.02, spread / 2)}
    for domain, values in expected.items():
        assert tuple(rows.loc[("abdp", domain), ["difference", "spread"]]) == pytest.approx(values)
    assert rows.loc["famo", "difference"].tolist() == pytest.approx([-0.02] * 3)
    one = uneven()
    dropped = one.domains[(one.domains["prioritization"] != "abdp") | (one.domains["seed"] == 1)]
    fewer = prioritization_differences(Comparison(one.cells, dropped)).set_index("prioritization")
    assert fewer.loc["abdp", "seeds"].tolist() == [1, 1, 1]
    assert fewer.loc["abdp", "difference"].tolist() == pytest.approx([0.025, 0.05, 0.0])


def test_prioritization_dots() -> None:
    ax = plots.prioritization_dots(uneven())
    assert ticks(ax) == [MEAN, "a", "b"]
    drawn = marks(ax)
    assert list(drawn) == ["abdp", "famo"]
    assert at(drawn["abdp"])[0] == pytest.approx([2, 4, 0], abs=1e-9)
    assert at(drawn["famo"])[0] == pytest.approx([-2, -2, -2])
    spread = 2 / math.sqrt(2)
    np.testing.assert_allclose(ends(drawn["abdp"], 0)[1], [4 - spread, 4 + spread])
    colors = [to_hex(m.lines[0].get_color()) for m in drawn.values()]
    assert colors == [style.ACCENT, style.GREY]
    assert not texts(ax)
    assert "Prioritizations against uniform (mpnas, per_domain norm, 2 seeds)" in ax.get_title()


def test_dots_of_one_prioritization_have_numbers() -> None:
    whole = uneven()
    kept = [part[part["prioritization"] != "famo"] for part in (whole.cells, whole.domains)]
    ax = plots.prioritization_dots(Comparison(*kept).where(seed=[1]), baseline="abdp")
    assert at(marks(ax)["uniform"])[0] == pytest.approx([-2.5, -5, 0], abs=1e-9)
    assert texts(ax) == ["-2.5", "-5.0", "+0.0"]
    assert ax.get_title() == "uniform against abdp (mpnas, per_domain norm, 1 seed)"
    assert not ax.collections and ax.get_legend() is None


def test_prioritization_heatmap() -> None:
    ax = plots.prioritization_heatmap(uneven())
    mesh = ax.collections[0]
    expected = [[2, -2], [4, -2], [0, -2]]
    np.testing.assert_allclose(np.reshape(mesh.get_array(), (3, 2)), expected, atol=1e-9)
    assert mesh.get_clim() == pytest.approx((-2, 2))  # largest of abdp: 4, of famo: 2
    assert texts(ax) == ["+2.0", "-2.0", "+4.0", "-2.0", "+0.0", "-2.0"]
    assert [t.get_fontweight() for t in ax.texts[2:5]] == ["bold", "bold", "normal"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["abdp", "famo"]
    assert ticks(ax) == [MEAN, "a", "b"]


def test_abdp_weights_follow_the_difficulties(weighed: TrainResult) -> None:
    table = difficulties(weighed)
    assert list(table.columns) == ["step", "domain", "weight", "difficulty"]
    assert len(table) == len(weighed.history)
    for step in (1, 51, 99):  # all three domains are drawn
        rows = table[table["step"] == step]
        boost = np.exp(
            rows["difficulty"] / weighed.config.prioritization.temperature((step - 1) / 100)
        )
        np.testing.assert_allclose(rows["weight"], boost / boost.mean())


@pytest.mark.parametrize("prioritization", [Uniform(), FAMO(decay=1e-3)])
def test_other_prioritizations_have_the_difficulty_of_a_default_abdp(
    weighed: TrainResult, prioritization: Uniform | FAMO
) -> None:
    other = changed(weighed, config=TrainConfig(prioritization=prioritization))
    expected = difficulties(changed(weighed, config=TrainConfig(prioritization=ABDP())))
    pd.testing.assert_frame_equal(difficulties(other), expected)
    assert not expected.equals(difficulties(weighed))


def test_weights_and_difficulties(weighed: TrainResult) -> None:
    figure = plots.weights_and_difficulties(weighed)
    upper, lower = figure.axes
    table = difficulties(weighed)
    for domain in "abc":
        own = table[table["domain"] == domain]
        (line,) = (x for x in lower.lines if x.get_label() == domain)
        np.testing.assert_array_equal(line.get_xdata(), own["step"])
        np.testing.assert_allclose(line.get_ydata(), own["difficulty"])
        raw = [x for x in upper.lines if x.get_label() == "_measured"]["abc".index(domain)]
        np.testing.assert_allclose(raw.get_ydata(), own["weight"])
    legend = [t.get_text() for t in upper.get_legend().get_texts()]
    assert legend == ["a", "b", "c", "equal weights"]
    assert lower.get_legend() is None
    assert "abdp(end=0.5, decay=0.9)" in upper.get_title()


def boxes(ax: Axes, kind: str) -> list[FancyBboxPatch]:
    found = (p for p in ax.patches if isinstance(p, FancyBboxPatch))
    return [p for p in found if p.get_label() == kind]


def test_two_paths(space: LayerwiseSpace, paths: dict[str, Path]) -> None:
    ax = plots.two_paths(space, paths, "b", "a")  # conv1 conv3; conv1 zero
    assert len(boxes(ax, "shared")) == 6  # stem, 1.1 and head of both
    assert len(boxes(ax, "private")) == 1
    assert "3 nodes shared, 1 private" in ax.get_title()
    where = {t.get_text(): t.get_position() for t in ax.texts}
    assert where["b"][0] < where["a"][0]
    assert [where[n][1] for n in ("stem", "1.1", "1.2", "head", "classifier")] == sorted(
        (where[n][1] for n in ("stem", "1.1", "1.2", "head", "classifier")), reverse=True
    )
    for name, column, row in (("zero", "a", "1.2"), ("conv3", "b", "stem")):
        found = [t.get_position() for t in ax.texts if t.get_text() == name]
        assert any(abs(x - where[column][0]) < 8 and y == where[row][1] for x, y in found)
    assert ("conv3", *where["1.2"][1:]) in [(t.get_text(), t.get_position()[1]) for t in ax.texts]
    joined = [x.get_ydata()[0] for x in ax.lines if x.get_label() == "_joined"]
    assert joined == [where[n][1] for n in ("stem", "1.1", "head")]
    (skip,) = (x for x in ax.lines if x.get_label() == "_skip")
    taken = [x for x in ax.lines if x.get_label() == "_path"]
    assert skip.get_linewidth() < taken[0].get_linewidth() / 2
    assert to_hex(skip.get_color()) == plots.domain_colors("abc")["a"]
    lengths = [p.get_facecolor() for p in boxes(ax, "classifier")]
    assert [to_hex(c) for c in lengths] == [plots.domain_colors("abc")[d] for d in "ba"]


def test_two_paths_through_many_layers_fit() -> None:
    space = mobilenet_v3_large(32)
    path = space.path([])
    ax = plots.two_paths(space, {"a": path, "b": path}, "a", "b")
    ax.figure.canvas.draw()
    frames = sorted(p.get_window_extent().y0 for p in boxes(ax, "shared")[: len(space.layers)])
    assert len(frames) == len(space.layers) == 18
    heights = [p.get_window_extent().height for p in boxes(ax, "shared")]
    assert min(np.diff(frames)) > max(heights)
    inside = {p.get_window_extent().y0: p.get_window_extent() for p in boxes(ax, "shared")}
    for text in (t for t in ax.texts if t.get_color() == "#ffffff"):
        extent = text.get_window_extent()
        frame = min(inside.values(), key=lambda f: abs(f.y0 + f.y1 - extent.y0 - extent.y1))
        assert extent.width < frame.width
        assert text.get_fontsize() >= 7


def test_trust_scatter(trust: Trust) -> None:
    ax = plots.trust_scatter(trust)
    (dots,) = ax.collections
    expected = trust.rows[["supernet", "retrained"]].to_numpy()
    np.testing.assert_allclose(dots.get_offsets(), expected)
    np.testing.assert_allclose(dots.get_array(), trust.rows["multiply_adds"])
    tau, p = trust.tau()
    assert tau == pytest.approx(2 / 3)
    assert ax.get_title() == f"a: Kendall's tau {tau:.2f} (p {p:.2g}) over 4 paths"
    assert dots.colorbar.ax.get_ylabel() == "multiply-adds"


def test_figures_refuse(
    weighed: TrainResult, trust: Trust, space: LayerwiseSpace, paths: dict[str, Path]
) -> None:
    approaches, prioritizations = comparison(APPROACHES), comparison(WEIGHTINGS)
    many = {("mpnas", f"w{i}", "per_domain"): (0.5, 1e6) for i in range(5)}
    unpaired = Comparison(
        prioritizations.cells,
        prioritizations.domains[
            (prioritizations.domains["prioritization"] != "famo")
            == (prioritizations.domains["seed"] > 0)
        ],
    )
    no_history = changed(weighed, history=weighed.history.drop(columns="weight"))
    fewer = Trust("a", trust.rows.head(2))
    incomplete = Trust("a", trust.rows.drop(columns="multiply_adds"))
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: plots.approach_dots(approaches, split="tets"), "unknown split 'tets'.*'test'"),
        (lambda: plots.domain_dots(approaches, split="train"), "unknown split 'train'"),
        (lambda: plots.pareto(approaches, cost="parameter"), "unknown cost.*'parameters'"),
        (lambda: plots.pareto(approaches, bars="error"), "unknown kind of bars 'error'"),
        (lambda: plots.approach_dots(approaches.where(approach=["x"])), "has no runs"),
        (lambda: plots.domain_dots(approaches.where(approach=["x"])), "has no runs"),
        (lambda: plots.pareto(approaches.where(approach=["x"])), "has no runs"),
        (lambda: plots.prioritization_dots(approaches.where(approach=["x"])), "has no runs"),
        (lambda: plots.prioritization_dots(approaches), "one approach, not mpnas, bundle"),
        (
            lambda: plots.prioritization_heatmap(prioritizations, baseline="abd"),
            "'abd': did you mean 'abdp'",
        ),
        (
            lambda: plots.prioritization_dots(prioritizations.where(prioritization=["uniform"])),
            "no prioritization other than 'uniform'",
        ),
        (lambda: plots.prioritization_heatmap(unpaired), "no seed in common with 'uniform'"),
        (
            lambda: plots.prioritization_dots(comparison({**many, **WEIGHTINGS})),
            "up to 4 prioritizations beside 'uniform', not 7",
        ),
        (lambda: plots.weights_and_difficulties(no_history), "no column 'weight'"),
        (
            lambda: plots.weights_and_difficulties(weighed, [plt.subplots()[1]]),
            "two axes, not in 1",
        ),
        (lambda: plots.two_paths(space, paths, "a", "z"), "unknown domain 'z'"),
        (lambda: plots.two_paths(space, paths, "a", "a"), "not 'a' twice"),
        (lambda: plots.trust_scatter(fewer), "at least 3 paths, not 2"),
        (lambda: plots.trust_scatter(incomplete), "no column 'multiply_adds'"),
    ]
    for draw, message in cases:
        before = len(plt.get_fignums())
        with pytest.raises(MpnasError, match=message) as raised:
            draw()
        assert "\n" not in str(raised.value)
        assert len(plt.get_fignums()) <= before + 1
        plt.close("all")


def test_paths_that_are_equally_accurate_have_no_order() -> None:
    rows = pd.DataFrame({"supernet": [0.5, 0.5, 0.5], "retrained": [0.1, 0.2, 0.3]})
    trust = mk.analysis.Trust("a", rows.assign(multiply_adds=[1, 2, 3]))
    assert trust.sentence() == (
        "3 random paths of a are all equally accurate on the supernet, so their order says nothing."
    )
    assert plots.trust_scatter(trust).get_title() == "a: no order over 3 paths"
    varied = mk.analysis.Trust("a", trust.rows.assign(supernet=[0.1, 0.2, 0.3]))
    assert varied.sentence() == (
        "on 3 random paths of a, Kendall's tau is 1.00 (p = 0.33). Multiply-adds alone, without a "
        "supernet, give 1.00."
    )
