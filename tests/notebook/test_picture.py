"""Figures as SVG in the colours of a page."""

import re
from typing import Any
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from mpnas_kit.notebook import show
from mpnas_kit.notebook.picture import PAGE, svg
from mpnas_kit.plots import style


def drawn(**settings: str) -> Figure:
    with plt.rc_context({**PAGE, **settings}):
        figure, ax = plt.subplots(figsize=(3, 2))
        ax.plot([0, 1], [1, 0], color="#4b3cb4", label="<one>")
        ax.set(xlabel="steps", title="a & b")
        ax.legend()
    plt.close(figure)
    return figure


def test_text_and_background_are_variables_and_data_keep_their_colours() -> None:
    text = svg(drawn(), "a line")
    assert "var(--ink" in text and "var(--card" in text
    assert "#4b3cb4" in text
    for color in PAGE.values():
        assert color not in text


def test_text_stays_text_in_fonts_of_known_widths() -> None:
    with plt.rc_context(PAGE):
        figure, ax = plt.subplots(figsize=(3, 2))
        ax.set(xlabel="steps of the search", title="\u6570\u5b57 & digits")
    root = ElementTree.fromstring(svg(figure, "axes"))
    plt.close(figure)
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "steps of the search" in texts and "\u6570\u5b57 & digits" in texts
    assert "DejaVu Sans" in root.attrib["style"]
    inside = ElementTree.tostring(root, encoding="unicode").partition(">")[2]
    assert "font-family" not in inside


@pytest.mark.parametrize(("size", "share"), [(6.75, 1.0), (13.5, 0.5), (5, 1.0)])
def test_a_figure_is_not_narrower_than_its_smallest_text_allows(size: float, share: float) -> None:
    with plt.rc_context(PAGE):
        figure, ax = plt.subplots(figsize=(4, 2))
        ax.set_axis_off()
        ax.text(0, 0, "small", fontsize=size)
        ax.text(0, 1, "large", fontsize=size + 3)
    css = ElementTree.fromstring(svg(figure, "texts")).attrib["style"]
    plt.close(figure)
    width, least = (
        int(re.findall(rf"(?<![\w-]){k}: (\d+)px", css)[0]) for k in ("width", "min-width")
    )
    assert least == pytest.approx(share * width, abs=1), "9 pixels at least, or the whole width"


def test_colours_of_domains_and_of_the_run_are_variables() -> None:
    colors = style.domain_colors(["digits", "letters"])
    with plt.rc_context(PAGE):
        figure, ax = plt.subplots(figsize=(3, 2))
        for color in (*colors.values(), style.ACCENT):
            ax.plot([0, 1], [0, 1], color=color)
    text = svg(figure, "lines")
    plt.close(figure)
    variables = [*style.domain_variables(["digits", "letters"]).values(), "var(--accent, #2f5fb3)"]
    for color, variable in zip((*colors.values(), style.ACCENT), variables, strict=True):
        assert variable in text
        assert color not in text.replace(variable, ""), "no colour is fixed"


def test_a_figure_has_a_description() -> None:
    root = ElementTree.fromstring(svg(drawn(), 'two "lines" & a dot'))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'two "lines" & a dot'


def test_a_figure_gives_the_same_svg_and_figures_have_different_ids() -> None:
    one, again = svg(drawn(), "a"), svg(drawn(), "a")
    assert one == again
    other = svg(drawn(**{"axes.edgecolor": "#00ff00"}), "a")
    names = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, other)]
    assert names[0] and not names[0] & names[1]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', one))
    assert used and used <= names[0]


def test_a_figure_in_a_notebook_is_svg_and_png(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(show, "_display", lambda content, about: shown.append((content, about)))
    ax = drawn()
    show.figure(ax, "a line", "It falls & falls.", headline=True)
    ((content, about),) = shown
    assert content["image/svg+xml"].startswith("<svg ")
    assert content["image/png"] and content["text/plain"] == "a line"
    expected = {"alt": "a line", "caption": "It falls & falls.", show.HEADLINE: True}
    assert about == {"image/svg+xml": expected}
    assert not plt.fignum_exists(ax.figure.number)
