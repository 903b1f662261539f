"""Measure how well a supernet is trained and orders paths, with and without operation collapsing.

Two supernets of the space of the profile `full` are trained on all ten domains, one with
`collapse`, one without. Their controllers never change, so every path is equally likely. On each
supernet, the paths of `path_spread.py`, which have equal cost, are measured on the reward images of
every domain. Their order is compared with that of the accuracies of the same paths trained
(mpnas_kit/analysis/pocket_path_spread.csv). The figures are Kendall's tau of the supernet, and for
comparison that of multiply-adds alone.

    python benchmarks/supernet.py --out runs/supernet              # 17 minutes on one core

A finished supernet is only read.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

from mpnas_kit.runs.profiles import PLAIN
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.trust import supernet_quality
from mpnas_kit.search.config import SearchConfig

SPREAD = Path(__file__).parents[1] / "mpnas_kit" / "analysis" / "pocket_path_spread.csv"


def measured(run: Run, trained: pd.DataFrame) -> pd.DataFrame:
    """Return one row per domain: mean quality on the supernet, its tau, and the tau of cost."""
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
    """Train both supernets and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/supernet"))
    parser.add_argument("--steps", type=int, default=SearchConfig.steps)
    arguments = parser.parse_args()
    spread = pd.read_csv(SPREAD)
    trained = spread[spread["seed"] == 0]
    for collapse in (True, False):
        run = Run(arguments.out / f"collapse_{collapse}", profile="full")
        settings = {**PLAIN, "collapse": collapse, "controller_spread": 0.0, "threads": 1}
        run.search(run.search_config(steps=arguments.steps, **settings))
        table = measured(run, trained)
        mean = {"domain": "mean", **table.mean(numeric_only=True)}
        print(f"collapse={collapse}, {arguments.steps} steps")
        print(pd.concat([table, pd.DataFrame([mean])]).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
