"""A search as it runs: what it earns, what it costs, and what it comes to prefer."""

import html
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.errors import MpnasError
from mpnas_kit.learning.loop import Callback, StepEvent
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.widgets.view import Chart, Explorer, Policy, numbers

PANELS = {
    "reward": "reward",
    "quality": "accuracy of sampled paths",
    "cost": "cost of sampled paths",
    "entropy": "entropy over its maximum",
}
POINTS = 150  # a line has so many at most


class SearchMonitor(Explorer):
    """A callback of `search` that shows, live, reward, quality, cost and entropy of every domain,
    and the probability of every choice in every layer; it can pause, resume and stop.

    Given to `search` as a callback it works while the cell runs, where the kernel serves widgets
    beside it (subshells: ipykernel 7, JupyterLab 4.4). With `start` the search runs in a thread of
    its own, and the whole kernel stays free; `result` waits for it. Stopped, the search has ended
    its step and written a checkpoint, and goes on from it.

    every: seconds between two pictures, at least.
    """

    alt = "reward, quality, cost and entropy of every domain over the steps of the search"

    def __init__(self, space: SearchSpace, domains: Sequence[str], every: float = 0.7) -> None:
        super().__init__()
        self.space, self.domains, self.every = space, list(domains), every
        self.found: SearchResult | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._shown = 0.0
        self._forget()
        self.pause = ipywidgets.ToggleButton(False, description="Pause", icon="pause")
        self.stop = ipywidgets.ToggleButton(False, description="Stop", icon="stop")
        self.progress = ipywidgets.HTML()
        self.chart, self.policy = Chart(), Policy()
        self._say("not begun")
        self._when(self.pause, self._paused, "value")
        buttons = ipywidgets.HBox([self.pause, self.stop])
        self._show(buttons, self.progress, self.chart, self.policy)

    @classmethod
    def of(cls, found: SearchResult) -> "SearchMonitor":
        """On a finished search."""
        monitor = cls(found.space, list(found.paths))
        monitor._end(found)
        return monitor

    # While a search runs --------------------------------------------------------------------------

    def __call__(self, event: StepEvent) -> None:
        """Take note of a step; wait while paused; raise `KeyboardInterrupt` to stop."""
        if event.stage != "search":
            return
        self._try(lambda: self._take(event))
        while self.pause.value and not self.stop.value:
            time.sleep(0.05)
        if self.stop.value:
            self._say(f"stopped after step {event.step} of {event.steps}")
            raise KeyboardInterrupt

    def start(self, search: Callable[[Callback], SearchResult]) -> None:
        """Run `search(callback)` in a thread of its own; the cell ends at once."""

        def run() -> None:
            try:
                self._end(search(self))
            except KeyboardInterrupt:
                self._error = MpnasError("the search was stopped: started again, it goes on.")
            except BaseException as error:
                self._error = error
                self._say(f"failed: {error}")

        self.stop.value = self.pause.value = False
        self._error = None
        self._thread = threading.Thread(target=run, name="search", daemon=True)
        self._thread.start()

    def result(self) -> SearchResult:
        """What the search that was started has found, when it ends.

        Raises what the search raised, and `MpnasError` if it was stopped or never started.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        if self.found is None:
            raise MpnasError("no search was started in this monitor.")
        return self.found

    # What is shown --------------------------------------------------------------------------------

    def _take(self, event: StepEvent) -> None:
        for domain, row in event.rows.items():
            for name in PANELS:
                if name in row:
                    self._note(name, domain, event.step, event.steps, row[name])
        if time.monotonic() - self._shown >= self.every or event.step == event.steps:
            self._say(f"step {event.step} of {event.steps}")
            self._draw(event.policy())
            self._shown = time.monotonic()

    def _forget(self) -> None:
        self._bins: dict[str, dict[str, dict[int, list[float]]]] = {
            name: {d: {} for d in self.domains} for name in PANELS
        }

    def _note(self, name: str, domain: str, step: int, steps: int, value: float) -> None:
        """Add a value to the mean of its stretch of steps."""
        width = -(-steps // POINTS)
        total = self._bins[name][domain].setdefault((step - 1) // width * width + 1, [0.0, 0.0])
        total[0] += value if np.isfinite(value) else 0.0
        total[1] += float(np.isfinite(value))

    def _draw(self, policy: NDArray[np.float32] | None) -> None:
        panels: list[dict[str, Any]] = []
        for name, title in PANELS.items():
            lines = {
                d: {step: s / n for step, (s, n) in own.items() if n}
                for d, own in self._bins[name].items()
            }
            series = [
                {"name": d, "x": numbers(line), "y": numbers(line.values())}
                for d, line in lines.items()
            ]
            shares = {"percent": True} if name == "quality" else {}
            panels.append({"title": title, "series": series, **shares})
        self.chart.content = {
            "panels": panels,
            "colors": plots.domain_colors(self.domains),
            "legend": True,
            "x_title": "step",
        }
        if policy is None:
            return
        decisions = self.space.decisions
        self.policy.content = {
            "domains": self.domains,
            "layers": [d.name for d in decisions],
            "choices": [list(d.choices) for d in decisions],
            "values": [
                [numbers(p[: len(d.choices)]) for p, d in zip(own, decisions, strict=True)]
                for own in policy.astype(float)
            ],
        }

    def _end(self, found: SearchResult) -> None:
        """The whole course: also of steps that another process did."""
        self.found, steps = found, found.config.steps
        self._forget()
        for name in [n for n in PANELS if n in found.history]:
            for domain, own in found.history.groupby("domain", sort=False):
                for step, value in zip(own["step"], own[name], strict=True):
                    self._note(name, str(domain), int(step), steps, float(value))
        self._draw(found.policy[-1])
        self._say(found.verdict())

    def _paused(self) -> None:
        self.pause.description = "Resume" if self.pause.value else "Pause"
        self.pause.icon = "play" if self.pause.value else "pause"

    def _say(self, words: str) -> None:
        text = html.escape(words)
        self.progress.value = f'<span class="mpnas" role="status">Search: {text}</span>'

    def figure(self) -> Figure | None:
        """As `plots.search_curves`; None while nothing is found."""
        if self.found is None:
            return None
        figure = plots.search_curves(self.found).get_figure(root=True)
        assert figure is not None
        return figure
