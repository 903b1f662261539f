"""A number that is set by a slider."""

from typing import Any

import anywidget
import traitlets

from mpnas_kit.settings import require
from mpnas_kit.widgets.view import STYLE, script


class Slider(anywidget.AnyWidget):
    """A number that is set by a slider with a label.

    label: name of the number.
    value: the number; it can be set. A value out of its range raises `MpnasError`.
    min, max: ends of its range.
    log: whether equal distances on the slider are equal ratios; `min` is then above 0.
    """

    _esm = script("slider.js")
    _css = STYLE
    label = traitlets.Unicode("").tag(sync=True)
    min = traitlets.Float(0.0).tag(sync=True)
    max = traitlets.Float(1.0).tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)
    value = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, label: str, value: float, min: float, max: float, log: bool = False) -> None:
        super().__init__(label=label, min=min, max=max, log=log, value=value)

    @traitlets.validate("value")
    def _inside(self, proposal: Any) -> float:
        value = float(proposal["value"])
        require(
            self.min <= value <= self.max,
            f"{self.label} must be {self.min:g} to {self.max:g}, not {value:g}.",
        )
        return value
