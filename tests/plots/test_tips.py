"""Values on hover are in the SVG, above what they are of, and hold the numbers that are drawn."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.notebook.picture import PAGE, svg
from mpnas_kit.plots import style
from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.result import TrainResult

NAMES = "{http://www.w3.org/2000/svg}"


def areas(drawn: Axes | Figure) -> dict[str, dict[str, str]]:
    """Texts of the values, and the attributes of the areas that have them."""
    figure = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn
    assert figure is not None
    root = ElementTree.fromstring(svg(figure, "a figure"))
    groups = [g for g in root.iter(f"{NAMES}g") if g.get("class") == "tip"]
    found = {}
    for group in groups:
        title, shape = group
        assert title.tag == f"{NAMES}title" and shape.get("pointer-events") == "all"
        found[str(title.text)] = dict(shape.attrib)
    return found


def numbers(about: dict[str, str]) -> tuple[float, float, float, float]:
    x, y, width, height = (float(about[k]) for k in ("x", "y", "width", "height"))
    return x, y, width, height


def test_areas_lie_over_marks() -> None:
    figure, ax = plt.subplots(figsize=(4, 2))
    ax.set(xlim=(0, 4), ylim=(0, 2))
    style.tips(ax.bar([1, 3], [2, 1], width=1), ["high", "low"])
    style.tips(ax.scatter([1, 3], [1.5, 1.5], s=400), ["left", ""])
    (line,) = ax.plot([2], [1], "o")
    style.tips(line, ["a & b\n<c>"])
    found = areas(ax)
    assert set(found) == {"high", "low", "left", "a & b\n<c>"}, "an empty text has no area"
    (x, y, width, height), (x2, y2, width2, height2) = (numbers(found[k]) for k in ("high", "low"))
    assert height == pytest.approx(2 * height2, abs=0.2) and width == pytest.approx(width2, abs=0.2)
    assert x2 - x == pytest.approx(2 * width, abs=0.2)
    assert y + height == pytest.approx(y2 + height2, abs=0.2), "both stand on the axis"
    x3, y3, width3, height3 = numbers(found["left"])
    assert width3 == height3 == 20, "as large as the point, 1/72 inch"
    assert x3 + width3 / 2 == pytest.approx(x + width / 2, abs=0.2)
    assert y3 + height3 / 2 == pytest.approx(y + height / 4, abs=0.2)
    assert numbers(found["a & b\n<c>"])[2] >= 10, "a small mark has an area that is easy to hit"
    figure.canvas.draw()  # other formats have no values


def test_columns_cover_the_axes() -> None:
    _, ax = plt.subplots(figsize=(4, 2))
    ax.set(xlim=(0, 10), ylim=(0, 1))
    style.tips_by_column(ax, [1, 3, 9], ["one", "three", "nine"])
    boxes = [numbers(a) for a in areas(ax).values()]
    lefts, widths = [b[0] for b in boxes], np.array([b[2] for b in boxes])
    assert widths / widths.sum() == pytest.approx([0.2, 0.4, 0.4], abs=0.01)
    assert lefts[1] == pytest.approx(lefts[0] + widths[0], abs=0.2)


def test_values_of_figures_are_those_of_their_results(
    found: SearchResult, trained: TrainResult
) -> None:
    similarity = jaccard_matrix(found.space, found.paths, pairs=20)
    chance = similarity.matched_value
    conv = found.history.query("domain == 'b' and step == 50")["cost"].iloc[0]
    trained.recalls = pd.DataFrame(
        [{"domain": d, "split": "test", "label": "x", "images": 8, "recall": 0.25} for d in "abc"]
    )
    own = "a: 90.0% \N{PLUS-MINUS SIGN} 3.0 (standard error)"
    guess = f"{own}\nalways guessing the largest class: 100.0%"
    accounting = account(trained.net, found.paths)
    shared = int(accounting.domains["shared"].iloc[0])
    a_and_c = f"c and a: 1.00\nchance {chance:.2f}, excess {1 - chance:+.2f}"
    b_of_50 = "\n".join(["step 50", f"a {conv:,.4g}", f"b {conv:,.4g}", f"c {conv:,.4g}"])
    decided = "b, 1.1: decided\nconv1 95%\nconv3 5%"
    cases: list[tuple[Callable[[], Axes | Figure], str]] = [
        (lambda: plots.accuracy_dots(trained), guess),
        (lambda: plots.size_bars(accounting), f"a, shared: {shared:,} parameters"),
        (lambda: plots.jaccard(similarity), a_and_c),
        (lambda: plots.search_curves(found, "cost", window=1), b_of_50),
        (lambda: plots.search_course(found, ["cost"]), "step 50"),
        (lambda: plots.policies(found), decided),
        (lambda: plots.policy_heatmap(found, "b"), decided),
        (lambda: plots.policy_over_time(found, "b", "1.1"), "conv1 95%"),
        (lambda: plots.path_graph(found.space, found.paths), "1.1 conv1 (3 domains): a, b, c"),
        (lambda: plots.path_graph(found.space, found.paths), "b: conv1 conv3"),
        (lambda: plots.two_paths(found.space, found.paths, "a", "b"), "1.1 conv1: a, b"),
        (lambda: plots.class_recalls(trained), "a\nx: 25% of 8"),
    ]
    for draw, expected in cases:
        with plt.rc_context(PAGE):
            told = areas(draw())
        assert any(expected in text for text in told), (expected, list(told)[:4])
        plt.close("all")


def test_a_long_line_has_a_bounded_number_of_values(found: SearchResult) -> None:
    rows = [found.history.assign(step=found.history["step"] + 50 * i) for i in range(40)]
    longer = pd.concat(rows, ignore_index=True)
    ax = plots.curves.domain_curves(longer, list("abc"), "loss", "loss", None, None, None)
    told = areas(ax)
    assert len(told) == 60
    steps = [int(re.findall(r"step ([\d,]+)", t)[0].replace(",", "")) for t in told]
    assert steps[0] == 1 and steps[-1] == 2000
