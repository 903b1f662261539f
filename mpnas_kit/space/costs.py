"""Cost models: what a path costs in a search.

There are two kinds. An additive model has `price`, the cost of one block as a path uses it; a path
costs the sum. A joint model has `costs` and `bounds`, because the cost of a path depends on the
paths of the other domains. A frozen dataclass with `unit` and these methods is a cost model.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Protocol

import torch

from mpnas_kit.errors import MpnasError, one_line
from mpnas_kit.parts import Kind, by_text_name, lacks_attributes, shown
from mpnas_kit.space.space import Path, SearchSpace, Use


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

    unit: unit of the costs in words, plural.
    """

    @property
    def unit(self) -> str:
        """Unit of the costs in words, plural."""
        ...

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """Return the cost of every domain's path, in `unit`: finite, at least 0.

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


def path_costs(model: CostModel, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
    """Return the cost of every domain's path, in the unit of the model.

    model: the cost model.
    space: the search space of the paths.
    paths: path of every domain, by name.

    Raises `MpnasError` if the model returns a cost that is negative or not finite.

    >>> mk.path_costs(mk.MultiplyAdds(), space, {"a": space.parse("row row column column")})
    {'a': 199680.0}
    """
    if hasattr(model, "costs"):
        costs = model.costs(space, paths)
    else:
        costs = {
            d: float(sum(_price(model, use) for use in space.uses(path) if use is not None))
            for d, path in paths.items()
        }
    for domain, cost in costs.items():
        if not 0 <= cost < math.inf:
            raise MpnasError(
                f"cost model {shown(model)} returns {cost} for the path {paths[domain]}: "
                "expected a finite number, at least 0."
            )
    return costs


def cost_bounds(model: CostModel, space: SearchSpace, domains: int) -> tuple[float, float]:
    """Return the lowest and the highest cost that a path can have, in the unit of the model.

    For an additive model these are the costs of `SearchSpace.extremes`.

    model: the cost model.
    space: the search space.
    domains: number of domains that share the network, at least 1. Only joint models use it.

    Raises `MpnasError` if the model returns a cost that is negative or not finite.

    >>> low, high = mk.cost_bounds(mk.MultiplyAdds(), mk.pocket_space(), domains=4)
    >>> f"{low / 1e6:.2f} to {high / 1e6:.2f} million"
    '0.13 to 1.87 million'
    """
    if hasattr(model, "bounds"):
        return model.bounds(space, domains)
    extremes = space.extremes(partial(_price, model))
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


def _price(model: AdditiveCost, use: Use) -> float:
    """Return the price of a block. Any error of the model becomes an `MpnasError`."""
    try:
        return float(model.price(use))
    except MpnasError:
        raise
    except Exception as error:
        raise MpnasError(
            f"cost model {shown(model)} failed in price(use) of block {use.block.name!r}: "
            f"{one_line(error)}. Expected a number of {model.unit}."
        ) from error


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
        uses = {d: [u for u in space.uses(p) if u is not None] for d, p in paths.items()}
        users = Counter(u.node for own in uses.values() for u in own)
        return {d: sum(u.cost.parameters / users[u.node] for u in own) for d, own in uses.items()}

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """Return the lowest and the highest share, in parameters.

        Lowest: all domains use the smallest path. Highest: one domain alone uses the largest path.
        """
        low, high = cost_bounds(Parameters(), space, domains)
        return low / domains, high


def _lacks(value: Any) -> str | None:
    """Return in words what `value` lacks to be a cost model, or None."""
    if hasattr(value, "costs"):
        return lacks_attributes(value, "unit", "bounds(space, domains)")
    return lacks_attributes(value, "unit", "price(use)")


COST = Kind("cost model", by_text_name(MultiplyAdds, Parameters, UnionShare), _lacks)
