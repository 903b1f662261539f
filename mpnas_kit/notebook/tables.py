"""Tables of results for the command line, the notebooks and the report, as tidy DataFrames."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.units import amount
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.result import TrainResult


def paths_table(found: SearchResult) -> pd.DataFrame:
    """Return what a search found: one row per domain.

    Columns domain, path (arch string), cost (in `found.cost_unit`), of_target (cost divided by the
    cost target), undecided (number of decisions that the search did not make).

    >>> list(mk.notebook.tables.paths_table(found))
    ['domain', 'path', 'cost', 'of_target', 'undecided']
    """
    undecided = (~found.decisions().set_index("domain")["decided"]).groupby(level=0).sum()
    rows = [
        {
            "domain": domain,
            "path": path.arch,
            "cost": found.costs[domain],
            "of_target": found.costs[domain] / found.cost_targets[domain],
            "undecided": int(undecided.get(domain, 0)),  # no row without a choice
        }
        for domain, path in found.paths.items()
    ]
    return pd.DataFrame(rows)


def target_text(found: SearchResult) -> str:
    """Return the cost targets of a search in words, such as `278 k and 1.1 M`: each one once."""
    return " and ".join(amount(target) for target in sorted(set(found.cost_targets.values())))


def accuracy_table(trained: TrainResult) -> pd.DataFrame:
    """Return the top-1 accuracies (0 to 1): one row per domain. Columns domain, val, test.

    >>> mk.notebook.tables.accuracy_table(trained).columns.tolist()
    ['domain', 'val', 'test']
    """
    wide = trained.evaluation.pivot(index="domain", columns="split", values="accuracy")
    order = list(dict.fromkeys(trained.evaluation["domain"]))
    return wide.loc[order, ["val", "test"]].rename_axis(columns=None).reset_index()


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """Return the results table for display: one row per approach, prioritization and norm.

    Columns approach; test and val (mean top-1 accuracy, 0 to 1); spread (standard deviation of test
    over seeds, nan with one seed); params (without batch norm and classifiers); ratio (of params to
    those of the single path); all_params; image, union and all_images (three readings of
    multiply-adds, see `analysis.Accounting`); disk (bytes); prioritization; norm; seeds (how many).
    `written` formats the values.
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
        "prioritization": "prioritization",
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
"""Formats of the columns of `comparison_table`."""


def written(table: pd.DataFrame, formats: Mapping[str, str | Callable[[Any], str]]) -> pd.DataFrame:
    """Return the table as text.

    formats: for each column a format such as "{:.1%}", or a function from value to text.
    """
    shown = table.astype(object)
    for column, how in formats.items():
        shown[column] = [how.format(v) if isinstance(how, str) else how(v) for v in table[column]]
    return shown.astype(str)


def suite_table(suite: DomainSuite) -> pd.DataFrame:
    """Return what the domains have: one row per domain.

    Columns domain; classes and channels (how many); train, val and test (number of images);
    majority (share of the most frequent class in the test split, 0 to 1: the accuracy of always
    guessing that class); flip (`yes` if training may mirror an image, otherwise `no`).

    >>> list(mk.notebook.tables.suite_table(suite)["domain"])
    ['planted0', 'planted1']
    """
    rows = []
    for domain in suite:
        counts = torch.bincount(domain.test.labels, minlength=len(domain.classes))
        rows.append(
            {
                "domain": domain.name,
                "classes": len(domain.classes),
                "channels": domain.channels,
                **{split: len(domain.split(split)) for split in SPLITS},
                "majority": float(counts.max()) / len(domain.test),
                "flip": "yes" if domain.flip else "no",
            }
        )
    return pd.DataFrame(rows)
