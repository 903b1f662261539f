"""Cost models: what a path costs in a search.

There are two kinds. An additive model has `price`, the cost of one block as a path uses it; a path
costs the sum. A joint model has `costs` and `bounds`, because the cost of a path depends on the
paths of the other domains. A frozen dataclass with `unit` and these methods is a cost model.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Protocol

import torch

from mpnas_kit.domains.cache import was_given
from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.parts import Kind, by_text_name, lacks_attributes, shown
from mpnas_kit.settings import check
from mpnas_kit.space.latency import LatencyTable
from mpnas_kit.space.layers import Path, Use
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.unions import UnionParts, parts_of, size
from mpnas_kit.values import Range, checked, number

COSTS = Range(0, 1e100)


class AdditiveCost(Protocol):
    """A cost model in which a path costs the sum over its blocks.

    unit: unit of the costs in words, plural, such as `multiply-adds` or `ms`.
    """

    @property
    def unit(self) -> str:
        """Unit of the costs in words, plural."""
        ...

    def price(self, use: Use) -> float:
        """Return the cost of a block as a path uses it, in `unit`: finite, at least 0."""
        ...


class JointCost(Protocol):
    """A cost model in which the cost of a path depends on the paths of all domains.

    If it has an attribute `alone`, an additive cost model of the same unit, searches can have
    landmarks: `alone` is what a random path costs that is trained alone.

    unit: unit of the costs in words, plural.
    """

    @property
    def unit(self) -> str:
        """Unit of the costs in words, plural."""
        ...

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """Return the cost of every domain's path, in `unit`: finite, at least 0.

        space: the search space. `space.of(domain)` is the space at the size of a domain's images.
        paths: path of every domain, by name.
        """
        ...

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """Return the lowest and the highest cost that a path can have, in `unit`.

        domains: number of domains that share the network, at least 1.
        """
        ...


CostModel = AdditiveCost | JointCost
"""A cost model: additive or joint."""


def path_costs(
    model: CostModel,
    space: SearchSpace,
    paths: Mapping[str, Path],
    prices: dict[Use, float] | None = None,
) -> dict[str, float]:
    """Return the cost of every domain's path, in the unit of the model.

    model: the cost model.
    space: the search space of the paths. If it has `resolutions`, the path of each domain costs
    what it costs at the size of the domain's images.
    paths: path of every domain, by name.
    prices: prices of blocks that the model gave earlier, by use. New ones are added, so that each
    is asked for once. None: all are asked for.

    Raises `MpnasError` if the model returns something else than numbers from 0 to 1e100. An error
    of the model's own code gets a note that names the model.

    >>> mk.path_costs(mk.MultiplyAdds(), space, {"a": space.parse("row row column column")})
    {'a': 199680.0}
    """
    if not hasattr(model, "costs"):
        if not hasattr(model, "price"):
            COST.check(model)  # raises
        known: dict[Use, float] = {} if prices is None else prices

        def price(use: Use) -> float:
            if use not in known:
                known[use] = block_price(model, use)
            return known[use]

        return {
            d: float(sum(price(use) for use in space.of(d).uses(path) if use is not None))
            for d, path in paths.items()
        }
    with RaisedBy(lambda: f"costs(space, paths) of the cost model {shown(model)}"):
        answer = model.costs(space, dict(paths))
    if not isinstance(answer, Mapping):
        raise _wrong_cost(model, answer, "costs(space, paths)")
    return {d: _cost(model, answer.get(d), f"the path {p}") for d, p in paths.items()}


@checked("cost_bounds")
def cost_bounds(
    model: CostModel, space: SearchSpace, domains: Annotated[int, Range(1, 1000)]
) -> tuple[float, float]:
    """Return the lowest and the highest cost that a path can have, in the unit of the model.

    For an additive model these are the costs of `SearchSpace.extremes`, at the size `resolution`.

    model: the cost model.
    space: the search space.
    domains: number of domains that share the network, 1 to 1000. Only joint models use it.

    Raises `MpnasError` if the model returns something else than numbers from 0 to 1e100, or is a
    `LatencyTable` without a row that a path may need. An error of the model's own code gets a note
    that names the model.

    >>> low, high = mk.cost_bounds(mk.MultiplyAdds(), mk.pocket_space(), domains=4)
    >>> f"{low / 1e6:.2f} to {high / 1e6:.2f} million"
    '0.13 to 1.87 million'
    """
    COST.check(model)
    if hasattr(model, "bounds"):
        where = "bounds(space, domains)"
        with RaisedBy(lambda: f"{where} of the cost model {shown(model)}"):
            bounds = model.bounds(space, domains)
        if not isinstance(bounds, Sequence) or len(bounds) != 2:
            raise _wrong_cost(model, bounds, where)
        least, most = (_cost(model, bound, where) for bound in bounds)
        if least > most:
            raise _wrong_cost(model, bounds, where)
        return least, most
    if isinstance(model, LatencyTable):
        model.require_space(space)
    extremes = space.extremes(partial(block_price, model))
    low, high = (path_costs(model, space, {"": path})[""] for path in extremes)
    return low, high


def cost_fingerprint(model: CostModel, space: SearchSpace) -> str:
    """Return a short hash over the costs of 100 random paths, always the same ones.

    It shows whether a cost model that reads a file gives the same costs as before.

    model: the cost model.
    space: the search space.

    >>> cost_fingerprint(mk.Parameters(), space) == cost_fingerprint(mk.MultiplyAdds(), space)
    False
    """
    generator = torch.Generator().manual_seed(0)
    paths = [space.sample(generator) for _ in range(100)]
    costs = [path_costs(model, space, {"": path})[""] for path in paths]
    return sha256(repr(costs).encode()).hexdigest()[:16]


def block_price(model: AdditiveCost, use: Use) -> float:
    """Return the price of a block, checked."""
    with RaisedBy(lambda: f"price(use) of the cost model {shown(model)}"):
        answer = model.price(use)
    return _cost(model, answer, f"block {use.block.name!r}")


def _cost(model: CostModel, answer: object, of: str) -> float:
    cost = number(answer, COSTS)
    if cost is None:
        raise _wrong_cost(model, answer, of)
    return cost


def _wrong_cost(model: CostModel, answer: object, of: str) -> MpnasError:
    return MpnasError(
        f"cost model {shown(model)} returns {short(answer)} for {of}: expected a finite number of "
        f"{model.unit}, at least 0{' (the lowest and the highest)' if 'bounds' in of else ''}."
    )


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of a path for one image, without the classifier.

    Counted are those of convolutions and linear layers. Papers write FLOPs for multiply-adds.

    unit: `multiply-adds`.
    """

    unit = "multiply-adds"

    def price(self, use: Use) -> float:
        """Return the multiply-adds of a block for one image, as a path uses it."""
        return float(use.cost.multiply_adds)


@dataclass(frozen=True)
class Parameters:
    """Parameters of a path, without batch norm and classifier.

    unit: `parameters`.
    """

    unit = "parameters"

    def price(self, use: Use) -> float:
        """Return the parameters of a block as a path uses it, without batch norm."""
        return float(use.cost.parameters)


@dataclass(frozen=True)
class AddedParameters:
    """Parameters that a path adds to a frozen network, without batch norm and classifier (ours).

    A frozen node adds none, and neither do 1x1 convolutions that a private copy has in common with
    it. Without a frozen network this is the same as `Parameters`.

    unit: `added parameters`.

    >>> mk.path_costs(mk.AddedParameters(), space, {"a": space.parse("row row column column")})
    {'a': 3012.0}
    """

    unit = "added parameters"

    def price(self, use: Use) -> float:
        """Return the parameters of a block as a path uses it, without those that are frozen."""
        frozen = use.borrowed_parameters if use.frozen_pointwise else 0
        return 0.0 if use.frozen else float(use.cost.parameters - frozen)


@dataclass(frozen=True)
class Footprint:
    """Multiply-adds of a path, and a price for the parameters that it has for itself alone (ours).

    `cost = multiply-adds + private * private parameters`

    Private are the parameters of private copies of blocks, without batch norms and the classifier.
    So a controller pays for what its domain does not share. Only spaces that offer private copies
    have any, such as `lite0`.

    private: multiply-adds that one private parameter counts as, 0 to 1 million.

    unit: `multiply-adds`.

    >>> around = mk.lite0(64)
    >>> words = around.original.arch.split()
    >>> paths = {"a": around.original, "b": around.parse(" ".join([*words[:-1], "k3e6*"]))}
    >>> costs = mk.path_costs(mk.Footprint(private=10), around, paths)
    >>> round((costs["b"] - costs["a"]) / 10)
    600192
    """

    private: Annotated[float, Range(0, 1_000_000)] = 20.0

    unit = "multiply-adds"

    def __post_init__(self) -> None:
        check(self)

    def price(self, use: Use) -> float:
        """Return the multiply-adds of a block, and the price of its private parameters."""
        return float(use.cost.multiply_adds) + self.private * use.private_parameters


@dataclass(frozen=True)
class UnionShare:
    """Share of a path in the parameters of the union model (ours).

    `cost[d] = sum over the nodes n of path d of parameters(n) / number of paths that use n`

    Batch norm and classifier do not count. The shares of all paths add up to the parameters of the
    union. A node that other domains use is cheaper, so this cost draws paths together. If widths
    are searched, a node counts with the parameters that the path itself uses. Then the sum may be
    less than the union.

    unit: `parameters`.

    >>> shares = mk.UnionShare().costs(space, paths)
    >>> round(sum(shares.values())) == space.union_cost(paths.values()).parameters
    True
    """

    unit = "parameters"

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """Return the share of every domain's path, in parameters."""
        own = {
            d: [(part, size(part, u)) for u in space.uses(path) if u for part in parts_of(u, d)]
            for d, path in paths.items()
        }
        users = Counter(part for known in own.values() for part, _ in known)
        return {d: sum(n / users[part] for part, n in known) for d, known in own.items()}

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """Return the lowest and the highest share, in parameters.

        Lowest: all domains use the smallest path. Highest: one domain alone uses the largest path.
        """
        low, high = cost_bounds(Parameters(), space, domains)
        return low / domains, high


@dataclass(frozen=True)
class Unshared:
    """Multiply-adds of a path, and a price for the parameters that only its domain adds (ours).

    `cost[d] = multiply-adds(path d) + price * (parameters(union) - parameters(union without d))`

    The second term is a difference reward: what a whole loses without one of its members (Wolpert
    and Tumer 2002, Optimal payoff functions for members of collectives). A controller pays for the
    nodes that no other domain uses, and nothing for those that are there anyway. If widths are
    searched, a node counts at the largest ones that any path uses. Batch norm, classifiers and
    frozen nodes do not count. Nodes of private layers count as if they were shared.

    price: multiply-adds that one added parameter counts as, 0 to 1 million.

    unit: `multiply-adds`. alone: what landmarks cost, their multiply-adds.

    >>> path = space.parse("row row column column")
    >>> alone, shared = {"a": path}, {"a": path, "b": path}
    >>> costs = [mk.path_costs(mk.Unshared(price=10), space, own)["a"] for own in (alone, shared)]
    >>> [cost - space.cost(path).multiply_adds for cost in costs]
    [30120.0, 0.0]
    """

    price: Annotated[float, Range(0, 1_000_000)] = 20.0

    unit = "multiply-adds"
    alone = MultiplyAdds()

    def __post_init__(self) -> None:
        check(self)

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """Return the cost of every domain's path, in multiply-adds."""
        added = UnionParts(space, paths).added()
        compute = {d: _sum(MultiplyAdds().price, space.of(d), path) for d, path in paths.items()}
        return {d: compute[d] + self.price * added[d] for d in paths}

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """Return the lowest and the highest cost, in multiply-adds.

        Lowest: another domain uses all nodes of the path that it can use. Highest: no other domain
        uses any. Both are exact if `SearchSpace.extremes` is.
        """

        def highest(use: Use) -> float:
            return use.cost.multiply_adds + self.price * AddedParameters().price(use)

        def lowest(use: Use) -> float:
            return Footprint(self.price).price(use) if domains > 1 else highest(use)

        sizes = [space, *map(space.of, space.resolutions)]
        low = min(_sum(lowest, own, own.extremes(lowest)[0]) for own in sizes)
        return low, _sum(highest, space, space.extremes(highest)[1])


def _sum(price: Callable[[Use], float], space: SearchSpace, path: Path) -> float:
    """Return the sum of the prices of a path's blocks."""
    return float(sum(price(use) for use in space.uses(path) if use is not None))


def _lacks(value: Any) -> str | None:
    """Return in words what `value` lacks to be a cost model, or None."""
    if not isinstance(getattr(value, "unit", ""), str):
        return "attribute 'unit' that is text"
    if hasattr(value, "costs"):
        return lacks_attributes(value, "unit", "bounds(space, domains)")
    return lacks_attributes(value, "unit", "price(use)")


COST = Kind(
    "cost model",
    by_text_name(
        MultiplyAdds, Parameters, UnionShare, AddedParameters, Footprint, Unshared, LatencyTable
    ),
    _lacks,
    from_files=frozenset({LatencyTable.text_name}),
    was_given=was_given,
)
