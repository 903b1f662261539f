"""The command `mpnas`. The options of a stage are the fields of its config."""

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Annotated

import pandas as pd

from mpnas_kit import __version__
from mpnas_kit.analysis.comparison import NO_SIZES, Comparison
from mpnas_kit.analysis.evidence import check_claims
from mpnas_kit.analysis.units import amount
from mpnas_kit.cli import data_command, model_commands, submission_command, watch_commands
from mpnas_kit.cli.cache_command import manage_cache
from mpnas_kit.cli.claims import claims_text
from mpnas_kit.cli.given_data import data_text
from mpnas_kit.cli.grow_command import grow
from mpnas_kit.cli.output import usable_streams
from mpnas_kit.cli.parsers import (
    HelpShown,
    check_parser,
    compare_parser,
    explore_parser,
    one_run,
    report_parser,
    run_folder,
    stage_parser,
    sweep_parser,
)
from mpnas_kit.cli.profile_command import profile
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.cli.tables_command import write_tables
from mpnas_kit.cli.transfer_command import measure_transfer
from mpnas_kit.engine.loop import Callback
from mpnas_kit.engine.signals import StopRequested, stopped_by_signals
from mpnas_kit.engine.team import ReportedByLeader, Team, joined
from mpnas_kit.errors import MpnasError, reason, unknown
from mpnas_kit.files import make_folder, write_text
from mpnas_kit.notebook import tables
from mpnas_kit.notebook.parameters import read_callbacks, read_trackers
from mpnas_kit.notebook.progress import Progress
from mpnas_kit.runs.description import place
from mpnas_kit.runs.executors import read_executor, runs_here
from mpnas_kit.runs.integrity import check_run
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep_cells import CELLS
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import convert, options
from mpnas_kit.space.layers import Path
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.values import Range

PORT = Annotated[int, Range(1, 65535)]


def _run(given: argparse.Namespace, folder: str | None = None) -> Run:
    """Return the run that the options of a command name."""
    stage = {
        name: getattr(given, name, None)
        for name in ("domains", "approach", "search_from", "matched_to", "start")
    }
    return Run(
        run_folder(given.run if folder is None else folder, given.profile),
        profile=given.profile,
        data=data_text(given),
        space=given.space,
        trust=given.trust,
        **stage,
    )


def _run_with_notices(given: argparse.Namespace) -> Run:
    """Return the run, and print what a person should know about given images."""
    run = _run(given)
    for notice in run.suite.notices if given.data is not None else ():
        print(f"mpnas: {notice}", file=sys.stderr)
    return run


def _settings(given: argparse.Namespace, config: type) -> dict[str, str | None]:
    return {name: getattr(given, name) for name in options(config)}


def _callbacks(given: argparse.Namespace, team: Team, progress: Progress) -> list[Callback]:
    """Return progress line, callbacks and trackers in the leader, otherwise an empty list."""
    if not team.is_leader:
        return []
    return [progress, *read_callbacks(given.callbacks), *read_trackers(given.track)]


def _search(arguments: Sequence[str]) -> None:
    given = stage_parser("search").parse(arguments)
    team = Team.current()

    def begin() -> tuple[Run, SearchConfig]:
        run = _run_with_notices(given)
        return run, run.search_config(**_settings(given, SearchConfig))

    run, config = team.on_leader(begin)
    with Progress() as progress:
        found = run.search(config, callbacks=_callbacks(given, team, progress))
    if not team.is_leader:
        return
    table = tables.paths_table(found)
    table["cost"] = table["cost"].map(amount)
    table["of_target"] = table["of_target"].map("{:.0%}".format)
    print(f"The verdict: {found.verdict()}\n")
    print(text_of(table))
    print(f"\ncost: {found.cost_unit} per image; cost target: {tables.target_text(found)}")
    if found.landmark_tau is not None:
        print(tables.landmark_text(found))
    _print_start(run, found.start_table)
    print(f"run folder: {run.folder / 'search'}")


def _train(arguments: Sequence[str]) -> None:
    given = stage_parser("train").parse(arguments)
    team = Team.current()

    def begin() -> tuple[Run, TrainConfig, dict[str, Path] | None]:
        run = _run_with_notices(given)
        config = run.train_config(**_settings(given, TrainConfig))
        return run, config, run.paths(given.paths) if given.paths is not None else None

    run, config, paths = team.on_leader(begin)
    with Progress() as progress:
        callbacks = _callbacks(given, team, progress)
        trained = run.train(config, paths=paths, callbacks=callbacks)
    if not team.is_leader:
        return
    table = tables.accuracy_table(trained)
    means = pd.DataFrame([{"domain": "mean", **table.drop(columns="domain").mean()}])
    table = pd.concat([table, means], ignore_index=True)
    for column in table.columns[1:]:
        table[column] = table[column].map("{:.1%}".format)
    print("Top-1 accuracy (val, test), and mean recall over classes (macro):\n")
    print(text_of(table))
    for sentence in tables.classes_without_images(trained):
        print(f"\n{sentence}")
    print()
    _print_start(run, trained.start_table)
    print(f"run folder: {run.folder / 'train'}")


def _print_start(run: Run, table: pd.DataFrame | None) -> None:
    """Print how many tensors of the run's start a stage took, if there is one."""
    from mpnas_kit.runs.started import words_of

    source = run.description.start
    if source is None or table is None:
        return
    counts = table["how"].value_counts()
    words = ", ".join(f"{counts.get(how, 0)} {how}" for how in ("taken", "cut", "padded", "left"))
    print(f"{words_of(source, run.folder)}; its tensors: {words} (start.csv)")


def _sweep(arguments: Sequence[str]) -> None:
    given = sweep_parser().parse(arguments)
    from mpnas_kit.runs import sweep

    run = _run(given)
    around = sweep.sweep_of(
        run,
        approaches=given.approaches,
        prioritizations=given.prioritizations,
        norms=given.norms,
        seeds=given.seeds,
        search=dict(given.search),
        train=dict(given.train),
    )
    executor, trackers = read_executor(given.executor, given.jobs), read_trackers(given.track)
    with Progress(keep=False) as progress:
        callbacks: list[Callback] = [*([progress] if runs_here(executor) else []), *trackers]
        comparison = around.run(_print_at_once, callbacks, executor)
    print(f"\n{_comparison_text(run, comparison)}\nrun folders: {run.folder / CELLS}")


def _print_at_once(line: str) -> None:
    """Print a line, also if the output is a file that a person looks at meanwhile."""
    print(line, flush=True)


def _explore(arguments: Sequence[str]) -> None:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    given = explore_parser().parse(arguments[:at])
    from mpnas_kit.notebook.lab import open_lab

    port = None if given.port is None else convert(given.port, PORT, "port")
    open_lab(
        _run(given, one_run(given)),
        arguments[at + 1 :],
        ip=given.ip,
        port=port,
        base_url="/" if given.base_url is None else given.base_url,
        browser=not given.no_browser,
        tell=lambda text: print(text, flush=True),
    )


def _compare(arguments: Sequence[str]) -> None:
    given = compare_parser().parse(arguments)
    run = _run(given)
    comparison = run.compare()
    print(_comparison_text(run, comparison))
    written = {"cells": comparison.cells, "domains": comparison.domains}
    if given.claims:
        evidence = check_claims(comparison, run=shlex.quote(str(run.folder)))
        written["claims"] = evidence.table
        print(f"\n{claims_text(evidence)}")
    if given.csv is not None:
        folder = make_folder(place(given.csv, "--csv"))
        for name, table in written.items():
            write_text(folder / f"{name}.csv", table.to_csv(index=False))


def _check(arguments: Sequence[str]) -> None:
    given = check_parser().parse(arguments)
    rows = check_run(run_folder(one_run(given), given.profile))
    width = max(len(str(row.folder)) for row in rows)
    print("\n".join(f"{str(row.folder).ljust(width)}  {row.state}" for row in rows))
    wrong = [row for row in rows if row.problem is not None]
    for row in wrong:
        print(f"\n{row.problem}\n  {row.remedy}")
    if wrong:
        folders = "1 folder is" if len(wrong) == 1 else f"{len(wrong)} folders are"
        raise MpnasError(f"{folders} not in order, of {len(rows)} that were checked: see above.")
    print(f"\nall {len(rows)} folders are in order.")


def _comparison_text(run: Run, comparison: Comparison) -> str:
    """Return what a run found in a sentence, and the comparison as a table."""
    from mpnas_kit.runs.sweep import answer_of

    found = answer_of(run, comparison)
    words = "\n".join(fill(text, 100) for text in (found.sentence, found.note) if text)
    table = tables.written(tables.comparison_table(comparison), tables.COMPARISON_FORMATS)
    about = (
        "Mean top-1 accuracy over domains and seeds (test, val), its standard deviation over seeds "
        "(spread),\nmean recall over classes on test (macro), parameters without batch norm and "
        "classifiers (params),\nas a multiple of the single path (ratio), and with them "
        "(all_params). Multiply-adds for one image (image),\nof all distinct nodes (union), and "
        "for one image per domain (all_images). Size of the weights (disk)."
    )
    text = f"{words}\n\n{about}\n\n{text_of(table)}"
    return text if comparison.has_sizes else f"{text}\n\n–: {NO_SIZES}"


def _report(arguments: Sequence[str]) -> None:
    given = report_parser().parse(arguments)
    from mpnas_kit.report.build import build_cells_report, build_report

    if given.cells:
        if len(given.notebook) > 1 or given.parameter:
            raise MpnasError("--cells takes at most one notebook and no parameters.")
        notebook = given.notebook[0] if given.notebook else "03_train"
        out = "reports/cells" if given.out is None else given.out
        index = build_cells_report(
            _run(given), notebook=notebook, out=out, beside=given.beside, tell=print
        )
        print(f"the report: {index}")
        return
    index = build_report(
        given.notebook,
        run=run_folder(given.run, given.profile),
        profile=given.profile,
        data=data_text(given),
        space=given.space,
        trust=given.trust,
        out="reports" if given.out is None else given.out,
        parameters=dict(given.parameter),
        beside=given.beside,
        tell=print,
    )
    print(f"the report: {index}")


_USAGE = f"""mpnas {__version__}: multi-path architecture search for several image domains

  mpnas data      say what is in your images, before a search
  mpnas search    search a path for every domain
  mpnas train     train the union of the paths
  mpnas sweep     run every approach and prioritization on the domains of a run
  mpnas compare   print the results table of a run and its sweep
  mpnas tables    write all tables of a run as CSV or Parquet
  mpnas report    run the notebooks and write HTML pages
  mpnas explore   open JupyterLab on a run
  mpnas watch     print the progress of stages that other processes run
  mpnas stop      stop such stages, with a checkpoint
  mpnas check     check all files of a run, and say what can be recovered
  mpnas predict   classify image files with a trained run
  mpnas evaluate  print accuracies of a trained run on labelled images
  mpnas export    write a trained run for other programs (ONNX, ExecuTorch)
  mpnas submit    predict the test images of the Visual Domain Decathlon, for its organisers
  mpnas cache     print what is in the cache of images, or remove some of it
  mpnas profile   measure the latency of every block of a search space
  mpnas grow      add domains to a trained run, whose domains stay as they are
  mpnas transfer  measure what every domain gains from every other one

mpnas COMMAND --help shows the options of a command. search and train can also run in several
processes: torchrun --nproc-per-node N -m -- mpnas_kit search ..."""


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "data": data_command.show_data,
    "search": _search,
    "train": _train,
    "sweep": _sweep,
    "compare": _compare,
    "tables": write_tables,
    "report": _report,
    "explore": _explore,
    "watch": watch_commands.watch,
    "stop": watch_commands.stop,
    "check": _check,
    "predict": model_commands.predict,
    "evaluate": model_commands.evaluate,
    "export": model_commands.export,
    "submit": submission_command.submit,
    "cache": manage_cache,
    "profile": profile,
    "grow": grow,
    "transfer": measure_transfer,
}

_AFTER_STOP = {  # what a person should know, if no stage was stopped
    "explore": "JupyterLab and its kernels have ended.",
    "stop": "the stages stop all the same.",
    "watch": "the stages continue.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit status.

    The status is 0 if the command is done, 2 after a wrong input or a fault of the system, and 128
    plus the number of the signal if a signal stopped it: 130 after Ctrl-C, 143 after SIGTERM.

    arguments: command and options; None: those of the command line.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with usable_streams(), stopped_by_signals():
            return _main(given)
    except KeyboardInterrupt as stop:  # before the command has begun, or after its end
        return _stopped(stop)
    except BrokenPipeError:  # the reader of the output has ended, as `head` does
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _fail(MpnasError(f"cannot write the output: {reason(error)}."))


def _main(given: Sequence[str]) -> int:
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
            return _command(team, given[0], given[1:])
    except ReportedByLeader:
        return 2
    except MpnasError as error:
        return _fail(error)


def _command(team: Team, command: str, arguments: Sequence[str]) -> int:
    if team.size > 1 and command not in ("search", "train"):
        raise team.error_on_all_ranks(
            f"`mpnas {command}` runs in one process: run it without torchrun. Only search and "
            "train run in several."
        )
    try:
        COMMANDS[command](arguments)
    except KeyboardInterrupt as stop:
        if team.is_leader:
            how = " on request" if isinstance(stop, StopRequested) else ""
            hint = _AFTER_STOP.get(command, "the same command continues from the last checkpoint.")
            print(f"\nmpnas: stopped{how}; {hint}", file=sys.stderr)
        return _stopped(stop)
    except HelpShown:
        return 0
    return 0


def _stopped(stop: KeyboardInterrupt) -> int:
    """Return the exit status after a signal."""
    return 128 + int(stop.args[0] if stop.args else signal.SIGINT)


def _fail(error: MpnasError) -> int:
    print(f"mpnas: {error}", file=sys.stderr)
    return 2
