"""What a supernet says of paths beside what the same paths reach when they are retrained."""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import kendalltau

LEAST_PATHS = 3  # below, an order says nothing


@dataclass(frozen=True)
class Trust:
    """Random paths of one domain.

    rows: a row a path: path (a number), arch, multiply_adds, supernet (accuracy on the reward part,
    shared weights, batch statistics), retrained (validation accuracy of the path trained alone).
    """

    domain: str
    rows: pd.DataFrame

    def tau(self, of: str = "supernet") -> tuple[float, float]:
        """Kendall's tau-b of column `of` with the retrained accuracy, and its p-value.

        of: `supernet`, or `multiply_adds`: what cost alone, without a supernet, would tell.
        """
        result = kendalltau(self.rows[of], self.rows["retrained"])
        return float(result.statistic), float(result.pvalue)

    def __repr__(self) -> str:
        tau, p = self.tau()
        return f"Trust({self.domain!r}, {len(self.rows)} paths, tau {tau:.2f}, p {p:.2g})"
