"""Explorer of a training's domain weights, and of the weights that other settings would give."""

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.difficulty import difficulties, replayed
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import require_type
from mpnas_kit.widgets.focus import Focus
from mpnas_kit.widgets.lines import Group, Lines, Panel, smoothing
from mpnas_kit.widgets.means import Means
from mpnas_kit.widgets.slider import Slider
from mpnas_kit.widgets.view import Explorer

METRICS = {
    "weight": "weight of the loss",
    "difficulty": "difficulty",
    "loss": "loss (nats)",
    "accuracy": "accuracy on training batches",
}  # title of the panel of every metric
RANGE = 0.05, 10.0  # of a temperature
LARGEST = 0.995  # decay


class PrioritizationExplorer(Explorer):
    """Weights, difficulties, losses and accuracies of every domain over a training.

    Solid lines are recorded values. Dashed lines are the weights that ABDP with the settings of the
    sliders would have given for the recorded losses.

    trained: result of a training.
    focus: choice that the explorer shares with others. None: it has its own.

    The property `prioritization` is ABDP with the settings of the sliders.

    >>> mk.widgets.PrioritizationExplorer(trained).prioritization
    ABDP(start=1.0, end=0.25, schedule='exponential', decay=0.95)
    """

    alt = "weights and difficulties of every domain over the steps of the training"

    def __init__(self, trained: TrainResult, *, focus: Focus | None = None) -> None:
        super().__init__("Prioritization")
        require_type(trained, TrainResult, "trained")
        self.trained = trained
        used = trained.config.prioritization
        start = used if isinstance(used, ABDP) else ABDP()
        self.start = Slider("start temperature", _within(start.start), *RANGE, log=True)
        self.end = Slider("end temperature", _within(start.end), *RANGE, log=True)
        self.schedule = ipywidgets.Dropdown(
            options=["exponential", "linear", "constant"],
            value=start.schedule,
            description="schedule",
        )
        self.decay = Slider("decay", min(start.decay, LARGEST), 0.0, LARGEST)
        steps, domains = trained.config.steps, list(trained.paths)
        self._recorded = difficulties(trained)
        self._means = Means([*METRICS, "replayed"], domains, steps)
        self._means.add_table(trained.history[["step", "domain", "loss", "accuracy"]])
        self._means.add_table(self._recorded)
        self.focus = Focus(domains) if focus is None else focus
        self.chart = Lines(domains, self.focus.domains)
        self.chart.smoothing = smoothing(steps)
        self._follows = False
        for control in (self.start, self.end, self.schedule, self.decay):
            self._when(control, self._draw, "value")
        self._when(self.chart, self._choose, "domain", "step")
        self._when(self.focus, self._follow, "domain", "train_step")
        self._follow()
        self._draw()
        choices = ipywidgets.HBox([self.start, self.end, self.schedule, self.decay])
        choices.add_class("mpnas-choices")
        self._show(choices, self.chart)

    @property
    def prioritization(self) -> ABDP:
        """ABDP with the settings of the sliders."""
        return ABDP(self.start.value, self.end.value, self.schedule.value, self.decay.value)

    def _draw(self) -> None:
        self._means.replace("replayed", replayed(self.trained, self.prioritization), "weight")
        panels = []
        for name, title in METRICS.items():
            steps, means = self._means.line(name)
            groups = [Group(means)]
            if name == "weight":
                _, again = self._means.line("replayed")
                groups = [Group(means, "recorded"), Group(again, "with the sliders", dashed=True)]
            if len(steps):
                panels.append(Panel(title, steps, groups, percent=name == "accuracy"))
        width = self._means.width
        self.chart.show(panels, f"each point: mean of {width} steps" if width > 1 else "")

    def _choose(self) -> None:
        """Write to the focus what was chosen in the chart."""
        if not self._follows:
            with self.focus.hold_trait_notifications():
                self.focus.domain, self.focus.train_step = self.chart.domain, self.chart.step

    def _follow(self) -> None:
        """Show what the focus chooses. A domain that is not here counts as not chosen."""
        self._follows = True
        try:
            known = self.focus.domain in self.trained.paths
            self.chart.domain = self.focus.domain if known else ""
            self.chart.step = self.focus.train_step
        finally:
            self._follows = False

    def data(self) -> pd.DataFrame:
        """Return the recorded and the replayed values, one row per step and drawn domain.

        Columns: step (from 1), domain, weight, difficulty, loss (nats), accuracy (on the training
        batch, 0 to 1), replayed_weight (with the settings of the sliders).
        """
        keys = ["step", "domain"]
        again = replayed(self.trained, self.prioritization)
        return self._recorded.merge(
            self.trained.history[[*keys, "loss", "accuracy"]], on=keys, how="left"
        ).merge(again.rename(columns={"weight": "replayed_weight"}), on=keys, how="left")

    def _calls(self) -> list[str]:
        sliders = {"start": self.start, "end": self.end, "schedule": self.schedule}
        sliders["decay"] = self.decay
        return [
            "explorer = mk.widgets.PrioritizationExplorer(trained)",
            *[f"explorer.{name}.value = {slider.value!r}" for name, slider in sliders.items()],
            *self.chart.code("explorer.chart"),
            *self.focus.code("explorer", ["domain", "train_step"], list(self.trained.paths)),
            "explorer",
        ]

    def figure(self) -> Figure:
        """Return the figure of `plots.weights_and_difficulties`."""
        return plots.weights_and_difficulties(self.trained)


def _within(value: float) -> float:
    return min(RANGE[1], max(RANGE[0], value))
