"""Processes in odd surroundings: locales, closed output, signals, a deleted working folder."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mpnas_kit.cli.commands import main

TESTS = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "mpnas_kit"]
TINY = ["--data", "tiny:suite", "--space", "tiny:space", "--batch-size", "4", "--threads", "1"]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **more}


def run(*arguments: str, env: dict[str, str] | None = None, **more: Any) -> tuple[int, str, str]:
    """Status, output and errors of a command."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    done = subprocess.run([*COMMAND, *arguments], env=environment(**env or {}), **options)
    out, err = ((text or b"").decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    assert "Traceback" not in err, err
    return done.returncode, out, err


def test_an_ascii_locale_prints_question_marks(finished: Path) -> None:
    env = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    status, out, _ = run("compare", "--run", str(finished), env=env)
    assert status == 0 and "mpnas" in out and out.isascii()


def test_output_that_nobody_can_read_does_not_matter(finished: Path) -> None:
    """A full device is told, a closed pipe is not: its reader has seen enough."""
    with open("/dev/full", "wb") as full:
        status, _, err = run("compare", "--run", str(finished), stdout=full)
    assert status == 2 and err == "mpnas: cannot write the output: no space left on device.\n"
    reader, writer = os.pipe()
    os.close(reader)
    status, _, err = run("compare", "--run", str(finished), stdout=writer)
    os.close(writer)
    assert status == 128 + signal.SIGPIPE and err == ""
    shell = f"{' '.join(COMMAND)} compare --run {finished} <&- >&- 2>&-"
    assert subprocess.run(shell, shell=True, env=environment()).returncode == 0


def test_a_deleted_working_folder_is_named(
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["compare"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("mpnas: cannot use the working folder: ") and said.count("\n") == 1
    assert main(["compare", "--run", str(finished)]) == 0


def test_too_few_open_files_are_told_as_such(tmp_path: Path) -> None:
    """Not as data that is missing. Python itself needs some files while it starts."""
    code = (
        "import resource, sys, os\n"
        "from mpnas_kit.cli.commands import main\n"
        "import mpnas_kit.domains.pocket_suite, mpnas_kit.search.stage\n"
        "from mpnas_kit.runs.run import Run\n"
        "held = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 1,) * 2)\n"
        "from mpnas_kit.domains.pocket_suite import pocket\n"
        "from mpnas_kit.errors import MpnasError\n"
        "try:\n"
        "    pocket(['digits'])\n"
        "except MpnasError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True)
    said = done.stdout.decode()
    assert "too many open files" in said and "reinstall" not in said, (said, done.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_writes_a_checkpoint_and_the_command_continues(
    number: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = ["search", "--run", str(folder), "--steps", "1000000", "--reward-batch", "4", *TINY]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(),
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    metrics = folder / "search" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert b"the same command continues" in err and b"Traceback" not in err
    status, out, _ = run("check", str(folder))
    stopped = re.search(r"stopped after step (\d+) of 1000000", out)
    assert status == 0 and stopped is not None
    assert metrics.read_bytes().count(b"\n") == int(stopped[1])


def test_ctrl_c_while_the_kit_is_loaded_says_so(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "search", "--run", str(tmp_path / "run")],
        env=environment(),
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().startswith(b"mpnas: stopped") and b"Traceback" not in err


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}, "x"),
    ],
)
def test_variables_of_another_launcher_are_named(
    variables: dict[str, str], words: str, tmp_path: Path
) -> None:
    status, _, err = run("search", "--run", str(tmp_path / "run"), *TINY, env=variables)
    assert status == 2 and words in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_home_that_cannot_be_written_is_not_needed(finished: Path) -> None:
    for home in ("/proc", "/nonexistent"):
        status, out, _ = run("compare", "--run", str(finished), env={"HOME": home})
        assert status == 0 and "approach" in out


@pytest.mark.parametrize("name", ["run.json", "search/results.json", "search/policy.npy"])
def test_a_file_larger_than_the_memory_is_told_as_such(
    name: str, finished: Path, tmp_path: Path
) -> None:
    """A sparse file needs no disk. The limit keeps the system from trying."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    os.truncate(folder / name, 2**40)
    shell = f"ulimit -v 8000000; {' '.join(COMMAND)} search --run {folder}"
    done = subprocess.run(shell, shell=True, env=environment(), capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 2 and said == f"mpnas: cannot read {folder / name}: memory ran out.\n"
