"""A report replaces no input and no file of others, and says so before a kernel starts."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

from mpnas_kit.cli import commands as cli
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.files import find_notebook, read_notebook
from mpnas_kit.report import build as module
from mpnas_kit.report import pages
from mpnas_kit.report.build import build_report
from mpnas_kit.report.outputs import Outputs
from mpnas_kit.runs.run import Run

TINY: dict[str, Any] = {"data": "tiny:suite", "space": "tiny:space"}


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in a folder of one test, and fail if a notebook would run."""

    def execute(*arguments: object) -> None:
        raise AssertionError("a kernel would start")

    monkeypatch.setattr(module, "execute", execute)
    monkeypatch.chdir(tmp_path)


def notebook(file: Path, source: str = 'run: str = "run"', **metadata: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    cell = new_code_cell(source, metadata={"tags": ["parameters"]})
    file.write_text(writes(new_notebook(cells=[cell], metadata=metadata)), encoding="utf-8")
    return file


def refused(*notebooks: str | Path, out: str | Path = "out", **more: Any) -> str:
    """Return the sentence that refuses a report."""
    with pytest.raises(MpnasError) as raised:
        build_report(notebooks, out=out, **{"run": "run", **TINY, **more})
    message = str(raised.value)
    assert "\n" not in message and len(message) < 400
    return message


def test_a_source_is_not_replaced(tmp_path: Path) -> None:
    mine = notebook(tmp_path / "o/notebooks/mine.ipynb")
    before = mine.read_bytes()
    assert "replace the notebook o/notebooks/mine.ipynb" in refused(
        "o/notebooks/mine.ipynb", out="o"
    )
    (tmp_path / "link").symlink_to("o")
    assert "replace the notebook" in refused(mine, out="link")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notebooks").symlink_to("../o/notebooks")
    assert "replace the notebook" in refused(mine, out="other")
    assert mine.read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["notebooks"]


def test_a_checkout_keeps_its_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = find_notebook("search").parents[1]
    with pytest.raises(MpnasError, match="replace the notebook"):
        Outputs.check(checkout, ["01_search"], [find_notebook("search")], tmp_path / "run")


def test_a_page_of_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    """nbconvert writes the entities of its template as characters."""
    run = Run(tmp_path / "run", **TINY)
    page = pages.Page("mine", new_notebook())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.html").write_text(pages.notebook_page(page, [page], run))
    (tmp_path / "out/index.html").write_text(pages.index_page([page], run))
    assert Outputs.check(tmp_path / "out", ["mine"], [], run.folder).folder == tmp_path / "out"


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    mine = notebook(tmp_path / "mine.ipynb")
    notebook(tmp_path / "out/notebooks/mine.ipynb", "my_work = 1")
    assert "which no report has written" in refused(mine)
    notebook(tmp_path / "out/notebooks/mine.ipynb", papermill={"output_path": "a copy"})
    (tmp_path / "out/index.html").write_text("my own page")
    assert "replace out/index.html" in refused(mine)
    (tmp_path / "out/index.html").unlink()
    (tmp_path / "out/mine.html").mkdir()
    assert "mine.html: is a directory" in refused(mine)


def test_two_pages_need_two_names(tmp_path: Path) -> None:
    one, two = notebook(tmp_path / "a/mine.ipynb"), notebook(tmp_path / "b/Mine.ipynb")
    assert "two pages would have the names 'mine' and 'Mine'" in refused(one, two)
    assert "two pages" in refused("search", "01_search")
    index = notebook(tmp_path / "index.ipynb")
    assert "a page cannot have the name 'index'" in refused(index)
    odd = notebook(tmp_path / "a\nb.ipynb")
    assert r"a page cannot have the name 'a\nb'" in refused(odd)


def test_a_run_folder_is_not_an_output(tmp_path: Path) -> None:
    mine = notebook(tmp_path / "mine.ipynb")
    Run("run", **TINY).begin()
    Run("run/cells/one", **TINY).begin()
    for out in ("run", "run/cells", "run/cells/one", "run/cells/one/report", "run/train", "./run/"):
        assert "which belongs to a run" in refused(mine, out=out), out
    assert "which belongs to a run" in refused(mine, run="new", out="new")
    assert "which belongs to a run" in refused(mine, run="out/notebooks", out="out")
    assert Outputs.check("run/report", ["mine"], [mine], tmp_path / "run").index


def test_odd_folders(tmp_path: Path) -> None:
    mine = notebook(tmp_path / "mine.ipynb")
    assert "--out must be" in refused(mine, out="")
    assert "--out must be" in refused(mine, out="\0")
    assert "home folder that does not exist" in refused(mine, out="~nobody-has-this-name/x")
    (tmp_path / "file").touch()
    assert "cannot create the folder" in refused(mine, out="file/in")
    assert "cannot" in refused(mine, out="/proc/report")


@pytest.mark.parametrize("out", ["{run}", "a b", "50%", "#1", "a?b", "é ü", "a\nb", "[x]"])
def test_home_made_folders(tmp_path: Path, out: str) -> None:
    outputs = Outputs.check(out, ["mine"], [], tmp_path / "run")
    outputs.create()
    assert (tmp_path / out / "notebooks").is_dir()
    assert not list((tmp_path / out / "notebooks").iterdir())


def test_runs_of_one_name_have_one_page_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = notebook(tmp_path / "mine.ipynb")
    around = Run("one", **TINY)
    others = [around, Run("one/cells/one", **TINY)]
    monkeypatch.setattr(module, "finished_runs", lambda run: others)
    with pytest.raises(MpnasError, match="two pages would have the names 'one' and 'one'"):
        module.build_cells_report(around, notebook=mine, out="out")
    others[1:] = [Run("one/cells/index", **TINY)]
    with pytest.raises(MpnasError, match="a page cannot have the name 'index'"):
        module.build_cells_report(around, notebook=mine, out="out")
    assert not (tmp_path / "out").exists()


# Parameters --------------------------------------------------------------------------------------


def test_parameters_that_a_notebook_cannot_get(tmp_path: Path) -> None:
    mine = notebook(tmp_path / "mine.ipynb", "run: str = 'run'\nsteps: int = 3")

    def given(parameters: dict[Any, Any]) -> str:
        return refused(mine, parameters=parameters)

    assert "expected it as --run" in given({"run": "other"})
    assert "expected it as --data" in given({"mine.data": "other"})
    assert "cannot be passed to a notebook" in given({"steps": object()})
    assert "cannot be passed to a notebook" in given({"steps": float("nan")})
    assert "cannot be passed to a notebook" in given({"steps": "\udcff"})
    assert "no notebook of this report has a parameter" in given({"": 1})
    assert "no notebook of this report has a parameter" in given({3: 1})
    assert "no notebook of this report has a parameter 'other.steps'" in given({"other.steps": 1})


def test_a_parameter_is_given_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-p", "steps", "3", "-p", "steps", "4", "--run", str(tmp_path / "run")]
    assert cli.main(["report", "search", *arguments]) == 2
    assert "-p steps is given twice: give it once" in capsys.readouterr().err
    both = {"01_search.steps": 3, "search.steps": 4}
    assert "'steps' of notebook 01_search is given twice" in refused("search", parameters=both)


def test_the_value_for_one_notebook_counts_more(tmp_path: Path) -> None:
    source = module.Source.read(notebook(tmp_path / "01_mine.ipynb", "steps: int = 3"))
    given = module._distributed({}, {"mine.steps": 4, "steps": 5}, [source])
    assert given == {"01_mine": {"steps": 4}}


# Notebooks ---------------------------------------------------------------------------------------

EMPTY: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
CELL: dict[str, Any] = {
    "id": "a",
    "cell_type": "code",
    "source": "1",
    "metadata": {},
    "outputs": [],
    "execution_count": None,
}
V3 = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "input": "1",
                    "language": "python",
                    "outputs": [],
                    "metadata": {},
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no valid JSON"),
        (json.dumps(EMPTY)[:-3], "no valid JSON"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        ("[]", "its content is not"),
        ("7", "its content is not"),
        ("{}", "its content is not"),
        ({**EMPTY, "cells": None}, "its content is not"),
        ({**EMPTY, "cells": [1]}, "its content is not"),
        ({**EMPTY, "nbformat": 9}, "its content is not"),
        ({**EMPTY, "metadata": []}, "its content is not"),
        ({k: v for k, v in EMPTY.items() if k != "metadata"}, "its content is not"),
        ({**EMPTY, "cells": [{"cell_type": "code", "source": "1"}]}, "its content is not"),
        ({**EMPTY, "cells": [{**CELL, "metadata": {"tags": "parameters"}}]}, "metadata/tags"),
        ({**EMPTY, "cells": [{**CELL, "source": "\ud800"}]}, "not UTF-8"),
        ({**EMPTY, "metadata": {"language_info": {"name": "R"}}}, "is a notebook in R"),
        (
            {
                **EMPTY,
                "metadata": {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}},
            },
            "is a notebook in R",
        ),
    ],
)
def test_files_that_are_no_notebooks(tmp_path: Path, content: Any, why: str) -> None:
    file = tmp_path / "mine.ipynb"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    message = refused(file)
    assert str(file) in message and why in message


@pytest.mark.parametrize(
    "content",
    [
        EMPTY,
        V3,
        {**EMPTY, "cells": [CELL, CELL]},
        {**EMPTY, "cells": [{k: v for k, v in CELL.items() if k != "id"}]},
        {**EMPTY, "metadata": {"papermill": 3, "widgets": [1]},
         "cells": [{**CELL, "metadata": {"papermill": []}}]},
        {**EMPTY, "metadata": {"kernelspec": {"name": "mine", "display_name": "Mine"}}},
    ],
)  # fmt: skip
def test_notebooks_of_others_are_read(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "mine.ipynb"
    file.write_text(json.dumps(content))
    read = read_notebook(file, outputs=False)
    assert read.nbformat == 4 and "papermill" not in read.metadata
    assert all(c.metadata.tags == [] for c in read.cells)


def make_pipe(file: Path) -> None:
    os.mkfifo(file)


@pytest.mark.parametrize("make", [Path.mkdir, make_pipe, lambda f: f.write_bytes(b"\xff\xfe\x00")])
def test_what_is_no_file_is_named(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "mine.ipynb")
    assert "mine.ipynb" in refused("mine.ipynb")


@pytest.mark.parametrize("name", ["", " ", "\0"])
def test_a_notebook_needs_a_name(name: str) -> None:
    assert "notebook must be the path of a file or folder" in refused(name)


def test_half_of_a_name_is_no_name() -> None:
    assert "unknown notebook '_'" in refused("_")
    assert find_notebook("explore").stem == "explore"
