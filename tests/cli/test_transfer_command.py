"""The command `mpnas transfer`: a matrix, sentences, a table, and what is wrong in one sentence."""

from pathlib import Path

import pandas as pd
import pytest
import tiny

from mpnas_kit.cli import commands as cli
from mpnas_kit.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer") / "run"
    Run(folder, data="tiny:suite(count=3)", space="tiny:space").search(tiny.search_config())
    return folder


def test_a_matrix_and_sentences_are_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pairs.csv"
    given = ["transfer", "--run", str(run), "--steps", "1", "--csv", str(file)]
    assert cli.main(given) == 0
    output = capsys.readouterr().out
    assert "12 of 12: seed 1, " in output
    assert "Of 6 gains, " in output and "path: k3e1 k3e1" in output
    assert "Measured transfer and similarity of paths: " in output
    assert "3 pairs of three domains, similarity of one search." in output
    table = pd.read_csv(file)
    assert len(table) == 6 and {"domain", "partner", "gain", "low", "high"} <= set(table)


def test_without_paths_only_gains_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Run(tmp_path / "new", data="tiny:suite", space="tiny:space")
    opened.begin()
    assert cli.main(["transfer", "--run", str(opened.folder), "--steps", "1"]) == 0
    output = capsys.readouterr().out
    assert "Of 2 gains, " in output and "search stage" in output


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--seeds", "3"], "at least 2 different ones"),
        (["--seeds", "0,x"], "--seeds must be a whole number, not 'x'"),
        (["--steps", "0"], "steps must be a whole number from 1"),
        (["--path", "k9e9 k3e1"], "k9e9"),
    ],
)
def test_what_is_wrong_is_named(
    run: Path, option: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["transfer", "--run", str(run), *option]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mpnas: ") and words in said and "Traceback" not in said
