"""Explorer of images, predictions and mistakes."""

import base64
import html
import io
from collections.abc import Iterable

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mpnas_kit import plots
from mpnas_kit.analysis.mistakes import (
    class_recalls,
    confident_mistakes,
    confusion,
    images_at,
    predictions,
)
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.training.result import TrainResult
from mpnas_kit.widgets.view import Explorer, Matrix, matrix

IMAGES = 24  # images in the gallery at most
CLASSES = 40  # classes in the confusion matrix at most
EVERY, MISTAKES = "all images", "most confident mistakes"


class DomainBrowser(Explorer):
    """Images of a domain. With a trained network also its predictions and the confusion matrix.

    A click on a cell of the confusion matrix shows the images behind it. Beside a class are its
    recall and its number of images. Of more than 40 classes, the matrix has those with the most
    mistakes.

    suite: domains to show.
    trained: training whose predictions are shown; None: images and their classes only.

    The attribute `selected` has the indices (in the split) of the images in the gallery. `table()`
    returns the predictions of the chosen domain and split.

    >>> browser = mk.widgets.DomainBrowser(suite, trained)
    >>> len(browser.selected)
    16
    """

    alt = "images of the domain"

    def __init__(self, suite: DomainSuite, trained: TrainResult | None = None) -> None:
        super().__init__("Images")
        self.suite, self.trained = suite, trained
        self._known: dict[tuple[str, str], pd.DataFrame] = {}
        self.domain = ipywidgets.Dropdown(options=suite.names, description="domain")
        self.split = ipywidgets.Dropdown(options=SPLITS, value="test", description="split")
        which = [EVERY] if trained is None else [EVERY, MISTAKES]
        self.which = ipywidgets.Dropdown(options=which, description="show")
        self.gallery, self.scores, self.matrix = ipywidgets.HTML(), ipywidgets.HTML(), Matrix()
        self.selected: list[int] = []
        self._classes: list[int] = []  # in the confusion matrix
        for control in (self.domain, self.split):
            self._when(control, self._change, "value")
        self._when(self.which, self._draw, "value")
        self._when(self.matrix, self._draw, "selected")
        self._change()
        controls = ipywidgets.HBox([self.domain, self.split, self.which])
        views = [self.gallery] if trained is None else [self.gallery, self.scores, self.matrix]
        self._show(controls, *views)

    @property
    def _domain(self) -> Domain:
        return self.suite[self.domain.value]

    def table(self) -> pd.DataFrame:
        """Return the predictions for the chosen domain and split, one row per image.

        Columns as of `analysis.predictions`; without a network only image and label.
        """
        key = (self.domain.value, self.split.value)
        if key not in self._known:
            domain, split = self._domain, self._domain.split(self.split.value)
            self._known[key] = (
                pd.DataFrame({"image": range(len(split)), "label": split.labels.numpy()})
                if self.trained is None
                else predictions(self.trained, domain, self.split.value)
            )
        return self._known[key]

    def _change(self) -> None:
        """Show another domain or split: its confusion matrix, with no cell selected."""
        if self.trained is not None:
            classes = self._domain.classes
            matrix_of_all = confusion(self.table(), len(classes))
            recalls, counts = class_recalls(matrix_of_all), matrix_of_all.to_numpy()
            self._classes = _with_most_mistakes(counts)
            self.scores.value = self._scores(recalls)
            shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
            part = np.ix_(self._classes, self._classes)
            texts = [[str(n or "") for n in row] for row in counts[part]]
            rows = [_with_recall(classes[i], *recalls.iloc[i]) for i in self._classes]
            columns = [_short_label(classes[i]) for i in self._classes]
            title = "images by class (rows) and predicted class (columns)"
            self.matrix.selected = []
            self.matrix.content = matrix(title, rows, columns, shares[part], texts, small=True)
        self._draw()

    def _scores(self, recalls: pd.DataFrame) -> str:
        """Return the accuracies in words, and which classes the confusion matrix has."""
        right = float(self.table()["right"].mean())
        there = recalls["recall"].dropna()
        words = f"Top-1 {right:.1%}, macro {there.mean():.1%} (mean recall of {len(there)} classes)"
        if len(there) < len(recalls):
            absent = len(recalls) - len(there)
            words += f"; {absent} {'class has' if absent == 1 else 'classes have'} no image here"
        hidden = len(recalls) - len(self._classes)
        if hidden:
            words += (
                f". Below: the {len(self._classes)} classes with the most mistakes, and {hidden:,} "
                "more are not shown"
            )
        return f'<p class="mpnas">{words}. Rows: class, recall, images; columns: prediction.</p>'

    def _draw(self) -> None:
        table = self.table()
        if self.which.value == MISTAKES:
            table = confident_mistakes(table)
        if self.matrix.selected:
            label, predicted = (self._classes[i] for i in self.matrix.selected)
            table = table[(table["label"] == label) & (table["predicted"] == predicted)]
        if self.which.value == EVERY:  # spread over the split, not only its first images
            table = table.iloc[np.linspace(0, len(table) - 1, min(IMAGES, len(table))).astype(int)]
        table = table.head(IMAGES)
        self.selected = table["image"].tolist()
        self.gallery.value = self._images(table)

    def _images(self, table: pd.DataFrame) -> str:
        domain, items = self._domain, []
        images = images_at(domain, self.split.value, table["image"])
        for row, image in zip(table.to_dict("records"), images, strict=True):
            name = domain.classes[row["label"]]
            alt = f"class {name}"
            line = html.escape(name)
            if self.trained is not None:
                other = domain.classes[row["predicted"]]
                alt += f", predicted {other}, confidence {row['confidence']:.0%}"
                wrong = "" if row["right"] else ' class="wrong"'
                sign = "✓" if row["right"] else "✗"
                line += f"<br><span{wrong}>{sign} {html.escape(other)}</span>"
                line += f" {row['confidence']:.0%}"
            data = _png(image)
            picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
            items.append(f"<li>{picture}{line}</li>")
        note = "" if items else "<p>No image matches this selection.</p>"
        return f'<div class="mpnas"><ul class="gallery">{"".join(items)}</ul>{note}</div>'

    def figure(self) -> Figure:
        """Return the figure of `plots.samples` for the chosen domain and split."""
        figure = plots.samples(self._domain, split=self.split.value).get_figure(root=True)
        assert figure is not None
        return figure

    def rehearse(self) -> None:
        """Set every control, and select a cell of the confusion matrix."""
        super().rehearse()
        if self.trained is not None:
            self.matrix.selected = [0, 0]
            self.matrix.selected = []


def _short_label(name: str) -> str:
    """Return the name of a class for the matrix. A long one loses its middle."""
    return name if len(name) <= 22 else f"{name[:12]}…{name[-9:]}"


def _with_recall(name: str, images: float, recall: float) -> str:
    about = "no images" if images == 0 else f"{recall:.0%} of {images:.0f}"
    return f"{_short_label(name)} · {about}"


def _with_most_mistakes(counts: NDArray[np.int64]) -> list[int]:
    """Return the classes with the most mistakes as label or prediction, in order; at most 40."""
    if len(counts) <= CLASSES:
        return list(range(len(counts)))
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    return sorted(np.argsort(-wrong, kind="stable")[:CLASSES].tolist())


def _png(image: Iterable[object]) -> str:
    """Return an image, uint8 (C, H, W), as PNG in base64."""
    pixels = np.asarray(image).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
