"""explore.ipynb: made for a run by `mpnas explore`, and run without a person."""

from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from mpnas_kit.cli import commands as cli
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook import lab as explore
from mpnas_kit.report.build import NOTEBOOKS
from mpnas_kit.runs.run import Pipeline

STEPS = {"steps": 4, "batch_size": 8, "threads": 1}
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
    pipeline = Pipeline.open(folder, domains="digits,icons")
    pipeline.search(pipeline.search_config(**STEPS, controller_delay=0.2, warmup_share=0.1))
    pipeline.train(pipeline.train_config(**STEPS, evaluate_every=0))
    return folder


def test_the_notebook_runs_and_a_callback_that_fails_turns_it_red(
    run: Path, tmp_path: Path
) -> None:
    good = explore.notebook(run)
    papermill.execute_notebook(str(good), str(tmp_path / "good.ipynb"), progress_bar=False)
    broken = nbformat.read(good, as_version=4)
    broken.cells.insert(-1, nbformat.v4.new_code_cell(BROKEN))
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(PapermillExecutionError, match="made to fail"):
        papermill.execute_notebook(
            str(tmp_path / "broken.ipynb"), str(tmp_path / "red.ipynb"), progress_bar=False
        )


def test_the_notebook_of_a_run_is_made_once_and_then_left_as_it_is(tmp_path: Path) -> None:
    made = explore.notebook(tmp_path)
    sources = [cell.source for cell in nbformat.read(made, as_version=4).cells]
    assert f'run = "{tmp_path}"' in "\n".join(sources)
    plain = [cell.source for cell in nbformat.read(NOTEBOOKS / "explore.ipynb", as_version=4).cells]
    assert [s for s in sources if s in plain] == plain
    mine = nbformat.read(made, as_version=4)
    mine.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(mine, made)
    before = made.read_text()
    assert explore.notebook(tmp_path).read_text() == before


def test_the_notebook_of_a_run_that_was_moved_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    made = explore.notebook(tmp_path / "old")
    mine = nbformat.read(made, as_version=4)
    mine.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(mine, made)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = nbformat.read(explore.notebook(tmp_path / "new"), as_version=4)
    sources = [cell.source for cell in moved.cells]
    told = [s for s in sources if "run = " in s and str(tmp_path) in s]
    assert len(told) == 1 and f'run = "{tmp_path / "new"}"' in told[0]
    assert sources[-1] == "mine = 1" and len(sources) == len(mine.cells)


def test_a_notebook_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "explore.ipynb").write_text("mine")
    with pytest.raises(MpnasError, match="explore.ipynb is no notebook: remove it"):
        explore.notebook(tmp_path)
    assert (tmp_path / "explore.ipynb").read_text() == "mine"


def test_explore_opens_jupyterlab_on_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(explore, "lab", lambda run, options: opened.append((run, options)) or 0)
    assert cli.main(["explore", str(tmp_path / "run"), "--no-browser", "--port", "8899"]) == 0
    assert opened == [(tmp_path / "run", ["--no-browser", "--ServerApp.port=8899"])]
    assert (tmp_path / "run" / "run.json").exists()
    assert cli.main(["explore", "one", "--run", "two"]) == 2
    assert "the run is given twice" in capsys.readouterr().err
    assert cli.main(["explore", str(tmp_path / "run"), "--port", "x"]) == 2
    assert "port must be a whole number, not 'x'" in capsys.readouterr().err
