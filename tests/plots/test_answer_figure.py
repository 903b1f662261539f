"""The picture of the answer shows the numbers of the answer, zoomed to them."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

from mpnas_kit import plots
from mpnas_kit.analysis.answer import Answer
from mpnas_kit.analysis.comparison import NO_PRIORITIZATION, Comparison
from mpnas_kit.errors import Unavailable
from mpnas_kit.notebook.picture import PAGE, svg
from mpnas_kit.plots import style
from mpnas_kit.plots.answer import alt_text, left_out, shown_peers

SIZES = {"mpnas": 73e3, "bundle": 170e3, "random_paths": 100e3, "single_path": 20e3}
MEANS = {"mpnas": 0.74, "bundle": 0.72, "random_paths": 0.73, "single_path": 0.71}


def comparison(
    means: Mapping[str, float] = MEANS, moves: Sequence[float] = (-0.01, 0.0, 0.01)
) -> Comparison:
    """Runs of one domain with three seeds; the seeds move the accuracy of all alike, and more."""
    cells, domains = [], []
    for order, (approach, mean) in enumerate(means.items()):
        for seed, move in enumerate(moves):
            key = {
                "approach": approach,
                "prioritization": NO_PRIORITIZATION if approach == "bundle" else "abdp",
                "norm": "per_domain",
                "seed": seed,
            }
            size = SIZES.get(approach.partition("(")[0], 50e3)
            value = mean + move + 0.001 * order * (seed - 1)
            sizes = dict.fromkeys(("parameters_all", "per_image"), size)
            cells.append({**key, **sizes, "models": 1, "test": value})
            row = {**key, "domain": "digits", "split": "test", "images": 500}
            domains.append({**row, "accuracy": value})
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


def words(ax: Axes) -> str:
    return "; ".join(text.get_text() for text in ax.texts)


@pytest.mark.parametrize("narrow", [False, True])
def test_marks_and_bars_are_those_of_the_answer(narrow: bool) -> None:
    made = comparison()
    found = Answer.of(made)
    ax = plots.size_and_accuracy(made, found, narrow=narrow)
    marks = {
        (float(line.get_xdata()[0]), round(float(line.get_ydata()[0]), 9)): to_hex(line.get_color())
        for line in ax.lines
        if len(line.get_xdata()) == 1 and line.get_marker() in "osD^"
    }
    assert marks.pop((73e3, 0.74)) == style.ACCENT
    assert set(marks) == {(SIZES[a], MEANS[a]) for a in MEANS if a != "mpnas"}
    assert style.ACCENT not in marks.values(), "the colour of the run is its own"
    bars = [path.vertices for c in ax.collections for path in c.get_paths()]
    ends = {round(float(v[0, 0])): (v[:, 1].min(), v[:, 1].max()) for v in bars}
    for peer in found.peers.values():
        low, high = ends[round(peer.parameters)]
        assert low == pytest.approx(found.accuracy - peer.difference.high)
        assert high == pytest.approx(found.accuracy - peer.difference.low)
    for name in ("this run", "separate models", "random paths", "single path"):
        assert name in words(ax)
    assert ("170 k" in words(ax)) != narrow


def test_the_axes_are_zoomed_to_the_data() -> None:
    made = comparison()
    low, high = plots.size_and_accuracy(made, Answer.of(made)).get_ylim()
    assert 0.6 < low < 0.70 and 0.75 < high < 0.85
    wide = comparison(moves=(-0.001, 0.001))  # two seeds: t is 12.7, so the intervals are long
    low, high = plots.size_and_accuracy(wide, Answer.of(wide)).get_ylim()
    assert high - low < 0.15, "a long interval does not flatten the differences"


def test_what_would_flatten_the_picture_is_left_out_and_named() -> None:
    means = {**MEANS, "multi_head": 0.40, "single_path(frozen=True)": 0.71, "even_paths": 0.70}
    found = Answer.of(comparison(means))
    assert [p.approach for p in shown_peers(found)] == [
        "bundle",
        "random_paths",
        "single_path",
        "even_paths",
    ]
    assert [p.approach for p in left_out(found)] == ["multi_head", "single_path(frozen=True)"]
    assert "multi head" not in alt_text(found) and "even paths 50 k" in alt_text(found)


def test_without_two_known_sizes_there_is_no_picture() -> None:
    made = comparison()
    unknown = Comparison(made.cells.assign(parameters_all=math.nan), made.domains)
    for without in (unknown, made.where(approach="mpnas")):
        with pytest.raises(Unavailable, match="no two approaches of known size"):
            plots.size_and_accuracy(without, Answer.of(without))


def test_seeds_of_other_settings_are_not_drawn() -> None:
    made, other = comparison(), comparison({"mpnas": 0.1})
    other.cells["prioritization"] = other.domains["prioritization"] = "uniform"
    both = Comparison(
        pd.concat([made.cells, other.cells], ignore_index=True),
        pd.concat([made.domains, other.domains], ignore_index=True),
    )
    ax = plots.size_and_accuracy(both, Answer.of(both))
    drawn = [float(y) for line in ax.lines for y in line.get_ydata()]
    assert min(drawn) > 0.6


def test_the_run_has_the_accent_colour_of_its_page() -> None:
    made = comparison()
    with plt.style.context("dark_background"):
        dark = plots.size_and_accuracy(made, Answer.of(made))
    assert style.DARK_ACCENT in {to_hex(line.get_color()) for line in dark.lines}
    with plt.rc_context(PAGE):
        figure = plots.size_and_accuracy(made, Answer.of(made)).get_figure(root=True)
    assert figure is not None
    text = svg(figure, "Dots.")
    assert f"var(--accent, {style.ACCENT})" in text and text.count(style.ACCENT) == text.count(
        "var(--accent"
    )


@pytest.mark.parametrize("ground", ["#ffffff", "#1a1f26", "#111111"])
def test_the_grey_of_the_other_approaches_is_visible_on_every_ground(ground: str) -> None:
    """Contrast of at least 3:1, as WCAG 2.2 asks of graphics (1.4.11)."""

    def luminance(color: str) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(ground), luminance(style.GREY)))
    assert (high + 0.05) / (low + 0.05) >= 3
