"""Landmarks of a run: random paths at the cost target, trained briefly before the search.

    RUN/landmarks/SEED_TARGET/NN   stage folder of a set: one path per domain, no shared node

All searches of one seed and cost target in a run and its cells have the same landmarks. Images for
validation and test are not used: a set is trained on the weight part of the search, and scored on
the reward part.
"""

import pathlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import pandas as pd
import torch

from mpnas_kit import files
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.engine.finished import recorded_config
from mpnas_kit.engine.loop import Callback, StepCallback
from mpnas_kit.engine.records import Timing, TrainResults
from mpnas_kit.engine.stage_folder import StageFolder, has_results
from mpnas_kit.engine.team import Team
from mpnas_kit.engine.trackers import Tracker
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import shown
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.runs.description import RUN
from mpnas_kit.runs.sweep_cells import CELLS
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.data import divide
from mpnas_kit.search.landmarks import COLUMNS, Landmarks
from mpnas_kit.space.layers import Path
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.starts.source import Start
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

LANDMARKS = "landmarks"  # folder of the landmarks in the run folder
TOLERANCE = 0.05  # share by which the cost of a landmark may differ from its target


def landmark_folder(
    run: pathlib.Path, space: SearchSpace, config: SearchConfig, domains: Sequence[str]
) -> pathlib.Path:
    """Return the folder of a search's landmarks: in the run, or in the run around its sweep.

    run: run folder.
    space: search space of the run.
    config: settings of the search.
    domains: names of its domains.

    Raises `MpnasError` if no path can have the cost target.
    """
    targets = resolve_targets(space, config, domains).values()
    name = f"{config.seed}_{sum(targets) / len(targets):.6g}"
    return run_around(run) / LANDMARKS / name


def run_around(run: pathlib.Path) -> pathlib.Path:
    """Return the folder of the run around the sweep of a cell; the folder itself if it is no cell.

    run: run folder.
    """
    above = run.parent.parent
    return above if run.parent.name == CELLS and files.exists(above / RUN) else run


def landmark_paths(
    space: SearchSpace, config: SearchConfig, domains: Sequence[str], sets: int
) -> list[dict[str, Path]]:
    """Return the first landmarks of a search: per set one random path of every domain, by domain.

    Each costs the target of its domain, within 5 %. If the cost of a path depends on other paths,
    its cost alone counts.

    space: search space of the run.
    config: settings of the search.
    domains: names of its domains.
    sets: number of sets.

    Raises `MpnasError` if a path alone has no cost, or no path of such a cost is found.
    """
    model = getattr(config.cost, "alone", None) if hasattr(config.cost, "costs") else config.cost
    if model is None:
        raise MpnasError(
            f"landmarks are drawn each at its own cost, but the cost {shown(config.cost)} of a "
            "path depends on the paths of all domains: expected a cost model with price(use), one "
            "with an attribute `alone`, or landmarks=0."
        )
    targets, drawn = resolve_targets(space, config, domains), []
    for number in range(sets):
        generator = torch.Generator().manual_seed(derived_seed(config.seed, number))
        drawn.append(
            {
                d: sample_at_cost(
                    space.of(d), model, target, TOLERANCE, generator, prior=config.prior
                )
                for d, target in targets.items()
            }
        )
    return drawn


def make_landmarks(
    suite: DomainSuite,
    space: SearchSpace,
    config: SearchConfig,
    training: TrainConfig,
    folder: pathlib.Path,
    *,
    start: Start | None = None,
    callbacks: Sequence[Callback] = (),
) -> Landmarks:
    """Train the landmarks of a search, and return them. Sets that are finished are only read.

    suite: domains with their images.
    space: search space of the run.
    config: settings of the search, with `landmarks` above 0.
    training: settings of the trainings. Steps and seed are those of the search's landmarks. No node
    is shared and all domains count alike, so prioritization and norm do not matter.
    folder: folder of the landmarks. If another process works in it, this one waits.
    start: pretrained weights that every path begins with. None: they begin at random.
    callbacks: called after every step, with the number of the set as name of the stage. Trackers
    are not called.

    Raises `MpnasError` if a set was made with other settings, and as `landmark_paths` does.
    """
    sets, team = landmark_paths(space, config, suite.names, config.landmarks), Team.current()
    parts = _parts(suite, config, start)
    settings = _settings(training, config)
    with ExitStack() as stack:
        if not team.on_leader(lambda: _are_finished(folder, config)):
            team.on_leader(lambda: _lock(stack, folder))
        for number, paths in enumerate(sets):
            named = _named(f"landmarks {number + 1}/{len(sets)}", callbacks)
            place = folder / _name(number)
            train(parts, space, paths, settings, start=start, folder=place, callbacks=named)
    found = team.on_leader(lambda: read_landmarks(folder, config))
    assert found is not None
    return found


def read_landmarks(folder: pathlib.Path, config: SearchConfig) -> Landmarks | None:
    """Return the landmarks of a search from their folder; None: it has none, or not all of them.

    folder: folder of the landmarks.
    config: settings of the search.

    Raises `MpnasError` if a file cannot be read.
    """
    if config.landmarks == 0 or not _are_finished(folder, config):
        return None
    rows, seconds = [], 0.0
    for number in range(config.landmarks):
        stage = StageFolder.read(folder / _name(number))
        archs = stage.read_json("paths.json", dict[str, str])
        for one in stage.read_json("results.json", TrainResults).evaluation:
            if one.split == "val":
                row = (number, one.domain, archs[one.domain], -one.loss, one.accuracy)
                rows.append(dict(zip(COLUMNS, row, strict=True)))
        seconds += stage.read_json("timing.json", Timing).seconds
    return Landmarks(pd.DataFrame(rows), seconds)


def begun_training(folder: pathlib.Path, trust: bool) -> TrainConfig | None:
    """Return the settings with which landmarks were begun; None: they were not begun.

    folder: folder of the landmarks.
    trust: whether modules that it names are imported.
    """
    first = folder / _name(0)
    if not files.exists(first / "config.json"):
        return None
    return recorded_config(StageFolder.read(first), TrainConfig, trust)


def landmark_stages(run: pathlib.Path) -> list[str]:
    """Return the stage folders of the landmarks in a run folder, relative to it.

    run: run folder.

    >>> landmark_stages(pathlib.Path("runs/mine"))[:2]  # doctest: +SKIP
    ['landmarks/0_500000/00', 'landmarks/0_500000/01']
    """
    return [
        f"{LANDMARKS}/{group}/{name}"
        for group in files.names_in(run / LANDMARKS)
        for name in files.names_in(run / LANDMARKS / group)
        if name.isdigit()
    ]


def _name(number: int) -> str:
    return f"{number:02d}"


def _are_finished(folder: pathlib.Path, config: SearchConfig) -> bool:
    return all(has_results(folder / _name(number)) for number in range(config.landmarks))


def _lock(stack: ExitStack, folder: pathlib.Path) -> None:
    """Keep other processes out until the stack is closed. If one works there, wait."""
    files.make_folder(folder)
    stack.enter_context(files.locked(folder / "lock"))


def _settings(training: TrainConfig, config: SearchConfig) -> TrainConfig:
    """Return the settings of the trainings of landmarks."""
    return replace(
        training,
        steps=config.landmark_steps,
        seed=config.seed,
        norm="per_domain",
        private_until=0,
        private_from=0,
        prioritization=Uniform(),
        frozen=False,
        frozen_norms="measured",
        evaluate_every=0,
    )


def _parts(suite: DomainSuite, config: SearchConfig, start: Start | None) -> DomainSuite:
    """Return the suite with the weight part as training split, and the reward part as the others.

    Both are parts of the training split. The division is that of the search.
    """
    standard = None if start is None else start.standard
    parts = divide(suite, config.reward_share, config.seed, standard)
    domains = []
    for domain in suite:
        part = parts[domain.name]
        reward = part.reward.split
        domains.append(replace(domain, train=part.weights.split, val=reward, test=reward))
    return replace(suite, domains=tuple(domains), source=None)


def _named(stage: str, callbacks: Sequence[Callback]) -> list[Callback]:
    """Return the callbacks without trackers. Their events have the name `stage`."""

    def renamed(callback: StepCallback) -> Callback:
        return lambda event: callback(replace(event, stage=stage))

    return [renamed(c) for c in callbacks if not isinstance(c, Tracker)]
