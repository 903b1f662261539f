"""The tables that command line, notebooks and report show: results as tidy DataFrames."""

import pandas as pd

from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.train import TrainResult


def amount(value: float) -> str:
    """A count in a person's unit: 1.23 M, 45.6 k, 789."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time in a person's unit: 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def paths_table(found: SearchResult) -> pd.DataFrame:
    """What the search found: a row a domain.

    Columns domain, path (arch string), cost (in the unit of the config's cost), of_target (cost
    over the target in force), undecided (choices the search did not decide).
    """
    undecided = (~found.decisions().set_index("domain")["decided"]).groupby(level=0).sum()
    rows = [
        {
            "domain": domain,
            "path": path.arch,
            "cost": found.costs[domain],
            "of_target": found.costs[domain] / found.cost_target,
            "undecided": int(undecided[domain]),
        }
        for domain, path in found.paths.items()
    ]
    return pd.DataFrame(rows)


def accuracy_table(trained: TrainResult) -> pd.DataFrame:
    """Top-1 accuracy (0 to 1): a row a domain; columns domain, val, test."""
    wide = trained.evaluation.pivot(index="domain", columns="split", values="accuracy")
    order = list(dict.fromkeys(trained.evaluation["domain"]))
    return wide.loc[order, ["val", "test"]].rename_axis(columns=None).reset_index()
