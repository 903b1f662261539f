"""The loop of a stage: it does the steps, logs, writes checkpoints, calls callbacks and resumes."""

import inspect
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.engine.step import NotFinite
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError, RaisedBy
from mpnas_kit.parts import Kind, shown
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import describe_space
from mpnas_kit.values import require_type


@dataclass(frozen=True)
class StepEvent:
    """What a callback gets after every step.

    stage: `search` or `train`.
    step: number of the step, from 1.
    steps: number of steps of the stage.
    rows: metrics by domain, such as loss (nats), weight and accuracy (0 to 1). Domains that are not
    drawn in this step are absent.
    policy: function that returns the probability of every choice now, float32 (domains, decisions,
    choices). It returns None in a stage that does not search.

    >>> steps = []
    >>> config = mk.TrainConfig(steps=2, batch_size=8)
    >>> callback = lambda event: steps.append(f"{event.step} of {event.steps}")
    >>> trained = mk.train(suite, space, paths, config, callbacks=[callback])
    >>> steps
    ['1 of 2', '2 of 2']
    """

    stage: str
    step: int
    steps: int
    rows: Mapping[str, Mapping[str, float]]
    policy: Callable[[], NDArray[np.float32] | None] = lambda: None


Callback = Callable[[StepEvent], None]
"""A function of one `StepEvent`. `search` and `train` call it after every step."""

CALLBACK = Kind(
    "callback",
    {},
    lambda value: (
        None if callable(value) and not isinstance(value, type) else "method __call__(event)"
    ),
)


def require_size(suite: DomainSuite, space: SearchSpace) -> None:
    """Raise `MpnasError` if the images have another size than the space expects."""
    require_type(suite, DomainSuite, "suite")
    require_type(space, SearchSpace, "space")
    if suite.resolution != space.resolution:
        raise MpnasError(
            f"images of suite {suite.name!r} have {suite.resolution} pixels per side, but space "
            f"{space.name!r} expects {space.resolution}: use images or a space of the other size."
        )


def require_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise `MpnasError` if `callbacks` is not a sequence of functions or callable objects."""
    single = not isinstance(callbacks, Sequence) or isinstance(callbacks, str)
    for callback in (callbacks,) if single else callbacks:
        if single or inspect.isclass(callback) or not callable(callback):
            raise MpnasError(
                f"callbacks got {shown(callback)}: expected a list of functions or callable "
                "objects, each called with a StepEvent."
            )


def identity(
    stage: str, suite: DomainSuite, space: SearchSpace, splits: Sequence[str]
) -> dict[str, Any]:
    """Return what the results of every stage depend on: the data and the space.

    stage: `search` or `train`. splits: names of the splits that the stage reads.
    """
    return {
        "stage": stage,
        "suite": {"name": suite.name, "domains": list(suite.names)},
        "data": suite.fingerprint(splits),
        "space": {
            "name": space.name,
            "fingerprint": space.fingerprint(),
            "blocks": space.blocks_fingerprint(),
        },
    }


def record(suite: DomainSuite, space: SearchSpace) -> dict[str, Any]:
    """Return what a reader of a stage folder needs: the classes of every domain, and the space."""
    return {
        "classes": {d.name: list(d.classes) for d in suite},
        "space": describe_space(space),
    }


@contextmanager
def _interruptible(team: Team) -> Iterator[threading.Event]:
    """Inside, the first SIGINT sets the event, and a later one raises `KeyboardInterrupt`.

    With several processes, a SIGINT within a second of the first counts as the same one: the
    terminal sends it to all processes, and torchrun sends it to them again. Python delivers signals
    to the main thread only, so in another thread nothing changes.
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
    """One search or training: its state, and the loop over its steps.

    steps: number of steps. checkpoint_every: steps from one checkpoint to the next.
    folder: stage folder. None: the stage writes no files, or this process is not the leader.
    compute: where and how the stage computes.

    step: number of steps done. seconds: time that they took.
    rows: metrics of these steps, one dict per step, as in metrics.jsonl.
    """

    name: str
    """Name of the stage: `search` or `train`."""

    def __init__(
        self, steps: int, checkpoint_every: int, folder: StageFolder | None, compute: Compute
    ) -> None:
        self.steps, self.checkpoint_every, self.folder = steps, checkpoint_every, folder
        self.compute, self.team = compute, compute.team
        self.step, self.seconds = 0, 0.0
        self.rows: list[dict[str, Any]] = []

    @abstractmethod
    def advance(self) -> dict[str, dict[str, float]]:
        """Do step `self.step` (from 0). Return its metrics by domain."""

    def policy(self) -> NDArray[np.float32] | None:
        """Return the probability of every choice now, or None if the stage does not search."""
        return None

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the state that a resume needs. The loop adds step, seconds and metrics.

        Its item `net` has the weights of the network.
        """

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state` returned."""

    def loop(self, callbacks: Sequence[Callback]) -> None:
        """Do all steps. If the folder has a checkpoint, begin after it.

        An interrupt is SIGINT (Ctrl-C, or the stop button of a notebook) or a `KeyboardInterrupt`
        in a callback. After the first, the loop ends its step, writes a checkpoint and raises
        `KeyboardInterrupt`. After a second SIGINT it stops at once.

        callbacks: called after every step.
        """
        checkpoint, rows = self.team.on_leader(self._last_checkpoint)
        if checkpoint is not None:
            self.step, self.seconds = checkpoint["step"], checkpoint["seconds"]
            self.load(checkpoint["state"])
            self.rows = rows
        with _interruptible(self.team) as interrupted:
            while self.step < self.steps:
                figures = self._one_step()
                where = f"in step {self.step} of {self.name}"
                try:
                    for callback in callbacks:
                        copy = {d: dict(own) for d, own in figures.items()}
                        event = StepEvent(self.name, self.step, self.steps, copy, self.policy)
                        with RaisedBy(lambda: f"the callback {shown(callback)} {where}"):  # noqa: B023
                            callback(event)
                except KeyboardInterrupt:
                    interrupted.set()
                if self.team.any(interrupted.is_set()):
                    if self.folder is not None:
                        self.checkpoint(self.folder)
                    raise KeyboardInterrupt

    def _last_checkpoint(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """Return the last checkpoint and the metrics up to it."""
        if self.folder is None:
            return None, []
        return self.folder.load_checkpoint(), self.folder.metrics()

    def _one_step(self) -> dict[str, dict[str, float]]:
        began = time.perf_counter()
        try:
            figures = self.advance()
        except NotFinite as error:
            message = f"step {self.step + 1} of {self.name}: {error}"
            raise self.team.error_on_all_ranks(f"{message}{self._about_checkpoint()}") from None
        self.step += 1
        row = {"step": self.step, "domains": figures}
        self.rows.append(row)
        self.seconds += time.perf_counter() - began
        if self.folder is not None:
            self.folder.log(row)
            if self.step % self.checkpoint_every == 0 or self.step == self.steps:
                self.checkpoint(self.folder)
        return figures

    def _about_checkpoint(self) -> str:
        if self.folder is None or not self.folder.exists("checkpoint.pt"):
            return ""
        return " The last checkpoint in the stage folder is older than this step."

    def checkpoint(self, folder: StageFolder) -> None:
        """Write the state after this step.

        Raises `MpnasError` if a weight is not finite. The earlier checkpoint then stays.
        """
        state = self.state()
        for name, tensor in state["net"].items():
            if not bool(torch.isfinite(tensor).all()):
                raise MpnasError(
                    f"step {self.step} of {self.name} gave weights that are not finite ({name}). "
                    f"A lower learning rate usually helps.{self._about_checkpoint()}"
                )
        folder.save_checkpoint({"step": self.step, "seconds": self.seconds, "state": state})

    def write_timing(self, folder: StageFolder) -> None:
        """Write timing.json: how long the steps took, also those before a resume."""
        timing = {"seconds": self.seconds, "seconds_per_step": self.seconds / max(1, self.step)}
        folder.write_json("timing.json", timing)


def history_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the metrics as a tidy table: one row per step and domain, the metrics as columns."""
    return pd.DataFrame(
        [
            {"step": row["step"], "domain": domain, **figures}
            for row in rows
            for domain, figures in row["domains"].items()
        ]
    )
