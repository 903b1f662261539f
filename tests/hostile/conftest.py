"""A finished and a stopped run, and what a refused command must do: say why, and change nothing."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hostile
import pytest
from hostile import SMALL, TINY, Refused, tree

from mpnas_kit.cli.commands import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a finished search and training. Tests copy it."""
    run = tmp_path_factory.mktemp("finished") / "run"
    arguments = ["--steps", "3", "--reward-batch", "4", *SMALL, *TINY]
    assert main(["search", "--run", str(run), *arguments]) == 0
    assert main(["train", "--run", str(run), "--steps", "3", *SMALL]) == 0
    return run


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Path:
    """A run whose search stopped after step 2, and whose training did so in its folder `taken`."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    arguments = ["--steps", "4", "--reward-batch", "4", *SMALL, *TINY]
    stop = ["--callbacks", f"{hostile.__file__}:stop_after_two"]
    assert main(["search", "--run", str(run), *arguments, *stop]) == 130
    taken = ["--run", str(run.parent / "taken"), "--search-from", str(finished), *TINY]
    assert main(["train", *taken, "--steps", "4", *SMALL, *stop]) == 130
    return run


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """A function that runs a command, which must refuse in one sentence and change no file.

    arguments: command and options. words: what the sentence must contain. It returns the sentence.
    """

    def check(arguments: Sequence[str], *words: str) -> str:
        before = tree(tmp_path)
        capfd.readouterr()
        status = main(list(arguments))
        said = capfd.readouterr().err
        assert status == 2, f"{arguments} ended with {status}: {said}"
        lines = said.splitlines()
        assert len(lines) == 1 and said.startswith("mpnas: ") and said[-2:] in (".\n", "?\n"), said
        assert len(said) < 900, said
        for word in words:
            assert word in said, said
        assert tree(tmp_path) == before, "a refused command changed a file"
        return said

    yield check


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """A function that copies a run into the folder of the test, with the runs beside it."""

    def copied(run: Path) -> Path:
        shutil.copytree(run.parent, tmp_path / "runs")
        return tmp_path / "runs" / run.name

    return copied
