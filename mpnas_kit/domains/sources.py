"""Sources: where the content of an image is: in a file of its own, or in a row of another file."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mpnas_kit import files
from mpnas_kit.domains.decoding import BadImage
from mpnas_kit.errors import MpnasError


class Rows(Protocol):
    """A file that has an image in every row.

    path: its absolute path.
    stamp: its stamp when it was opened.
    """

    path: str
    stamp: files.Stamp | None

    def content(self, row: int) -> bytes:
        """Return the content of the image in a row, from 0. Raises `BadImage` with the reason."""
        ...


class Row(NamedTuple):
    """An image that is in a row of a file.

    rows: the file.
    row: the row, from 0.
    """

    rows: Rows
    row: int


Source = str | Row  # a text is the absolute path of a file that has one image


def read_image(source: Source) -> bytes:
    """Return the content of an image. Raises `BadImage` with the reason if that is impossible."""
    if isinstance(source, Row):
        return source.rows.content(source.row)
    try:
        return files.read_bytes(pathlib.Path(source))
    except MpnasError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise BadImage(f"it cannot be read ({reason})") from None


def place_of(source: Source) -> str:
    """Return where an image is, for a message."""
    return f"{source.rows.path}, row {source.row}" if isinstance(source, Row) else source


def mark(source: Source) -> bytes:
    """Return bytes that change when the content of an image may have changed. It is not read."""
    if isinstance(source, Row):
        return repr((os.fsencode(source.rows.path), source.rows.stamp, source.row)).encode()
    return repr((os.fsencode(source), files.stamp(source))).encode()


def reading_order(sources: Sequence[Source]) -> NDArray[np.int64]:
    """Return the order in which images are read fast: (n,), positions.

    Rows of one file follow one another. Files that have one image each stay in their order.
    """
    numbers: dict[int, int] = {}
    keys = [
        (numbers.setdefault(id(source.rows), len(numbers)), source.row)
        if isinstance(source, Row)
        else (-1, 0)
        for source in sources
    ]
    file, row = np.array(keys, dtype=np.int64).reshape(-1, 2).T
    return np.lexsort((row, file))
