"""How well the sums of a latency table agree with whole paths that were measured."""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import spearmanr

LEAST_SPEARMAN = 0.95  # of a table that orders paths well enough for a search
LEAST_PATHS = 3  # an order of fewer paths has no meaning


@dataclass(frozen=True)
class LatencyCheck:
    """Sums of a latency table, and the same paths measured whole. Returned by `measure_latency`.

    resolution: height and width of the images, pixels.
    rows: one row per path. Columns: arch (arch string), sum (latency by the table), measured
    (latency of the whole network); both in milliseconds for one image.

    >>> rows = pd.DataFrame({"arch": ["a", "b", "c"], "sum": [1.0, 2.0, 3.0]})
    >>> check = mk.analysis.LatencyCheck(32, rows.assign(measured=[1.0, 2.5, 3.0]))
    >>> round(check.spearman, 2), check.largest_error
    (1.0, 0.2)
    """

    resolution: int
    rows: pd.DataFrame

    @property
    def spearman(self) -> float:
        """Spearman's rank correlation of sums and measured times; nan below 3 different ones."""
        if self.rows["sum"].nunique() < LEAST_PATHS or self.rows["measured"].nunique() < 2:
            return float("nan")
        return float(spearmanr(self.rows["sum"], self.rows["measured"]).statistic)

    @property
    def errors(self) -> pd.Series:
        """Relative error of every sum: `abs(sum - measured) / measured`."""
        return (self.rows["sum"] - self.rows["measured"]).abs() / self.rows["measured"]

    @property
    def median_error(self) -> float:
        """Median of the relative errors, from 0."""
        return float(self.errors.median())

    @property
    def largest_error(self) -> float:
        """Largest of the relative errors, from 0."""
        return float(self.errors.max())

    @property
    def agrees(self) -> bool:
        """Whether Spearman's correlation is at least 0.95."""
        return self.spearman >= LEAST_SPEARMAN

    def verdict(self) -> str:
        """Return one or two sentences that say how well sums and measured times agree."""
        count = len(self.rows)
        figures = (
            f"{count} whole paths against their sums: Spearman {self.spearman:.3f}, relative error "
            f"{self.median_error:.1%} in the median and {self.largest_error:.1%} at most."
        )
        if self.agrees:
            return figures
        if self.spearman != self.spearman:
            return f"{figures} They are too few to compare their order."
        return (
            f"{figures} Warning: Spearman is below {LEAST_SPEARMAN}, so a search with this table "
            "may take a slower path for a faster one. Measure again on a machine with less other "
            "work, or with more rounds."
        )

    def _repr_html_(self) -> str:
        return f"<p>{self.verdict()}</p>{self.rows.to_html()}"

    def __repr__(self) -> str:
        return f"LatencyCheck({self.resolution} px; {self.verdict()})"
