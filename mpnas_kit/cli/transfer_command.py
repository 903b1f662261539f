"""The command `mpnas transfer`: what domains gain from each other, and if their paths show it."""

from collections.abc import Sequence

from mpnas_kit.analysis.relatedness import relate
from mpnas_kit.analysis.units import signed
from mpnas_kit.cli.parsers import Parser, finished_folder
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import as_path, write_text
from mpnas_kit.notebook.parameters import whole_numbers
from mpnas_kit.notebook.progress import Progress
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.transfer import TRANSFER, measured_transfer, searched_similarity


def transfer_parser() -> Parser:
    """Return the parser of `mpnas transfer`."""
    parser = Parser(
        prog="mpnas transfer",
        description="Train every two domains of a run together and every domain alone, all on one "
        "path, in RUN/transfer. Print what each gains from the other, and whether domains that "
        "gain share more of their paths. A stopped command continues. Finished trainings are only "
        "read.",
        allow_abbrev=False,
    )
    parser.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/quick)")
    parser.add_argument(
        "--seeds", metavar="LIST", default="0,1", help="at least two (default: 0,1)"
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        help="steps of every training (default: a third of those of the run's training)",
    )
    parser.add_argument(
        "--path",
        metavar="ARCH",
        help="arch string of the path (default: the uniform path nearest to the cost target)",
    )
    parser.add_argument("--csv", metavar="FILE", help="also write the table of all pairs")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import the modules, and read the images, that the run folder names",
    )
    return parser


def measure_transfer(arguments: Sequence[str]) -> None:
    """Run `mpnas transfer`."""
    given = transfer_parser().parse(arguments)
    file = None if given.csv is None else as_path(given.csv, "--csv")
    seeds = whole_numbers(given.seeds, "--seeds")
    run = Run.read(finished_folder(given.run), trust=given.trust)
    with Progress(keep=False) as progress:
        measured = measured_transfer(
            run,
            path=given.path,
            seeds=seeds,
            steps=given.steps,
            callbacks=[progress],
            tell=print,
        )
    shown = measured.matrix().map(lambda gain: "" if gain != gain else signed(gain / 100))
    print(f"\n{text_of(shown.rename_axis('domain').reset_index())}\n")
    print(
        "Row: a domain; column: its partner; percentage points of validation accuracy.\n"
        f"path: {measured.arch}\n\n{_sentence(measured.sentence())}"
    )
    if file is not None:
        write_text(file, measured.table().to_csv(index=False))
    try:
        similarity = searched_similarity(run)
    except MpnasError as error:
        print(f"\nwithout paths there is nothing to compare: {error}")
    else:
        related = relate(
            measured, similarity.matrix, similarity.chance, searches=len(similarity.seeds)
        )
        print("\n" + "\n".join(map(_sentence, related.sentences())))
    print(f"trainings: {run.folder / TRANSFER}")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
