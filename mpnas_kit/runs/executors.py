"""Executors: where the cells of a sweep run.

    joblib(jobs=2)                               processes of this machine
    dask(scheduler='tcp://host:8786')            workers of a dask cluster
    slurm(partition='gpu', time=120, cpus=4)     jobs of a SLURM cluster, through submitit

An executor opens a pool, which is a `concurrent.futures.Executor`. Nearly every library for
clusters has one, so an executor of your own is one class. `joblib.Parallel` is no such pool: its
calls may not wait for each other, and cells do. So joblib gives its processes only, and the client
of dask is used without joblib between.

All processes share the run folder. A call that was begun is not interrupted by its pool, unless the
pool is closed.
"""

import concurrent.futures
import contextlib
import importlib
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from mpnas_kit import files
from mpnas_kit.engine.parent import end_with_parent
from mpnas_kit.errors import MpnasError, one_line, short
from mpnas_kit.parts import Kind, by_text_name, lacks_attributes
from mpnas_kit.settings import check, convert, require
from mpnas_kit.values import Range, convert_text

JOBS = Range(1, 1024)
THREADS = Range(1, 1024)
MINUTES = Range(1, 525_600)
_PATIENCE = 30  # seconds in which a dask cluster must answer
_PAUSE = 0.5  # seconds between two looks at the jobs of SLURM
_MOST_TIMES = 50  # how often a cell may use up the time of its job, and continue in the next one
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@runtime_checkable
class Executor(Protocol):
    """Where the cells of a sweep run: `Joblib`, `Dask`, `Slurm`, or one of your own.

    jobs: most cells that run at the same time; None: as many as the pool takes.
    threads: CPU threads of a cell; None: as many as torch has in the processes of the pool.

    A process of the pool runs one cell at a time.

    >>> from concurrent.futures import ProcessPoolExecutor
    >>> @dataclass(frozen=True)
    ... class Processes:
    ...     jobs: int = 2
    ...     threads: int | None = 1
    ...     def open(self, folder, cells):
    ...         return ProcessPoolExecutor(min(self.jobs, cells))
    >>> isinstance(Processes(), mk.Executor)
    True
    """

    @property
    def jobs(self) -> int | None:
        """Most cells that run at the same time."""
        ...

    @property
    def threads(self) -> int | None:
        """CPU threads of a cell."""
        ...

    def open(
        self, folder: pathlib.Path, cells: int
    ) -> AbstractContextManager[concurrent.futures.Executor]:
        """Return a context with the pool. Its end ends all calls.

        folder: run folder, which all processes share.
        cells: number of cells of the sweep, at least 1.

        Raises `MpnasError` if the pool cannot be had.
        """
        ...


@dataclass(frozen=True)
class Joblib:
    """Cells run in processes of this machine, which joblib starts.

    jobs: number of cells that run at the same time, 1 to 1,024. With 1, there are no other
    processes: cells run in this one.
    threads: CPU threads of a cell, 1 to 1,024; None: with several jobs a share of the processors,
    unless `OMP_NUM_THREADS` is set, and with one job those of this process.

    Raises `MpnasError` for a value out of its range.

    >>> mk.sweep_of(run).run(executor=mk.Joblib(jobs=2))  # doctest: +SKIP
    """

    jobs: Annotated[int, JOBS] = 1
    threads: Annotated[int | None, THREADS] = None

    def __post_init__(self) -> None:
        check(self)

    @contextmanager
    def open(self, folder: pathlib.Path, cells: int) -> Iterator[concurrent.futures.Executor]:
        """Return a context with the pool (see `Executor.open`)."""
        if self.jobs == 1:
            yield _Here()
            return
        from joblib.externals.loky import ProcessPoolExecutor

        jobs = min(self.jobs, cells)
        pool = ProcessPoolExecutor(
            jobs,
            initializer=end_with_parent,
            initargs=(os.getpid(),),
            env=_thread_variables(self.threads, jobs),
        )
        try:
            yield pool
        finally:
            pool.shutdown(kill_workers=True)


@dataclass(frozen=True)
class Dask:
    """Cells run in the workers of a dask cluster. Needs the extra `dask`.

    A worker has one thread (`dask worker ... --nthreads 1`), because seeds and settings of torch
    belong to a process. A worker that is killed is started again by its nanny, and its cell
    continues. Dask gives up a cell that loses several workers.

    scheduler: address of the scheduler, such as `tcp://host:8786`; None: a cluster on this machine
    that ends with the sweep.
    jobs: most cells that run at the same time, 1 to 1,024; None: as many as there are workers. A
    cluster on this machine has so many workers; None: one per processor.
    threads: CPU threads of a cell, 1 to 1,024; None: as many as torch has in a worker, and in a
    cluster on this machine a share of the processors, unless `OMP_NUM_THREADS` is set.

    Raises `MpnasError` for a value out of its range.

    >>> dask = mk.Dask(scheduler="tcp://host:8786")
    >>> mk.sweep_of(run).run(executor=dask)  # doctest: +SKIP
    """

    scheduler: str | None = None
    jobs: Annotated[int | None, JOBS] = None
    threads: Annotated[int | None, THREADS] = None

    def __post_init__(self) -> None:
        check(self)
        if self.scheduler is not None:
            convert_text(self.scheduler, "dask: scheduler")

    @contextmanager
    def open(self, folder: pathlib.Path, cells: int) -> Iterator[concurrent.futures.Executor]:
        """Return a context with the pool (see `Executor.open`)."""
        distributed = _imported("distributed", "dask")
        with ExitStack() as stack:
            address = self.scheduler or stack.enter_context(self._on_this_machine(cells))
            try:
                client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
            except (OSError, ValueError, TypeError, RuntimeError) as error:
                raise MpnasError(
                    f"no dask scheduler answers at {short(address)} ({one_line(error)[:120]}): "
                    "expected the address of one, such as tcp://host:8786."
                ) from None
            stack.enter_context(client)
            _check_workers(client, address)
            yield client.get_executor(pure=False)

    @contextmanager
    def _on_this_machine(self, cells: int) -> Iterator[str]:
        """Yield the address of a cluster of processes of this machine.

        Dask changes the environment of this process, too. It is restored.
        """
        import joblib

        dask, distributed = _imported("dask", "dask"), _imported("distributed", "dask")
        jobs = min(self.jobs or joblib.cpu_count(), cells)
        before = dict(os.environ)
        own = {
            **_thread_variables(self.threads, jobs),
            "MALLOC_TRIM_THRESHOLD_": None,  # the kit keeps pages (`engine.runtime`)
        }
        try:
            with (
                dask.config.set({"distributed.nanny.pre-spawn-environ": own}),
                distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    silence_logs="CRITICAL",
                ) as cluster,
            ):
                yield str(cluster.scheduler_address)
        finally:
            os.environ.clear()
            os.environ.update(before)


@dataclass(frozen=True)
class Slurm:
    """Cells run in jobs of a SLURM cluster, which submitit submits. Needs the extra `slurm`.

    Give the command on a machine of the cluster that has `sbatch`. It waits for the jobs, and its
    end cancels those that are left. A cell whose job has used up its time continues in another job.
    Logs are in `RUN/slurm`.

    partition: partition of the cluster; None: the default one.
    time: longest time of a job, in minutes, 1 to 525,600.
    cpus: processors, and CPU threads, of a cell, 1 to 1,024.
    mem_gb: memory of a job, in GB, up to 65,536; None: that of the cluster.
    gpus: GPUs of a job, 0 to 64.
    jobs: most jobs that are submitted at the same time, 1 to 1,024; None: no limit.
    options: other options of `sbatch`, such as `{'account': 'vision', 'qos': 'low'}`.
    cluster: `slurm`; `local` runs the jobs on this machine, to try a command.

    Raises `MpnasError` for a value out of its range.

    >>> slurm = mk.Slurm(partition="gpu", time=120, cpus=4, mem_gb=16, gpus=1)
    >>> mk.sweep_of(run).run(executor=slurm)  # doctest: +SKIP
    """

    partition: str | None = None
    time: Annotated[int, MINUTES] = 60
    cpus: Annotated[int, THREADS] = 1
    mem_gb: Annotated[float | None, Range(0, 65_536, above=True)] = None
    gpus: Annotated[int, Range(0, 64)] = 0
    jobs: Annotated[int | None, JOBS] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    cluster: Literal["slurm", "local"] = "slurm"

    def __post_init__(self) -> None:
        check(self)
        if self.partition is not None:
            convert_text(self.partition, "slurm: partition")
        require(
            isinstance(self.options, Mapping)
            and all(map(_is_option, self.options.keys(), self.options.values())),
            "slurm: options must be a dict of options of sbatch, such as {'account': 'vision'}, "
            f"not {short(self.options)}.",
        )

    @property
    def threads(self) -> int:
        """CPU threads of a cell: `cpus`."""
        return self.cpus

    @contextmanager
    def open(self, folder: pathlib.Path, cells: int) -> Iterator[concurrent.futures.Executor]:
        """Return a context with the pool (see `Executor.open`)."""
        submitit = _imported("submitit", "slurm")
        missing = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
        if self.cluster == "slurm" and missing:
            raise MpnasError(
                f"slurm needs the command {missing[0]}, which is not on this machine: start the "
                "sweep on a machine of the cluster that has it, or try slurm(cluster='local')."
            )
        logs = folder.absolute() / "slurm"
        require("%" not in str(logs), f"slurm cannot use {logs}: expected a run folder without %.")

        def begin() -> Any:
            times = {f"{self.cluster}_max_num_timeout": _MOST_TIMES}
            executor = submitit.AutoExecutor(files.make_folder(logs), self.cluster, **times)
            executor.update_parameters(
                name="mpnas",
                timeout_min=self.time,
                cpus_per_task=self.cpus,
                mem_gb=self.mem_gb,
                gpus_per_node=self.gpus or None,
                slurm_partition=self.partition,
                slurm_additional_parameters=dict(self.options) or None,
            )
            return executor

        pool = _Jobs(begin)
        try:
            yield pool
        finally:
            pool.shutdown()


def _lacks(value: Any) -> str | None:
    """Return what `value` lacks to be an executor."""
    return lacks_attributes(value, "open(folder, cells)", "jobs", "threads")


EXECUTOR = Kind("executor", by_text_name(Joblib, Dask, Slurm), _lacks)


def read_executor(text: str | None, jobs: object = None) -> Executor:
    """Return the executor that a text describes.

    text: such as `slurm(partition='gpu')`; None: `joblib`.
    jobs: number of cells that run at the same time, also as text; None: as the text says.

    Raises `MpnasError` if the text cannot be read, or says another number of jobs.

    >>> read_executor(None, "2")
    Joblib(jobs=2, threads=None)
    """
    number = None if jobs is None else convert(jobs, Annotated[int, JOBS], "jobs")
    supply = {} if number is None else {"jobs": number}
    executor: Executor = EXECUTOR.parse(text or "joblib", supply=supply)
    require(
        number is None or executor.jobs == number,
        f"jobs is {jobs}, but executor {short(text)} has {executor.jobs}: give the number once.",
    )
    return executor


def runs_here(executor: Executor) -> bool:
    """Return whether the cells run in this process, so that it can call any callback."""
    return isinstance(executor, Joblib) and executor.jobs == 1


# Pools --------------------------------------------------------------------------------------------


class _Here(concurrent.futures.Executor):
    """A pool without other processes: a call is done when it is submitted."""

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass(frozen=True)
class _Again:
    """A call that submitit may begin again, in another job, when the time of its job is over."""

    call: Callable[..., Any]

    def __call__(self, *given: Any) -> Any:
        return self.call(*given)

    def checkpoint(self, *given: Any) -> Any:
        """Return what the next job does. submitit calls this."""
        return _imported("submitit.helpers", "slurm").DelayedSubmission(self, *given)


class _Jobs(concurrent.futures.Executor):
    """The jobs of submitit as a pool. A thread looks at them, and deletes their pickles.

    begin: returns the executor of submitit. It is called before the first job.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._executor: Any = None  # of submitit
        self._jobs: dict[concurrent.futures.Future[Any], Any] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jobs of slurm", daemon=True)
        self._thread.start()

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Submit a job. Raises an error of submitit if the cluster refuses it."""
        if self._executor is None:
            self._executor = self._begin()
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._jobs[future] = self._executor.submit(_Again(fn), *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel the jobs that are left."""
        self._closed.set()
        self._thread.join()
        for job in self._jobs.values():
            _cancel(job)
        self._jobs.clear()

    def _watch(self) -> None:
        while not self._closed.wait(_PAUSE):
            for future, job in list(self._jobs.items()):
                try:
                    self._look(future, job)
                except Exception as error:  # of submitit or of a file system
                    del self._jobs[future]
                    future.set_exception(error)

    def _look(self, future: concurrent.futures.Future[Any], job: Any) -> None:
        """Look at a job once."""
        if future.cancelled():
            del self._jobs[future]
            _cancel(job)
        elif job.done():
            if future.running() or future.set_running_or_notify_cancel():
                _give_result(future, job)
                del self._jobs[future]
        elif job.state.upper() == "RUNNING" and not future.running():
            future.set_running_or_notify_cancel()


def _give_result(future: concurrent.futures.Future[Any], job: Any) -> None:
    """Give a future the result of a job that has ended, and delete the pickles of the job."""
    try:
        result = job.result()
    except Exception as error:
        unfinished = type(error).__name__ == "UncompletedJobError"
        how = f"ended without a result (state {job.state})" if unfinished else "failed"
        future.set_exception(MpnasError(f"its job {job.job_id} {how}: see {job.paths.stderr}."))
    else:
        future.set_result(result)
    for path in (job.paths.submitted_pickle, job.paths.result_pickle):
        with contextlib.suppress(MpnasError):
            files.remove_file(path)


def _cancel(job: Any) -> None:
    with contextlib.suppress(OSError):
        job.cancel(check=False)


def _check_workers(client: Any, address: str) -> None:
    """Raise `MpnasError` if a dask cluster has no workers, or one with several threads."""
    if not client.nthreads():  # a cluster that adapts starts workers when there is work
        try:
            client.submit(int, pure=False).result(timeout=_PATIENCE)
        except TimeoutError:
            raise MpnasError(
                f"the dask scheduler at {address} has no workers: start some, as with `dask worker "
                f"{address} --nworkers 4 --nthreads 1`."
            ) from None
    for worker, threads in client.nthreads().items():
        if threads > 1:
            raise MpnasError(
                f"the dask worker {worker} has {threads} threads for tasks: expected one, as with "
                f"`dask worker {address} --nworkers 4 --nthreads 1`, because seeds and settings of "
                "torch belong to a process."
            )


def _is_option(name: object, value: object) -> bool:
    """Return whether an option of sbatch and its value are plain words."""
    return (
        isinstance(name, str)
        and name.replace("_", "").replace("-", "").isalnum()
        and isinstance(value, str | int | float)
        and str(value).isprintable()
    )


def _thread_variables(threads: int | None, jobs: int) -> dict[str, str]:
    """Return the environment variables that give the processes of a pool their threads.

    threads: number of threads of a process; None: a share of the processors. What this process was
    given then stays.
    jobs: number of processes.
    """
    import joblib

    share = str(threads or max(1, joblib.cpu_count() // jobs))
    return {name: share if threads else os.environ.get(name, share) for name in _VARIABLES}


def _imported(name: str, extra: str) -> Any:
    """Return a module of an extra of the kit. Raises `MpnasError` if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MpnasError(
            f"executor {extra} needs a package that is not installed: pip install "
            f"'mpnas-kit[{extra}]'."
        ) from None
