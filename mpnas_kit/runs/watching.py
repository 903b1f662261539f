"""Watch and stop a stage that another process runs. What it writes into its folder is enough.

A watcher only reads: it needs no right to write, there may be several, and the stage does not wait
for them. A stage is running as long as a process holds the lock of its folder.
"""

import contextlib
import pathlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from mpnas_kit import files
from mpnas_kit.engine.records import Count, Timing
from mpnas_kit.engine.stage_folder import CHECKPOINT, CONFIG, METRICS, RESULTS, STOP, StageFolder
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.runs.description import RUN, place
from mpnas_kit.runs.run import STAGE_FOLDERS, Run
from mpnas_kit.runs.sweep_cells import CELLS

StageState = Literal["not started", "running", "stopped", "finished"]
_RECENT = 30  # polls from which the time per step is measured


class _Steps(Struct):
    """The part of a stage's config that a watcher needs."""

    steps: Count


@dataclass(frozen=True)
class News:
    """What a watcher read since it looked before. Returned by `Watch.poll`.

    state: `not started`, `running` (a process works on it), `stopped`, or `finished`.
    step: number of steps done.
    steps: number of steps of the stage; 0 if it is not started.
    rows: metrics of the new steps, as in metrics.jsonl: `step` and, by domain, `domains`.
    policy: choice probabilities of a search as of its last checkpoint, float32 (domains, decisions,
    choices), in the order of the suite; None if they are the same as before.
    seconds_per_step: recent time per step of a running stage, or mean time of a finished one, in
    seconds; None: not known yet.
    seconds_left: expected time until the last step of a running stage; None: not known.
    restarted: whether the stage was resumed from an earlier step or begun again. Rows of earlier
    news do not count then, and `rows` has all of them.
    """

    state: StageState
    step: int
    steps: int
    rows: Sequence[dict[str, Any]]
    policy: NDArray[np.float32] | None = None
    seconds_per_step: float | None = None
    seconds_left: float | None = None
    restarted: bool = False


class Watch:
    """A view of a stage that another process runs, ran, or will run. Nothing is written.

    run: run, or path of a run folder.
    stage: `search`, `train`, or `pretrain` (of the approach `single_path`).

    Raises `MpnasError` if the folder is not a run folder, or the stage is unknown.

    >>> watch = mk.Watch("runs/mine", "search")  # doctest: +SKIP
    >>> news = watch.poll()  # doctest: +SKIP
    >>> print(news.state, news.step, news.steps)  # doctest: +SKIP
    running 120 180
    """

    def __init__(self, run: Run | str | pathlib.Path, stage: str) -> None:
        self.folder = _stage_folder(run, stage)
        self.stage = stage
        self._stage = StageFolder(self.folder)
        self._state: StageState = "not started"
        self._config = _Steps(1)
        self._config_of: files.Stamp | None = None
        self._forget()

    def _forget(self) -> None:
        """Forget all rows."""
        self._read, self._last_line, self._step = 0, b"", 0
        self._policy_of: files.Stamp | None = None
        self._policy: NDArray[np.float32] | None = None
        self._times: deque[tuple[int, float]] = deque(maxlen=_RECENT)  # steps, when they were done

    def poll(self) -> News:
        """Return what is new since the last call.

        Raises `MpnasError` if a file cannot be read or is damaged.
        """
        before, self._state = self._state, self.state  # first: after its end, no rows come
        if self._state == "not started":
            restarted = self._step > 0
            self._forget()
            return News("not started", 0, 0, [], restarted=restarted)
        rows, restarted = self._new_rows()
        if self._state != "running":
            self._times.clear()
        elif rows and before == "running":  # not the rows from before a resume
            self._note_time()
        policy, per_step, left = self._new_policy(), self._seconds_per_step(), None
        if self._state == "running" and per_step is not None:
            left = per_step * (self._steps() - self._step)
        return News(self._state, self._step, self._steps(), rows, policy, per_step, left, restarted)

    def stop(self) -> None:
        """Ask the stage to stop after its step (see `request_stop`)."""
        _request(self._stage, self.stage)

    @property
    def state(self) -> StageState:
        """State of the stage now. No metrics are read."""
        if not self._stage.exists(CONFIG):
            return "not started"
        if self._stage.is_running:
            return "running"
        return "finished" if self._stage.is_finished else "stopped"

    def _steps(self) -> int:
        """Return the number of steps of the stage. The config is read if it is another one."""
        stamp = files.stamp(str(self.folder / CONFIG))
        if stamp is None or stamp != self._config_of:
            config = self._stage.read_config().config
            self._config = files.formed(config, _Steps, self.folder / CONFIG)
            self._config_of = stamp
        return self._config.steps

    def _new_rows(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the rows that were appended, and whether those before were cut or replaced."""
        content = self._metrics(self._read - len(self._last_line))
        restarted = not content.startswith(self._last_line)
        if restarted:
            self._forget()
            content = self._metrics(0)
        content = content[len(self._last_line) : content.rfind(b"\n") + 1]  # without half a line
        rows = self._stage.rows_of(content, self._step + 1)
        if rows:
            self._read += len(content)
            self._last_line = content[content.rfind(b"\n", 0, -1) + 1 :]
            self._step = rows[-1]["step"]
        return rows, restarted

    def _metrics(self, offset: int) -> bytes:
        exists = self._stage.exists(METRICS)
        return files.read_bytes(self.folder / METRICS, offset) if exists else b""

    def _note_time(self) -> None:
        stamp = files.stamp(str(self.folder / METRICS))
        if stamp is not None:
            self._times.append((self._step, stamp.modified / 1e9))

    def _seconds_per_step(self) -> float | None:
        if self._state == "finished":
            return self._stage.read_json("timing.json", Timing).seconds_per_step
        if len(self._times) < 2:
            return None
        (step, then), (last, now) = self._times[0], self._times[-1]
        return (now - then) / (last - step)

    def _new_policy(self) -> NDArray[np.float32] | None:
        if self.stage != "search":
            return None
        name = RESULTS if self._stage.is_finished else CHECKPOINT
        stamp = files.stamp(str(self.folder / name))
        if stamp is None or stamp == self._policy_of:
            return None
        policy, before = self._stage.last_policy(), self._policy
        self._policy_of, self._policy = stamp, policy
        same = policy is not None and before is not None and np.array_equal(before, policy)
        return None if same else policy


def begun_stages(run: Run | str | pathlib.Path) -> list[Watch]:
    """Return a watch of every stage of a run and of its cells that was begun.

    run: run, or path of a run folder.

    Raises `MpnasError` if the folder is not a run folder.
    """
    folder = _run_folder(run)
    cells = [folder / CELLS / name for name in files.names_in(folder / CELLS)]
    runs = [folder, *(cell for cell in cells if files.exists(cell / RUN))]
    watches = [Watch(one, stage) for one in runs for stage in STAGE_FOLDERS]
    return [watch for watch in watches if watch.state != "not started"]


def request_stop(run: Run | str | pathlib.Path, stage: str) -> None:
    """Ask the process that runs a stage to stop it.

    The stage ends its step, writes a checkpoint and ends, as after the first Ctrl-C. The same
    command continues. This function does not wait for the end.

    run: run, or path of a run folder.
    stage: `search`, `train`, or `pretrain`.

    Raises `MpnasError` if no process runs the stage, or its folder cannot be written.

    >>> mk.request_stop("runs/mine", "search")  # doctest: +SKIP
    """
    _request(StageFolder(_stage_folder(run, stage)), stage)


def stop_stages(folders: Iterable[pathlib.Path]) -> bool:
    """Ask the running stages of runs to stop. Return whether there are any. Nothing is waited for.

    folders: run folders, which need not exist.
    """
    running = False
    for folder in (run / name for run in folders for name in STAGE_FOLDERS):
        stage = StageFolder(folder)
        if stage.is_running:
            running = True
            if not stage.stop_is_requested:
                with contextlib.suppress(MpnasError):  # it has just ended
                    _request(stage, folder.name)
    return running


def _request(folder: StageFolder, stage: str) -> None:
    """Write the request, unless the stage ends meanwhile. A request never outlives its stage."""
    if folder.is_running:
        files.write_bytes(folder.folder / STOP, b"")
        if folder.is_running:
            return
        files.remove_file(folder.folder / STOP)
    how = "is finished" if folder.is_finished else "is not running"
    raise MpnasError(f"the {stage} stage in {folder.folder} {how}: expected a running stage.")


def _stage_folder(run: Run | str | pathlib.Path, stage: str) -> pathlib.Path:
    if stage not in STAGE_FOLDERS:
        raise unknown("stage", stage, STAGE_FOLDERS)
    return _run_folder(run) / stage


def _run_folder(run: Run | str | pathlib.Path) -> pathlib.Path:
    if isinstance(run, Run):
        return run.folder
    folder = place(run)
    if not files.exists(folder / RUN):
        raise MpnasError(f"{folder} has no {RUN}: expected a run folder.")
    return folder
