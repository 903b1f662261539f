"""The command `mpnas profile`: latency tables."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mpnas_kit.analysis.latency import LEAST_SPEARMAN, LatencyCheck
from mpnas_kit.cli.parsers import Parser
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.deploy.profiling import (
    NETWORKS,
    latency_from_networks,
    latency_template,
    measure_latency,
    paths_file,
    write_networks,
)
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import as_path
from mpnas_kit.settings import convert
from mpnas_kit.space.space import Resolution, SearchSpace
from mpnas_kit.space.texts import SPACE, space_from_text

_MEASURING = ("runtime", "threads", "batch", "rounds")  # options of a measurement on this machine


def profile_parser() -> Parser:
    """Return the parser of `mpnas profile`."""
    parser = Parser(
        prog="mpnas profile",
        description="Measure every block of a search space on the CPU of this machine, and write a "
        "latency table for `mpnas search --cost`. Then compare whole paths with their sums. A "
        "stopped measurement continues, and an existing table gets the rows that it lacks.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--space", metavar="SPACE", default="pocket", help=f"{SPACE.expected()} (default: pocket)"
    )
    parser.add_argument(
        "--resolution", metavar="N", default="32", help="size of the images, pixels (default: 32)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="table to write; it ends with .csv (default: latency.csv)"
    )
    parser.add_argument(
        "--runtime", help="onnx or torch (default: onnx if it is installed, otherwise torch)"
    )
    for name, default, about in (
        ("threads", 1, "number of threads"),
        ("batch", 1, "images per call; times are per image"),
        ("rounds", 60, "samples per network; more are steadier"),
        ("classes", 10, "classes of the classifier"),
        ("paths", 20, "whole paths to compare with"),
    ):
        shown = f"{about} (default: {default})"
        parser.add_argument(f"--{name}", metavar="N", help=shown)
    parser.add_argument(
        "--strict",
        action="store_true",
        help=f"end with exit status 2 if Spearman's correlation is below {LEAST_SPEARMAN}",
    )
    group = parser.add_argument_group("tables of other machines, such as a phone")
    group.add_argument(
        "--networks",
        metavar="FOLDER",
        help=f"only write the networks to time as ONNX files, and {NETWORKS} to fill in",
    )
    group.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help=f"write the table from a filled {NETWORKS} instead of measuring",
    )
    group.add_argument(
        "--template", metavar="FILE", help="only write a table without times, to be filled in"
    )
    return parser


def profile(arguments: Sequence[str]) -> None:
    """Run `mpnas profile`."""
    given = profile_parser().parse(arguments)
    kinds = [f"--{n}" for n in ("networks", "template") if getattr(given, n) is not None]
    kinds += ["--from"] if given.source is not None else []
    if len(kinds) > 1:
        raise MpnasError(f"{' and '.join(kinds)} are given together: expected one of them.")
    if kinds:
        _refuse(given, _MEASURING, kinds[0])
    if kinds and kinds != ["--from"]:
        _refuse(given, ("out",), kinds[0])
    resolution = convert(given.resolution, Resolution, "--resolution")
    space = space_from_text(given.space, resolution)
    options: dict[str, Any] = {
        n: getattr(given, n) for n in ("classes", "paths") if getattr(given, n) is not None
    }
    if given.template is not None:
        options.pop("paths", None)
        rows = latency_template(space, given.template, **options)
        print(f"{given.template}: {rows} rows to fill in")
    elif given.networks is not None:
        filled = write_networks(space, given.networks, tell=_tell, **options)
        print(f"networks to time: {filled.parent}\nmilliseconds to fill in: {filled}")
    else:
        out = "latency.csv" if given.out is None else given.out
        _show(_table(given, space, out, options), out, given.strict)


def _refuse(given: argparse.Namespace, names: Sequence[str], kind: str) -> None:
    for name in names:
        if getattr(given, name) is not None:
            raise MpnasError(f"--{name} cannot be used with {kind}: leave one of them out.")


def _table(
    given: argparse.Namespace, space: SearchSpace, out: str, options: dict[str, Any]
) -> LatencyCheck:
    """Write the table, and return the comparison with whole paths."""
    if given.source is not None:
        return latency_from_networks(space, given.source, out, **options)
    settings: dict[str, Any] = {
        n: getattr(given, n) for n in _MEASURING if getattr(given, n) is not None
    }
    return measure_latency(space, out, tell=_tell, **options, **settings)


def _show(check: LatencyCheck, out: str, strict: bool) -> None:
    file = as_path(out, "--out")
    table = check.rows.rename(columns={"arch": "path", "sum": "sum_ms", "measured": "measured_ms"})
    table["error"] = (table["sum_ms"] / table["measured_ms"] - 1).map("{:+.1%}".format)
    for name in ("sum_ms", "measured_ms"):
        table[name] = table[name].map("{:.4g}".format)
    print(text_of(table))
    print(f"\n{check.verdict()}")
    print(f"table: {file}; whole paths: {paths_file(file)}")
    print(f"a search with it: mpnas search --cost \"latency(path='{file}')\" --cost-target MS")
    if strict and not check.agrees:
        raise MpnasError("the sums do not agree with whole paths, see above (--strict).")


def _tell(line: str) -> None:
    print(f"mpnas: {line}", file=sys.stderr)
