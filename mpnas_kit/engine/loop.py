"""The loop of a stage: step, log, checkpoint, tell; and go on where an earlier process stopped."""

import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.stage_folder import RunFolder
from mpnas_kit.engine.step import NotFinite
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.space import SearchSpace


@dataclass(frozen=True)
class StepEvent:
    """What a callback is told after every step.

    rows: for every domain drawn its figures, such as loss, weight, accuracy (a share, 0 to 1).
    policy: called, the probability of every choice now, float32 (domains, decisions, choices); None
    where nothing is searched.
    """

    stage: str
    step: int
    steps: int
    rows: Mapping[str, Mapping[str, float]]
    policy: Callable[[], NDArray[np.float32] | None] = lambda: None


Callback = Callable[[StepEvent], None]
Left = TypeVar("Left")


def describe(stage: str, suite: DomainSuite, space: SearchSpace) -> dict[str, Any]:
    """What the config.json of every stage says first: data and space.

    Raises `MpnasError` where the images are not of the size the space is for.
    """
    if suite.resolution != space.resolution:
        raise MpnasError(
            f"images of suite {suite.name!r} have {suite.resolution} pixels a side, but space "
            f"{space.name!r} is for {space.resolution}."
        )
    return {
        "stage": stage,
        "suite": {"name": suite.name, "domains": list(suite.names)},
        "data": suite.fingerprint(),
        "space": {
            "name": space.name,
            "fingerprint": space.fingerprint(),
            "blocks": space.blocks_fingerprint(),
        },
    }


@contextmanager
def _interruptible(team: Team) -> Iterator[threading.Event]:
    """Inside, the first SIGINT sets the event, and a later one raises `KeyboardInterrupt`.

    In a team one that comes within a second is the same one: torchrun hands on what the terminal
    has sent to all. Signals come to the main thread alone; in another one, nothing changes.
    """
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield interrupted
        return

    first, pause = math.inf, float(team.size > 1)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        again = interrupted.is_set()
        first = min(first, time.monotonic())
        interrupted.set()
        if again and time.monotonic() >= first + pause:
            before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class Stage(ABC):
    """All state of a search or a training run, and the loop over its steps.

    `rows`: what was logged, a dict a step, as in metrics.jsonl. `folder`: None for a stage that
    keeps nothing, and in all processes of a team but the first.
    """

    name: str

    def __init__(
        self, steps: int, checkpoint_every: int, folder: RunFolder | None, compute: Compute
    ) -> None:
        self.steps, self.checkpoint_every, self.folder = steps, checkpoint_every, folder
        self.compute, self.team = compute, compute.team
        self.step, self.seconds = 0, 0.0
        self.rows: list[dict[str, Any]] = []

    @abstractmethod
    def advance(self) -> dict[str, dict[str, float]]:
        """Do step `self.step` (from 0); returns the figures of every domain drawn."""

    def policy(self) -> NDArray[np.float32] | None:
        """The probability of every choice now; None where nothing is searched."""
        return None

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything a resume needs, but step, seconds and metrics: those are the loop's.

        `net` in it are the network's weights.
        """

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""

    def loop(self, callbacks: Sequence[Callback]) -> None:
        """Run to the last step, from the last checkpoint if the folder has one.

        Interrupted (SIGINT: Ctrl-C, or a notebook's stop; or `KeyboardInterrupt` in a callback), it
        ends the step it is in, writes a checkpoint and raises `KeyboardInterrupt`; interrupted
        again, it stops at once.
        """
        saved, rows = self.team.lead(self._saved)
        if saved is not None:
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.load(saved["state"])
            self.rows = rows
        with _interruptible(self.team) as interrupted:
            while self.step < self.steps:
                figures = self._one_step()
                event = StepEvent(self.name, self.step, self.steps, figures, self.policy)
                try:
                    for callback in callbacks:
                        callback(event)
                except KeyboardInterrupt:
                    interrupted.set()
                if self.team.any(interrupted.is_set()):
                    if self.folder is not None:
                        self.checkpoint(self.folder)
                    raise KeyboardInterrupt

    def _saved(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """The last checkpoint, and the metrics up to it."""
        if self.folder is None:
            return None, []
        return self.folder.load_checkpoint(), self.folder.metrics()

    def _one_step(self) -> dict[str, dict[str, float]]:
        began = time.perf_counter()
        try:
            figures = self.advance()
        except NotFinite as error:
            what = f"step {self.step + 1} of {self.name}: {error}"
            raise self.team.alike(f"{what}{self._kept()}") from None
        self.step += 1
        row = {"step": self.step, "domains": figures}
        self.rows.append(row)
        self.seconds += time.perf_counter() - began
        if self.folder is not None:
            self.folder.log(row)
            if self.step % self.checkpoint_every == 0 or self.step == self.steps:
                self.checkpoint(self.folder)
        return figures

    def _kept(self) -> str:
        if self.folder is None or not self.folder.exists("checkpoint.pt"):
            return ""
        return " The last checkpoint in the run folder is from before it."

    def finished(self, read: Callable[[RunFolder, Any], Left]) -> Left | None:
        """What `read` makes of a finished run's folder and results.json; sets `rows`.

        None: the run is not finished.
        """
        left, self.rows = self.team.lead(lambda: self._left(read))
        return left

    def _left(
        self, read: Callable[[RunFolder, Any], Left]
    ) -> tuple[Left | None, list[dict[str, Any]]]:
        if self.folder is None or not self.folder.exists("results.json"):
            return None, []
        results, rows = self.folder.read_json("results.json"), self.folder.metrics()
        if len(rows) != self.steps:
            raise MpnasError(
                f"{self.folder.folder / 'metrics.jsonl'} has {len(rows)} lines, not one for each "
                f"of the {self.steps} steps: it is missing or cut short."
            )
        return read(self.folder, results), rows

    def checkpoint(self, folder: RunFolder) -> None:
        """Write the state of this step; weights that are not finite are refused."""
        state = self.state()
        for name, tensor in state["net"].items():
            if not bool(torch.isfinite(tensor).all()):
                raise MpnasError(
                    f"step {self.step} of {self.name} left weights that are not finite ({name}): "
                    f"a lower learning rate usually mends it.{self._kept()}"
                )
        folder.save_checkpoint({"step": self.step, "seconds": self.seconds, "state": state})

    def write_timing(self, folder: RunFolder) -> None:
        """How long the steps took, in all processes that had a part in them."""
        timing = {"seconds": self.seconds, "seconds_a_step": self.seconds / max(1, self.step)}
        folder.write_json("timing.json", timing)

    def history(self) -> pd.DataFrame:
        """The metrics as a tidy table: a row a step and domain."""
        return pd.DataFrame(
            [
                {"step": row["step"], "domain": domain, **figures}
                for row in self.rows
                for domain, figures in row["domains"].items()
            ]
        )
