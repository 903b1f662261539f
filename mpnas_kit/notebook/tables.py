"""The tables that command line, notebooks and report show: results as tidy DataFrames."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.stage import TrainResult


def amount(value: float) -> str:
    """A count in a person's unit: 1.23 M, 45.6 k, 789."""
    for limit, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
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


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """The results table as it is shown, a row an approach, weighting and norm.

    Columns approach, test and val (mean accuracy, 0 to 1), spread (of test over seeds, nan with
    one), params (without batch norms and classifiers), ratio (to the single path), all_params,
    image, union, all_images (multiply-adds), disk (bytes), weighting, norm, seeds. `written` has
    them in a person's units.
    """
    names = {
        "approach": "approach",
        "test": "test",
        "test_spread": "spread",
        "val": "val",
        "parameters": "params",
        "parameter_ratio": "ratio",
        "parameters_all": "all_params",
        "per_image": "image",
        "union": "union",
        "n_images": "all_images",
        "bytes": "disk",
        "weighting": "weighting",
        "norm": "norm",
        "seeds": "seeds",
    }
    return comparison.table()[list(names)].rename(columns=names)


COMPARISON_FORMATS: dict[str, str | Callable[[Any], str]] = {
    "test": "{:.1%}",
    "spread": lambda s: "–" if pd.isna(s) else f"± {s:.1%}",
    "val": "{:.1%}",
    "params": amount,
    "ratio": lambda r: "–" if pd.isna(r) else f"{r:.1f}x",
    "all_params": amount,
    "image": amount,
    "union": amount,
    "all_images": amount,
    "disk": lambda b: f"{amount(b)}B",
}
"""How the columns of `comparison_table` are written."""


def written(table: pd.DataFrame, formats: Mapping[str, str | Callable[[Any], str]]) -> pd.DataFrame:
    """The table as text, each column in its format."""
    shown = table.astype(object)
    for column, how in formats.items():
        shown[column] = [how.format(v) if isinstance(how, str) else how(v) for v in table[column]]
    return shown.astype(str)


def suite_table(suite: DomainSuite) -> pd.DataFrame:
    """What the domains are: a row a domain.

    Columns domain, classes, channels, train, val, test (images), majority (share of the most
    frequent class in the test split: what a guess of that class would get), flip (whether training
    may mirror an image).
    """
    rows = []
    for domain in suite:
        counts = torch.bincount(domain.test.labels, minlength=len(domain.classes))
        rows.append(
            {
                "domain": domain.name,
                "classes": len(domain.classes),
                "channels": int(domain.train.images.shape[1]),
                **{split: len(getattr(domain, split)) for split in SPLITS},
                "majority": float(counts.max()) / len(domain.test),
                "flip": "yes" if domain.flip else "no",
            }
        )
    return pd.DataFrame(rows)
