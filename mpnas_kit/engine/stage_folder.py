"""The stage folder: the files of a stage. Stages exchange data through them only.

    config.json           what the stage depends on; a folder with another config is refused
    environment.json      where it runs: versions, threads, kernels, git commit
    metrics.jsonl         one line per step
    checkpoint.pt         state that a resume needs
    policy.npy            search: choice probabilities over time
    supernet.safetensors  search: weights of the supernet
    paths.json            arch string of every domain
    model.safetensors     training: weights of the network
    pixels.safetensors    training: pixel statistics of every domain, which tell them apart
    start.csv             what a start gave to every tensor, if there is one
    front.json            search with a merge pass: paths that share more and more nodes
    timing.json           how long the steps took
    results.json          results, without times: the same seed gives the same bytes
    stop.request          another process asks the stage to stop (see `runs.watching`)

Files are written whole or not at all (see `files`). Metrics are appended. A resume cuts them to the
length that the checkpoint records, after it has checked both. results.json has the checksums of the
files that belong to the results, and a reader compares them. Nothing is ever unpickled: checkpoints
are read with `weights_only`.

A process that runs the stage locks config.json until it ends. A stage without config.json cannot be
continued, so deleting the lock lets no second process in.
"""

import fcntl
import hashlib
import io
import json
import os
import pathlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.engine.environment import current_environment
from mpnas_kit.engine.records import MetricsRow, Results, StageConfigFile
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError, reason, short
from mpnas_kit.kernels.library import EAGER

T = TypeVar("T")
FORMAT = 2  # of config.json and results.json
CHECKPOINT_FORMAT = 2
CONFIG, METRICS, CHECKPOINT, POLICY, RESULTS, STOP = (
    "config.json",
    "metrics.jsonl",
    "checkpoint.pt",
    "policy.npy",
    "results.json",
    "stop.request",
)
BOUND = (
    METRICS,
    "paths.json",
    POLICY,
    "supernet.safetensors",
    "model.safetensors",
    "pixels.safetensors",
    "start.csv",
    "front.json",
)
_KEPT = "Files written before are intact, so the stage can be resumed."
_AGAIN = f"Delete {CHECKPOINT} to begin this stage again."
SEE_CHECK = "`mpnas check` says what can be done."
_TRIES, _PAUSE = 20, 0.01  # for the lock of a stage; a process that looks at it has it for a moment


@dataclass(frozen=True)
class Contents:
    """The content of a stage's config.json.

    identity: what the results depend on. A folder with another identity is refused.
    kernels: variant of the kernels. An unfinished folder with another variant is refused: its steps
    would have been computed in two ways. A finished one is read whatever its variant.
    known: defaults of the settings in `identity["config"]`. A setting that a folder lacks, because
    it is older than the setting, counts as set to its default.
    record: function that returns what else a reader of the folder needs. It is called when the
    folder is begun. Its result is not compared.
    """

    identity: Mapping[str, Any]
    kernels: str
    known: Mapping[str, Any] = field(default_factory=dict)
    record: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class Checkpoint:
    """The state of a stage after a step, as its folder has it.

    step: number of steps done, at least 1. seconds: time that they took.
    state: what `Stage.state` returned.
    rows: metrics of the steps.
    """

    step: int
    seconds: float
    state: dict[str, Any]
    rows: list[dict[str, Any]]


class StageFolder:
    """The folder of one stage.

    `open` returns it for a stage that runs. `read` returns it to a reader.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._stop = str(folder / STOP)
        self._lock: int | None = None  # descriptor of config.json
        self._log: int | None = None  # descriptor of the metrics
        self._logged, self._bytes_logged = hashlib.sha256(), 0
        self._config = ""  # checksum of config.json
        self._written: dict[str, str] = {}  # checksums of the files that this process wrote

    @classmethod
    def open(cls, folder: str | pathlib.Path, contents: Contents) -> "StageFolder":
        """Return the folder for a stage that is to run. Make it if it does not exist.

        contents: content of its config.json.

        Raises `MpnasError` if the folder has another identity (the message names the field that
        differs), is not a stage folder, cannot be written, or is used by another process.
        """
        stage = cls(files.as_path(folder, "folder"))
        try:
            stage._prepare(contents)
        except BaseException:
            stage.close()
            raise
        return stage

    def _prepare(self, contents: Contents) -> None:
        asked = {**json.loads(json.dumps(contents.identity)), "kernels": contents.kernels}
        if not self.exists(CONFIG):
            self._begin({"format": FORMAT, **asked, "record": contents.record()})
        self._same_config(asked, contents.known)
        if not self.is_finished:  # a finished folder is only read
            self._take()
            files.remove_file(self.folder / STOP)  # it was for an earlier process
            self._config = files.checksum(self.folder / CONFIG)
            files.remove_unfinished(self.folder)

    def _begin(self, content: Mapping[str, Any]) -> None:
        """Make the folder, and write its config.json last."""
        files.make_folder(self.folder)
        for name in files.names_in(self.folder):
            if name != "environment.json" and not name.endswith(files.UNFINISHED):
                raise MpnasError(
                    f"{self.folder} holds {name!r} and no {CONFIG}, so it is not a stage folder: "
                    "expected a new or an empty folder."
                )
        about = {**current_environment(), "kernels": content["kernels"]}
        self.write_json("environment.json", about)
        files.write_new(self.folder / CONFIG, files.json_bytes(content))

    def _take(self) -> None:
        """Keep other processes out until `close`, or until this process ends."""
        with files.file_errors("lock", self.folder / CONFIG):
            self._lock = os.open(self.folder / CONFIG, os.O_RDWR | os.O_CLOEXEC)
            for _ in range(_TRIES):
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(_PAUSE)
        raise MpnasError(
            f"another process uses {self.folder}: wait until it ends, stop it (`mpnas stop`), or "
            "use another folder."
        )

    @classmethod
    def read(cls, folder: str | pathlib.Path, *needed: str) -> "StageFolder":
        """Return an existing folder.

        needed: names of files that must be there, besides config.json.

        Raises `MpnasError` if one of them is missing.
        """
        stage = cls(files.as_path(folder, "folder"))
        for name in (CONFIG, *needed):
            if not stage.exists(name):
                raise MpnasError(
                    f"{stage.folder} has no {name}: expected the folder of a finished stage."
                )
        return stage

    def _same_config(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        if self.read_config().format < FORMAT:
            raise MpnasError(
                f"{self.folder} was made by release 0.1 of the kit, which used another checksum of "
                "the images: a finished stage can be read, but not run again. Use another folder."
            )
        recorded = self.read_json(CONFIG, dict[str, Any])
        asked = {**asked, "config": compared(asked["config"])}
        config = compared({**known, **recorded["config"]})
        recorded = {"kernels": EAGER, **recorded, "config": config}
        free = ("format", "record", *(["kernels"] if self.is_finished else []))
        for name in [k for k in {**asked, **recorded} if k not in free]:
            old, new = recorded.get(name), asked.get(name)
            if old == new:
                continue
            if isinstance(old, dict) and isinstance(new, dict):
                inner = next(k for k in [*new, *old] if old.get(k) != new.get(k))
                outer = "" if name == "config" else f"{name}."
                name, old, new = outer + inner, old.get(inner), new.get(inner)
            raise other_setting(self.folder, name, old, new)

    def read_config(self) -> StageConfigFile:
        """Return the content of config.json. Its `format` is 1 if release 0.1 wrote the file.

        Raises `MpnasError` if the file cannot be read or belongs to a newer release.
        """
        content = self.read_json(CONFIG, StageConfigFile)
        if content.format > FORMAT:
            raise MpnasError(
                f"{self.folder / CONFIG} has format {content.format}, so a newer release of the "
                f"kit wrote it: this one knows formats up to {FORMAT}."
            )
        if content.format == 1 and "priority" in content.config:
            content.config["prioritization"] = content.config.pop("priority")
        return content

    @property
    def is_finished(self) -> bool:
        """Whether the stage has its results."""
        return self.exists(RESULTS)

    @property
    def is_running(self) -> bool:
        """Whether a process runs the stage. A finished stage is only read."""
        return (
            not self.is_finished and self.exists(CONFIG) and files.is_locked(self.folder / CONFIG)
        )

    @property
    def stop_is_requested(self) -> bool:
        """Whether another process asks the stage to stop. The look takes microseconds."""
        return files.stamp(self._stop) is not None

    # Files ---------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Return whether the folder has a file with this name."""
        return files.exists(self.folder / name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole, or not at all. Raises `MpnasError` if that is not possible."""
        after = _KEPT if self._lock is not None else ""
        files.write_bytes(self.folder / name, content, after)
        self._written[name] = hashlib.sha256(content).hexdigest()

    def write_json(self, name: str, content: Any) -> None:
        """Write `content` as indented JSON."""
        self.write(name, files.json_bytes(content))

    def write_array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as a .npy file."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        self.write(name, buffer.getvalue())

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors by name as a .safetensors file."""
        whole = {n: t.contiguous() for n, t in tensors.items()}
        self.write(name, safetensors.torch.save(whole))

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file.

        Raises `MpnasError` if it cannot be read, or if the stage is finished and its results have
        another checksum of the file.
        """
        content = files.read_bytes(self.folder / name)
        if name in BOUND and self.is_finished:
            bound = self.read_json(RESULTS, Results).files
            if bound is not None and bound.get(name) != hashlib.sha256(content).hexdigest():
                raise MpnasError(
                    f"{self.folder / name} is not the file that the results belong to: its "
                    f"checksum is not the one in {RESULTS}. {SEE_CHECK}"
                )
        return content

    def read_json(self, name: str, form: type[T]) -> T:
        """Return the content of a JSON file.

        form: type of the content.

        Raises `MpnasError` if it cannot be read (see `read_bytes`) or has another form.
        """
        return files.parse_json(self.read_bytes(name), form, self.folder / name)

    def read_array(self, name: str) -> NDArray[Any]:
        """Return an array that `write_array` wrote. Raises `MpnasError` if it cannot be read."""
        content = self.read_bytes(name)
        try:
            loaded: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        except Exception as error:  # numpy parses the header of the file as Python
            raise self._damaged(name, f"it is not an array ({reason(error)})") from None
        return loaded

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors that `write_tensors` wrote. Raises `MpnasError` if that fails."""
        content = self.read_bytes(name)
        try:
            return safetensors.torch.load(content)
        except Exception as error:
            raise self._damaged(name, f"it has no tensors ({reason(error)})") from None

    def load_weights(self, name: str, net: torch.nn.Module) -> None:
        """Load the weights of a network from a file.

        Raises `MpnasError` if it cannot be read, or holds the weights of another network.
        """
        tensors = self.read_tensors(name)
        try:
            net.load_state_dict(tensors)
        except RuntimeError:
            raise self._damaged(name, "it holds the weights of another network") from None

    def _damaged(self, name: str, why: str) -> MpnasError:
        return MpnasError(f"{self.folder / name} cannot be read: {why}.")

    # Metrics and checkpoints ---------------------------------------------------------------------

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one line to the metrics."""
        line = _line(row)
        with files.file_errors("write", self.folder / METRICS, _KEPT):
            if self._log is None:
                self._log = os.open(
                    self.folder / METRICS,
                    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                    0o666,
                )
            files.write_all(self._log, line)
        self._logged.update(line)
        self._bytes_logged += len(line)

    def metrics(self) -> list[dict[str, Any]]:
        """Return all lines of the metrics, without a last line that is incomplete."""
        content = self.read_bytes(METRICS) if self.exists(METRICS) else b""
        return self.rows_of(content[: content.rfind(b"\n") + 1])

    def rows_of(self, content: bytes, first: int = 1) -> list[dict[str, Any]]:
        """Return lines of the metrics. Raises `MpnasError` that names a line that is wrong.

        content: whole lines.
        first: number of the first one.
        """
        decoder, rows = msgspec.json.Decoder(MetricsRow), []
        for number, line in enumerate(content.split(b"\n")[:-1], start=first):
            where = f"{self.folder / METRICS}, line {number},"
            try:
                row = decoder.decode(line)
            except (msgspec.DecodeError, RecursionError):
                row = files.parse_json(line, MetricsRow, where)
            if row.step != number:
                raise MpnasError(f"{where} cannot be read: it is of step {row.step}.")
            rows.append({"step": row.step, "domains": row.domains})
        return rows

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the state that a resume needs. The metrics are made to fit it."""
        self._settle(checkpoint.rows)
        content = {
            "format": CHECKPOINT_FORMAT,
            "config": self._config,
            "step": checkpoint.step,
            "seconds": checkpoint.seconds,
            "metrics": [self._bytes_logged, self._logged.hexdigest()],
            "state": checkpoint.state,
        }
        buffer = io.BytesIO()  # torch hides the reason if it cannot write to a file
        torch.save(content, buffer)
        self.write(CHECKPOINT, buffer.getvalue())

    def _settle(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sync the metrics. If another program changed or deleted them, write them again."""
        path = self.folder / METRICS
        if self._log is not None:
            with files.file_errors("write", path, _KEPT):
                os.fsync(self._log)
            self._close_log()
        if not self.exists(METRICS) or files.checksum(path) != self._logged.hexdigest():
            self.write(METRICS, b"".join(map(_line, rows)))

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, or None if there is none. No file is changed.

        Raises `MpnasError` if the checkpoint cannot be read, belongs to another stage, or does not
        fit the metrics.
        """
        if not self.exists(CHECKPOINT):
            return None
        path = self.folder / CHECKPOINT
        stored = io.BytesIO(files.read_bytes(path))
        try:
            with warnings.catch_warnings(action="ignore"):  # about pickles that are refused
                content = torch.load(stored, map_location="cpu", weights_only=True)
        except Exception:  # zip, pickle and tensors each have their own errors
            raise self.unfit("it is incomplete or not a checkpoint") from None
        header = {k: v for k, v in content.items() if k != "state"} if _is_dict(content) else {}
        try:
            about = msgspec.convert(header, _Header)
        except msgspec.ValidationError:
            raise self.unfit("it is not a checkpoint of this release") from None
        if not _is_dict(content.get("state")):
            raise self.unfit("it has no state")
        if about.config != files.checksum(self.folder / CONFIG):
            raise self.unfit(f"it belongs to another stage: {CONFIG} differs")
        size, checksum = about.metrics
        metrics = self.read_bytes(METRICS) if self.exists(METRICS) else b""
        if len(metrics) < size or hashlib.sha256(metrics[:size]).hexdigest() != checksum:
            raise MpnasError(
                f"{self.folder / METRICS} does not fit the checkpoint (its first {size} bytes are "
                f"missing or were changed). {_AGAIN}"
            )
        rows = self.rows_of(metrics[:size])
        if len(rows) != about.step:
            raise self.unfit(f"it is of step {about.step}, but {METRICS} has {len(rows)} steps")
        return Checkpoint(about.step, about.seconds, content["state"], rows)

    def last_policy(self) -> NDArray[np.float32] | None:
        """Return the policies as of the last checkpoint of a search, or its last ones.

        Shape (domains, decisions, choices). Returns None if there are none yet. Of a checkpoint
        only this part is read, so that a large one costs no time.

        Raises `MpnasError` if the checkpoint cannot be read.
        """
        if self.is_finished:
            last: NDArray[np.float32] = self.read_array(POLICY)[-1]
            return last
        if not self.exists(CHECKPOINT):
            return None
        files.require_regular(self.folder / CHECKPOINT)
        try:
            with warnings.catch_warnings(action="ignore"):  # about pickles that are refused
                content = torch.load(
                    self.folder / CHECKPOINT, map_location="cpu", weights_only=True, mmap=True
                )
            policies = content["state"]["policies"]
            return np.array(policies[-1].numpy()) if policies else None
        except Exception:  # zip, pickle and tensors each have their own errors
            raise self.unfit("it is incomplete or not a checkpoint") from None

    def unfit(self, why: str) -> MpnasError:
        """Return the error for a checkpoint that cannot be used. why: the reason."""
        return MpnasError(f"{self.folder / CHECKPOINT} cannot be used: {why}. {_AGAIN}")

    def continue_after(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Cut the metrics to the rows of a checkpoint that was loaded, or to none."""
        content = b"".join(map(_line, rows))
        self._logged, self._bytes_logged = hashlib.sha256(content), len(content)
        if self.exists(METRICS):
            with files.file_errors("write", self.folder / METRICS, _KEPT):
                os.truncate(self.folder / METRICS, len(content))

    def finish(
        self, results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], names: Sequence[str]
    ) -> None:
        """Check what the stage leaves, and write results.json with the checksums of its files.

        results: content of results.json.
        rows: metrics of all steps.
        names: files that the results belong to, besides metrics.jsonl.

        Raises `MpnasError` if another program changed a file while the stage ran.
        """
        self._settle(rows)
        expected = {name: self._written[name] for name in names}
        expected[METRICS] = self._logged.hexdigest()
        for name, checksum in sorted(expected.items()):
            if not self.exists(name) or files.checksum(self.folder / name) != checksum:
                raise MpnasError(
                    f"another program changed or deleted {self.folder / name} while the stage ran: "
                    "run the stage again, which continues from its last checkpoint."
                )
        self.write_json(RESULTS, {**results, "files": dict(sorted(expected.items()))})

    def _close_log(self) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            with files.file_errors("write", self.folder / METRICS, _KEPT):
                os.close(log)

    def close(self) -> None:
        """Close the metrics and allow other processes to use the folder."""
        try:
            self._close_log()
            if self._lock is not None:
                files.remove_file(self.folder / STOP)
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """A checkpoint without its state."""

    format: int
    config: str
    step: int
    seconds: float
    metrics: tuple[int, str]

    def __post_init__(self) -> None:
        finite = 0 <= self.seconds < float("inf")
        if self.format != CHECKPOINT_FORMAT or self.step < 1 or not finite or self.metrics[0] < 0:
            raise ValueError


def _is_dict(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) for k in value)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"


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


def copy_finished(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a finished stage folder, without its checkpoint. results.json is written last.

    A complete copy is only compared.

    source: stage folder. target: folder of the copy.

    Raises `MpnasError` if the stage is not finished, a file is damaged, or `target` is the copy of
    another stage.
    """
    stage, copy = StageFolder.read(source, RESULTS), StageFolder(target)
    names = [name for name in files.names_in(source) if name not in (CHECKPOINT, STOP)]
    contents = {name: stage.read_bytes(name) for name in names if (source / name).is_file()}
    if copy.is_finished:
        for name in (CONFIG, RESULTS):
            if copy.read_bytes(name) != contents[name]:
                raise MpnasError(
                    f"{target} is a copy of another stage than {source}: use another run folder."
                )
        return
    files.make_folder(target)
    for name in sorted(contents, key=lambda name: name == RESULTS):
        copy.write(name, contents[name])


def has_results(folder: str | pathlib.Path | None) -> bool:
    """Return whether a stage is finished. None: it has no folder, so it is not."""
    return folder is not None and files.exists(files.as_path(folder, "folder") / RESULTS)


def compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings on which the results of a stage depend.

    `kernels` is not among them. It is a wish, and the variant that it led to is compared instead.

    config: settings of the stage by name.
    """
    return {name: value for name, value in config.items() if name != "kernels"}


_HASHES = {  # in config.json
    "data": "images, labels or classes",
    "costs": "costs of paths",
    "landmark_scores": "scores of landmarks",
}


def other_setting(folder: pathlib.Path, name: str, old: object, new: object) -> MpnasError:
    """Return the error that says that a stage was made with another setting.

    folder: stage folder.
    name: name of the setting; `kernels`: variant of the kernels.
    old, new: its values in the folder and now.
    """
    if name == "kernels":
        how = "with --kernels eager" if old == EAGER else "on a machine that has the same kernels"
        return MpnasError(
            f"{folder} was begun with the kernels {short(old)}, and this process has {new!r}, "
            f"whose results differ in their last bits: continue {how}, or use another folder."
        )
    what = f"other {_HASHES[name]}" if name in _HASHES else f"{name} = {old!r}, not {new!r}"
    if name == "start":
        what = "no start" if old is None else "a start" if new is None else "another start"
    return MpnasError(f"{folder} was made with {what}: use the same, or another folder.")
