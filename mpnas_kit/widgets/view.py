"""What all explorers have in common: views in the browser, static twins, errors that show.

A view is a module of JavaScript that draws what it is sent and sends back what was chosen. Nothing
is loaded from elsewhere.
"""

import html
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import traitlets
from matplotlib.figure import Figure

from mpnas_kit.notebook import picture, show

_HERE = Path(__file__).parent
_COMMON = (_HERE / "common.js").read_text(encoding="utf-8")
STYLE = (_HERE / "widgets.css").read_text(encoding="utf-8")


def script(name: str) -> str:
    """The module of a view, with what all of them share."""
    return _COMMON + (_HERE / name).read_text(encoding="utf-8")


class Twin:
    """Has a static twin, which stands where there is no JupyterLab: in reports, on paper."""

    alt = ""
    """What the twin shows, in words."""

    def figure(self) -> Figure | None:
        """The same as a figure, as it is now; None while there is nothing to show."""
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
    """Panels of lines or points. `content`: see `chart`; `selected`: the key of a point, or ''."""

    _esm = script("chart.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)


class Policy(anywidget.AnyWidget):
    """The probability of every choice, domain by domain. `content`: domains, layers, choices."""

    _esm = script("policy.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)


class Matrix(anywidget.AnyWidget):
    """A table of shaded values. `content`: see `matrix`; `selected`: [row, column], or []."""

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
    """The content of a `Matrix`. values: 0 to 1, the shade; texts: what stands in the cells."""
    return {
        "title": title,
        "rows": list(map(str, rows)),
        "columns": list(map(str, columns)),
        "values": [numbers(row) for row in values],
        "texts": None if texts is None else [list(map(str, row)) for row in texts],
        "small": small,
    }


def numbers(values: Iterable[Any]) -> list[float | None]:
    """As JSON has them: None where there is no number; five digits are enough to draw."""
    return [
        None if v is None or math.isnan(v) or math.isinf(v) else float(f"{v:.5g}") for v in values
    ]


class Explorer(Twin, ipywidgets.VBox):  # type: ignore[misc]
    """Controls and views. What fails in a callback stands on top of it, and is raised too.

    So an error is seen by who clicks, and ends a run without a person in which a control is set.
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
            told = html.escape(f"{type(error).__name__}: {error}")
            self._problem.value = f'<div class="mpnas problem" role="alert">{told}</div>'
            raise
        self._problem.value = ""

    def rehearse(self) -> None:
        """Set every control to each of a few values and back, as a person would.

        What is broken in a callback is raised here: so a batch run of a notebook fails.
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
    """Other values that a control can take."""
    if hasattr(control, "options"):
        return [value for _, value in control._options_full][:4]
    if isinstance(control, ipywidgets.FloatLogSlider):
        return [control.base**control.min, control.base**control.max]
    if hasattr(control, "min"):
        return [control.min, control.max]
    return []
