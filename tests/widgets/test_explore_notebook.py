"""explore.ipynb: `mpnas explore` writes it for a run, and it runs automatically."""

from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from mpnas_kit.cli import commands as cli
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook import lab as explore
from mpnas_kit.notebook.files import notebooks_folder
from mpnas_kit.runs.run import Run

STEPS = {"steps": 4, "batch_size": 8, "threads": 1}
TINY: dict[str, Any] = {"data": "tiny:suite", "space": "tiny:space"}
BROKEN = """
from mpnas_kit.widgets import prioritization as module

def fails(*arguments):
    raise ValueError("made to fail")

module.replayed = fails
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two domains."""
    folder = tmp_path_factory.mktemp("explored") / "run"
    pipeline = Run(folder, domains="digits,icons")
    pipeline.search(pipeline.search_config(**STEPS, controller_delay=0.2, warmup_share=0.1))
    pipeline.train(pipeline.train_config(**STEPS, evaluate_every=0))
    return folder


def test_the_notebook_runs_and_fails_if_a_callback_fails(run: Path, tmp_path: Path) -> None:
    good = explore.explore_notebook(Run.read(run))
    papermill.execute_notebook(str(good), str(tmp_path / "good.ipynb"), progress_bar=False)
    broken = nbformat.read(good, as_version=4)
    broken.cells.insert(-4, nbformat.v4.new_code_cell(BROKEN))
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(PapermillExecutionError, match="made to fail"):
        papermill.execute_notebook(
            str(tmp_path / "broken.ipynb"), str(tmp_path / "red.ipynb"), progress_bar=False
        )


def test_the_notebook_of_a_run_is_written_once(tmp_path: Path) -> None:
    made = explore.explore_notebook(Run(tmp_path / "run", **TINY))
    sources = [cell.source for cell in nbformat.read(made, as_version=4).cells]
    assert f'run = "{tmp_path / "run"}"' in "\n".join(sources)
    plain = [
        cell.source
        for cell in nbformat.read(notebooks_folder() / "explore.ipynb", as_version=4).cells
    ]
    assert [s for s in sources if s in plain] == plain
    mine = nbformat.read(made, as_version=4)
    mine.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(mine, made)
    before = made.read_text()
    assert explore.explore_notebook(Run.read(tmp_path / "run")).read_text() == before


def test_the_notebook_of_a_moved_run_gets_the_new_folder(tmp_path: Path) -> None:
    made = explore.explore_notebook(Run(tmp_path / "old", **TINY))
    mine = nbformat.read(made, as_version=4)
    mine.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(mine, made)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = nbformat.read(explore.explore_notebook(Run.read(tmp_path / "new")), as_version=4)
    sources = [cell.source for cell in moved.cells]
    runs = [s for s in sources if "run = " in s and str(tmp_path) in s]
    assert len(runs) == 1 and f'run = "{tmp_path / "new"}"' in runs[0]
    assert sources[-1] == "mine = 1" and len(sources) == len(mine.cells)


def test_a_file_that_is_not_a_notebook_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", **TINY)
    (run.begin() / "explore.ipynb").write_text("mine")
    with pytest.raises(
        MpnasError, match="explore.ipynb cannot be read as a notebook: .* Remove it"
    ):
        explore.explore_notebook(run)
    assert (run.folder / "explore.ipynb").read_text() == "mine"


def test_explore_opens_jupyterlab_on_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Any] = []

    def lab(run: Run, options: list[str], **more: Any) -> None:
        opened.append((run.begin(), options, {k: v for k, v in more.items() if k != "tell"}))

    monkeypatch.setattr(explore, "open_lab", lab)
    given = ["--no-browser", "--port", "8899", "--ip", "0.0.0.0", "--base-url", "/x/", "--", "--a"]
    assert cli.main(["explore", str(tmp_path / "run"), *given]) == 0
    more = {"ip": "0.0.0.0", "port": 8899, "base_url": "/x/", "browser": False}
    assert opened == [(tmp_path / "run", ["--a"], more)]
    assert (tmp_path / "run" / "run.json").exists()
    assert cli.main(["explore", "one", "--run", "two"]) == 2
    assert "the run is given twice" in capsys.readouterr().err
    assert cli.main(["explore", str(tmp_path / "run"), "--port", "x"]) == 2
    assert "port must be a whole number from 1 to 65,535, not 'x'" in capsys.readouterr().err
