"""The command `mpnas`. Options of a stage are the fields of its config."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from mpnas_kit import __version__
from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.cli.options import (
    compare_parser,
    explore_parser,
    report_parser,
    stage_parser,
    sweep_parser,
)
from mpnas_kit.engine.loop import Callback
from mpnas_kit.engine.team import Team, ToldElsewhere, joined
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.notebook import tables
from mpnas_kit.notebook.parameters import options
from mpnas_kit.notebook.progress import Progress
from mpnas_kit.runs.run import Pipeline
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import convert
from mpnas_kit.space.space import Path as ArchPath
from mpnas_kit.training.stage import TrainConfig


def _settings(given: argparse.Namespace, config: type) -> dict[str, str | None]:
    return {name: getattr(given, name) for name in options(config)}


def _open(given: argparse.Namespace) -> Pipeline:
    return Pipeline.open(
        run_folder(given.run, given.profile),
        profile=given.profile,
        suite=given.suite,
        domains=given.domains,
        space=given.space,
        approach=given.approach,
        like=given.like,
    )


def run_folder(run: str | None, profile: str | None) -> Path:
    """The folder of a run that was given by folder, by profile, or not at all."""
    return Path(run) if run else Path("runs") / (profile or "quick")


def _search(arguments: Sequence[str]) -> None:
    given = stage_parser("search").parse(arguments)
    team = Team.current()

    def begin() -> tuple[Pipeline, SearchConfig]:
        pipeline = _open(given)
        return pipeline, pipeline.search_config(**_settings(given, SearchConfig))

    pipeline, config = team.lead(begin)
    with Progress() as progress:
        found = pipeline.search(config, _told(team, progress))
    if not team.leads:
        return
    table = tables.paths_table(found)
    table["cost"] = table["cost"].map(tables.amount)
    table["of_target"] = table["of_target"].map("{:.0%}".format)
    print(f"The verdict: {found.verdict()}\n")
    print(_text(table))
    print(f"\ncost: {config.cost.unit} of one image; target {tables.amount(found.cost_target)}")
    print(f"run folder: {pipeline.folder / 'search'}")


def _train(arguments: Sequence[str]) -> None:
    given = stage_parser("train").parse(arguments)
    team = Team.current()

    def begin() -> tuple[Pipeline, TrainConfig, dict[str, ArchPath] | None]:
        pipeline = _open(given)
        config = pipeline.train_config(**_settings(given, TrainConfig))
        return pipeline, config, pipeline.paths(given.paths) if given.paths else None

    pipeline, config, paths = team.lead(begin)
    with Progress() as progress:
        trained = pipeline.train(config, _told(team, progress), paths)
    if not team.leads:
        return
    table = tables.accuracy_table(trained)
    means = pd.DataFrame([{"domain": "mean", **table[["val", "test"]].mean()}])
    table = pd.concat([table, means], ignore_index=True)
    for split in ("val", "test"):
        table[split] = table[split].map("{:.1%}".format)
    print("Top-1 accuracy:\n")
    print(_text(table))
    print(f"\nrun folder: {pipeline.folder / 'train'}")


def _told(team: Team, progress: Progress) -> list[Callback]:
    return [progress] if team.leads else []


def _sweep(arguments: Sequence[str]) -> None:
    given = sweep_parser().parse(arguments)
    from mpnas_kit.runs import sweep

    run = Pipeline.open(run_folder(given.run, given.profile), profile=given.profile)
    around = sweep.sweep_of(
        run,
        approaches=given.approaches,
        weightings=given.weightings,
        norms=given.norms,
        seeds=given.seeds,
        search=dict(given.search),
        train=dict(given.train),
    )
    jobs = convert(given.jobs, int, "jobs")
    with Progress(keep=False) as progress:
        comparison = around.run(print, [progress] if jobs == 1 else [], jobs)
    print(f"\n{_comparison_text(comparison)}\nrun folders: {run.folder / sweep.CELLS}")


def _explore(arguments: Sequence[str]) -> None:
    given = explore_parser().parse(arguments)
    if given.folder and given.run:
        raise MpnasError("the run is given twice: expected RUN or --run.")
    from mpnas_kit.notebook.lab import lab

    run = Pipeline.open(run_folder(given.folder or given.run, given.profile), profile=given.profile)
    port = [] if given.port is None else [f"--ServerApp.port={convert(given.port, int, 'port')}"]
    status = lab(run.begin(), [*(["--no-browser"] if given.no_browser else []), *port])
    if status:
        raise MpnasError(f"JupyterLab ended with status {status}: its own message says why.")


def _compare(arguments: Sequence[str]) -> None:
    given = compare_parser().parse(arguments)
    from mpnas_kit.runs import sweep

    folder = run_folder(given.run, given.profile)
    comparison = sweep.finished_comparison(folder)
    print(_comparison_text(comparison))
    if given.csv:
        place = Path(given.csv)
        try:
            place.mkdir(parents=True, exist_ok=True)
            comparison.cells.to_csv(place / "cells.csv", index=False)
            comparison.domains.to_csv(place / "domains.csv", index=False)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise MpnasError(f"cannot write into {place}: {reason}.") from None


def _comparison_text(comparison: Comparison) -> str:
    table = tables.written(tables.comparison_table(comparison), tables.COMPARISON_FORMATS)
    about = "Mean over domains and seeds; multiply-adds of an image, the union, an image a domain:"
    return f"{about}\n\n{_text(table)}"


def _report(arguments: Sequence[str]) -> None:
    given = report_parser().parse(arguments)
    from mpnas_kit.report.build import (  # after what is wrong was told: they take a while
        batch,
        report,
    )

    run = run_folder(given.run, given.profile)
    if given.cells:
        if len(given.notebook) > 1 or given.parameter:
            raise MpnasError("--cells takes one notebook at most, and no parameters.")
        notebook = given.notebook[0] if given.notebook else "03_train"
        index = batch(run, notebook=notebook, out=given.out or "reports/cells", tell=print)
        print(f"the report: {index}")
        return
    index = report(
        given.notebook,
        run=run,
        profile=given.profile,
        out=given.out or "reports",
        parameters=dict(given.parameter),
        tell=print,
    )
    print(f"the report: {index}")


def _text(table: pd.DataFrame) -> str:
    """A table for a terminal: words to the left, figures to the right."""
    words = [c for c in ("domain", "path", "approach", "weighting", "norm") if c in table]
    shown = table.astype(str)
    for column in words:
        shown[column] = shown[column].str.ljust(shown[column].str.len().max())
        shown = shown.rename(columns={column: column.ljust(shown[column].str.len().max())})
    return str(shown.to_string(index=False))


_USAGE = f"""mpnas {__version__}: multi-path architecture search for several image domains

  mpnas search   search a path for every domain
  mpnas train    train the union of the paths
  mpnas sweep    run approaches, weightings and seeds around a run
  mpnas compare  the results table of a run and its sweep
  mpnas report   run the notebooks and write HTML pages
  mpnas explore  open JupyterLab on a run

mpnas COMMAND --help shows the options of a command. search and train run in several processes too:
torchrun --nproc-per-node N -m -- mpnas_kit search ..."""


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "search": _search,
    "train": _train,
    "sweep": _sweep,
    "compare": _compare,
    "report": _report,
    "explore": _explore,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 2 a wrong input, 130 stopped by the user."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if given else 2
    if given[0] == "--version":
        print(__version__)
        return 0
    if given[0] not in COMMANDS:
        return _fail(unknown("command", given[0], COMMANDS))
    try:
        with joined() as team:
            return _run(team, given[0], given[1:])
    except ToldElsewhere:
        return 2
    except MpnasError as error:
        return _fail(error)


def _run(team: Team, command: str, arguments: Sequence[str]) -> int:
    if team.size > 1 and command not in ("search", "train"):
        raise team.alike(
            f"`mpnas {command}` runs in one process: expected search or train in several."
        )
    try:
        COMMANDS[command](arguments)
    except KeyboardInterrupt:
        if team.leads:
            again = "the same command goes on from the last checkpoint."
            print(f"\nmpnas: stopped; {again}", file=sys.stderr)
        return 130
    return 0


def _fail(error: MpnasError) -> int:
    print(f"mpnas: {error}", file=sys.stderr)
    return 2
