"""Random paths that have a given cost."""

import math
from typing import Annotated

import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import CostModel, cost_bounds, path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import Range, checked


@checked("sample_at_cost")
def sample_at_cost(
    space: SearchSpace,
    model: CostModel,
    target: Annotated[float, Range(0, 1e100, above=True)],
    tolerance: Annotated[float, Range(0, 1e6)],
    generator: torch.Generator,
    tries: Annotated[int, Range(1, 1_000_000_000)] = 20_000,
    prior: Annotated[float | None, Range(0, 1, above=True, below=True)] = None,
) -> Path:
    """Draw a random path whose cost is near `target` (ours).

    The search starts at a path that is drawn at random. Each try draws one decision again, and
    accepts the new path if its cost is not further from the target. After more than 500 tries
    without progress it starts again at a new path. So the path is random, but not uniform among all
    paths of this cost.

    space: the search space.
    model: cost model.
    target: target cost, in the unit of the model, above 0 and up to 1e100.
    tolerance: the cost is within `target / (1 + tolerance)` and `target * (1 + tolerance)`; 0 to
    1e6.
    generator: source of all random numbers.
    tries: number of tries, 1 to 1 billion.
    prior: probability of every choice of the space's original path, above 0 and below 1. None: all
    choices are equally likely.

    Raises `MpnasError` if a number is out of its range, no path is found within `tries` tries, or
    there is a prior but no original path.

    >>> pocket, generator = mk.pocket_space(), torch.Generator().manual_seed(0)
    >>> path = mk.sample_at_cost(pocket, mk.MultiplyAdds(), 5e5, 0.05, generator)
    >>> abs(pocket.cost(path).multiply_adds / 5e5 - 1) <= 0.05
    True
    """

    def distance(path: Path) -> float:
        cost = path_costs(model, space, {"": path})[""]
        return abs(math.log(cost / target)) if cost > 0 else math.inf

    original = () if prior is None else space.require_original().choices

    def choice(index: int) -> int:
        count = len(space.decisions[index].choices)
        if not original or count == 1:
            return int(torch.randint(count, (), generator=generator))
        if float(torch.rand((), generator=generator)) < (prior or 0.0):
            return original[index]
        other = int(torch.randint(count - 1, (), generator=generator))
        return other + (other >= original[index])

    def draw() -> Path:
        return space.path([choice(index) for index in range(len(space.decisions))])

    path = draw()
    current, stuck = distance(path), 0
    for _ in range(tries):
        if current <= math.log1p(tolerance):
            return path
        changed = list(path.choices)
        index = int(torch.randint(len(changed), (), generator=generator))
        changed[index] = choice(index)
        proposal = space.path(changed)
        proposed = distance(proposal)
        stuck = 0 if proposed < current else stuck + 1
        if proposed <= current:
            path, current = proposal, proposed
        if stuck > 500:
            path, stuck = draw(), 0
            current = distance(path)
    raise MpnasError(
        f"no path of {target:g} {model.unit} (within {tolerance:.0%}) found in space "
        f"{space.name!r}: its paths cost "
        f"{' to '.join(f'{b:g}' for b in cost_bounds(model, space, 1))} {model.unit}."
    )
