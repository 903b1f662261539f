"""Measure whether a search can find anything: how accuracy depends on the path and on the seed.

For every pocket domain, random paths of the space `pocket_strided` with equal cost (450,000
multiply-adds, within 5 %) are trained alone. Ten trainings, one path of each domain, run as one
bundle with private nodes and uniform weights. Some of the paths are trained with more seeds. The
table has one row per domain: the standard deviations of the validation accuracy over paths and over
seeds, `sigma`, and the ceilings that follow from it (see `PathSpread`).

    python benchmarks/path_spread.py --out runs/path_spread            # 40 minutes on one core

`notebooks/07_space.ipynb` draws the figures. A finished training is never run again, so a killed
study continues where it stopped.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
from pathlib import Path

import pandas as pd
import torch

from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.layers import Path as SpacePath
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.spaces import pocket_strided
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

COST = 450_000.0  # multiply-adds of every path
SETS = 24  # paths of every domain
REPEATED = 6  # the first of them, which have seeds 1 and 2 too


def paths_of(number: int, domains: tuple[str, ...]) -> dict[str, SpacePath]:
    """Return a random path of every domain, always the same ones."""
    generator = torch.Generator().manual_seed(1000 + number)
    space = pocket_strided()
    return {d: sample_at_cost(space, MultiplyAdds(), COST, 0.05, generator) for d in domains}


def accuracies(out: Path, steps: int) -> pd.DataFrame:
    """Train every path that is not trained yet; return one row per path, seed and domain."""
    suite, space = pocket(), pocket_strided()
    cells = [(i, 0) for i in range(SETS)] + [(i, s) for s in (1, 2) for i in range(REPEATED)]
    rows = []
    for number, seed in cells:
        paths = paths_of(number, suite.names)
        config = TrainConfig(
            steps=steps, warmup=0.3, prioritization=Uniform(), private_from=0, seed=seed, threads=1
        )
        trained = train(suite, space, paths, config, folder=out / f"set{number:02d}_seed{seed}")
        for domain, value in trained.accuracy("val").items():
            cost = space.cost(paths[domain]).multiply_adds
            row = {"path": number, "seed": seed, "multiply_adds": cost, "domain": domain}
            rows.append({**row, "accuracy": value, "arch": paths[domain].arch})
        print(f"set {number} seed {seed}: {trained.accuracy('val').mean():.3f}", flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Run the study, write `accuracies.csv` into the folder of the runs, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/path_spread"))
    parser.add_argument("--steps", type=int, default=800)
    arguments = parser.parse_args()
    rows = accuracies(arguments.out, arguments.steps)
    rows.to_csv(arguments.out / "accuracies.csv", index=False)
    spread = PathSpread(rows, pocket_strided())
    print(spread.table().round(3).to_string(index=False))
    print(spread.explained_by().round(2).to_string(index=False))


if __name__ == "__main__":
    main()
