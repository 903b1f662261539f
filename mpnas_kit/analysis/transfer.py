"""What every domain gains or loses if it is trained together with another one."""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from scipy.stats import t

from mpnas_kit.analysis.standings import CONFIDENCE
from mpnas_kit.analysis.units import count
from mpnas_kit.errors import MpnasError

COLUMNS = ("domain", "partner", "seed", "alone", "joint")


@dataclass(frozen=True, eq=False, repr=False)
class Transfer:
    """Transfer between every two domains of a run. Returned by `measured_transfer`.

    `T[a, b] = 100 * mean over seeds of (accuracy of a trained with b - accuracy of a alone)`

    The unit is percentage points of validation accuracy. Above 0, domain a gains from b. The matrix
    need not be symmetric. The article on MPNAS (Wang et al., WACV 2021, arXiv 2010.04904) reads
    similar paths as a sign of such transfer; the measurement is ours.

    The interval of a cell is `T +- q * s / sqrt(seeds)`. s is the standard deviation over seeds,
    pooled over all partners of the domain, and q the quantile of Student's t (95 %). One accuracy
    alone is in all cells of a domain and seed, so the cells of a row are not independent.

    rows: one row per ordered pair and seed. Columns domain, partner, seed, alone, joint (validation
    accuracies, 0 to 1).
    arch: arch string of the path that all domains take.
    steps: steps of every training.

    Raises `MpnasError` if a column is missing, or a pair lacks a seed.

    >>> rows = {"domain": ["a", "b"], "partner": ["b", "a"], "seed": 0, "alone": 0.5}
    >>> transfer = mk.analysis.Transfer(pd.DataFrame({**rows, "joint": [0.53, 0.5]}), "k3e3", 100)
    >>> transfer.matrix().loc["a", "b"].round(1)
    np.float64(3.0)
    """

    rows: pd.DataFrame
    arch: str
    steps: int

    def __post_init__(self) -> None:
        missing = [c for c in COLUMNS if c not in self.rows]
        if missing:
            raise MpnasError(
                f"the rows of a transfer have no column {missing[0]!r}: expected the columns "
                f"{', '.join(COLUMNS)}."
            )
        pairs = list(permutations(self.domains, 2))
        expected = {(*pair, seed) for pair in pairs for seed in self.seeds}
        found = list(zip(*(self.rows[c] for c in COLUMNS[:3]), strict=True))
        if not expected or len(found) != len(expected) or set(found) != expected:
            raise MpnasError(
                "the rows of a transfer are incomplete: expected at least two domains, and one row "
                "per ordered pair of them and seed."
            )

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in order."""
        return tuple(dict.fromkeys(self.rows["domain"]))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings, in order."""
        return tuple(dict.fromkeys(int(seed) for seed in self.rows["seed"]))

    def table(self) -> pd.DataFrame:
        """Return one row per ordered pair of domains.

        Columns:

            domain, partner: names; the domain is trained with the partner.
            gain: mean over seeds, in percentage points.
            spread: standard deviation of the gain over seeds; nan with one seed.
            low, high: ends of the 95 % interval of the gain; nan with one seed.
            clear: whether the interval excludes 0.
        """
        gains = self.rows.assign(gain=100 * (self.rows["joint"] - self.rows["alone"]))
        cells = gains.groupby(["domain", "partner"], sort=False)["gain"]
        table = cells.agg(gain="mean", spread="std", variance="var").reset_index()
        seeds, partners = len(self.seeds), len(self.domains) - 1
        pooled = np.sqrt(table.groupby("domain")["variance"].transform("mean"))
        quantile = t.ppf((1 + CONFIDENCE) / 2, partners * (seeds - 1)) if seeds > 1 else math.nan
        half = quantile * pooled / math.sqrt(seeds)
        table["low"], table["high"] = table["gain"] - half, table["gain"] + half
        table["clear"] = (table["low"] > 0) | (table["high"] < 0)
        return table.drop(columns="variance")

    def matrix(self, column: str = "gain") -> pd.DataFrame:
        """Return a column of `table` as a matrix: a row per domain, a column per partner.

        column: `gain`, `spread`, `low` or `high`, in percentage points.

        The diagonal is nan. Raises `MpnasError` if there is no such column.
        """
        if column not in ("gain", "spread", "low", "high"):
            raise MpnasError(
                f"a transfer has no matrix {column!r}: expected gain, spread, low or high."
            )
        wide = self.table().pivot(index="domain", columns="partner", values=column)
        names = list(self.domains)
        return wide.loc[names, names].rename_axis(index=None, columns=None)

    def symmetric(self) -> pd.DataFrame:
        """Return the mean of both directions, `(T[a, b] + T[b, a]) / 2`, in percentage points."""
        gains = self.matrix()
        return (gains + gains.T) / 2

    def sentence(self) -> str:
        """Return what was measured and how much of it is noise, as sentences."""
        table = self.table()
        best, worst = (table.loc[i] for i in (table["gain"].idxmax(), table["gain"].idxmin()))
        seeds = f"{count(len(self.seeds))} seed{'s' if len(self.seeds) > 1 else ''}"
        ends = (
            f"From {worst['gain']:+.1f} ({worst['domain']} with {worst['partner']}) to "
            f"{best['gain']:+.1f} ({best['domain']} with {best['partner']})."
        ).replace("-", "\N{MINUS SIGN}")
        if len(self.seeds) == 1:
            return (
                f"with one seed, no gain can be told from noise. Mean {_points(table)} points of "
                f"validation accuracy. {ends}"
            )
        above = int((table["low"] > 0).sum())
        below = int((table["high"] < 0).sum())
        return (
            f"of {len(table)} gains, {above} are above 0 and {below} below 0 beyond the noise of "
            f"{seeds}. Noise alone would give about {(1 - CONFIDENCE) * len(table):.1f}. Mean "
            f"{_points(table)} points of validation accuracy. {ends}"
        )

    def _repr_html_(self) -> str:
        return str(self.matrix().to_html(float_format="{:+.1f}".format, na_rep=""))

    def __repr__(self) -> str:
        mean = self.table()["gain"].mean()
        return (
            f"Transfer({len(self.domains)} domains, {len(self.seeds)} seeds, mean {mean:+.1f} "
            "points)"
        )


def _points(table: pd.DataFrame) -> str:
    return f"{table['gain'].mean():+.1f}".replace("-", "\N{MINUS SIGN}")
