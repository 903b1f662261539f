"""Measure what each part of a search is worth: its order of paths, and the paths that it finds.

Every line is a search of ten pocket domains in `pocket_strided`, all paths with 0.45 million
multiply-adds. It changes settings of the line above. Line `full` has those of the profile `full`,
without its merge pass. The columns:

    seconds     processor time of the search, in the first line with landmarks also of these
    tau         Kendall's tau, mean over domains, between the accuracies of the study
                `benchmarks/path_spread.py` (24 random paths of equal cost per domain, each trained
                alone) and the quality on the supernet; what the landmarks predict; both, mixed with
                the weight of the search
    able        the last of these that the line has, mean over the domains whose ceiling of tau is
                at least 0.4
    gain        validation accuracy, in points, of the found paths above the mean path of that
                study: each trained alone, as the paths of the study were. Mean over domains, and
                over those other than scene.
    cost        mean multiply-adds of the found paths, in thousands

    python benchmarks/levers.py --out runs/levers

What is finished is never run again. Test splits are not read.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from mpnas_kit.analysis.spread import read_path_spread
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.runs.landmarks import landmark_folder, read_landmarks
from mpnas_kit.runs.profiles import PLAIN
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.trust import supernet_quality
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

ABLE = 0.4  # least ceiling of tau of the domains in the column of that name
TRAINED = {"steps": 800, "warmup": 0.3, "threads": 1}  # as in path_spread.py
LINES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "two_phases": {
        "sampling": "fair",
        "warmup_share": 0.0,
        "two_phases": True,
        "controller_delay": 0.4,
        "quality": "probability",
    },
    "exact_cost": {"exact_cost": True, "reward": "absolute(beta=-1.0)", "controller_spread": 4.0},
    "landmarks": {"landmarks": 12, "landmark_steps": 200, "landmark_weight": 0.5},
    "full": {"landmark_weight": 0.8},
    "landmarks_only": {"landmark_weight": 1.0},
    "rerank": {"landmark_weight": 0.8, "rerank": 256},
}


def settings_of(line: str, steps: int, seed: int) -> dict[str, Any]:
    """Return the settings of a search: those of its line and of all lines above it."""
    settings: dict[str, Any] = {"steps": steps, "seed": seed, "threads": 1}
    for name, more in LINES.items():
        settings |= more
        if name == line:
            return settings
    raise SystemExit(f"unknown line {line!r}: expected {', '.join(LINES)}")


def searched(line: str, out: Path, steps: int, seed: int) -> tuple[Run, float]:
    """Return the run of a line with a finished search, and its processor time in seconds."""
    folder = out / f"{line}_seed{seed}"
    run = Run(folder, profile="full")
    run.begin()
    settings = settings_of(line, steps, seed)
    note = folder / "processor_seconds.json"
    for other in out.glob(f"*_seed{seed}/landmarks"):
        if "landmarks" in settings and not (folder / "landmarks").exists():
            shutil.copytree(other, folder / "landmarks")
    begun = time.process_time()
    run.search(prioritization=Uniform(), **settings)
    if not note.exists():
        note.write_text(json.dumps(time.process_time() - begun))
    return run, float(json.loads(note.read_text()))


def figures(line: str, out: Path, steps: int, seed: int, study: Path | None) -> dict[str, Any]:
    """Return the columns of a line."""
    run, seconds = searched(line, out, steps, seed)
    found, spread = run.search_result(), read_path_spread(study)
    values = None
    if found.config.landmarks:
        folder = landmark_folder(run.folder, run.space, found.config, run.domains)
        landmarks = read_landmarks(folder, found.config)
        assert landmarks is not None
        values = landmarks.fit(run.space)
    weight = found.config.landmark_weight
    taus: dict[str, list[float]] = {"supernet": [], "predicted": [], "mixed": []}
    first = spread.rows.sort_values("seed").drop_duplicates(["domain", "path"])
    ceilings = spread.table().set_index("domain")["tau"]
    able = [d in set(ceilings.index[ceilings >= ABLE]) for d in first["domain"].unique()]
    for domain, own in first.groupby("domain", sort=False):
        paths = [run.space.parse(arch) for arch in own["arch"]]
        seen = np.array(supernet_quality(run, str(domain), paths))
        taus["supernet"].append(kendalltau(seen, own["accuracy"]).statistic)
        if values is not None:
            told = np.array([values.value(str(domain), path) for path in paths])
            mixed = (1 - weight) * seen + weight * told
            taus["predicted"].append(kendalltau(told, own["accuracy"]).statistic)
            taus["mixed"].append(kendalltau(mixed, own["accuracy"]).statistic)
    config = TrainConfig(prioritization=Uniform(), private_from=0, seed=seed, **TRAINED)  # type: ignore[arg-type]
    trained = train(run.suite, run.space, found.paths, config, folder=run.folder / "alone")
    gain = 100 * (trained.accuracy("val") - first.groupby("domain")["accuracy"].mean())
    costs = [run.space.cost(path).multiply_adds for path in found.paths.values()]
    return {
        "line": line,
        "seed": seed,
        "seconds": seconds,
        **{f"tau_{name}": float(np.mean(t)) if t else np.nan for name, t in taus.items()},
        "able": np.array(taus["mixed"] or taus["supernet"])[able].mean(),
        "gain": gain.mean(),
        "gain_without_scene": gain.drop("scene").mean(),
        "cost": np.mean(costs) / 1e3,
    }


def main() -> None:
    """Run the searches that are not finished, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/levers"))
    parser.add_argument("--lines", nargs="+", default=list(LINES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--study", type=Path, help="accuracies.csv; default: that of the kit")
    arguments = parser.parse_args()
    every = [
        (n, arguments.out, arguments.steps, s) for s in arguments.seeds for n in arguments.lines
    ]
    for one in every:
        searched(*one)
    rows = [figures(*one, arguments.study) for one in every]
    table = pd.DataFrame(rows).drop(columns="seed").groupby("line", sort=False).mean()
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
