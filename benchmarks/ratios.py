"""Ratios of processor times that are measured in turn, shared by the benchmarks."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

Ratio = list[float]


def ratio(one: Callable[[], object], other: Callable[[], object], repeats: int) -> Ratio:
    """Return times of `one` divided by times of `other`, measured in turn."""
    count = 1
    while seconds(one, count) < 0.05:
        count *= 2
    seconds(other, count)
    return [seconds(one, count) / seconds(other, count) for _ in range(repeats)]


def seconds(call: Callable[[], object], count: int) -> float:
    """Return the processor time of `count` calls."""
    began = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - began


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
