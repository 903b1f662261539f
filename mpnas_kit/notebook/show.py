"""Display of results in notebooks, for JupyterLab and for reports.

A figure is shown as SVG with a description in words, a table as HTML in the font of the page, and a
finding as a sentence in a frame. Nothing here computes results.
"""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpnas_kit.notebook import picture
from mpnas_kit.plots import style
from mpnas_kit.settings import field_docs, to_dict

DPI = 110  # of the PNG beside the SVG, for viewers without SVG and for untrusted notebooks
SVG = "image/svg+xml"
HEADLINE = "mpnas_headline"  # output metadata: the first page of a report also has this figure

_WIDE = 10  # a table with more columns is set more tightly

Format = str | Callable[[Any], str]  # "{:.1%}" or a function


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
    frame: pd.DataFrame, caption: str = "", formats: Mapping[str, Format] | None = None
) -> None:
    """Show a table without its index. Text is aligned left, numbers are aligned right.

    frame: table to show.
    caption: title of the table; empty: no title.
    formats: for each column a format such as "{:.1%}", or a function from value to text. Without
    one, a number with decimals has three significant digits.
    """
    content = {"text/html": table_html(frame, caption, formats), "text/plain": str(frame)}
    _display(content, {})


def table_html(
    frame: pd.DataFrame, caption: str = "", formats: Mapping[str, Format] | None = None
) -> str:
    """Return the table that `table` shows, as HTML in a frame that can be scrolled by keyboard."""
    formats = formats or {}
    numeric = {c: pd.api.types.is_numeric_dtype(frame[c]) for c in frame}
    kinds = {c: "number" if numeric[c] else "path" if c == "path" else "" for c in frame}
    head = "".join(_cell("th", str(c).replace("_", " "), kinds[c]) for c in frame)
    rows = [
        "".join(
            _cell("td", _written(value, formats.get(str(c))), kinds[c])
            for c, value in zip(frame, row, strict=True)
        )
        for row in frame.itertuples(index=False)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    wide = " wide" if len(frame.columns) > _WIDE else ""
    return (
        f'<div class="table{wide}" tabindex="0" role="group" aria-label="Table">'
        f"<table>{title}<thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


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
    """Show the settings of a stage: some of them openly, all others folded.

    config: config of the stage.
    near: names of the fields that are shown openly.
    more: other names and values that are shown openly, before the fields.
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
    content = (
        f"{_pairs(shown)}<details><summary>All other settings of this stage</summary>"
        f"{table_html(rest)}</details>"
    )
    words = ", ".join(f"{name}={value}" for name, value in {**shown, **values}.items())
    _display({"text/html": content, "text/plain": words}, {})


def _pairs(values: Mapping[str, object]) -> str:
    """Return names and values in a row, as HTML with inline styles (see `_cell`)."""
    items = "".join(
        '<div style="display: inline-flex; gap: 0.5em; margin: 0 0.6em 0.2em 0">'
        f'<dt style="opacity: 0.7">{html.escape(name)}</dt>'
        f'<dd style="margin: 0">{html.escape(str(value))}</dd></div>'
        for name, value in values.items()
    )
    return f'<dl class="settings">{items}</dl>'


def _cell(tag: str, text: str, kind: str) -> str:
    """Return a cell as HTML. Its style is inline, because JupyterLab lacks our style sheet."""
    side = "right" if kind == "number" else "left"
    css_class = f' class="{kind}"' if kind else ""
    return f'<{tag}{css_class} style="text-align: {side}">{html.escape(text)}</{tag}>'


def _written(value: object, how: Format | None) -> str:
    if isinstance(how, str):
        return how.format(value)
    if how is not None:
        return how(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _display(content: dict[str, Any], metadata: dict[str, Any]) -> None:
    from IPython import display

    display.display(content, metadata=metadata, raw=True)
