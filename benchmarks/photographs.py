"""The reference run on photographs: MPNAS from a pretrained start, beside what one tries first.

Six domains of real images at 64 pixels (`tools/photos` builds them), the space `lite0`, and the
weights of EfficientNet-Lite0. All approaches have the same start, steps, batches and settings:

- `backbone(shared=False)`: a fine-tuned network per domain; `backbone`: one for all domains, with
  norms and a classifier per domain; `backbone(tuned='norms')`, `backbone(tuned='heads')`: frozen
  convolutions, or all but the classifiers frozen.
- MPNAS with three cost targets: `near` is a little above the cost of the original network, `own`
  has room for private parameters (with a stronger reward for the cost, so that it is used), and
  `small` is 40 % below.
- `random_paths`: random paths with the same multiply-adds, as controls; with `prior=0.9` they are
  as near to the original network as the first policy of the search.

    python benchmarks/photographs.py --data photos/suite.toml --out runs/photographs --jobs 2

The last table has accuracies with standard deviations over seeds, and differences from `backbone`
with 95 % intervals (Student's t over seeds, paired by seed). A finished cell is never run again.
"""

import mpnas_kit as mk  # before torch: it sets how threads wait

# isort: split
import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from mpnas_kit.runs.profiles import PLAIN

DOMAINS = "stamps,materials,land,solar,icons,scripts"
BACKBONES = (
    "backbone(shared=False)",
    "backbone",
    "backbone(tuned='norms')",
    "backbone(tuned='heads')",
)
TUNING: dict[str, Any] = {
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "loaded_rate": 1.0,
    "weight_decay": 0.05,
    "warmup": 0.025,
    "shift": 4,
    "threads": 1,
    "checkpoint_every": 100,
}
SEARCH: dict[str, Any] = {
    **PLAIN,
    **TUNING,
    "cost": "footprint(private=20)",
    "cost_scope": "domain",
    "prior": 0.9,
    "warmup_share": 0.0,
    "controller_delay": 0.2,
    "controller_spread": 1.0,
    "paths_per_step": 6,
}
TRAIN: dict[str, Any] = {**TUNING, "collapse": True, "evaluate_every": 0}
TARGETS: dict[str, dict[str, Any]] = {  # the original network costs 31.3 million
    "near": {"cost_target": 34e6},
    "own": {"cost_target": 37e6, "reward": "absolute(beta=-1.0)"},
    "small": {"cost_target": 18.8e6, "reward": "absolute(beta=-0.3)"},
}
CONTROLS = ("random_paths(prior=0.9)", "random_paths")
APPROACHES = {
    "near": ("mpnas", *CONTROLS, *BACKBONES),
    "own": ("mpnas",),
    "small": ("mpnas", CONTROLS[0]),
}


def run_of(folder: Path, data: str, start: str) -> mk.Run:
    """Return the run around which the cells of a cost target are."""
    names = None if data in ("pocket", "planted") else DOMAINS
    return mk.Run(folder, profile="full", data=data, domains=names, space="lite0", start=start)


def sweeps(given: argparse.Namespace) -> list[tuple[str, mk.Sweep]]:
    """Return the sweep of every cost target, by the name of the target."""
    found = []
    for name, settings in TARGETS.items():
        found.append(
            (
                name,
                mk.sweep_of(
                    run_of(Path(given.out) / name, given.data, given.start),
                    approaches=", ".join(APPROACHES[name]),
                    seeds=",".join(map(str, given.seeds)),
                    search={**SEARCH, **settings, "steps": given.search_steps},
                    train={**TRAIN, "steps": given.train_steps},
                ),
            )
        )
    return found


def interval(values: pd.Series) -> str:
    """Return mean and half width of the 95 % interval in points (Student's t)."""
    count = len(values)
    half = stats.t.ppf(0.975, count - 1) * values.std() / count**0.5 if count > 1 else float("nan")
    return f"{100 * values.mean():+.1f} +- {100 * half:.1f}"


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row per approach. cells: one row per approach and seed."""
    base = cells[cells["approach"] == "backbone"].set_index("seed")
    rows = []
    for approach, own in cells.groupby("approach", sort=False):
        by_seed = own.set_index("seed")
        row: dict[str, Any] = {"approach": approach, "seeds": len(own)}
        for split in ("val", "test"):
            row[split] = f"{100 * own[split].mean():.1f} ({100 * own[split].std():.1f})"
            row[f"{split} - backbone"] = interval(by_seed[split] - base[split])
        row["parameters"] = f"{own['parameters'].mean() / 1e6:.2f} M"
        row["ratio"] = f"{own['parameters'].mean() / base['parameters'].mean():.2f}"
        row["multiply-adds"] = f"{own['per_image'].mean() / 1e6:.1f} M"
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="suite of photographs")
    parser.add_argument("--out", default="runs/photographs", help="folder of the runs")
    parser.add_argument("--start", default="lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--search-steps", type=int, default=150)
    parser.add_argument("--train-steps", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    tables = []
    for name, sweep in sweeps(given):
        cells = sweep.run(tell=print, executor=mk.Joblib(given.jobs)).cells
        mine = cells["approach"].isin(("mpnas", *CONTROLS))
        cells.loc[mine, "approach"] += f", {name}"
        tables.append(cells)
    table = summary(pd.concat(tables, ignore_index=True))
    table.to_csv(Path(given.out) / "table.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
