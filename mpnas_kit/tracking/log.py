"""What all trackers have in common: the log that they write, their pace, and where they log."""

import importlib
import importlib.util
import pathlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pandas as pd

from mpnas_kit import files
from mpnas_kit.deploy.metadata import quiet
from mpnas_kit.engine.trackers import StageStart
from mpnas_kit.errors import MpnasError, one_line
from mpnas_kit.runs.description import RUN

RECORD = "tracking.json"  # in the run folder: where the run is tracked


class Scalar(NamedTuple):
    """A number that changes with the steps.

    name: such as `loss/digits`.
    step: number of the step, from 1.
    value: the number.
    """

    name: str
    step: int
    value: float


class Log(ABC):
    """A place in which one stage is logged.

    last: last step of every scalar and picture that it has, by name. A name without steps, such as
    that of a table, has the step 0.
    """

    last: dict[str, int]

    @abstractmethod
    def refresh(self) -> None:
        """Set `last` to what the place has."""

    @abstractmethod
    def settings(self, settings: Mapping[str, Any], goals: Sequence[str]) -> None:
        """Log settings. They may be there already.

        goals: names of the scalars that sum up the stage.
        """

    @abstractmethod
    def scalars(self, scalars: Sequence[Scalar]) -> None:
        """Log numbers in the order of their steps. None of them is there already."""

    @abstractmethod
    def picture(self, name: str, step: int, png: bytes) -> None:
        """Log a picture."""

    @abstractmethod
    def table(self, name: str, table: pd.DataFrame) -> None:
        """Log a table. An earlier one of this name is replaced."""

    @abstractmethod
    def file(self, path: pathlib.Path) -> None:
        """Log a file of the stage folder."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """End the log of this stage.

        finished: whether the stage is finished.
        """


class Pace:
    """Says when work is due, so that it takes at most a share of the time.

    share: share of the time that the work may take, 0 to 1.
    pause: least time from one piece of work to the next, in seconds.
    """

    def __init__(self, share: float, pause: float) -> None:
        self.share, self.pause = share, pause
        self._next = time.monotonic() + pause

    @property
    def due(self) -> bool:
        """Whether the next piece of work is due."""
        return time.monotonic() >= self._next

    @contextmanager
    def work(self) -> Iterator[None]:
        """Do a piece of work inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self._next = now + max(self.pause, (now - began) / self.share)


def require_package(name: str, extra: str) -> None:
    """Raise `MpnasError` if a package is not installed. It is not imported.

    name: name of the package.
    extra: name of the extra of the kit that installs it.
    """
    try:
        found = importlib.util.find_spec(name) is not None
    except ValueError:  # a module that something else put in its place
        found = True
    if not found:
        raise MpnasError(
            f"{extra} needs a package that is not installed: pip install 'mpnas-kit[{extra}]'."
        )


def imported(name: str, extra: str) -> Any:
    """Return a module of a package. Raises `MpnasError` if it cannot be imported.

    name: dotted name of the module.
    extra: name of the extra of the kit that installs it.
    """
    require_package(name.partition(".")[0], extra)
    try:
        with quiet():
            return importlib.import_module(name)
    except Exception as error:
        raise MpnasError(
            f"{extra} cannot be imported ({one_line(error)[:200]}): pip install "
            f"'mpnas-kit[{extra}]' installs what it needs."
        ) from error


def without_password(text: str) -> str:
    """Return a text in which addresses have no user and no password.

    >>> without_password("http://me:secret@server/x")
    'http://server/x'
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def run_folder_of(stage: pathlib.Path | None) -> pathlib.Path | None:
    """Return the run folder of a stage folder; None: the stage belongs to no run."""
    if stage is None or not files.exists(stage.parent / RUN):
        return None
    return stage.parent


def stage_name(start: StageStart) -> str:
    """Return the name of a stage in its run, such as `pretrain`, or else its kind."""
    run = run_folder_of(start.folder)
    return start.stage if run is None or start.folder is None else start.folder.name


def read_record(run: pathlib.Path | None, tracker: str) -> list[str]:
    """Return where a tracker has logged a run before, the latest last.

    run: run folder; None: the stage belongs to no run, so nothing is recorded.
    """
    if run is None or not files.exists(run / RECORD):
        return []
    return files.read_json(run / RECORD, dict[str, list[str]]).get(tracker, [])


def write_record(run: pathlib.Path | None, tracker: str, place: str) -> None:
    """Record where a tracker logs a run, so that the next stage or a resume finds it."""
    if run is None:
        return
    known = (
        files.read_json(run / RECORD, dict[str, list[str]]) if files.exists(run / RECORD) else {}
    )
    own = [*(one for one in known.get(tracker, []) if one != place), place]
    files.write_json(run / RECORD, {**known, tracker: own})
