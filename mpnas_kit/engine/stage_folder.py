"""The run folder of a stage: the only thing that stages hand to each other.

    config.json        what was asked for; a folder made with another config is refused
    environment.json   where it ran: versions, threads, git commit
    metrics.jsonl      a line a step
    checkpoint.pt      everything a resume needs
    policy.npy         search: choice probabilities over time
    paths.json         arch strings
    results.json       what came out, no times in it: the same seed gives the same bytes
    timing.json        how long it took
    model.safetensors  training: the weights

Files are written beside their place and renamed, so a reader finds the old one or the new one,
whole. Metrics are appended; a resume cuts them back to the length the checkpoint knows. Nothing is
ever unpickled: checkpoints are read with `weights_only`.
"""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError

LOCK = ".lock"  # held by the process at work in the folder
_VERSIONS = ("torch", "numpy", "pandas", "safetensors")


class RunFolder:
    """One stage's folder. `open` makes it or goes on in it; `read` only reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None
        self._metrics: BinaryIO | None = None

    @classmethod
    def open(
        cls, folder: str | Path, config: Mapping[str, Any], known: Mapping[str, Any] | None = None
    ) -> "RunFolder":
        """The folder for a stage with this config, made if it is not there.

        known: the settings of `config["config"]` at their defaults; a folder from before there was
        a setting counts as made with its default.
        Raises `MpnasError` where the folder holds another config (the differing field is named),
        is no run folder, cannot be written, or is at work in another process.
        """
        run = cls(Path(folder))
        try:
            run._prepare(json.loads(json.dumps(config)), known or {})
        except BaseException:
            run.close()
            raise
        return run

    def _prepare(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        if self.exists("config.json"):
            self._same_config(asked, known)
            if not self.exists("results.json"):  # a finished folder is only read
                self._take()
            return
        with self._writing("the folder"):
            self.folder.mkdir(parents=True, exist_ok=True)
            there = [p.name for p in self.folder.iterdir()]
        ours = (LOCK, "config.json", "config.json.tmp", "environment.json", "environment.json.tmp")
        strangers = [name for name in there if name not in ours]
        if strangers:
            raise MpnasError(
                f"{self.folder} holds {strangers[0]!r} and no config.json, so it is no run folder: "
                "expected a new or empty folder."
            )
        self._take()
        if self.exists("config.json"):  # another process was a moment faster, and has ended
            self._same_config(asked, known)
            return
        self.write_json("environment.json", environment())
        self.write_json("config.json", asked)

    def _take(self) -> None:
        """Keep every other process out until `close`, or until this one ends in whatever way."""
        lock = FileLock(self.folder / LOCK, timeout=0)
        with self._writing(LOCK):
            try:
                lock.acquire()
            except Timeout:
                raise MpnasError(
                    f"another run is at work in {self.folder}: wait until it ends, stop it, or "
                    "use another folder."
                ) from None
        self._lock = lock

    @classmethod
    def read(cls, folder: str | Path, *needed: str) -> "RunFolder":
        """An existing folder, refused with one sentence if a file of `needed` is missing."""
        run = cls(Path(folder))
        for name in ("config.json", *needed):
            if not (run.folder / name).exists():
                raise MpnasError(
                    f"{run.folder} has no {name}: expected the folder of a finished stage."
                )
        return run

    def _same_config(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        there = self.read_json("config.json")
        if "config" in there:
            there["config"] = {**known, **there["config"]}
        if "space" in there:  # a folder from before there was one has no hash of the blocks
            there["space"] = {"blocks": asked["space"]["blocks"], **there["space"]}
        for field in [*asked, *(k for k in there if k not in asked)]:
            old, new = there.get(field), asked.get(field)
            if old == new:
                continue
            if isinstance(old, dict) and isinstance(new, dict):
                inner = next(k for k in [*new, *old] if old.get(k) != new.get(k))
                field, old, new = f"{field}.{inner}", old.get(inner), new.get(inner)
            raise MpnasError(
                f"{self.folder} was made with {field} = {old!r}, not {new!r}: "
                "use another folder, or the same setting."
            )

    # Small files ---------------------------------------------------------------------------------

    def write_json(self, name: str, content: Any) -> None:
        """Write `content` as indented JSON."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        self.write(name, lambda file: file.write(text.encode()))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; one that is cut short is named."""
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise MpnasError(f"{self.folder / name} cannot be read: {_reason(error)}.") from None

    def write_array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as .npy."""
        self.write(name, lambda file: np.save(file, array, allow_pickle=False))

    def read_array(self, name: str) -> NDArray[Any]:
        """An array written by `write_array`."""
        try:
            loaded: NDArray[Any] = np.load(self.folder / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MpnasError(f"{self.folder / name} cannot be read: {_reason(error)}.") from None
        return loaded

    def write(self, name: str, fill: Callable[[BinaryIO], Any]) -> None:
        """Write a file whole or not at all."""
        target = self.folder / name
        beside = self.folder / f"{name}.tmp"
        with self._writing(name):
            try:
                with beside.open("wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(target)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise MpnasError(
                f"cannot write {what} in {self.folder}: {_reason(error)}. What was written before "
                "is kept, and the run can be resumed."
            ) from None

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.folder / name).exists()

    # Metrics and checkpoints ---------------------------------------------------------------------

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        with self._writing("metrics.jsonl"):
            if self._metrics is None:
                self._metrics = (self.folder / "metrics.jsonl").open("ab")
            self._metrics.write(json.dumps(row).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of the metrics; a last line that is cut short is left out."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise MpnasError(f"{path} cannot be read: {_reason(error)}.") from None

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write everything a resume needs, and remember how long the metrics are."""
        metrics = self.folder / "metrics.jsonl"
        with self._writing("metrics.jsonl"):
            if self._metrics is not None:
                self._metrics.flush()
                os.fsync(self._metrics.fileno())
            offset = metrics.stat().st_size if metrics.exists() else 0
        self.write("checkpoint.pt", lambda f: torch.save({**state, "metrics_bytes": offset}, f))

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, the metrics cut back to it; None (and no metrics) without one."""
        path, metrics = self.folder / "checkpoint.pt", self.folder / "metrics.jsonl"
        state: dict[str, Any] | None = None
        if path.exists():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise MpnasError(
                    f"{path} cannot be read ({_reason(error)}): it is cut short or no checkpoint. "
                    "Delete it to begin this stage again."
                ) from None
        offset = state["metrics_bytes"] if state else 0
        there = metrics.stat().st_size if metrics.exists() else 0
        if there < offset:
            raise MpnasError(
                f"{metrics} has {there} bytes, but the checkpoint knows {offset}: it was cut "
                "short. Delete checkpoint.pt to begin this stage again."
            )
        if metrics.exists():
            with self._writing("metrics.jsonl"):
                os.truncate(metrics, offset)
        return state

    def close(self) -> None:
        """Close the metrics file and let other processes in."""
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
def at_work(
    folder: str | Path | None, config: Mapping[str, Any], known: Mapping[str, Any], team: Team
) -> Iterator[RunFolder | None]:
    """`RunFolder.open` for the time of a stage, by the first process of a team.

    None for a stage that keeps nothing, and in the other processes.
    """
    run: RunFolder | None = None

    def begin() -> None:
        nonlocal run
        run = RunFolder.open(folder, config, known) if folder is not None else None

    team.lead(begin)
    try:
        yield run
    finally:
        if run is not None:
            run.close()


def environment() -> dict[str, Any]:
    """Where a stage runs: versions, threads, and the git commit of the working folder."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in _VERSIONS},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _reason(error: BaseException) -> str:
    """Why, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON from line {error.lineno} on"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
