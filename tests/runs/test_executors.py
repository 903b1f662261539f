"""Cells run in other processes: in which order, what a failure leaves, and on which clusters."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.cli.commands import main
from mpnas_kit.engine.signals import StopRequested
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs import executors, scheduling
from mpnas_kit.runs.executors import Dask, Joblib, Slurm, _Again, read_executor
from mpnas_kit.runs.sweep import Sweep

TESTS = Path(tiny.__file__).parent
SEARCH = {"steps": 4, "warmup_share": 0.0, "policy_snapshots": 2, "batch_size": 4, "threads": 1}
TRAIN = {"steps": 3, "evaluate_every": 0, "batch_size": 4, "threads": 1}
BOTH = mk.Prioritizations(mk.ABDP(), mk.ABDP())
FIRST, NEEDS_FIRST, OTHER = (mk.Cell(a, BOTH) for a in (mk.MPNAS(), mk.RandomPaths(), mk.Bundle()))
CELLS = [FIRST, NEEDS_FIRST, OTHER]


def small(folder: Path, cells: list[mk.Cell] = CELLS) -> Sweep:
    run = mk.Run(folder / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    return Sweep(run, cells, SEARCH, TRAIN)


@dataclass(frozen=True)
class Threads:
    """An executor of a person's own: threads of this process."""

    jobs: int | None = 1
    threads: int | None = None

    def open(self, folder: Path, cells: int) -> Executor:
        return ThreadPoolExecutor(self.jobs or cells)


@dataclass(frozen=True)
class Instead:
    """An executor whose pool returns what `act` does with a call."""

    act: Any
    jobs: int | None = None
    threads: int | None = None

    @contextmanager
    def open(self, folder: Path, cells: int) -> Iterator[Any]:
        yield self

    def submit(self, call: Any, cell: mk.Cell) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(self.act(call, cell))
        except Exception as error:
            future.set_exception(error)
        return future


def failing(monkeypatch: pytest.MonkeyPatch, *failures: tuple[mk.Cell, Exception]) -> list[mk.Cell]:
    """Let cells fail instead of running, and the others succeed at once. Returns those that ran."""
    ran: list[mk.Cell] = []

    def run_cell(self: Sweep, cell: mk.Cell, callbacks: object = ()) -> str:
        ran.append(cell)
        for other, error in failures:
            if cell == other:
                raise error
        return str(cell)

    monkeypatch.setattr(Sweep, "run_cell", run_cell)
    return ran


# Order, failures, stops ---------------------------------------------------------------------------


def test_a_cell_starts_as_soon_as_the_one_it_needs_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when all others of the first wave are finished."""
    began = threading.Event()

    def run_cell(self: Sweep, cell: mk.Cell, callbacks: object = ()) -> str:
        if cell == NEEDS_FIRST:
            began.set()
        if cell == OTHER:
            assert began.wait(20)
        return str(cell)

    monkeypatch.setattr(Sweep, "run_cell", run_cell)
    monkeypatch.setattr(scheduling, "_one_cell", nullcontext)
    lines: list[str] = []
    with pytest.raises(MpnasError, match="not begun"):  # there is no training to compare
        small(tmp_path).run(lines.append, executor=Threads(2))
    assert lines[0] == str(FIRST) and sorted(lines[1:]) == sorted([str(NEEDS_FIRST), str(OTHER)])


@pytest.mark.parametrize("executor", [Joblib(), Threads(1)], ids=["here", "thread"])
def test_cells_that_do_not_need_a_failed_one_run(
    executor: mk.Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = failing(monkeypatch, (FIRST, MpnasError("the disk is full.")))
    lines: list[str] = []
    with pytest.raises(MpnasError) as refused:
        small(tmp_path).run(lines.append, executor=executor)
    assert ran == [FIRST, OTHER]
    assert lines == [
        "1 of 3: mpnas, abdp, per_domain, seed 0: not finished",
        "2 of 3: random_paths, abdp, per_domain, seed 0: not finished",
        str(OTHER),
    ]
    assert str(refused.value) == (
        "2 of 3 cells did not finish:\n"
        "  mpnas, abdp, per_domain, seed 0: the disk is full.\n"
        "  random_paths, abdp, per_domain, seed 0: it needs the cell mpnas, abdp, per_domain, seed "
        "0.\n The same sweep continues with what is not finished."
    )


def test_the_command_ends_with_status_2_if_a_cell_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uniform = mk.Prioritizations.parse("uniform")
    failing(monkeypatch, (mk.Cell(mk.Bundle(), uniform), MpnasError("the disk is full.")))
    parts = ["--data", "tiny:suite", "--space", "tiny:space"]
    chosen = ["--approaches", "bundle", "--seeds", "0"]
    assert main(["sweep", "--run", str(tmp_path / "run"), *parts, *chosen]) == 2
    assert capsys.readouterr().err == (
        "mpnas: 1 of 1 cells did not finish: bundle, uniform, per_domain, seed 0: the disk is "
        "full. The same sweep continues with what is not finished.\n"
    )


def test_an_error_of_foreign_code_is_raised_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = failing(monkeypatch, (FIRST, ZeroDivisionError("in a reward")))
    with pytest.raises(ZeroDivisionError, match="in a reward") as raised:
        small(tmp_path).run(executor=Threads(1))
    assert OTHER in ran
    assert "2 of 3 cells did not finish" in raised.value.__notes__[0]


def test_an_error_comes_from_another_process_with_its_traceback() -> None:
    import pickle

    class Local(Exception):  # cannot be pickled
        pass

    for error, kind in ((ZeroDivisionError("zero"), ZeroDivisionError), (Local("x"), RuntimeError)):
        try:
            raise error
        except Exception as caught:
            back = pickle.loads(pickle.dumps(scheduling.Outcome(error=caught))).error
        assert type(back) is kind and "test_executors.py" in back.__notes__[0]


def test_a_stopped_cell_stops_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_cell(self: Sweep, cell: mk.Cell, callbacks: object = ()) -> str:
        raise StopRequested

    monkeypatch.setattr(Sweep, "run_cell", run_cell)
    sent: list[mk.Cell] = []

    def act(call: Any, cell: mk.Cell) -> Any:
        sent.append(cell)
        return call(cell)

    with pytest.raises(StopRequested):
        small(tmp_path).run(executor=Instead(act, jobs=1))
    assert sent == [FIRST]


def test_a_killed_process_is_one_sentence(tmp_path: Path) -> None:
    def act(call: Any, cell: mk.Cell) -> Any:
        raise BrokenExecutor("SIGKILL(-9)")

    message = "a process of this sweep was killed, probably because memory ran out for 2 jobs"
    with pytest.raises(MpnasError, match=message):
        small(tmp_path).run(executor=Instead(act, jobs=2))


def test_a_cell_whose_process_is_lost_is_named_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = failing(monkeypatch)

    def act(call: Any, cell: mk.Cell) -> Any:
        if cell == OTHER:
            raise OSError("worker 3 died")
        return call(cell)

    with pytest.raises(MpnasError, match="bundle.* its process was lost: OSError: worker 3 died"):
        small(tmp_path).run(executor=Instead(act))
    assert ran == [FIRST, NEEDS_FIRST]


def test_workers_that_do_not_see_the_run_folder_are_refused(tmp_path: Path) -> None:
    sweep = small(tmp_path)

    def act(call: Any, cell: mk.Cell) -> Any:
        (sweep.around.folder / "run.json").unlink()
        try:
            return call(cell)
        finally:
            sweep.around.begin()

    with pytest.raises(MpnasError, match=r"does not see .*run\.json: expected a folder that all"):
        sweep.run(executor=Instead(act))
    assert not (sweep.around.folder / "cells").exists()


def test_a_worker_with_another_release_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(call: Any, cell: mk.Cell) -> Any:
        with monkeypatch.context() as other:
            other.setattr(mk, "__version__", "9.9")
            return call(cell)

    with pytest.raises(MpnasError, match=r"has release 9\.9 of the kit, and the sweep has"):
        small(tmp_path).run(executor=Instead(act))


def test_two_cells_in_threads_of_one_process_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def run_cell(self: Sweep, cell: mk.Cell, callbacks: object = ()) -> str:
        assert refused.wait(20)
        return str(cell)

    monkeypatch.setattr(Sweep, "run_cell", run_cell)

    def tell(line: str) -> None:
        if "not finished" in line:
            refused.set()

    with pytest.raises(MpnasError, match="runs another cell in another thread: expected workers"):
        small(tmp_path).run(tell, executor=Threads(2))


def test_cells_have_the_threads_of_the_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    seen: list[int] = []

    def run_cell(self: Sweep, cell: mk.Cell, callbacks: object = ()) -> str:
        seen.append(torch.get_num_threads())
        raise MpnasError("seen.")

    monkeypatch.setattr(Sweep, "run_cell", run_cell)
    before = torch.get_num_threads()
    for executor in (Joblib(threads=3), Threads(1, threads=2)):
        with pytest.raises(MpnasError, match="seen"):
            small(tmp_path, [OTHER]).run(executor=executor)
    assert seen == [3, 2] and torch.get_num_threads() == before


# Texts --------------------------------------------------------------------------------------------


def test_executors_are_read_from_text() -> None:
    assert read_executor(None) == Joblib()
    assert read_executor("joblib", "3") == read_executor("joblib(jobs=3)", 3) == Joblib(3)
    assert read_executor("dask", 2) == Dask(jobs=2)
    own = read_executor(f"{__file__}:Threads(threads=2)", 4)
    assert (type(own).__name__, own.jobs, own.threads) == ("Threads", 4, 2)
    slurm = read_executor("slurm(partition='gpu', cpus=4, options={'account': 'vision'})")
    assert slurm == Slurm("gpu", cpus=4, options={"account": "vision"}) and slurm.threads == 4


@pytest.mark.parametrize(
    ("text", "jobs", "words"),
    [
        ("dsak", None, "did you mean 'dask'"),
        ("joblib(jobs=2)", "3", "jobs is 3, but executor .* has 2: give the number once"),
        ("joblib", "0", "jobs must be a whole number from 1 to 1,024"),
        ("joblib(threads=0)", None, "threads must be a whole number"),
        ("dask(scheduler=8786)", None, "scheduler must be text"),
        ("dask(scheduler='')", None, "dask: scheduler must be text"),
        ("slurm(time='long')", None, "time must be a whole number"),
        ("slurm(partition='a\\nb')", None, "partition must be text without line breaks"),
        ("slurm(options=['account'])", None, "options must be a dict of options of sbatch"),
        ("slurm(options={'account': 'a\\nb'})", None, "options must be a dict of options"),
        ("slurm(cluster='pbs')", None, "cluster must be 'slurm' or 'local'"),
        ("fractions:Fraction(numerator=1)", None, "has no method open"),
    ],
)
def test_executors_that_cannot_be_are_refused(text: str, jobs: str | None, words: str) -> None:
    with pytest.raises(MpnasError, match=words):
        read_executor(text, jobs)


@pytest.mark.parametrize(
    ("executor", "module"), [(Dask(), "distributed"), (Slurm(), "submitit")], ids=["dask", "slurm"]
)
def test_a_missing_extra_is_one_sentence(
    executor: mk.Executor, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MpnasError, match=r"not installed: pip install 'mpnas-kit\[(dask|slurm)\]'"):
        small(tmp_path).run(executor=executor)
    assert not (tmp_path / "run").exists()


# Clusters -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """A tracker that asks the search to stop after step 2, once."""

    folder: str

    def check(self) -> None:
        """Nothing is checked."""

    def begin(self, start: Any) -> "Ask":
        return self

    def __call__(self, event: Any) -> None:
        asked = Path(self.folder) / "asked"
        if event.step == 2 and not asked.exists():
            asked.touch()
            mk.request_stop(self.folder, event.stage)

    def end(self, result: Any) -> None:
        """Nothing is logged."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> mk.analysis.Comparison:
    """What the cells give in this process."""
    return small(tmp_path_factory.mktemp("alone"), [FIRST, NEEDS_FIRST]).run()


@pytest.fixture
def workers_find_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(TESTS), str(TESTS / "runs"), str(TESTS.parent)])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.mark.usefixtures("workers_find_tests")
def test_cells_in_a_dask_cluster_stop_continue_and_give_equal_results(
    tmp_path: Path, alone: mk.analysis.Comparison
) -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    sweep = small(tmp_path, [FIRST, NEEDS_FIRST])
    ask = Ask(str(sweep.folder(FIRST)))
    with pytest.raises(StopRequested):
        sweep.run(callbacks=[ask], executor=Dask(jobs=1))
    watch = mk.Watch(sweep.folder(FIRST), "search")
    assert (watch.poll().state, watch.poll().step) == ("stopped", 2)
    lines: list[str] = []
    result = sweep.run(lines.append, executor=Dask(jobs=1))
    assert "MALLOC_TRIM_THRESHOLD_" not in os.environ, "dask sets it while it starts workers"
    assert [line[:7] for line in lines] == ["1 of 2:", "2 of 2:"]
    assert result.domains.equals(alone.domains)


def test_a_dask_worker_with_threads_and_a_missing_scheduler_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr(executors, "_PATIENCE", 1)
    with pytest.raises(MpnasError, match=r"no dask scheduler answers at 'tcp://127\.0\.0\.1:1'"):
        small(tmp_path).run(executor=Dask("tcp://127.0.0.1:1"))
    with pytest.raises(MpnasError, match="no dask scheduler answers at 'nowhere"):
        small(tmp_path).run(executor=Dask("nowhere://x"))
    for workers, words in ((1, "has 2 threads for tasks: expected one"), (0, "has no workers")):
        with (
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=2,
                processes=False,
                protocol="tcp",
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            pytest.raises(MpnasError, match=words),
        ):
            small(tmp_path).run(executor=Dask(cluster.scheduler_address))
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("workers_find_tests")
@pytest.mark.parametrize("executor", [Joblib(2), Slurm(cluster="local")], ids=["joblib", "slurm"])
def test_cells_in_other_processes_give_equal_results(
    executor: mk.Executor, tmp_path: Path, alone: mk.analysis.Comparison
) -> None:
    if isinstance(executor, Slurm):
        pytest.importorskip("submitit", reason="needs the extra slurm")
    sweep = small(tmp_path, [FIRST, NEEDS_FIRST])
    lines: list[str] = []
    result = sweep.run(lines.append, executor=executor)
    assert [line[:7] for line in lines] == ["1 of 2:", "2 of 2:"]
    assert result.domains.equals(alone.domains)
    if isinstance(executor, Joblib):
        return
    logs = {path.suffix for path in (sweep.around.folder / "slurm").iterdir()}
    assert logs == {".out", ".err"}, "pickles are deleted"


def test_what_sbatch_gets_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="needs the extra slurm")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(MpnasError, match="needs the command sbatch, which is not on this machine"):
        small(tmp_path).run(executor=Slurm())
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "srun", "scancel"):
        script = tmp_path / "bin" / name
        script.write_text(
            f'#!/bin/sh\nwhile read line; do echo "$line"; done < $1 > {tmp_path}/{name}.txt\n'
            "echo 'sbatch: error: invalid partition specified: gpux' >&2\nexit 1\n"
        )
        script.chmod(0o755)
    wanted = Slurm("gpux", 90, 4, 16, gpus=1, options={"account": "vision"})
    with pytest.raises(MpnasError, match="it cannot be sent to a worker: .*invalid partition"):
        small(tmp_path, [OTHER]).run(executor=wanted)
    asked = (tmp_path / "sbatch.txt").read_text()
    for flag in ("partition=gpux", "time=90", "cpus-per-task=4", "mem=16GB", "account=vision"):
        assert f"#SBATCH --{flag}\n" in asked, asked
    assert re.search(r"#SBATCH --gpus-per-node=1\n", asked)


def test_a_job_whose_time_is_over_begins_again() -> None:
    pytest.importorskip("submitit", reason="needs the extra slurm")
    again = _Again(max)
    assert again(2, 3) == 3
    submission = again.checkpoint(2, 3)
    assert (submission.function, submission.args) == (again, (2, 3))
