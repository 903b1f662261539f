"""View of a table that sorts by any column, and whose rows can be selected."""

import math
from typing import Any

import anywidget
import traitlets

from mpnas_kit.widgets.view import STYLE, script

ASCENDING, DESCENDING = "ascending", "descending"


class Table(anywidget.AnyWidget):
    """A table. Its first column names the row.

    content: `title`; `columns`, each with `name`, `kind` (`text` or `number`) and `about`; `rows`,
    each with `key` and `cells` (see `cell`); `search`, the name of a search field, or None.
    selected: key of the selected row; empty: none.
    order: [index of a column, `ascending` or `descending`], or []: rows as given.
    """

    _esm = script("table.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    order: Any = traitlets.List().tag(sync=True)


def column(name: str, kind: str = "number", about: str | None = None) -> dict[str, Any]:
    """Return a column of a `Table`. about: explanation on hover."""
    return {"name": name, "kind": kind, "about": about}


def cell(value: Any, text: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a cell of a `Table`.

    value: what rows are sorted by, a number or a text; nan: unknown.
    text: what is shown; None: the value.
    more: `low` and `high`, the ends of an interval, which is drawn if one cell of the column has
    it; `mark`, a word beside the text; `about`, a text on hover.
    """
    kept = {"value": value, **more}
    known = {k: v for k, v in kept.items() if not isinstance(v, float) or math.isfinite(v)}
    return {**known, "text": str(value) if text is None else text}
