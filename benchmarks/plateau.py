"""Measure whether a domain that learns late needs more steps, or other domains beside it.

The loss of `scene` stays where it began for hundreds of steps. For the bundles of a study, its
model is trained again alone, on the path that the bundle found, with more steps. Beside it stand
the accuracies of the bundle and of MPNAS in the study, where all have the steps of the profile.

    python benchmarks/plateau.py --run runs/full --out runs/plateau     # 5 minutes on one core

The table has validation accuracies in percent, one row per seed. A finished training is never run
again. Test splits are not read.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mpnas_kit.approaches.approach import label
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import finished_runs
from mpnas_kit.training.stage import train


def main() -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/full"), help="run with its sweep")
    parser.add_argument("--out", type=Path, default=Path("runs/plateau"))
    parser.add_argument("--domain", default="scene")
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 2000, 4000])
    given = parser.parse_args()
    rows: dict[int, dict[str, float]] = {}
    for run in finished_runs(Run.read(given.run)):
        config = run.train_config()
        row = rows.setdefault(config.seed, {})
        accuracy = 100 * run.train_result().accuracy("val")[given.domain]
        if label(run.approach) == "mpnas" and config.norm == "per_domain":
            searched = run.origin.search_config().prioritization
            if searched == config.prioritization == ABDP():
                row["mpnas"] = accuracy
        if label(run.approach) != "bundle":
            continue
        row["bundle"] = accuracy
        suite, path = run.suite.select([given.domain]), run.paths()[given.domain]
        for steps in given.steps:
            longer = replace(config, steps=steps, evaluate_every=0, threads=1)
            folder = given.out / f"{given.domain}_seed{config.seed}_{steps}"
            result = train(suite, run.space, {given.domain: path}, longer, folder=folder)
            row[f"alone, {steps} steps"] = 100 * result.accuracy("val")[given.domain]
    table = pd.DataFrame.from_dict(rows, orient="index").sort_index().rename_axis("seed")
    print(table.round(1).to_string())


if __name__ == "__main__":
    main()
