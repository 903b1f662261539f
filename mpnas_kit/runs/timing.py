"""How long a search and a training of a suite take on this machine, measured on a few steps."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Annotated, Any

import pandas as pd
import torch

from mpnas_kit.analysis.units import duration
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Split, Subset
from mpnas_kit.engine.loop import StepEvent, space_for
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs import profiles
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.settings import from_dict
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import Path, SearchSpace
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.evaluation import evaluate
from mpnas_kit.training.stage import train
from mpnas_kit.values import Range, checked, require_type

EPOCHS = 16  # of the domain of median size, in a training of the suggested length
LEAST_STEPS, MOST_STEPS = 1000, 20_000
PER_TRAINING = 4 / 3  # steps of a search per step of a training, as in the profile `full`
_IMAGES = {"train": 2000, "val": 200, "test": 200}  # images per domain in the measurement
_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedTime:
    """How long a search and a training are expected to take. Returned by `expected_time`.

    stages: one row per stage. Columns stage (`search`, `train`), steps, seconds_per_step, minutes
    (of the whole stage; that of a training has its evaluations).
    measured_steps: number of steps that were measured per stage.
    profile: name of the profile that gave the settings.
    """

    stages: pd.DataFrame
    measured_steps: int
    profile: str

    @property
    def minutes(self) -> float:
        """Expected time of both stages, in minutes."""
        return float(self.stages["minutes"].sum())

    @property
    def sentence(self) -> str:
        """The expected time in words."""
        search_row, train_row = self.stages.itertuples()
        return (
            f"A search of {search_row.steps:,} steps is expected to take "
            f"{duration(60 * search_row.minutes)} on this machine, and a training of "
            f"{train_row.steps:,} steps {duration(60 * train_row.minutes)}. This is an estimate "
            f"from {self.measured_steps} steps of each, with the settings of the profile "
            f"{self.profile}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the expected time as JSON values."""
        rows = self.stages.to_dict("records")
        return {
            "profile": self.profile,
            "measured_steps": self.measured_steps,
            "stages": [{str(k): v for k, v in row.items()} for row in rows],
        }

    def _repr_html_(self) -> str:
        return str(self.stages.to_html(index=False))

    def __repr__(self) -> str:
        return f"ExpectedTime({duration(60 * self.minutes)})"


def suggested_steps(suite: DomainSuite, batch_size: int = 32) -> dict[str, int]:
    """Return numbers of steps for a search and a training of a suite (ours).

    A training sees 16 times every training image of the domain of median size, and has 1,000 to
    20,000 steps. A search has 4/3 as many. Both are about those of the reference run of the ten
    pocket domains. They are a start, not an optimum.

    suite: domains with their images.
    batch_size: training images per domain and step.

    >>> suggested_steps(suite)
    {'search': 1300, 'train': 1000}
    """
    images = median(len(domain.train) for domain in suite)
    steps = min(MOST_STEPS, max(LEAST_STEPS, EPOCHS * images / batch_size))
    return {"search": 100 * round(steps * PER_TRAINING / 100), "train": 100 * round(steps / 100)}


@checked("expected_time")
def expected_time(
    suite: DomainSuite,
    space: SearchSpace | None = None,
    *,
    profile: str = "full",
    search_steps: Annotated[int | None, Range(1, 10_000_000)] = None,
    train_steps: Annotated[int | None, Range(1, 10_000_000)] = None,
    measured: Annotated[int, Range(8, 1000)] = 12,
) -> ExpectedTime:
    """Return how long a search and a training are expected to take on this machine.

    A few steps of both run on at most 2,000 training images per domain, and no file is written. The
    first step is not counted. In a search, steps with averaged candidates count apart from the
    others. Other work on the machine changes the result, and so does its temperature: read it as
    minutes or hours, not as a promise.

    suite: domains with their images.
    space: search space. None: the pocket space.
    profile: profile that gives the settings.
    search_steps, train_steps: number of steps of each stage. None: `suggested_steps`.
    measured: number of steps to measure per stage, 8 to 1,000.

    Raises `MpnasError` if a value is wrong, or the images do not fit the space.

    >>> mk.expected_time(suite, space, measured=8)  # doctest: +SKIP
    ExpectedTime(9 min 20 s)
    """
    require_type(suite, DomainSuite, "suite")
    chosen = profiles.profile(profile)
    whole = space_for(suite, pocket_space(suite.resolution) if space is None else space)
    few = {"steps": measured, "policy_snapshots": 1}
    search_config = from_dict(SearchConfig, {**chosen.search, **few})
    train_config = from_dict(TrainConfig, {**chosen.train, "steps": measured, "evaluate_every": 0})
    small = replace(suite, domains=tuple(_part(domain) for domain in suite))
    found, search_times, _ = _timed(
        measured, lambda note: search(small, whole, search_config, callbacks=[note])
    )
    paths = _paths(whole, search_config, found)
    trained, train_times, finish = _timed(
        measured, lambda note: train(small, whole, paths, train_config, callbacks=[note])
    )
    began = time.perf_counter()
    evaluate(trained.net, small, paths, "val")
    per_image = (time.perf_counter() - began) / sum(len(domain.val) for domain in small)
    suggested = suggested_steps(suite, train_config.batch_size)
    steps = {
        "search": search_steps or suggested["search"],
        "train": train_steps or suggested["train"],
    }
    averaged = max(1, math.ceil(search_config.warmup_share * measured) - 1)
    share = search_config.warmup_share
    seconds = {
        "search": share * median(search_times[:averaged])
        + (1 - share) * median(search_times[averaged:]),
        "train": median(train_times),
    }
    every = from_dict(TrainConfig, chosen.train).evaluate_every
    images = {
        name: sum(len(domain.split(name)) for domain in suite)
        - sum(len(domain.split(name)) for domain in small)
        for name in ("val", "test")
    }
    times = steps["train"] // every if every else 0
    evaluations = (1 + times) * (finish + per_image * images["val"]) + per_image * images["test"]
    rows = [
        {
            "stage": stage,
            "steps": steps[stage],
            "seconds_per_step": seconds[stage],
            "minutes": (steps[stage] * seconds[stage] + more) / 60,
        }
        for stage, more in (("search", 0.0), ("train", evaluations))
    ]
    return ExpectedTime(pd.DataFrame(rows), measured, profile)


def _timed(
    steps: int, run: Callable[[Callable[[StepEvent], None]], Any]
) -> tuple[Any, list[float], float]:
    """Return what a stage returns, seconds of every step but the first, and those after the last.

    steps: number of its steps. run: runs the stage with a callback.
    """
    times: list[float] = []
    result = run(lambda event: times.append(time.perf_counter()))
    end = time.perf_counter()
    assert len(times) == steps
    return result, [b - a for a, b in zip(times, times[1:], strict=False)], end - times[-1]


def _part(domain: Domain) -> Domain:
    """Return a domain with a part of its images, drawn at random."""

    def some(name: str) -> Split:
        split = domain.split(name)
        most = _IMAGES[name]
        if len(split) <= most:
            return split
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
        return Subset(split, order[:most].sort().values)

    return replace(domain, train=some("train"), val=some("val"), test=some("test"))


def _paths(space: SearchSpace, config: SearchConfig, found: SearchResult) -> dict[str, Path]:
    """Return a path of the target cost for every domain; if there is none, that of the search."""
    targets = resolve_targets(space, config, list(found.paths))
    generator = torch.Generator().manual_seed(0)
    paths = dict(found.paths)
    for name, target in targets.items():
        own = space.of(name)
        try:
            paths[name] = sample_at_cost(own, config.cost, target, _TOLERANCE, generator)
        except MpnasError:  # no path is near, or the cost depends on all domains
            continue
    return paths
