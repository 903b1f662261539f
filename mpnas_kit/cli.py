"""The command `mpnas`. Options of a stage are the fields of its config."""

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, get_args

import pandas as pd

from mpnas_kit import __version__, profiles, tables
from mpnas_kit.analysis.comparison import Comparison, compare
from mpnas_kit.approaches.approach import Approach
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.parameters import options
from mpnas_kit.progress import Progress
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import convert, describe, setting_name, to_text
from mpnas_kit.setup import SUITES
from mpnas_kit.space.spaces import SPACES
from mpnas_kit.stages import Pipeline, Stage
from mpnas_kit.training.train import TrainConfig


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, with the nearest name."""

    def error(self, message: str) -> NoReturn:
        raise MpnasError(f"{message.rstrip('.')}. See `{self.prog} --help`.")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse all of `arguments`; the first one that is unknown is named."""
        parsed, rest = self.parse_known_args(arguments)
        if rest:
            given = rest[0].split("=")[0]
            known = [name for action in self._actions for name in action.option_strings]
            near = get_close_matches(given, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            self.error(f"unknown option {given}: {hint}Nothing was done")
        return parsed


def _plain(value: object) -> str:
    return to_text(value) if hasattr(value, "__dataclass_fields__") else str(value)


def _stage_parser(stage: Stage) -> _Parser:
    about = {
        "search": "Search a path for every domain, jointly, into RUN/search.",
        "train": "Train the union of the paths that the search found, into RUN/train.",
    }
    parser = _Parser(
        prog=f"mpnas {stage}",
        description=f"{about[stage]} A stopped stage goes on; a finished one is only read.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument("--suite", help=f"suite of domains ({', '.join(SUITES)})")
    parser.add_argument("--domains", help="domains, with commas (default: the profile's)")
    parser.add_argument("--space", help=f"search space ({', '.join(SPACES)})")
    parser.add_argument(
        "--approach", help=f"how the domains are served ({', '.join(_approaches())}; default mpnas)"
    )
    parser.add_argument(
        "--like",
        metavar="FOLDER",
        help="another run, whose search is taken or that a control is matched to",
    )
    if stage == "train":
        parser.add_argument(
            "--paths", metavar="FILE", help="arch strings by domain, JSON (RUN/search/paths.json)"
        )
    group = parser.add_argument_group("settings, by default the profile's")
    for name, (hint, doc, default) in options(_config(stage)).items():
        special = [
            f"; {p.name}: {_plain(getattr(p, stage)[name])}"
            for p in profiles.PROFILES.values()
            if name in getattr(p, stage)
        ]
        text = f"{doc} [{describe(hint)}; default {_plain(default)}{''.join(special)}]"
        group.add_argument(_option(name), metavar="VALUE", help=text.replace("%", "%%"))
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    names = "; ".join(f"{p.name}: {p.about}" for p in profiles.PROFILES.values())
    parser.add_argument("--profile", help=f"{names} (default: as the run was begun, else quick)")
    parser.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/PROFILE)")


def _report_parser() -> _Parser:
    parser = _Parser(
        prog="mpnas report",
        description="Run the notebooks on a run folder and write them as HTML pages with an index. "
        "Stages the run has finished are only read.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument(
        "--out", metavar="FOLDER", help="default: reports; with --cells reports/cells"
    )
    parser.add_argument(
        "--cells",
        action="store_true",
        help="instead, one notebook (default: train) on the run and every finished cell around it",
    )
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter for every notebook that has it; NOTEBOOK.NAME for one of them",
    )
    parser.add_argument("notebook", nargs="*", help="names or files (default: all but space)")
    return parser


def _sweep_parser() -> _Parser:
    parser = _Parser(
        prog="mpnas sweep",
        description="Run cells (approach x weighting x norm x seed) around a run, into RUN/cells; "
        "by default those of the profile's comparison and ablation. Lists have commas. Finished "
        "cells are only read, a stopped one goes on.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument("--approaches", metavar="LIST", help=f"of {', '.join(_approaches())}")
    parser.add_argument(
        "--weightings",
        metavar="LIST",
        help="a weighting for both stages, or 'SEARCH > TRAIN' (default: abdp)",
    )
    parser.add_argument("--norms", metavar="LIST", help="default: per_domain")
    parser.add_argument("--seeds", metavar="LIST", help="default: the profile's")
    parser.add_argument(
        "--jobs",
        metavar="N",
        default="1",
        help="cells at once (default: 1), each in a process of its own",
    )
    for stage in ("search", "train"):
        parser.add_argument(
            f"--{stage}",
            nargs=2,
            action="append",
            default=[],
            metavar=("NAME", "VALUE"),
            help=f"a setting of the {stage} stage of all cells (default: the profile's)",
        )
    return parser


def _compare_parser() -> _Parser:
    parser = _Parser(
        prog="mpnas compare",
        description="The results table of a run and the finished cells around it.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument("--csv", metavar="FOLDER", help="also write cells.csv and domains.csv")
    return parser


def _approaches() -> list[str]:
    return [setting_name(a) for a in get_args(Approach)]


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _config(stage: Stage) -> type:
    return SearchConfig if stage == "search" else TrainConfig


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
    given = _stage_parser("search").parse(arguments)
    pipeline = _open(given)
    config = pipeline.search_config(
        **{name: getattr(given, name) for name in options(SearchConfig)}
    )
    with Progress() as progress:
        found = pipeline.search(config, [progress])
    table = tables.paths_table(found)
    table["cost"] = table["cost"].map(tables.amount)
    table["of_target"] = table["of_target"].map("{:.0%}".format)
    print(f"The verdict: {found.verdict()}\n")
    print(_text(table))
    print(f"\ncost: {config.cost.unit} of one image; target {tables.amount(found.cost_target)}")
    print(f"run folder: {pipeline.folder / 'search'}")


def _train(arguments: Sequence[str]) -> None:
    given = _stage_parser("train").parse(arguments)
    pipeline = _open(given)
    config = pipeline.train_config(**_settings(given, TrainConfig))
    paths = pipeline.paths(given.paths) if given.paths else None
    with Progress() as progress:
        trained = pipeline.train(config, [progress], paths)
    table = tables.accuracy_table(trained)
    means = pd.DataFrame([{"domain": "mean", **table[["val", "test"]].mean()}])
    table = pd.concat([table, means], ignore_index=True)
    for split in ("val", "test"):
        table[split] = table[split].map("{:.1%}".format)
    print("Top-1 accuracy:\n")
    print(_text(table))
    print(f"\nrun folder: {pipeline.folder / 'train'}")


def _sweep(arguments: Sequence[str]) -> None:
    given = _sweep_parser().parse(arguments)
    from mpnas_kit import sweep

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


def _compare(arguments: Sequence[str]) -> None:
    given = _compare_parser().parse(arguments)
    from mpnas_kit import sweep

    folder = run_folder(given.run, given.profile)
    comparison = compare(map(sweep.outcome, sweep.finished_runs(folder)))
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
    given = _report_parser().parse(arguments)
    from mpnas_kit.report import batch, report  # after what is wrong was told: they take a while

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

mpnas COMMAND --help shows the options of a command."""


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "search": _search,
    "train": _train,
    "sweep": _sweep,
    "compare": _compare,
    "report": _report,
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
    try:
        if given[0] not in COMMANDS:
            raise unknown("command", given[0], COMMANDS)
        COMMANDS[given[0]](given[1:])
    except MpnasError as error:
        print(f"mpnas: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nmpnas: stopped; the same command goes on from the last checkpoint.", file=sys.stderr
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
