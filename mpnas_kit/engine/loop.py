"""The loop of a stage: it does the steps, logs, writes checkpoints, calls callbacks and resumes."""

import inspect
import math
import pathlib
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.checkpoint import misfit
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.config import StageConfig
from mpnas_kit.engine.signals import StopRequested
from mpnas_kit.engine.stage_folder import Checkpoint, StageFolder, has_results
from mpnas_kit.engine.step import NotFinite
from mpnas_kit.engine.team import Team
from mpnas_kit.engine.trackers import Tracker
from mpnas_kit.errors import MpnasError, RaisedBy, one_line, reason
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


StepCallback = Callable[[StepEvent], None]
Callback = StepCallback | Tracker
"""A function of one `StepEvent`, called after every step of a stage; or a `Tracker`."""

CALLBACK = Kind(
    "callback",
    {},
    lambda value: (
        None
        if (callable(value) or isinstance(value, Tracker)) and not isinstance(value, type)
        else "method __call__(event)"
    ),
)


def space_for(suite: DomainSuite, space: SearchSpace) -> SearchSpace:
    """Return the space with the resolutions of the suite's domains, if they differ.

    A space that has resolutions already may know further domains.

    Raises `MpnasError` if the images have another size than the space expects.
    """
    require_type(suite, DomainSuite, "suite")
    require_type(space, SearchSpace, "space")
    if space.resolutions:
        for domain, size in suite.resolutions.items():
            if space.of(domain).resolution != size:
                raise MpnasError(
                    f"images of domain {domain!r} have {size} pixels per side, but space "
                    f"{space.name!r} expects {space.of(domain).resolution} for this domain."
                )
        return space
    if suite.resolution != space.resolution:
        raise MpnasError(
            f"images of suite {suite.name!r} have {suite.resolution} pixels per side, but space "
            f"{space.name!r} expects {space.resolution}: use images or a space of the other size."
        )
    return space.with_resolutions(suite.resolutions)


def compute_for(config: StageConfig, domains: int, folder: str | pathlib.Path | None) -> Compute:
    """Return where and how a stage computes (see `Compute.of`).

    config: settings of the stage.
    domains: number of its domains.
    folder: its folder. If it is finished, nothing is computed, so no native kernels are needed.
    """
    finished = Team.current().on_leader(lambda: has_results(folder))
    return Compute.of(
        config.device,
        config.precision,
        config.micro_batches,
        config.norm,
        domains,
        "eager" if finished else config.kernels,
        config.memory_budget,
    )


def require_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise `MpnasError` if `callbacks` is not a sequence of functions, objects or trackers."""
    single = not isinstance(callbacks, Sequence) or isinstance(callbacks, str)
    for callback in (callbacks,) if single else callbacks:
        usable = callable(callback) or isinstance(callback, Tracker)
        if single or inspect.isclass(callback) or not usable:
            raise MpnasError(
                f"callbacks got {shown(callback)}: expected a list of functions or callable "
                "objects, each called with a StepEvent, or of trackers."
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


@dataclass
class Interrupt:
    """The number of the first signal that asked the stage to stop; None: there was none."""

    signal: int | None = None


@contextmanager
def _interruptible(team: Team) -> Iterator[Interrupt]:
    """Inside, the first SIGINT or SIGTERM is noted. A later one acts as it did before.

    SIGTERM is how schedulers and containers stop a process. With several processes, a signal within
    a second of the first counts as the same one: a terminal sends SIGINT to all processes, and
    torchrun sends it to them again. A signal that the process ignores stays ignored. Python
    delivers signals to the main thread only, so in another thread nothing changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    first, pause = math.inf, float(team.size > 1)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        again = interrupt.signal is not None
        first = min(first, time.monotonic())
        interrupt.signal = interrupt.signal or number
        if again and time.monotonic() >= first + pause:
            earlier = before[signal.Signals(number)]
            if callable(earlier):
                earlier(number, frame)
            else:
                signal.signal(number, earlier)
                signal.raise_signal(number)

    noted = [s for s, earlier in before.items() if earlier not in (signal.SIG_IGN, None)]
    for one in noted:
        signal.signal(one, note)
    try:
        yield interrupt
    finally:
        for one in noted:
            signal.signal(one, before[one])


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
    free: ClassVar[Sequence[str]]
    """Patterns for the parts of `state` whose form depends on the step (see `misfit`)."""

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

    def loop(self, callbacks: Sequence[StepCallback]) -> None:
        """Do all steps. If the folder has a checkpoint, begin after it.

        An interrupt is SIGINT (Ctrl-C, or the stop button of a notebook), SIGTERM, a
        `KeyboardInterrupt` in a callback, or a request of another process in the stage folder.
        After the first, the loop ends its step, writes a checkpoint and raises `KeyboardInterrupt`;
        after a request `StopRequested`, which is one. After a second signal it stops at once.

        callbacks: called after every step.

        Raises `MpnasError` if the checkpoint does not fit the stage. No file is then changed.
        """
        self._resume(self.team.on_leader(self._last_checkpoint))
        with _interruptible(self.team) as interrupt:
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
                    interrupt.signal = interrupt.signal or signal.SIGINT
                requested = self.folder is not None and self.folder.stop_is_requested
                if self.team.any(requested or interrupt.signal is not None):
                    if self.folder is not None:
                        self.checkpoint(self.folder)
                    if requested and interrupt.signal is None:
                        raise StopRequested
                    raise KeyboardInterrupt(interrupt.signal or signal.SIGINT)

    def _last_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, if there is one. Its state has the form of this stage."""
        if self.folder is None:
            return None
        found = self.folder.load_checkpoint()
        if found is None:
            return None
        if found.step > self.steps:
            raise self.folder.unfit(f"it is of step {found.step}, but there are {self.steps} steps")
        why = misfit(found.state, self.state(), self.free)
        if why is not None:
            raise self.folder.unfit(why)
        return found

    def _resume(self, checkpoint: Checkpoint | None) -> None:
        """Continue after a checkpoint. The metrics are cut only if its state can be loaded."""
        if checkpoint is not None:
            self.step, self.seconds = checkpoint.step, checkpoint.seconds
            self.rows = checkpoint.rows
            try:
                self.load(checkpoint.state)
            except Exception as error:
                plain = isinstance(error, MpnasError)
                why = f"its state cannot be loaded ({(reason if plain else one_line)(error)})"
                refused = str(self.folder.unfit(why)) if self.folder is not None else why
                raise self.team.error_on_all_ranks(refused) from error
        folder = self.folder
        self.team.on_leader(lambda: folder.continue_after(self.rows) if folder else None)

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
        folder.save_checkpoint(Checkpoint(self.step, self.seconds, state, self.rows))

    def write_timing(self, folder: StageFolder, before: float = 0.0) -> None:
        """Write timing.json: how long the steps took, also those before a resume.

        before: seconds that the stage needed before its first step, which count in its time.
        """
        per_step = self.seconds / max(1, self.step)
        timing = {"seconds": before + self.seconds, "seconds_per_step": per_step}
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
