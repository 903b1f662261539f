"""What a run found, in numbers and in one sentence: is one model as good as separate ones?

A run is compared with two references. The bundle has a model of its own for every domain: what the
run saves and loses against it is the point of one model for all. Random paths of the same cost show
what the search itself gains.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm as normal

from mpnas_kit.analysis.comparison import KEY, NO_PRIORITIZATION, Comparison, family
from mpnas_kit.analysis.standings import CONFIDENCE, t_interval
from mpnas_kit.analysis.units import amount, count, signed
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import read_call
from mpnas_kit.values import checked, require_type

BUNDLE, RANDOM = "bundle", "random_paths"  # approaches, without options


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies, with its interval at 95 %. All are shares, -1 to 1.

    value: mean difference.
    low, high: ends of the interval.
    pairs: number of seeds that have both accuracies. Below 2, the interval covers the test images
    alone.
    """

    value: float
    low: float
    high: float
    pairs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0, so that the sign is known."""
        return self.low > 0 or self.high < 0

    @property
    def points(self) -> str:
        """Text of the value in percentage points, with its sign, such as `+0.8`."""
        return signed(self.value)

    @property
    def interval(self) -> str:
        """Text of the interval in percentage points, such as `−0.4 to +2.0`."""
        return f"{signed(self.low)} to {signed(self.high)}"


@dataclass(frozen=True)
class Peer:
    """Another approach of the same comparison, beside the run of the answer.

    name: name in words, such as `random paths`.
    approach: name of the approach. Draws of random paths count as one approach.
    seeds: number of seeds.
    accuracy: mean test accuracy over domains, draws and seeds, 0 to 1.
    difference: accuracy of the run minus that of the peer.
    parameters: number of all parameters; nan if it is not known.
    multiply_adds: multiply-adds per image, mean over domains; nan if they are not known.
    """

    name: str
    approach: str
    seeds: int
    accuracy: float
    difference: Difference
    parameters: float
    multiply_adds: float


@dataclass(frozen=True)
class Answer:
    """What a run found, compared with the other approaches.

    approach, prioritization, norm: identify the run, as in a comparison.
    domains: names of the domains.
    models: number of networks: 1 if domains share weights.
    seeds: number of seeds of the run.
    accuracy: mean test accuracy over domains and seeds, 0 to 1.
    parameters: number of all parameters, mean over seeds; nan if it is not known.
    multiply_adds: multiply-adds per image, mean over domains; nan if they are not known.
    peers: the other approaches, by name without options of draws.
    by_domain: test accuracy of the run minus that of the bundle, per domain; empty if there is no
    bundle.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> mk.analysis.Answer.of(mk.analysis.compare([outcome])).sentence
    'One model of ... parameters serves two domains: mean test accuracy ...%.'
    """

    approach: str
    prioritization: str
    norm: str
    domains: tuple[str, ...]
    models: int
    seeds: int
    accuracy: float
    parameters: float
    multiply_adds: float
    peers: Mapping[str, Peer]
    by_domain: Mapping[str, Difference]

    @classmethod
    @checked("Answer.of")
    def of(
        cls,
        comparison: Comparison,
        approach: str | None = None,
        *,
        prioritization: str | None = None,
        norm: str | None = None,
    ) -> "Answer":
        """Return what the runs of one approach found, compared with the other approaches.

        comparison: finished runs.
        approach: approach to answer for; None: `mpnas`, or the first one if MPNAS was not run.
        prioritization, norm: of the approach; None: those of its first run.

        Other approaches count if they have the same norm, and the same prioritization or none.

        The interval of a difference, if both approaches have at least two seeds: the t interval
        `mean(d) +- t * std(d) / sqrt(n)` of the paired differences d (Student 1908), with n seeds
        and the 97.5 % quantile t of n - 1 degrees of freedom. d is a mean over domains, and over
        draws of random paths.

        The interval otherwise: `difference +- 1.96 * sqrt(variance)`, where variance is the sum of
        `p (1 - p) / (n + 2) / domains^2` over both approaches and all domains, with n test images
        of the domain and `p = (correct + 1) / (n + 2)` (Agresti and Caffo 2000,
        doi 10.1080/00031305.2000.10474560; centred at the measured difference, ours). Both
        approaches see the same images, so this interval is rather too wide.

        Raises `MpnasError` if the comparison has no such run.

        >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
        >>> mk.analysis.Answer.of(mk.analysis.compare([outcome])).models
        1
        """
        require_type(comparison, Comparison, "Answer.of: comparison")
        cells = comparison.cells
        known = list(dict.fromkeys(cells["approach"]))
        wanted = approach or ("mpnas" if "mpnas" in known else next(iter(known), "mpnas"))
        own = cells[cells["approach"] == wanted]
        for name, value in (("prioritization", prioritization), ("norm", norm)):
            own = own if own.empty else own[own[name] == (value or own[name].iloc[0])]
        if own.empty:
            raise MpnasError(
                f"the comparison has no run of {wanted}{_with(prioritization, norm)}: it has "
                f"{', '.join(known) or 'no runs'}."
            )
        key = own[list(KEY)].iloc[0]
        around = compared_cells(comparison, key["prioritization"], key["norm"])
        around = around[around["approach"] != wanted]
        groups = dict(tuple(around.groupby(around["approach"].map(approach_of), sort=False)))
        groups.pop(approach_of(wanted), None)
        mine = _accuracies(comparison, own)
        peers, by_domain = {}, {}
        for name, rows in groups.items():
            theirs = _accuracies(comparison, rows)
            peers[str(name)] = Peer(
                name=approach_in_words(str(name)),
                approach=str(name),
                seeds=int(rows["seed"].nunique()),
                accuracy=float(rows["test"].mean()),
                difference=_difference(mine, theirs),
                parameters=float(rows["parameters_all"].mean()),
                multiply_adds=float(rows["per_image"].mean()),
            )
            if name == BUNDLE:
                by_domain = {d: _difference(_of(mine, d), _of(theirs, d)) for d in mine.domains}
        return cls(
            approach=wanted,
            prioritization=str(key["prioritization"]),
            norm=str(key["norm"]),
            domains=tuple(mine.domains),
            models=int(own["models"].iloc[0]),
            seeds=int(own["seed"].nunique()),
            accuracy=float(own["test"].mean()),
            parameters=float(own["parameters_all"].mean()),
            multiply_adds=float(own["per_image"].mean()),
            peers=peers,
            by_domain=by_domain,
        )

    @property
    def bundle(self) -> Peer | None:
        """The bundle of separate models; None if it was not run or if the run is a bundle."""
        return self.peers.get(BUNDLE)

    @property
    def random(self) -> Peer | None:
        """Random paths of the same cost; None if there are none, or if the run is not MPNAS."""
        return self.peers.get(RANDOM) if self.approach == "mpnas" else None

    @property
    def sentence(self) -> str:
        """One sentence for readers who have never heard of the method. Its words follow the data.

        A difference counts as a gain or a loss only if its interval leaves out 0.
        """
        clauses = [self._against_bundle() or f"mean test accuracy {self.accuracy:.1%}"]
        clauses += [text for text in (self._against_random(), self._main_domain()) if text]
        clauses += ["all with one seed"] * (self.seeds == 1 and bool(self.note))
        return f"{self._subject()}: {'; '.join(clauses)}."

    @property
    def note(self) -> str:
        """What the intervals of the sentence are; empty if it has none."""
        shown = [peer.difference for peer in (self.bundle, self.random) if peer is not None]
        if not shown:
            return ""
        pairs = min(difference.pairs for difference in shown)
        if pairs > 1:
            return f"Intervals: 95%, from paired differences over {count(pairs)} seeds."
        return (
            "Intervals: 95%, from the number of test images alone, because one seed has no spread. "
            "Another seed may differ by more."
        )

    def separate_models(self) -> str:
        """Return the bundle in words: `ten separate models`."""
        domains = len(self.domains)
        return "a separate model" if domains == 1 else f"{count(domains)} separate models"

    def _subject(self) -> str:
        domains = len(self.domains)
        served = self.domains[0] if domains == 1 else f"{count(domains)} domains"
        size = "" if math.isnan(self.parameters) else f" of {amount(self.parameters)} parameters"
        if self.models == 1:
            return f"One model{size} serves {served}"
        together = " together" if size else ""
        return f"{count(self.models).capitalize()} separate models{size}{together} serve {served}"

    def _against_bundle(self) -> str:
        bundle = self.bundle
        if bundle is None:
            return ""
        other, found = self.separate_models(), bundle.difference
        percent = change(self.parameters, bundle.parameters)
        size = "" if percent is None else compared(percent, "smaller", "larger", "as large")
        if not found.is_clear:
            unclear = f"({found.points} points, {found.interval})"
            if not size:
                return f"no clear difference in accuracy to {other} {unclear}"
            return f"{size} {other}, with no clear difference in accuracy {unclear}"
        better = found.value > 0
        accurate = f"{_plain(found)} {'more' if better else 'less'} accurate"
        if not size:
            return f"{accurate} than {other}"
        agree = percent == 0 or (percent is not None and percent < 0) == better
        return f"{size} {other} {'and' if agree else 'but'} {accurate}"

    def _against_random(self) -> str:
        random = self.random
        if random is None:
            return ""
        what, found = "random paths of the same cost", random.difference
        if not found.is_clear:
            return f"no clear difference to {what} ({found.points} points, {found.interval})"
        return f"{what} are {_plain(found)} {'behind' if found.value > 0 else 'ahead'}"

    def _main_domain(self) -> str:
        """Return the domain that a clear difference to the bundle comes from, in words."""
        bundle = self.bundle
        if bundle is None or len(self.domains) < 2:
            return ""
        clear = bundle.difference.is_clear
        gains = clear and bundle.difference.value > 0
        parts = {d: (1 if gains else -1) * found.value for d, found in self.by_domain.items()}
        sure = [d for d, part in parts.items() if part > 0 and self.by_domain[d].is_clear]
        if not sure:
            return ""
        name, word = max(sure, key=lambda d: parts[d]), "gain" if gains else "loss"
        if clear and parts[name] >= sum(parts.values()):
            return f"all of the {word} is {name}"
        if clear and parts[name] > sum(max(part, 0.0) for part in parts.values()) / 2:
            return f"most of the {word} is {name}"
        return f"the largest {word} is {name} ({self.by_domain[name].points})"


def compared_cells(comparison: Comparison, prioritization: str, norm: str) -> pd.DataFrame:
    """Return the cells of a comparison that a run with these settings is compared with."""
    cells = comparison.cells
    same = cells["prioritization"].isin([prioritization, NO_PRIORITIZATION])
    return cells[same & (cells["norm"] == norm)]


def approach_of(approach: str) -> str:
    """Return the approach that a run counts for. Draws of random paths count as one approach.

    Those that match a size, and separate models, are approaches of their own.

    Raises `MpnasError` if the options of random paths cannot be read.

    >>> approach_of("random_paths(draw=1, match='size')")
    "random_paths(match='size')"
    """
    name = family(approach)
    if name not in (RANDOM, "even_paths"):
        return approach
    options = read_call(approach, "approach")[1]
    kept = [f"{key}={options[key]!r}" for key in ("match", "shared") if key in options]
    return f"{name}({', '.join(kept)})" if kept else name


def approach_in_words(approach: str) -> str:
    """Return the name of an approach in words.

    approach: name of an approach, with or without options.

    >>> approach_in_words("single_path(frozen=True)")
    'single path (frozen=True)'
    """
    name, bracket, options = approach.partition("(")
    words = {"mpnas": "MPNAS", BUNDLE: "separate models"}.get(name, name.replace("_", " "))
    return f"{words} {bracket}{options}" if bracket else words


def change(value: float, reference: float) -> int | None:
    """Return by how much a value differs from a reference, in whole percent; None: not known."""
    if math.isnan(value) or math.isnan(reference) or reference <= 0:
        return None
    return round(100 * (value / reference - 1))


def compared(percent: int, less: str, more: str, same: str) -> str:
    """Return a change in words, such as `59% smaller than` or `as large as`.

    percent: change in whole percent.
    less, more, same: words for a negative change, a positive one, and none.
    """
    if percent == 0:
        return f"{same} as"
    return f"{abs(percent)}% {less if percent < 0 else more} than"


@dataclass(frozen=True)
class _Accuracies:
    """Test accuracies of an approach.

    table: accuracy, one row per seed and one column per domain, mean over draws.
    images: number of test images per domain.
    """

    table: pd.DataFrame
    images: NDArray[np.float64]

    @property
    def domains(self) -> list[str]:
        return [str(name) for name in self.table.columns]


def _accuracies(comparison: Comparison, cells: pd.DataFrame) -> _Accuracies:
    rows = comparison.domains[comparison.domains["split"] == "test"]
    order = list(dict.fromkeys(rows["domain"]))
    rows = rows.merge(cells[[*KEY, "seed"]], on=[*KEY, "seed"])
    table = rows.groupby(["seed", "domain"])["accuracy"].mean().unstack()[order]
    images = rows.groupby("domain")["images"].first().loc[order].to_numpy(dtype=np.float64)
    return _Accuracies(table, images)


def _of(accuracies: _Accuracies, domain: str) -> _Accuracies:
    """Return the accuracies of one domain."""
    here = accuracies.domains.index(domain)
    return _Accuracies(accuracies.table[[domain]], accuracies.images[here : here + 1])


def _difference(one: _Accuracies, other: _Accuracies) -> Difference:
    """Return the accuracy of `one` minus that of `other`, mean over domains and seeds."""
    both = one.table.index.intersection(other.table.index)
    if len(both) >= 2:
        paired = (one.table.loc[both] - other.table.loc[both]).mean(axis=1)
        return Difference(float(paired.mean()), *t_interval(paired), len(both))
    seeds = both if len(both) else slice(None)
    means = [a.table.loc[seeds].mean().to_numpy(dtype=np.float64) for a in (one, other)]
    value = float((means[0] - means[1]).mean())
    variance = sum(_variance(m, a.images) for m, a in zip(means, (one, other), strict=True))
    half = float(normal.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return Difference(value, value - half, value + half, len(both))


def _variance(accuracies: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """Return the variance of a mean of accuracies over domains that chance in the images gives."""
    shrunk = (accuracies * images + 1) / (images + 2)
    return float((shrunk * (1 - shrunk) / (images + 2)).sum()) / len(images) ** 2


def _plain(found: Difference) -> str:
    """Return the size of a clear difference without signs, such as `1.1 points (0.3 to 1.9)`."""
    low, high = sorted((abs(found.low), abs(found.high)))
    return f"{100 * abs(found.value):.1f} points ({100 * low:.1f} to {100 * high:.1f})"


def _with(*texts: str | None) -> str:
    given = [text for text in texts if text is not None]
    return f" with {' and '.join(given)}" if given else ""
