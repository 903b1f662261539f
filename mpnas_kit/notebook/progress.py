"""Progress of a stage: a bar in a terminal, one updated line in a notebook.

    with Progress() as progress:
        search(..., callbacks=[progress])

In a notebook, the line is a display that is updated in place. It is not a widget: a saved notebook
and a report contain only its last state. If the output goes to a file, a line is printed after
every tenth of the steps.
"""

import html
import sys
import time
from types import TracebackType
from typing import Any, Literal, TextIO

from tqdm import tqdm

from mpnas_kit.analysis.units import duration
from mpnas_kit.engine.loop import StepEvent

Where = Literal["terminal", "notebook", "lines"]


class Progress:
    """A callback for `search` and `train` that shows their progress.

    Use it as a context manager, so that it closes when the stage ends or fails.

    where: `terminal`, `notebook`, or `lines` (one line per tenth of the steps); None: chosen to
    suit the output.
    every: least time between two updates, in seconds.
    file: stream for `terminal` and `lines`; None: standard error.
    keep: whether the last line of a stage stays when the next stage begins. False shows one line
    for all stages of a sweep.

    >>> with mk.notebook.Progress() as progress:  # doctest: +SKIP
    ...     found = mk.search(suite, space, callbacks=[progress])
    """

    def __init__(
        self,
        where: Where | None = None,
        every: float = 0.5,
        file: TextIO | None = None,
        keep: bool = True,
    ) -> None:
        self.where = where or _where(file or sys.stderr)
        self.every, self.file, self.keep = every, file or sys.stderr, keep
        self._began = self._shown = time.monotonic()
        self._first: tuple[int, float] | None = None  # step and time of the first event
        self._last: StepEvent | None = None
        self._bar: Any = None
        self._handle: Any = None

    def __enter__(self) -> "Progress":
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, event: StepEvent) -> None:
        """Record a step, and show it if an update is due."""
        last = self._last
        if last is not None and (event.stage != last.stage or event.step <= last.step):
            handle = self._handle
            self.close()
            self._handle = None if self.keep else handle
            self._began = time.monotonic()
        if self._first is None:
            self._first = event.step, time.monotonic()
        self._last = event
        if self.where == "lines":
            tenth = max(1, event.steps // 10)
            if event.step % tenth == 0 or event.step == event.steps:
                print(self.line(), file=self.file, flush=True)
        elif time.monotonic() - self._shown >= self.every or event.step == event.steps:
            self._shown = time.monotonic()
            self._show()

    def close(self) -> None:
        """Show the last step and end the line. The next stage begins a new line."""
        if self._last is not None and self.where != "lines":
            self._show()
        if self._bar is not None:
            self._bar.close()
        self._bar = self._handle = self._first = self._last = None

    def line(self) -> str:
        """Return the state in words, after the first step.

        Such as `search 120/240, 4 domains, reward 0.61, loss 1.10, 42 s left`.
        """
        assert self._last is not None
        return ", ".join(
            [f"{self._last.stage} {self._last.step}/{self._last.steps}", *self._facts()]
        )

    def _facts(self) -> list[str]:
        event = self._last
        assert event is not None
        facts = [f"{len(event.rows)} domain{'s' if len(event.rows) != 1 else ''}"]
        rewarded = any("reward" in row for row in event.rows.values())
        for name in ("reward" if rewarded else "accuracy", "loss"):
            values = [row[name] for row in event.rows.values() if name in row]
            if values:
                facts.append(f"{name} {round(sum(values) / len(values), 2) + 0.0:.2f}")
        return [*facts, self._time()]

    def _time(self) -> str:
        """Return the remaining time, or after the last step the time of the stage."""
        event, passed = self._last, time.monotonic() - self._began
        assert event is not None and self._first is not None
        if event.step == event.steps:
            return f"took {duration(passed)}"
        step, when = self._first  # not from the start: loading data takes time too
        if event.step == step:
            return "starting"
        left = (time.monotonic() - when) / (event.step - step) * (event.steps - event.step)
        return f"{duration(left)} left"

    def _show(self) -> None:
        event = self._last
        assert event is not None
        if self.where == "terminal":
            if self._bar is None:
                self._bar = tqdm(
                    total=event.steps,
                    initial=self._first[0] if self._first else 0,
                    desc=event.stage,
                    leave=self.keep,
                    file=self.file,
                    bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}",
                )
            self._bar.set_postfix_str(", ".join(self._facts()), refresh=False)
            self._bar.n = event.step
            self._bar.refresh()
            return
        from IPython import display

        content = {"text/plain": self.line(), "text/html": _html(event, self.line())}
        if self._handle is None:
            self._handle = display.display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def _html(event: StepEvent, line: str) -> str:
    """Return an HTML progress bar and the line."""
    return (
        f'<div class="progress"><progress value="{event.step}" max="{event.steps}"></progress> '
        f"<span>{html.escape(line)}</span></div>"
    )


def _where(file: TextIO) -> Where:
    """Return where progress can be shown. A kernel has no terminal, but it displays HTML."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        if getattr(get_ipython(), "kernel", None) is not None:
            return "notebook"
    return "terminal" if file.isatty() else "lines"
