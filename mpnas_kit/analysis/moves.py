"""What if a domain took another node: the sizes of a set of paths (see `space.moves`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from mpnas_kit.analysis.similarity import jaccard
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import CostModel, MultiplyAdds, path_costs
from mpnas_kit.space.layers import Path, Use
from mpnas_kit.space.moves import move as move
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import checked, require_type


@dataclass(frozen=True)
class PathSizes:
    """Sizes of a set of paths, one per domain. Returned by `path_sizes`.

    parameters: parameters of the union, each distinct node once, without batch norm and
    classifiers.
    multiply_adds: multiply-adds of the union, each distinct node once, without classifiers.
    similarity: mean Jaccard similarity over pairs of domains, 0 to 1; None: there is one domain.
    domains: multiply-adds of every domain's own path for one image, by domain, without classifier.
    costs: cost of every domain's path in the unit of the cost model, by domain.
    """

    parameters: int
    multiply_adds: int
    similarity: float | None
    domains: dict[str, int]
    costs: dict[str, float]


@checked("path_sizes")
def path_sizes(
    space: SearchSpace,
    paths: Mapping[str, Path],
    cost: CostModel | None = None,
    *,
    private: PrivateLayers = SHARED,
    prices: dict[Use, float] | None = None,
) -> PathSizes:
    """Return the sizes of a set of paths. No network is built.

    space: search space of the paths. If domains are added to a network (`GrownSpace`), its nodes
    belong to the union.
    paths: path of every domain, at least one.
    cost: cost model for `costs`. None: multiply-adds.
    private: layers in which each domain has nodes of its own.
    prices: prices of blocks that the cost model gave earlier (see `path_costs`).

    Every node counts with its own weights: weights that nodes of different sizes share
    (`TrainConfig.collapse`) count once per node. Raises `MpnasError` if there are no paths, or the
    cost model returns a wrong cost.

    >>> sizes = mk.analysis.path_sizes(space, paths)
    >>> sizes.parameters == space.union_cost(paths.values()).parameters
    True
    """
    require_type(paths, Mapping, "paths")
    require_type(private, PrivateLayers, "private")
    if not paths:
        raise MpnasError("path_sizes got no paths: expected one path per domain.")
    union = space.union_cost(paths.values(), private=private)
    nodes = [space.nodes(path) for path in paths.values()]
    values = [jaccard(a, b) for a, b in combinations(nodes, 2)]
    return PathSizes(
        union.parameters,
        union.multiply_adds,
        sum(values) / len(values) if values else None,
        {d: space.of(d).cost(path).multiply_adds for d, path in paths.items()},
        path_costs(MultiplyAdds() if cost is None else cost, space, paths, prices),
    )
