"""One stage, as a tracker follows it: numbers of every step, pictures now and then, the result."""

import warnings
from collections.abc import Callable, Iterable

from mpnas_kit import files
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.engine.trackers import StageStart
from mpnas_kit.errors import one_line
from mpnas_kit.search.result import SearchResult
from mpnas_kit.tracking.content import (
    GOALS,
    Drawing,
    decided_in,
    of_result,
    of_rows,
    pictures_of_search,
    pictures_of_training,
    png,
    rows_of,
    search_now,
    settings_of,
    tables_of,
)
from mpnas_kit.tracking.log import Log, Pace, Scalar, run_folder_of, without_password
from mpnas_kit.training.result import TrainResult

SHARE = 0.01  # of the time that numbers take, and pictures during a search
RECORDS = (  # files of a stage folder
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "paths.json",
    "results.json",
    "timing.json",
)


class LoggedStage:
    """A `TrackedStage` that is logged. Its failures never reach the stage.

    Numbers are kept and logged together, at most every two seconds. If logging fails, there is one
    warning, and the rest is tried again at the end of the stage. A number that the log has for a
    step is not logged again, so neither a resume nor a second try doubles anything.

    start: the stage.
    log: where it is logged.
    name: name of the tracker, for the warning.
    pictures_every: steps of a search between two sets of pictures. None: at most every five
    minutes, so that they take about 1 % of the time.
    """

    def __init__(
        self, start: StageStart, log: Log, name: str, pictures_every: int | None = None
    ) -> None:
        self._start, self._log, self._name, self._every = start, log, name, pictures_every
        self._waiting: list[Scalar] = []
        self._numbers, self._pictures = Pace(SHARE, 2.0), Pace(SHARE, 300.0)
        self._begun = self._failed = self._warned = self._ended = False

    def __call__(self, event: StepEvent) -> None:
        """Note a step."""
        if not self._begun and not self._failed:
            self._begun = self._attempt(lambda: self._begin(event.step))
        if self._failed:
            return
        self._waiting += of_rows([{"step": event.step, "domains": event.rows}])
        self._waiting += decided_in(self._start, event)
        if self._numbers.due:
            with self._numbers.work():
                self._attempt(self._flush)
        if self._pictures_due(event):
            with self._pictures.work():
                self._attempt(lambda: self._draw_now(event))

    def end(self, result: SearchResult | TrainResult) -> None:
        """Log what the log does not have yet, and the result."""
        if self._failed:
            self._failed = False
            self._attempt(self._log.refresh)
        if not self._failed:
            self._ended = self._attempt(lambda: self._finish(result))

    def close(self) -> None:
        """Log the numbers that wait, and end the log."""
        if not self._failed:
            self._attempt(self._flush)
        self._attempt(lambda: self._log.close(finished=self._ended))

    def _begin(self, step: int) -> None:
        """Log the settings, and the numbers of the steps before `step` that the log lacks."""
        self._log_settings()
        start = self._start
        if start.folder is not None and step > 1:
            rows = StageFolder.read(start.folder).metrics()
            self._waiting += of_rows(rows[: step - 1])

    def _log_settings(self) -> None:
        start = self._start
        self._log.settings(settings_of(start, run_folder_of(start.folder)), GOALS[start.stage])

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        last = self._log.last
        self._log.scalars([s for s in waiting if s.step > last.get(s.name, 0)])

    def _pictures_due(self, event: StepEvent) -> bool:
        if event.step == event.steps or event.policy() is None:  # the last ones belong to the end
            return False
        return self._pictures.due if self._every is None else event.step % self._every == 0

    def _draw_now(self, event: StepEvent) -> None:
        policy = event.policy()
        assert policy is not None
        now = search_now(self._start, policy)
        self._draw(pictures_of_search(now, event.step), event.step)

    def _draw(self, pictures: Iterable[tuple[str, Drawing]], step: int) -> None:
        for name, draw in pictures:
            if step > self._log.last.get(name, 0):
                self._log.picture(name, step, png(draw))

    def _finish(self, result: SearchResult | TrainResult) -> None:
        if not self._begun:
            self._log_settings()
        scalars = [*of_rows(rows_of(result.history)), *of_result(self._start, result)]
        self._waiting = sorted(scalars, key=lambda scalar: scalar.step)
        self._flush()
        if isinstance(result, SearchResult):
            self._draw(pictures_of_search(result), result.config.steps)
        else:
            self._draw(pictures_of_training(result), result.config.steps)
        for name, table in tables_of(result):
            self._log.table(name, table)
        folder = self._start.folder
        for path in (folder / name for name in RECORDS) if folder is not None else ():
            if files.exists(path):
                self._log.file(path)

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do some work. If it fails, warn once, and log nothing more until the end of the stage."""
        try:
            work()
        except Exception as error:
            self._failed, self._waiting = True, []
            if not self._warned:
                self._warned = True
                why = without_password(one_line(error))[:300]
                warnings.warn(
                    f"{self._name} cannot log ({why}). The {self._start.stage} continues without "
                    "it; the same command logs the rest later.",
                    stacklevel=2,
                )
            return False
        return True
