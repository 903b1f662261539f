"""The stage folder: resumed bit for bit, the same bytes from one seed, and damage is reported."""

import importlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pytest
import tiny
import torch
from whole import FEW, FILES, STAGES, assert_same_run, run

from mpnas_kit import files
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.records import Environment, Timing
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.runs.run import Run
from mpnas_kit.search.stage import search
from mpnas_kit.space.blocks import Activation, InvertedBottleneck
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.training.stage import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An uninterrupted run of each stage. Tests only read it."""
    base = tmp_path_factory.mktemp("whole")
    for stage in STAGES:
        run(stage, base / stage)
    return {stage: base / stage for stage in STAGES}


# Killed and resumed -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("steps", [(1,), (2,), (5,), (3, 6), (7,)])
def test_a_stopped_run_resumes_to_the_bit(
    stage: str, steps: tuple[int, ...], whole: dict[str, Path], tmp_path: Path
) -> None:
    for step in steps:
        with pytest.raises(tiny.Stopped):
            run(stage, tmp_path, tiny.stop_at(step))
        assert not (tmp_path / "results.json").exists()
    seen: list[int] = []
    result = run(stage, tmp_path, lambda event: seen.append(event.step))
    assert_same_run(stage, tmp_path, whole[stage])
    begin = 8 if steps[-1] == 7 else steps[-1] // 2 * 2 + 1  # after the last checkpoint
    assert seen == list(range(begin, 8))
    assert result.history.equals(run(stage, whole[stage]).history)


KILLED = """
import mpnas_kit, os, signal, sys, whole, torch
from pathlib import Path
torch.set_num_threads(1)
def kill(event):
    if event.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
whole.run(sys.argv[1], Path(sys.argv[2]), kill)
"""


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_process_resumes_to_the_bit(
    stage: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    here = Path(tiny.__file__).parent
    search_path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, stage, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": search_path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "checkpoint.pt").exists() and not (tmp_path / "results.json").exists()
    run(stage, tmp_path)
    assert_same_run(stage, tmp_path, whole[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_run_ends_its_step_writes_a_checkpoint_and_resumes_to_the_bit(
    stage: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    """The stop button of a notebook and Ctrl-C are a SIGINT. The handler is restored after it."""
    handler = signal.getsignal(signal.SIGINT)
    seen: list[int] = []

    def interrupt(event: StepEvent) -> None:
        seen.append(event.step)
        if event.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(stage, tmp_path / "run", interrupt)
    assert signal.getsignal(signal.SIGINT) is handler and seen[-1] <= 4
    left = StageFolder(tmp_path / "run").load_checkpoint()
    assert left is not None and left.step == seen[-1]
    run(stage, tmp_path / "run")
    assert_same_run(stage, tmp_path / "run", whole[stage])


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    def interrupt(event: StepEvent) -> None:
        if event.step == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("never reached")

    with pytest.raises(KeyboardInterrupt):
        run("train", tmp_path / "run", interrupt)


@pytest.mark.parametrize(
    ("breaks_in", "message"),
    [(1, "step 6 of train: the loss of domain 'a' is nan"), (2, "step 6 of train gave weights")],
)
def test_weights_that_are_not_finite_never_reach_the_checkpoint(
    breaks_in: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step can have a finite loss and an infinite update: the checkpoint before it must stay."""
    folder = tmp_path / "run"
    with pytest.raises(tiny.Stopped):
        run("train", folder, tiny.stop_at(4), checkpoint_every=2)
    good = (folder / "checkpoint.pt").read_bytes()
    module = importlib.import_module("mpnas_kit.training.stage")
    step, calls = module.weighted_step, []

    def broken(net: Any, *rest: Any, **more: Any) -> Any:
        figures = step(net, *rest, **more)
        calls.append(figures)
        if len(calls) == breaks_in:
            with torch.no_grad():
                next(iter(net.parameters())).fill_(math.nan)
        return figures

    monkeypatch.setattr(module, "weighted_step", broken)
    error = sentence(lambda: run("train", folder, checkpoint_every=2))
    assert message in error and "last checkpoint" in error
    assert (folder / "checkpoint.pt").read_bytes() == good


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [faults.FULL, faults.BROKEN])
def test_whatever_change_of_a_file_fails_a_sentence_says_so_and_the_run_resumes_to_the_bit(
    stage: str, error: int, whole: dict[str, Path], tmp_path: Path
) -> None:
    """Every third change; `benchmarks/faults.py` lets every one fail."""
    with faults.failing(tmp_path, 10**6) as count:
        run(stage, tmp_path / "counted")
    assert count.changes > 50
    for number in range(1 + error % 3, count.changes + 1, 3):
        folder = tmp_path / str(number)
        with faults.failing(folder, number, error):
            message = sentence(lambda folder=folder: run(stage, folder))  # type: ignore[misc]
        assert os.strerror(error).lower() in message and str(folder) in message
        assert not list(folder.glob("*tmp*"))
        run(stage, folder)
        assert_same_run(stage, folder, whole[stage])


def test_what_a_killed_process_left_is_removed(whole: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(tiny.Stopped):
        run("train", tmp_path, tiny.stop_at(3))
    (tmp_path / f".12ab{files.UNFINISHED}").write_bytes(b"half a checkpoint")
    run("train", tmp_path)
    assert_same_run("train", tmp_path, whole["train"])
    assert {p.name for p in tmp_path.iterdir()} == FILES["train"] | FEW


def test_metrics_that_are_lost_while_the_stage_runs_are_written_again(
    whole: dict[str, Path], tmp_path: Path
) -> None:
    for stage in STAGES:
        folder = tmp_path / stage

        def lose(event: StepEvent, folder: Path = folder) -> None:
            if event.step == 3:
                (folder / "metrics.jsonl").unlink()
            if event.step == 5:
                (folder / "metrics.jsonl").write_text("another program was here")

        run(stage, folder, lose)
        assert_same_run(stage, folder, whole[stage])


# Same seed, same bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_one_seed_gives_the_same_bytes_and_another_does_not(
    stage: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    run(stage, tmp_path / "same")
    run(stage, tmp_path / "other", seed=1)
    assert_same_run(stage, tmp_path / "same", whole[stage])
    for name in ("results.json", "metrics.jsonl"):
        assert (tmp_path / "other" / name).read_bytes() != (whole[stage] / name).read_bytes()


@pytest.mark.parametrize("stage", STAGES)
def test_neither_checkpoints_nor_a_folder_change_the_outcome(
    stage: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(MpnasError, match="checkpoint_every = 2, not 3"):
        run(stage, whole[stage], checkpoint_every=3)
    run(stage, tmp_path, checkpoint_every=100)
    for name in ("results.json", "metrics.jsonl"):
        assert (tmp_path / name).read_bytes() == (whole[stage] / name).read_bytes()


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_leaves_these_files_and_no_other(stage: str, whole: dict[str, Path]) -> None:
    assert {p.name for p in whole[stage].iterdir()} == FILES[stage] | FEW
    assert "seconds" not in (whole[stage] / "results.json").read_text()
    rows = [json.loads(line) for line in (whole[stage] / "metrics.jsonl").open()]
    assert [row["step"] for row in rows] == list(range(1, 8))


@pytest.mark.parametrize("stage", STAGES)
def test_a_finished_folder_is_only_read(stage: str, whole: dict[str, Path]) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        return {
            p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(whole[stage].iterdir())
        }

    before = state()
    result = run(stage, whole[stage], tiny.stop_at(1))  # a callback would stop it
    assert state() == before
    assert len(result.history) == sum(
        len(json.loads(line)["domains"]) for line in (whole[stage] / "metrics.jsonl").open()
    )


# Another config -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 3}, "seed = 0, not 3"),
        ({"learning_rate": 0.05}, "learning_rate = 0.1, not 0.05"),
        (
            {"prioritization": ABDP(decay=0.5)},
            r"prioritization = .abdp\(.*decay=0.95\)., not .abdp\(.*decay=0.5\)",
        ),
    ],
)
def test_a_folder_of_another_config_is_refused_by_the_field(
    stage: str, settings: dict[str, Any], message: str, whole: dict[str, Path]
) -> None:
    with pytest.raises(MpnasError, match=message):
        run(stage, whole[stage], **settings)


def test_a_folder_of_another_stage_data_or_path_is_refused(whole: dict[str, Path]) -> None:
    with pytest.raises(MpnasError, match="made with stage = 'train', not 'search'"):
        run("search", whole["train"])
    space, config = tiny.space(), tiny.search_config(steps=7)
    with pytest.raises(MpnasError, match=r"suite.domains = \['a', 'b', 'c'\], not \['a', 'b'\]"):
        search(tiny.suite(2), space, config, folder=whole["search"])
    paths = tiny.paths(space, ["k3e1 k3e1"] * 3)
    with pytest.raises(MpnasError, match="made with paths.a = 'k3e1 k5e3', not 'k3e1 k3e1'"):
        train(tiny.suite(3), space, paths, tiny.train_config(), folder=whole["train"])


def test_a_folder_of_other_images_is_refused(tmp_path: Path) -> None:
    config, one = tiny.search_config(steps=1), DomainSuite((tiny.domain("a"),), "tiny")
    search(one, tiny.space(), config, folder=tmp_path)
    other = DomainSuite((tiny.domain("a", seed=5),), "tiny")
    with pytest.raises(MpnasError, match="was made with other images, labels or classes"):
        search(other, tiny.space(), config, folder=tmp_path)


def test_a_folder_of_another_space_of_the_same_name_is_refused(tmp_path: Path) -> None:
    config, first = tiny.search_config(steps=1), tiny.space()
    fewer = Layer("two", 2, (12,), first.layers[2].candidates[:2])
    second = LayerwiseSpace("tiny", (*first.layers[:2], fewer, first.layers[3]), tiny.SIZE)
    search(tiny.suite(1), first, config, folder=tmp_path)
    with pytest.raises(MpnasError, match="space"):
        search(tiny.suite(1), second, config, folder=tmp_path)


def test_a_folder_of_blocks_of_other_settings_is_refused(tmp_path: Path) -> None:
    """A block's name has kernel and expansion, not the activation."""

    def of(activation: Activation) -> LayerwiseSpace:
        block = InvertedBottleneck(3, 2, activation=activation)
        searched = Layer("one", 1, (8,), (None, block))
        return LayerwiseSpace("tiny", (*tiny.layers()[:1], searched), tiny.SIZE)

    first, second = of("relu"), of("hardswish")
    assert first.fingerprint() == second.fingerprint()
    config = tiny.search_config(steps=1, controller_delay=0.0, warmup_share=0.0)
    search(tiny.suite(1), first, config, folder=tmp_path)
    with pytest.raises(MpnasError, match="space.blocks"):
        search(tiny.suite(1), second, config, folder=tmp_path)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(MpnasError, match="holds 'thesis.tex' and no config.json"):
        run("search", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_was_killed_while_it_was_begun_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / f".12ab{files.UNFINISHED}").write_text('{"profile": "qu')
    Run(tmp_path, domains="digits,icons").begin()
    assert Run.read(tmp_path).suite.names == ("digits", "icons")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(MpnasError, match="cannot create the folder .*run: file exists"):
        run("search", tmp_path / "run")


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_in_use_is_refused_and_the_first_run_continues(
    stage: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    refused = []

    def second(event: StepEvent) -> None:
        if event.step == 3:
            with pytest.raises(MpnasError, match="another process uses "):
                run(stage, tmp_path / stage)
            refused.append(event.step)

    run(stage, tmp_path / stage, second)
    assert refused == [3]
    same = (tmp_path / stage / "metrics.jsonl").read_bytes()
    assert same == (whole[stage] / "metrics.jsonl").read_bytes()
    run(stage, tmp_path / stage)  # only read, by anyone


# Damage -------------------------------------------------------------------------------------------


def sentence(action: Callable[[], Any]) -> str:
    """The message of the error that `action` raises, which is one line."""
    with pytest.raises(MpnasError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cut(folder: Path, name: str, share: float = 0.5) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt", "metrics.jsonl"])
def test_a_truncated_file_of_an_interrupted_run_is_named(
    stage: str, share: float, name: str, tmp_path: Path
) -> None:
    with pytest.raises(tiny.Stopped):
        run(stage, tmp_path, tiny.stop_at(6))
    cut(tmp_path, name, share)
    assert name in sentence(lambda: run(stage, tmp_path))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that makes a finished run, which a test may damage."""

    def make(stage: str) -> Path:
        folder = tmp_path_factory.mktemp("finished")
        run(stage, folder)
        return folder

    return make


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("search", "config.json"),
        ("search", "metrics.jsonl"),
        ("search", "policy.npy"),
        ("search", "results.json"),
        ("train", "config.json"),
        ("train", "metrics.jsonl"),
        ("train", "model.safetensors"),
        ("train", "pixels.safetensors"),
        ("train", "results.json"),
    ],
)
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_file_of_a_finished_run_is_named(
    stage: str, name: str, damage: str, finished: Callable[[str], Path]
) -> None:
    if (name, damage) in {("config.json", "missing"), ("results.json", "missing")}:
        pytest.skip("without it the run is not a finished one")
    folder = finished(stage)
    if damage == "cut":
        cut(folder, name)
    else:
        (folder / name).unlink()

    def read() -> object:
        result = run(stage, folder)
        more = [result.policy] if stage == "search" else [result.net, result.pixels]
        return result.history, more

    assert name in sentence(read)


def test_a_missing_file_of_a_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(MpnasError, match=f"{tmp_path} has no config.json: expected the folder"):
        StageFolder.read(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MpnasError, match="has no paths.json"):
        StageFolder.read(tmp_path, "paths.json")


@pytest.mark.parametrize("content", ["", '{"a": "k3e1', "\udcff"])
def test_truncated_json_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "paths.json").write_bytes(content.encode(errors="surrogateescape"))
    message = sentence(lambda: StageFolder(tmp_path).read_json("paths.json", dict[str, str]))
    assert message.startswith(f"{tmp_path / 'paths.json'} cannot be read")


class Malicious:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


def test_a_pickle_in_a_checkpoint_is_never_executed(tmp_path: Path) -> None:
    folder, mark = tmp_path / "run", tmp_path / "executed"
    with pytest.raises(tiny.Stopped):
        run("search", folder, tiny.stop_at(3))
    bad = {"step": 2, "seconds": 0.0, "state": Malicious(mark), "metrics_bytes": 0}
    torch.save(bad, folder / "checkpoint.pt")
    assert "checkpoint.pt" in sentence(lambda: run("search", folder))
    assert not mark.exists()
    torch.load(folder / "checkpoint.pt", weights_only=False)
    assert mark.exists()  # it would have been


def test_a_pickle_in_an_array_is_never_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    np.save(tmp_path / "policy.npy", np.array([Malicious(mark)], dtype=object), allow_pickle=True)
    assert "policy.npy" in sentence(lambda: StageFolder(tmp_path).read_array("policy.npy"))
    assert not mark.exists()


# A full or read-only disk -------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_metrics_on_a_disk_that_is_really_full(tmp_path: Path) -> None:
    with pytest.raises(tiny.Stopped):
        run("train", tmp_path, tiny.stop_at(1))
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    message = sentence(lambda: run("train", tmp_path))
    assert message.startswith(f"cannot write {tmp_path / 'metrics.jsonl'}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_read_only_disk_ends_in_one_sentence_and_keeps_what_is_there(
    stage: str, tmp_path: Path
) -> None:
    """Root may write anywhere, so the error of the disk is simulated."""
    with pytest.raises(tiny.Stopped):
        run(stage, tmp_path, tiny.stop_at(4))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with faults.failing(tmp_path, 1, faults.READ_ONLY):
        message = sentence(lambda: run(stage, tmp_path))
    assert message.startswith(f"cannot lock {tmp_path}") and "read-only file system" in message
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named() -> None:
    message = sentence(lambda: run("search", Path("/proc/mpnas/run")))
    assert message.startswith("cannot create the folder /proc/mpnas/run")


# The environment ----------------------------------------------------------------------------------


def test_the_environment_is_written_down(whole: dict[str, Path]) -> None:
    folder = StageFolder.read(whole["search"])
    content = folder.read_json("environment.json", Environment)
    assert content.versions["torch"] == torch.__version__
    assert content.python == ".".join(map(str, sys.version_info[:3]))
    assert content.platform and content.threads >= 1
    timing = folder.read_json("timing.json", Timing)
    assert timing.seconds_per_step == pytest.approx(timing.seconds / 7) and timing.seconds > 0


@pytest.mark.parametrize("callbacks", [print, "print", ["print"], [StepEvent]])
def test_callbacks_that_cannot_be_called_are_refused_at_once(
    callbacks: Any, tmp_path: Path
) -> None:
    with pytest.raises(MpnasError, match="callbacks got .*: expected a list of functions"):
        search(tiny.suite(1), tiny.space(), folder=tmp_path / "new", callbacks=callbacks)
    assert not (tmp_path / "new").exists()
