"""Event files of TensorBoard, written by one process, without a thread."""

import io
import os
import pathlib
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Annotated, Any

import pandas as pd
from PIL import Image

from mpnas_kit import files
from mpnas_kit.engine.trackers import StageStart, TrackedStage
from mpnas_kit.errors import MpnasError, one_line
from mpnas_kit.settings import check
from mpnas_kit.tracking.log import (
    Log,
    Scalar,
    imported,
    read_record,
    require_package,
    run_folder_of,
    stage_name,
    write_record,
)
from mpnas_kit.tracking.stage import LoggedStage
from mpnas_kit.values import Range

EXTRA = "tensorboard"
EVERY = Range(1, 10_000_000)
EVENTS = "events.out.tfevents."  # how TensorBoard finds its files
MOST_ROWS = 200  # of a table that is shown as text
_PROTO = "tensorboard.compat.proto"


@dataclass(frozen=True)
class TensorBoard:
    """A tracker that writes event files for TensorBoard (extra `tensorboard`).

    Numbers of every step by domain and as means, settings as hyperparameters, accuracies and sizes,
    the paths, their similarity and the policies as pictures, paths and accuracies as text.

    folder: folder of the event files: stages are FOLDER/RUN/STAGE, or FOLDER/RUN/cells/CELL/STAGE;
    if another run has this name already, RUN-2. None: RUN/tensorboard/STAGE in the run folder.
    pictures_every: steps of a search between two sets of pictures, besides those at its end. None:
    at most every five minutes, so that they take about 1 % of the time.

    Raises `MpnasError` if the package `tensorboard` is not installed.

    >>> run.search(callbacks=[mk.TensorBoard()])  # doctest: +SKIP
    >>> # then, in a shell: tensorboard --logdir runs
    """

    text_name = "tensorboard"
    folder: str | None = None
    pictures_every: Annotated[int | None, EVERY] = None

    def __post_init__(self) -> None:
        check(self)
        require_package(EXTRA, EXTRA)

    def check(self) -> None:
        """Raise `MpnasError` if the package cannot be imported, or the folder is none."""
        imported(f"{_PROTO}.event_pb2", EXTRA)
        if self.folder is not None:
            given = files.as_path(self.folder, "tensorboard: folder")
            if files.exists(given) and not given.is_dir():
                raise MpnasError(f"tensorboard: folder {given} is a file: expected a folder.")

    def begin(self, start: StageStart) -> TrackedStage:
        """Return the stage as it is logged. Its events follow those that its folder has."""
        self.check()
        log = EventFolder(self._place(start))
        return LoggedStage(start, log, "TensorBoard", self.pictures_every)

    def _place(self, start: StageStart) -> pathlib.Path:
        run = run_folder_of(start.folder)
        if self.folder is None:
            if run is None:
                raise MpnasError(
                    "tensorboard has no folder, and the stage belongs to no run: expected "
                    "tensorboard(folder='logs')."
                )
            return run / "tensorboard" / stage_name(start)
        logs = pathlib.Path(os.path.abspath(files.as_path(self.folder, "tensorboard: folder")))
        known = [place for place in read_record(run, EXTRA) if _is_under(place, logs)]
        stage = stage_name(start)
        if known:
            return pathlib.Path(known[-1]) / stage
        name = _name_of(start)
        free = (logs / (name if n == 1 else f"{name}-{n}") for n in count(1))
        own = next(place for place in free if not files.exists(place))
        write_record(run, EXTRA, str(own))
        return own / stage


def _is_under(place: str, folder: pathlib.Path) -> bool:
    """Return whether a recorded place is in a folder that a person gave."""
    return pathlib.Path(os.path.normpath(place)).is_relative_to(folder)


def _name_of(start: StageStart) -> pathlib.Path:
    """Return the folder of a run below that of the logs. A cell is below its run."""
    run = run_folder_of(start.folder)
    if run is None:
        return pathlib.Path("stage" if start.folder is None else start.folder.name)
    whole = pathlib.Path(os.path.abspath(run))
    if whole.parent.name == "cells":
        return pathlib.Path(whole.parent.parent.name, "cells", whole.name)
    return pathlib.Path(whole.name)


class EventFolder(Log):
    """A folder of event files. It is made with the first event."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._file: pathlib.Path | None = None
        self._events = imported(f"{_PROTO}.event_pb2", EXTRA)
        self._summaries = imported(f"{_PROTO}.summary_pb2", EXTRA)
        self._of_torch = imported("torch.utils.tensorboard.summary", EXTRA)
        self._writers = imported("tensorboard.summary.writer.record_writer", EXTRA)
        self._loaders = imported("tensorboard.backend.event_processing.event_file_loader", EXTRA)
        self.refresh()

    def refresh(self) -> None:
        """Read the names and steps of all events. New ones go into a new file."""
        self._file, self.last = None, {}
        for name in files.names_in(self.folder):
            if name.startswith(EVENTS):
                self._read(self.folder / name)

    def settings(self, settings: Mapping[str, Any], goals: Sequence[str]) -> None:
        """Write the settings as hyperparameters, unless they are there."""
        if "_hparams_/experiment" not in self.last:
            about = self._of_torch.hparams(dict(settings), dict.fromkeys(goals, 0.0))
            self._write([(summary, 0) for summary in about])

    def scalars(self, scalars: Sequence[Scalar]) -> None:
        """Write one event per step."""
        events = []
        for step, own in groupby(scalars, key=lambda scalar: scalar.step):
            value = self._summaries.Summary.Value
            values = [value(tag=s.name, simple_value=s.value) for s in own]
            events.append((self._summaries.Summary(value=values), step))
        self._write(events)

    def picture(self, name: str, step: int, png: bytes) -> None:
        """Write a picture."""
        width, height = Image.open(io.BytesIO(png)).size
        summary = self._summaries.Summary
        image = summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
        self._write([(summary(value=[summary.Value(tag=name, image=image)]), step)])

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a small table as text. Large ones are in `Run.tables`."""
        if len(table) <= MOST_ROWS and f"{name}/text_summary" not in self.last:
            self._write([(self._of_torch.text(name, _markdown(table)), 0)])

    def file(self, path: pathlib.Path) -> None:
        """Write nothing: TensorBoard has no files."""

    def close(self, *, finished: bool) -> None:
        """Do nothing: all events are written."""

    def _read(self, path: pathlib.Path) -> None:
        """Note the events of a file. The last one may be cut short."""
        try:
            for event in self._loaders.LegacyEventFileLoader(str(path)).Load():
                self._note(event.summary, event.step)
        except Exception as error:
            raise MpnasError(
                f"{path} cannot be read ({one_line(error)[:200]}): move it out of this folder."
            ) from error

    def _note(self, summary: Any, step: int) -> None:
        for value in summary.value:
            self.last[value.tag] = max(step, self.last.get(value.tag, 0))

    def _write(self, summaries: Iterable[tuple[Any, int]]) -> None:
        """Append events to the file of this process."""
        now = time.time()
        events = [self._events.Event(wall_time=now, step=i, summary=s) for s, i in summaries]
        if not events:
            return
        if self._file is None:
            files.make_folder(self.folder)
            who = f"{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
            path = self.folder / f"{EVENTS}{who}"
            version = self._events.Event(wall_time=now, file_version="brain.Event:2")
            files.append_bytes(path, self._records([version]))
            self._file = path
        files.append_bytes(self._file, self._records(events))
        for event in events:
            self._note(event.summary, event.step)

    def _records(self, events: Iterable[Any]) -> bytes:
        stream = io.BytesIO()
        writer = self._writers.RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())
        return stream.getvalue()


def _markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown."""

    def line(cells: Iterable[Any]) -> str:
        texts = (f"{c:.4g}" if isinstance(c, float) else str(c).replace("|", "\\|") for c in cells)
        return f"| {' | '.join(texts)} |"

    rows = table.itertuples(index=False)
    return "\n".join([line(table.columns), line("---" for _ in table.columns), *map(line, rows)])
