"""Explorer of images, predictions and mistakes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.analysis.mistakes import (
    confusion,
    first_predictions,
    images_at,
    top_predictions,
)
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import require_type
from mpnas_kit.widgets.confusion_view import (
    CLASSES,
    ConfusionMap,
    class_table,
    classes_shown,
    confusion_matrix,
    filled,
)
from mpnas_kit.widgets.focus import Focus
from mpnas_kit.widgets.gallery_view import Gallery, png, sprite
from mpnas_kit.widgets.matrix_view import Matrix
from mpnas_kit.widgets.table_view import ASCENDING, Table
from mpnas_kit.widgets.view import Explorer

EVERY = -1  # value of a choice of a class: no choice
ALL, RIGHT, WRONG = "all", "right", "wrong"
AS_IN_SPLIT, MOST_SURE, LEAST_SURE = "as in the split", "most confident first", "least confident"


class DomainBrowser(Explorer):
    """All images of a domain. With a trained network also its predictions and mistakes.

    The images are shown page by page, and each can be enlarged. They can be filtered by class, by
    predicted class and by right and wrong, and ordered by confidence.

    The confusion matrix shows the images behind a cell. Of more than 40 classes it has those with
    the most mistakes, or those that a chosen class is confused with, and a map shows all of them.
    A table has the recall of every class.

    suite: domains to show.
    trained: training whose predictions are shown; None: images and their classes only. The same
    holds for a domain that was not trained.
    focus: choice that other explorers share; None: its own. The explorer shows the domain of the
    focus.

    The controls `domain`, `split`, `label`, `predicted`, `shown` and `order` have a `value` that
    can be set. The attribute `selected` has the indices (in the split) of the images on the page.
    `table()` returns the predictions of the chosen domain and split.

    >>> browser = mk.widgets.DomainBrowser(suite, trained)
    >>> len(browser.selected)
    16
    """

    alt = "images of the domain"

    def __init__(
        self,
        suite: DomainSuite,
        trained: TrainResult | None = None,
        *,
        focus: Focus | None = None,
    ) -> None:
        require_type(suite, DomainSuite, "DomainBrowser: suite")
        if trained is not None:
            require_type(trained, TrainResult, "DomainBrowser: trained")
        super().__init__("Images")
        self.suite, self.trained = suite, trained
        self.focus = Focus(suite.names) if focus is None else focus
        self.selected: list[int] = []
        self._known: dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]] = {}
        self._counts: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)
        self._classes: list[int] = []  # in the confusion matrix
        self._around: int | None = None  # class to which the confusion matrix belongs
        self._matching = pd.DataFrame()
        self._held = False

        def choice(name: str, options: Any, **more: Any) -> ipywidgets.Dropdown:
            return ipywidgets.Dropdown(options=options, description=name, **more)

        self.domain = choice("domain", suite.names)
        self.split = choice("split", SPLITS, value="test")
        self.label, self.predicted = choice("class", [ALL]), choice("predicted", [ALL])
        self.shown = choice("show", [ALL, RIGHT, WRONG])
        self.order = choice("order", [AS_IN_SPLIT, MOST_SURE, LEAST_SURE])
        self.gallery, self.scores, self.matrix = Gallery(), ipywidgets.HTML(), Matrix()
        self.classes, self.map = Table(order=[2, ASCENDING]), ConfusionMap()
        self._sides = ipywidgets.Box([self.matrix, self.classes, self.map])
        self._sides.add_class("mpnas-sides")
        for control in (self.domain, self.split):
            self._hear(control, self._change, "value")
        self._hear(self.label, lambda: self._choose(self.label.value, self._column), "value")
        for control in (self.predicted, self.shown, self.order):
            self._hear(control, self._filter, "value")
        self._hear(self.gallery, self._turn, "first", "capacity")
        self._hear(self.gallery, self._enlarge, "opened")
        self._hear(self.matrix, self._choose_cell, "selected")
        self.matrix.on_msg(lambda _, head, buffers: self._try(lambda: self._choose_head(head)))
        self._hear(self.map, self._choose_in_map, "selected")
        self._hear(self.classes, self._choose_class, "selected")
        self._when(self.focus, self._follow, "domain")
        if self.focus.domain in suite.names:
            self.domain.value = self.focus.domain
        self._fill()
        controls = [self.domain, self.split, self.label]
        views: list[ipywidgets.Widget] = [self.gallery]
        if trained is not None:
            controls += [self.predicted, self.shown, self.order]
            views += [self.scores, self._sides]
        choices = ipywidgets.HBox(controls)
        choices.add_class("mpnas-choices")
        self._show(choices, *views)

    # What is shown -------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """Return the predictions for the chosen domain and split, one row per image.

        Columns as of `analysis.predictions`; without a network only image and label.
        """
        return self._read()[0]

    def data(self) -> pd.DataFrame:
        """Return one row per image that matches the choices, in the order of the gallery.

        Columns domain, split, image (index in the split) and class; with a network also predicted
        (name of a class), confidence (0 to 1) and right.
        """
        rows, classes = self._matching, np.array(self._domain.classes)
        found = pd.DataFrame({"image": rows["image"], "class": classes[rows["label"]]})
        found.insert(0, "domain", self.domain.value)
        found.insert(1, "split", self.split.value)
        if self._predicts:
            found["predicted"] = classes[rows["predicted"]]
            found = found.join(rows[["confidence", "right"]])
        return found.reset_index(drop=True)

    def figure(self) -> Figure:
        """Return the figure of `plots.samples` for the chosen domain and split."""
        figure = plots.samples(self._domain, split=self.split.value).get_figure(root=True)
        assert figure is not None
        return figure

    def _calls(self) -> list[str]:
        network = "" if self.trained is None else ", trained"
        names = ["domain", "split", "label", "predicted", "shown", "order"]
        usual = [self.suite.names[0], "test", EVERY, EVERY, ALL, AS_IN_SPLIT]
        values = [getattr(self, name).value for name in names]
        lines = [
            f"browser.{name}.value = {value!r}"
            for name, value, first in zip(names, values, usual, strict=True)
            if value != first
        ]
        return [f"browser = mk.widgets.DomainBrowser(suite{network})", *lines, "browser"]

    @property
    def _domain(self) -> Domain:
        return self.suite[self.domain.value]

    @property
    def _predicts(self) -> bool:
        """Whether there are predictions for the chosen domain."""
        return self.trained is not None and self.domain.value in self.trained.paths

    @property
    def _column(self) -> int:
        return int(self.predicted.value)

    def _read(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the predictions, and those with the next likeliest classes; computed once."""
        key = (self.domain.value, self.split.value)
        if key not in self._known:
            if self.trained is None or not self._predicts:
                labels = self._domain.split(self.split.value).labels.numpy()
                own = pd.DataFrame({"image": range(len(labels)), "label": labels})
                self._known[key] = own, pd.DataFrame()
            else:
                top = top_predictions(self.trained, self._domain, self.split.value)
                self._known[key] = first_predictions(top), top
        return self._known[key]

    # What is chosen ------------------------------------------------------------------------------

    def _hear(self, control: traitlets.HasTraits, react: Callable[[], None], *on: str) -> None:
        """Call `react` whenever a person, or Python, sets one of the traits `on` of a control."""
        self._when(control, lambda: None if self._held else react(), *on)

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Inside, controls are set together, and none of them is answered by itself."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _follow(self) -> None:
        if self.focus.domain in self.suite.names:
            self.domain.value = self.focus.domain

    def _change(self) -> None:
        """Show another domain or split, with no class chosen."""
        if self.domain.value in self.focus.domains:
            self.focus.domain = self.domain.value
        self._fill()

    def _fill(self) -> None:
        names = self._domain.classes
        with self._hold():
            options = [("all classes", EVERY), *((name, i) for i, name in enumerate(names))]
            for control in (self.label, self.predicted):
                control.options = options
                control.value = EVERY
            self._around = None
            display = None if self._predicts else "none"
            self.scores.layout.display = self._sides.layout.display = display
            if self._predicts:
                self._counts = confusion(self.table(), len(names)).to_numpy()
                self.scores.value = self._scores()
                self.classes.content = class_table(self._counts, names)
                many = len(names) > CLASSES
                title = "confusion matrix of all classes: class (rows), prediction (columns)"
                with self.map.hold_sync():
                    self.map.counts = filled(self._counts) if many else b""
                    self.map.content = {"title": title, "classes": names} if many else {}
                self._fill_matrix()
        self._filter()

    def _fill_matrix(self) -> None:
        self._classes = classes_shown(self._counts, self._around)
        self.matrix.selected = []
        self.matrix.content = confusion_matrix(self._counts, self._domain.classes, self._classes)

    def _scores(self) -> str:
        """Return the accuracies in words."""
        images = self._counts.sum(1)
        there = images > 0
        recalls = self._counts.diagonal()[there] / images[there]
        right = self._counts.trace() / images.sum()
        words = (
            f"Top-1 {right:.1%}, macro {recalls.mean():.1%} (mean recall of {len(recalls)} classes)"
        )
        absent = len(images) - len(recalls)
        if absent:
            words += f"; {absent} {'class has' if absent == 1 else 'classes have'} no image here"
        return f'<p class="mpnas">{words}.</p>'

    def _choose(self, label: int, predicted: int, around: bool = True) -> None:
        """Choose a class and a predicted class. around: whether the matrix turns to the class."""
        with self._hold():
            self.label.value, self.predicted.value = label, predicted
            wanted = label if label != EVERY else None
            if around and self._predicts and wanted != self._around:
                self._around = wanted
                if len(self._counts) > CLASSES:
                    self._fill_matrix()
        self._filter()

    def _choose_cell(self) -> None:
        cell = [self._classes[i] for i in self.matrix.selected] or [EVERY, EVERY]
        self._choose(cell[0], cell[1], around=False)

    def _choose_head(self, head: dict[str, Any]) -> None:
        index = self._classes[int(head["index"])]
        both = (index, EVERY) if head["choose"] == "row" else (EVERY, index)
        self._choose(*both, around=False)

    def _choose_in_map(self) -> None:
        label, predicted = self.map.selected or [EVERY, EVERY]
        self._choose(label, predicted)

    def _choose_class(self) -> None:
        self._choose(int(self.classes.selected or EVERY), EVERY)

    def _filter(self) -> None:
        """Show the images that match the choices, from the first page on."""
        rows, label, predicted = self.table(), self.label.value, self._column
        if label != EVERY:
            rows = rows[rows["label"] == label]
        if self._predicts:
            if predicted != EVERY:
                rows = rows[rows["predicted"] == predicted]
            if self.shown.value != ALL:
                rows = rows[rows["right"] == (self.shown.value == RIGHT)]
            if self.order.value != AS_IN_SPLIT:
                up = self.order.value == LEAST_SURE
                rows = rows.sort_values("confidence", ascending=up, kind="stable")
        self._matching = rows
        with self._hold():
            cell = [label, predicted] if EVERY not in (label, predicted) else []
            self.map.selected, self.map.marked = cell, label
            inside = all(i in self._classes for i in cell)
            self.matrix.selected = [self._classes.index(i) for i in cell] if inside else []
            self.classes.selected = "" if label == EVERY else str(label)
            self.gallery.first, self.gallery.opened = 0, -1
        self._turn()

    # The gallery ---------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Send the page that has the image `first`."""
        size, total = max(1, self.gallery.capacity), len(self._matching)
        first = min(max(0, self.gallery.first), max(0, total - 1)) // size * size
        page = self._matching.iloc[first : first + size]
        self.selected = page["image"].tolist()
        picture, grid = b"", [1, 1]
        if len(page):
            picture, grid = sprite(images_at(self._domain, self.split.value, self.selected))
        items = [self._item(row) for row in page.to_dict("records")]
        with self._hold(), self.gallery.hold_sync():
            self.gallery.first = first
            self.gallery.sprite = picture
            self.gallery.content = {"total": total, "first": first, "items": items, "grid": grid}

    def _item(self, row: dict[Any, Any]) -> dict[str, Any]:
        """Return an image in words: its alternative text, and the lines below it."""
        name = self._domain.classes[row["label"]]
        if not self._predicts:
            return {"alt": f"class {name}", "lines": [name], "right": True}
        other, sure = self._domain.classes[row["predicted"]], f"{row['confidence']:.0%}"
        sign = "✓" if row["right"] else "✗"
        alt = f"class {name}, predicted {other}, confidence {sure}"
        return {
            "alt": alt,
            "lines": [name, f"{sign} {other} · {sure}"],
            "right": bool(row["right"]),
        }

    def _enlarge(self) -> None:
        """Send the image `opened` in its own size, and the page that has it."""
        index, total = self.gallery.opened, len(self._matching)
        if not 0 <= index < total:
            return
        page = index // self.gallery.capacity * self.gallery.capacity
        if page != self.gallery.first:
            with self._hold():
                self.gallery.first = page
            self._turn()
        row, classes = self._matching.iloc[index].to_dict(), self._domain.classes
        image = int(row["image"])
        (pixels,) = images_at(self._domain, self.split.value, [image])
        item, top = self._item(row), self._read()[1]
        likely = [] if top.empty else top[top["image"] == image].to_dict("records")
        with self.gallery.hold_sync():
            self.gallery.large = png(pixels)
            self.gallery.details = {
                "index": index,
                "total": total,
                "title": classes[int(row["label"])],
                "facts": (
                    f"{index + 1:,} of {total:,}. Image {image} of the {self.split.value} split of "
                    f"{self.domain.value}, {pixels.shape[2]} x {pixels.shape[1]} pixels."
                ),
                "alt": item["alt"],
                "top": [
                    {
                        "name": classes[one["predicted"]],
                        "share": float(one["confidence"]),
                        "is": one["predicted"] == row["label"],
                    }
                    for one in likely
                ],
            }

    def rehearse(self) -> None:
        """Set every control, enlarge an image, and select a cell of the confusion matrix."""
        super().rehearse()
        self.gallery.opened = 0
        self.gallery.opened = -1
        if self._predicts:
            self.matrix.selected = [0, 0]
            self.matrix.selected = []
