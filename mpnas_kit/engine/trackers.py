"""Trackers: callbacks that follow a stage from its beginning to its result.

A plain callback is called after every step. A tracker is also told what the stage is before it
begins, and what came out. Only the leader has trackers.
"""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from mpnas_kit.engine.config import StageConfig
from mpnas_kit.engine.team import Team
from mpnas_kit.space.space import SearchSpace

if TYPE_CHECKING:
    from mpnas_kit.engine.loop import StepEvent

Result = TypeVar("Result")


@dataclass(frozen=True)
class StageStart:
    """What a tracker gets before a stage begins or continues.

    stage: `search` or `train`.
    config: settings of the stage.
    space: search space.
    domains: names of the domains of the stage.
    folder: stage folder. None: the stage writes no files.
    """

    stage: str
    config: StageConfig
    space: SearchSpace
    domains: tuple[str, ...]
    folder: pathlib.Path | None


class TrackedStage(Protocol):
    """One stage, as a tracker follows it."""

    def __call__(self, event: "StepEvent") -> None:
        """Note a step, as a callback does."""
        ...

    def end(self, result: Any) -> None:
        """Note the result: a `SearchResult` or a `TrainResult`. The stage folder is finished."""
        ...

    def close(self) -> None:
        """Write what was noted. Also called if the stage is stopped or fails."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """A callback that follows whole stages, such as `TensorBoard`.

    It may follow several stages at the same time, also in other processes, so it is pickled. A
    frozen dataclass with settings is enough. Errors of `begin` are raised before the stage begins.

    >>> @dataclass(frozen=True)
    ... class Steps:
    ...     def check(self): ...
    ...     def begin(self, start): return Count()
    >>> class Count:
    ...     def __init__(self): self.steps = 0
    ...     def __call__(self, event): self.steps += 1
    ...     def end(self, result): print(f"{self.steps} steps, {result.verdict()[:26]}")
    ...     def close(self): ...
    >>> config = mk.SearchConfig(steps=2, batch_size=8, reward_batch=8)
    >>> found = mk.search(suite, space, config, callbacks=[Steps()])
    2 steps, the search did not decide
    """

    def check(self) -> None:
        """Raise `MpnasError` if nothing could be logged, such as for a wrong address."""
        ...

    def begin(self, start: StageStart) -> TrackedStage:
        """Return an object that follows a stage. A finished stage has no steps, only a result."""
        ...


class Followed:
    """The callbacks of one stage. `tracked` yields it.

    callbacks: functions to call after every step, those of trackers last.
    """

    def __init__(self, callbacks: "Sequence[Callable[[StepEvent], None] | Tracker]") -> None:
        self._trackers = [c for c in callbacks if isinstance(c, Tracker)]
        self._stages: list[TrackedStage] = []
        self.callbacks: list[Callable[[StepEvent], None]] = [
            c for c in callbacks if not isinstance(c, Tracker)
        ]

    def begin(self, start: StageStart) -> None:
        """Begin all trackers."""
        for tracker in self._trackers:
            self._stages.append(tracker.begin(start))
            self.callbacks.append(self._stages[-1])

    def ended(self, result: Result) -> Result:
        """Tell the trackers the result of the stage, and return it."""
        for stage in self._stages:
            stage.end(result)
        return result

    def close(self) -> None:
        """Close all trackers."""
        for stage in self._stages:
            stage.close()


@contextmanager
def tracked(
    callbacks: "Sequence[Callable[[StepEvent], None] | Tracker]", start: StageStart, team: Team
) -> Iterator[Followed]:
    """Inside, trackers among the callbacks follow a stage. Ranks besides the leader have none.

    Raises `MpnasError` if a tracker cannot begin.
    """
    followed = Followed(callbacks)
    try:
        team.on_leader(lambda: followed.begin(start))
        yield followed
    finally:
        followed.close()


def check_trackers(callbacks: Iterable[object]) -> None:
    """Raise `MpnasError` if a tracker among the callbacks could log nothing."""

    def check() -> None:
        for callback in callbacks:
            if isinstance(callback, Tracker):
                callback.check()

    Team.current().on_leader(check)
