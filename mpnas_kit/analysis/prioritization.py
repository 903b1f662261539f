"""Accuracy under one prioritization compared with another, domain by domain and seed by seed."""

import pandas as pd

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.errors import MpnasError, unknown

MEAN = "mean of all"  # the row of the mean over domains


def prioritization_differences(
    comparison: Comparison, split: str = "test", baseline: str = "uniform"
) -> pd.DataFrame:
    """Return how the accuracy of every domain under each prioritization differs from a baseline.

    comparison: runs of one approach and one norm.
    split: `val` or `test`.
    baseline: text form of the prioritization to compare with.

    Runs are paired by seed, so that search and training of a pair start equal. Seeds that only one
    of the two prioritizations has are not used. One row per prioritization and domain; the first
    row of each prioritization is `mean of all`. Columns:

        prioritization, domain: identify the row.
        seeds: number of pairs.
        difference: prioritization minus baseline, in accuracy (0 to 1), mean over pairs.
        spread: standard deviation of the difference over pairs; nan with one pair.

    Raises `MpnasError` if there are no runs, if there are several approaches or norms, if the
    baseline is unknown or the only prioritization, or if a prioritization has no seed in common
    with it.

    >>> outcomes = [mk.analysis.Outcome("mpnas", p, trained, 1000) for p in ("uniform", "abdp")]
    >>> table = mk.analysis.prioritization_differences(mk.analysis.compare(outcomes))
    >>> table["domain"].tolist()
    ['mean of all', 'planted0', 'planted1']
    """
    if comparison.cells.empty:
        raise MpnasError("the comparison has no runs: expected runs of two prioritizations.")
    means = comparison.by_domain(split)
    for column in ("approach", "norm"):
        several = list(dict.fromkeys(means[column]))
        if len(several) > 1:
            raise MpnasError(
                f"prioritizations are compared for one {column}, not {', '.join(several)}: select "
                f"one with comparison.where({column}=[{several[0]!r}])."
            )
    prioritizations = list(dict.fromkeys(means["prioritization"]))
    if baseline not in prioritizations:
        raise unknown("prioritization of this comparison", baseline, prioritizations)
    others = [w for w in prioritizations if w != baseline]
    if not others:
        raise MpnasError(
            f"the comparison has no prioritization other than {baseline!r}: expected at least one "
            "more."
        )
    rows = comparison.domains[comparison.domains["split"] == split]
    wide = rows.pivot(index=["prioritization", "seed"], columns="domain", values="accuracy")
    wide = wide[list(dict.fromkeys(rows["domain"]))]
    wide.insert(0, MEAN, wide.mean(axis=1))
    return pd.concat([_paired(wide, w, baseline) for w in others], ignore_index=True)


def _paired(wide: pd.DataFrame, prioritization: str, baseline: str) -> pd.DataFrame:
    """Return the rows of one prioritization.

    wide: accuracies, one row per prioritization and seed, one column per domain.
    """
    pairs = (wide.loc[prioritization] - wide.loc[baseline]).dropna(how="all")
    if pairs.empty:
        raise MpnasError(
            f"the prioritization {prioritization!r} has no seed in common with {baseline!r}: "
            "expected at least one."
        )
    return pd.DataFrame(
        {
            "prioritization": prioritization,
            "domain": list(pairs.columns),
            "seeds": len(pairs),
            "difference": pairs.mean().to_numpy(),
            "spread": pairs.std().to_numpy(),
        }
    )
