"""Progress: its words, and clean lines in terminals, notebooks and files."""

import io
import re
from typing import Any

import pytest

from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.notebook.progress import Progress


def event(step: int, steps: int = 20, stage: str = "search", **figures: float) -> StepEvent:
    rows = {name: {"loss": 1.0, **figures} for name in ("digits", "letters")}
    return StepEvent(stage, step, steps, rows)


def test_a_file_gets_a_line_after_every_tenth_of_the_steps() -> None:
    file = io.StringIO()
    with Progress(file=file) as progress:
        for step in range(1, 21):
            progress(event(step, reward=0.25))
    lines = file.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("search 2/20, 2 domains, reward 0.25, loss 1.00, ")
    assert re.search(r", took \d+ s$", lines[-1])


def test_the_reward_is_shown_as_soon_as_there_is_one() -> None:
    progress = Progress("lines", file=io.StringIO())
    progress(event(2, accuracy=0.5))
    assert "accuracy 0.50" in progress.line()
    progress(event(4, accuracy=0.5, reward=-0.0001))
    assert "reward 0.00" in progress.line()
    assert "accuracy" not in progress.line()


def test_the_remaining_time_counts_from_the_resumed_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(0, 1000, 10))
    monkeypatch.setattr("mpnas_kit.notebook.progress.time.monotonic", lambda: next(clock))
    progress = Progress("lines", file=io.StringIO())
    progress(event(11))  # a resumed stage: ten steps were done earlier
    progress(event(12))
    left = re.search(r"(\d+) s left|(\d+) min (\d+) s left", progress.line())
    assert left, progress.line()
    seconds = int(left[1]) if left[1] else 60 * int(left[2]) + int(left[3])
    assert 80 <= seconds <= 400  # eight steps of some tens of seconds each


def test_a_terminal_gets_one_bar_that_closes() -> None:
    file = io.StringIO()
    with Progress("terminal", every=0, file=file) as progress:
        for step in range(1, 21):
            progress(event(step, reward=0.5))
    assert file.getvalue().count("\n") == 1
    assert "20/20" in file.getvalue().split("\r")[-1]


def test_a_bar_is_closed_when_the_stage_fails() -> None:
    file = io.StringIO()
    with pytest.raises(RuntimeError), Progress("terminal", every=0, file=file) as progress:
        progress(event(1))
        raise RuntimeError
    assert file.getvalue().endswith("\n")


class Handle:
    """A stand-in for the display of a notebook."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []

    def __call__(self, content: dict[str, Any], **_: Any) -> "Handle":
        self.shown.append(content)
        return self

    def update(self, content: dict[str, Any], **_: Any) -> None:
        self.shown.append(content)


def test_a_notebook_gets_one_display_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Handle()
    monkeypatch.setattr("IPython.display.display", handle)
    with Progress("notebook", every=0) as progress:
        for step in range(1, 21):
            progress(event(step, reward=0.5))
    assert handle.shown[-1]["text/plain"].startswith("search 20/20, 2 domains, reward 0.50")
    assert '<progress value="20" max="20">' in handle.shown[-1]["text/html"]


def test_two_stages_in_a_row_are_two_lines() -> None:
    file = io.StringIO()
    with Progress("terminal", every=0, file=file) as progress:
        progress(event(20))
        progress(event(20, stage="train"))
    assert file.getvalue().count("\n") == 2
