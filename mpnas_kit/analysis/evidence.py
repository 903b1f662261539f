"""What finished runs say about claims: differences, intervals, tests and verdicts.

The unit of repetition is a seed: one search and one training, anew, on the same images. Two
approaches are compared seed by seed, so that the effect of a seed on both cancels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, permutation_test, t
from scipy.stats import norm as normal

from mpnas_kit.analysis.answer import approach_of
from mpnas_kit.analysis.claims import CLAIMS, UNCLEAR, Claim, Side
from mpnas_kit.analysis.comparison import KEY, NO_PRIORITIZATION, NO_SIZES, Comparison
from mpnas_kit.analysis.standings import CONFIDENCE, t_interval
from mpnas_kit.analysis.units import signed
from mpnas_kit.settings import require
from mpnas_kit.values import convert_list, convert_text, require_type

NOT_MEASURED = "not measured"
RESAMPLES = 9999  # of a bootstrap
FLIPS = 8192  # most sign flips: all of them up to 13 seeds
DAGGER = "\N{NO-BREAK SPACE}\N{DAGGER}"  # of an interval with which the bootstrap disagrees


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """Claims, each with what finished runs say about it. Returned by `check_claims`.

    table: one row per claim, in order. Columns:

        claim, source, expected, unit: those of the claim.
        seeds: number of seeds that both sides have.
        difference: mean over these seeds; nan without any.
        low, high: 95 % t interval; nan below two seeds.
        bootstrap_low, bootstrap_high: 95 % bootstrap interval (see `bootstrap_interval`).
        p: two-sided p-value of the sign-flip test (see `sign_flip_p`) that the mean difference is
        the threshold.
        agree: whether both intervals give the same verdict.
        verdict: `holds`, `does not hold` or `not distinguishable`: what both intervals say, and the
        last if they disagree. `not measured` without a seed.
        lacks: which runs are missing, and the command that makes them; empty if none.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> mk.analysis.check_claims(mk.analysis.compare([outcome])).measured.empty
    True
    """

    table: pd.DataFrame

    @property
    def measured(self) -> pd.DataFrame:
        """Rows of the claims with at least one seed."""
        return self.table[self.table["seeds"] > 0].reset_index(drop=True)

    @property
    def missing(self) -> pd.DataFrame:
        """Rows of the claims that are not measured."""
        return self.table[self.table["seeds"] == 0].reset_index(drop=True)

    @property
    def note(self) -> str:
        """What the columns mean, and what they do not say."""
        counts = sorted({int(n) for n in self.table["seeds"] if n > 1})
        if counts:
            of = " and ".join(dict.fromkeys(str(n) for n in (counts[0], counts[-1])))
            least = f"With {counts[0]} seeds, p is at least {2 / 2 ** counts[0]:.2g}. "
            rough = f"An interval of {of} seeds is rough. " if counts[0] < 10 else ""
        else:
            least, rough = "One seed has no interval. ", ""
        return (
            "Differences are taken seed by seed. A seed is one search and one training, anew, on "
            "the same images. So intervals say what other seeds may give, not other images or "
            "domains. Accuracies differ in points, sizes in percent. Interval: 95% t interval. p: "
            f"two-sided sign-flip test that the difference is the threshold. {least}{rough}Neither "
            f"is corrected for the number of claims.{self._disagreements()}"
        )

    def _disagreements(self) -> str:
        """Return the bootstrap intervals that lead to other verdicts, as a sentence."""
        rows = self.measured[~self.measured["agree"].astype(bool)]
        ends = [
            f"{row.claim} ({self.interval(row.bootstrap_low, row.bootstrap_high)})"
            for row in rows.itertuples()
        ]
        if not ends:
            return ""
        return (
            f"{DAGGER} The bootstrap interval of the seeds gives another verdict, and both must "
            f"agree: {'; '.join(ends)}."
        )

    @staticmethod
    def interval(low: float, high: float) -> str:
        """Return an interval as text, such as `−0.4 to +2.0`; nan is "–".

        low, high: its ends, in points or percent.
        """
        return "–" if math.isnan(low) else f"{signed(low / 100)} to {signed(high / 100)}"

    def _repr_html_(self) -> str:
        return str(self.table.to_html())

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{n} {word}" for word, n in self.table["verdict"].value_counts().items()
        )
        return f"Evidence({counts})"


def check_claims(
    comparison: Comparison, claims: Iterable[Claim] | None = None, *, run: str = "RUN"
) -> Evidence:
    """Return what finished runs say about claims.

    comparison: finished runs.
    claims: claims, such as `[*mk.analysis.CLAIMS, mk.analysis.Claim(...)]`. None: `CLAIMS`, without
    those that name a domain which the runs do not have.
    run: run folder that commands for missing runs name.

    Raises `MpnasError` if a claim is something else, or if there are no runs.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> found = mk.analysis.check_claims(mk.analysis.compare([outcome]), run="runs/mine")
    >>> print(found.table["lacks"][0])
    no runs of bundle: mpnas sweep --run runs/mine --approaches "bundle" --seeds "0"
    """
    require_type(comparison, Comparison, "check_claims: comparison")
    run = convert_text(run, "check_claims: run")
    require(not comparison.cells.empty, "the comparison has no runs: expected at least one.")
    if claims is None:
        chosen: Sequence[Claim] = [c for c in CLAIMS if not _unknown_domains(comparison, c)]
    else:
        chosen = convert_list(claims, "check_claims: claims", "claims")
    for claim in chosen:
        require_type(claim, Claim, "check_claims: a claim")
    rows = [_row(comparison, claim, run) for claim in chosen]
    columns = ["claim", "source", "expected", "unit", "seeds", "difference", "low", "high"]
    columns += ["bootstrap_low", "bootstrap_high", "p", "agree", "verdict", "lacks"]
    return Evidence(pd.DataFrame(rows, columns=columns))


def bootstrap_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % expanded percentile interval of a mean (Hesterberg 2015).

    values: n numbers, such as one paired difference per seed. They are drawn anew 9,999 times, with
    replacement. A seed is drawn whole, with all of its domains.

    A plain percentile interval of few numbers is too narrow. So the level is raised to that of
    `Phi(sqrt(n / (n - 1)) t)`, where t is the 97.5 % quantile of Student's distribution for n - 1
    degrees of freedom. Source: doi 10.1080/00031305.2015.1089789.

    Both ends are nan if there are fewer than two numbers.

    >>> low, high = mk.analysis.bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> 1 <= low < 3 < high <= 5
    True
    """
    numbers = np.asarray(values, dtype=np.float64)
    count = len(numbers)
    if count < 2:
        return float("nan"), float("nan")
    if np.ptp(numbers) == 0:
        return float(numbers[0]), float(numbers[0])
    wide = math.sqrt(count / (count - 1)) * t.ppf((1 + CONFIDENCE) / 2, count - 1)
    level = min(2 * float(normal.cdf(wide)) - 1, 1 - 2 / RESAMPLES)
    found = bootstrap(
        (numbers,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_flip_p(values: ArrayLike) -> float:
    """Return the two-sided p-value of the sign-flip permutation test that a mean is 0.

    values: n numbers, such as one paired difference per seed. If their mean is 0 by symmetry, each
    sign is as likely as the other. Up to 13 numbers all `2^n` signs are tried, so the test is
    exact, and p is at least `2 / 2^n`: with five seeds 0.0625. Above, 8,192 are drawn.

    nan if there are fewer than two numbers.

    >>> mk.analysis.sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        return float("nan")
    found = permutation_test(
        (numbers,),
        np.mean,
        permutation_type="samples",
        n_resamples=FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def _row(comparison: Comparison, claim: Claim, run: str) -> dict[str, object]:
    """Return the row of a claim."""
    values, lacks = _differences(comparison, claim), ""
    if len(values) < 2:
        lacks = _lacks(comparison, claim, run)
    intervals = t_interval(values), bootstrap_interval(values)
    verdicts = {claim.verdict(*interval) for interval in intervals}
    agree = len(verdicts) == 1
    verdict = verdicts.pop() if agree else UNCLEAR
    return {
        "claim": claim.sentence,
        "source": claim.source,
        "expected": claim.expected,
        "unit": claim.unit,
        "seeds": len(values),
        "difference": float(values.mean()) if len(values) else float("nan"),
        **dict(zip(("low", "high"), intervals[0], strict=True)),
        **dict(zip(("bootstrap_low", "bootstrap_high"), intervals[1], strict=True)),
        "p": sign_flip_p(values - claim.threshold),
        "agree": agree,
        "verdict": verdict if len(values) else NOT_MEASURED,
        "lacks": lacks,
    }


def _differences(comparison: Comparison, claim: Claim) -> pd.Series:
    """Return the difference of every seed that both sides have, in the unit of the claim."""
    if _unknown_domains(comparison, claim):
        return pd.Series(dtype=np.float64)
    first, second = (_values(comparison, claim, side) for side in (claim.first, claim.second))
    both = first.index.intersection(second.index)
    first, second = first[both], second[both]
    found = first - second if claim.measure == "accuracy" else first / second - 1
    known = (100 * found).replace([np.inf, -np.inf], np.nan).dropna()
    return known.round(9)  # equal runs differ by nothing, not by the rounding of their means


def _values(comparison: Comparison, claim: Claim, side: Side) -> pd.Series:
    """Return the measure of one side by seed: a share, or a size."""
    cells = _cells(comparison, side)
    if claim.measure != "accuracy":
        return cells.groupby("seed")[claim.measure].mean().dropna()
    rows = comparison.domains[comparison.domains["split"] == claim.split]
    rows = rows[~rows["domain"].isin(claim.without)]
    rows = rows[rows["domain"].isin(claim.only)] if claim.only else rows
    keys = [*KEY, "seed"]
    return rows.merge(cells[keys], on=keys).groupby("seed")["accuracy"].mean()


def _cells(comparison: Comparison, side: Side) -> pd.DataFrame:
    """Return the cells of one side."""
    cells = comparison.cells
    same = cells["approach"].map(approach_of) == approach_of(side.approach)
    same &= cells["prioritization"].isin([side.prioritization, NO_PRIORITIZATION])
    return cells[same & (cells["norm"] == side.norm)]


def _unknown_domains(comparison: Comparison, claim: Claim) -> list[str]:
    """Return the domains that a claim names and the runs do not have."""
    known = set(comparison.domains["domain"])
    return [name for name in (*claim.only, *claim.without) if name not in known]


def _lacks(comparison: Comparison, claim: Claim, run: str) -> str:
    """Return what must be run for at least two seeds of a claim."""
    unknown = _unknown_domains(comparison, claim)
    if unknown:
        return f"the runs have no domain {', '.join(unknown)}."
    sides = (claim.first, claim.second)
    absent = [side for side in sides if _cells(comparison, side).empty]
    seeds = sorted(map(int, comparison.cells["seed"].unique()))
    if absent:
        names = " and ".join(_name(side) for side in dict.fromkeys(absent))
        return f"no runs of {names}: {_command(absent, seeds, run)}"
    if any(_values(comparison, claim, side).empty for side in sides):
        no_sizes = f"sizes are not known: {NO_SIZES}"
        return no_sizes if claim.measure != "accuracy" else "the claim leaves no domain."
    several = seeds if len(seeds) > 1 else range(5)
    return f"fewer than two seeds that both have: {_command(sides, several, run)}"


def _name(side: Side) -> str:
    """Return a side in a sentence: its approach, and what differs from the usual."""
    usual = Side()
    more = [
        getattr(side, name)
        for name in ("prioritization", "norm")
        if getattr(side, name) != getattr(usual, name)
    ]
    return f"{side.approach} with {' and '.join(more)}" if more else side.approach


def _command(sides: Sequence[Side], seeds: Iterable[int], run: str) -> str:
    """Return the command that makes the runs of these sides with these seeds."""
    usual, words = Side(), [f"mpnas sweep --run {run}"]
    for option, name in (
        ("approaches", "approach"),
        ("prioritizations", "prioritization"),
        ("norms", "norm"),
    ):
        values = list(dict.fromkeys(str(getattr(side, name)) for side in sides))
        if name == "approach" or values != [getattr(usual, name)]:
            words.append(f'--{option} "{", ".join(values)}"')
    return f'{" ".join(words)} --seeds "{", ".join(map(str, seeds))}"'
