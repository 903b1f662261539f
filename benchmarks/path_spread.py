"""Is there something to find? How much accuracy depends on the path, and how much on the seed.

Twenty random paths, spread evenly over the logarithm of the cost range of the pocket space, are
each trained on all ten domains at once (one shared path, a batch norm and a classifier a domain,
uniform weights); four of them with further seeds. A row a domain: the deviation of the validation
accuracy over paths, over seeds (pooled), their ratio, and the rank correlation with cost.

    python benchmarks/path_spread.py --out runs/path_spread            # 74 minutes on one core

`notebooks/06_space.ipynb` draws the figures. A finished training is never run again, so a killed
study goes on where it was.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
from pathlib import Path

import pandas as pd
import torch

from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.domains.pocket import pocket
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import Path as SpacePath
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.training.stage import TrainConfig, train

PATHS = 20
REPEATED = (3, 8, 13, 18)  # of the paths, by cost; with these, seeds 1 to 3 too


def spread_paths(space: SearchSpace, count: int) -> list[SpacePath]:
    """Random paths whose costs are within 3 % of evenly spread ones (logarithmically)."""
    generator = torch.Generator().manual_seed(0)
    low, high = MultiplyAdds().bounds(space, 1)
    wanted = [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    return [sample_at_cost(space, MultiplyAdds(), cost, 0.03, generator) for cost in wanted]


def accuracies(out: Path, steps: int) -> pd.DataFrame:
    """Train what is not trained yet; a row a path, seed and domain."""
    suite, space = pocket(), pocket_space()
    paths = spread_paths(space, PATHS)
    cells = [(i, s) for s in (1, 2, 3) for i in REPEATED] + [(i, 0) for i in range(PATHS)]
    rows = []
    for index, seed in cells:
        path = paths[index]
        config = TrainConfig(steps=steps, priority=Uniform(), seed=seed, threads=1)
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
    """Run the study, write `accuracies.csv` beside the runs, print the tables."""
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
