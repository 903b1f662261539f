"""Ratios of times that are measured in turn, shared by the benchmarks."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

Ratio = list[float]


class Unavailable(Exception):
    """Something cannot be measured here. The message says what it needs."""


class Times(NamedTuple):
    """Seconds that calls took.

    cpu: time of the processor for this process. Other processes change it little.
    wall: time by the clock.
    """

    cpu: float
    wall: float


def timed(call: Callable[[], object], count: int = 1) -> Times:
    """Return the times of `count` calls."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        call()
    return Times(time.process_time() - cpu, time.perf_counter() - wall)


def turns(
    one: Callable[[], object],
    other: Callable[[], object],
    repeats: int,
    count: int = 1,
    scale: float = 1.0,
) -> dict[str, Ratio]:
    """Return times of `one` divided by times of `other` for both clocks, measured in turn.

    In each turn `other` runs first. There is one turn more, which does not count.

    count: calls per time. scale: factor of the ratios.
    """
    found = [(timed(other, count), timed(one, count)) for _ in range(repeats + 1)]
    return over([(first, second) for second, first in found[1:]], scale)


def over(pairs: list[tuple[Times, Times]], scale: float = 1.0) -> dict[str, Ratio]:
    """Return the ratio of each pair of times, for both clocks."""
    return {
        "cpu": [scale * one.cpu / other.cpu for one, other in pairs],
        "wall": [scale * one.wall / other.wall for one, other in pairs],
    }


@contextmanager
def one_core() -> Iterator[None]:
    """Inside, this thread runs on one core only: the last one that it may use. Linux only."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def ratio(one: Callable[[], object], other: Callable[[], object], repeats: int) -> Ratio:
    """Return times of `one` divided by times of `other`, measured in turn."""
    count = 1
    while seconds(one, count) < 0.05:
        count *= 2
    seconds(other, count)
    return [seconds(one, count) / seconds(other, count) for _ in range(repeats)]


def seconds(call: Callable[[], object], count: int) -> float:
    """Return the processor time of `count` calls."""
    return timed(call, count).cpu


def print_ratios(found: Mapping[str, Ratio]) -> None:
    """Print median, smallest and largest of every ratio."""
    print(f"{'A / B':20}{'median':>8}{'least':>8}{'most':>8}")
    for name, values in found.items():
        middle = statistics.median(values)
        print(f"{name:20}{middle:8.3f}{min(values):8.3f}{max(values):8.3f}")


def run(about: str, measure: Callable[[int, int], dict[str, Ratio]]) -> None:
    """Run a benchmark of a number of domains with one thread, and print it.

    about: what it is, for `--help`.
    measure: function of the number of domains and of repeats that returns the ratios by name.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--domains", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(given.domains, given.repeats)
    print_ratios(found)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2))
