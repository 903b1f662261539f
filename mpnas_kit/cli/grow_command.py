"""The command `mpnas grow`: its options, and what it does."""

from collections.abc import Sequence

from mpnas_kit.analysis.units import amount
from mpnas_kit.cli.parsers import Parser, finished_folder, stage_settings
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.domains.cached_suite import Bad
from mpnas_kit.domains.suites import suite_text
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook import tables
from mpnas_kit.notebook.progress import Progress
from mpnas_kit.runs.run import Run
from mpnas_kit.settings import convert
from mpnas_kit.space.costs import AddedParameters, path_costs


def grow_parser() -> Parser:
    """Return the parser of `mpnas grow`."""
    parser = Parser(
        prog="mpnas grow",
        description="Add domains to a trained run, in a new run folder. The trained network stays "
        "as it is; images of its domains are not needed. Paths of the new domains are searched "
        "through its nodes and new ones, and what is new is trained. A stopped command continues. "
        "Finished stages are only read.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--run", metavar="FOLDER", help="run folder with a finished training (default: runs/quick)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="folder of the new run")
    parser.add_argument(
        "--data",
        metavar="SUITE",
        action="several",
        help="images of the new domains, as in `mpnas search`: NAME=FOLDER, a folder of domains, "
        "a table, a suite file, or a suite. Several times, as NAME=FOLDER: a domain each time",
    )
    parser.add_argument(
        "--domains", help="names of the new domains, with commas (default: all of --data)"
    )
    parser.add_argument(
        "--bad", metavar="WHAT", help="images that cannot be read: stop, or skip (default: stop)"
    )
    stage_settings(parser, "the new run (default: that of the profile)")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import the modules, and read the images, that the run folder names",
    )
    return parser


def grow(arguments: Sequence[str]) -> None:
    """Run `mpnas grow`."""
    given = grow_parser().parse(arguments)
    for name, what in (("data", "the new images: --data NAME=FOLDER"), ("out", "--out FOLDER")):
        if getattr(given, name) is None:
            raise MpnasError(f"mpnas grow needs {what}.")
    run = Run.read(finished_folder(given.run), trust=given.trust)
    options = {} if given.bad is None else {"bad": convert(given.bad, Bad, "--bad")}
    data = suite_text(given.data, run.description.resolution, **options)
    run.check_growth("search", dict(given.search))
    run.check_growth("train", dict(given.train))
    larger = run.grow(given.out, data=data, domains=given.domains)
    with Progress() as progress:
        found = larger.search(**dict(given.search), callbacks=[progress])
        trained = larger.train(**dict(given.train), callbacks=[progress])
    print(f"The verdict: {found.verdict()}\n")
    added = path_costs(AddedParameters(), found.space, found.paths)
    table = tables.accuracy_table(trained)
    for column in table.columns[1:]:
        table[column] = table[column].map("{:.1%}".format)
    table["added"] = [amount(added[d]) if d in added else "" for d in table["domain"]]
    table["path"] = [trained.paths[d].arch for d in table["domain"]]
    print(text_of(table))
    print(
        "\nadded: parameters of new nodes, without batch norm and classifier. Other domains are as "
        "before.\npath: one block per layer; own: layers, from 0 (the stem), with a node that only "
        f"this domain has.\nrun folder: {larger.folder}"
    )
