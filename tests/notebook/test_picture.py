"""Figures as SVG in the colours of a page."""

import re
from typing import Any
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from mpnas_kit.notebook import show
from mpnas_kit.notebook.picture import PAGE, svg


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
