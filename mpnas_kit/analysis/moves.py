"""What if a domain took another node: the path with that node, and the sizes of a set of paths."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Annotated

from mpnas_kit.analysis.similarity import jaccard
from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.space.costs import CostModel, MultiplyAdds, path_costs
from mpnas_kit.space.space import ZERO, Path, SearchSpace, Use
from mpnas_kit.values import Range, checked, require_type


def move(space: SearchSpace, path: Path, layer: int, block: str) -> Path:
    """Return a path with another node in one layer (ours).

    Blocks of other layers, and all widths, stay as they are. If the path has a node of its own in
    the layer (`Path.own`), it has a shared one then.

    space: search space of the path.
    path: the path.
    layer: index of the layer, from 0.
    block: name of the candidate to take; `zero` skips the layer.

    Raises `MpnasError` if there is no such layer or candidate, or if no path of the space has this
    candidate beside the other choices of `path`.

    >>> path = space.parse("row row column column")
    >>> str(mk.analysis.move(space, path, space.searched[1], "diagonal"))
    'row diagonal column column'
    """
    space.require(path)
    pick = _candidate(space, layer, block)
    wanted = list(space.candidate_indices(path.choices))
    wanted[layer] = pick
    places = space.deciding(layer)
    known = [path.choices[i] for i in places]
    options = product(*(range(len(space.decisions[i].choices)) for i in places))
    nearest = sorted(options, key=lambda own: sum(a != b for a, b in zip(own, known, strict=True)))
    widths = space.widths(path.choices)
    for own in nearest:
        choices = list(path.choices)
        for place, choice in zip(places, own, strict=True):
            choices[place] = choice
        if space.candidate_indices(choices)[layer] != pick:
            continue
        found = space.path(choices)
        if (
            list(space.candidate_indices(found.choices)) == wanted
            and space.widths(found.choices) == widths
        ):
            kept = set(path.own) - {layer}
            return space.with_own(found, kept) if kept else found
    raise MpnasError(
        f"no path of space {space.name!r} has {block!r} in layer {space.layers[layer].name!r} "
        f"beside the other choices of {short(path.arch)}: change another layer first."
    )


def _candidate(space: SearchSpace, layer: int, block: str) -> int:
    """Return the index of a candidate. Raises `MpnasError` if there is none with this name."""
    last = len(space.layers) - 1
    if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= last:
        raise MpnasError(f"layer must be the index of a layer, 0 to {last}, not {short(layer)}.")
    name, choices = space.layers[layer].name, space.layers[layer].choices
    if block == ZERO and ZERO not in choices:
        raise MpnasError(
            f"layer {name!r} cannot be skipped: expected one of its blocks, {', '.join(choices)}."
        )
    if block not in choices:
        raise unknown(f"block in layer {name!r}", block, choices)
    return choices.index(block)


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
    private_from: Annotated[int | None, Range(0, 10_000)] = None,
    prices: dict[Use, float] | None = None,
) -> PathSizes:
    """Return the sizes of a set of paths. No network is built.

    space: search space of the paths. If domains are added to a network (`GrownSpace`), its nodes
    belong to the union.
    paths: path of every domain, at least one.
    cost: cost model for `costs`. None: multiply-adds.
    private_from: index of the first layer in which each domain has private nodes; None: there is
    none.
    prices: prices of blocks that the cost model gave earlier (see `path_costs`).

    Every node counts with its own weights: weights that nodes of different sizes share
    (`TrainConfig.collapse`) count once per node. Raises `MpnasError` if there are no paths, or the
    cost model returns a wrong cost.

    >>> sizes = mk.analysis.path_sizes(space, paths)
    >>> sizes.parameters == space.union_cost(paths.values()).parameters
    True
    """
    require_type(paths, Mapping, "paths")
    if not paths:
        raise MpnasError("path_sizes got no paths: expected one path per domain.")
    union = space.union_cost(paths.values(), private_from=private_from)
    nodes = [space.nodes(path) for path in paths.values()]
    values = [jaccard(a, b) for a, b in combinations(nodes, 2)]
    return PathSizes(
        union.parameters,
        union.multiply_adds,
        sum(values) / len(values) if values else None,
        {d: space.of(d).cost(path).multiply_adds for d, path in paths.items()},
        path_costs(MultiplyAdds() if cost is None else cost, space, paths, prices),
    )
