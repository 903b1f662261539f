"""Explorer of a training's domain weights, and of the weights that other settings would give."""

from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.difficulty import difficulties, replayed
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.training.result import TrainResult
from mpnas_kit.widgets.view import Chart, Explorer, numbers

POINTS = 200  # points of a line at most


class PrioritizationExplorer(Explorer):
    """Weights, difficulties, losses and accuracies of every domain over a training.

    Solid lines are recorded values. Dashed lines are the weights that ABDP with the settings of the
    sliders would have given for the recorded losses.

    trained: result of a training.

    The property `prioritization` is ABDP with the settings of the sliders.

    >>> mk.widgets.PrioritizationExplorer(trained).prioritization
    ABDP(start=1.0, end=0.25, schedule='exponential', decay=0.95)
    """

    alt = "weights and difficulties of every domain over the steps of the training"

    def __init__(self, trained: TrainResult) -> None:
        super().__init__("Prioritization")
        self.trained = trained
        used = trained.config.prioritization
        start = used if isinstance(used, ABDP) else ABDP()
        style = {"description_width": "initial"}
        log = {"base": 10, "min": -1.3, "max": 1.0, "step": 0.02, "style": style}
        late = {"continuous_update": False, "readout_format": ".2f"}
        self.start = ipywidgets.FloatLogSlider(
            _within(start.start), description="start temperature", **log, **late
        )
        self.end = ipywidgets.FloatLogSlider(
            _within(start.end), description="end temperature", **log, **late
        )
        self.schedule = ipywidgets.Dropdown(
            options=["exponential", "linear", "constant"],
            value=start.schedule,
            description="schedule",
        )
        self.decay = ipywidgets.FloatSlider(
            start.decay, min=0, max=0.995, step=0.005, description="decay", **late
        )
        recorded, history = difficulties(trained), trained.history
        self._panels = [
            _panel("weight (dashed: with the sliders' settings)", recorded, "weight"),
            _panel("difficulty", recorded, "difficulty"),
            _panel("loss (nats)", history, "loss"),
            {**_panel("accuracy on training batches", history, "accuracy"), "percent": True},
        ]
        self.chart = Chart()
        for control in (self.start, self.end, self.schedule, self.decay):
            self._when(control, self._draw, "value")
        self._draw()
        self._show(
            ipywidgets.HBox([self.start, self.end]),
            ipywidgets.HBox([self.schedule, self.decay]),
            self.chart,
        )

    @property
    def prioritization(self) -> ABDP:
        """ABDP with the settings of the sliders."""
        return ABDP(self.start.value, self.end.value, self.schedule.value, self.decay.value)

    def _draw(self) -> None:
        weights, *others = self._panels
        other = _panel("", replayed(self.trained, self.prioritization), "weight", dashed=True)
        both = {**weights, "series": [*weights["series"], *other["series"]]}
        domains = list(self.trained.paths)
        self.chart.content = {
            "panels": [both, *others],
            "colors": plots.domain_colors(domains),
            "legend": True,
            "x_title": "step",
        }

    def figure(self) -> Figure:
        """Return the figure of `plots.weights_and_difficulties`."""
        return plots.weights_and_difficulties(self.trained)


def _within(value: float) -> float:
    return min(10.0, max(0.05, value))


def _panel(title: str, table: pd.DataFrame, column: str, dashed: bool = False) -> dict[str, Any]:
    series = [
        {"name": name, **_thinned(own, column), "dashed": dashed}
        for name, own in table.groupby("domain", sort=False)
    ]
    return {"title": title, "series": series}


def _thinned(own: pd.DataFrame, column: str) -> dict[str, Any]:
    """Return a line of at most `POINTS` points, each the mean of an interval of steps."""
    own = own[own[column].notna()]
    width = -(-len(own) // POINTS) or 1
    means = own[["step", column]].groupby(pd.Series(range(len(own)), own.index) // width).mean()
    return {"x": numbers(means["step"]), "y": numbers(means[column])}
