"""Common parts of all explorers: views in the browser, static figures, and visible errors.

A view is a JavaScript module. It draws the data that it gets and sends back the selection. It loads
nothing from other machines.
"""

import html
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import traitlets
from matplotlib.figure import Figure

from mpnas_kit.notebook import picture, show

_HERE = pathlib.Path(__file__).parent
_COMMON = (_HERE / "common.js").read_text(encoding="utf-8")
STYLE = (_HERE / "widgets.css").read_text(encoding="utf-8")


def script(name: str) -> str:
    """Return the JavaScript of a view, with the functions that all views share."""
    return _COMMON + (_HERE / name).read_text(encoding="utf-8")


class Twin:
    """A widget with a static figure, which a report or a printed page shows instead."""

    alt = ""
    """Description of the figure, in words."""

    def figure(self) -> Figure | None:
        """Return the present state as a figure; None: there is nothing to show yet."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        live = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data: dict[str, Any] = live[0] if isinstance(live, tuple) else live
        with plt.rc_context(picture.PAGE):
            drawn = self.figure()
            if drawn is None:
                return {**data, "text/plain": self.alt}
            vectors = picture.svg(drawn, self.alt)
            plt.close(drawn)
        about = {"alt": self.alt, "caption": f"{self.alt[:1].upper()}{self.alt[1:]}."}
        return {**data, show.SVG: vectors, "text/plain": self.alt}, {show.SVG: about}


class Chart(anywidget.AnyWidget):
    """Panels of lines or points.

    content: panels, each with title, series, and whether values are points and shares (percent);
    colors, by series; legend; x_title; x_log. See `chart.js`.
    selected: key of the selected point; empty: none.
    """

    _esm = script("chart.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)


class Policy(anywidget.AnyWidget):
    """Probability of every choice, one picture per domain.

    content: domains, layers and choices by name; values by domain, layer and choice.
    """

    _esm = script("policy.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)


class Matrix(anywidget.AnyWidget):
    """A table of shaded cells. content: see `matrix`. selected: [row, column], or []: no cell."""

    _esm = script("matrix.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)


def matrix(
    title: str,
    rows: Iterable[str],
    columns: Iterable[str],
    values: Iterable[Iterable[float]],
    texts: Iterable[Iterable[str]] | None = None,
    small: bool = False,
) -> dict[str, Any]:
    """Return the content of a `Matrix`.

    title: description in words. rows, columns: names.
    values: shade of every cell, 0 to 1.
    texts: text in every cell; None: no text.
    small: whether the cells are small.
    """
    return {
        "title": title,
        "rows": list(map(str, rows)),
        "columns": list(map(str, columns)),
        "values": [numbers(row) for row in values],
        "texts": None if texts is None else [list(map(str, row)) for row in texts],
        "small": small,
    }


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Return numbers for JSON, with five digits. None stands for nan and infinity."""
    return [
        None if v is None or math.isnan(v) or math.isinf(v) else float(f"{v:.5g}") for v in values
    ]


class Explorer(Twin, ipywidgets.VBox):  # type: ignore[misc]
    """Controls and views. An error in a callback is shown above them, and raised.

    So the person who clicks sees it, and an automatic run that sets a control ends with it.
    """

    def __init__(self) -> None:
        self._problem = ipywidgets.HTML()
        super().__init__([self._problem])

    def _show(self, *children: ipywidgets.Widget) -> None:
        self.children = (self._problem, *children)

    def _when(self, control: ipywidgets.Widget, react: Callable[[], None], on: str) -> None:
        """Call `react` whenever the trait `on` of a control changes."""
        control.observe(lambda change: self._try(react), on)

    def _try(self, react: Callable[[], None]) -> None:
        try:
            react()
        except Exception as error:
            message = html.escape(f"{type(error).__name__}: {error}")
            self._problem.value = f'<div class="mpnas problem" role="alert">{message}</div>'
            raise
        self._problem.value = ""

    def rehearse(self) -> None:
        """Set every control to a few values and back, as a person would.

        An error in a callback is raised here, so that an automatic run of a notebook fails.
        """
        for control in _controls(self.children):
            for value in _values(control):
                before = control.value
                control.value = value
                control.value = before


def _controls(widgets: Iterable[ipywidgets.Widget]) -> Iterable[ipywidgets.Widget]:
    for widget in widgets:
        if isinstance(widget, ipywidgets.Box):
            yield from _controls(widget.children)
        elif hasattr(widget, "value") and not isinstance(widget, ipywidgets.HTML):
            yield widget


def _values(control: ipywidgets.Widget) -> list[Any]:
    """Return some values that a control can take."""
    if hasattr(control, "options"):
        return [value for _, value in control._options_full][:4]
    if isinstance(control, ipywidgets.FloatLogSlider):
        return [control.base**control.min, control.base**control.max]
    if hasattr(control, "min"):
        return [control.min, control.max]
    return []
