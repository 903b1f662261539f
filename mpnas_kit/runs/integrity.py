"""Check a whole run folder: whether all files are there, whole and of one run, and what to do."""

import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mpnas_kit import files
from mpnas_kit.engine.finished import recorded_config
from mpnas_kit.engine.records import Environment, Results, Timing
from mpnas_kit.engine.stage_folder import CHECKPOINT, CONFIG, RESULTS, SEE_CHECK, StageFolder
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.runs.description import RUN, RunDescription, place
from mpnas_kit.runs.run import FROZEN, Run
from mpnas_kit.runs.sweep_cells import CELLS
from mpnas_kit.runs.transfer import TRANSFER
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.result import TrainResult


@dataclass(frozen=True)
class Checked:
    """What `check_run` found about a run folder or a stage folder.

    folder: the folder.
    state: `run`, `finished`, `stopped after step N of M`, or `damaged`.
    problem: what is wrong, as one sentence; None: nothing.
    remedy: what can be done about it, as one sentence; None: nothing needs to be done.
    """

    folder: pathlib.Path
    state: str
    problem: str | None = None
    remedy: str | None = None


def check_run(folder: str | pathlib.Path) -> list[Checked]:
    """Check a run folder with its stages and cells. Nothing is imported, computed or changed.

    Every file is read, and compared with the checksum that the results of its stage have of it.

    folder: path of the run folder.

    Returns one row per run folder and stage folder. Raises `MpnasError` if the folder is not a run
    folder.

    >>> [row.state for row in mk.check_run("runs/mine")]  # doctest: +SKIP
    ['run', 'finished', 'finished']
    """
    run = place(folder)
    if not files.exists(run / RUN):
        raise MpnasError(f"{run} has no {RUN}: expected a run folder.")
    return list(_run(run))


def _run(run: pathlib.Path) -> Iterator[Checked]:
    try:
        RunDescription.read(run)
        _ = Run.read(run).other
        yield Checked(run, "run")
    except Unavailable as error:
        yield Checked(run, "run", str(error), "Everything that does not need it can be read.")
    except MpnasError as error:
        remedy = (
            f"Begin a run with the same options in another folder, and copy its {RUN} to {run}."
        )
        yield Checked(run, "damaged", str(error), remedy)
    stages = [run / name for name in (FROZEN, "search", "pretrain", "train")]
    stages += [
        run / kind / domains / name
        for kind in ("trust", TRANSFER)
        for domains in files.names_in(run / kind)
        for name in files.names_in(run / kind / domains)
    ]
    for stage in stages:
        if files.names_in(stage):
            yield _stage(stage)
    for name in files.names_in(run / CELLS):
        if files.exists(run / CELLS / name / RUN):
            yield from _run(run / CELLS / name)


def _stage(place: pathlib.Path) -> Checked:
    folder = StageFolder(place)
    if not folder.exists(CONFIG):
        why = f"{place} has no {CONFIG}."
        return Checked(place, "damaged", why, f"Delete {place} to begin this stage again.")
    try:
        config = folder.read_config()
        cls = SearchConfig if config.stage == "search" else TrainConfig
        steps = recorded_config(folder, cls, trust=False).steps
    except Unavailable:
        steps = int(config.config.get("steps", 0))
    except MpnasError as error:
        return Checked(
            place, "damaged", str(error), f"Delete {place} to begin this stage again with {CONFIG}."
        )
    if not folder.is_finished:
        return _unfinished(folder, steps)
    problem = _first_problem(lambda: _read_all(folder, config.stage))
    if problem is None:
        return Checked(place, "finished")
    remedy = _remedy(folder, config.format)
    if place.name == FROZEN:
        remedy = f"Delete {place} and give the command `mpnas grow` again: it copies these files."
    return Checked(place, "damaged", problem, remedy)


def _unfinished(folder: StageFolder, steps: int) -> Checked:
    try:
        checkpoint = folder.load_checkpoint()
    except MpnasError as error:
        problem, _, remedy = str(error).rpartition(". ")
        return Checked(folder.folder, "damaged", f"{problem}.", remedy)
    step = 0 if checkpoint is None else checkpoint.step
    return Checked(folder.folder, f"stopped after step {step} of {steps}")


def _read_all(folder: StageFolder, stage: str) -> None:
    """Read all that a finished stage has. Raises `MpnasError` for the first thing that is wrong."""
    for name in folder.read_json(RESULTS, Results).files or ():
        folder.read_bytes(name)
    folder.read_json("environment.json", Environment)
    folder.read_json("timing.json", Timing)
    try:
        if stage == "search":
            SearchResult.load(folder.folder)
            folder.read_tensors("supernet.safetensors")
        else:
            trained = TrainResult.load(folder.folder)
            _ = trained.history, trained.net, trained.pixels
    except Unavailable:
        return  # code that is not imported here; the checksums were compared


def _first_problem(read: Callable[[], None]) -> str | None:
    try:
        read()
    except MpnasError as error:
        return str(error).removesuffix(f" {SEE_CHECK}")
    return None


def _remedy(folder: StageFolder, form: int) -> str:
    """Return what brings a damaged stage back, as one sentence."""
    if form == 1:
        return "The kit cannot make it again, because release 0.1 wrote it: use a backup."
    try:
        whole = folder.load_checkpoint() is not None
    except MpnasError:
        whole = False
    if whole:
        return (
            f"Delete {folder.folder / RESULTS} and run the stage again: it makes its files again "
            f"from {CHECKPOINT}, with the same bytes."
        )
    return (
        f"Delete {folder.folder / RESULTS} and {CHECKPOINT} beside it, and run the stage again: it "
        "begins with the first step."
    )
