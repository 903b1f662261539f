"""How well is a supernet trained, with one set of weights a layer and without? Does it order paths?

Two supernets of the pocket space learn from all ten domains while paths are sampled evenly (the
controllers never move): `collapse` on and off. On each, the 20 paths of `path_spread.py` are
measured on the reward images of every domain, and their order is compared with that of the
accuracies they have when trained (reports/reference/path_spread.csv): Kendall's tau, beside that of
multiply-adds alone.

    python benchmarks/supernet.py --out runs/supernet              # 17 minutes on one core

A finished supernet is only read.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

from mpnas_kit.runs.run import Pipeline
from mpnas_kit.runs.trust import supernet_quality
from mpnas_kit.search.config import SearchConfig

SPREAD = Path(__file__).parents[1] / "reports" / "reference" / "path_spread.csv"


def measured(run: Pipeline, trained: pd.DataFrame) -> pd.DataFrame:
    """A row a domain: mean quality of the paths on the supernet, tau of it and of their cost."""
    rows = []
    for domain, one in trained.groupby("domain", sort=False):
        paths = [run.space.parse(arch) for arch in one["arch"]]
        quality = supernet_quality(run, str(domain), paths)
        rows.append(
            {
                "domain": domain,
                "trained": one["accuracy"].mean(),
                "quality": sum(quality) / len(quality),
                "tau": kendalltau(quality, one["accuracy"]).statistic,
                "tau of cost": kendalltau(one["multiply_adds"], one["accuracy"]).statistic,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Train both supernets, print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/supernet"))
    parser.add_argument("--steps", type=int, default=SearchConfig.steps)
    arguments = parser.parse_args()
    spread = pd.read_csv(SPREAD)
    trained = spread[spread["seed"] == 0]
    for collapse in (True, False):
        run = Pipeline.open(arguments.out / f"collapse_{collapse}", profile="full")
        settings = {"collapse": collapse, "controller_spread": 0.0, "threads": 1}
        run.search(run.search_config(steps=arguments.steps, **settings))
        table = measured(run, trained)
        mean = {"domain": "mean", **table.mean(numeric_only=True)}
        print(f"collapse={collapse}, {arguments.steps} steps")
        print(pd.concat([table, pd.DataFrame([mean])]).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
