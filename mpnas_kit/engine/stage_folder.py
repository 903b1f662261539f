"""The stage folder: the files of a stage. Stages exchange data through them only.

    config.json           what the stage depends on; a folder with another config is refused
    environment.json      where it runs: versions, threads, git commit
    metrics.jsonl         one line per step
    checkpoint.pt         state that a resume needs
    policy.npy            search: choice probabilities over time
    supernet.safetensors  search: weights of the supernet
    paths.json            arch string of every domain
    model.safetensors     training: weights of the network
    timing.json           how long the steps took
    results.json          results, without times: the same seed gives the same bytes

A file is written under another name and then renamed. So a reader finds the old file or the new
one, never half a file. Metrics are appended. A resume cuts them to the length that the checkpoint
records. Nothing is ever unpickled: checkpoints are read with `weights_only`.
"""

import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mpnas_kit.engine.environment import current_environment
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError, reason

FORMAT = 2  # of config.json
LOCK = ".lock"  # held by the process that uses the folder


@dataclass(frozen=True)
class Contents:
    """The content of a stage's config.json.

    identity: what the results depend on. A folder with another identity is refused.
    known: defaults of the settings in `identity["config"]`. A setting that a folder lacks, because
    it is older than the setting, counts as set to its default.
    record: what else a reader of the folder needs. It is not compared.
    """

    identity: Mapping[str, Any]
    known: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


class StageFolder:
    """The folder of one stage.

    `open` returns it for a stage that runs. `read` returns it to a reader.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None
        self._metrics: BinaryIO | None = None

    @classmethod
    def open(cls, folder: str | pathlib.Path, contents: Contents) -> "StageFolder":
        """Return the folder for a stage that is to run. Make it if it does not exist.

        contents: content of its config.json.

        Raises `MpnasError` if the folder has another identity (the message names the field that
        differs), is not a stage folder, cannot be written, or is used by another process.
        """
        stage = cls(pathlib.Path(folder))
        try:
            stage._prepare(contents)
        except BaseException:
            stage.close()
            raise
        return stage

    def _prepare(self, contents: Contents) -> None:
        asked, known = json.loads(json.dumps(contents.identity)), contents.known
        if self.exists("config.json"):
            self._same_config(asked, known)
            if not self.exists("results.json"):  # a finished folder is only read
                self._take()
            return
        with self._writing("the folder"):
            self.folder.mkdir(parents=True, exist_ok=True)
            present = [p.name for p in self.folder.iterdir()]
        ours = (LOCK, "config.json", "config.json.tmp", "environment.json", "environment.json.tmp")
        strangers = [name for name in present if name not in ours]
        if strangers:
            raise MpnasError(
                f"{self.folder} holds {strangers[0]!r} and no config.json, so it is not a stage "
                "folder: expected a new or an empty folder."
            )
        self._take()
        if self.exists("config.json"):  # another process was faster, and has ended
            self._same_config(asked, known)
            return
        self.write_json("environment.json", current_environment())
        self.write_json("config.json", {"format": FORMAT, **asked, "record": contents.record})

    def _take(self) -> None:
        """Keep other processes out until `close`, or until this process ends."""
        lock = FileLock(self.folder / LOCK, timeout=0)
        with self._writing(LOCK):
            try:
                lock.acquire()
            except Timeout:
                raise MpnasError(
                    f"another process uses {self.folder}: wait until it ends, stop it, or use "
                    "another folder."
                ) from None
        self._lock = lock

    @classmethod
    def read(cls, folder: str | pathlib.Path, *needed: str) -> "StageFolder":
        """Return an existing folder.

        needed: names of files that must be there, besides config.json.

        Raises `MpnasError` if one of them is missing.
        """
        stage = cls(pathlib.Path(folder))
        for name in ("config.json", *needed):
            if not (stage.folder / name).exists():
                raise MpnasError(
                    f"{stage.folder} has no {name}: expected the folder of a finished stage."
                )
        return stage

    def _same_config(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        recorded = self.read_config()
        if recorded.pop("format") < FORMAT:
            raise MpnasError(
                f"{self.folder} was made by release 0.1 of the kit, which used another checksum of "
                "the images: a finished stage can be read, but not run again. Use another folder."
            )
        recorded.pop("record", None)
        recorded["config"] = {**known, **recorded["config"]}
        for name in [*asked, *(k for k in recorded if k not in asked)]:
            old, new = recorded.get(name), asked.get(name)
            if old == new:
                continue
            if isinstance(old, dict) and isinstance(new, dict):
                inner = next(k for k in [*new, *old] if old.get(k) != new.get(k))
                outer = "" if name == "config" else f"{name}."
                name, old, new = outer + inner, old.get(inner), new.get(inner)
            raise other_setting(self.folder, name, old, new)

    def read_config(self) -> dict[str, Any]:
        """Return the content of config.json, in the present form.

        `format` is 1 if release 0.1 wrote the file.

        Raises `MpnasError` if the file cannot be read.
        """
        content = self.read_json("config.json")
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
            raise MpnasError(f"{self.folder / 'config.json'} cannot be read: it has no 'config'.")
        if "format" not in content:
            config = content["config"]
            if "priority" in config:
                config["prioritization"] = config.pop("priority")
            content = {"format": 1, **content, "record": {}}
        return content

    @property
    def is_finished(self) -> bool:
        """Whether the stage has its results."""
        return self.exists("results.json")

    # Small files ---------------------------------------------------------------------------------

    def write_json(self, name: str, content: Any) -> None:
        """Write `content` as indented JSON."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        self.write(name, lambda file: file.write(text.encode()))

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file. Raises `MpnasError` if it cannot be read."""
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise MpnasError(f"{self.folder / name} cannot be read: {reason(error)}.") from None

    def write_array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as a .npy file."""
        self.write(name, lambda file: np.save(file, array, allow_pickle=False))

    def read_array(self, name: str) -> NDArray[Any]:
        """Return an array that `write_array` wrote. Raises `MpnasError` if it cannot be read."""
        try:
            loaded: NDArray[Any] = np.load(self.folder / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MpnasError(f"{self.folder / name} cannot be read: {reason(error)}.") from None
        return loaded

    def write(self, name: str, fill: Callable[[BinaryIO], Any]) -> None:
        """Write a file as a whole, or not at all.

        fill: function that writes the content to the open file.

        Raises `MpnasError` if the file cannot be written.
        """
        target = self.folder / name
        temporary = self.folder / f"{name}.tmp"
        with self._writing(name):
            try:
                with temporary.open("wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise MpnasError(
                f"cannot write {what} in {self.folder}: {reason(error)}. Files written before are "
                "intact, so the stage can be resumed."
            ) from None

    def exists(self, name: str) -> bool:
        """Return whether the folder has a file with this name."""
        return (self.folder / name).exists()

    # Metrics and checkpoints ---------------------------------------------------------------------

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one line to the metrics."""
        with self._writing("metrics.jsonl"):
            if self._metrics is None:
                self._metrics = (self.folder / "metrics.jsonl").open("ab")
            self._metrics.write(json.dumps(row).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return all lines of the metrics, without a last line that is incomplete."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise MpnasError(f"{path} cannot be read: {reason(error)}.") from None

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write the state that a resume needs, with the present length of the metrics."""
        metrics = self.folder / "metrics.jsonl"
        with self._writing("metrics.jsonl"):
            if self._metrics is not None:
                self._metrics.flush()
                os.fsync(self._metrics.fileno())
            offset = metrics.stat().st_size if metrics.exists() else 0
        self.write("checkpoint.pt", lambda f: torch.save({**state, "metrics_bytes": offset}, f))

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the last checkpoint, and cut the metrics to its length.

        Without a checkpoint, return None and empty the metrics.

        Raises `MpnasError` if the checkpoint cannot be read, or if the metrics are too short.
        """
        path, metrics = self.folder / "checkpoint.pt", self.folder / "metrics.jsonl"
        state: dict[str, Any] | None = None
        if path.exists():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise MpnasError(
                    f"{path} cannot be read ({reason(error)}): it is incomplete or not a "
                    "checkpoint. Delete it to begin this stage again."
                ) from None
        offset = state["metrics_bytes"] if state else 0
        size = metrics.stat().st_size if metrics.exists() else 0
        if size < offset:
            raise MpnasError(
                f"{metrics} has {size} bytes: expected at least {offset}, as in the checkpoint. "
                "Delete checkpoint.pt to begin this stage again."
            )
        if metrics.exists():
            with self._writing("metrics.jsonl"):
                os.truncate(metrics, offset)
        return state

    def close(self) -> None:
        """Close the metrics and allow other processes to use the folder."""
        try:
            if self._metrics is not None:
                with self._writing("metrics.jsonl"):
                    self._metrics.close()
                self._metrics = None
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None


@contextmanager
def open_on_leader(
    folder: str | pathlib.Path | None,
    contents: Callable[[], Contents],
    team: Team,
) -> Iterator[StageFolder | None]:
    """Open the folder of a stage in the leader, and close it at the end.

    Yields the folder. Yields None if the stage has no folder, and in ranks other than the leader.
    """
    stage: StageFolder | None = None

    def begin() -> None:
        nonlocal stage
        stage = StageFolder.open(folder, contents()) if folder is not None else None

    team.on_leader(begin)
    try:
        yield stage
    finally:
        if stage is not None:
            stage.close()


_HASHES = {"data": "images, labels or classes", "costs": "costs of paths"}  # in config.json


def other_setting(folder: pathlib.Path, name: str, old: object, new: object) -> MpnasError:
    """Return the error that says that a stage was made with another setting.

    folder: stage folder.
    name: name of the setting.
    old, new: its values in the folder and now.
    """
    what = f"other {_HASHES[name]}" if name in _HASHES else f"{name} = {old!r}, not {new!r}"
    return MpnasError(f"{folder} was made with {what}: use the same, or another folder.")
