"""Cost models: what a path costs a search. Each is an object with `costs` and `bounds`."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mpnas_kit.space.space import Path, SearchSpace


class CostModel(ABC):
    """Costs of the domains' paths."""

    unit: str

    @abstractmethod
    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """The cost of every domain's path, in `unit`."""

    @abstractmethod
    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """The least and the greatest cost a path can have, when `domains` share the network."""


@dataclass(frozen=True)
class MultiplyAdds(CostModel):
    """Multiply-adds of one image on its path, classifier left out: what papers call FLOPs."""

    unit = "multiply-adds"

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """See the class."""
        return {d: float(space.cost(p).multiply_adds) for d, p in paths.items()}

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """Those of the cheapest and the dearest path."""
        low, high = (float(space.cost(p).multiply_adds) for p in space.extremes())
        return low, high


@dataclass(frozen=True)
class Parameters(CostModel):
    """Parameters of a path, batch norm and classifier left out."""

    unit = "parameters"

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """See the class."""
        return {d: float(space.cost(p).parameters) for d, p in paths.items()}

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """Those of the smallest and the largest path."""
        low, high = (float(space.cost(p).parameters) for p in space.extremes("parameters"))
        return low, high


@dataclass(frozen=True)
class UnionShare(CostModel):
    """A path's share of the union's parameters: a node's are divided among the paths that have it.

    The shares of all paths add up to the union. So a node that others use too is cheaper: this cost
    draws paths together (ours).
    """

    unit = "parameters"

    def costs(self, space: SearchSpace, paths: Mapping[str, Path]) -> dict[str, float]:
        """See the class. Where widths are searched, a node's parameters are those the path uses."""
        uses = {d: [u for u in space.uses(p) if u is not None] for d, p in paths.items()}
        sharers = Counter(u.node for used in uses.values() for u in used)
        return {
            d: sum(u.cost.parameters / sharers[u.node] for u in used) for d, used in uses.items()
        }

    def bounds(self, space: SearchSpace, domains: int) -> tuple[float, float]:
        """The smallest path shared by all domains, and the largest one alone."""
        low, high = Parameters().bounds(space, domains)
        return low / domains, high


Cost = MultiplyAdds | Parameters | UnionShare
