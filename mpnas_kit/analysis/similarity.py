"""How alike the domains' paths are, beside how alike random paths would be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import Node, Path, SearchSpace

RANDOM_PAIRS = 1000
MATCHED_PAIRS = 60  # at least: two draws of ten domains are 90


@dataclass(frozen=True, eq=False, repr=False)
class Similarity:
    """Jaccard similarity of every two domains' paths, and what chance alone would give.

    matrix: symmetric (domains x domains), each value in [0, 1], 1 on the diagonal.
    random_value, random_spread: mean and standard deviation of the similarity of two independent
    uniform random paths of the same space. Where every layer has K equiprobable choices, `zero`
    among them or not, the mean is about 1 / (2K - 1): a layer adds (1/K, 2 - 1/K) nodes to
    intersection and union on average (without `zero`; with it both shrink alike). That is a ratio
    of means; the mean of ratios measured here differs a little.
    matched_value, matched_spread: the same of random paths that cost as much as the domains' own
    (multiply-adds, within 5 %; ours). Cheap paths have fewer nodes to choose from, so they meet
    more often by chance.
    """

    matrix: pd.DataFrame
    random_value: float
    random_spread: float
    matched_value: float
    matched_spread: float

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order of the matrix."""
        return tuple(str(d) for d in self.matrix.index)

    @property
    def mean(self) -> float:
        """The mean over pairs of different domains; nan where there is one domain."""
        values = self.table()["similarity"]
        return float(values.mean()) if len(values) else float("nan")

    def table(self) -> pd.DataFrame:
        """A row a pair of domains: first, second, similarity, excess over matched_value."""
        rows = [(a, b, float(self.matrix.loc[a, b])) for a, b in combinations(self.domains, 2)]
        table = pd.DataFrame(rows, columns=["first", "second", "similarity"])
        return table.assign(excess=table["similarity"] - self.matched_value)

    def __repr__(self) -> str:
        return (
            f"Similarity({len(self.matrix)} domains, mean {self.mean:.2f}, "
            f"random {self.random_value:.2f}, of the same costs {self.matched_value:.2f} "
            f"+- {self.matched_spread:.2f})"
        )


def jaccard(a: frozenset[Node], b: frozenset[Node]) -> float:
    """|a & b| / |a | b|, in [0, 1]; 1 where both are empty."""
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def jaccard_matrix(
    space: SearchSpace, paths: Mapping[str, Path], *, pairs: int = RANDOM_PAIRS, seed: int = 0
) -> Similarity:
    """Jaccard similarity of the domains' paths (Jaccard 1901; method of the MPNAS article).

    J(a, b) = |nodes(a) & nodes(b)| / |nodes(a) | nodes(b)|, 0/0 = 1. Only nodes of searched layers
    count: `zero` is no node, and a stem or head with nothing to choose is left out.

    pairs, seed: how many pairs of uniform random paths are drawn for the comparison, and from which
    seed all random paths are. Raises `MpnasError` where there are no paths.
    """
    if not paths:
        raise MpnasError("jaccard_matrix got no paths: it needs one a domain, at least one.")
    if pairs < 1:
        raise MpnasError(f"pairs must be at least 1, not {pairs}.")
    nodes = {d: space.nodes(p) for d, p in paths.items()}
    values = [[jaccard(a, b) for b in nodes.values()] for a in nodes.values()]
    matrix = pd.DataFrame(values, index=list(paths), columns=list(paths), dtype=np.float64)
    random = random_similarities(space, pairs, seed)
    matched = matched_similarities(space, paths, seed)
    chance = [float(f(values)) for values in (random, matched) for f in (np.mean, np.std)]
    return Similarity(matrix, *chance)


def random_similarities(space: SearchSpace, pairs: int, seed: int) -> np.ndarray:
    """The similarity of `pairs` pairs of independent uniform random paths, float64 (pairs,)."""
    generator = torch.Generator().manual_seed(seed)

    def drawn() -> frozenset[Node]:
        return space.nodes(space.sample(generator))

    return np.array([jaccard(drawn(), drawn()) for _ in range(pairs)], dtype=np.float64)


def matched_similarities(space: SearchSpace, paths: Mapping[str, Path], seed: int) -> np.ndarray:
    """The similarity of random paths as costly as these, every two of a draw; float64.

    A draw has a path for every domain; one domain alone is compared with itself.
    """
    generator, cost = torch.Generator().manual_seed(seed), MultiplyAdds()
    wanted = list(cost.costs(space, paths).values())
    wanted = wanted * 2 if len(wanted) == 1 else wanted
    values = []
    for _ in range(math.ceil(MATCHED_PAIRS / math.comb(len(wanted), 2))):
        drawn = [space.nodes(sample_at_cost(space, cost, c, 0.05, generator)) for c in wanted]
        values += [jaccard(a, b) for a, b in combinations(drawn, 2)]
    return np.array(values, dtype=np.float64)


def clustered(similarity: Similarity) -> list[str]:
    """The domains in an order that puts similar ones side by side."""
    domains = list(similarity.domains)
    if len(domains) < 3:
        return domains
    distances = squareform(1 - similarity.matrix.to_numpy(), checks=False)
    tree = optimal_leaf_ordering(linkage(distances, "average"), distances)
    return [domains[i] for i in leaves_list(tree)]
