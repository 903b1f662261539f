"""A sweep: many runs that differ in approach, weighting, norm or seed, around one run.

    RUN/             the run it is around: domains, space and all other settings are its own
    RUN/cells/NAME   a run folder for every cell

A cell that is finished is never run again; a sweep that was killed goes on, and a cell in it, at
its last checkpoint. Cells with the same search share it: the first one searches, the others take
it; where that is the search of the run itself, the run is the first cell. A control is matched to
the MPNAS cell of its weighting, norm and seed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

from mpnas_kit.analysis.comparison import NO_WEIGHTING, Comparison, Outcome, compare
from mpnas_kit.approaches.approach import MPNAS, Approach, label, read_approach
from mpnas_kit.engine.loop import Callback
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.norms import Norm
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.prioritization.methods import Prioritization
from mpnas_kit.runs.run import Pipeline, Stage
from mpnas_kit.settings import convert, from_text, require, split_list, to_text

CELLS = "cells"  # the folder of cells in that of the run they are around
OF_CELLS = {"norm": "norms", "seed": "seeds", "priority": "weightings"}
ARROW = " > "  # between the weighting of the search and that of the training, where they differ


@dataclass(frozen=True)
class Weighting:
    """The domain prioritization of the search and of the training."""

    search: Prioritization
    train: Prioritization

    @classmethod
    def parse(cls, text: str) -> "Weighting":
        """`abdp` for both stages; `uniform > abdp(end=0.5)` for search and training."""
        parts = [part.strip() for part in text.split(ARROW.strip())]
        if len(parts) > 2:
            raise MpnasError(
                f"weighting {text!r} cannot be read: expected one for both stages, or two, as "
                f"'uniform{ARROW}abdp'."
            )
        made = [from_text(p, get_args(Prioritization), "weighting") for p in parts]
        return cls(made[0], made[-1])

    @property
    def label(self) -> str:
        """How it stands in tables: as it is parsed, without what is as by default."""
        search, train = (to_text(p, defaults=False) for p in (self.search, self.train))
        return search if search == train else f"{search}{ARROW}{train}"


@dataclass(frozen=True)
class Cell:
    """A run of a sweep."""

    approach: Approach
    weighting: Weighting
    norm: Norm = "per_domain"
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its folder."""
        words = (label(self.approach), self.weighting.label, self.norm, f"seed{self.seed}")
        return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", w).strip("-") for w in words)

    @property
    def search_key(self) -> tuple[object, ...]:
        """What its search depends on."""
        return self.approach, self.weighting.search, self.norm, self.seed

    def __str__(self) -> str:
        return f"{label(self.approach)}, {self.weighting.label}, {self.norm}, seed {self.seed}"


def cells(
    approaches: Sequence[Approach],
    weightings: Sequence[Weighting],
    norms: Sequence[Norm] = ("per_domain",),
    seeds: Sequence[int] = (0,),
) -> list[Cell]:
    """Every combination, each once; seed by seed, so that whole tables come first.

    An approach that weighs no domains against each other is there once, as uniform.
    """
    alone = Weighting(Uniform(), Uniform())
    made = [
        Cell(a, w if a.weighs else alone, n, s)
        for s, n, w, a in product(seeds, norms, weightings, approaches)
    ]
    return list(dict.fromkeys(made))


class Sweep:
    """The cells around a run."""

    def __init__(
        self,
        around: Pipeline,
        cells: Sequence[Cell],
        search: Mapping[str, Any] | None = None,
        train: Mapping[str, Any] | None = None,
    ) -> None:
        """search, train: settings of all cells that differ from those of the run.

        Raises `MpnasError` where they set what a cell is told apart by.
        """
        for name in (*(search or {}), *(train or {})):
            require(
                name not in OF_CELLS,
                f"{name} cannot be a setting of all cells, since they differ in it: expected it in "
                f"{OF_CELLS.get(name)}.",
            )
        self.around = around
        self._search, self._train = dict(search or {}), dict(train or {})
        wanted = [c for cell in cells for c in _with_its_match(cell)]
        own = _cell_of(around)
        taken = _one_run(around) and any(c.search_key == own.search_key for c in wanted)
        first = [own] if taken and self.folder(own) == around.folder else []
        self.cells = list(dict.fromkeys([*first, *wanted]))

    def folder(self, cell: Cell) -> Path:
        """The run folder of a cell: the run itself where it is that cell."""
        own = not self._search and not self._train and cell == _cell_of(self.around)
        return self.around.folder if own else self.around.folder / CELLS / cell.name

    def like(self, cell: Cell) -> Cell | None:
        """The cell whose search `cell` takes, or that it is matched to; None: there is none."""
        if not cell.approach.searches:
            return _match(cell)
        if self._searched(cell):
            return None
        same = [c for c in self.cells if c.search_key == cell.search_key]
        first = next(filter(self._searched, same), same[0])
        return None if first == cell else first

    def _searched(self, cell: Cell) -> bool:
        """Whether a search of its own was begun in a cell."""
        return (self.folder(cell) / "search").exists()

    def open(self, cell: Cell) -> Pipeline:
        """The run of a cell, begun if it is not there."""
        if self.folder(cell) == self.around.folder:
            return self.around
        setup, folder = self.around.setup, self.folder(cell)
        begun = (folder / "run.json").exists()  # a cell stays with the one it was begun with
        like = None if begun else self.like(cell)
        return Pipeline.open(
            folder,
            profile=setup.profile,
            suite=setup.suite,
            domains=setup.domains,
            space=setup.space,
            approach=cell.approach,
            like=None if like is None else self.folder(like),
        )

    def finished(self, cell: Cell) -> bool:
        """Whether a cell has its results."""
        return (self.folder(cell) / "train" / "results.json").exists()

    def run(
        self,
        tell: Callable[[str], None] = lambda line: None,
        callbacks: Sequence[Callback] = (),
        jobs: int = 1,
    ) -> Comparison:
        """Run what is not finished, and compare. tell: called with a line for every cell.

        jobs: how many cells at once, each in a process of its own, through joblib: its
        `parallel_config(backend=...)` sends them to other processes, of a dask cluster for
        instance (not to threads: seeds and torch's settings are those of a process). A cell waits
        for the one whose search it takes. joblib divides the processors among the jobs, so with
        large images and `threads` not set, results are those of so many threads. callbacks are
        told of cells in this process only: there must be none where jobs is above 1.
        """
        require(jobs >= 1, f"jobs must be at least 1, not {jobs}.")
        require(jobs == 1 or not callbacks, "a sweep of several jobs can tell no callbacks.")
        if jobs == 1:
            for cell in self.cells:
                tell(self.run_cell(cell, callbacks))
            return self._compared()
        from joblib import Parallel, delayed

        at_once = Parallel(n_jobs=jobs, return_as="generator_unordered")
        for wave in self._waves():
            for line in at_once(delayed(self.run_cell)(cell) for cell in wave):
                tell(line)
        return self._compared()

    def run_cell(self, cell: Cell, callbacks: Sequence[Callback] = ()) -> str:
        """Run a cell; returns a line about it.

        A finished one is only read. Raises `MpnasError` where it was begun with other settings.
        """
        number, before = self.cells.index(cell) + 1, self.finished(cell)
        pipeline = self.open(cell)
        told = [_within(f"cell {number}/{len(self.cells)}", c) for c in callbacks]
        own = {"norm": cell.norm, "seed": cell.seed}
        if pipeline.searches:
            priority = cell.weighting.search
            settings = {**self._changed("search"), **self._search, **own, "priority": priority}
            pipeline.search(pipeline.search_config(**settings), told)
        priority = cell.weighting.train
        settings = {**self._changed("train"), **self._train, **own, "priority": priority}
        trained = pipeline.train(pipeline.train_config(**settings), told)
        how = "finished before" if before else f"mean test top-1 {trained.accuracy().mean():.1%}"
        return f"{number} of {len(self.cells)}: {cell}: {how}"

    def _waves(self) -> list[list[Cell]]:
        """The cells in groups: what a cell takes from another one is there in an earlier group."""

        def depth(cell: Cell) -> int:
            before = self.like(cell)
            return 0 if before is None else 1 + depth(before)

        depths = {cell: depth(cell) for cell in self.cells}
        return [[c for c in self.cells if depths[c] == d] for d in range(max(depths.values()) + 1)]

    def _compared(self) -> Comparison:
        return compare(outcome(self.open(cell)) for cell in self.cells)

    def _changed(self, stage: Stage) -> dict[str, Any]:
        """What the run changed of its profile's settings, but for what its approach fixes."""
        config, fixed = self.around.config(stage), getattr(self.around.plan, stage)
        changed = [name for name in self.around.changes(config) if name not in fixed]
        return {name: getattr(config, name) for name in changed}


def sweep_of(
    run: Pipeline,
    *,
    approaches: str | None = None,
    weightings: str | None = None,
    norms: str | None = None,
    seeds: str | None = None,
    search: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> Sweep:
    """A sweep written as text: lists with commas.

    approaches, weightings, norms, seeds: None: mpnas, abdp, per_domain, the seeds of the run's
    profile. Where neither approaches nor weightings are given, the cells are those of the profile:
    every approach with ABDP, and MPNAS with every weighting. search, train: settings of all cells;
    None, for one of them: what the profile says of cells.
    """
    profile = run.profile
    repeats = [convert(s, int, "seed") for s in split_list(seeds)] if seeds else profile.seeds
    kinds = [convert(n, Norm, "norm") for n in split_list(norms or "per_domain")]

    def crossed(approaches: Sequence[str], weightings: Sequence[str]) -> list[Cell]:
        ways = [read_approach(text) for text in approaches]
        return cells(ways, [Weighting.parse(text) for text in weightings], kinds, repeats)

    if approaches or weightings:
        wanted = crossed(split_list(approaches or "mpnas"), split_list(weightings or "abdp"))
    else:
        wanted = crossed(profile.approaches, ["abdp"]) + crossed(["mpnas"], profile.weightings)

    def settings(plain: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
        return {**plain, **{k: v for k, v in (given or {}).items() if v is not None}}

    return Sweep(
        run, wanted, settings(profile.cell_search, search), settings(profile.cell_train, train)
    )


def _within(place: str, callback: Callback) -> Callback:
    """The callback, told in which cell a stage is."""
    return lambda event: callback(replace(event, stage=f"{place}, {event.stage}"))


def _match(cell: Cell) -> Cell:
    """The MPNAS cell that a cell without a search goes by: its cost target, its paths' costs."""
    return replace(cell, approach=MPNAS())


def _with_its_match(cell: Cell) -> Iterator[Cell]:
    if not cell.approach.searches:
        yield _match(cell)
    yield cell


def _cell_of(run: Pipeline) -> Cell:
    search, train = run.origin.search_config(), run.train_config()
    weighting = Weighting(search.priority, train.priority)
    return Cell(run.approach, weighting, train.norm, train.seed)


def _one_run(run: Pipeline) -> bool:
    """Whether a run has a search of its own, and of the norm and seed of its training."""
    if not run.searches:
        return False
    search, train = run.search_config(), run.train_config()
    return (search.norm, search.seed) == (train.norm, train.seed)


def finished_runs(run: Path) -> list[Pipeline]:
    """The run in a folder and the cells around it, those that have finished their training."""
    folders = [run, *sorted((run / CELLS).glob("*"))]
    there = [Pipeline.read(f) for f in folders if (f / "run.json").exists()]
    return [pipeline for pipeline in there if pipeline.finished("train")]


def finished_comparison(run: Path) -> Comparison:
    """The run in a folder and the finished cells around it, beside each other.

    Where a cell is of the run's own approach, weighting, norm and seed, its settings are those of
    the cells and not of the run, which is then left out.
    """
    runs = finished_runs(run)
    cells = {_cell_of(r) for r in runs if r.folder != run}
    return compare(outcome(r) for r in runs if r.folder != run or _cell_of(r) not in cells)


def outcome(run: Pipeline) -> Outcome:
    """A finished run, for a comparison."""
    weights = run.folder / "train" / "model.safetensors"
    cell = _cell_of(run)
    weighting = cell.weighting.label if cell.approach.weighs else NO_WEIGHTING
    return Outcome(label(cell.approach), weighting, run.trained(), weights.stat().st_size)
