"""Measure whether a search can find anything: how accuracy depends on the path and on the seed.

Twenty random paths of the pocket space are trained. Their costs are spread evenly over the cost
range, on a logarithmic scale. Each path is trained on all ten domains at once, which share it: one
batch norm and one classifier per domain, uniform weights. Four of the paths are trained with more
seeds. The tables have one row per domain: the standard deviation of the validation accuracy over
paths and over seeds (pooled), their ratio, and the rank correlation with cost.

    python benchmarks/path_spread.py --out runs/path_spread            # 74 minutes on one core

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
from mpnas_kit.space.costs import MultiplyAdds, cost_bounds
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import Path as SpacePath
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

PATHS = 20
REPEATED = (3, 8, 13, 18)  # indices of the paths, in order of cost, that have seeds 1 to 3 too


def spread_paths(space: SearchSpace, count: int) -> list[SpacePath]:
    """Return random paths with costs within 3 % of targets that are evenly spaced in logarithm."""
    generator = torch.Generator().manual_seed(0)
    low, high = cost_bounds(MultiplyAdds(), space, 1)
    targets = [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    return [sample_at_cost(space, MultiplyAdds(), cost, 0.03, generator) for cost in targets]


def accuracies(out: Path, steps: int) -> pd.DataFrame:
    """Train every path that is not trained yet; return one row per path, seed and domain."""
    suite, space = pocket(), pocket_space()
    paths = spread_paths(space, PATHS)
    cells = [(i, s) for s in (1, 2, 3) for i in REPEATED] + [(i, 0) for i in range(PATHS)]
    rows = []
    for index, seed in cells:
        path = paths[index]
        config = TrainConfig(steps=steps, prioritization=Uniform(), seed=seed, threads=1)
        trained = train(
            suite,
            space,
            dict.fromkeys(suite.names, path),
            config,
            folder=out / f"path{index:02d}_seed{seed}",
        )
        cost = space.cost(path).multiply_adds
        for domain, value in trained.accuracy("val").items():
            row = {"path": index, "seed": seed, "multiply_adds": cost, "domain": domain}
            rows.append({**row, "accuracy": value, "arch": path.arch})
        print(f"path {index} seed {seed}: {trained.accuracy('val').mean():.3f}", flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Run the study, write `accuracies.csv` into the folder of the runs, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/path_spread"))
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    arguments = parser.parse_args()
    rows = accuracies(arguments.out, arguments.steps)
    rows.to_csv(arguments.out / "accuracies.csv", index=False)
    spread = PathSpread(rows, pocket_space())
    print(spread.table().round(3).to_string(index=False))
    print(spread.explained_by().round(2).to_string(index=False))


if __name__ == "__main__":
    main()
