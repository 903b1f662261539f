"""The command `mpnas tables`: a run's tables as files for other programs."""

from collections.abc import Sequence
from typing import get_args

from mpnas_kit.cli.parsers import Parser, finished_folder
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.description import place
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.tables import TABLES, Format


def tables_parser() -> Parser:
    """Return the parser of `mpnas tables`."""
    parser = Parser(
        prog="mpnas tables",
        description="Write the tables of a run into a folder, one file each: "
        f"{', '.join(TABLES)}. A table of a stage that is not finished has no rows.",
        allow_abbrev=False,
    )
    parser.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/quick)")
    parser.add_argument("--out", metavar="FOLDER", help="folder of the files; must be given")
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        default="csv",
        help=f"{' or '.join(get_args(Format))} (default: csv)",
    )
    parser.add_argument(
        "--trust", action="store_true", help="import the modules that the run folder names"
    )
    return parser


def write_tables(arguments: Sequence[str]) -> None:
    """Run `mpnas tables`."""
    given = tables_parser().parse(arguments)
    if given.out is None:
        raise MpnasError("--out is not given: expected the folder of the tables.")
    out = place(given.out, "--out")
    tables = Run.read(finished_folder(given.run), trust=given.trust).tables
    for name, file in tables.write(out, format=given.format).items():
        print(f"{file}: {TABLES[name][0]}, {len(getattr(tables, name)):,} rows")
