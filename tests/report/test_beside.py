"""Runs that the first page compares: their settings and results, and names that are text."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import tiny
from nbformat.v4 import new_markdown_cell, new_notebook

from mpnas_kit.cli.parsers import report_parser
from mpnas_kit.errors import MpnasError
from mpnas_kit.report.beside import Beside, runs_beside
from mpnas_kit.report.build import build_report
from mpnas_kit.report.pages import Page, cells_page, index_page
from mpnas_kit.runs.run import Run


def trained(folder: Path, **settings: Any) -> Run:
    run = Run(folder, data="tiny:suite", domains="a,b", space="tiny:space")
    run.search(tiny.search_config())
    run.train(tiny.train_config(**settings))
    return run


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs that differ in the seed of their training."""
    home = tmp_path_factory.mktemp("beside")
    return trained(home / "one"), trained(home / "other<script>", seed=3)


def test_settings_and_results_are_those_of_the_runs(two: tuple[Run, Run]) -> None:
    beside = Beside.of(two)
    assert beside is not None
    first, second = beside.runs
    differ = {k for k in first["settings"] if first["settings"][k] != second["settings"][k]}
    assert differ == {"train: seed"}
    assert second["settings"]["train: seed"] == "3"
    for run, one in zip(two, (first, second), strict=True):
        values = {result["name"]: result["value"] for result in one["results"]}
        test = run.train_result().accuracy("test")
        assert values["test accuracy, mean over domains"] == pytest.approx(test.mean())
        assert values["test: b"] == pytest.approx(test["b"])
        weights = run.folder / "train" / "model.safetensors"
        assert values["bytes of the weights"] == weights.stat().st_size


def test_the_first_page_has_the_runs_as_data_and_as_a_table(two: tuple[Run, Run]) -> None:
    page = Page("trial", new_notebook(cells=[new_markdown_cell("# Trial\n\nWords.")]))
    beside = Beside.of(two)
    assert beside is not None
    for html in (index_page([page], two[0], two), cells_page([page], [two[0]], two)):
        data = re.search(r'id="compared-runs">(.*?)</script>', html, re.DOTALL)
        assert data is not None
        assert json.loads(data[1]) == json.loads(json.dumps(beside.runs))
        assert "other<script>" not in html, "names are text"
        assert "other<script>" in unescape(html.replace(data[1], ""))
    assert "Compare two runs" not in index_page([page], two[0], two[:1])


def test_one_finished_run_is_compared_with_nothing(two: tuple[Run, Run], tmp_path: Path) -> None:
    new = Run(tmp_path / "new", data="tiny:suite", domains="a,b", space="tiny:space")
    assert Beside.of([two[0], new]) is None


def test_a_run_is_compared_once(two: tuple[Run, Run]) -> None:
    one, other = two
    found = runs_beside(
        one, [other.folder, one.folder, f"{other.folder.parent}/./{other.folder.name}"]
    )
    assert [run.folder.name for run in found] == [one.folder.name, other.folder.name]


def test_a_run_that_cannot_be_compared_is_named_before_anything_runs(
    two: tuple[Run, Run], tmp_path: Path
) -> None:
    begun = Run(tmp_path / "begun", data="tiny:suite", domains="a,b", space="tiny:space")
    begun.begin()
    for folder, words in (("begun", "no finished training"), ("none", "none")):
        with pytest.raises(MpnasError, match=words):
            build_report(
                ["02_paths"],
                run=two[0].folder,
                trust=True,
                out=tmp_path / "out",
                beside=[tmp_path / folder],
            )
    assert not (tmp_path / "out").exists()


def test_the_command_takes_several_runs() -> None:
    given = report_parser().parse(["--beside", "one", "--beside", "two"])
    assert given.beside == ["one", "two"]
