"""Live views of a search and of a training, in this process or in another one."""

import asyncio
import pathlib
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import anywidget
import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.analysis.units import duration
from mpnas_kit.engine.loop import Callback, StepEvent
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.watching import News, Watch
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.result import UNDECIDED, SearchResult
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import require_type
from mpnas_kit.widgets.focus import Focus
from mpnas_kit.widgets.lines import Group, Lines, Panel, smoothing
from mpnas_kit.widgets.means import Means
from mpnas_kit.widgets.policy import Policy
from mpnas_kit.widgets.view import STYLE, Explorer, script

Result = TypeVar("Result", SearchResult, TrainResult)
SNAPSHOTS = 200  # policies that a running search keeps at most
RECENT = 30  # steps from which the time per step is measured


class Controls(anywidget.AnyWidget):
    """The state of a stage, and buttons that pause, resume and stop it.

    on_click: called with the name of the button: `pause`, `resume` or `stop`.
    stage: name of the stage.
    state: `not started`, `running`, `paused`, `stopping`, `stopped`, `finished` or `failed`.
    status: what is to be said about it. progress: share of the steps that is done, 0 to 1.
    can: what can be done now: `pause`, `stop`.
    foreign: whether another process runs the stage.
    """

    _esm = script("controls.js")
    _css = STYLE
    stage = traitlets.Unicode("").tag(sync=True)
    state = traitlets.Unicode("not started").tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    progress = traitlets.Float(0.0).tag(sync=True)
    can: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    foreign = traitlets.Bool(False).tag(sync=True)

    def __init__(self, stage: str, on_click: Callable[[str], None]) -> None:
        super().__init__(stage=stage)
        self._speaking = threading.Lock()  # a stage speaks from its own thread
        self.on_msg(lambda _, message, __: on_click(str(message.get("do"))))

    def say(self, state: str, status: str = "", progress: float | None = None) -> None:
        """Show a state. The page gets all of it in one message, so it never shows a part."""
        can = {"running": ["pause", "stop"], "paused": ["pause", "stop"]}.get(state, [])
        with self._speaking, self.hold_sync():
            self.state, self.status = state, status
            self.can = [c for c in can if c == "stop" or not self.foreign]
            if progress is not None:
                self.progress = progress


class Monitor(Explorer, Generic[Result]):
    """The common part of `SearchMonitor` and `TrainMonitor`."""

    stage: ClassVar[str]
    noun: ClassVar[str]
    titles: ClassVar[Mapping[str, str]]  # of the panels, by metric
    shares: ClassVar[frozenset[str]]  # metrics from 0 to 1, shown in percent

    def __init__(
        self, domains: Sequence[str], every: float, focus: Focus | None, space: SearchSpace | None
    ) -> None:
        super().__init__(self.noun.capitalize())
        self.domains, self.every = list(domains), every
        self.focus = Focus(self.domains, space) if focus is None else focus
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._lock = threading.RLock()  # a stage draws in its thread, a click in the main one
        self._paused, self._stopped, self._follows = False, False, False
        self._shown, self._step, self._steps = 0.0, 0, 0
        self._times: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._means = Means(list(self.titles), self.domains, 1)
        self.controls = Controls(self.noun, lambda what: self._try(lambda: self._hear(what)))
        self.chart = Lines(self.domains, self.focus.domains)
        self._when(self.chart, self._choose, "domain", "step")
        self._when(self.focus, self._follow, "domain", self._step_name)
        self._follow()

    @property
    def _step_name(self) -> str:
        return f"{self.stage}_step"

    # While a stage runs ---------------------------------------------------------------------------

    def __call__(self, event: StepEvent) -> None:
        """Record a step. Wait while paused. Raise `KeyboardInterrupt` if stopped."""
        if event.stage != self.stage:
            return
        self._take(event.step, event.steps, event.rows)
        if time.monotonic() - self._shown >= self.every or event.step == event.steps:
            self._try(lambda: self._show_step(event.policy(), self._seconds_per_step()))
        if self._paused and not self._stopped:
            self._try(lambda: self._show_step(event.policy(), None, "paused"))
            while self._paused and not self._stopped:
                time.sleep(0.05)
            self._times.clear()
        if self._stopped:
            self.controls.say("stopped", f"after step {event.step:,} of {event.steps:,}")
            raise KeyboardInterrupt

    def pause(self) -> None:
        """Pause the stage after the present step.

        Raises `MpnasError` if another process runs it.
        """
        if self._watch is not None:
            raise MpnasError(
                f"the {self.noun} runs in another process: it can be stopped here, but not paused."
            )
        self._paused = True

    def resume(self) -> None:
        """Continue the stage after a pause."""
        self._paused = False

    def stop(self) -> None:
        """Stop the stage after the present step. If it has a folder, it writes a checkpoint.

        Raises `MpnasError` if it is a stage of another process that does not run.
        """
        if self._watch is not None:
            self._watch.stop()
            self.controls.say("stopping", "it ends its step and writes a checkpoint")
        else:
            self._stopped = True

    def _hear(self, what: str) -> None:
        {"pause": self.pause, "resume": self.resume, "stop": self.stop}[what]()

    def start(self, stage: Callable[[Callback], Result]) -> None:
        """Run `stage(callback)` in its own thread and return at once.

        stage: function that gets a callback, passes it to a search or a training, and returns the
        result.

        Raises `MpnasError` if a stage of this monitor is still running.
        """
        self._begin(lambda: stage(self))

    def follow(self, watch: Watch, load: Callable[[], Result]) -> None:
        """Show a stage that another process runs, ran or will run, until it is finished.

        watch: view of the stage. load: function that reads the result of the finished stage.

        Raises `MpnasError` if a stage of this monitor is still running.
        """

        def run() -> Result | None:
            while self._watch is watch:
                news = watch.poll()
                self._try(lambda: self._hear_news(news))  # noqa: B023
                if news.state == "finished":
                    return load()
                time.sleep(self.every)
            return None

        self._begin(run, watch)

    def _begin(self, act: Callable[[], Result | None], watch: Watch | None = None) -> None:
        if self._watch is not None and self.controls.state in ("not started", "stopped", "failed"):
            self._watch = None  # nobody runs the stage that was watched: the watch ends
            self._join()
        if self._thread is not None and self._thread.is_alive():
            raise MpnasError(
                f"a {self.noun} is running in this monitor: wait for it, or stop it first."
            )

        def run() -> None:
            try:
                result = act()
                if result is not None:
                    self._end(result)
            except KeyboardInterrupt:
                self._error = MpnasError(
                    f"the {self.noun} was stopped: start it again to continue."
                )
            except BaseException as error:
                self._error = error
                self.controls.say("failed", str(error))

        self._paused = self._stopped = False
        self._error, self._watch = None, watch
        self.controls.foreign = watch is not None
        self.controls.say("running" if watch is None else "not started")
        self._thread = threading.Thread(target=run, name=self.stage, daemon=True)
        self._thread.start()

    async def wait(self) -> Result:
        """Wait for the stage, while the kernel still reacts to clicks. Return its result.

        If the wait is interrupted, such as by the stop button of the notebook, a stage of this
        process stops. Raises as `result` does.
        """
        try:
            while self._thread is not None and self._thread.is_alive():
                await asyncio.sleep(0.1)
        except (KeyboardInterrupt, asyncio.CancelledError):
            if self._watch is None:
                self.stop()
            raise
        return self.result()

    def result(self) -> Result:
        """Wait for the stage, and return its result.

        Raises the error of the stage, or `MpnasError` if it was stopped or never started.
        """
        self._join()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise MpnasError(f"no {self.noun} was started in this monitor: call its `start` first.")
        return self._result

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    # What arrives ---------------------------------------------------------------------------------

    def _take(self, step: int, steps: int, rows: Mapping[str, Mapping[str, float]]) -> None:
        """Record the metrics of a step. A step that was there before begins the stage anew."""
        with self._lock:
            if step <= self._step or steps != self._steps:
                self._forget(steps)
            self._step = step
            self._means.add(step, rows)
        self._times.append((step, time.monotonic()))

    def _forget(self, steps: int) -> None:
        if not self._steps:
            self.chart.smoothing = smoothing(steps)
        self._step, self._steps = 0, steps
        self._times.clear()
        self._means = Means(list(self.titles), self.domains, steps)

    def _hear_news(self, news: News) -> None:
        with self._lock:
            if news.restarted or news.steps != self._steps:
                self._forget(news.steps)
            for row in news.rows:
                self._means.add(row["step"], row["domains"])
            self._step = news.step
        if news.state in ("running", "stopped") and (news.rows or news.policy is not None):
            state = "stopping" if self.controls.state == "stopping" else news.state
            self._show_step(news.policy, news.seconds_per_step, state)
        if news.state != "running":
            where = f"after step {news.step:,} of {news.steps:,}" if news.step else ""
            self.controls.say(news.state, where)

    def _seconds_per_step(self) -> float | None:
        if len(self._times) < 2:
            return None
        (step, then), (last, now) = self._times[0], self._times[-1]
        return (now - then) / (last - step)

    def _end(self, result: Result) -> None:
        """Show the whole history, including steps of an earlier process."""
        with self._lock:
            self._result = result
            self._forget(result.config.steps)
            self._means.add_table(result.history)
            self._step = result.config.steps
        self._draw(None)
        self.controls.say("finished", self._verdict(result), 1.0)

    # Display --------------------------------------------------------------------------------------

    def _show_step(
        self, policy: NDArray[np.float32] | None, pace: float | None, state: str = "running"
    ) -> None:
        self._draw(policy)
        parts = [f"step {self._step:,} of {self._steps:,}"]
        if pace is not None:
            parts += [
                f"{pace:.2g} s per step",
                f"{duration(pace * (self._steps - self._step))} left",
            ]
        self.controls.say(state, " · ".join(parts), self._step / max(1, self._steps))
        self._shown = time.monotonic()

    def _draw(self, policy: NDArray[np.float32] | None) -> None:
        with self._lock:
            lines = {name: self._means.line(name) for name in self.titles}
            width = self._means.width
            panels = [
                Panel(
                    self.titles[name],
                    steps,
                    [Group(means)],
                    percent=name in self.shares,
                    references=self._references(name),
                )
                for name, (steps, means) in lines.items()
                if len(steps) or self._result is None  # a panel that comes later would move others
            ]
            panels += self._more(policy)
        self.chart.show(panels, f"each point: mean of {width} steps" if width > 1 else "")

    def _more(self, policy: NDArray[np.float32] | None) -> list[Panel]:
        """Show a policy, if the stage has one. Return further panels."""
        return []

    def _references(self, metric: str) -> dict[str, float]:
        """Return the reference lines of a metric, by label."""
        return {}

    @abstractmethod
    def _verdict(self, result: Result) -> str:
        """Return what a finished stage found, in words."""

    def _choose(self) -> None:
        """Write to the focus what was chosen in the chart."""
        if self._follows:
            return
        with self.focus.hold_trait_notifications():
            self.focus.domain = self.chart.domain
            setattr(self.focus, self._step_name, self.chart.step)

    def _follow(self) -> None:
        """Show what the focus chooses. A domain that is not here counts as not chosen."""
        self._follows = True
        try:
            self._show_focus(self.focus.domain if self.focus.domain in self.domains else "")
        finally:
            self._follows = False

    def _show_focus(self, domain: str) -> None:
        self.chart.domain, self.chart.step = domain, getattr(self.focus, self._step_name)

    # Explorer -------------------------------------------------------------------------------------

    def data(self) -> pd.DataFrame:
        """Return the history of a finished stage, or what the chart shows of a running one."""
        return self.chart.table() if self._result is None else self._result.history

    def _code(self, call: str, *more: str) -> list[str]:
        """Return the lines of `code`. more: what it follows besides the domain and the step."""
        return [
            f"monitor = {call}",
            *self.chart.code("monitor.chart"),
            *self.focus.code("monitor", ["domain", *more, self._step_name], self.domains),
            "monitor",
        ]


class SearchMonitor(Monitor[SearchResult]):
    """A live view of a search, with buttons that pause, resume and stop it.

    It shows reward, quality, cost and entropy of every domain, and the probability of every choice
    in every layer. A node that is chosen has a panel with its probability over the steps.

    `start` runs the search in its own thread, so that the kernel stays free. `await monitor.wait()`
    waits for the result while the buttons still work. The monitor is also a callback that `search`
    accepts; the kernel is then busy, and the buttons do not work. A search that is stopped first
    ends its step and writes a checkpoint to its folder. It continues from there when it is started
    again. `watch` shows a search of another process.

    space: search space of the search.
    domains: names of the domains.
    every: least time between two updates, in seconds.
    config: settings of the search, which set the cost target. None: no cost target is shown.
    focus: choice that the explorer shares with others. None: it has its own.

    The property `found` has the result of the search; None: it has not ended.

    >>> monitor = mk.widgets.SearchMonitor(space, suite.names)
    >>> monitor.start(lambda callback: run.search(callbacks=[callback]))  # doctest: +SKIP
    """

    alt = "reward, quality, cost and entropy of every domain over the steps of the search"
    stage, noun = "search", "search"
    shares = frozenset({"quality"})
    titles: ClassVar[Mapping[str, str]] = {
        "reward": "reward",
        "quality": "accuracy of sampled paths",
        "cost": "cost of sampled paths",
        "entropy": "entropy, as a share of its maximum",
    }

    def __init__(
        self,
        space: SearchSpace,
        domains: Sequence[str],
        every: float = 0.7,
        *,
        config: SearchConfig | None = None,
        focus: Focus | None = None,
    ) -> None:
        self.space = space
        self.targets = {} if config is None else resolve_targets(space, config, domains)
        self._snapshots: dict[int, NDArray[np.float32]] = {}  # by step, ascending
        self.policy = Policy(space, domains, domains if focus is None else focus.domains)
        super().__init__(domains, every, focus, space)
        self._when(self.policy, self._choose_node, "domain", "node")
        self._when(self.focus, self._follow_node, "node")
        self._when(self.focus, self._show_policy, "search_step")
        self._show(self.controls, self.chart, self.policy)

    @classmethod
    def of(cls, found: SearchResult, *, focus: Focus | None = None) -> "SearchMonitor":
        """Return a monitor that shows a finished search."""
        require_type(found, SearchResult, "found")
        monitor = cls(found.space, list(found.paths), focus=focus)
        monitor._end(found)
        return monitor

    @property
    def found(self) -> SearchResult | None:
        """The result of the search; None: it has not ended."""
        return self._result

    def figure(self) -> Figure | None:
        """Return the figure of `plots.search_curves`; None: the search has not ended."""
        if self._result is None:
            return None
        figure = plots.search_curves(self._result).get_figure(root=True)
        assert figure is not None
        return figure

    def _end(self, result: SearchResult) -> None:
        self.targets = result.cost_targets
        super()._end(result)

    def _forget(self, steps: int) -> None:
        super()._forget(steps)
        result = self._result
        ends = [] if result is None else zip(result.policy_steps, result.policy, strict=True)
        self._snapshots = dict(ends)

    def _verdict(self, result: SearchResult) -> str:
        return result.verdict()

    def _references(self, metric: str) -> dict[str, float]:
        if metric == "entropy":
            return {"decided below": UNDECIDED}
        if metric != "cost":
            return {}
        sizes = {target: self.space.of(d).resolution for d, target in self.targets.items()}
        one = len(sizes) == 1
        return {"target" if one else f"target, {s} pixels": t for t, s in sizes.items()}

    def _more(self, policy: NDArray[np.float32] | None) -> list[Panel]:
        if policy is not None:
            self._snapshots[self._step] = policy
            if len(self._snapshots) > SNAPSHOTS:
                self._snapshots = dict(list(self._snapshots.items())[1::2])
        self._show_policy()
        place = self.policy.place(self.focus.node)
        if place is None or not self._snapshots:
            return []
        layer, block = self.focus.node
        values = np.stack([snapshot[:, *place] for snapshot in self._snapshots.values()], axis=1)
        name = self.space.layers[layer].name
        title = f"probability of {block} in {name}"
        return [Panel(title, list(self._snapshots), [Group(values)], percent=True)]

    def _show_policy(self) -> None:
        """Show the policy at the step of the focus, or the last one."""
        steps = list(self._snapshots)
        if not steps:
            return
        wanted = self.focus.search_step
        before = [step for step in steps if wanted is None or step <= wanted]
        step = before[-1] if before else steps[0]
        self.policy.show(self._snapshots[step], f"policy after step {step:,}")

    def _show_focus(self, domain: str) -> None:
        super()._show_focus(domain)
        self.policy.domain = domain

    def _choose_node(self) -> None:
        if not self._follows:
            with self.focus.hold_trait_notifications():
                self.focus.domain, self.focus.node = self.policy.domain, tuple(self.policy.node)

    def _follow_node(self) -> None:
        self._follows = True
        try:
            self.policy.node = list(self.focus.node)
        finally:
            self._follows = False
        self._draw(None)

    def _calls(self) -> list[str]:
        return self._code("mk.widgets.SearchMonitor.of(found)", "node")


class TrainMonitor(Monitor[TrainResult]):
    """A live view of a training, with buttons that pause, resume and stop it.

    It shows loss, validation accuracy, weight and accuracy on training batches of every domain. It
    is started, awaited and stopped as a `SearchMonitor` is.

    domains: names of the domains.
    every: least time between two updates, in seconds.
    focus: choice that the explorer shares with others. None: it has its own.

    The property `trained` has the result of the training; None: it has not ended.

    >>> monitor = mk.widgets.TrainMonitor(suite.names)
    >>> monitor.start(lambda callback: run.train(callbacks=[callback]))  # doctest: +SKIP
    """

    alt = "loss, accuracy and weight of every domain over the steps of the training"
    stage, noun = "train", "training"
    shares = frozenset({"val_accuracy", "accuracy"})
    titles: ClassVar[Mapping[str, str]] = {
        "loss": "loss (nats)",
        "val_accuracy": "validation accuracy",
        "accuracy": "accuracy on training batches",
        "weight": "weight of the loss",
    }

    def __init__(
        self, domains: Sequence[str], every: float = 0.7, *, focus: Focus | None = None
    ) -> None:
        super().__init__(domains, every, focus, None)
        self._show(self.controls, self.chart)

    @classmethod
    def of(cls, trained: TrainResult, *, focus: Focus | None = None) -> "TrainMonitor":
        """Return a monitor that shows a finished training."""
        require_type(trained, TrainResult, "trained")
        monitor = cls(list(trained.paths), focus=focus)
        monitor._end(trained)
        return monitor

    @property
    def trained(self) -> TrainResult | None:
        """The result of the training; None: it has not ended."""
        return self._result

    def figure(self) -> Figure | None:
        """Return the figure of `plots.training_curves`; None: the training has not ended."""
        if self._result is None:
            return None
        figure = plots.training_curves(self._result).get_figure(root=True)
        assert figure is not None
        return figure

    def _verdict(self, result: TrainResult) -> str:
        val, test = (float(result.accuracy(split).mean()) for split in ("val", "test"))
        return f"mean accuracy {val:.1%} on val, {test:.1%} on test"

    def _calls(self) -> list[str]:
        return self._code("mk.widgets.TrainMonitor.of(trained)")


def watch(
    run: Run | str | pathlib.Path, stage: str = "search", *, focus: Focus | None = None
) -> SearchMonitor | TrainMonitor:
    """Return a monitor of a stage that another process runs, ran or will run.

    It reads the files of the stage, so it also works on a read-only folder, and several people can
    watch one stage. Its stop button asks once more, and then stops the stage of the other process
    with a checkpoint. It cannot pause it.

    run: run, or path of a run folder.
    stage: `search` or `train`.
    focus: choice that the explorer shares with others. None: it has its own.

    Raises `MpnasError` if there is no such run or stage, or the run has no search of its own.

    >>> mk.widgets.watch("runs/mine", "train")  # doctest: +SKIP
    """
    if stage not in ("search", "train"):
        raise unknown("stage", stage, ["search", "train"])
    seen = Watch(run, stage)
    whole = run if isinstance(run, Run) else Run.read(run)
    if stage == "train":
        training = TrainMonitor(whole.domains, focus=focus)
        training.follow(seen, whole.train_result)
        return training
    if not whole.searches:
        raise MpnasError(
            f"run {whole.folder} has no search of its own: expected one that searches."
        )
    config = whole.search_config()
    search = SearchMonitor(whole.search_space, whole.search_domains, config=config, focus=focus)
    search.follow(seen, whole.search_result)
    return search
