"""The options of the command `mpnas`. Those of the stages come from the fields of the configs."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn

from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.domains.cached_suite import DEFAULT_RESOLUTION
from mpnas_kit.domains.manifests import MANIFESTS
from mpnas_kit.domains.suites import SUITE
from mpnas_kit.errors import MpnasError, suggestion
from mpnas_kit.files import as_path, exists
from mpnas_kit.parts import to_text
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.runs import profiles
from mpnas_kit.runs.description import RUN, place
from mpnas_kit.runs.executors import EXECUTOR
from mpnas_kit.runs.run import StageName
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import describe, options
from mpnas_kit.space.texts import SPACE
from mpnas_kit.training.config import TrainConfig

CONFIGS: dict[StageName, type[Any]] = {"search": SearchConfig, "train": TrainConfig}


def run_folder(run: str | None, profile: str | None) -> pathlib.Path:
    """Return the run folder: `run`, or runs/PROFILE if `run` is None. Default profile: quick."""
    if run is None:
        return pathlib.Path("runs") / (profile or "quick")
    return as_path(run, "--run")


def one_run(given: argparse.Namespace) -> str | None:
    """Return the run folder of a command that takes it as RUN or as --run."""
    if given.folder is not None and given.run is not None:
        raise MpnasError("the run is given twice: expected RUN or --run, not both.")
    run: str | None = given.run if given.folder is None else given.folder
    return run


def finished_folder(run: str | None) -> pathlib.Path:
    """Return the folder of a run that is only read: `run`, or runs/quick if there is one.

    Raises `MpnasError` if `run` is None and there is none.
    """
    folder = run_folder(run, None)
    if run is None and not exists(place(folder) / RUN):
        raise MpnasError(
            f"--run is not given, and {folder}, its default, has no {RUN}: expected a run folder."
        )
    return folder


class HelpShown(Exception):
    """A parser has printed the help of its command, which then ends."""


class _Once(argparse.Action):
    """The action of an option that may be given once. A flag has no values, and becomes True."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(parser, Parser)
        if option_string is not None:
            parser.note(self.option_strings[0], option_string)
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class _Flag(_Once):
    """The action of a flag that may be given once."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, help=help)


class _Named(argparse.Action):
    """The action of an option with NAME and VALUE. It may be given several times, once per NAME."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(parser, Parser)
        name, _ = values
        parser.note(f"{self.option_strings[0]} {name}", f"{option_string} {name}")
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


class _Several(argparse.Action):
    """The action of an option that may be given several times, each time with another value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(parser, Parser)
        parser.note(f"{self.option_strings[0]} {values}", f"{option_string} {values}")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), values])


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, with the nearest name for an unknown option.

    It refuses an option that is given twice: it could not know which value is meant.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given: set[str] = set()
        for name in (None, "store"):
            self.register("action", name, _Once)
        self.register("action", "store_true", _Flag)
        self.register("action", "append", _Named)
        self.register("action", "several", _Several)

    def note(self, option: str, written: str) -> None:
        """Note that an option is given. Raises `MpnasError` if it was given before."""
        if option in self._given:
            self.error(f"{written} is given twice: give it once")
        self._given.add(option)

    def error(self, message: str) -> NoReturn:
        """Raise `MpnasError`. The base class would end the process."""
        raise MpnasError(f"{message.rstrip('.')}. See `{self.prog} --help`.")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise `HelpShown`. The base class would end the process."""
        raise HelpShown

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments. Raises `MpnasError` that names the first unknown one."""
        self._given.clear()
        parsed, rest = self.parse_known_args(arguments)
        if rest:
            given = rest[0].split("=")[0]
            known = [name for action in self._actions for name in action.option_strings]
            hint = suggestion(given, known).replace("'", "")
            self.error(f"unknown option {given}: {hint}The command did not start")
        return parsed


def _plain(value: object) -> str:
    return to_text(value) if hasattr(value, "__dataclass_fields__") else str(value)


def stage_parser(stage: StageName) -> Parser:
    """Return the parser of `mpnas search` or `mpnas train`."""
    about = {
        "search": "Search a path for every domain, jointly, into RUN/search.",
        "train": "Train the union of the paths that the search found, into RUN/train.",
    }
    parser = Parser(
        prog=f"mpnas {stage}",
        description=f"{about[stage]} A stopped stage continues. A finished stage is only read.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument(
        "--domains",
        help="names of the domains, with commas (default: those of the profile, or all of --data)",
    )
    parser.add_argument(
        "--approach", help=f"how the domains are served: {APPROACH.expected()} (default: mpnas)"
    )
    parser.add_argument(
        "--search-from", metavar="FOLDER", help="take the search of this run instead of searching"
    )
    parser.add_argument(
        "--matched-to", metavar="FOLDER", help="MPNAS run that a control is matched to"
    )
    _start_option(parser)
    parser.add_argument(
        "--callbacks", metavar="LIST", help="your own callbacks, as module:Name(option=value)"
    )
    _track_option(parser)
    if stage == "train":
        parser.add_argument(
            "--paths",
            metavar="FILE",
            help="JSON file with one arch string per domain, such as RUN/search/paths.json",
        )
    group = parser.add_argument_group("settings (default: those of the profile)")
    for name, (hint, doc, default) in options(CONFIGS[stage]).items():
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
    parser.add_argument(
        "--profile", help=f"{names} (default: that of the run; quick for a new run)"
    )
    parser.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/PROFILE)")
    data_options(parser)
    parser.add_argument(
        "--space", metavar="SPACE", help=f"search space: {SPACE.expected()} (default: pocket)"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import the modules, and read the images, that an existing run folder names",
    )


def _start_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start",
        metavar="START",
        help="pretrained weights that a new run begins with: lite0, the path of a checkpoint, or "
        "the folder of a trained run (default: none, weights begin at random)",
    )


def _track_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--track",
        metavar="LIST",
        help="log into other tools too: tensorboard(folder='logs'), mlflow(uri='sqlite:///mlflow.db'"
        ", experiment='mine'); options may be omitted",
    )


def stage_settings(parser: argparse.ArgumentParser, of: str) -> None:
    """Add the options `--search NAME VALUE` and `--train NAME VALUE`.

    of: what they are settings of, for the help.
    """
    for stage in ("search", "train"):
        parser.add_argument(
            f"--{stage}",
            nargs=2,
            action="append",
            default=[],
            metavar=("NAME", "VALUE"),
            help=f"a setting of the {stage} stage of {of}",
        )


def data_options(
    parser: argparse.ArgumentParser, bad: str = "stop", default: str | None = "pocket"
) -> None:
    """Add the options that name images of your own.

    bad: what happens by default if images cannot be read.
    default: suite that is taken if none is given; None: there is no default.
    """
    without = "" if default is None else f" (default: {default})"
    parser.add_argument(
        "--data",
        metavar="SUITE",
        action=_Several,
        help="folder of domains with images, of data sets of Hugging Face or of the Decathlon, "
        f"table of images ({', '.join(MANIFESTS)}), suite file (.toml), or suite of domains: "
        f"{SUITE.expected()}{without}. Several times, as name=folder: a domain each time",
    )
    parser.add_argument(
        "--resolution",
        metavar="N",
        help=f"size of the images of --data, in pixels (default: {DEFAULT_RESOLUTION})",
    )
    parser.add_argument(
        "--bad",
        metavar="WHAT",
        help="what happens if images of --data cannot be read: stop, or skip them "
        f"(default: {bad})",
    )


def report_parser() -> Parser:
    """Return the parser of `mpnas report`."""
    parser = Parser(
        prog="mpnas report",
        description="Run the notebooks on a run folder and write them as HTML pages with an index. "
        "Finished stages of the run are only read.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="folder of the pages (default: reports; with --cells: reports/cells)",
    )
    parser.add_argument(
        "--cells",
        action="store_true",
        help="run one notebook (default: train) on the run and on each of its finished cells",
    )
    parser.add_argument(
        "--beside",
        action="several",
        default=[],
        metavar="RUN",
        help="another finished run, which the first page compares with this one; several times",
    )
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of every notebook that has it; NOTEBOOK.NAME: of one notebook only",
    )
    parser.add_argument(
        "notebook",
        nargs="*",
        help="names or files (default: all notebooks except own_data, transfer, space, scaling and "
        "explore)",
    )
    return parser


def sweep_parser() -> Parser:
    """Return the parser of `mpnas sweep`."""
    parser = Parser(
        prog="mpnas sweep",
        description="Run the cells (approach x prioritization x norm x seed) of a run, in "
        "RUN/cells. By default they are the comparison and the ablation of the profile. Lists have "
        "commas. A stopped cell continues. A finished cell is only read.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument("--approaches", metavar="LIST", help=f"approaches: {APPROACH.expected()}")
    parser.add_argument(
        "--prioritizations",
        metavar="LIST",
        help="prioritizations of both stages, or as 'SEARCH > TRAIN' (default: abdp): "
        f"{PRIORITIZATION.expected()}",
    )
    parser.add_argument(
        "--norms", metavar="LIST", help="per_domain, mixed, naive (default: per_domain)"
    )
    parser.add_argument("--seeds", metavar="LIST", help="default: those of the profile")
    parser.add_argument(
        "--executor",
        metavar="EXECUTOR",
        help=f"where the cells run: {EXECUTOR.expected()}, such as "
        "\"dask(scheduler='tcp://host:8786')\" or \"slurm(partition='gpu', time=120, cpus=4)\" "
        "(default: joblib, on this machine)",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        help="number of cells at the same time, each in its own process (default: that of the "
        "executor; joblib: 1)",
    )
    _start_option(parser)
    _track_option(parser)
    stage_settings(parser, "all cells (default: that of the profile)")
    return parser


def explore_parser() -> Parser:
    """Return the parser of `mpnas explore`."""
    parser = Parser(
        prog="mpnas explore",
        description="Open JupyterLab on a run: explorers of its search, paths, prioritization, "
        "results and images, in RUN/explore.ipynb. If the folder is new, the run is begun there. "
        "The address of the notebook is printed. Ctrl-C ends JupyterLab and its kernels.",
        epilog="What stands behind -- are options of `jupyter lab`, such as -- "
        "--ServerApp.certfile=my.pem.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument("folder", nargs="?", metavar="RUN", help="run folder, the same as --run")
    parser.add_argument("--no-browser", action="store_true", help="start the server only")
    parser.add_argument(
        "--ip",
        metavar="ADDRESS",
        help="address on which the server listens; 0.0.0.0: all, as in a container (default: "
        "localhost)",
    )
    parser.add_argument(
        "--port", metavar="N", help="port of the server (default: 8888, or the next free one)"
    )
    parser.add_argument(
        "--base-url", metavar="PATH", help="path of the server behind a proxy, such as /mine/"
    )
    return parser


def check_parser() -> Parser:
    """Return the parser of `mpnas check`."""
    parser = Parser(
        prog="mpnas check",
        description="Check all files of a run, its stages and its cells: whether they are whole "
        "and belong together. Nothing is imported, computed or changed. The exit status is 0 if "
        "all is in order, otherwise 2.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", nargs="?", metavar="RUN", help="run folder, the same as --run")
    parser.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/PROFILE)")
    parser.add_argument("--profile", help="profile in the default folder (default: quick)")
    return parser


def compare_parser() -> Parser:
    """Return the parser of `mpnas compare`."""
    parser = Parser(
        prog="mpnas compare",
        description="Print the results table of a run and its finished cells.",
        allow_abbrev=False,
    )
    _run_options(parser)
    parser.add_argument(
        "--claims",
        action="store_true",
        help="also print what the runs say about the claims of the MPNAS article and of the kit",
    )
    parser.add_argument(
        "--csv",
        metavar="FOLDER",
        help="also write cells.csv and domains.csv, and with --claims claims.csv",
    )
    return parser


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
