"""`mpnas watch` and `mpnas stop`: stages of other processes, in words."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny

from mpnas_kit.cli.commands import main
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.stage_folder import STOP, StageFolder
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.watching import begun_stages, request_stop

TESTS = Path(tiny.__file__).parent
PARTS = ["--data", "tiny:suite", "--space", "tiny:space"]
FEW = ["--batch-size", "4", "--threads", "1"]


def ask(event: StepEvent) -> None:
    """A callback: another process asks to stop after step 2. The folder is in a variable."""
    if event.step == 2:
        request_stop(os.environ["MPNAS_TEST_RUN"], event.stage)


def test_a_command_that_is_stopped_on_request_says_so_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    monkeypatch.setenv("MPNAS_TEST_RUN", folder)
    command = ["search", "--run", folder, *PARTS, *FEW, "--steps", "4", "--reward-batch", "4"]
    assert main([*command, "--callbacks", f"{__file__}:ask"]) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "mpnas: stopped on request; the same command continues" in said
    assert main(["watch", folder]) == 0
    assert capsys.readouterr().out == "search: stopped after step 2 of 4\n"
    assert main(command) == 0
    capsys.readouterr()
    assert main(["watch", "--run", folder]) == 0
    assert capsys.readouterr().out == "search: finished after 4 steps\n"
    assert main(["stop", folder]) == 2
    assert "no process runs a stage" in capsys.readouterr().err
    assert main(["watch", folder, "--stage", "train"]) == 2
    assert "no train stage of" in capsys.readouterr().err


def test_a_sweep_of_another_process_is_watched_and_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both of its jobs write a checkpoint of their last step."""
    folder = tmp_path / "run"
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    many = ["--search", "steps", "1000000", "--search", "batch_size", "4", "--jobs", "2"]
    sweep = ["sweep", "--run", str(folder), *PARTS, "--approaches", "mpnas, bundle", *many]
    names = ("bundle_uniform_per-domain_seed0", "mpnas_abdp_per-domain_seed0")
    stages = [folder / "cells" / name / "search" for name in names]
    with subprocess.Popen(
        [sys.executable, "-m", "mpnas_kit", *sweep, "--seeds", "0"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not all((stage / "metrics.jsonl").exists() for stage in stages):
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            threading.Timer(3, os.kill, [os.getpid(), signal.SIGINT]).start()
            assert main(["watch", str(folder), "--every", "0.2"]) == 130
            told = capsys.readouterr()
            lines = told.out.splitlines()
            assert all(re.match(r"\w+_per-domain_seed0, search: step \d+ of 1", x) for x in lines)
            assert len(lines) > 4 and lines[-1].endswith(" left") and " s per step, " in lines[-1]
            assert told.err == "\nmpnas: stopped; the stages continue.\n"
            assert process.poll() is None
            watching = threading.Thread(
                target=main, args=[["watch", str(folder), "--every", "0.2"]], daemon=True
            )
            watching.start()
            time.sleep(0.5)
            assert main(["stop", str(folder), "--stage", "search"]) == 0
            watching.join(30)
            assert not watching.is_alive()
            err = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "mpnas: stopped on request; the same command continues" in err
    assert "Traceback" not in err
    out = capsys.readouterr().out
    asked = ", ".join(f"{name}, search" for name in names)
    assert f"asked to stop after the present step: {asked}." in out
    for name, stage in zip(names, stages, strict=True):
        left = StageFolder(stage).load_checkpoint()
        assert left is not None and not (stage / STOP).exists()
        last = f"{name}, search: stopped after step {left.step} of 1000000\n"
        assert out.count(last) == 2  # of both commands
    assert [one.state for one in begun_stages(Run.read(folder))] == ["stopped"] * 2
