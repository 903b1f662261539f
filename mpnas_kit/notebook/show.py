"""How notebooks show a result, so that it reads well in JupyterLab and in a report.

A figure becomes vectors with words for who cannot see it (`alt`), a table one that is set in the
page's type, a finding a framed sentence. Nothing here computes.
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
from mpnas_kit.notebook.parameters import field_docs
from mpnas_kit.settings import to_dict

DPI = 110  # of the PNG beside the SVG, for viewers that show no vectors (of an untrusted notebook)
SVG = "image/svg+xml"
HEADLINE = "mpnas_headline"  # output metadata: this figure also stands on the report's first page

_WIDE = 10  # columns from which on a table is set closer

Format = str | Callable[[Any], str]  # "{:.1%}" or a function


def page_colours() -> None:
    """From now on figures are drawn so that `figure` shows them in the colours of the page."""
    plt.rcParams.update(picture.PAGE)


def figure(drawn: Axes | Figure, alt: str, caption: str = "", *, headline: bool = False) -> None:
    """Show a figure as vectors and close it.

    alt: what it shows, in words. caption: stands below it. headline: the figure also stands on the
    first page of a report.
    """
    whole = drawn.get_figure() if isinstance(drawn, Axes) else drawn
    assert isinstance(whole, Figure)
    vectors = picture.svg(whole, alt)
    file = io.BytesIO()
    whole.savefig(file, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    plt.close(whole)
    png = base64.b64encode(file.getvalue()).decode()
    about = {"alt": alt, "caption": caption, HEADLINE: headline}
    _display({SVG: vectors, "image/png": png, "text/plain": alt}, {SVG: about})


def table(
    frame: pd.DataFrame, caption: str = "", formats: Mapping[str, Format] | None = None
) -> None:
    """Show a table without its index; words to the left, figures to the right.

    formats: how a column's values are written.
    """
    content = {"text/html": table_html(frame, caption, formats), "text/plain": str(frame)}
    _display(content, {})


def table_html(
    frame: pd.DataFrame, caption: str = "", formats: Mapping[str, Format] | None = None
) -> str:
    """The table of `table` as HTML, in a frame that keys can scroll."""
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
    told = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    wide = " wide" if len(frame.columns) > _WIDE else ""
    return (
        f'<div class="table{wide}" tabindex="0" role="group" aria-label="Table">'
        f"<table>{told}<thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def finding(sentence: str, *, good: bool | None = None) -> None:
    """Show a sentence that matters in a frame; good=True: as a success, False: as a warning."""
    text = sentence[:1].upper() + sentence[1:]
    kind = "plain" if good is None else "good" if good else "warning"
    content = f'<p class="finding {kind}" role="note">{html.escape(text)}</p>'
    _display({"text/html": content, "text/plain": text}, {})


def settings(config: object, near: Sequence[str] = (), **more: object) -> None:
    """Show the settings in force: `more` and those named in `near` in sight, the others folded."""
    values = to_dict(config)
    seen = {**more, **{name: values[name] for name in near if name in values}}
    docs = field_docs(type(config))
    rest = pd.DataFrame(
        [
            {"setting": name, "value": str(value), "meaning": docs.get(name, "")}
            for name, value in values.items()
            if name not in seen
        ]
    )
    content = (
        f"{_pairs(seen)}<details><summary>All other settings of this stage</summary>"
        f"{table_html(rest)}</details>"
    )
    words = ", ".join(f"{name}={value}" for name, value in {**seen, **values}.items())
    _display({"text/html": content, "text/plain": words}, {})


def _pairs(values: Mapping[str, object]) -> str:
    """Names and values in a row; the style stands in it too, as in `_cell`."""
    items = "".join(
        '<div style="display: inline-flex; gap: 0.5em; margin: 0 0.6em 0.2em 0">'
        f'<dt style="opacity: 0.7">{html.escape(name)}</dt>'
        f'<dd style="margin: 0">{html.escape(str(value))}</dd></div>'
        for name, value in values.items()
    )
    return f'<dl class="settings">{items}</dl>'


def _cell(tag: str, text: str, kind: str) -> str:
    """A cell; the style stands in it too, since JupyterLab has no style sheet of ours."""
    side = "right" if kind == "number" else "left"
    named = f' class="{kind}"' if kind else ""
    return f'<{tag}{named} style="text-align: {side}">{html.escape(text)}</{tag}>'


def _written(value: object, how: Format | None) -> str:
    if isinstance(how, str):
        return how.format(value)
    if how is not None:
        return how(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _display(content: dict[str, Any], metadata: dict[str, Any]) -> None:
    from IPython import display

    display.display(content, metadata=metadata, raw=True)
