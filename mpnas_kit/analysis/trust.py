"""Accuracy of paths on the supernet, compared with their accuracy when they are retrained."""

import math
from dataclasses import dataclass

import pandas as pd
from scipy.stats import kendalltau

from mpnas_kit.errors import unknown

LEAST_PATHS = 3  # an order of fewer paths has no meaning


@dataclass(frozen=True)
class Trust:
    """Accuracies of random paths on the supernet and retrained. Returned by `supernet_trust`.

    domain: name of the domain.
    rows: one row per path. Columns:

        path: number of the path, from 0.
        arch: arch string.
        multiply_adds: cost of one image.
        supernet: accuracy on the reward part with the supernet's weights and batch statistics,
        0 to 1.
        retrained: validation accuracy of the path trained alone, 0 to 1.

    >>> rows = pd.DataFrame({"supernet": [0.1, 0.2, 0.3], "retrained": [0.5, 0.6, 0.8]})
    >>> mk.analysis.Trust("a", rows).tau()[0]
    1.0
    """

    domain: str
    rows: pd.DataFrame

    def tau(self, of: str = "supernet") -> tuple[float, float]:
        """Return Kendall's tau-b of a column with the retrained accuracy, and its p-value.

        of: `supernet`, or `multiply_adds` for the order that cost alone gives.

        tau-b is in [-1, 1]: 1 the same order, 0 no relation, -1 the reverse order. It is nan if a
        column is constant.

        Raises `MpnasError` if there is no such column.
        """
        if of not in self.rows:
            raise unknown("column of these paths", of, map(str, self.rows.columns))
        result = kendalltau(self.rows[of], self.rows["retrained"])
        return float(result.statistic), float(result.pvalue)

    def sentence(self) -> str:
        """Return what the paths say about the supernet, as a sentence."""
        count = f"{len(self.rows)} random paths of {self.domain}"
        tau, chance = self.tau()
        if math.isnan(tau):
            where = "on the supernet" if self.rows["supernet"].nunique() == 1 else "trained alone"
            return f"{count} are all equally accurate {where}, so their order says nothing."
        by_cost, _ = self.tau("multiply_adds")
        alone = (
            ""
            if math.isnan(by_cost)
            else (f" Multiply-adds alone, without a supernet, give {by_cost:.2f}.")
        )
        return f"on {count}, Kendall's tau is {tau:.2f} (p = {chance:.2g}).{alone}"

    def _repr_html_(self) -> str:
        return str(self.rows.to_html())

    def __repr__(self) -> str:
        tau, p = self.tau()
        return f"Trust({self.domain!r}, {len(self.rows)} paths, tau {tau:.2f}, p {p:.2g})"
