"""How accurate the rows of a comparison are, with intervals, and which are as good as the best."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t

from mpnas_kit.analysis.comparison import KEY, Comparison, Split
from mpnas_kit.errors import unknown
from mpnas_kit.settings import require
from mpnas_kit.values import require_type

BEST, TIE = "best", "tie"
CONFIDENCE = 0.95  # of all intervals


def t_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of a mean, `mean -+ t s / sqrt(n)` (Student 1908).

    values: n numbers, such as one accuracy per seed. t is the quantile for n - 1 degrees of
    freedom, s the standard deviation with n - 1.

    Both ends are nan if there are fewer than two numbers.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        return float("nan"), float("nan")
    error = numbers.std(ddof=1) / np.sqrt(len(numbers))
    half = t.ppf((1 + CONFIDENCE) / 2, len(numbers) - 1) * error
    return float(numbers.mean() - half), float(numbers.mean() + half)


def ranking(comparison: Comparison, split: Split = "test") -> pd.DataFrame:
    """Return the accuracy of every row of `Comparison.table`, in its order.

    comparison: finished runs.
    split: `val` or `test`.

    Columns:

        approach, prioritization, norm: identify the row.
        seeds: number of seeds.
        accuracy: mean over domains and seeds, 0 to 1.
        low, high: 95 % t interval over seeds; nan with one seed.
        place: `best` for the highest accuracy. `tie` if the 95 % t interval of the difference to
        the best, over the seeds that both have, holds 0, or if there is no difference (ours).
        Otherwise empty.

    Raises `MpnasError` if there are no runs or `split` is unknown.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> mk.analysis.ranking(mk.analysis.compare([outcome]))["place"].tolist()
    ['best']
    """
    require_type(comparison, Comparison, "ranking: comparison")
    require(not comparison.cells.empty, "the comparison has no runs: expected at least one.")
    if split not in ("val", "test"):
        raise unknown("split", split, ("val", "test"))
    groups = comparison.cells.groupby(list(KEY), sort=False)
    seeds = [group.set_index("seed")[split] for _, group in groups]
    best = max(seeds, key=lambda one: one.mean())
    rows = []
    for key, one in zip(groups.groups, seeds, strict=True):
        low, high = t_interval(one)
        less, more = t_interval((best - one).dropna())
        equal = less <= 0 <= more or one.mean() == best.mean()
        place = BEST if one is best else TIE if equal else ""
        rows.append((*key, len(one), float(one.mean()), low, high, place))
    return pd.DataFrame(rows, columns=[*KEY, "seeds", "accuracy", "low", "high", "place"])


def of_domain(comparison: Comparison, domain: str) -> Comparison:
    """Return a comparison in which `val` and `test` are the accuracies of one domain.

    comparison: finished runs.
    domain: name of the domain.

    The macro accuracy, which is known as a mean over domains only, is nan. Raises `MpnasError` if
    the runs do not have the domain.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> mk.analysis.of_domain(mk.analysis.compare([outcome]), "planted1")
    Comparison(1 runs of 1 kinds)
    """
    require_type(comparison, Comparison, "of_domain: comparison")
    known = comparison.domains.get("domain", pd.Series(dtype=str))
    if domain not in set(known):
        raise unknown("domain of this comparison", domain, dict.fromkeys(known))
    rows = comparison.domains[known == domain]
    keys = [*KEY, "seed"]
    own = rows.pivot(index=keys, columns="split", values="accuracy").reset_index()
    cells = comparison.cells.drop(columns=["val", "test"]).merge(own, on=keys)
    cells = cells[comparison.cells.columns].assign(test_macro=float("nan"))
    return Comparison(cells, rows.reset_index(drop=True))
