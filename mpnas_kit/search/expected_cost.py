"""The expected cost of a policy, exact and with gradient (ours).

A policy decides independently per decision, and the cost of a path is a sum over layers. So the
expected cost is a sum over layers, each of which depends on few decisions. No path is sampled.
"""

from itertools import product

import torch
from torch import Tensor

from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import shown
from mpnas_kit.search.rewards import Reward
from mpnas_kit.space.costs import CostModel, block_price, path_costs
from mpnas_kit.space.space import SearchSpace

MOST_COMBINED = 100_000  # choices of the decisions of a layer, taken together
_CHECKED = 8  # random paths whose cost is compared with the prices of their layers


def require_exact(reward: Reward, model: CostModel) -> None:
    """Raise `MpnasError` unless the cost term of a search can be computed exactly."""
    if not hasattr(reward, "cost_term"):
        raise MpnasError(
            f"search: exact_cost needs a reward that is the quality plus a function of the cost, "
            f"not {shown(reward)}: expected absolute, linear, or a reward with a method "
            "cost_term(cost, target)."
        )
    if hasattr(model, "costs"):
        raise MpnasError(
            f"search: exact_cost needs a cost model in which a path costs the sum over its blocks, "
            f"not {shown(model)}: expected a cost model with price(use), such as multiply_adds."
        )


class ExpectedCost:
    """The expected cost of a policy over the paths of a space, for an additive cost model.

    `E[T] = sum over layers of (sum over choices c of p(c) * price(c))`

    `c` are the choices of all decisions on which a layer depends, `SearchSpace.decisions_of`. All
    prices are computed once.

    model: additive cost model.
    space: search space, at the size of a domain's images.

    Raises `MpnasError` if a layer depends on decisions with more than 100,000 combined choices, or
    on others than the space says.

    >>> expected = ExpectedCost(mk.MultiplyAdds(), space)
    >>> path = space.parse("row row column column")
    >>> policy = torch.zeros(1, 4, 3)
    >>> policy[0, range(4), path.choices] = 1.0
    >>> float(expected(policy)) == space.cost(path).multiply_adds
    True
    """

    def __init__(self, model: CostModel, space: SearchSpace) -> None:
        self.fixed = 0.0  # cost of the layers that no decision changes
        self.tables: list[tuple[tuple[int, ...], Tensor]] = []  # decisions, and price by choices
        self._sizes = [len(d.choices) for d in space.decisions]
        tables: dict[tuple[int, ...], Tensor] = {}
        for layer in range(len(space.layers)):
            places = space.decisions_of(layer)
            prices = self._prices(model, space, layer, places)
            tables[places] = tables[places] + prices if places in tables else prices
        self.fixed = float(tables.pop((), torch.zeros(())))
        self.tables = list(tables.items())
        self._check(model, space)

    def _prices(
        self, model: CostModel, space: SearchSpace, layer: int, places: tuple[int, ...]
    ) -> Tensor:
        """Return the prices of a layer for all choices of some decisions, one axis for each."""
        sizes = [self._sizes[place] for place in places]
        table = torch.zeros(sizes, dtype=torch.float64)
        if table.numel() > MOST_COMBINED:
            raise MpnasError(
                f"search: exact_cost cannot add up layer {space.layers[layer].name!r} of space "
                f"{space.name!r}: its {len(sizes)} decisions have {table.numel():,} combined "
                f"choices. Expected at most {MOST_COMBINED:,}, or exact_cost False."
            )
        known: dict[tuple[int, ...], float] = {}
        for own in product(*map(range, sizes)):
            choices = [0] * len(self._sizes)
            for place, choice in zip(places, own, strict=True):
                choices[place] = choice
            key = next(place for place in space.places(choices) if place[0] == layer)
            if key not in known:
                use = space.use(*key)
                known[key] = 0.0 if use is None else block_price(model, use)  # type: ignore[arg-type]
            table[own] = known[key]
        return table

    def _check(self, model: CostModel, space: SearchSpace) -> None:
        generator = torch.Generator().manual_seed(0)
        for _ in range(_CHECKED):
            path = space.sample(generator)
            found = self.fixed + sum(
                float(table[tuple(path.choices[place] for place in places)])
                for places, table in self.tables
            )
            cost = path_costs(model, space, {"": path})[""]
            if abs(found - cost) > 1e-6 * abs(cost):
                raise MpnasError(
                    f"search: exact_cost adds up {found:g} {model.unit} for the path {path} of "
                    f"space {space.name!r}, which costs {cost:g}: expected that decisions_of "
                    "returns all decisions on which a layer depends."
                )

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Return the expected costs, float64 (policies,), with gradient.

        probabilities: of every choice, (policies, decisions, choices). Each row sums to 1.
        """
        probabilities = probabilities.double()
        total = probabilities.new_full((len(probabilities),), self.fixed)
        for places, table in self.tables:
            rest = table.expand(len(probabilities), *table.shape)
            for place, size in zip(places, table.shape, strict=True):
                rest = torch.einsum("pc,pc...->p...", probabilities[:, place, :size], rest)
            total = total + rest
        return total
