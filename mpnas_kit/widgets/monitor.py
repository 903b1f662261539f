"""A search as it runs: what it earns, what it costs, and what it comes to prefer."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.engine.loop import Callback, StepEvent
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.widgets.view import STYLE, Chart, Explorer, Policy, numbers, script

PANELS = {
    "reward": "reward",
    "quality": "accuracy of sampled paths",
    "cost": "cost of sampled paths",
    "entropy": "entropy over its maximum",
}
POINTS = 150  # a line has so many at most


class Controls(anywidget.AnyWidget):
    """Pause, resume, stop; `heard` is called with what was clicked."""

    _esm = script("controls.js")
    _css = STYLE
    running = traitlets.Bool(False).tag(sync=True)
    paused = traitlets.Bool(False).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__()
        self.on_msg(lambda _, message, __: heard(str(message.get("do"))))


class SearchMonitor(Explorer):
    """A callback of `search` that shows, live, reward, quality, cost and entropy of every domain,
    and the probability of every choice in every layer; it can pause, resume and stop.

    With `start` the search runs in a thread of its own, and the kernel stays free; a cell with
    `await monitor.wait()` waits for it, and the buttons go on to work. (Given to `search` as a
    callback it shows as much, but a kernel that is busy hears no button.) Stopped, the search has
    ended its step and written a checkpoint, and goes on from it.

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
        self._stopped = False
        self.controls = Controls(lambda what: self._try(lambda: self._hear(what)))
        self.chart, self.policy = Chart(), Policy()
        self._say("not begun")
        self._show(self.controls, self.chart, self.policy)

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
        while self.controls.paused and not self._stopped:
            time.sleep(0.05)
        if self._stopped:
            self.controls.running = False
            self._say(f"stopped after step {event.step} of {event.steps}")
            raise KeyboardInterrupt

    def pause(self) -> None:
        """Wait after the step that is at work."""
        self.controls.paused = True

    def resume(self) -> None:
        """Go on."""
        self.controls.paused = False

    def stop(self) -> None:
        """End after the step that is at work, with a checkpoint."""
        self._stopped = True

    def _hear(self, what: str) -> None:
        {"pause": self.pause, "resume": self.resume, "stop": self.stop}[what]()

    def start(self, search: Callable[[Callback], SearchResult]) -> None:
        """Run `search(callback)` in a thread of its own; the cell ends at once.

        Raises `MpnasError` while the search that was started before is at work.
        """
        if self._thread is not None and self._thread.is_alive():
            raise MpnasError("a search is at work in this monitor: stop it first, or wait for it.")

        def run() -> None:
            try:
                self._end(search(self))
            except KeyboardInterrupt:
                self._error = MpnasError("the search was stopped: started again, it goes on.")
            except BaseException as error:
                self._error, self.controls.running = error, False
                self._say(f"failed: {error}")

        self._stopped = self.controls.paused = False
        self._error, self.controls.running = None, True
        self._thread = threading.Thread(target=run, name="search", daemon=True)
        self._thread.start()

    async def wait(self) -> SearchResult:
        """`result`, while the kernel goes on to hear what is clicked.

        Interrupted, by the stop button of the notebook for instance, it stops the search.
        """
        try:
            while self._thread is not None and self._thread.is_alive():
                await asyncio.sleep(0.1)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.stop()
            raise
        return self.result()

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
        self.controls.running = False
        self._draw(found.policy[-1])
        self._say(found.verdict())

    def _say(self, words: str) -> None:
        self.controls.status = f"Search: {words}"

    def figure(self) -> Figure | None:
        """As `plots.search_curves`; None while nothing is found."""
        if self.found is None:
            return None
        figure = plots.search_curves(self.found).get_figure(root=True)
        assert figure is not None
        return figure
