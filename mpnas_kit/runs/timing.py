"""How long a search and a training of a suite take on this machine, measured on a few steps."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Annotated, Any

import pandas as pd
import torch

from mpnas_kit.analysis.units import duration
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Split, Subset
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.loop import StepEvent, compute_for, space_for
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.runs import profiles
from mpnas_kit.runs.memory import ExpectedMemory, expected_memory
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.stage import search
from mpnas_kit.settings import from_dict
from mpnas_kit.space.layers import Path
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.evaluation import (
    CALIBRATION_BATCHES,
    CALIBRATION_IMAGES,
    evaluate,
    recalibrate,
)
from mpnas_kit.training.stage import train
from mpnas_kit.values import Range, checked, require_type

EPOCHS = 16  # of the domain of median size, in a training of the suggested length
LEAST_STEPS, MOST_STEPS = 1000, 20_000
PER_TRAINING = 4 / 3  # steps of a search per step of a training, as in the profile `full`
_WORK = 60e9  # multiply-adds of a measured step, about a second of one core
_LEAST_IMAGES = 4  # per domain in a measured step
_SECONDS = 8.0  # after which a stage does no more steps than it must
_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedTime:
    """How long a search and a training are expected to take. Returned by `expected_time`.

    stages: one row per stage. Columns stage (`search`, `train`), steps, seconds_per_step, minutes
    (of the whole stage; that of a search has its landmarks, that of a training its evaluations).
    measured_steps: number of steps that were measured per stage.
    profile: name of the profile that gave the settings.
    memory: how much memory the stages are expected to take.
    """

    stages: pd.DataFrame
    measured_steps: int
    profile: str
    memory: ExpectedMemory

    @property
    def minutes(self) -> float:
        """Expected time of both stages, in minutes."""
        return float(self.stages["minutes"].sum())

    @property
    def sentence(self) -> str:
        """The expected time and memory in words."""
        search_row, train_row = self.stages.itertuples()
        return (
            f"A search of {search_row.steps:,} steps is expected to take "
            f"{duration(60 * search_row.minutes)} on this machine, and a training of "
            f"{train_row.steps:,} steps {duration(60 * train_row.minutes)}. This is an estimate "
            f"from {self.measured_steps} steps of each, with the settings of the profile "
            f"{self.profile}. {self.memory.sentence}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the expected time as JSON values."""
        rows = self.stages.to_dict("records")
        return {
            "profile": self.profile,
            "measured_steps": self.measured_steps,
            "stages": [{str(k): v for k, v in row.items()} for row in rows],
            "memory": self.memory.as_dict(),
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

    A few steps of both run, for about ten seconds each, and no file is written. If a step is long,
    it has fewer images, and its time counts in proportion. The first step is not counted. In a
    search, steps with averaged candidates, or those of the first of two phases, count apart from
    the others. Other work on the machine changes the result, and so does its temperature: read it
    as minutes or hours, not as a promise.
    Paths are assumed to become cheaper evenly, from random ones to those of the cost target.

    Memory is counted, not measured. If a stage does not fit, it is timed with the memory budget
    that the result suggests.

    suite: domains with their images.
    space: search space. None: the pocket space.
    profile: profile that gives the settings.
    search_steps, train_steps: number of steps of each stage. None: `suggested_steps`.
    measured: largest number of steps to measure per stage, 8 to 1,000.

    Raises `MpnasError` if a value is wrong, or the images do not fit the space.

    >>> mk.expected_time(suite, space, measured=8)  # doctest: +SKIP
    ExpectedTime(9 min 20 s)
    """
    require_type(suite, DomainSuite, "suite")
    chosen = profiles.profile(profile)
    whole = space_for(suite, pocket_space(suite.resolution) if space is None else space)
    search_config = from_dict(SearchConfig, {**chosen.search, "policy_snapshots": 1})
    train_config = from_dict(TrainConfig, chosen.train)
    paths = _paths(whole, search_config, suite.names)
    compute = compute_for(train_config, len(suite), None)
    memory = expected_memory(suite, whole, search_config, train_config, paths, compute)
    images = _images(whole, search_config, paths)
    scale = search_config.batch_size / images  # of a step over a measured one
    budget = None if memory.fits or memory.budget is None else math.ceil(memory.budget / scale)
    few: dict[str, Any] = {"steps": measured, "batch_size": images, "memory_budget": budget}
    small = replace(suite, domains=tuple(_part(domain, images) for domain in suite))
    short_search = replace(search_config, reward_batch=images, landmarks=0, **few)
    share = (
        search_config.controller_delay if search_config.two_phases else search_config.warmup_share
    )
    early = max(1, math.ceil(share * measured) - 1)
    search_times = _timed(
        early + 3, lambda note: search(small, whole, short_search, callbacks=[note])
    )
    short_train = replace(train_config, evaluate_every=0, **few)
    train_times = _timed(3, lambda note: train(small, whole, paths, short_train, callbacks=[note]))
    suggested = suggested_steps(suite, train_config.batch_size)
    steps = {
        "search": search_steps or suggested["search"],
        "train": train_steps or suggested["train"],
    }
    seconds = {
        "search": scale
        * (
            share * median(search_times[:early])
            + (1 - share)
            * median(search_times[early:])
            * _falling(whole, search_config, suite.names)
        ),
        "train": scale * median(train_times),
    }
    every = train_config.evaluate_every
    evaluations = 1 + (steps["train"] // every if every else 0)
    more = _evaluation_seconds(suite, small, whole, paths, train_config, compute, evaluations)
    landmarks = search_config.landmarks * search_config.landmark_steps * seconds["train"]
    rows = [
        {
            "stage": stage,
            "steps": steps[stage],
            "seconds_per_step": seconds[stage],
            "minutes": (steps[stage] * seconds[stage] + after) / 60,
        }
        for stage, after in (("search", landmarks), ("train", more))
    ]
    count = 1 + min(len(search_times), len(train_times))
    return ExpectedTime(pd.DataFrame(rows), count, profile, memory)


class _Enough(Exception):
    """Ends a stage of which enough steps are measured."""


def _timed(least: int, run: Callable[[Callable[[StepEvent], None]], Any]) -> list[float]:
    """Return the seconds of every step of a stage but the first.

    least: number of times that are needed. Steps beyond it are done only while there is time.
    run: runs the stage with a callback.
    """
    ends: list[float] = []

    def note(event: StepEvent) -> None:
        ends.append(time.perf_counter())
        if event.step == event.steps or (len(ends) > least and ends[-1] - ends[0] > _SECONDS):
            raise _Enough

    with suppress(_Enough):
        run(note)
    return [b - a for a, b in pairwise(ends)]


def _falling(space: SearchSpace, config: SearchConfig, domains: Sequence[str]) -> float:
    """Return the mean cost of sampled paths in a search over that of random ones, at most 1."""
    wanted, random = (
        sum(resolve_targets(space, one, domains).values())
        for one in (config, replace(config, cost_target=None, cost_level=1.0, cost_scale=1.0))
    )
    return min(1.0, (1 + wanted / random) / 2)


def _images(space: SearchSpace, config: SearchConfig, paths: Mapping[str, Path]) -> int:
    """Return how many images per domain a measured step has, so that it takes about a second."""
    passes = 3 + config.paths_per_step  # forward and back, and the forward passes of the rewards
    work = passes * sum(space.of(d).cost(path).multiply_adds for d, path in paths.items())
    return max(_LEAST_IMAGES, min(config.batch_size, round(_WORK / work)))


def _part(domain: Domain, images: int) -> Domain:
    """Return a domain with a part of its images, drawn at random. images: those of a batch."""

    def some(name: str, batches: int) -> Split:
        split = domain.split(name)
        if len(split) <= batches * images:
            return split
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
        return Subset(split, order[: batches * images].sort().values)

    return replace(domain, train=some("train", 16), val=some("val", 2), test=some("test", 1))


def _evaluation_seconds(
    suite: DomainSuite,
    small: DomainSuite,
    space: SearchSpace,
    paths: Mapping[str, Path],
    config: TrainConfig,
    compute: Compute,
    evaluations: int,
) -> float:
    """Return the seconds that the evaluations of a training take, its last one included.

    small: the suite with a part of its images, on which they are measured.
    evaluations: number of evaluations on the validation split, each with statistics measured anew.
    """
    with reproducible(config.threads, space.resolution, compute.kernels is not None):
        net = MultiPathNet.of_paths(space, paths, suite.tasks, config.norm, 0).to(compute.device)
        net.kernels = compute.kernels
        began = time.perf_counter()
        recalibrate(net, small, paths, batches=1)
        between = time.perf_counter()
        evaluate(net, small, paths, "val")
        ended = time.perf_counter()
    calibrated = (between - began) / _drawn(small)
    evaluated = (ended - between) / sum(len(domain.val) for domain in small)
    val, test = (sum(len(domain.split(name)) for domain in suite) for name in ("val", "test"))
    every = CALIBRATION_BATCHES * _drawn(suite) * calibrated + val * evaluated
    return evaluations * every + test * evaluated


def _drawn(suite: DomainSuite) -> int:
    """Return the images of a batch of `recalibrate`."""
    return sum(min(CALIBRATION_IMAGES, len(domain.train)) for domain in suite)


def _paths(space: SearchSpace, config: SearchConfig, domains: Sequence[str]) -> dict[str, Path]:
    """Return a path of about the target cost for every domain, else a random one."""
    targets = resolve_targets(space, config, domains)
    generator = torch.Generator().manual_seed(0)
    paths = {}
    for name, target in targets.items():
        own = space.of(name)
        try:
            paths[name] = sample_at_cost(own, config.cost, target, _TOLERANCE, generator)
        except MpnasError:  # no path is near, or the cost depends on all domains
            paths[name] = own.sample(generator)
    return paths
