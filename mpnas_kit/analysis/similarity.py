"""Similarity of the domains' paths, and the similarity that chance alone gives."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import MultiplyAdds, path_costs
from mpnas_kit.space.layers import OWN, Node, Path
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import SEED, Range, checked

RANDOM_PAIRS = 1000
MATCHED_PAIRS = 60  # at least; draws are whole: two draws of ten domains give 90
MATCHED_DRAWS = 30  # of the mean of every pair
MATCHED_TOLERANCE = 0.05  # of the cost of a matched random path


@dataclass(frozen=True, eq=False, repr=False)
class Similarity:
    """Jaccard similarity of every two domains' paths. Returned by `jaccard_matrix`.

    matrix: similarities, shape (domains, domains), symmetric, 0 to 1, with 1 on the diagonal.
    random_value: mean similarity of two independent uniform random paths of the space.
    random_spread: standard deviation of that similarity.
    matched_value: mean similarity of random paths that cost as much as the domains' own paths, in
    multiply-adds within 5 % (ours). Cheap paths have fewer nodes to choose from, so they share
    more nodes by chance.
    matched_spread: standard deviation of that similarity.

    If every layer has K equally likely choices, random_value is near 1 / (2K - 1). A layer adds 1/K
    nodes to the intersection and 2 - 1/K nodes to the union on average; `zero` among the choices
    reduces both by the same factor. This is a ratio of means. random_value is a mean of ratios and
    differs a little.

    >>> similarity = mk.analysis.jaccard_matrix(space, {"a": paths["planted0"]}, pairs=10)
    >>> similarity.matrix.loc["a", "a"]
    np.float64(1.0)
    """

    matrix: pd.DataFrame
    random_value: float
    random_spread: float
    matched_value: float
    matched_spread: float

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the order of the matrix."""
        return tuple(str(d) for d in self.matrix.index)

    @property
    def mean(self) -> float:
        """Mean similarity over pairs of different domains; nan if there is one domain."""
        values = self.table()["similarity"]
        return float(values.mean()) if len(values) else float("nan")

    def table(self) -> pd.DataFrame:
        """Return one row per pair of different domains.

        Columns first, second (names), similarity, excess (similarity minus matched_value).
        """
        rows = [(a, b, float(self.matrix.loc[a, b])) for a, b in combinations(self.domains, 2)]
        table = pd.DataFrame(rows, columns=["first", "second", "similarity"])
        return table.assign(excess=table["similarity"] - self.matched_value)

    def _repr_html_(self) -> str:
        return str(self.matrix.to_html())

    def __repr__(self) -> str:
        return (
            f"Similarity({len(self.matrix)} domains, mean {self.mean:.2f}, "
            f"random {self.random_value:.2f}, of the same costs {self.matched_value:.2f} "
            f"+- {self.matched_spread:.2f})"
        )


def jaccard(a: frozenset[Node], b: frozenset[Node]) -> float:
    """Return the Jaccard similarity `|a & b| / |a | b|`, 0 to 1; 1 if both are empty.

    A private node (owner `*`) is not that of another path, also if that has a copy of it too.

    >>> mk.analysis.jaccard(frozenset({mk.Node(1, "k3"), mk.Node(2, "k3")}), {mk.Node(1, "k3")})
    0.5
    """
    shared = sum(node.owner != OWN for node in a & b)
    union = len(a) + len(b) - shared
    return shared / union if union else 1.0


@checked("jaccard_matrix")
def jaccard_matrix(
    space: SearchSpace,
    paths: Mapping[str, Path],
    *,
    pairs: Annotated[int, Range(1, 1_000_000)] = RANDOM_PAIRS,
    seed: Annotated[int, SEED] = 0,
) -> Similarity:
    """Return the Jaccard similarity of every two domains' paths, with that of random paths.

    `J(a, b) = |nodes(a) & nodes(b)| / |nodes(a) | nodes(b)|`, with 0/0 = 1. Only nodes of searched
    layers count, and `zero` is not a node. The measure is that of the MPNAS article (Wang et al.,
    WACV 2021, arXiv 2010.04904). The comparison with random paths is ours.

    space: the search space.
    paths: path of every domain, at least one.
    pairs: number of pairs of uniform random paths, 1 to 1 million.
    seed: seed of all random paths, 0 to 2**32 - 1.

    Raises `MpnasError` if `paths` is empty, or a number is out of its range.

    >>> path = paths["planted0"]
    >>> mk.analysis.jaccard_matrix(space, {"a": path, "b": path}, pairs=10).mean
    1.0
    """
    if not paths:
        raise MpnasError("jaccard_matrix got no paths: expected one path per domain.")
    matrix = similarities(space, paths)
    random = random_similarities(space, pairs, seed)
    matched = matched_similarities(space, paths, seed)
    chance = [float(f(values)) for values in (random, matched) for f in (np.mean, np.std)]
    return Similarity(matrix, *chance)


def similarities(space: SearchSpace, paths: Mapping[str, Path]) -> pd.DataFrame:
    """Return the Jaccard similarity of every two domains' paths, as `Similarity.matrix`.

    space: the search space.
    paths: path of every domain.
    """
    nodes = [space.nodes(p) for p in paths.values()]
    values = np.eye(len(nodes))
    for i, j in combinations(range(len(nodes)), 2):
        values[i, j] = values[j, i] = jaccard(nodes[i], nodes[j])
    return pd.DataFrame(values, index=list(paths), columns=list(paths))


def random_similarities(space: SearchSpace, pairs: int, seed: int) -> np.ndarray:
    """Return the similarities of independent uniform random paths, float64 (pairs,)."""
    generator = torch.Generator().manual_seed(seed)

    def draw() -> frozenset[Node]:
        return space.nodes(space.sample(generator))

    return np.array([jaccard(draw(), draw()) for _ in range(pairs)], dtype=np.float64)


def matched_similarities(space: SearchSpace, paths: Mapping[str, Path], seed: int) -> np.ndarray:
    """Return the similarities of random paths that cost as much as `paths`, float64 (n,).

    A draw is one random path per domain, and every two paths of a draw are compared. If there is
    one domain, a draw has two paths of its cost.
    """
    domains = list(paths) * 2 if len(paths) == 1 else list(paths)
    count = math.ceil(MATCHED_PAIRS / math.comb(len(domains), 2))
    draws = _matched_draws(space, paths, domains, count, seed)
    values = [jaccard(a, b) for draw in draws for a, b in combinations(draw, 2)]
    return np.array(values, dtype=np.float64)


@checked("matched_matrix")
def matched_matrix(
    space: SearchSpace,
    paths: Mapping[str, Path],
    *,
    draws: Annotated[int, Range(1, 100_000)] = MATCHED_DRAWS,
    seed: Annotated[int, SEED] = 0,
) -> pd.DataFrame:
    """Return the mean similarity of random paths that cost as much as `paths`, pair by pair (ours).

    Two domains with cheap paths, or with equal costs, share more nodes by chance than others.

    space: the search space.
    paths: path of every domain, at least one. A random path has its multiply-adds within 5 %.
    draws: number of random paths per domain, 1 to 100,000.
    seed: seed of all random paths, 0 to 2**32 - 1.

    Returns a matrix as `Similarity.matrix`, with 1 on the diagonal.

    Raises `MpnasError` if `paths` is empty, or a number is out of its range.

    >>> mk.analysis.matched_matrix(space, paths, draws=5).shape
    (2, 2)
    """
    if not paths:
        raise MpnasError("matched_matrix got no paths: expected one path per domain.")
    names = list(paths)
    values = np.zeros((len(names), len(names)))
    for draw in _matched_draws(space, paths, names, draws, seed):
        for i, j in combinations(range(len(names)), 2):
            values[i, j] += jaccard(draw[i], draw[j])
    values = (values + values.T) / draws
    np.fill_diagonal(values, 1.0)
    return pd.DataFrame(values, index=names, columns=names)


def _matched_draws(
    space: SearchSpace, paths: Mapping[str, Path], domains: Sequence[str], count: int, seed: int
) -> Iterator[list[frozenset[Node]]]:
    """Return the nodes of `count` draws: a random path of the same cost for each of `domains`."""
    generator, model = torch.Generator().manual_seed(seed), MultiplyAdds()
    costs = path_costs(model, space, paths)
    known = [(space.of(domain), costs[domain]) for domain in domains]
    for _ in range(count):
        yield [
            own.nodes(sample_at_cost(own, model, cost, MATCHED_TOLERANCE, generator))
            for own, cost in known
        ]


def clustered(similarity: Similarity) -> list[str]:
    """Return the domains in an order that puts similar ones next to each other.

    similarity: what `jaccard_matrix` returns.

    The order is that of average-linkage clustering on the distance 1 - similarity, with optimal
    order of the leaves (Bar-Joseph et al. 2001, doi 10.1093/bioinformatics/17.suppl_1.S22). With
    one or two domains the order stays.

    >>> mk.analysis.clustered(mk.analysis.jaccard_matrix(space, paths, pairs=10))
    ['planted0', 'planted1']
    """
    domains = list(similarity.domains)
    if len(domains) < 3:
        return domains
    distances = squareform(1 - similarity.matrix.to_numpy(), checks=False)
    tree = optimal_leaf_ordering(linkage(distances, "average"), distances)
    return [domains[i] for i in leaves_list(tree)]
