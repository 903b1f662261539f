"""The tables that command line, notebooks and report show: results as tidy DataFrames."""

import pandas as pd
import torch

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.domains.domain import SPLITS, DomainSuite
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


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """The results table in a person's units, a row an approach, weighting and norm: all text.

    Columns approach, weighting, norm, seeds, params (without batch norms and classifiers), ratio
    (to the single path), all params, image, union, all images (multiply-adds), disk, val, test
    (with the deviation over seeds where there are several).
    """
    table = comparison.table()
    spread = table["test_spread"].map(lambda s: "" if pd.isna(s) else f" ± {100 * s:.1f}")
    ratio = table["parameter_ratio"].map(lambda r: "" if pd.isna(r) else f"{r:.1f}x")
    return pd.DataFrame(
        {
            "approach": table["approach"],
            "weighting": table["weighting"],
            "norm": table["norm"],
            "seeds": table["seeds"].astype(str),
            "params": table["parameters"].map(amount),
            "ratio": ratio,
            "all params": table["parameters_all"].map(amount),
            "image": table["per_image"].map(amount),
            "union": table["union"].map(amount),
            "all images": table["n_images"].map(amount),
            "disk": table["bytes"].map(lambda b: f"{amount(b)}B"),
            "val": table["val"].map("{:.1%}".format),
            "test": table["test"].map("{:.1%}".format) + spread,
        }
    )


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
