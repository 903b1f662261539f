"""What the command `mpnas` is asked: the options of its commands, read from the configs."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn, get_args

from mpnas_kit.approaches.approach import Approach
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.parameters import options
from mpnas_kit.runs import profiles
from mpnas_kit.runs.description import SUITES
from mpnas_kit.runs.run import Stage
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import describe, setting_name, to_text
from mpnas_kit.space.spaces import SPACES
from mpnas_kit.training.stage import TrainConfig


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, with the nearest name."""

    def error(self, message: str) -> NoReturn:
        """Raise `MpnasError`, where argparse would end the process."""
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


def stage_parser(stage: Stage) -> Parser:
    """The options of `mpnas search` and `mpnas train`."""
    about = {
        "search": "Search a path for every domain, jointly, into RUN/search.",
        "train": "Train the union of the paths that the search found, into RUN/train.",
    }
    parser = Parser(
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


def report_parser() -> Parser:
    """The options of `mpnas report`."""
    parser = Parser(
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
    parser.add_argument(
        "notebook",
        nargs="*",
        help="names or files (default: the pipeline, not space, scaling, explore)",
    )
    return parser


def sweep_parser() -> Parser:
    """The options of `mpnas sweep`."""
    parser = Parser(
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


def explore_parser() -> Parser:
    """The options of `mpnas explore`."""
    parser = Parser(
        prog="mpnas explore",
        description="Open JupyterLab on a run: explorers of its search, paths, prioritization, "
        "results and images, in RUN/explore.ipynb. A new run is begun there.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument("folder", nargs="?", metavar="RUN", help="the same as --run")
    parser.add_argument("--no-browser", action="store_true", help="start the server only")
    parser.add_argument("--port", metavar="N", help="of the server")
    return parser


def compare_parser() -> Parser:
    """The options of `mpnas compare`."""
    parser = Parser(
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
