"""Several processes at a stage: the same result, one folder, and what happens when one is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import torch
from torch.distributed import TCPStore

from mpnas_kit.domains.batches import DomainStream, Source, Standard
from mpnas_kit.engine.compute import Compute, device_named
from mpnas_kit.engine.stage_folder import STOP, StageFolder
from mpnas_kit.engine.team import Team, joined
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.stage import search
from mpnas_kit.training.stage import train

SEARCH = {"micro_batches": 2, "learning_rate": 0.01, "steps": 6}
EVIDENCE = {
    **SEARCH,
    "two_phases": True,
    "controller_delay": 0.5,
    "sampling": "fair",
    "quality": "probability",
    "exact_cost": True,
}
TRAIN = {"micro_batches": 2, "learning_rate": 0.01, "steps": 6, "evaluate_every": 3}
MEMBER = """
import sys, time
import tiny
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.stage import search
from mpnas_kit.engine.team import joined
from mpnas_kit.training.stage import train

folder, stage, settings, wait = sys.argv[1], sys.argv[2], eval(sys.argv[3]), float(sys.argv[4])
suite, space = tiny.suite(3), tiny.space()
slow = lambda event: time.sleep(wait)
try:
    with joined() as team:
        if stage == "search":
            config = tiny.search_config(**settings)
            found = search(suite, space, config, folder=folder, callbacks=[slow])
            print([p.arch for p in found.paths.values()], len(found.history))
        else:
            paths = tiny.paths(space, ["k3e1 k5e3", "k3e1 k3e1", "zero k5e3"])
            config = tiny.train_config(**settings)
            trained = train(suite, space, paths, config, folder=folder, callbacks=[slow])
            print(trained.accuracy().to_list(), trained.net.fingerprint())
except MpnasError as error:
    print(type(error).__name__, error)
    sys.exit(2)
"""


class Processes:
    """Processes as torchrun would start them, but not watched by torchrun.

    As with torchrun, the store where they meet is not theirs: its port is taken before they start.
    """

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []
        self.stores: list[TCPStore] = []

    def start(
        self, size: int, folder: Path, stage: str, settings: dict[str, Any], wait: float = 0.0
    ) -> None:
        self.stores.append(TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
        arguments = [sys.executable, "-c", MEMBER, str(folder), stage, repr(settings), str(wait)]
        for rank in range(size):
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.stores[-1].port)}
            place["TORCHELASTIC_USE_AGENT_STORE"] = "True"
            tests = {"PYTHONPATH": str(Path(tiny.__file__).parent), "OMP_NUM_THREADS": "1"}
            self.running.append(
                subprocess.Popen(
                    arguments,
                    env={**os.environ, **ranks, **place, **tests},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

    def end(self) -> list[tuple[int, str]]:
        """Exit status and output of every process."""
        ended = [(p.communicate(timeout=120)[0], p.returncode) for p in self.running]
        self.running = []
        return [(status, output) for output, status in ended]


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    for process in made.running:
        process.kill()
        process.communicate()


def alone(stage: str, folder: Path, settings: dict[str, Any] = SEARCH) -> None:
    suite, space = tiny.suite(3), tiny.space()
    if stage == "search":
        search(suite, space, tiny.search_config(**settings), folder=folder)
    else:
        paths = tiny.paths(space, ["k3e1 k5e3", "k3e1 k3e1", "zero k5e3"])
        train(suite, space, paths, tiny.train_config(**TRAIN), folder=folder)


WEIGHTS = {"search": "supernet.safetensors", "train": "model.safetensors"}
SETTINGS = {"search": SEARCH, "train": TRAIN}


def assert_equal_runs(stage: str, one: Path, other: Path) -> None:
    """The runs have the same paths, and the same weights except for rounding."""
    paths, theirs = ((f / "paths.json").read_text() for f in (one, other))
    assert paths == theirs
    weights, others = (safetensors.torch.load_file(f / WEIGHTS[stage]) for f in (one, other))
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("stage", "settings"), [("search", SEARCH), ("search", EVIDENCE), ("train", TRAIN)]
)
def test_two_processes_end_as_one_and_agree(
    stage: str, settings: dict[str, Any], processes: Processes, tmp_path: Path
) -> None:
    alone(stage, tmp_path / "one", settings)
    processes.start(2, tmp_path / "two", stage, settings)
    ended = processes.end()
    assert [status for status, _ in ended] == [0, 0]
    assert ended[0][1] == ended[1][1]
    assert_equal_runs(stage, tmp_path / "one", tmp_path / "two")
    rows = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 7))
    processes.start(2, tmp_path / "two", stage, settings)  # now it is only read
    assert processes.end() == ended


def test_a_lost_process_ends_the_others_and_another_number_can_resume(
    processes: Processes, tmp_path: Path
) -> None:
    stage = "search"
    processes.start(3, tmp_path / "run", stage, SETTINGS[stage], wait=1.0)
    metrics = tmp_path / "run" / "checkpoint.pt"
    until = time.monotonic() + 60
    while not metrics.exists() and time.monotonic() < until:
        time.sleep(0.05)
    processes.running[1].send_signal(signal.SIGKILL)
    ended = processes.end()
    assert ended[1][0] == -signal.SIGKILL
    for status, output in (ended[0], ended[2]):
        assert status == 2
        assert "another process of this job has ended" in output
        assert "resumes from the last checkpoint" in output and output.count("\n") == 1
    assert not (tmp_path / "run" / "results.json").exists()
    alone(stage, tmp_path / "run")
    alone(stage, tmp_path / "whole")
    assert_equal_runs(stage, tmp_path / "run", tmp_path / "whole")


def test_all_processes_stop_after_the_same_step_on_request(
    processes: Processes, tmp_path: Path
) -> None:
    """The leader sees the request. Another number of processes can resume."""
    folder = tmp_path / "run"
    processes.start(2, folder, "train", TRAIN, wait=0.5)
    until = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.05)
    (folder / STOP).touch()
    assert all(status not in (0, 2) for status, _ in processes.end())  # interrupted
    left = StageFolder(folder).load_checkpoint()
    assert left is not None and 1 <= left.step < 6
    assert not (folder / STOP).exists() and not (folder / "results.json").exists()
    alone("train", folder)
    alone("train", tmp_path / "whole")
    assert_equal_runs("train", folder, tmp_path / "whole")


def test_a_wrong_config_and_too_many_processes_are_reported_once(
    processes: Processes, tmp_path: Path
) -> None:
    alone("train", tmp_path / "run")
    processes.start(2, tmp_path / "run", "train", {**TRAIN, "steps": 7})
    first, second = processes.end()
    assert first == (2, first[1]) and "steps = 6, not 7" in first[1]
    assert second[0] == 2 and second[1].startswith("ReportedByLeader")
    processes.start(4, tmp_path / "other", "train", {**TRAIN, "micro_batches": 1})
    statuses = processes.end()
    assert "4 processes are more than 3 domains x micro_batches 1 = 3" in statuses[0][1]
    assert not (tmp_path / "other").exists()


# Without processes --------------------------------------------------------------------------------


def test_every_micro_batch_is_done_once_whatever_the_number_of_processes() -> None:
    suite = tiny.suite(3)

    def labels(compute: Compute) -> list[tuple[int, float, list[int]]]:
        batches = {
            d.name: DomainStream(Source(d.train, Standard.of(d)), 7, seed=0).next() for d in suite
        }
        return [(p.domain, p.share, p.labels.tolist()) for p in compute.parts(batches)]

    whole = labels(Compute(micro_batches=3))
    assert [len(images) for _, _, images in whole] == [3, 2, 2] * 3
    for size in (2, 4, 9):
        shares = [labels(Compute(micro_batches=3, team=Team(r, size))) for r in range(size)]
        assert sorted(sum(shares, [])) == sorted(whole)


def test_means_over_parts_are_those_over_images() -> None:
    stream = DomainStream(Source(tiny.domain("a").train, Standard.of(tiny.domain("a"))), 7, 0)
    compute = Compute(micro_batches=2)
    parts = compute.parts({"a": stream.next()})
    assert [len(p.labels) for p in parts] == [4, 3]
    values = [torch.tensor([1.0, 0.5]), torch.tensor([8.0, 0.0])]
    means = compute.means((1, 2), parts, values)
    assert means.tolist() == [[pytest.approx((4 * 1 + 3 * 8) / 7), pytest.approx(4 * 0.5 / 7)]]


def test_mixed_statistics_need_one_process_and_whole_batches() -> None:
    with pytest.raises(MpnasError, match="norm 'mixed' normalises all images of a step together"):
        Compute.of(None, "float32", 2, "mixed", 3, "eager")


@pytest.mark.parametrize("size", ["2", "x"])
def test_processes_that_cannot_find_each_other_are_named(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.delenv("RANK", raising=False)
    message = f"WORLD_SIZE is '{size}', .*expected the variables that torchrun sets"
    with pytest.raises(MpnasError, match=message), joined():
        pass


@pytest.mark.parametrize("name", ["cuda:77", "gpu", "cpu:x"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(MpnasError, match=f"device '{name}' cannot be used here"):
        device_named(name)
