"""How the cells of a sweep run: when each one starts, what a failure means, how a sweep stops.

A cell starts as soon as the cell that it takes its search from, or is matched to, is finished. If a
cell fails, only those that need it do not run, and the errors are raised at the end. If a cell is
stopped, or the sweep is, all running cells end their step and write a checkpoint.
"""

import os
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from concurrent.futures import Executor as Pool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mpnas_kit
from mpnas_kit import files
from mpnas_kit.engine.loop import Callback
from mpnas_kit.engine.signals import stopped_by_signals
from mpnas_kit.errors import MpnasError, one_line
from mpnas_kit.runs.description import RUN
from mpnas_kit.runs.executors import Executor
from mpnas_kit.runs.sweep_cells import Cell
from mpnas_kit.runs.watching import stop_stages

if TYPE_CHECKING:
    from mpnas_kit.runs.sweep import Sweep

_PAUSE = 0.2  # seconds between two looks at stages that were asked to stop
_LOOKS = 3  # looks that see no running stage before a sweep ends; between two stages, none runs
_SHOWN = 5  # cells in a message
_ONE_CELL = threading.Lock()  # of this process


@dataclass(frozen=True)
class Outcome:
    """What became of a cell in the process that ran it.

    line: a line of text about the finished cell; empty: it is not finished.
    error: why it failed; None: it did not.
    stop: the interrupt that stopped it; None: none did.
    """

    line: str = ""
    error: Exception | None = None
    stop: KeyboardInterrupt | None = None

    def __reduce__(self) -> tuple[Callable[..., "Outcome"], tuple[Any, ...]]:
        return Outcome, (self.line, _portable(self.error), self.stop)


@dataclass(frozen=True, repr=False)
class CellTask:
    """Function that runs a cell in any process that shares the run folder.

    sweep: the sweep.
    callbacks: called after every step.
    threads: CPU threads; None: those of the process.
    version: release of the kit in the process of the sweep.
    """

    sweep: "Sweep"
    callbacks: tuple[Callback, ...] = ()
    threads: int | None = None
    version: str = mpnas_kit.__version__

    def __call__(self, cell: Cell) -> Outcome:
        """Run a cell. Nothing is raised, except what ends the process."""
        try:
            self._check_process()
            with _one_cell(), _cpu_threads(self.threads), stopped_by_signals():
                return Outcome(line=self.sweep.run_cell(cell, self.callbacks))
        except KeyboardInterrupt as stop:
            return Outcome(stop=stop)
        except Exception as error:
            return Outcome(error=error)

    def __repr__(self) -> str:
        return f"cell of {self.sweep.around.folder.name}"  # dask shows it

    def _check_process(self) -> None:
        """Raise `MpnasError` if this process has another kit, or does not see the run."""
        here, folder = f"{socket.gethostname()}, process {os.getpid()},", self.sweep.around.folder
        if mpnas_kit.__version__ != self.version:
            raise MpnasError(
                f"{here} has release {mpnas_kit.__version__} of the kit, and the sweep has "
                f"{self.version}: expected the same one."
            )
        if not files.exists(folder / RUN):
            raise MpnasError(
                f"{here} does not see {folder / RUN}: expected a folder that all workers share, "
                "under the same path."
            )


def run_cells(
    sweep: "Sweep",
    executor: Executor,
    callbacks: Sequence[Callback],
    tell: Callable[[str], None],
) -> None:
    """Run the cells of a sweep that are not finished.

    executor: where they run.
    callbacks: called after every step of every cell.
    tell: called with a line of text per cell.

    Raises `MpnasError` if a cell fails or a process is killed. If a cell fails by an error that the
    kit did not foresee, that error is raised.
    """
    task = CellTask(sweep, tuple(callbacks), executor.threads)
    with executor.open(sweep.around.folder, len(sweep.cells)) as pool:
        sweep.around.begin()  # workers look for its run.json
        work = _Work(sweep, task, executor.jobs, pool, tell)
        try:
            work.do()
        except KeyboardInterrupt:
            work.stop()
            raise
    work.raise_problems()


class _Work:
    """Cells that wait, that run, and that failed."""

    def __init__(
        self,
        sweep: "Sweep",
        task: CellTask,
        jobs: int | None,
        pool: Pool,
        tell: Callable[[str], None],
    ) -> None:
        self.sweep, self.task, self.pool, self.tell = sweep, task, pool, tell
        self.most = len(sweep.cells) if jobs is None else jobs
        self.waiting = {cell: self._unfinished(sweep.other(cell)) for cell in sweep.cells}
        self.running: dict[Future[Outcome], Cell] = {}
        self.problems: dict[Cell, Exception] = {}

    def _unfinished(self, cell: Cell | None) -> Cell | None:
        return None if cell is None or self.sweep.finished(cell) else cell

    def do(self) -> None:
        """Run all cells that can run."""
        while True:
            started = self._start_one()
            if not (started or self.running):
                return
            wait(self.running, timeout=0 if started else None, return_when=FIRST_COMPLETED)
            for future in [f for f in self.running if f.done()]:
                self._end(self.running.pop(future), self._outcome(future))

    def _start_one(self) -> bool:
        """Start the first cell that can run, or read it if it is finished. Return if there is one.

        A cell can run if it waits for no other, and not too many run.
        """
        full = len(self.running) >= self.most
        free = (c for c, other in self.waiting.items() if other is None)
        cell = next((c for c in free if not full or self.sweep.finished(c)), None)
        if cell is None:
            return False
        del self.waiting[cell]
        if self.sweep.finished(cell):
            self._end(cell, self.task(cell))
            return True
        try:
            self.running[self.pool.submit(self.task, cell)] = cell
        except BrokenExecutor as error:
            raise self._killed(error) from None
        except Exception as error:
            self._fail(cell, MpnasError(f"it cannot be sent to a worker: {_why(error)}."))
        return True

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        try:
            return future.result()
        except BrokenExecutor as error:
            raise self._killed(error) from None
        except MpnasError as error:
            return Outcome(error=error)
        except (Exception, CancelledError) as error:
            return Outcome(error=MpnasError(f"its process was lost: {_first_words(error)}."))

    def _end(self, cell: Cell, outcome: Outcome) -> None:
        if outcome.stop is not None:
            raise outcome.stop
        if outcome.error is not None:
            self._fail(cell, outcome.error)
            return
        self.tell(outcome.line)
        for other, needed in self.waiting.items():
            if needed == cell:
                self.waiting[other] = None

    def _fail(self, cell: Cell, error: Exception) -> None:
        """Note that a cell, and those that need it, do not finish."""
        self.problems[cell] = error
        cells = self.sweep.cells
        self.tell(f"{cells.index(cell) + 1} of {len(cells)}: {cell}: not finished")
        for other in [c for c, needed in self.waiting.items() if needed == cell]:
            del self.waiting[other]
            self._fail(other, MpnasError(f"it needs the cell {cell}."))

    def stop(self) -> None:
        """Ask all running cells to stop, and wait for their checkpoints.

        A pool may not know which of its calls were begun. So the stages are looked at, too.
        """
        folders = [self.sweep.folder(cell) for cell in self.running.values()]
        for future in self.running:
            future.cancel()
        idle = 0
        while folders and idle < _LOOKS:
            idle = idle + 1 if all(f.done() for f in self.running) else 0
            idle = 0 if stop_stages(folders) else idle
            time.sleep(_PAUSE)

    def _killed(self, error: BrokenExecutor) -> MpnasError:
        return MpnasError(
            f"a process of this sweep was killed, probably because memory ran out for {self.most} "
            f"jobs ({_first_words(error)}). The same sweep continues with the cells that are not "
            "finished."
        )

    def raise_problems(self) -> None:
        """Raise the errors of all cells as one."""
        if not self.problems:
            return
        count = f"{len(self.problems)} of {len(self.sweep.cells)} cells did not finish"
        lines = [f"{cell}: {_why(error)}." for cell, error in self.problems.items()]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        listed = "\n  ".join([*lines[:_SHOWN], *more])
        for error in self.problems.values():
            if not isinstance(error, MpnasError):  # a fault of code, which has a traceback
                error.add_note(f"{count}:\n  {listed}")
                raise error
        first = f"{count}: {listed}" if len(lines) == 1 else f"{count}:\n  {listed}\n"
        raise MpnasError(f"{first} The same sweep continues with what is not finished.")


def _why(error: BaseException) -> str:
    """Return an error in words, without a full stop."""
    words = str(error).rstrip(".") if isinstance(error, MpnasError) else one_line(error)
    return words if len(words) < 400 else f"{words[:400]}..."


def _first_words(error: BaseException) -> str:
    """Return the first sentence of an error of a library, without its full stop."""
    return _why(error).split(". ")[0]


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that another process can read, with its traceback as a note."""
    if error is None or isinstance(error, MpnasError):
        return error
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(one_line(error))
    copy.add_note("".join(traceback.format_exception(error)))
    return copy


@contextmanager
def _one_cell() -> Iterator[None]:
    """Raise `MpnasError` if another thread of this process runs a cell."""
    if not _ONE_CELL.acquire(blocking=False):
        raise MpnasError(
            f"process {os.getpid()} of {socket.gethostname()} runs another cell in another thread: "
            "expected workers with one thread, because seeds and settings of torch belong to a "
            "process."
        )
    try:
        yield
    finally:
        _ONE_CELL.release()


@contextmanager
def _cpu_threads(count: int | None) -> Iterator[None]:
    """Inside, torch has `count` threads; None: as many as before."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
