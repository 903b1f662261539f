"""Measure what it costs to add a domain to a trained network, and what it gains.

For every seed, a network for digits, landcover and textures is searched and trained. Then letters
is added in these ways:

- `grown`: the network is frozen, and a path is searched through its nodes and new ones. Beta is the
  price of new parameters: 0 none, -0.1 the default, -1 a high one.
- `retrained, same paths`: the four paths of `grown` are trained from scratch, as one union.
- `searched again`: all four domains are searched and trained from scratch.
- `alone`: letters is searched and trained from scratch, as a network of its own.

All searches have the same number of steps, and all trainings. The table has one row per way: test
accuracy of letters, mean test accuracy of the other domains, parameters that come with letters,
parameters of all four domains (batch norms and classifiers included), and seconds of search and
training.

    python benchmarks/growth.py --out runs/growth            # about 20 minutes per seed on a core

A finished stage is never run again, so a killed study continues where it stopped.
"""

import mpnas_kit as mk  # before torch: it sets how threads wait

# isort: split
import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mpnas_kit.runs.profiles import COST, PLAIN
from mpnas_kit.runs.run import Run
from mpnas_kit.training.result import TrainResult

OLD, NEW = ("digits", "landcover", "textures"), "letters"
BETAS = (0.0, -0.1, -1.0)


def run_of(folder: Path, domains: Sequence[str]) -> Run:
    """Return the run of some pocket domains in a folder."""
    return Run(folder, profile="full", data="pocket", space="pocket", domains=domains)


def row(way: str, seed: int, trained: TrainResult, before: int, seconds: float) -> dict[str, Any]:
    """Return a row of the table. before: parameters of the network without letters."""
    test = trained.accuracy("test")
    others = test.drop(NEW)
    total = mk.analysis.account(trained.structure, trained.paths).parameters()
    return {
        "way": way,
        "seed": seed,
        "letters": test[NEW],
        "others": others.mean() if len(others) else float("nan"),
        "added": total - before,
        "parameters": total if len(others) else total + before,
        "seconds": seconds,
    }


def seconds_of(run: Run, *stages: Any) -> float:
    """Return how long finished stages took."""
    return sum(float(run.about(stage)["seconds"]) for stage in stages)


def rows(out: Path, search_steps: int, train_steps: int, seed: int) -> Iterator[dict[str, Any]]:
    """Run what is not finished for one seed, and yield its rows."""
    both: dict[str, Any] = {"seed": seed, "threads": 1}
    searched: dict[str, Any] = {**both, "steps": search_steps, "paths_per_step": 4}
    whole = {**PLAIN, **COST, **searched}
    recipe = {"learning_rate": 0.1, "warmup": 0.025, "evaluate_every": 0}
    trained_for: dict[str, Any] = {**both, **recipe, "steps": train_steps}
    here = out / f"seed{seed}"
    base = run_of(here / "three", OLD)
    base.search(**whole)
    three = base.train(**trained_for)
    before = mk.analysis.account(three.structure, three.paths).parameters()
    for beta in BETAS:
        grown = base.grow(here / f"grown{beta:g}", data="pocket", domains=[NEW])
        grown.search(**searched, reward=f"linear(beta={beta})")
        trained = grown.train(**trained_for)
        took = seconds_of(grown, "search", "train")
        yield row(f"grown, beta {beta:g}", seed, trained, before, took)
        if beta == BETAS[1]:
            again = run_of(here / "same_paths", [*OLD, NEW])
            # a path without own nodes: the union shares where blocks meet
            plain = {d: again.space.path(p.choices) for d, p in trained.paths.items()}
            same = again.train(**trained_for, paths=plain)
            yield row("retrained, same paths", seed, same, before, seconds_of(again, "train"))
    again = run_of(here / "four", [*OLD, NEW])
    again.search(**whole)
    four = again.train(**trained_for)
    yield row("searched again", seed, four, before, seconds_of(again, "search", "train"))
    single = run_of(here / "alone", [NEW])
    single.search(**whole)
    alone = single.train(**trained_for)
    yield row("alone", seed, alone, 0, seconds_of(single, "search", "train")) | {
        "parameters": before + mk.analysis.account(alone.structure, alone.paths).parameters()
    }


def main() -> None:
    """Run the study, write `growth.csv` into the folder of the runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/growth"))
    parser.add_argument("--search-steps", type=int, default=150)
    parser.add_argument("--train-steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    found = []
    for seed in range(arguments.seeds):
        for one in rows(arguments.out, arguments.search_steps, arguments.train_steps, seed):
            found.append(one)
            print(one, flush=True)
            pd.DataFrame(found).to_csv(arguments.out / "growth.csv", index=False)
    groups = pd.DataFrame(found).drop(columns="seed").groupby("way", sort=False)
    print(groups.mean().round(3).to_string())
    print(groups.std().round(3).to_string())


if __name__ == "__main__":
    main()
