"""The command `mpnas submit`: its options, and what it prints."""

from collections.abc import Sequence
from typing import Annotated

from mpnas_kit.cli.parsers import Parser, finished_folder
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.deploy import submission
from mpnas_kit.deploy.model import load
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.description import domain_names
from mpnas_kit.settings import convert
from mpnas_kit.values import Range


def submit_parser() -> Parser:
    """Return the parser of `mpnas submit`."""
    parser = Parser(
        prog="mpnas submit",
        description="Predict the official test images of the Visual Domain Decathlon with a "
        "trained run, and write results.json in a ZIP archive, as the organisers ask for it. The "
        "archive is written whole, after all images are predicted, or not at all.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--run", metavar="FOLDER", help="run folder with a finished training (default: runs/quick)"
    )
    parser.add_argument("--data", metavar="FOLDER", help="the folder decathlon-1.0")
    parser.add_argument("--out", metavar="FILE", help="archive to write; it ends with .zip")
    parser.add_argument("--domains", help="names of domains, with commas (default: all of the run)")
    parser.add_argument("--batch-size", metavar="N", default="64", help="images at a time (64)")
    parser.add_argument("--device", help="device in torch (default: a GPU if there is one)")
    parser.add_argument(
        "--trust", action="store_true", help="import the modules that the run folder names"
    )
    return parser


def submit(arguments: Sequence[str]) -> None:
    """Run `mpnas submit`."""
    given = submit_parser().parse(arguments)
    for name, expected in (("data", "the folder decathlon-1.0"), ("out", "a file to write")):
        if getattr(given, name) is None:
            raise MpnasError(f"mpnas submit needs {expected}: expected --{name}.")
    size = convert(given.batch_size, Annotated[int, Range(1, 1_000_000)], "--batch-size")
    done = submission.submit(
        load(finished_folder(given.run), trust=given.trust),
        given.data,
        given.out,
        domains=domain_names(given.domains),
        batch_size=size,
        device=given.device,
    )
    print(text_of(done.table))
    for notice in done.notices:
        print(f"\n{notice}")
    print(f"\nwritten: {done.path}")
