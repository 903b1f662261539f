"""Measure what a pretrained start is worth on a small folder of photographs.

The folder is that of the tests (`tests/photos.py`): three domains, 15 classes, 32 training images
per class, 64 pixels. For every seed, MPNAS is searched and trained in the space `lite0` twice, with
the same settings: from the weights of EfficientNet-Lite0, and from scratch. The table has mean test
accuracies and seconds; the last line the difference with its 95 % interval (Student's t over
seeds).

    python benchmarks/pretrained.py --out runs/start          # minutes on two cores

A finished stage is never run again. The extra `lite0` is needed.
"""

import mpnas_kit as mk  # before torch: it sets how threads wait

# isort: split
import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import photos

SEARCH: dict[str, Any] = {
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "loaded_rate": 1.0,
    "prior": 0.8,
    "warmup_share": 0.0,
    "cost_target": 20e6,
    "cost_scope": "domain",
    "controller_delay": 0.2,
}
TRAIN: dict[str, Any] = {
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "loaded_rate": 1.0,
    "collapse": True,
    "evaluate_every": 0,
}


def interval(values: pd.Series) -> tuple[float, float]:
    """Return mean and half width of the 95 % interval of a mean (Student's t)."""
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return mean, float("nan")
    return mean, float(stats.t.ppf(0.975, count - 1) * values.std() / count**0.5)


def main() -> None:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/start", help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--search-steps", type=int, default=40)
    parser.add_argument("--train-steps", type=int, default=60)
    given = parser.parse_args()
    folder = Path(given.out)
    images = folder / "photos"
    if not images.exists():
        photos.write(folder)
    rows = []
    for seed in given.seeds:
        for start in ("lite0", None):
            run = mk.Run(
                folder / f"{start or 'scratch'}{seed}",
                data=str(images),
                space="lite0",
                start=start,
            )
            run.search(steps=given.search_steps, seed=seed, **SEARCH)
            trained = run.train(steps=given.train_steps, seed=seed, **TRAIN)
            seconds = sum(run.about(stage)["seconds"] for stage in ("search", "train"))
            accuracy = float(trained.accuracy("test").mean())
            rows.append(
                {"seed": seed, "start": start or "none", "test": accuracy, "seconds": seconds}
            )
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows).pivot(index="seed", columns="start", values=["test", "seconds"])
    print(table.round(3).to_string())
    mean, half = interval(table["test"]["lite0"] - table["test"]["none"])
    print(f"start minus scratch: {100 * mean:+.1f} points, 95 % interval +- {100 * half:.1f}")


if __name__ == "__main__":
    main()
