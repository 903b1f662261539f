"""A stage that another process runs is watched and stopped through its folder."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from whole import STAGES, assert_same_run, run

from mpnas_kit import files
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.signals import StopRequested
from mpnas_kit.engine.stage_folder import STOP, StageFolder, copy_finished
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.watching import News, Watch, request_stop

WRITER = """
import sys, time, whole
from pathlib import Path
whole.run(sys.argv[1], Path(sys.argv[2]), lambda event: time.sleep(0.1), steps=int(sys.argv[3]))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A run folder that is begun. Its stages are those of `whole`, which has no run around it."""
    Run(tmp_path / "run", domains=tiny.suite(3), space=tiny.space()).begin()
    return tmp_path / "run"


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """A function that runs a stage of `place` in another process."""
    running: list[subprocess.Popen[str]] = []
    here = Path(tiny.__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])

    def begin(stage: str, steps: int = 500) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, stage, str(place / stage), str(steps)],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def until(watch: Watch, wanted: Callable[[News], bool]) -> list[News]:
    """All news until the wanted ones."""
    found = [watch.poll()]
    end = time.monotonic() + 60
    while not wanted(found[-1]):
        assert time.monotonic() < end, found[-1]
        time.sleep(0.05)
        found.append(watch.poll())
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_another_process_is_watched_and_stopped(stage: str, place: Path, start: Start) -> None:
    watch, second = Watch(place, stage), Watch(Run.read(place), stage)
    assert watch.poll() == News("not started", 0, 0, [])
    process = start(stage)
    news = until(watch, lambda n: n.seconds_left is not None and n.step >= 5)
    last = news[-1]
    assert (last.state, last.steps) == ("running", 500)
    assert last.seconds_per_step is not None and last.seconds_per_step > 0.08
    assert last.seconds_left == last.seconds_per_step * (500 - last.step)
    begun = time.monotonic()
    second.stop()
    process.wait(timeout=60)
    assert time.monotonic() - begun < 30
    assert "StopRequested" in str(process.stderr and process.stderr.read())
    after = watch.poll()
    assert (after.state, after.seconds_left, after.restarted) == ("stopped", None, False)
    rows = [row for one in (*news, after) for row in one.rows]
    folder = StageFolder(place / stage)
    checkpoint = folder.load_checkpoint()
    assert checkpoint is not None and checkpoint.step == after.step == len(rows)
    assert rows == checkpoint.rows == second.poll().rows
    assert not (place / stage / STOP).exists()


def test_policies_are_those_of_the_last_checkpoint_and_then_of_the_result(place: Path) -> None:
    watch = Watch(place, "search")
    seen: list[News] = []
    found = run("search", place / "search", lambda event: seen.append(watch.poll()), steps=6)
    given = [(n.step, n.policy) for n in seen if n.policy is not None]
    assert [step for step, _ in given] == [2, 4, 6]  # checkpoint_every is 2
    for step, policy in given:
        assert policy is not None and policy.dtype == np.float32
        np.testing.assert_array_equal(policy, found.policy[step - 1])
    end = watch.poll()
    assert (end.state, end.step, end.policy, end.seconds_left) == ("finished", 6, None, None)
    assert end.seconds_per_step is not None
    late = Watch(place, "search").poll()
    np.testing.assert_array_equal(late.policy, found.policy[-1])
    assert [row["step"] for row in late.rows] == list(range(1, 7))


def test_half_a_line_waits_for_its_end_and_a_cut_is_noticed(place: Path) -> None:
    with pytest.raises(tiny.Stopped):
        run("train", place / "train", tiny.stop_at(5))
    watch, metrics = Watch(place, "train"), place / "train" / "metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole[:-10])
    assert [row["step"] for row in watch.poll().rows] == [1, 2, 3, 4]
    metrics.write_bytes(whole)
    assert [row["step"] for row in watch.poll().rows] == [5]
    assert watch.poll() == News("stopped", 5, 7, [])
    metrics.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))  # as a resume does
    news = watch.poll()
    assert (news.step, news.restarted, len(news.rows)) == (4, True, 4)
    run("train", place / "train")
    news = watch.poll()
    assert (news.state, news.restarted) == ("finished", False)
    assert [row["step"] for row in news.rows] == [5, 6, 7]
    other = whole.replace(b'"loss": ', b'"loss": 1')
    metrics.write_bytes(other)  # cut, and grown again before the next look
    news = watch.poll()
    assert (news.step, news.restarted, len(news.rows)) == (5, True, 5)
    metrics.write_bytes(whole.replace(b'"step": 5', b'"step": 4'))
    with pytest.raises(MpnasError, match=r"metrics.jsonl, line 5, cannot be read: it is of step 4"):
        Watch(place, "train").poll()


def test_a_stage_that_is_begun_again_is_read_anew(place: Path) -> None:
    run("train", place / "train", steps=6)
    watch = Watch(place, "train")
    assert watch.poll().step == 6
    files.remove_folder(place / "train")
    assert watch.poll() == News("not started", 0, 0, [], restarted=True)
    run("train", place / "train", steps=3, seed=1)
    news = watch.poll()
    assert (news.state, news.step, news.steps, news.restarted) == ("finished", 3, 3, False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{}", r"config.json cannot be read: object missing required field"),
        ("config.json", b'{"steps": ', r"config.json cannot be read: no valid JSON"),
        ("metrics.jsonl", b"what\n", r"metrics.jsonl, line 1, cannot be read: no valid JSON"),
        ("checkpoint.pt", b"what", r"checkpoint.pt cannot be used: it is incomplete"),
        ("checkpoint.pt", None, r"checkpoint.pt: it is a device or a pipe"),
        ("metrics.jsonl", None, r"metrics.jsonl: it is a device or a pipe"),
    ],
)
def test_a_damaged_file_is_named(
    name: str, content: bytes | None, message: str, place: Path
) -> None:
    with pytest.raises(tiny.Stopped):
        run("search", place / "search", tiny.stop_at(3))
    file = place / "search" / name
    file.unlink()
    if content is None:
        os.mkfifo(file)
    else:
        file.write_bytes(content)
    with pytest.raises(MpnasError, match=message):
        Watch(place, "search").poll()


def test_steps_that_are_no_number_are_named(place: Path) -> None:
    with pytest.raises(tiny.Stopped):
        run("train", place / "train", tiny.stop_at(3))
    config = place / "train" / "config.json"
    config.write_text(config.read_text().replace('"steps": 7', '"steps": "many"'))
    with pytest.raises(MpnasError, match=r"config.json cannot be read: steps: expected int"):
        Watch(place, "train").poll()


# Stop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_stopped_on_request_continues_to_the_same_bytes(
    stage: str, place: Path, tmp_path: Path
) -> None:
    def ask(event: StepEvent) -> None:
        if event.step == 3:
            request_stop(place, stage)

    with pytest.raises(StopRequested) as stop:
        run(stage, place / stage, ask)
    assert stop.value.args == (signal.SIGTERM,)
    left = StageFolder(place / stage).load_checkpoint()
    assert left is not None and left.step == 3
    run(stage, place / stage)
    run(stage, tmp_path / "whole")
    assert_same_run(stage, place / stage, tmp_path / "whole")


def test_a_request_never_outlives_its_stage(place: Path, tmp_path: Path) -> None:
    """Not one that a killed process left, and not one that comes after the last step."""
    with pytest.raises(tiny.Stopped):
        run("train", place / "train", tiny.stop_at(3))
    (place / "train" / STOP).touch()  # as if the process had been killed
    seen: list[int] = []
    trained = run("train", place / "train", lambda event: seen.append(event.step))
    assert trained is not None and seen[-1] == 7
    assert not (place / "train" / STOP).exists()
    (place / "train" / STOP).touch()
    copy_finished(place / "train", tmp_path / "copy")
    assert not (tmp_path / "copy" / STOP).exists()


def test_only_a_running_stage_can_be_stopped(place: Path) -> None:
    for refuse in (lambda: request_stop(place, "train"), Watch(place, "train").stop):
        with pytest.raises(MpnasError, match="is not running: expected a running stage"):
            refuse()
    run("train", place / "train", steps=2)
    with pytest.raises(MpnasError, match="is finished: expected a running stage"):
        request_stop(place, "train")
    assert not (place / "train" / STOP).exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("missing", "search"), "missing has no run.json: expected a run folder."),
        ((None, "serch"), "unknown stage 'serch': did you mean 'search'?"),
        ((3, "search"), "run folder must be text or a path, not 3."),
    ],
)
@pytest.mark.parametrize("call", [Watch, request_stop])
def test_wrong_inputs_are_one_sentence(
    call: Any, given: tuple[Any, str], message: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.parent)
    with pytest.raises(MpnasError) as error:
        call(place if given[0] is None else given[0], given[1])
    assert str(error.value).startswith(message)


# Never in the way ---------------------------------------------------------------------------------


def test_a_folder_without_the_right_to_write_is_watched(place: Path) -> None:
    """Nothing in it changes, not even the time of a file."""
    with pytest.raises(tiny.Stopped):
        run("search", place / "search", tiny.stop_at(5))
    run("train", place / "train")
    before = {p: files.stamp(str(p)) for p in place.rglob("*")}
    opened: list[int] = []
    real = os.open

    def watched(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        opened.append(flags)
        return real(path, flags, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", watched)
        states = [Watch(place, stage).poll().state for stage in STAGES]
    assert states == ["stopped", "finished"]
    assert opened and not any(f & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) for f in opened)
    assert before == {p: files.stamp(str(p)) for p in place.rglob("*")}


def test_watchers_do_not_keep_a_stage_from_its_lock(place: Path) -> None:
    """A look holds the lock for a moment. A stage that begins then tries again."""
    with pytest.raises(tiny.Stopped):
        run("train", place / "train", tiny.stop_at(3))
    held = os.open(place / "train" / "config.json", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [held]).start()
    run("train", place / "train")
    assert Watch(place, "train").poll().state == "finished"
