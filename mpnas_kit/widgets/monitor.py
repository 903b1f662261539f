"""Live view of a search: rewards, costs, and the probabilities of the choices."""

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
    "entropy": "entropy, as a share of its maximum",
}
POINTS = 150  # points of a line at most


class Controls(anywidget.AnyWidget):
    """Buttons that pause, resume and stop a search.

    on_click: called with the name of the button: `pause`, `resume` or `stop`.
    """

    _esm = script("controls.js")
    _css = STYLE
    running = traitlets.Bool(False).tag(sync=True)
    paused = traitlets.Bool(False).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_click: Callable[[str], None]) -> None:
        super().__init__()
        self.on_msg(lambda _, message, __: on_click(str(message.get("do"))))


class SearchMonitor(Explorer):
    """A live view of a search, with buttons that pause, resume and stop it.

    It shows reward, quality, cost and entropy of every domain, and the probability of every choice
    in every layer.

    `start` runs the search in its own thread, so that the kernel stays free. `await monitor.wait()`
    waits for the result while the buttons still work. The monitor is also a callback that `search`
    accepts; the kernel is then busy, and the buttons do not work. A search that is stopped first
    ends its step and writes a checkpoint to its folder. It continues from there when it is started
    again.

    space: search space of the search.
    domains: names of the domains.
    every: least time between two updates, in seconds.

    The attribute `found` has the result of the search; None: it has not ended.

    >>> monitor = mk.widgets.SearchMonitor(space, suite.names)
    >>> monitor.start(lambda callback: run.search(callbacks=[callback]))  # doctest: +SKIP
    """

    alt = "reward, quality, cost and entropy of every domain over the steps of the search"

    def __init__(self, space: SearchSpace, domains: Sequence[str], every: float = 0.7) -> None:
        super().__init__("Search")
        self.space, self.domains, self.every = space, list(domains), every
        self.found: SearchResult | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._shown = 0.0
        self._forget()
        self._stopped = False
        self.controls = Controls(lambda what: self._try(lambda: self._hear(what)))
        self.chart, self.policy = Chart(), Policy()
        self._say("not started")
        self._show(self.controls, self.chart, self.policy)

    @classmethod
    def of(cls, found: SearchResult) -> "SearchMonitor":
        """Return a monitor that shows a finished search."""
        monitor = cls(found.space, list(found.paths))
        monitor._end(found)
        return monitor

    # While a search runs --------------------------------------------------------------------------

    def __call__(self, event: StepEvent) -> None:
        """Record a step. Wait while paused. Raise `KeyboardInterrupt` if stopped."""
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
        """Pause the search after the present step."""
        self.controls.paused = True

    def resume(self) -> None:
        """Continue the search after a pause."""
        self.controls.paused = False

    def stop(self) -> None:
        """Stop the search after the present step, with a checkpoint if it has a folder."""
        self._stopped = True

    def _hear(self, what: str) -> None:
        {"pause": self.pause, "resume": self.resume, "stop": self.stop}[what]()

    def start(self, search: Callable[[Callback], SearchResult]) -> None:
        """Run `search(callback)` in its own thread and return at once.

        search: function that gets a callback, passes it to a search, and returns the result.

        Raises `MpnasError` if a search of this monitor is still running.
        """
        if self._thread is not None and self._thread.is_alive():
            raise MpnasError("a search is running in this monitor: wait for it, or stop it first.")

        def run() -> None:
            try:
                self._end(search(self))
            except KeyboardInterrupt:
                self._error = MpnasError("the search was stopped: start it again to continue.")
            except BaseException as error:
                self._error, self.controls.running = error, False
                self._say(f"failed: {error}")

        self._stopped = self.controls.paused = False
        self._error, self.controls.running = None, True
        self._thread = threading.Thread(target=run, name="search", daemon=True)
        self._thread.start()

    async def wait(self) -> SearchResult:
        """Wait for the search, while the kernel still reacts to clicks. Return its result.

        If the wait is interrupted, such as by the stop button of the notebook, the search stops.
        Raises as `result` does.
        """
        try:
            while self._thread is not None and self._thread.is_alive():
                await asyncio.sleep(0.1)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.stop()
            raise
        return self.result()

    def result(self) -> SearchResult:
        """Wait for the search, and return its result.

        Raises the error of the search, or `MpnasError` if it was stopped or never started.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        if self.found is None:
            raise MpnasError("no search was started in this monitor: call its `start` first.")
        return self.found

    # Display --------------------------------------------------------------------------------------

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
        """Add a value to the mean of its interval of steps."""
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
        """Show the whole history, including steps of an earlier process."""
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
        """Return the figure of `plots.search_curves`; None: the search has not ended."""
        if self.found is None:
            return None
        figure = plots.search_curves(self.found).get_figure(root=True)
        assert figure is not None
        return figure
