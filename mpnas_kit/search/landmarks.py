"""Landmarks: random paths that are trained briefly before a search, and what they say of others.

The idea is that of landmark regularization (Yu et al. 2021, arXiv 2104.05309): a few paths that are
trained alone show how a supernet should order paths. The regression on choice words is ours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.search.config import LEAST_SETS, SearchConfig
from mpnas_kit.search.scoring import PathQuality
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import require_type

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of a ridge regression on standardised words
COLUMNS = ("set", "domain", "arch", "score", "accuracy")
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Landmarks:
    """Random paths of one cost, each trained briefly and alone before a search.

    A set has one path per domain. `Run.search` makes them if the setting `landmarks` is above 0.

    rows: one row per set and domain. Columns:

        set: number of the set, from 0.
        domain: name of the domain.
        arch: arch string of the path.
        score: mean log-probability of the true class on the reward part, nats. Higher is better.
        accuracy: accuracy on the reward part, 0 to 1.

    seconds: time that their trainings took.

    Raises `MpnasError` if a column is missing, a number is not finite, or a set does not have
    exactly one path per domain.

    >>> archs = ["row row row row", "row column row column", "column column row diagonal"]
    >>> archs += ["diagonal row row column", "column diagonal diagonal column"]
    >>> rows = pd.DataFrame({"set": range(5), "domain": "a", "arch": archs})
    >>> rows["score"] = [float(arch.count("row")) for arch in archs]
    >>> rows["accuracy"] = 0.5 + 0.1 * rows["score"]
    >>> values = mk.Landmarks(rows).fit(space)
    >>> best, worst = space.parse("row row row row"), space.parse("column column column column")
    >>> values.value("a", best) > values.value("a", worst)
    True
    """

    rows: pd.DataFrame
    seconds: float = 0.0

    def __post_init__(self) -> None:
        require_type(self.rows, pd.DataFrame, "landmarks: rows")
        for name in COLUMNS:
            if name not in self.rows:
                raise MpnasError(
                    f"landmarks: rows have no column {name!r}: expected {', '.join(COLUMNS)}."
                )
        if len(self.rows) == 0:
            raise MpnasError("landmarks: rows are empty: expected at least one row.")
        for name in ("score", "accuracy"):
            numbers = pd.to_numeric(self.rows[name], errors="coerce")
            if not np.isfinite(numbers.to_numpy(float)).all():
                raise MpnasError(f"landmarks: column {name!r} needs a finite number in every row.")
        counts = self.rows.groupby(["set", "domain"]).size()
        if len(counts) != len(self.rows) or len(counts) != len(self.domains) * len(self.sets):
            raise MpnasError("landmarks: expected exactly one row for every set and domain.")

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the order of the rows."""
        return tuple(self.rows["domain"].unique())

    @property
    def sets(self) -> tuple[int, ...]:
        """Numbers of the sets, in the order of the rows."""
        return tuple(self.rows["set"].unique())

    def fingerprint(self) -> str:
        """Return a short hash over sets, domains, paths, scores and accuracies."""
        rows = self.rows[list(COLUMNS)].itertuples(index=False, name=None)
        return sha256(repr([tuple(map(str, row)) for row in rows]).encode()).hexdigest()[:16]

    def fit(self, space: SearchSpace, pooled: bool = True) -> "PathValues":
        """Return what the landmarks say of every path of a space: a ridge regression (ours).

        A path is described by its words: for the name of every choice, such as `k3e2` or `zero`,
        how many active decisions take it. Counts and scores are those relative to the mean of their
        domain, in standard deviations. The penalty is the one with the least error on sets that are
        left out, with everything that is computed from them.

        space: search space of the paths.
        pooled: whether one regression serves all domains, which is more exact with few sets.
        Otherwise each domain has its own, and knows nothing of the others.

        Raises `MpnasError` if there are fewer than 4 sets, or an arch string is not of this space.
        """
        require_type(space, SearchSpace, "landmarks: space")
        if len(self.sets) < LEAST_SETS:
            raise MpnasError(
                f"landmarks have {len(self.sets)} sets: expected at least {LEAST_SETS}, because "
                "the regression is judged on sets that are left out."
            )
        words = _Words(space)
        counts = np.stack([words.counts(space.read(arch)) for arch in self.rows["arch"]])
        scores = self.rows["score"].to_numpy(float)
        domains, sets = (self.rows[name].to_numpy() for name in ("domain", "set"))
        models: dict[str, _Regression] = {}
        for group in [self.domains] if pooled else [(d,) for d in self.domains]:
            own = np.isin(domains, group)
            model = _Regression(counts[own], scores[own], domains[own], sets[own])
            models |= dict.fromkeys(group, model)
        return PathValues(self, words, models)

    def best(self) -> dict[str, str]:
        """Return the arch string with the best score of every domain, by domain."""
        best = self.rows.loc[self.rows.groupby("domain")["score"].idxmax()].set_index("domain")
        return {domain: str(best.loc[domain, "arch"]) for domain in self.domains}

    def _repr_html_(self) -> str:
        return str(self.rows.to_html(index=False))

    def __repr__(self) -> str:
        return f"Landmarks({len(self.sets)} sets of {len(self.domains)} domains)"


class _Words:
    """The words of a space, which describe its paths.

    space: search space. Attribute `names`: the names of all choices, in order.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.names = tuple(dict.fromkeys(c for d in space.decisions for c in d.choices))
        index = {name: i for i, name in enumerate(self.names)}
        self._of = [[index[choice] for choice in d.choices] for d in space.decisions]

    def counts(self, path: Path) -> Numbers:
        """Return how many active decisions of a path take each word: float64 (words,)."""
        counts = np.zeros(len(self.names))
        active = self.space.active(path.choices)
        for own, choice, matters in zip(self._of, path.choices, active, strict=True):
            if matters:
                counts[own[choice]] += 1
        return counts


@dataclass(frozen=True, eq=False)
class _Regression:
    """A ridge regression of scores on counts of words, within domains.

    Scores are compared in standard deviations of their domain. A penalty applies to the counts in
    standard deviations.

    counts: counts of words, float64 (rows, words).
    scores, domains, sets: score, domain and set of every row, (rows,).
    """

    counts: Numbers
    scores: Numbers
    domains: NDArray[Any]
    sets: NDArray[Any]

    @cached_property
    def weights(self) -> Numbers:
        """What one more decision for each word adds to the standardised score, float64 (words,)."""
        every = np.full(len(self.scores), True)
        return _ridge(*self._within(every), self.penalty)

    @cached_property
    def centres(self) -> dict[str, Numbers]:
        """Mean counts of the landmarks of every domain, float64 (words,) each."""
        return {d: self.counts[self.domains == d].mean(0) for d in np.unique(self.domains)}

    def predict(self, domain: str, counts: Numbers) -> float:
        """Return the predicted score of a path, in standard deviations from the mean landmark.

        counts: counts of its words, float64 (words,).
        """
        return float((counts - self.centres[domain]) @ self.weights)

    @cached_property
    def penalty(self) -> float:
        """The penalty with the least squared error on sets that are left out, one at a time."""
        errors = np.zeros(len(PENALTIES))
        for number in np.unique(self.sets):
            held = self.sets == number
            x, y = self._within(~held)
            for i, penalty in enumerate(PENALTIES):
                weights = _ridge(x[~held], y[~held], penalty)
                errors[i] += ((x[held] @ weights - y[held]) ** 2).sum()
        return PENALTIES[int(errors.argmin())]

    @cached_property
    def taus(self) -> dict[str, float]:
        """Kendall's tau of score and prediction, by domain; nan if all scores are equal.

        Every pair of sets is ordered by the regression on all others. If only one set were left
        out, the prediction for a path would depend on the score of the path it is compared with.
        """
        agreed, pairs = dict.fromkeys(self.centres, 0.0), dict.fromkeys(self.centres, 0)
        for two in combinations(np.unique(self.sets), 2):
            held = np.isin(self.sets, two)
            x, y = self._within(~held)
            predicted = x @ _ridge(x[~held], y[~held], self.penalty)
            for domain in self.centres:
                one, other = np.flatnonzero(held & (self.domains == domain))
                order = np.sign(self.scores[one] - self.scores[other])
                agreed[domain] += order * np.sign(round(predicted[one] - predicted[other], 9))
                pairs[domain] += int(order != 0)
        return {d: float(agreed[d] / pairs[d]) if pairs[d] else math.nan for d in pairs}

    def _within(self, used: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
        """Return counts and standardised scores, relative to the mean of the used rows of a domain.

        Returns float64 (rows, words) and (rows,).
        """
        x, y = self.counts.copy(), self.scores.copy()
        for own in (self.domains == d for d in np.unique(self.domains)):
            x[own] -= x[own & used].mean(0)
            y[own] -= y[own & used].mean()
            deviation = y[own & used].std()
            y[own] = y[own] / deviation if deviation > 0 else 0.0
        return x, y


def _ridge(x: Numbers, y: Numbers, penalty: float) -> Numbers:
    """Return the weights of words, float64 (words,). One that all rows have equally often has 0.

    x: centred counts of words, float64 (rows, words). y: standardised scores, (rows,).
    penalty: weight of the squared weights of standardised words.
    """
    deviation = np.sqrt((x**2).mean(0))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    z = x * scale
    penalised = z.T @ z / len(z) + penalty * np.eye(len(scale))
    weights: Numbers = scale * np.linalg.solve(penalised, z.T @ y / len(z))
    return weights


@dataclass(frozen=True, eq=False, repr=False)
class PathValues:
    """What landmarks say of the paths of a search. Returned by `Landmarks.fit`.

    landmarks: the landmarks.
    words: words of the space.
    models: regression by domain. If it is pooled, all domains have the same.
    """

    landmarks: Landmarks
    words: _Words
    models: Mapping[str, _Regression]

    @cached_property
    def spreads(self) -> dict[str, float]:
        """Standard deviation of the landmarks' accuracies, 0 to 1, by domain."""
        by_domain = self.landmarks.rows.groupby("domain")["accuracy"]
        return {str(domain): float(spread) for domain, spread in by_domain.std().items()}

    def value(self, domain: str, path: Path) -> float:
        """Return the predicted quality of a path, minus that of a mean landmark of the domain.

        It is the predicted score in standard deviations, times the standard deviation of the
        landmarks' accuracies. So it has the unit of an accuracy.

        domain: name of the domain.
        path: path of the space.

        Raises `MpnasError` if the domain has no landmarks, or the path is not of the space.
        """
        if domain not in self.models:
            raise unknown("domain with landmarks", domain, self.models)
        self.words.space.require(path)
        return self._value(domain, path)

    def _value(self, domain: str, path: Path) -> float:
        return self.spreads[domain] * self.models[domain].predict(domain, self.words.counts(path))

    def tau(self) -> dict[str, float]:
        """Return Kendall's tau of score and prediction on sets that were left out, by domain.

        This is what the regression is worth: 1 the right order of the landmarks, 0 none. Each pair
        of sets is ordered by the regression on all other sets (Airola et al. 2011, doi
        10.1016/j.csda.2010.11.023). Pairs with equal scores do not count. It is nan if all scores
        are equal.
        """
        return {domain: model.taus[domain] for domain, model in self.models.items()}

    def mix(self, quality: Tensor, paths: Mapping[str, Sequence[Path]], weight: float) -> Tensor:
        """Return the qualities that reward the controllers: supernet and landmarks, mixed (ours).

        `mixed[d, k] = (1 - w) Q[d, k] + w (mean over k of Q[d, k] + value(d, path k))`, limited to
        0 to 1. Q is the quality on the supernet and w the weight. The supernet tells how good a
        domain is at all, and both tell paths apart. A path that is predicted to be one standard
        deviation better than the mean landmark counts as one whose accuracy is higher by the
        standard deviation of the landmarks' accuracies. A regression that is worth little predicts
        small differences, because its penalty is large, so it counts little. If one controller
        serves all domains, it is rewarded for the mean of these qualities.

        quality: float64 (domains, paths), 0 to 1. Returns the same shape.
        paths: the paths, by domain in the order of the rows.
        weight: 0 (the supernet alone) to 1 (the landmarks alone).
        """
        values = [[self._value(d, path) for path in own] for d, own in paths.items()]
        predicted = quality.mean(1, keepdim=True) + torch.tensor(values, dtype=quality.dtype)
        return torch.lerp(quality, predicted, weight).clamp(0, 1)

    def mixed(self, quality: PathQuality, base: Mapping[str, Path], weight: float) -> PathQuality:
        """Return a quality of paths on a frozen supernet, mixed with what the landmarks say (ours).

        `mixed(d, path) = (1 - w) Q(d, path) + w (Q(d, base) + value(d, path) - value(d, base))`

        So the path in `base` keeps its quality, and each path has one quality, whatever is asked
        together with it.

        quality: quality of paths on the supernet, Q.
        base: a path of every domain, from which differences count.
        weight: w, 0 (the supernet alone) to 1 (the landmarks alone).
        """
        levels = {d: float(quality(d, [path])) - self._value(d, path) for d, path in base.items()}

        def found(domain: str, paths: Sequence[Path]) -> Tensor:
            measured = quality(domain, paths)
            values = [levels[domain] + self._value(domain, path) for path in paths]
            return torch.lerp(measured, torch.tensor(values, dtype=measured.dtype), weight)

        return found

    def __repr__(self) -> str:
        known = [t for t in self.tau().values() if not math.isnan(t)]
        mean = f"{sum(known) / len(known):.2f}" if known else "unknown"
        return f"PathValues({len(self.models)} domains, mean tau {mean} on sets left out)"


def path_values(
    landmarks: Landmarks | None, config: SearchConfig, space: SearchSpace, domains: Sequence[str]
) -> PathValues | None:
    """Return what the landmarks of a search say of its paths; None: it has no landmarks.

    If all layers are private, they do not share the regression either.

    landmarks: the landmarks that were given.
    config: settings of the search.
    space: space in which the search chooses.
    domains: names of the domains of the search.

    Raises `MpnasError` if they do not fit the settings, a domain has none, or the search adds
    domains to a network.
    """
    if landmarks is None and config.landmarks == 0:
        return None
    if isinstance(space, GrownSpace):
        raise MpnasError(
            "search: landmarks are paths that are trained alone, so they say nothing of frozen "
            "nodes: expected landmarks=0 if domains are added to a network."
        )
    if landmarks is not None:
        require_type(landmarks, Landmarks, "landmarks")
    given = 0 if landmarks is None else len(landmarks.sets)
    if landmarks is None or given != config.landmarks:
        raise MpnasError(
            f"search: the setting landmarks is {config.landmarks}, and {given} sets of landmarks "
            "are given: expected the same number, as Run.search makes them."
        )
    for domain in domains:
        if domain not in landmarks.domains:
            raise MpnasError(
                f"domain {domain!r} has no landmarks: expected landmarks of all domains, not of "
                f"{short(landmarks.domains)}."
            )
    return landmarks.fit(space, pooled=not config.private.every)


def tau_record(taus: Mapping[str, float] | None) -> dict[str, Any]:
    """Return what landmarks are worth as a field of results.json. None: there are no landmarks.

    taus: Kendall's tau of every domain. nan becomes null.
    """
    if taus is None:
        return {}
    return {"landmark_tau": {d: None if math.isnan(tau) else tau for d, tau in taus.items()}}
