"""The images of a domain, what a network says of them, and where it errs."""

import base64
import html
import io
from collections.abc import Iterable

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from mpnas_kit import plots
from mpnas_kit.analysis.predictions import confident_mistakes, confusion, predictions
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.training.stage import TrainResult
from mpnas_kit.widgets.view import Explorer, Matrix, matrix

IMAGES = 24  # in a gallery
EVERY, MISTAKES = "all images", "most confident mistakes"


class DomainBrowser(Explorer):
    """Images of a domain; with a trained network also its predictions and confusion matrix.

    A cell of the confusion matrix shows the images behind it. selected: indices, in the split, of
    the images in the gallery.
    """

    alt = "images of the domain"

    def __init__(self, suite: DomainSuite, trained: TrainResult | None = None) -> None:
        super().__init__()
        self.suite, self.trained = suite, trained
        self._known: dict[tuple[str, str], pd.DataFrame] = {}
        self.domain = ipywidgets.Dropdown(options=suite.names, description="domain")
        self.split = ipywidgets.Dropdown(options=SPLITS, value="test", description="split")
        which = [EVERY] if trained is None else [EVERY, MISTAKES]
        self.which = ipywidgets.Dropdown(options=which, description="show")
        self.gallery, self.matrix = ipywidgets.HTML(), Matrix()
        self.selected: list[int] = []
        for control in (self.domain, self.split):
            self._when(control, self._change, "value")
        self._when(self.which, self._draw, "value")
        self._when(self.matrix, self._draw, "selected")
        self._change()
        controls = ipywidgets.HBox([self.domain, self.split, self.which])
        views = [self.gallery] if trained is None else [self.gallery, self.matrix]
        self._show(controls, *views)

    @property
    def _domain(self) -> Domain:
        return self.suite[self.domain.value]

    def table(self) -> pd.DataFrame:
        """`predictions` of the domain and split; without a network images and labels alone."""
        key = (self.domain.value, self.split.value)
        if key not in self._known:
            domain, split = self._domain, getattr(self._domain, self.split.value)
            self._known[key] = (
                pd.DataFrame({"image": range(len(split)), "label": split.labels.numpy()})
                if self.trained is None
                else predictions(self.trained, domain, self.split.value)
            )
        return self._known[key]

    def _change(self) -> None:
        """Another domain or split: its confusion matrix, no cell of it chosen."""
        if self.trained is not None:
            classes = self._domain.classes
            counts = confusion(self.table(), len(classes)).to_numpy()
            shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
            texts = [[str(n or "") for n in row] for row in counts]
            title = "images by class (rows) and predicted class (columns)"
            self.matrix.selected = []
            self.matrix.content = matrix(title, classes, classes, shares, texts, small=True)
        self._draw()

    def _draw(self) -> None:
        table = self.table()
        if self.which.value == MISTAKES:
            table = confident_mistakes(table)
        if self.matrix.selected:
            label, predicted = self.matrix.selected
            table = table[(table["label"] == label) & (table["predicted"] == predicted)]
        if self.which.value == EVERY:  # some of every class rather than the first ones
            table = table.iloc[np.linspace(0, len(table) - 1, min(IMAGES, len(table))).astype(int)]
        table = table.head(IMAGES)
        self.selected = table["image"].tolist()
        self.gallery.value = self._images(table)

    def _images(self, table: pd.DataFrame) -> str:
        domain, images = self._domain, getattr(self._domain, self.split.value).images
        items = []
        for row in table.to_dict("records"):
            name = domain.classes[row["label"]]
            said = f"class {name}"
            line = html.escape(name)
            if self.trained is not None:
                other = domain.classes[row["predicted"]]
                said += f", predicted {other}, confidence {row['confidence']:.0%}"
                wrong = "" if row["right"] else ' class="wrong"'
                sign = "✓" if row["right"] else "✗"
                line += f"<br><span{wrong}>{sign} {html.escape(other)}</span>"
                line += f" {row['confidence']:.0%}"
            data = _png(images[row["image"]].numpy())
            picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(said)}">'
            items.append(f"<li>{picture}{line}</li>")
        told = "" if items else "<p>no such image</p>"
        return f'<div class="mpnas"><ul class="gallery">{"".join(items)}</ul>{told}</div>'

    def figure(self) -> Figure:
        """As `plots.samples`, of the domain."""
        figure = plots.samples(self._domain, split=self.split.value).get_figure(root=True)
        assert figure is not None
        return figure

    def rehearse(self) -> None:
        """Set every control, and choose a cell of the confusion matrix."""
        super().rehearse()
        if self.trained is not None:
            self.matrix.selected = [0, 0]
            self.matrix.selected = []


def _png(image: Iterable[object]) -> str:
    """uint8 (C, H, W) as a PNG, base64."""
    pixels = np.asarray(image).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
