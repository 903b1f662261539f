"""View of a matrix: shaded cells with named rows and columns."""

from collections.abc import Iterable, Sequence
from typing import Any

import anywidget
import traitlets

from mpnas_kit.widgets.view import STYLE, numbers, script


class Matrix(anywidget.AnyWidget):
    """A table of shaded cells.

    content: see `matrix`.
    selected: [row, column], or []: no cell.
    emphasis: indices of the rows and columns that are emphasised, under `rows` and `columns`.

    If a head is chosen, the browser sends the message `{"choose": "row", "index": i}`, or `column`.
    """

    _esm = script("matrix.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    emphasis = traitlets.Dict().tag(sync=True)


def matrix(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Iterable[Iterable[float]],
    texts: Iterable[Iterable[str]],
    notes: Iterable[Iterable[str]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the content of a `Matrix`.

    title: description in words.
    rows, columns: names.
    values: shade of every cell, 0 to 1; nan: the cell is empty.
    texts: text in every cell.
    notes: second text of every cell; None: none. In small cells it is shown on hover only.
    more: any of these.

        unit: text behind every value on hover.
        hint: text below the matrix while the pointer is elsewhere.
        hints: names of the columns on hover, if they differ from `columns`.
        small: whether the cells are small.
        heads: whether heads can be chosen.
        scale: colours of the values: `title`, `low` and `high`, `texts` (of the two ends) and
        `marks` (each with `value` and `text`).
    """
    return {
        "title": title,
        "rows": list(rows),
        "columns": list(columns),
        "values": [numbers(row) for row in values],
        "texts": [list(row) for row in texts],
        "notes": None if notes is None else [list(row) for row in notes],
        **more,
    }
