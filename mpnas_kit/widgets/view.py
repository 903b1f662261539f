"""Common parts of all explorers: the bar, views in the browser, static figures, visible errors.

A view is a JavaScript module of `js/src/views`, bundled into `static`. It draws the data that it
gets and sends back the selection. It loads nothing from other machines.
"""

import io
import math
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook import picture, show
from mpnas_kit.plots import style

LATE = 0.15  # seconds after which an answer counts as late
_STATIC = pathlib.Path(__file__).parent / "static"


def script(name: str) -> str:
    """Return the JavaScript module of a view. name: its file, such as `bar.js`."""
    return (_STATIC / name).read_text(encoding="utf-8")


STYLE = script("views.css") + style.palette_css(".mpnas", '[data-jp-theme-light="false"] .mpnas')


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


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Return numbers for JSON, with five digits. None stands for nan and infinity."""
    return [
        None if v is None or math.isnan(v) or math.isinf(v) else float(f"{v:.5g}") for v in values
    ]


class Bar(anywidget.AnyWidget):
    """The bar above an explorer: its name, exports, a busy mark, and errors.

    title: name of the explorer.
    busy: whether Python computes an answer.
    problem: error in words; empty: none.
    """

    _esm = script("bar.js")
    _css = STYLE
    title = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)

    @contextmanager
    def marked_if_late(self) -> Iterator[None]:
        """Set the busy mark while what is inside runs, once it takes long.

        Most answers are quick. Two messages for each of them would slow down linked explorers.
        """
        timer = threading.Timer(LATE, lambda: setattr(self, "busy", True))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            self.busy = False


class Explorer(Twin, ipywidgets.VBox):  # type: ignore[misc]
    """A bar and views. An error in a callback is shown in the bar, and raised.

    So the person who clicks sees it, and an automatic run that sets a control ends with it.

    title: name of the explorer.

    The attribute `preamble` has lines of Python that define what `code` uses.
    """

    def __init__(self, title: str) -> None:
        self.bar = Bar(title=title)
        self.bar.on_msg(lambda _, message, buffers: self._try(lambda: self._answer(message)))
        self.preamble = ["import mpnas_kit as mk"]
        super().__init__([self.bar])
        self.add_class("mpnas-explorer")

    def data(self) -> pd.DataFrame:
        """Return what the explorer shows, as a tidy table."""
        raise NotImplementedError

    def code(self) -> str:
        """Return the Python code that makes this explorer in its present state.

        It uses the results under the names `found`, `trained`, `suite` and `comparison`. Paths that
        no search has found are used as `space` and `paths`.
        """
        return "\n".join([*self.preamble, *self._calls()])

    def _calls(self) -> list[str]:
        """Return the lines of `code` after the preamble."""
        raise NotImplementedError

    def _show(self, *children: ipywidgets.Widget) -> None:
        self.children = (self.bar, *children)

    def _when(self, control: traitlets.HasTraits, react: Callable[[], None], *on: str) -> None:
        """Call `react` whenever one of the traits `on` of a control changes."""
        control.observe(lambda change: self._try(react), list(on))

    def _try(self, react: Callable[[], None]) -> None:
        with self.bar.marked_if_late():
            try:
                react()
            except Exception as error:
                self.bar.problem = f"{type(error).__name__}: {error}"
                raise
        self.bar.problem = ""

    def _answer(self, message: dict[str, Any]) -> None:
        """Send what a button of the bar asks for: a file, or code."""
        kind = str(message.get("do"))
        name = f"{self.bar.title.lower().replace(' ', '_')}.{kind}"
        if kind == "code":
            self.bar.send({"kind": kind, "text": self.code()})
        elif kind == "csv":
            content = self.data().to_csv(index=False).encode()
            self.bar.send({"kind": kind, "name": name}, [content])
        elif kind in ("svg", "png"):
            self.bar.send({"kind": kind, "name": name}, [self._image(kind)])

    def _image(self, kind: str) -> bytes:
        drawn = self.figure()
        if drawn is None:
            raise MpnasError("there is no figure yet: wait until the stage has ended.")
        file = io.BytesIO()
        with style.without_glyph_warnings():
            drawn.savefig(file, format=kind, bbox_inches="tight", dpi=200)
        plt.close(drawn)
        return file.getvalue()

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
    if hasattr(control, "min"):
        return [control.min, control.max]
    return []
