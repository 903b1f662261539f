"""Tables as text for a terminal."""

import pandas as pd

_WORDS = (
    "domain",
    "path",
    "approach",
    "prioritization",
    "norm",
    "image",
    "entry",
    "label",
    "file",
    "measure",
)


def text_of(table: pd.DataFrame) -> str:
    """Return a table as text for a terminal: words left-aligned, figures right-aligned."""
    words = [c for c in _WORDS if c in table]
    shown = table.astype(str)
    for column in words:
        shown[column] = shown[column].str.ljust(shown[column].str.len().max())
        shown = shown.rename(columns={column: column.ljust(shown[column].str.len().max())})
    return str(shown.to_string(index=False))
