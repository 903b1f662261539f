"""The command `mpnas data`: its options, and what it says about images before a training."""

import argparse
import io
import json
import pathlib
import textwrap
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from mpnas_kit import plots
from mpnas_kit.analysis.suite_facts import SuiteFacts, describe
from mpnas_kit.cli.given_data import data_text
from mpnas_kit.cli.parsers import Parser, data_options
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.suites import suite_from_text
from mpnas_kit.engine.loop import space_for
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import as_path, exists, make_folder, read_bytes, resolved, write_bytes
from mpnas_kit.notebook import tables
from mpnas_kit.plots import style
from mpnas_kit.runs.description import domain_names, place
from mpnas_kit.runs.timing import ExpectedTime, expected_time
from mpnas_kit.space.texts import SPACE, space_from_text

LISTED = 20  # files that cannot be read, in the text; the table of --out has all
_WIDTH, _DPI = 100, 130
_MARK = {"Software": "mpnas data"}  # in every picture


def data_parser() -> Parser:
    """Return the parser of `mpnas data`."""
    parser = Parser(
        prog="mpnas data",
        description="Say what is in the images of a suite before a training: classes, splits, "
        "sizes, copies, files that cannot be read, a resolution, and how long a search takes. "
        "Files that cannot be read are left out, unless --bad is stop. No run is begun.",
        allow_abbrev=False,
    )
    data_options(parser, bad="skip")
    parser.add_argument(
        "--domains", help="names of the domains, with commas (default: all of --data)"
    )
    parser.add_argument(
        "--space", metavar="SPACE", help=f"search space: {SPACE.expected()} (default: pocket)"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="also write pictures (PNG) and tables (CSV) into this folder",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not text")
    parser.add_argument(
        "--no-time", action="store_true", help="do not measure how long a search takes"
    )
    return parser


def show_data(arguments: Sequence[str]) -> None:
    """Run `mpnas data`."""
    given = data_parser().parse(arguments)
    text = _text(given)
    _refuse_inside_of_data(given)
    suite = suite_from_text(text, domain_names(given.domains))
    space = space_for(suite, space_from_text(given.space or "pocket", suite.resolution))
    folder = None if given.out is None else make_folder(place(given.out, "--out"))
    facts = describe(suite, space)
    if folder is not None:
        _write(folder, facts, suite)
    when = None if given.no_time else expected_time(suite, space)
    if given.json:
        content = {**facts.as_dict(), "time": None if when is None else when.as_dict()}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    print("\n\n".join(_paragraphs(facts, when)))
    if folder is not None:
        print(f"\npictures and tables: {folder}")


def _text(given: argparse.Namespace) -> str:
    """Return the text form of the suite. Files that cannot be read are skipped by default."""
    text = data_text(given)
    if text is None:
        return "pocket"
    calls = ("folders(", "table(", "hub(", "decathlon(")
    if given.bad is None and text.startswith(calls) and not given.data[0].startswith(calls):
        given.bad = "skip"
        text = data_text(given) or text
    return text


def _refuse_inside_of_data(given: argparse.Namespace) -> None:
    """Raise `MpnasError` if --out is in a folder of images: pictures would become images."""
    if given.out is None:
        return
    out = pathlib.Path(resolved(str(place(given.out, "--out").absolute())))
    for text in given.data or ():
        for path in {text, text.partition("=")[2]} - {""}:
            if path.isprintable() and len(path) < 4096 and as_path(path, "--data").is_dir():
                folder = pathlib.Path(resolved(str(as_path(path, "--data").absolute())))
                if out == folder or folder in out.parents:
                    raise MpnasError(
                        f"--out {given.out} is in the images {path}, so the pictures would become "
                        "images: expected a folder outside of them."
                    )


def _paragraphs(facts: SuiteFacts, when: ExpectedTime | None) -> Iterator[str]:
    yield f"Suite {facts.name}. Images per split, and training images per class:"
    yield text_of(tables.facts_table(facts))
    files = tables.originals_table(facts)
    if not files.empty:
        yield "Files. Pixels and width / height as quarter, median and three quarters:"
        yield text_of(files)
        yield "\n".join(
            f"{row.domain}: suggested resolution {row.suggested:.0f}: {row.reason}."
            for row in facts.domains.dropna(subset="suggested").itertuples()
        )
    if len(facts.unreadable):
        rows = facts.unreadable.head(LISTED).itertuples()
        listed = "\n".join(f"  {row.domain}: {row.file}" for row in rows)
        rest = len(facts.unreadable) - LISTED
        yield (
            "Files that cannot be read. Search and training stop at them, unless you give them "
            "--bad skip:\n" + listed + (f"\n  and {rest:,} more" * (rest > 0))
        )
    sentences = [*facts.findings, *facts.sampled]
    yield "What to look at:" if sentences else "Nothing stands out."
    if sentences:
        yield "\n".join(
            textwrap.fill(sentence, _WIDTH, initial_indent="- ", subsequent_indent="  ")
            for sentence in sentences
        )
    if when is not None:
        yield textwrap.fill(when.sentence, _WIDTH)


def _write(folder: pathlib.Path, facts: SuiteFacts, suite: DomainSuite) -> None:
    """Write pictures as PNG files and tables as CSV files. Those of an earlier call are replaced.

    Raises `MpnasError` if another file has one of these names. No file is then written.
    """
    found: dict[str, pd.DataFrame | None] = {
        "domains": facts.domains,
        "classes": facts.classes,
        "sizes": facts.sizes,
        "files": facts.originals,
        "copies": facts.copies,
        "unreadable": facts.unreadable,
    }
    contents = {
        folder / f"{name}.csv": table.to_csv(index=False).encode("utf-8", "surrogateescape")
        for name, table in found.items()
        if table is not None
    }
    contents[folder / "splits.png"] = _picture(plots.suite_sizes(suite))
    for domain in suite:
        name = domain.name
        contents[folder / f"classes-{name}.png"] = _picture(plots.class_counts(facts, name))
        contents[folder / f"samples-{name}.png"] = _picture(plots.class_samples(domain))
    if facts.originals is not None:
        contents[folder / "sizes.png"] = _picture(plots.original_sizes(facts))
    if len(facts.copies):
        contents[folder / "copies.png"] = _picture(plots.copy_pairs(facts, suite))
    for path, content in contents.items():
        if exists(path) and not _is_earlier(path, content):
            raise MpnasError(
                f"{path} was not written by mpnas data, and would be replaced: choose another "
                "--out."
            )
    for path, content in contents.items():
        write_bytes(path, content)


def _is_earlier(path: pathlib.Path, content: bytes) -> bool:
    """Return whether a file is of an earlier call: it has the same columns, or the mark."""
    before = read_bytes(path)
    if path.suffix == ".csv":
        return before.partition(b"\n")[0] == content.partition(b"\n")[0]
    return _MARK["Software"].encode() in before[:1000]


def _picture(ax: Axes) -> bytes:
    """Return a figure as the content of a PNG file, and close it."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    content = io.BytesIO()
    with style.without_glyph_warnings():
        figure.savefig(
            content, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.12, metadata=_MARK
        )
    plt.close(figure)
    return content.getvalue()
