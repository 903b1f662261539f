"""Measure how much evidence on paths a search needs, and whose: of its domain, or of others.

The study `benchmarks/path_spread.py` has 24 random paths of equal cost for every domain, each
trained alone. Some of them serve as landmarks, and the regression that a search fits to its
landmarks orders all others. Kendall's tau between this order and that of their accuracies is the
mean over domains and over draws of the landmarks. Lines and columns:

    sets     landmarks of every domain
    whose    all: one regression serves all domains, as in MPNAS. own: each domain has its own, as
             in the bundle. others: that of the nine other domains
    tau      mean over domains, with its standard deviation over draws
    able     the same for the domains whose ceiling of tau is at least 0.4

If `others` is level with `all`, a domain need not be asked itself: good paths are good for all.

    python benchmarks/evidence.py
    python benchmarks/evidence.py --run reports/reference/full

With a run, it also prints what the landmarks of its searches tell of all 24 paths, one line per
seed. It trains nothing, and takes about a minute.
"""

import mpnas_kit as mk

# isort: split
import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from mpnas_kit.analysis.spread import PathSpread, read_path_spread
from mpnas_kit.runs.landmarks import landmark_folder, read_landmarks
from mpnas_kit.runs.run import Run
from mpnas_kit.search.landmarks import Landmarks
from mpnas_kit.space.layers import Path as SpacePath

SETS = (4, 8, 12, 16, 20)
ABLE = 0.4  # least ceiling of tau of the domains in the last column
Value = Callable[[SpacePath], float]


def landmarks(rows: pd.DataFrame) -> Landmarks:
    """Return the rows of a path spread as landmarks whose score is their accuracy."""
    return mk.Landmarks(rows.assign(set=rows["path"], score=rows["accuracy"]))


def orders(known: pd.DataFrame, spread: PathSpread, whose: str) -> Mapping[str, Value]:
    """Return a function of paths for every domain. It orders them as the landmarks tell.

    known: rows of the study that serve as landmarks.
    """
    domains = list(known["domain"].unique())
    result: dict[str, Value] = {}
    if whose in ("all", "own"):
        values = landmarks(known).fit(spread.space, pooled=whose == "all")
        for domain in domains:
            result[domain] = lambda path, d=domain: values.value(d, path)  # type: ignore[misc]
        return result
    for domain in domains:
        rest = known[known["domain"] != domain]
        values = landmarks(rest).fit(spread.space)
        any_other = next(d for d in domains if d != domain)  # all have the same regression
        result[domain] = lambda path, d=any_other, v=values: v.value(d, path)  # type: ignore[misc]
    return result


def taus(rows: pd.DataFrame, spread: PathSpread, sets: int, whose: str, seed: int) -> pd.Series:
    """Return Kendall's tau of every domain on the paths that are no landmarks."""
    every = rows["path"].unique()
    chosen = np.random.default_rng(seed).choice(every, sets, replace=False)
    is_known = rows["path"].isin(chosen)
    order = orders(rows[is_known], spread, whose)
    result = {}
    for domain, own in rows[~is_known].groupby("domain", sort=False):
        told = [order[str(domain)](spread.space.parse(arch)) for arch in own["arch"]]
        result[domain] = kendalltau(told, own["accuracy"]).statistic
    return pd.Series(result).fillna(0.0)  # a constant order tells nothing


def told_by(run: Run, seed: int, spread: PathSpread) -> pd.Series | None:
    """Return what the landmarks of a seed tell of the paths of the study: tau of every domain.

    None: the run has no landmarks of this seed.
    """
    config = replace(run.search_config(), seed=seed)
    folder = landmark_folder(run.folder, run.space, config, run.domains)
    found = read_landmarks(folder, config)
    if found is None:
        return None
    values, result = found.fit(run.space), {}
    for domain, own in first_rows(spread).groupby("domain", sort=False):
        told = [values.value(str(domain), run.space.parse(arch)) for arch in own["arch"]]
        result[domain] = kendalltau(told, own["accuracy"]).statistic
    return pd.Series(result).fillna(0.0)


def first_rows(spread: PathSpread) -> pd.DataFrame:
    """Return the rows of a study with every path at its first seed."""
    return spread.rows.sort_values("seed").drop_duplicates(["domain", "path"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, help="accuracies.csv; default: that of the kit")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--run", type=Path, help="run with landmarks")
    arguments = parser.parse_args()
    spread = read_path_spread(arguments.study)
    rows = first_rows(spread)
    ceilings = spread.table().set_index("domain")["tau"]
    able = ceilings.index[ceilings >= ABLE]
    lines = []
    for sets in SETS:
        for whose in ("all", "own", "others"):
            draws = pd.DataFrame(
                [taus(rows, spread, sets, whose, seed) for seed in range(arguments.draws)]
            )
            means, those = draws.mean(axis=1), draws[able].mean(axis=1)
            lines.append((sets, whose, means.mean(), means.std(), those.mean(), those.std()))
    columns = ["sets", "whose", "tau", "deviation", "able", "deviation of able"]
    print(f"{len(able)} domains have a ceiling of at least {ABLE}: {', '.join(able)}")
    print(pd.DataFrame(lines, columns=columns).round(2).to_string(index=False))
    if arguments.run is not None:
        run = Run.read(arguments.run)
        each = {seed: told_by(run, seed, spread) for seed in run.profile.seeds}
        means = {s: (t.mean(), t[able].mean()) for s, t in each.items() if t is not None}
        print(pd.DataFrame(means, index=["tau", "able"]).T.rename_axis("seed").round(2))


if __name__ == "__main__":
    main()
