"""Confusion matrix for the browser: a map of all classes, a matrix of some, a table of recalls."""

from collections.abc import Sequence
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets
from numpy.typing import NDArray

from mpnas_kit.analysis.mistakes import class_recalls
from mpnas_kit.widgets.matrix_view import matrix
from mpnas_kit.widgets.table_view import cell, column
from mpnas_kit.widgets.view import STYLE, script

CLASSES = 40  # classes in the matrix at most


class ConfusionMap(anywidget.AnyWidget):
    """The whole confusion matrix as a picture that zooms.

    content: `title` and `classes` (names); empty: no map.
    counts: int32 (class, prediction, images) of every cell that is not empty.
    selected: [class, prediction], or []: no cell.
    marked: class whose row and column are marked; -1: none.
    """

    _esm = script("confusion.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    counts = traitlets.Bytes(b"").tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    marked = traitlets.Int(-1).tag(sync=True)


def filled(counts: NDArray[np.int64]) -> bytes:
    """Return the cells that are not empty as int32 (label, prediction, images), in bytes."""
    labels, predicted = counts.nonzero()
    return np.stack([labels, predicted, counts[labels, predicted]], 1).astype("<i4").tobytes()


def classes_shown(counts: NDArray[np.int64], label: int | None = None) -> list[int]:
    """Return the classes of the matrix, in order; at most 40.

    counts: confusion matrix.
    label: a class. Then the matrix has it, and those that it is confused with most often. None:
    those with the most mistakes, as label or as prediction.
    """
    if len(counts) <= CLASSES:
        return list(range(len(counts)))
    if label is None:
        wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    else:
        wrong = counts[label] + counts[:, label]
        wrong[label] = wrong.sum() + 1
    return sorted(np.argsort(-wrong, kind="stable")[:CLASSES].tolist())


def confusion_matrix(
    counts: NDArray[np.int64], classes: Sequence[str], shown: Sequence[int]
) -> dict[str, Any]:
    """Return the content of a `Matrix`: images by class (rows) and predicted class (columns)."""
    part = np.ix_(shown, shown)
    shares = (counts / np.maximum(1, counts.sum(1, keepdims=True)))[part]
    rest = "" if len(shown) == len(classes) else f" ({len(shown)} of {len(classes)} classes)"
    return matrix(
        f"images by class (rows) and predicted class (columns){rest}",
        [short_label(classes[i]) for i in shown],
        [short_label(classes[i]) for i in shown],
        shares,
        [[str(n or "") for n in row] for row in counts[part].tolist()],
        [[f"{share:.0%} of the class" for share in row] for row in shares.tolist()],
        small=True,
        heads=True,
        unit=" images",
        hint="Rows: classes; columns: predictions. A cell shows its images, a row head its class.",
    )


def class_table(counts: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Return the content of a `Table`: images, recall and most frequent mistake of every class."""
    recalls = class_recalls(pd.DataFrame(counts))
    wrong = counts - np.diag(counts.diagonal())
    rows = []
    for i, (images, recall) in enumerate(recalls.to_numpy().tolist()):
        most = int(wrong[i].argmax())
        mistake = f"{classes[most]} ({wrong[i, most]})" if wrong[i, most] else ""
        share = "no images" if images == 0 else f"{recall:.1%}"
        cells = [cell(classes[i]), cell(images, f"{images:.0f}"), cell(recall, share)]
        rows.append({"key": str(i), "cells": [*cells, cell(mistake)]})
    columns = [
        column("class", "text"),
        column("images"),
        column("recall", about="share of the images of the class that are recognised"),
        column("most often taken for", "text", about="prediction, and number of images"),
    ]
    return {
        "title": "recall of every class",
        "columns": columns,
        "rows": rows,
        "search": "find a class" if len(classes) > 10 else None,
    }


def short_label(name: str) -> str:
    """Return the name of a class for a matrix. A long one loses its middle."""
    return name if len(name) <= 22 else f"{name[:12]}…{name[-9:]}"
