"""What surrounds a step: cores, other processes, the allocator, and the memory of the process."""

import mpnas_kit as mk  # before torch: it sets how threads wait

# isort: split
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library as find_shared_library
from pathlib import Path
from typing import Any

import torch
from ratios import Ratio, Times, Unavailable, one_core, over, timed, turns
from search_steps import Rows, Size, Steps, twins
from training_steps import large_step, training_step

from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.kernels.library import find_library
from mpnas_kit.kernels.threads import use_kernel_threads
from mpnas_kit.space.spaces import mobilenet_v3_large
from mpnas_kit.training.config import TrainConfig

GLIBC = "131072"  # glibc's default top pad; because it is set, the kit sets none of its own
BUDGET = 1000  # MB; one domain of four takes 460


def cores(size: Size) -> Rows:
    """Measure steps with one thread over the same with two, by the clock."""
    steps: dict[str, Callable[[], None]] = {"cores": Steps(size).engine}
    steps |= {
        f"cores {pixels}": large_step(pixels, size.images // 2) for pixels in size.pixels[-2:]
    }
    rows = {}
    for row, step in steps.items():
        one, two = (lambda s=step, n=n: _with_threads(n, s) for n in (1, 2))
        rows[row] = {"wall": turns(one, two, size.repeats)["wall"]}
    return rows


def _with_threads(count: int, call: Callable[[], None]) -> None:
    """Call with so many threads, as a stage does: the native kernels have them, or else torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(count if find_library() is None else 1)
    try:
        with use_kernel_threads(count):
            call()
    finally:
        torch.set_num_threads(before)


def busy(size: Size) -> Rows:
    """Measure a step with two threads beside a busy process over the same without it."""
    step = Steps(size).engine

    def alone() -> None:
        _with_threads(2, step)

    with _busy_process() as go_on:

        def beside() -> None:
            with go_on():
                alone()

        return {"busy": {"wall": turns(beside, alone, size.repeats)["wall"]}}


@contextmanager
def _busy_process() -> Iterator[Callable[[], Any]]:
    """Start a stopped process. Yields a context inside which it keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    process.send_signal(signal.SIGSTOP)

    @contextmanager
    def go_on() -> Iterator[None]:
        process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGSTOP)

    try:
        yield go_on
    finally:
        process.kill()
        process.wait()


def pages(size: Size) -> Rows:
    """Measure a training step if glibc gives large blocks back at once, over one if it does not."""
    found = [
        (_times("training step", MALLOC_TOP_PAD_=GLIBC), _times("training step"))
        for _ in range(size.repeats)
    ]
    return {"pages": over(found)}


def tcmalloc(size: Size) -> Rows:
    """Measure a step with eager kernels over the same with tcmalloc in place of glibc's malloc.

    Raises `Unavailable` if tcmalloc is missing.
    """
    library = find_shared_library("tcmalloc_minimal")
    if library is None:
        raise Unavailable("the line tcmalloc needs the package libtcmalloc-minimal4")
    found = [
        (_times("search step"), _times("search step", LD_PRELOAD=library))
        for _ in range(size.repeats)
    ]
    return {"tcmalloc": over(found)}


def _times(child: str, **environment: str) -> Times:
    return Times(*in_a_process(child, **environment))


def memory(size: Size) -> Rows:
    """Measure the growth of memory with candidates over that of weights and their state."""
    few, many = size.candidates

    def growth() -> float:
        (least, own), (most, theirs) = (
            in_a_process("memory", str(n), MALLOC_TOP_PAD_=GLIBC) for n in (few, many)
        )
        return float((most - least) / (theirs - own))

    values: Ratio = [growth() for _ in range(size.repeats)]
    return {"candidates memory": {"bytes": values}}


def budget(size: Size) -> Rows:
    """Measure the memory of a training with a memory budget over that budget and the weights."""

    def over_budget() -> float:
        growth, weights = in_a_process("budget", str(BUDGET), MALLOC_TOP_PAD_=GLIBC)
        return float(growth / (BUDGET * 1e6 + weights))

    return {"budget": {"bytes": [over_budget() for _ in range(size.repeats)]}}


def in_a_process(child: str, *options: str, **environment: str) -> Any:
    """Return what one of `CHILDREN` returns in a new process.

    environment: environment variables of the process.
    """
    done = subprocess.run(
        [sys.executable, __file__, child, *options],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _training_times() -> Times:
    step = training_step(10, 32)
    timed(step, 3)
    return timed(step, 5)


def _search_times() -> Times:
    steps = Steps(Size(), kernels="eager")
    steps.engine()
    return timed(steps.engine)


def _memory(candidates: str) -> tuple[int, int]:
    """Return the peak memory after some steps, and that of weights, momenta and gradients; bytes.

    Each call needs a new process, because the peak of a process never falls.
    """
    steps = Steps(Size(), twins(int(candidates)))
    for _ in range(8):
        steps.step()
    weights = sum(p.numel() * p.element_size() for p in steps.stage.net.parameters())
    return _memory_in_use("VmHWM"), 3 * weights


def _budget(megabytes: str, domains: int = 4, pixels: int = 128) -> tuple[int, int]:
    """Return by how much a training grows the memory, and four times its weights; bytes.

    Four, because there are momenta, gradients and averages as well. The training is that of
    MobileNetV3-Large on domains of noise.
    """
    space = mobilenet_v3_large(pixels)
    suite = mk.DomainSuite([_noise(f"domain{i}", pixels) for i in range(domains)], "noise")
    paths = dict.fromkeys(suite.names, space.parse(""))
    config = TrainConfig(steps=2, threads=1, memory_budget=int(megabytes))
    before = _memory_in_use("VmRSS")
    trained = mk.train(suite, space, paths, config)
    weights = sum(p.numel() * p.element_size() for p in trained.net.parameters())
    return _memory_in_use("VmHWM") - before, 4 * weights


def _noise(name: str, pixels: int) -> mk.Domain:
    generator = torch.Generator().manual_seed(0)
    splits = [
        mk.TensorSplit(
            torch.randint(0, 256, (images, 3, pixels, pixels), generator=generator).byte(),
            torch.arange(images) % 2,
        )
        for images in (64, 4, 4)
    ]
    return mk.Domain(name, ("even", "odd"), *splits)


def _memory_in_use(kind: str) -> int:
    """Return `VmRSS`, the memory of this process, or `VmHWM`, its peak; bytes. Linux only."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


CHILDREN: dict[str, Callable[..., Any]] = {
    "training step": _training_times,
    "search step": _search_times,
    "memory": _memory,
    "budget": _budget,
}


if __name__ == "__main__":
    with reproducible(1, 32), one_core():
        print(json.dumps(CHILDREN[sys.argv[1]](*sys.argv[2:])))
