"""Display of results in notebooks, for JupyterLab and for reports.

A figure is shown as SVG with a description in words, a table as HTML in the font of the page, and a
finding as a sentence in a frame. Nothing here computes results.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpnas_kit.notebook import picture
from mpnas_kit.notebook.html_table import Best, Format, table_html
from mpnas_kit.plots import style
from mpnas_kit.settings import field_docs, to_dict

DPI = 110  # of the PNG beside the SVG, for viewers without SVG and for untrusted notebooks
SVG = "image/svg+xml"
HEADLINE = "mpnas_headline"  # output metadata: the first page of a report also has this figure


def page_colours() -> None:
    """Set matplotlib's settings so that `figure` can show figures in the colours of the page."""
    plt.rcParams.update(picture.PAGE)


def figure(drawn: Axes | Figure, alt: str, caption: str = "", *, headline: bool = False) -> None:
    """Show a figure as SVG and close it.

    drawn: axes or figure, drawn after `page_colours`.
    alt: description in words, for readers who cannot see the figure.
    caption: text below the figure; empty: no caption.
    headline: whether the first page of a report also has the figure.
    """
    whole = drawn.get_figure() if isinstance(drawn, Axes) else drawn
    assert isinstance(whole, Figure)
    vectors = picture.svg(whole, alt)
    file = io.BytesIO()
    with style.without_glyph_warnings():
        whole.savefig(file, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    plt.close(whole)
    png = base64.b64encode(file.getvalue()).decode()
    about = {"alt": alt, "caption": caption, HEADLINE: headline}
    _display({SVG: vectors, "image/png": png, "text/plain": alt}, {SVG: about})


def table(
    frame: pd.DataFrame,
    caption: str = "",
    formats: Mapping[str, Format] | None = None,
    *,
    best: Mapping[str, Best] | None = None,
    spread: Mapping[str, str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Show a table without its index.

    The parameters are those of `table_html`: the table, its caption, the formats of its columns,
    the columns whose best value is marked, the columns that have a spread, and headings above
    groups of columns.
    """
    content = table_html(frame, caption, formats, best=best, spread=spread, groups=groups)
    _display({"text/html": content, "text/plain": str(frame)}, {})


def finding(sentence: str, *, good: bool | None = None) -> None:
    """Show an important sentence in a frame.

    sentence: text; its first letter becomes a capital.
    good: True: a success; False: a warning; None: neither.
    """
    text = sentence[:1].upper() + sentence[1:]
    kind = "plain" if good is None else "good" if good else "warning"
    content = f'<p class="finding {kind}" role="note">{html.escape(text)}</p>'
    _display({"text/html": content, "text/plain": text}, {})


def settings_table(config: object, near: Sequence[str] = (), **more: object) -> None:
    """Show the settings of a stage, folded: some of them in a row, all others in a table.

    config: config of the stage.
    near: names of the fields that are in the row.
    more: other names and values that are in the row, before the fields.
    """
    values = to_dict(config)
    shown = {**more, **{name: values[name] for name in near if name in values}}
    docs = field_docs(type(config))
    rest = pd.DataFrame(
        [
            {"setting": name, "value": str(value), "meaning": docs.get(name, "")}
            for name, value in values.items()
            if name not in shown
        ]
    )
    content = f"<details><summary>Settings</summary>{_pairs(shown)}{table_html(rest)}</details>"
    words = ", ".join(f"{name}={value}" for name, value in {**shown, **values}.items())
    _display({"text/html": content, "text/plain": words}, {})


def _pairs(values: Mapping[str, object]) -> str:
    """Return names and values in a row, as HTML with inline styles for JupyterLab."""
    items = "".join(
        '<div style="display: inline-flex; gap: 0.5em; margin: 0 0.6em 0.2em 0">'
        f'<dt style="opacity: 0.7">{html.escape(name)}</dt>'
        f'<dd style="margin: 0">{html.escape(str(value))}</dd></div>'
        for name, value in values.items()
    )
    return f'<dl class="settings">{items}</dl>'


def _display(content: dict[str, Any], metadata: dict[str, Any]) -> None:
    from IPython import display

    display.display(content, metadata=metadata, raw=True)
