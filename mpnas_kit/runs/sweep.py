"""A sweep: many runs that differ in approach, prioritization, norm or seed, around one run.

    RUN/             the run itself: it gives the domains, the space and all other settings
    RUN/cells/NAME   a run folder for every cell

A finished cell is never run again. A sweep that was killed continues with the first cell that is
not finished, and that cell continues from its last checkpoint. Cells with the same search share it:
the first cell searches, and the others take its search. If the search of the run itself is the
same, the run is the first cell. A control is matched to the MPNAS cell of the same prioritization,
norm and seed; a backbone needs none. A control that shares no weights is matched to any MPNAS cell
with the same prioritization in the search, since it only takes its paths.
"""

import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpnas_kit import files
from mpnas_kit.analysis.answer import Answer
from mpnas_kit.analysis.comparison import KEY, NO_PRIORITIZATION, Comparison, Outcome, compare
from mpnas_kit.approaches.approach import is_matched, label
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.approaches.searched import MPNAS
from mpnas_kit.engine.loop import Callback
from mpnas_kit.engine.trackers import Tracker, check_trackers
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.network.norms import Norm
from mpnas_kit.parts import Missing, shown, split_list, to_text
from mpnas_kit.runs.description import RUN
from mpnas_kit.runs.executors import EXECUTOR, Executor, Joblib, runs_here
from mpnas_kit.runs.run import STAGES, Run, StageName
from mpnas_kit.runs.scheduling import run_cells
from mpnas_kit.runs.sweep_cells import CELLS, Cell, Prioritizations, cells
from mpnas_kit.settings import convert, require

OF_CELLS = {"norm": "norms", "seed": "seeds", "prioritization": "prioritizations"}
_BUDGET: dict[StageName, tuple[str, ...]] = {  # settings that say how much a stage computes
    "search": ("steps", "batch_size", "paths_per_step"),
    "train": ("steps", "batch_size"),
}


class Sweep:
    """A sweep: the cells around a run.

    around: the run that gives the domains, the space and all settings the cells do not set.
    cells: cells of the sweep. The MPNAS cells that controls are matched to are added.
    search, train: settings of the stages of all cells that differ from those of the run; None: no
    setting differs. The norm, the seed and the prioritization belong to the cells.

    Raises `MpnasError` if `search` or `train` sets norm, seed or prioritization.

    >>> run = mk.Run("runs/mine")  # doctest: +SKIP
    >>> sweep = mk.sweep_of(run, approaches="mpnas, bundle", seeds="0,1")  # doctest: +SKIP
    >>> comparison = sweep.run()  # doctest: +SKIP
    """

    def __init__(
        self,
        around: Run,
        cells: Sequence[Cell],
        search: Mapping[str, Any] | None = None,
        train: Mapping[str, Any] | None = None,
    ) -> None:
        for name in (*(search or {}), *(train or {})):
            require(
                name not in OF_CELLS,
                f"{name} cannot be a setting of all cells, because cells differ in it: expected it "
                f"in {OF_CELLS.get(name)}.",
            )
        if around.description.frozen:
            raise Unavailable(
                f"{around.folder} adds domains to a trained network, and has images of the added "
                "domains only. So it has no sweep: expected a run that trains all of its domains."
            )
        self.around = around
        self._search, self._train = dict(search or {}), dict(train or {})
        matched = [c for cell in cells for c in _with_match(cell, cells)]
        own = _cell_of(around)
        shared = _has_one_key(around) and any(c.search_key == own.search_key for c in matched)
        first = [own] if shared and self.folder(own) == around.folder else []
        self.cells = list(dict.fromkeys([*first, *matched]))

    def folder(self, cell: Cell) -> pathlib.Path:
        """Return the run folder of a cell; the folder of the run itself if the run is that cell."""
        own = not self._search and not self._train and cell == _cell_of(self.around)
        return self.around.folder if own else self.around.folder / CELLS / cell.name

    def other(self, cell: Cell) -> Cell | None:
        """Return the cell that `cell` takes its search from or is matched to; None if none."""
        if not cell.approach.searches:
            return _match(cell, self.cells) if is_matched(cell.approach) else None
        if self._searched(cell):
            return None
        same = [c for c in self.cells if c.search_key == cell.search_key]
        first = next(filter(self._searched, same), same[0])
        return None if first == cell else first

    def _searched(self, cell: Cell) -> bool:
        """Return whether a cell has begun a search of its own."""
        return files.exists(self.folder(cell) / "search")

    def open(self, cell: Cell) -> Run:
        """Return the run of a cell. It is begun if its folder is new."""
        if self.folder(cell) == self.around.folder:
            return self.around
        folder = self.folder(cell)
        begun = files.exists(folder / RUN)  # a cell keeps the search it was begun with
        other = None if begun else self.other(cell)
        source = None if other is None else self.folder(other)
        return self.around.sibling(
            folder,
            approach=cell.approach,
            search_from=source if cell.approach.searches else None,
            matched_to=None if cell.approach.searches else source,
        )

    def finished(self, cell: Cell) -> bool:
        """Return whether the training of a cell is finished."""
        return files.exists(self.folder(cell) / "train" / "results.json")

    def run(
        self,
        tell: Callable[[str], None] = lambda line: None,
        callbacks: Sequence[Callback] = (),
        executor: Executor | None = None,
    ) -> Comparison:
        """Run the cells that are not finished, and return the comparison of all cells.

        tell: called with one line of text per cell.
        callbacks: called after every step of every cell. If steps run in other processes, they must
        be trackers.
        executor: where the cells run: `Joblib`, `Dask` or `Slurm`; None: in this process, one after
        the other.

        A cell starts as soon as the cell whose search it takes is finished. If a cell fails, the
        others run, and its error is raised at the end. If a cell is stopped, all others are.

        Raises `MpnasError` if a callback is no tracker and needs to be one, if a cell was begun
        with other settings or fails, or if a process is killed. All cells are checked before the
        first one runs.
        """
        executor = EXECUTOR.check(Joblib() if executor is None else executor)
        require(
            runs_here(executor) or all(isinstance(c, Tracker) for c in callbacks),
            f"a sweep in other processes ({shown(executor)}) cannot call callbacks: expected "
            "trackers only, or joblib with jobs=1.",
        )
        self.check()
        check_trackers(callbacks)
        run_cells(self, executor, callbacks, tell)
        return compare(outcome(self.open(cell)) for cell in self.cells)

    def run_cell(self, cell: Cell, callbacks: Sequence[Callback] = ()) -> str:
        """Run a cell, and return one line of text about it. A finished cell is only read.

        cell: a cell of this sweep.
        callbacks: called after every step.

        Raises `MpnasError` if the cell was begun with other settings.
        """
        number, before = self.cells.index(cell) + 1, self.finished(cell)
        self.around.begin()  # a folder with cells and without run.json could not be opened again
        run = self.open(cell)
        callbacks = [_in_cell(f"cell {number}/{len(self.cells)}", c) for c in callbacks]
        if run.searches:
            training = run.train_config(**self._settings(cell, "train"))
            settings = self._settings(cell, "search")
            run.search(**settings, training=training, callbacks=callbacks)
        trained = run.train(**self._settings(cell, "train"), callbacks=callbacks)
        how = "finished before" if before else f"mean test top-1 {trained.accuracy().mean():.1%}"
        return f"{number} of {len(self.cells)}: {cell}: {how}"

    def check(self) -> None:
        """Raise `MpnasError` if a cell could not run with its settings. No file is written."""
        for cell in self.cells:
            run = self.open(cell)
            for stage in STAGES:
                if stage == "train" or run.searches:
                    run.check_settings(stage, **self._settings(cell, stage))

    def _settings(self, cell: Cell, stage: StageName) -> dict[str, Any]:
        """Return the settings of a stage of a cell that differ from those of the profile."""
        return {
            **self._changed(stage),
            **(self._search if stage == "search" else self._train),
            "norm": cell.norm,
            "seed": cell.seed,
            "prioritization": getattr(cell.prioritization, stage),
        }

    def _changed(self, stage: StageName) -> dict[str, Any]:
        """Return the settings that the run changed, except those that its approach fixes."""
        config, fixed = self.around.config(stage), getattr(self.around.plan, stage)
        changed = [name for name in self.around.changes(config) if name not in fixed]
        return {name: getattr(config, name) for name in changed}


def sweep_of(
    run: Run,
    *,
    approaches: str | None = None,
    prioritizations: str | None = None,
    norms: str | None = None,
    seeds: str | None = None,
    search: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> Sweep:
    """Return the sweep that texts describe; each text is a list with commas.

    run: the run that the sweep is around.
    approaches: such as `mpnas, bundle`; None: `mpnas`.
    prioritizations: such as `abdp, uniform > abdp`; None: `abdp`.
    norms: such as `per_domain, naive`; None: `per_domain`.
    seeds: such as `0, 1`; None: the seeds of the run's profile.
    search, train: settings of the stages of all cells. The default of `steps` is that of the cells
    that were begun before, otherwise that of the run. All other settings are those of the run. A
    value None is the default.

    If approaches and prioritizations are both None, the cells are those of the profile: every
    approach with ABDP, and MPNAS with every prioritization.

    Raises `MpnasError` if a name or a number cannot be read, or if `search` or `train` sets norm,
    seed or prioritization.

    >>> run = mk.Run("runs/mine")  # doctest: +SKIP
    >>> comparison = mk.sweep_of(run, prioritizations="abdp, uniform").run()  # doctest: +SKIP
    """
    profile = run.profile
    repeats = [convert(s, int, "seed") for s in split_list(seeds)] if seeds else profile.seeds
    kinds = [convert(n, Norm, "norm") for n in split_list(norms or "per_domain")]

    def crossed(approaches: Sequence[str], prioritizations: Sequence[str]) -> list[Cell]:
        ways = [APPROACH.parse(text) for text in approaches]
        return cells(
            ways, [Prioritizations.parse(text) for text in prioritizations], kinds, repeats
        )

    if approaches or prioritizations:
        chosen = crossed(split_list(approaches or "mpnas"), split_list(prioritizations or "abdp"))
    else:
        chosen = crossed(profile.approaches, ["abdp"]) + crossed(["mpnas"], profile.prioritizations)

    def settings(stage: StageName, given: Mapping[str, Any] | None) -> dict[str, Any]:
        begun = next((c.config(stage).steps for c in _begun_cells(run) if c.begun(stage)), None)
        plain = {} if begun in (None, run.config(stage).steps) else {"steps": begun}
        return {**plain, **{k: v for k, v in (given or {}).items() if v is not None}}

    return Sweep(
        run,
        chosen,
        settings("search", search),
        settings("train", train),
    )


def _in_cell(name: str, callback: Callback) -> Callback:
    """Return a callback that puts the name of the cell before the name of the stage.

    A tracker stays: it knows the folder of the cell.
    """
    if isinstance(callback, Tracker):
        return callback
    return lambda event: callback(replace(event, stage=f"{name}, {event.stage}"))


def _match(cell: Cell, cells: Sequence[Cell]) -> Cell:
    """Return the MPNAS cell that gives a control its cost target and the costs of its paths.

    cells: cells of the sweep. If the control weighs no domains, each of them with the same search
    will do.
    """
    own = replace(cell, approach=MPNAS())
    same = [] if cell.approach.weighs else [c for c in cells if c.search_key == own.search_key]
    return same[0] if same else own


def _with_match(cell: Cell, cells: Sequence[Cell]) -> Iterator[Cell]:
    if is_matched(cell.approach):
        yield _match(cell, cells)
    yield cell


def _cell_of(run: Run) -> Cell:
    search, train = run.origin.search_config(), run.train_config()
    prioritization = Prioritizations(search.prioritization, train.prioritization)
    return Cell(run.approach, prioritization, train.norm, train.seed)


def _has_one_key(run: Run) -> bool:
    """Return whether a run has its own search, with the norm and seed of its training."""
    if not run.searches:
        return False
    search, train = run.search_config(), run.train_config()
    return (search.norm, search.seed) == (train.norm, train.seed)


def finished_runs(run: Run) -> list[Run]:
    """Return those of a run and its cells that have finished their training."""
    return [one for one in (run, *_begun_cells(run)) if one.finished("train")]


def _begun_cells(run: Run) -> list[Run]:
    place = run.folder / CELLS
    folders = [place / name for name in files.names_in(place)]
    return [Run.read(f, trust=run.trust) for f in folders if files.exists(f / RUN)]


def finished_comparison(run: Run) -> Comparison:
    """Return a run and its finished cells side by side. Folders are read; no step is computed.

    If a cell has the approach, prioritization, norm and seed of the run, the run is omitted: the
    settings of the cell are those of the other cells.
    """
    runs = finished_runs(run)
    if not runs:
        raise MpnasError(
            f"no training of {run.folder} or its cells is finished: run `mpnas train --run "
            f"{run.folder}` first."
        )
    cells = {_cell_of(r) for r in runs if r.folder != run.folder}
    return compare(outcome(r) for r in runs if r.folder != run.folder or _cell_of(r) not in cells)


def outcome(run: Run) -> Outcome:
    """Return a finished run as an outcome for `compare`."""
    weights = run.folder / "train" / "model.safetensors"
    cell = _cell_of(run)
    text = _prioritization_of(cell)
    size = weights.stat().st_size if files.exists(weights) else None  # of records there are none
    return Outcome(label(cell.approach), text, run.train_result(), size)


def _prioritization_of(cell: Cell) -> str:
    """Return the prioritization of a cell as it stands in tables."""
    if isinstance(cell.approach, Missing) or cell.approach.weighs:
        return cell.prioritization.label
    search = cell.prioritization.search
    return to_text(search, defaults=False) if is_matched(cell.approach) else NO_PRIORITIZATION


def own_comparison(run: Run) -> Comparison:
    """Return a finished run beside the finished runs of its sweep that had the same budget.

    The budget: steps and images per step of the training, and of the search if both have one. If
    the run is a cell of a sweep, the others are that sweep's. Runs of other domains do not count.
    Folders are read; no step is computed.

    run: a run with a finished training.

    Raises `MpnasError` if a folder of the sweep cannot be read.
    """
    others = [o for o in finished_runs(_around(run)) if not _same_folder(o, run)]
    domains = list(run.train_result().paths)
    fitting = [o for o in others if list(o.train_result().paths) == domains]
    rows: dict[Cell, Run] = {_cell_of(run): run}
    for other in fitting:
        if _has_budget_of(other, run):
            rows.setdefault(_cell_of(other), other)
    return compare(outcome(row) for row in rows.values())


def answer_of(run: Run, comparison: Comparison) -> Answer:
    """Return what a run found; if the comparison lacks the run, what the runs in it found.

    run: a run.
    comparison: finished runs, such as those of `own_comparison`.
    """
    cell, cells = _cell_of(run), comparison.cells
    own = (label(cell.approach), _prioritization_of(cell), cell.norm)
    if any(key == own for key in cells[list(KEY)].itertuples(index=False, name=None)):
        return Answer.of(comparison, own[0], prioritization=own[1], norm=own[2])
    return Answer.of(comparison)


def _around(run: Run) -> Run:
    """Return the run whose sweep a run is a cell of; the run itself if it is no cell."""
    above = run.folder.parent.parent
    is_cell = run.folder.parent.name == CELLS and files.exists(above / RUN)
    return Run.read(above, trust=run.trust) if is_cell else run


def _same_folder(one: Run, other: Run) -> bool:
    return os.path.abspath(one.folder) == os.path.abspath(other.folder)


def _has_budget_of(one: Run, other: Run) -> bool:
    def same(stage: StageName) -> bool:
        configs = [
            run.origin.config(stage) if stage == "search" else run.config(stage)
            for run in (one, other)
        ]
        return all(len({getattr(c, name) for c in configs}) == 1 for name in _BUDGET[stage])

    searched = all(r.begun("search") or r.description.search_from for r in (one, other))
    return same("train") and (not searched or same("search"))
