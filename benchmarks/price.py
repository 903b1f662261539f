"""Measure accuracy against parameters: a price on unshared parameters, and the merge pass.

Each of the first lines is a search with the profile `full` in which a controller also pays for the
parameters that only its domain adds (`Unshared`), at one of several prices, and the training of its
paths. The cost target stays: what a domain pays for parameters it lacks in multiply-adds. The other
lines are points of the merge pass after the search without a price, trained alike.

    price        multiply-adds per unshared parameter; nan: a point of the merge pass
    parameters   of the union, in thousands, without batch norms and classifiers
    image        multiply-adds per image, mean over domains, in thousands
    val, nine    validation accuracy in percent, mean over domains, and over those other than scene

    python benchmarks/price.py --out runs/price

What is finished is never run again. Test splits are not read.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpnas_kit.runs.run import Run
from mpnas_kit.search.config import resolve_targets
from mpnas_kit.space.costs import Unshared
from mpnas_kit.space.layers import Path as SpacePath
from mpnas_kit.training.stage import train

PRICES = (0.0, 10.0, 20.0, 50.0, 100.0, 200.0)
POINTS = 5  # points of the merge pass that are trained, the last one among them


def searched(out: Path, price: float, seed: int) -> Run:
    """Return a run with a finished search at a price. All searches of a seed share landmarks."""
    run = Run(out / f"price{price:g}_seed{seed}", profile="full")
    run.begin()
    for other in out.glob(f"*_seed{seed}/landmarks"):
        if not (run.folder / "landmarks").exists():
            shutil.copytree(other, run.folder / "landmarks")
    target = resolve_targets(run.space, run.search_config(), run.domains)[run.domains[0]]
    run.search(
        cost=Unshared(price),
        cost_target=target,
        exact_cost=False,
        merge=price == 0,
        seed=seed,
        threads=1,
    )
    return run


def line(run: Run, paths: Mapping[str, SpacePath], name: str, seed: int) -> dict[str, Any]:
    """Return the columns of some paths, which are trained as the profile says."""
    config = run.train_config(seed=seed, threads=1)
    trained = train(run.suite, run.space, paths, config, folder=run.folder / name)
    found = 100 * trained.accuracy("val")
    return {
        "seed": seed,
        "parameters": run.space.union_cost(paths.values()).parameters / 1e3,
        "image": np.mean([run.space.cost(p).multiply_adds for p in paths.values()]) / 1e3,
        "val": found.mean(),
        "nine": found.drop("scene").mean(),
    }


def lines(out: Path, seed: int) -> list[dict[str, Any]]:
    """Return the lines of a seed."""
    rows = []
    for price in PRICES:
        run = searched(out, price, seed)
        rows.append({"price": price, **line(run, run.search_result().paths, "found", seed)})
        print(rows[-1], flush=True)
    run = searched(out, 0.0, seed)
    front = run.search_result().front
    assert front is not None
    for number in np.linspace(0, len(front.points) - 1, POINTS + 1).round().astype(int)[1:]:
        row = line(run, front.points[number].paths, f"point{number:02d}", seed)
        rows.append({"price": np.nan, **row})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run what is not finished, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/price"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    table = pd.DataFrame([row for seed in arguments.seeds for row in lines(arguments.out, seed)])
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
