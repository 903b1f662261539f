"""The command line: a tiny run through both stages, and one sentence for whatever is wrong."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mpnas_kit.cli import commands as cli
from mpnas_kit.engine.team import Team
from mpnas_kit.runs.profiles import QUICK
from mpnas_kit.runs.run import Run
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import options
from mpnas_kit.training.config import TrainConfig

TINY = ["--batch-size", "4", "--threads", "1"]
SMALL = ["--data", "tiny:suite", "--space", "tiny:space", "--domains", "a,b"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with both stages finished through the command line."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    search = ["--steps", "4", "--reward-batch", "4", *TINY, *SMALL]
    assert cli.main(["search", "--run", str(folder), *search]) == 0
    assert cli.main(["train", "--run", str(folder), "--steps", "3", *TINY]) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """What a command that is refused says: one sentence, exit status 2, no traceback."""
    assert cli.main(arguments) == 2
    output = capsys.readouterr().err
    assert output.startswith("mpnas: ")
    assert "Traceback" not in output
    return output


def test_a_run_goes_through_its_folder(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    assert [about[name] for name in ("format", "profile", "data", "approach")] == [
        2,
        "quick",
        "tiny:suite",
        "mpnas",
    ]
    assert [d["name"] for d in about["domains"]] == ["a", "b"]
    assert about["domains"][1]["classes"] == ["class0", "class1", "class2", "class3"]
    assert about["space"]["source"] == "tiny:space"
    assert about["search_from"] is None and about["matched_to"] is None
    opened = Run.read(run)
    assert opened.search_config().steps == 4
    assert list(opened.search_result().paths) == ["a", "b"]
    assert opened.train_result().paths == opened.search_result().paths
    assert {"steps", "batch_size", "threads"} <= set(opened.changes(opened.train_config()))


def test_a_finished_stage_is_only_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "search" / "metrics.jsonl").read_bytes()
    assert cli.main(["search", "--run", str(run)]) == 0
    assert (run / "search" / "metrics.jsonl").read_bytes() == before
    output = capsys.readouterr().out
    assert "The verdict: the search did" in output
    for domain, path in Run.read(run).search_result().paths.items():
        assert domain in output
        assert path.arch in output


def test_train_prints_the_accuracies(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--run", str(run)]) == 0
    output = capsys.readouterr().out
    mean = Run.read(run).train_result().accuracy("test").mean()
    assert f"{mean:.1%}" in output


def test_paths_of_a_file_can_be_trained(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "paths.json"
    archs = json.loads((run / "search" / "paths.json").read_text())
    file.write_text(json.dumps(archs))
    arguments = ["train", "--run", str(tmp_path / "new"), *SMALL]
    assert cli.main([*arguments, "--paths", str(file), "--steps", "2", *TINY]) == 0
    assert not (tmp_path / "new" / "search").exists()
    assert cli.main(["train", "--run", str(tmp_path / "new")]) == 0  # reads its own paths


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serch"], ["'serch'", "did you mean 'search'?"]),
        (["search", "--stepz", "3"], ["--stepz", "did you mean --steps?"]),
        (["search", "--stepz=3"], ["--stepz", "did you mean --steps?"]),
        (["search", "--steps"], ["--steps"]),
        (["search", "--steps", "many"], ["steps", "a whole number", "'many'"]),
        (
            ["search", "--steps", "0"],
            ["steps must be a whole number from 1 to 10,000,000, not '0'"],
        ),
        (["search", "--steps", "3", "--steps=4"], ["--steps is given twice"]),
        (["search", "--trust", "--trust"], ["--trust is given twice"]),
        (["sweep", "--train", "steps", "3", "--train", "steps", "4"], ["--train steps is given"]),
        (["report", "-p", "steps", "3", "--parameter", "steps", "4"], ["--parameter steps is"]),
        (["search", "--threads", "100000"], ["threads must be a whole number from 1 to 1,024"]),
        (["search", "--device", "meta"], ["device 'meta' cannot be used here"]),
        (["search", "--profile", "quik"], ["'quik'", "did you mean 'quick'?"]),
        (["search", "--data", "pockets"], ["'pockets'", "did you mean 'pocket'?"]),
        (["search", "--domains", "digit"], ["'digit'", "did you mean 'digits'?"]),
        (["search", "--space", "poket"], ["'poket'", "did you mean 'pocket'?"]),
        (["search", "--reward", "mnass"], ["'mnass'", "did you mean 'mnas'?"]),
        (["search", "--cost-target", "1"], ["cost_target 1", "cannot be reached"]),
        (["train"], ["search stage", "was not begun", "mpnas search"]),
        (["train", "--paths", "none.json"], ["none.json", "no such file"]),
        (["report", "--parm", "steps", "3"], ["--parm", "did you mean --parameter?"]),
        (["report", "01_serch"], ["'01_serch'", "did you mean '01_search'?"]),
        (["report", "-p", "stepz", "3"], ["'stepz'", "did you mean 'steps'?"]),
    ],
)
def test_what_is_wrong_is_named(
    arguments: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    output = said(capsys, arguments)
    assert all(word in output for word in words), output
    assert not list(tmp_path.rglob("*.json")), "a refused command must not begin a run"


def test_another_setting_is_refused_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "steps = 4, not 5" in said(capsys, ["search", "--run", str(run), "--steps", "5"])
    output = said(capsys, ["search", "--run", str(run), "--domains", "a"])
    assert "domains a, b, not a" in output
    output = said(capsys, ["train", "--run", str(run), "--profile", "full"])
    assert "profile quick, not full" in output


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    assert "no run.json" in said(capsys, ["search", "--run", str(tmp_path)])
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_stopping_says_that_the_run_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mpnas_kit.runs.run.search", stop)
    assert cli.main(["search", "--run", str(tmp_path / "run")]) == 130
    assert "the same command continues from the last checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("ends", [False, True])
def test_a_signal_while_processes_meet_or_part_has_its_exit_status(
    ends: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def joined() -> Iterator[Team]:
        if not ends:
            signal.raise_signal(signal.SIGTERM)
        yield Team()
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cli, "joined", joined)
    monkeypatch.setitem(cli.COMMANDS, "compare", lambda arguments: None)
    assert cli.main(["compare"]) == 143
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("command", "config"), [("search", SearchConfig), ("train", TrainConfig)])
def test_help_names_every_field_with_its_default(
    command: str, config: type, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for name in options(config):
        assert f"--{name.replace('_', '-')} " in output
    assert f"quick: {getattr(QUICK, command)['steps']}" in output


def test_a_comparison_begins_with_its_answer(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "--run", str(run)]) == 0
    words, about, table = (" ".join(p.split()) for p in capsys.readouterr().out.split("\n\n"))
    mean = Run.read(run).train_result().accuracy("test").mean()
    assert words.startswith("One model of ") and words.endswith(f"mean test accuracy {mean:.1%}.")
    assert about.startswith("Mean top-1 accuracy") and table.startswith("approach")


def test_a_comparison_can_check_the_claims(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tables"
    assert cli.main(["compare", "--run", str(run), "--claims", "--csv", str(folder)]) == 0
    output = capsys.readouterr().out
    needed = f'no runs of bundle: mpnas sweep --run {run} --approaches "bundle" --seeds "0"'
    assert f"(arXiv 2010.04904)\n  not measured: {needed}" in output
    assert "without scene" not in output, "the run has no such domain"
    assert "A seed is one search and one training" in " ".join(output.split())
    assert (folder / "claims.csv").read_text().startswith("claim,source,expected,")


def test_without_a_command_the_commands_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "mpnas search" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
