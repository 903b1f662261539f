"""Choose the training recipe: the same small grid for every kind of approach, on validation.

Twelve recipes (learning rate 0.05, 0.1, 0.2; label smoothing 0, 0.1; linear warm-up over 10 % or
30 % of the steps) train three kinds of networks of the ten pocket domains, all on random paths of
equal cost through `pocket_strided`:

    bundle   a random path of every domain, all nodes private
    union    the same paths, shared where they meet
    single   one path for all domains, shared

The table has the mean validation accuracy of every recipe; the best one of each kind is marked. A
recipe that is far behind with its first seed could be left out, but is not: all kinds get the same
budget. Test splits are not read.

    python benchmarks/recipe.py --out runs/recipe --seeds 0      # an hour on one core

A finished training is never run again, so a killed study continues where it stopped.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.layers import Path as SpacePath
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.spaces import pocket_strided
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

COST = 450_000.0  # multiply-adds
KINDS = ("bundle", "union", "single")
RECIPES = tuple(
    {"learning_rate": rate, "label_smoothing": smoothing, "warmup": warmup}
    for rate, smoothing, warmup in product((0.05, 0.1, 0.2), (0.0, 0.1), (0.1, 0.3))
)


def paths_of(kind: str, domains: tuple[str, ...]) -> dict[str, SpacePath]:
    """Return the paths of a kind of network, always the same ones."""
    generator, space = torch.Generator().manual_seed(0), pocket_strided()
    if kind == "single":
        path = sample_at_cost(space, MultiplyAdds(), COST, 0.05, generator)
        return dict.fromkeys(domains, path)
    return {d: sample_at_cost(space, MultiplyAdds(), COST, 0.05, generator) for d in domains}


def accuracies(out: Path, seeds: list[int], steps: int, kinds: list[str]) -> pd.DataFrame:
    """Train what is not trained yet; return one row per kind, recipe and seed."""
    suite, rows = pocket(), []
    for seed, kind, (number, recipe) in product(seeds, kinds, enumerate(RECIPES)):
        config = TrainConfig(
            steps=steps,
            prioritization=Uniform(),
            private_from=0 if kind == "bundle" else None,
            seed=seed,
            threads=1,
            **recipe,  # type: ignore[arg-type]
        )
        folder = out / f"{kind}_{number:02d}_seed{seed}"
        trained = train(suite, pocket_strided(), paths_of(kind, suite.names), config, folder=folder)
        found = trained.accuracy("val")
        rest = found.drop("scene").mean()
        row = {"kind": kind, **recipe, "seed": seed, "mean": found.mean(), "without_scene": rest}
        rows.append({**row, "scene": found["scene"]})
        print(", ".join(f"{k} {v:.4g}" if k != "kind" else str(v) for k, v in rows[-1].items()))
    return pd.DataFrame(rows)


def main() -> None:
    """Run the study and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    rows = accuracies(arguments.out, arguments.seeds, arguments.steps, arguments.kinds)
    keys = list(RECIPES[0])
    table = rows.groupby(["kind", *keys], sort=False)[["mean", "without_scene", "scene"]].mean()
    table["best"] = table.groupby("kind")["mean"].transform("max") == table["mean"]
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
