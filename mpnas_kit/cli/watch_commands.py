"""The commands `mpnas watch` and `mpnas stop`, for stages that other processes run."""

import pathlib
import time
from collections.abc import Sequence
from typing import Annotated

from mpnas_kit.analysis.units import duration
from mpnas_kit.cli.parsers import Parser, one_run, run_folder
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.runs.run import STAGE_FOLDERS
from mpnas_kit.runs.sweep_cells import CELLS
from mpnas_kit.runs.watching import News, Watch, begun_stages
from mpnas_kit.settings import convert
from mpnas_kit.values import Range

SECONDS = Annotated[float, Range(0.1, 3600)]
_LOOKS = 2  # looks that see no running stage before a watcher ends; between two stages, none runs
_PAUSE = 0.2  # seconds between two looks at a stage that was asked to stop


def watch_parser() -> Parser:
    """Return the parser of `mpnas watch`."""
    parser = Parser(
        prog="mpnas watch",
        description="Print the progress of the running stages of a run and of its sweep, until "
        "none runs. Nothing is written. Ctrl-C ends this command only.",
        allow_abbrev=False,
    )
    _which(parser)
    parser.add_argument(
        "--every", metavar="SECONDS", default="3", help="time between two lines (default: 3)"
    )
    return parser


def stop_parser() -> Parser:
    """Return the parser of `mpnas stop`."""
    parser = Parser(
        prog="mpnas stop",
        description="Stop the running stages of a run and of its sweep. A stage ends its step, "
        "writes a checkpoint and ends, as after Ctrl-C; so does the sweep. This command waits for "
        "that. The commands that were stopped continue if they are given again.",
        allow_abbrev=False,
    )
    _which(parser)
    return parser


def _which(parser: Parser) -> None:
    parser.add_argument("folder", nargs="?", metavar="RUN", help="run folder, the same as --run")
    parser.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/quick)")
    parser.add_argument(
        "--stage", help=f"one of {', '.join(STAGE_FOLDERS)} (default: all that run)"
    )


def watch(arguments: Sequence[str]) -> None:
    """Run `mpnas watch`."""
    given = watch_parser().parse(arguments)
    every = convert(given.every, SECONDS, "every")
    run = run_folder(one_run(given), None)
    stages = _begun(run, given.stage)
    ran = any(stage.state == "running" for stage in stages.values())
    lines: dict[pathlib.Path, str] = {}  # that were printed, by stage folder
    idle = 0
    while True:
        runs = False
        for folder, stage in stages.items():
            running = stage.state == "running"
            runs |= running
            if running or folder in lines or not ran:
                line = f"{_name(stage)}: {_words(stage.poll())}"
                if line != lines.get(folder):
                    print(line, flush=True)
                    lines[folder] = line
        idle = 0 if runs else idle + 1
        if not ran or idle == _LOOKS:
            return
        time.sleep(every)
        stages = {**_begun(run, given.stage), **stages}


def stop(arguments: Sequence[str]) -> None:
    """Run `mpnas stop`."""
    given = stop_parser().parse(arguments)
    run = run_folder(one_run(given), None)
    begun = _begun(run, given.stage).values()
    running = [stage for stage in begun if stage.state == "running"]
    if not running:
        states = "; ".join(f"{_name(stage)}: {_words(stage.poll())}" for stage in begun)
        raise MpnasError(f"no process runs a stage of {run} ({states}): expected a running stage.")
    for stage in running:
        try:
            stage.stop()
        except MpnasError:
            if stage.state == "running":
                raise
    print(f"asked to stop after the present step: {', '.join(_name(s) for s in running)}.")
    for stage in running:
        while stage.state == "running":
            time.sleep(_PAUSE)
        print(f"{_name(stage)}: {_words(stage.poll())}", flush=True)


def _begun(run: pathlib.Path, stage: str | None) -> dict[pathlib.Path, Watch]:
    """Return the stages that were begun, by their folder.

    stage: name of the stages; None: all.

    Raises `MpnasError` if there is none.
    """
    if stage not in (None, *STAGE_FOLDERS):
        raise unknown("stage", stage, STAGE_FOLDERS)
    found = {one.folder: one for one in begun_stages(run) if stage in (None, one.stage)}
    if not found:
        which = "no stage" if stage is None else f"no {stage} stage"
        raise MpnasError(f"{which} of {run} was begun: expected a run with one.")
    return found


def _name(stage: Watch) -> str:
    """Return the name of a stage, with the name of its cell if it is one of a sweep."""
    run = stage.folder.parent
    return f"{run.name}, {stage.stage}" if run.parent.name == CELLS else stage.stage


def _words(news: News) -> str:
    """Return the state of a stage in words."""
    if news.state == "finished":
        return f"finished after {news.steps} steps"
    if news.state == "stopped":
        return f"stopped after step {news.step} of {news.steps}"
    if not news.step:
        return f"begins its first step of {news.steps}"
    facts = [f"step {news.step} of {news.steps}"]
    if news.rows:
        domains = news.rows[-1]["domains"].values()
        for name in ("reward", "accuracy", "loss"):
            values = [domain[name] for domain in domains if name in domain]
            if values:
                facts.append(f"{name} {sum(values) / len(values):.2f}")
    if news.seconds_per_step is not None and news.seconds_left is not None:
        facts.append(f"{news.seconds_per_step:.2g} s per step")
        facts.append(f"{duration(news.seconds_left)} left")
    return ", ".join(facts)
