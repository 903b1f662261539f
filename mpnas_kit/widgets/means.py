"""Metrics of a stage as lines of limited length: each point is a mean over an interval of steps."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

POINTS = 2000  # points of a line at most


class Means:
    """Means of metrics over intervals of steps, by domain. Rows can be added while a stage runs.

    metrics: names of the metrics. domains: names of the domains.
    steps: number of steps of the stage. Up to 2,000 steps, every step is an interval.

    The attribute `width` is the number of steps of an interval.
    """

    def __init__(self, metrics: Sequence[str], domains: Sequence[str], steps: int) -> None:
        self._metric = {name: i for i, name in enumerate(metrics)}
        self._domain = {name: i for i, name in enumerate(domains)}
        self.width = max(1, -(-steps // POINTS))
        shape = (len(metrics), len(domains), -(-max(1, steps) // self.width))
        self._totals, self._counts = np.zeros(shape), np.zeros(shape)

    def add(self, step: int, rows: Mapping[str, Mapping[str, float]]) -> None:
        """Add the metrics of a step (from 1), by domain. Values that are not finite are left out.

        What is neither a metric nor a domain of this object is left out, too.
        """
        at = (step - 1) // self.width
        for domain, row in rows.items():
            d = self._domain.get(domain)
            for name, value in row.items():
                m = self._metric.get(name)
                if m is not None and d is not None and np.isfinite(value):
                    self._totals[m, d, at] += value
                    self._counts[m, d, at] += 1

    def add_table(self, history: pd.DataFrame) -> None:
        """Add a whole history: one row per step and domain, metrics as columns."""
        domains = history["domain"].map(self._domain)
        steps = (history["step"].to_numpy(np.int64) - 1) // self.width
        for name, m in self._metric.items():
            if name not in history:
                continue
            values = history[name].to_numpy(np.float64)
            use = np.isfinite(values) & domains.notna().to_numpy()
            where = m, domains[use].to_numpy(np.int64), steps[use]
            np.add.at(self._totals, where, values[use])
            np.add.at(self._counts, where, 1)

    def replace(self, metric: str, table: pd.DataFrame, column: str) -> None:
        """Put a column of a table in place of the values of a metric. table: as a history."""
        m = self._metric[metric]
        self._totals[m] = self._counts[m] = 0
        self.add_table(table[["step", "domain", column]].rename(columns={column: metric}))

    def line(self, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps that have a value of the metric, and the means there.

        The steps are the first ones of their intervals, (steps,). The means are (domains, steps),
        nan where a domain has no value.
        """
        totals, counts = (part[self._metric[metric]] for part in (self._totals, self._counts))
        there = np.flatnonzero(counts.any(axis=0))
        totals, counts = totals[:, there], counts[:, there]
        means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
        return there * self.width + 1, means
