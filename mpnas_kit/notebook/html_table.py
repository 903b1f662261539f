"""A DataFrame as an HTML table that fits its page, for JupyterLab and for reports.

A cell shows a short text. Its attribute `data-value` holds the exact number, which the script of a
report page uses to sort the rows and to write them as CSV. JupyterLab has neither our style sheet
nor our script, so what must not be lost there is in inline styles.
"""

import html
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mpnas_kit.errors import MpnasError, unknown

Format = str | Callable[[Any], str]  # "{:.1%}" or a function from value to text
Best = Literal["max", "min"]

ABSENT = "–"
_CHARACTERS = 96  # in a row of a table that fits a page of 900 pixels and a sheet of A4
_BETWEEN = 2.5  # characters between two columns
_WORDS = 28  # a longer text is broken into lines
_INTERVAL = 9  # characters that the picture of a spread takes
_DIGITS = 3  # significant digits of a number without a format
_NUMBER = re.compile(r"[+\-±]?[\d,]+(\.\d+)?[x%]?|–")
_UNSEEN = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"
_MARKS = {"best": "best", "tied": "as good as the best"}
_BOLD = "Bold: best, or as good as the best."


def table_html(
    frame: pd.DataFrame,
    caption: str = "",
    formats: Mapping[str, Format] | None = None,
    *,
    best: Mapping[str, Best] | None = None,
    spread: Mapping[str, str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    links: Sequence[str] = (),
) -> str:
    """Return a table without its index, as HTML in a frame that can be scrolled by keyboard.

    frame: table to show. Text is aligned left, numbers are aligned right.
    caption: title of the table; empty: no title.
    formats: for each column a format such as "{:.1%}", or a function from value to text. Without
    one, the numbers of a column have equal decimals, and the largest has three significant digits.
    A number that is nan is "–".
    best: columns whose best value is marked, with `max` or `min`. Values that are as good are
    marked too: their difference is at most the larger of the two spreads, or they look the same.
    If all values are as good, none is marked.
    spread: for a column the name of another one that holds its spread (in the same unit). It is
    drawn beside the value, as an interval, and is no column of its own.
    groups: headings above neighbouring columns, each with the names of its columns.
    links: for every row the address to which its first cell leads; empty: there are no links.

    If the columns are too many for a page of 900 pixels, they continue in further tables, each of
    which begins with the first column. Raises `MpnasError` if `best`, `spread` or `groups` name a
    column that the table does not have.

    >>> frame = pd.DataFrame({"domain": ["a", "b"], "test": [0.912, 0.8]})
    >>> "best" in table_html(frame, formats={"test": "{:.1%}"}, best={"test": "max"})
    True
    """
    formats, best, spread, groups = formats or {}, best or {}, spread or {}, groups or {}
    names = [str(name) for name in frame]
    for name in (*best, *spread, *spread.values(), *(n for own in groups.values() for n in own)):
        if name not in names:
            raise unknown("column of the table", name, names)
    for name, how in best.items():
        if how not in ("max", "min"):
            raise MpnasError(f"best of column {name!r} is {how!r}: expected 'max' or 'min'.")
    columns = [
        _Column.of(
            name,
            frame.iloc[:, i],
            formats.get(name),
            best.get(name),
            frame.iloc[:, names.index(spread[name])] if name in spread else None,
        )
        for i, name in enumerate(names)
        if name not in spread.values()
    ]
    if links:
        columns[0] = replace(columns[0], links=list(links))
    above = {column: heading for heading, own in groups.items() for column in own}
    parts = list(_parts(columns))
    marked = any(mark for column in columns for mark in column.marks)
    frames = [
        _table(part, above, _title(caption, number, len(parts), marked))
        for number, part in enumerate(parts)
    ]
    return "".join(frames)


@dataclass(frozen=True)
class _Column:
    """A column as it is shown.

    name: its name in the frame.
    kind: class of its cells: `number`, `path` or "".
    texts: what is shown.
    values: exact values as text; None: the column holds texts.
    marks: for each cell `best`, `tied` or "".
    numbers: the values as numbers; empty: the column holds texts.
    spreads: half widths of the intervals, or nan; empty: the column has no intervals.
    spread_texts: the same as text, in the format of the column.
    links: addresses to which the cells lead; empty: they are no links.
    """

    name: str
    kind: str
    texts: list[str]
    values: list[str] | None
    marks: list[str]
    numbers: list[float]
    spreads: list[float]
    spread_texts: list[str]
    links: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        name: str,
        values: pd.Series,
        form: Format | None,
        best: Best | None,
        spread: pd.Series | None,
    ) -> "_Column":
        """Return a column of a frame, with the format, the marks and the spread that it has."""
        numeric = pd.api.types.is_numeric_dtype(values) and values.dtype != bool
        form = form if form is not None else _usual(values) if numeric else str
        texts = [_written(value, form) for value in values]
        numbers = [float(v) for v in values] if numeric else []
        spreads = [] if spread is None else [float(v) for v in spread]
        right = numeric or (bool(texts) and all(_NUMBER.fullmatch(text) for text in texts))
        return cls(
            name=name,
            kind="number" if right else "path" if name == "path" else "",
            texts=texts,
            values=[_exact(value) for value in values] if numeric else None,
            marks=_marks(numbers, spreads, texts, best) if best and numeric else [""] * len(texts),
            numbers=numbers,
            spreads=spreads,
            spread_texts=[_written(value, form) for value in spreads],
        )

    @property
    def title(self) -> str:
        """Name as a heading."""
        return self.name.replace("_", " ")

    @property
    def width(self) -> float:
        """Width in characters that the column needs at least, with the gap beside it."""
        words = max((len(word) for word in self.title.split()), default=0)
        if self.kind == "number":
            inside = max(map(len, self.texts), default=0)
        else:
            inside = min(max(map(len, self.texts), default=0), _WORDS)
        if self.spreads:
            inside += _INTERVAL + max(map(len, self.spread_texts), default=0)
        return max(words, inside) + _BETWEEN

    def cells(self, tag: str) -> list[str]:
        """Return the cells as HTML."""
        pictures = _intervals(self.numbers, self.spreads) if self.spreads else None
        cells = []
        for i, text in enumerate(self.texts):
            inside, data = html.escape(text), ""
            if self.links:
                inside = f'<a href="{html.escape(self.links[i])}">{inside}</a>'
            if self.marks[i]:
                said = f'<span class="unseen" style="{_UNSEEN}"> ({_MARKS[self.marks[i]]})</span>'
                inside = f'<strong class="best">{inside}{said}</strong>'
            if self.values is not None:
                data = f' data-value="{self.values[i]}"'
            if pictures is not None:
                data += f' data-spread="{_exact(self.spreads[i])}"'
                inside += pictures[i] + self._spread_text(i)
            scope = ' scope="row"' if tag == "th" else ""
            cells.append(_cell(tag, inside, self.kind, scope + data))
        return cells

    def _spread_text(self, i: int) -> str:
        if not math.isfinite(self.spreads[i]):
            return ""
        return f' <small style="opacity: 0.75">± {html.escape(self.spread_texts[i])}</small>'


def _table(columns: Sequence[_Column], above: Mapping[str, str], caption: str) -> str:
    """Return one table in its frame."""
    rows_of = len(columns[0].texts) if columns else 0
    first = "th" if len(columns) > 1 and columns[0].kind != "number" else "td"
    cells = [column.cells(first if i == 0 else "td") for i, column in enumerate(columns)]
    body = "".join(f"<tr>{''.join(own[i] for own in cells)}</tr>" for i in range(rows_of))
    head = "".join(
        _cell("th", html.escape(c.title), c.kind, f' scope="col" data-name="{html.escape(c.name)}"')
        for c in columns
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    label = html.escape(caption.split(". ")[0].rstrip(".:")) or "Table"
    return (
        f'<div class="table" style="overflow-x: auto" tabindex="0" role="group" '
        f'aria-label="{label}"><table>{title}<thead>{_headings(columns, above)}<tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _headings(columns: Sequence[_Column], above: Mapping[str, str]) -> str:
    """Return the row of headings above groups of columns; empty if no column has one."""
    if not any(column.name in above for column in columns):
        return ""
    runs: list[tuple[str, int]] = []
    for column in columns:
        heading = above.get(column.name, "")
        if runs and runs[-1][0] == heading:
            runs[-1] = (heading, runs[-1][1] + 1)
        else:
            runs.append((heading, 1))
    cells = "".join(
        f'<th class="over" scope="colgroup" colspan="{count}" style="text-align: center">'
        f"{html.escape(heading)}</th>"
        if heading
        else f'<td colspan="{count}"></td>'
        for heading, count in runs
    )
    return f'<tr class="groups-of-columns">{cells}</tr>'


def _parts(columns: Sequence[_Column]) -> Iterator[list[_Column]]:
    """Yield the columns of each table. The first column begins every table."""
    if len(columns) < 2:
        yield list(columns)
        return
    part, width = [columns[0]], columns[0].width
    for column in columns[1:]:
        if len(part) > 1 and width + column.width > _CHARACTERS:
            yield part
            part, width = [columns[0]], columns[0].width
        part.append(column)
        width += column.width
    yield part


def _title(caption: str, number: int, count: int, marked: bool) -> str:
    """Return the caption of a table, which is one of `count`."""
    if number:
        return f"Continued: {caption.split('. ')[0].rstrip('.')}." if caption else "Continued."
    return " ".join(text for text in (caption, _BOLD * marked) if text)


def _marks(
    numbers: Sequence[float], spreads: Sequence[float], texts: Sequence[str], best: Best
) -> list[str]:
    """Return for each number whether it is the best one, or as good as it (see `table_html`)."""
    known = [i for i, number in enumerate(numbers) if math.isfinite(number)]
    if not known:
        return [""] * len(numbers)
    choose = max if best == "max" else min
    top = choose(known, key=lambda i: numbers[i])
    margin = np.nan_to_num(spreads) if len(spreads) else np.zeros(len(numbers))
    tied = [
        i
        for i in known
        if texts[i] == texts[top] or abs(numbers[i] - numbers[top]) <= max(margin[i], margin[top])
    ]
    if len(tied) == len(known):
        return [""] * len(numbers)
    return ["best" if i == top else "tied" if i in tied else "" for i in range(len(numbers))]


def _intervals(numbers: Sequence[float], spreads: Sequence[float]) -> list[str]:
    """Return for each number a small picture of its interval, all on one scale."""
    middle, half = np.asarray(numbers), np.nan_to_num(spreads)
    known = np.isfinite(middle)
    if not known.any():
        return [""] * len(numbers)
    low, high = (middle - half)[known].min(), (middle + half)[known].max()
    scale = 56 / (high - low) if high > low else 0.0
    pictures = []
    for number, spread in zip(middle, half, strict=True):
        if not math.isfinite(number):
            pictures.append("")
            continue
        left, centre, right = (
            4 + scale * (x - low) for x in (number - spread, number, number + spread)
        )
        pictures.append(
            '<svg class="interval" aria-hidden="true" viewBox="0 0 64 12" width="64" height="12" '
            'style="margin-left: 0.6em; vertical-align: -1px; overflow: visible">'
            f'<path d="M{left:.1f} 6H{right:.1f}" stroke="currentColor" stroke-width="2" '
            f'opacity="0.55"/><circle cx="{centre:.1f}" cy="6" r="3" fill="currentColor"/></svg>'
        )
    return pictures


def _cell(tag: str, inside: str, kind: str, attributes: str = "") -> str:
    side = "right" if kind == "number" else "left"
    css_class = f' class="{kind}"' if kind else ""
    return f'<{tag}{css_class}{attributes} style="text-align: {side}">{inside}</{tag}>'


def _usual(values: pd.Series) -> Format:
    """Return the format of numbers that have none."""
    if pd.api.types.is_integer_dtype(values):
        return "{:,}"
    known = np.abs(values[np.isfinite(values.astype(float))].astype(float))
    largest = float(known.max()) if len(known) else 0.0
    before = math.floor(math.log10(largest)) + 1 if largest > 0 else 1
    return f"{{:,.{max(0, min(8, _DIGITS - before))}f}}"


def _written(value: Any, form: Format) -> str:
    if callable(form):
        return form(value)
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ABSENT
    return form.format(value)


def _exact(value: Any) -> str:
    """Return a number as text from which the same number is read; empty for nan."""
    if pd.isna(value):
        return ""
    whole = isinstance(value, int | np.integer)
    return str(int(value)) if whole else repr(float(value))
