"""What a weighting changes: accuracies under it against those under another, seed by seed."""

import pandas as pd

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.errors import MpnasError, unknown

MEAN = "mean of all"  # the row that stands for all domains


def weighting_differences(
    comparison: Comparison, split: str = "test", baseline: str = "uniform"
) -> pd.DataFrame:
    """How the accuracy of every domain under every other weighting differs from the baseline's.

    Of one approach and norm; only seeds that both weightings have, so that the search and training
    of a pair begin alike. A row a weighting and domain, for every weighting `mean of all` first:
    weighting, domain, seeds (pairs), difference (mean of the paired differences, of accuracies from
    0 to 1), spread (their standard deviation; nan with one seed).

    Raises `MpnasError` where there are no runs, several approaches or norms, no such baseline,
    nothing beside it, or no seed in common.
    """
    if comparison.cells.empty:
        raise MpnasError("the comparison has no runs: expected at least one.")
    means = comparison.by_domain(split)
    for column in ("approach", "norm"):
        several = list(dict.fromkeys(means[column]))
        if len(several) > 1:
            raise MpnasError(
                f"weightings are compared for one {column}, not {', '.join(several)}: pick one "
                f"with comparison.where({column}=[{several[0]!r}])."
            )
    weightings = list(dict.fromkeys(means["weighting"]))
    if baseline not in weightings:
        raise unknown("weighting of this comparison", baseline, weightings)
    others = [w for w in weightings if w != baseline]
    if not others:
        raise MpnasError(f"there is no weighting beside {baseline!r}: expected at least one more.")
    rows = comparison.domains[comparison.domains["split"] == split]
    wide = rows.pivot(index=["weighting", "seed"], columns="domain", values="accuracy")
    wide = wide[list(dict.fromkeys(rows["domain"]))]
    wide.insert(0, MEAN, wide.mean(axis=1))
    return pd.concat([_paired(wide, w, baseline) for w in others], ignore_index=True)


def _paired(wide: pd.DataFrame, weighting: str, baseline: str) -> pd.DataFrame:
    """wide: a row a weighting and seed, a column a domain."""
    pairs = (wide.loc[weighting] - wide.loc[baseline]).dropna(how="all")
    if pairs.empty:
        raise MpnasError(
            f"the weighting {weighting!r} has no seed in common with {baseline!r}: expected at "
            "least one."
        )
    return pd.DataFrame(
        {
            "weighting": weighting,
            "domain": list(pairs.columns),
            "seeds": len(pairs),
            "difference": pairs.mean().to_numpy(),
            "spread": pairs.std().to_numpy(),
        }
    )
