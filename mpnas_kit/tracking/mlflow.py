"""Runs of MLflow, logged with its client. MLflow's own active run is not touched."""

import functools
import os
import pathlib
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

import pandas as pd

from mpnas_kit import files
from mpnas_kit.deploy.metadata import quiet
from mpnas_kit.engine.trackers import StageStart, TrackedStage
from mpnas_kit.errors import MpnasError, one_line, short
from mpnas_kit.settings import check
from mpnas_kit.tracking.log import (
    Log,
    Scalar,
    imported,
    read_record,
    require_package,
    run_folder_of,
    stage_name,
    without_password,
    write_record,
)
from mpnas_kit.tracking.stage import LoggedStage
from mpnas_kit.tracking.tensorboard import EVERY
from mpnas_kit.values import convert_text

EXTRA = "mlflow"
MOST_METRICS, MOST_PARAMS, MOST_TEXT = 1000, 100, 6000  # of one request; characters of a param
_USUAL = {  # of the environment; what is set there stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@dataclass(frozen=True)
class MLflow:
    """A tracker that logs into MLflow (extra `mlflow`). A run of the kit is one run of MLflow.

    Numbers of every step by domain and as means, settings as parameters, accuracies and sizes, the
    paths, their similarity and the policies as pictures, tables and the files of the settings and
    results as artifacts. Names begin with the stage: `search/reward/digits`. MLflow's telemetry is
    off, unless the environment sets MLFLOW_DISABLE_TELEMETRY.

    uri: address of the tracking server, or a data base such as `sqlite:///mlflow.db`; None: that of
    MLflow (MLFLOW_TRACKING_URI in the environment, or mlflow.db in the working folder).
    experiment: name of the experiment; it is made if it does not exist.
    pictures_every: steps of a search between two sets of pictures, besides those at its end. None:
    at most every five minutes, so that they take about 1 % of the time.

    Raises `MpnasError` if the package `mlflow` (or `mlflow-skinny`) is not installed.

    >>> tracker = mk.MLflow(uri="sqlite:///mlflow.db")  # doctest: +SKIP
    >>> run.train(callbacks=[tracker])  # doctest: +SKIP
    """

    uri: str | None = None
    experiment: str = "mpnas"
    pictures_every: Annotated[int | None, EVERY] = None

    def __post_init__(self) -> None:
        check(self)
        for name, value in (("uri", self.uri), ("experiment", self.experiment)):
            if value is not None:
                convert_text(value, f"mlflow: {name}")
        require_package("mlflow", EXTRA)

    def check(self) -> None:
        """Raise `MpnasError` if the address cannot be reached, or the experiment is deleted."""
        self._experiment(_client(self.uri))

    def begin(self, start: StageStart) -> TrackedStage:
        """Return the stage as it is logged: in the MLflow run of its run, or in a new one."""
        client = _client(self.uri)
        experiment, run = self._experiment(client), run_folder_of(start.folder)
        stage = stage_name(start)
        with _one_sentence(self.uri):
            if experiment is None:
                experiment = _created(client, self.experiment)
            name = _known_run(client, experiment, read_record(run, EXTRA))
            if name is None:
                own = stage if run is None else pathlib.Path(os.path.abspath(run)).name
                name = client.create_run(experiment, run_name=own, tags=_tags(run)).info.run_id
                write_record(run, EXTRA, name)
            client.update_run(name, status="RUNNING")
            log = MLflowRun(client, name, stage)
        return LoggedStage(start, log, "MLflow", self.pictures_every)

    def _experiment(self, client: Any) -> str | None:
        """Return the id of the experiment, or None if there is none of this name."""
        with _one_sentence(self.uri):
            found = client.get_experiment_by_name(self.experiment)
        if found is None:
            return None
        if found.lifecycle_stage == "deleted":
            raise MpnasError(
                f"mlflow: the experiment {self.experiment!r} is deleted: expected another name, or "
                "restore it."
            )
        return str(found.experiment_id)


@functools.cache
def _client(uri: str | None) -> Any:
    """Return a client that can reach an address. Telemetry is off.

    Raises `MpnasError` if the package cannot be imported or the address cannot be used.
    """
    if uri is not None:
        _require_folder(uri)
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)
    mlflow = imported("mlflow", EXTRA)
    imported("mlflow.telemetry", EXTRA).set_telemetry_client()
    with _one_sentence(uri):
        client = mlflow.MlflowClient(tracking_uri=uri or mlflow.get_tracking_uri())
        client.search_experiments(max_results=1)
    return client


def _data_base(uri: str) -> pathlib.Path | None:
    """Return the file of a data base of SQLite; None: it is another address."""
    path = re.fullmatch(r"sqlite:///([^?]+)(\?.*)?", uri)
    return None if path is None else files.as_path(unquote(path[1]), "mlflow: uri")


def _require_folder(uri: str) -> None:
    """Raise `MpnasError` if a data base cannot be in its folder. MLflow tries this for minutes."""
    place = _data_base(uri)
    if place is None:
        return
    if not place.parent.is_dir():
        raise MpnasError(f"mlflow: uri {short(uri)}: there is no folder {place.parent}.")
    if files.exists(place):
        if place.is_dir() or files.read_bytes(place)[:15] not in (b"", b"SQLite format 3"):
            raise MpnasError(f"mlflow: uri {short(uri)}: {place} is no data base of SQLite.")
    else:
        files.require_writable(place.parent)


@contextmanager
def _one_sentence(uri: str | None) -> Iterator[None]:
    """Inside, an error of MLflow becomes an `MpnasError` that names the address."""
    try:
        with quiet():
            yield
    except MpnasError:
        raise
    except Exception as error:
        where = "its usual address" if uri is None else short(without_password(uri))
        why = without_password(one_line(error))[:250].rstrip(". ")
        raise MpnasError(
            f"mlflow cannot use {where} ({why}): expected the address of a tracking server, or "
            "sqlite:///FILE."
        ) from None


def _created(client: Any, name: str) -> str:
    """Return the id of a new experiment. Another process may make it at the same time.

    Artifacts beside a data base of SQLite go into the folder mlartifacts there. MLflow would put
    them into the working folder.
    """
    base = _data_base(client.tracking_uri)
    folder = None if base is None else (base.absolute().parent / "mlartifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=folder))
    except Exception:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _known_run(client: Any, experiment: str, known: Sequence[str]) -> str | None:
    """Return the latest known run that this server has in this experiment; None: there is none."""
    errors = imported("mlflow.exceptions", EXTRA)
    for name in reversed(known):
        try:
            info = client.get_run(name).info
        except errors.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue
        if info.experiment_id == experiment and info.lifecycle_stage == "active":
            return name
    return None


def _tags(run: pathlib.Path | None) -> dict[str, str]:
    """Return what a person can look for: the run folder, and the run of a cell."""
    if run is None:
        return {}
    whole = pathlib.Path(os.path.abspath(run))
    cell = {"mpnas.cell_of": whole.parent.parent.name} if whole.parent.name == "cells" else {}
    return {"mpnas.folder": str(whole), **cell}


class MLflowRun(Log):
    """One stage in a run of MLflow.

    client: client of MLflow.
    run: id of the run of MLflow.
    stage: name of the stage, with which all names begin.
    """

    def __init__(self, client: Any, run: str, stage: str) -> None:
        self._client, self._run, self._stage = client, run, stage
        self._entities = imported("mlflow.entities", EXTRA)
        self.refresh()

    def refresh(self) -> None:
        """Read the last steps of all numbers and pictures of the stage."""
        self.last, start = {}, f"{self._stage}/"
        for name in self._client.get_run(self._run).data.metrics:
            if name.startswith(start):
                history = self._client.get_metric_history(self._run, name)
                self.last[name[len(start) :]] = max(point.step for point in history)
        folder = f"pictures/{self._stage}/"
        for path in self._artifacts(folder.rstrip("/")):
            name, _, file = path[len(folder) :].rpartition("/")
            step = re.fullmatch(r"step_(\d+)\.png", file)
            if step is not None:
                self.last[name] = max(int(step[1]), self.last.get(name, 0))

    def settings(self, settings: Mapping[str, Any], goals: Sequence[str]) -> None:
        """Log settings as parameters. MLflow refuses to change one, so the first value stays."""
        known = self._client.get_run(self._run).data.params
        named = {
            f"{self._stage}.{name}": str(value)[:MOST_TEXT] for name, value in settings.items()
        }
        new = [self._entities.Param(k, v) for k, v in named.items() if k not in known]
        for at in range(0, len(new), MOST_PARAMS):
            self._client.log_batch(self._run, params=new[at : at + MOST_PARAMS])

    def scalars(self, scalars: Sequence[Scalar]) -> None:
        """Log numbers, at most 1,000 per request."""
        now = int(time.time() * 1000)
        for at in range(0, len(scalars), MOST_METRICS):
            some = scalars[at : at + MOST_METRICS]
            metric = self._entities.Metric
            points = [metric(f"{self._stage}/{s.name}", s.value, now, s.step) for s in some]
            self._client.log_batch(self._run, metrics=points)
            for scalar in some:
                self.last[scalar.name] = max(scalar.step, self.last.get(scalar.name, 0))

    def picture(self, name: str, step: int, png: bytes) -> None:
        """Log a picture as an artifact, pictures/STAGE/NAME/step_N.png."""
        self._upload(f"step_{step:06d}.png", png, f"pictures/{self._stage}/{name}")
        self.last[name] = step

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Log a table as an artifact, tables/STAGE/NAME.csv."""
        content = table.to_csv(index=False).encode("utf-8", "replace")
        self._upload(f"{name}.csv", content, f"tables/{self._stage}")

    def file(self, path: pathlib.Path) -> None:
        """Log a file as an artifact, STAGE/NAME."""
        self._client.log_artifact(self._run, str(path), self._stage)

    def close(self, *, finished: bool) -> None:
        """End the run of MLflow. The next stage opens it again."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")

    def _upload(self, name: str, content: bytes, folder: str) -> None:
        with tempfile.TemporaryDirectory() as place:
            path = files.write_bytes(pathlib.Path(place) / name, content)
            self._client.log_artifact(self._run, str(path), folder)

    def _artifacts(self, folder: str) -> Iterator[str]:
        """Return the paths of all artifacts in a folder and those in it."""
        for item in self._client.list_artifacts(self._run, folder):
            if item.is_dir:
                yield from self._artifacts(item.path)
            else:
                yield item.path
