"""Where a page is from: facts that are those of the run, and commands that exist."""

import re
import shlex
from html import unescape
from pathlib import Path

import papermill
import pytest
import tiny
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mpnas_kit.cli.parsers import report_parser
from mpnas_kit.notebook.files import find_notebook, notebooks_folder, read_notebook
from mpnas_kit.report.build import PIPELINE
from mpnas_kit.report.origin import page_origin, without_folders
from mpnas_kit.report.pages import INSTRUCTIONS, Page, notebook_page
from mpnas_kit.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the tiny suite with a finished search."""
    folder = tmp_path_factory.mktemp("origin") / "my run"
    opened = Run(folder, data="tiny:suite", domains="a,b", space="tiny:space")
    opened.search(tiny.search_config())
    return opened


def test_the_facts_are_those_of_the_run(run: Run) -> None:
    about = run.about("search")
    facts, _ = page_origin(run, "01_search", {}, 75, "", "2026-01-02 03:04")
    assert facts["run"] == f"{run.folder} (quick)"
    assert facts["data"] == "tiny:suite, 2 domains"
    steps = run.config("search").steps
    assert facts["search stage"].startswith(f"{steps} steps in ")
    assert f"{about['processors']} processors" in facts["machine"]
    assert f"torch {about['versions']['torch']}" in facts["machine"]
    assert about["kernels"].split()[0] + " kernels" in facts["machine"]
    assert facts["page"] == "2026-01-02 03:04, in 1 min 15 s"
    if about["git_commit"]:
        assert facts["commit"].startswith(about["git_commit"][:12])
    assert "train stage" not in facts


def test_the_commands_are_those_that_exist(run: Run) -> None:
    given = {"run": str(run.folder), "trust": True, "steps": 4, "data": "tiny:suite"}
    copy = "/out of it/notebooks/01_search.ipynb"
    _, (report, plain) = page_origin(run, "01_search", given, 1, copy, "today")
    words = shlex.split(report)
    assert words[:2] == ["mpnas", "report"]
    parsed = report_parser().parse(words[2:])
    assert (parsed.run, parsed.out, parsed.data) == (str(run.folder), "/out of it", ["tiny:suite"])
    assert parsed.notebook == ["01_search"] and parsed.trust
    assert parsed.parameter == [["steps", "4"]]
    command, file, _, *options = shlex.split(plain)
    assert command == "papermill" and Path(file).name == find_notebook("01_search").name
    names = options[1::3]
    assert set(options[0::3]) == {"-p"}
    assert set(names) <= set(papermill.inspect_notebook(find_notebook("01_search")))


def test_a_page_says_where_it_is_from_and_has_no_instructions(run: Run) -> None:
    cells = [
        new_markdown_cell("# Trial: a page\n\nThis page shows it. It shows more."),
        new_markdown_cell("## Costs\n\nminutes", metadata={"tags": [INSTRUCTIONS]}),
        new_code_cell("1"),
        new_markdown_cell("## Later"),
    ]
    page = Page("trial", new_notebook(cells=cells))
    text = unescape(notebook_page(page, [page], run))
    assert page.about == "This page shows it."
    assert [heading.text for heading in page.headings] == ["Later"]
    assert "minutes" not in text
    first, _, later = text.partition("Make this page again")
    assert "tiny:suite" in first and 'id="Later"' in later
    assert f"mpnas report --run '{run.folder}' trial" in later


@pytest.mark.parametrize("name", [*PIPELINE, "06_transfer", "07_space", "08_scaling"])
def test_the_words_of_a_page_are_for_its_reader(name: str) -> None:
    page = Page(name, read_notebook(notebooks_folder() / f"{name}.ipynb"))
    assert page.about.startswith("This page ")
    words = "\n".join(c.source for c in page.cells if c.cell_type == "markdown")
    for instruction in ("**Costs**", "**Should show**", "only read", "Next:", "This notebook"):
        assert instruction not in words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/data/me/parts.py:suite(size=3)", "parts.py:suite(size=3)"),
        ("folders('/data/my photos', size=64)", "folders('my photos', size=64)"),
        ("data/birds", "data/birds"),
        ("~/data/birds, ../x/y", "~/data/birds, ../x/y"),
        ("pocket", "pocket"),
    ],
)
def test_folders_of_a_machine_are_left_out(text: str, shown: str) -> None:
    assert without_folders(text) == shown
    assert not re.search(r"(^|['\s])/", without_folders(text))
