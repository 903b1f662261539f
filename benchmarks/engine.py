"""Measure the speed of the engine against loops, peers and its floor: ratios of times.

    python benchmarks/engine.py --json bench.json              # all lines, about half an hour
    python benchmarks/engine.py --only step,nni --json bench.json

A line is a ratio A / B of two times that are measured in turn in one process, `repeats` times.
Printed are the median, smallest and largest ratio by processor time (cpu) and by the clock (wall).
Lines with one thread run on one core. `--json` keeps every finished line, and a command with the
same file does not measure it again. So nni, which needs a Python of its own, can be measured into
the same file.

Search steps are those of the ten pocket domains after the warm-up: 32 images per domain, 4 sampled
paths of 32 reward images, all choices equally likely. Loops get the batches and the paths of the
engine's steps, and have no controllers. Below, "A over B" names the two times.

- step: the obvious loop (`obvious.py`, with torch's own depthwise gradients) over the engine. step
  channels-last: the same, with maps and kernels of the loop channels-last. step eager: the same
  with the eager kernels of the kit.
- kernels: the engine with eager kernels over the engine with native ones.
- plain: the loop on plain torch modules without the kit (`peers.py`) over the engine. nni: the loop
  on a one-shot supernet of nni over the engine. torchjd: the loop on plain torch modules, with the
  Jacobian of torchjd and the mean of its rows, over the engine.
- large N: a training step on MobileNetV3-Large at N pixels, two domains of 16 images, with eager
  kernels over native ones. depthwise: the same at 32 pixels with eager kernels, with torch's
  depthwise gradients over those of the kit.
- cores: a search step with one thread over one with two. cores N: the same for a training step on
  MobileNetV3-Large. busy: a search step with two threads beside a busy process over one without it.
- candidates: a search step with 64 equal candidates per layer over one with 4. candidates met: the
  same, if paths choose among 4 of the 64, so that as many flows meet in a node. candidates
  memory: growth of the peak memory of the process over growth of weights, momenta and gradients.
- budget: growth of memory by a training of MobileNetV3-Large at 128 pixels, 4 domains of 32 images,
  with a memory budget of 1000 MB, over this budget, weights, momenta, gradients and averages.
- domains: time per domain of a training step with 80 domains on one path, over that with 10.
- floor: a search step over its multiply-adds at the speed of a large matrix product on the same
  core. Of a training pass these are three times those of the forward pass. floor torch: a search
  step over the convolutions, batch norms and activations of the eager step, each measured alone,
  with the shapes it has in the step; its best time of eleven counts.
- full: minutes of a search of 2000 steps by the supernet alone, from seconds of a step in its
  warm-up and later.
- input: time to draw and augment batches over a search step.
- checkpoint: time of one checkpoint every 100 steps over these steps.
- inference 1, inference 64: the path of a domain in a union of ten over the same path alone, with
  batches of 1 and 64 images.
- pages: a training step of ten domains if glibc gives large blocks of memory back at once, over one
  if it keeps them. tcmalloc: a search step with eager kernels over the same with tcmalloc.

After the table: shares of the time of a search step.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import floor
import search_steps
import surroundings
import training_steps
from ratios import Unavailable, one_core
from search_steps import Rows, Size

from mpnas_kit import files
from mpnas_kit.engine.runtime import reproducible


@dataclass(frozen=True)
class Line:
    """A line of the benchmark.

    measure: function that returns its rows.
    cores: whether it may use several cores.
    """

    measure: Callable[[Size], Rows]
    cores: bool = False


@dataclass
class Result:
    """Result of a line, as it is in the JSON file.

    rows: values by row and measure. repeats: values per measure.
    seconds: time that it took to measure them.
    """

    rows: Rows
    repeats: int
    seconds: float


LINES: dict[str, Line] = {
    "step": Line(search_steps.step),
    "step eager": Line(search_steps.step_eager),
    "kernels": Line(search_steps.kernels),
    "plain": Line(search_steps.plain),
    "nni": Line(search_steps.nni),
    "torchjd": Line(search_steps.torchjd),
    "large": Line(training_steps.large),
    "depthwise": Line(training_steps.depthwise),
    "cores": Line(surroundings.cores, cores=True),
    "busy": Line(surroundings.busy, cores=True),
    "candidates": Line(search_steps.candidates),
    "memory": Line(surroundings.memory),
    "budget": Line(surroundings.budget),
    "domains": Line(training_steps.domains),
    "floor": Line(floor.floor),
    "floor torch": Line(floor.torch_floor),
    "full": Line(search_steps.full),
    "input": Line(search_steps.inputs),
    "checkpoint": Line(search_steps.checkpoint),
    "inference": Line(training_steps.inference),
    "pages": Line(surroundings.pages),
    "tcmalloc": Line(surroundings.tcmalloc),
}
GOALS: dict[tuple[str, str], str] = {  # by row and measure
    ("step", "cpu"): "at least 5.0",
    ("step channels-last", "cpu"): "at least 3.7",
    ("nni", "cpu"): "at least 4.0",
    ("large 96", "cpu"): "at least 1.8",
    ("cores", "wall"): "at least 1.6",
    ("busy", "wall"): "at most 2.0",
    ("candidates", "cpu"): "at most 1.10",
    ("candidates met", "cpu"): "at most 1.10",
    ("candidates memory", "bytes"): "at most 1",
    ("budget", "bytes"): "at most 1",
    ("domains", "cpu"): "at most 1.05",
    ("full", "cpu min"): "at most 4.0",
    ("input", "cpu"): "at most 0.05",
    ("checkpoint", "wall"): "at most 0.03",
    ("inference 1", "cpu"): "at most 1.03",
    ("inference 64", "cpu"): "at most 1.03",
}


def chosen_lines(text: str | None) -> list[str]:
    """Return the names of the lines in a text such as `step,nni`; None: all lines."""
    names = list(LINES) if text is None else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in LINES]
    if unknown:
        raise SystemExit(f"there is no line {unknown[0]!r}: expected some of {', '.join(LINES)}.")
    return names


def measure(line: Line, size: Size) -> Result:
    """Measure a line. If it has one thread, it runs on one core."""
    began = time.perf_counter()
    with reproducible(1, 32), contextlib.nullcontext() if line.cores else one_core():
        rows = line.measure(size)
    return Result(rows, size.repeats, time.perf_counter() - began)


def print_rows(rows: Rows) -> None:
    """Print median, smallest and largest value of every row and measure, and the goal."""
    for row, measures in rows.items():
        for name, values in measures.items():
            figures = (statistics.median(values), min(values), max(values))
            columns = "".join(f"{figure:9.3f}" for figure in figures)
            print(f"{row:25}{name:8}{columns}  {GOALS.get((row, name), '')}".rstrip(), flush=True)


def print_shares(shares: Mapping[str, float]) -> None:
    """Print the shares of the time of a step."""
    print("\nwhere a search step spends its time")
    for kind, share in shares.items():
        print(f"{kind:25}{share:8.1%}")


def main() -> None:
    """Measure and print the lines, and keep the results in the file of --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="LINES", help=f"some of: {', '.join(LINES)}")
    parser.add_argument("--repeats", type=int, default=Size.repeats)
    parser.add_argument("--json", metavar="FILE", type=Path)
    given = parser.parse_args()
    names, size = chosen_lines(given.only), Size(repeats=given.repeats)
    results: dict[str, Result] = {}
    if given.json is not None and given.json.exists():
        results = files.read_json(given.json, dict[str, Result])
        print(f"finished lines are read from {given.json}; remove it to measure them anew\n")
    print(f"{'A / B':25}{'by':8}{'median':>9}{'least':>9}{'most':>9}  goal")
    for name in names:
        if name not in results or results[name].repeats != size.repeats:
            try:
                results[name] = measure(LINES[name], size)
            except Unavailable as error:
                print(f"{name:25}skipped: {error}", flush=True)
                continue
            if given.json is not None:
                files.write_json(given.json, {n: asdict(r) for n, r in results.items()})
        print_rows(results[name].rows)
    if given.only is None:
        with reproducible(1, 32), one_core():
            print_shares(floor.shares(size))
    print(f"\n{sum(r.seconds for n, r in results.items() if n in names) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
