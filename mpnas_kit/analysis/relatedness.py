"""Whether domains that gain from each other share more of their paths.

Pairs of domains are no independent samples: every domain is in several pairs. So the p-values come
from permutations of domains, not of pairs.
"""

import math
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from mpnas_kit.analysis.gradients import GradientAgreement
from mpnas_kit.analysis.transfer import Transfer
from mpnas_kit.analysis.units import count
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.values import SEED, Range, checked, require_type

PERMUTATIONS = 10_000  # drawn ones, if there are more
LEAST_DOMAINS = 3  # two domains are one pair, which has no order; one more if partial
_CHUNK = 500  # permutations at a time, so that memory stays small
_EQUAL = 1e-9  # correlations that differ less count as equal

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Mantel:
    """Rank correlation of two matrices over pairs of domains. Returned by `mantel`.

    rho: Spearman's correlation, partial if a third matrix was given; nan if it is not defined.
    p: two-sided p-value; nan if rho is not defined.
    domains: number of domains.
    permutations: number of permutations behind p, the identity included.
    exact: whether these are all permutations of the domains.
    """

    rho: float
    p: float
    domains: int
    permutations: int
    exact: bool


@checked("mantel")
def mantel(
    first: pd.DataFrame,
    second: pd.DataFrame,
    given: pd.DataFrame | None = None,
    *,
    most: Annotated[int, Range(100, 10_000_000)] = PERMUTATIONS,
    seed: Annotated[int, SEED] = 0,
) -> Mantel:
    """Return the rank correlation of two symmetric matrices, with a p-value by permutation.

    The correlation is Spearman's over all pairs of different domains. The null hypothesis is that
    the domains of `first` are exchangeable: its rows and columns are permuted together. p is the
    share of permutations with `|rho|` at least as large as the observed one, which counts as well.
    Source: Mantel 1967, Cancer Research 27. With a third matrix, the correlation is partial (Smouse
    et al. 1986, doi 10.2307/2413122): that of the ranks without what the third matrix explains
    linearly. The partial test finds too much if domains are themselves ordered, for example by
    difficulty (Guillot and Rousset 2013, doi 10.1111/2041-210x.12018).

    first, second: matrices with the same domains as index and columns, symmetric. The diagonal does
    not count.
    given: matrix whose part in the correlation is removed. None: there is none.
    most: number of random permutations, if there are more than that in all; otherwise all are used.
    seed: seed of random permutations.

    rho and p are nan with fewer than 3 domains (4 with a third matrix), or if a matrix is constant.

    Raises `MpnasError` if the matrices have other domains, are not symmetric, or lack a value.

    >>> block = pd.DataFrame([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    >>> test = mk.analysis.mantel(block, block)
    >>> round(test.rho, 6), test.p == 8 / 24
    (1.0, True)
    """
    matrices = [_values(m, first) for m in (first, second, given) if m is not None]
    size = len(first)
    exact = math.factorial(min(size, 20)) <= most
    total = math.factorial(size) if exact else most + 1
    x, y, *rest = (_standard_ranks(m) for m in matrices)
    z = rest[0] if rest else np.zeros_like(x)
    if size < LEAST_DOMAINS + len(rest) or not x.any() or not y.any():
        return Mantel(math.nan, math.nan, size, total, exact)
    pairs = np.triu_indices(size, 1)
    square = np.zeros((size, size))
    square[pairs] = square[pairs[::-1]] = x
    explained = float(y @ z)  # of the second matrix, by the third one

    def correlations(orders: NDArray[np.int64]) -> Vector:
        permuted = square[orders[:, pairs[0]], orders[:, pairs[1]]]
        own = permuted @ z
        left = (1 - own**2) * (1 - explained**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Vector = (permuted @ y - own * explained) / np.sqrt(left)
        values[left <= _EQUAL] = np.nan
        return values

    rho = float(correlations(np.arange(size)[None])[0])
    if math.isnan(rho):
        return Mantel(rho, math.nan, size, total, exact)
    if exact:
        orders = np.array(list(permutations(range(size))), dtype=np.int64)
        as_far = 0
    else:
        random = np.random.default_rng(seed)
        orders = np.array([random.permutation(size) for _ in range(most)], dtype=np.int64)
        as_far = 1  # the identity
    for start in range(0, len(orders), _CHUNK):
        found = correlations(orders[start : start + _CHUNK])
        as_far += int((np.abs(found) >= abs(rho) - _EQUAL).sum())
    return Mantel(rho, as_far / total, size, total, exact)


def _values(matrix: pd.DataFrame, first: pd.DataFrame) -> NDArray[np.float64]:
    """Return a matrix of pairs as an array, checked. first: matrix that gives the domains."""
    require_type(matrix, pd.DataFrame, "mantel: a matrix")
    names = list(first.index)
    if list(matrix.index) != names or list(matrix.columns) != names:
        raise MpnasError("mantel: the matrices differ in their domains: expected the same ones.")
    values: NDArray[np.float64]
    try:
        values = matrix.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full((len(names), len(names)), np.nan)
    pairs = np.triu_indices(len(names), 1)
    if not np.isfinite(values[pairs]).all() or not np.allclose(values[pairs], values.T[pairs]):
        raise MpnasError(
            "mantel: a matrix lacks a value or is not symmetric: expected one number per pair of "
            "domains."
        )
    return values


def _standard_ranks(values: NDArray[np.float64]) -> Vector:
    """Return the ranks of all pairs (pairs,), with mean 0 and length 1; zeros if all are equal."""
    ranks = rankdata(np.round(values[np.triu_indices(len(values), 1)], 12))
    centred = ranks - ranks.mean() if len(ranks) else ranks
    length = float(np.linalg.norm(centred))
    return np.zeros_like(centred) if length < _EQUAL else centred / length


@dataclass(frozen=True, eq=False, repr=False)
class Relatedness:
    """Similarity of paths beside measured transfer, pair by pair. Returned by `relate`.

    pairs: one row per pair of domains. Columns first, second (names), similarity (Jaccard, mean
    over searches), chance (that of random paths of the same costs), transfer (mean of both
    directions, percentage points), agreement (mean cosine of gradients; nan if not measured).
    tests: one row per two measures. Columns measure, other (names of the columns above), rho, p
    (see `mantel`), partial, partial_p (without what chance explains; nan if `other` is not the
    similarity), permutations, exact.
    searches: number of searches in the mean similarity.
    """

    pairs: pd.DataFrame
    tests: pd.DataFrame
    searches: int

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in order."""
        return tuple(dict.fromkeys([*self.pairs["first"], *self.pairs["second"]]))

    def sentences(self) -> list[str]:
        """Return one sentence or more per test, and one about what limits them."""
        return [*(self._sentence(row) for _, row in self.tests.iterrows()), self._limits()]

    def _sentence(self, row: pd.Series) -> str:
        words = {
            "transfer": "measured transfer",
            "agreement": "agreement of gradients",
            "similarity": "similarity of paths",
        }
        what = f"{words[row['measure']]} and {words[row['other']]}"
        if len(self.domains) < LEAST_DOMAINS:
            return f"{what}: two domains are one pair, so there is nothing to permute."
        if math.isnan(row["rho"]):
            return f"{what}: one of the two is the same for all pairs, so they have no order."
        text = f"{what}: Spearman's correlation is {_signed(row['rho'])} (p = {row['p']:.2g})"
        if not math.isnan(row["partial"]):
            text += (
                f"; {_signed(row['partial'])} (p = {row['partial_p']:.2g}) without what the costs "
                "of the paths explain"
            )
        return f"{text}."

    def _limits(self) -> str:
        """Return how little the tests can say, in sentences."""
        number, first = len(self.domains), self.tests.iloc[0]
        searches = f"{count(self.searches)} search{'es' if self.searches > 1 else ''}"
        text = f"{len(self.pairs)} pair{'s' if len(self.pairs) > 1 else ''} of {count(number)} "
        text += f"domains, similarity of {searches}."
        if number < LEAST_DOMAINS:
            return text
        how = "all" if first["exact"] else "random"
        text += f" p-values by {first['permutations']:,} permutations of domains ({how})."
        least = 1 / first["permutations"]
        if least > 0.05:
            text += f" With {count(number)} domains p cannot be below {least:.2g}."
        return text

    def _repr_html_(self) -> str:
        return str(self.tests.to_html(index=False))

    def __repr__(self) -> str:
        first = self.tests.iloc[0]
        return (
            f"Relatedness({len(self.domains)} domains, rho {first['rho']:.2f}, p {first['p']:.2g})"
        )


@checked("relate")
def relate(
    transfer: Transfer,
    similarity: pd.DataFrame,
    chance: pd.DataFrame,
    agreement: GradientAgreement | None = None,
    *,
    searches: Annotated[int, Range(1, 1_000_000)] = 1,
    seed: Annotated[int, SEED] = 0,
) -> Relatedness:
    """Return whether domains share more of their paths if they gain from each other (ours).

    The tests are `mantel` of symmetric transfer and similarity, alone and without what `chance`
    explains; and the same for the agreement of gradients. Cheap paths share more nodes by chance,
    so a correlation may come from costs alone.

    transfer: result of `measured_transfer`.
    similarity: Jaccard similarity of the domains' paths, as `Similarity.matrix`; the mean if there
    are several searches.
    chance: similarity of random paths of the same costs, pair by pair (see `matched_matrix`).
    agreement: result of `gradient_agreement` for the same domains. None: it was not measured.
    searches: number of searches in `similarity`.
    seed: seed of random permutations.

    Raises `MpnasError` if a domain of the transfer is missing elsewhere.

    >>> rows = {"domain": ["a", "b"], "partner": ["b", "a"], "seed": 0, "alone": 0.5, "joint": 0.6}
    >>> transfer = mk.analysis.Transfer(pd.DataFrame(rows), "k3e3", steps=100)
    >>> same = pd.DataFrame(1.0, index=["a", "b"], columns=["a", "b"])
    >>> print(mk.analysis.relate(transfer, same, same).sentences()[1])
    1 pair of two domains, similarity of one search.
    """
    require_type(transfer, Transfer, "relate: transfer")
    names = list(transfer.domains)
    matrices = {
        "transfer": transfer.symmetric(),
        "similarity": _of(names, similarity, "similarity"),
        "chance": _of(names, chance, "chance"),
    }
    tested = [("transfer", "similarity")]
    if agreement is not None:
        require_type(agreement, GradientAgreement, "relate: agreement")
        matrices["agreement"] = _shared_by_all(_of(names, agreement.matrix(), "agreement"))
        tested += [("agreement", "similarity"), ("agreement", "transfer")]
    pairs = list(combinations(names, 2))
    columns = {
        name: [float(matrices[name].loc[pair]) if name in matrices else math.nan for pair in pairs]
        for name in ("similarity", "chance", "transfer", "agreement")
    }
    named = pd.DataFrame(pairs, columns=["first", "second"]).assign(**columns)
    rows = []
    for measure, other in tested:
        plain = mantel(matrices[measure], matrices[other], seed=seed)
        partial, partial_p = math.nan, math.nan
        if other == "similarity":
            found = mantel(matrices[measure], matrices[other], matrices["chance"], seed=seed)
            partial, partial_p = found.rho, found.p
        rows.append(
            {
                "measure": measure,
                "other": other,
                "rho": plain.rho,
                "p": plain.p,
                "partial": partial,
                "partial_p": partial_p,
                "permutations": plain.permutations,
                "exact": plain.exact,
            }
        )
    return Relatedness(named, pd.DataFrame(rows), searches)


def _of(names: list[str], matrix: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the part of a matrix that belongs to these domains."""
    require_type(matrix, pd.DataFrame, f"relate: {what}")
    for name in names:
        if name not in matrix.index or name not in matrix.columns:
            raise unknown(f"domain in the matrix of {what}", name, map(str, matrix.index))
    return matrix.loc[names, names]


def _shared_by_all(agreement: pd.DataFrame) -> pd.DataFrame:
    """Return the matrix. Raises `MpnasError` if a pair has no value, because it shares no node."""
    for first, second in combinations(agreement.index, 2):
        if math.isnan(float(agreement.loc[first, second])):
            raise MpnasError(
                f"domains {first!r} and {second!r} share no node, so their gradients cannot be "
                "compared: expected an agreement on the supernet (stage='search'), or none."
            )
    return agreement


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
