"""Random paths of a wanted cost."""

import math

import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import CostModel
from mpnas_kit.space.space import Path, SearchSpace


def sample_at_cost(
    space: SearchSpace,
    model: CostModel,
    target: float,
    tolerance: float,
    generator: torch.Generator,
    tries: int = 20_000,
) -> Path:
    """A random path whose cost is within `tolerance` (a share) of `target`.

    From a uniform path on, random decisions are redrawn as long as that brings the cost no farther
    from the target; begun afresh where that leads nowhere. So the path is random but not uniform
    among those of this cost (ours). Raises `MpnasError` after `tries` proposals.
    """

    def distance(path: Path) -> float:
        return abs(math.log(model.costs(space, {"": path})[""] / target))

    path = space.sample(generator)
    current, stuck = distance(path), 0
    for _ in range(tries):
        if current <= math.log1p(tolerance):
            return path
        changed = list(path.choices)
        which = int(torch.randint(len(changed), (), generator=generator))
        count = len(space.decisions[which].choices)
        changed[which] = int(torch.randint(count, (), generator=generator))
        proposal = space.path(changed)
        reached = distance(proposal)
        stuck = 0 if reached < current else stuck + 1
        if reached <= current:
            path, current = proposal, reached
        if stuck > 500:
            path, stuck = space.sample(generator), 0
            current = distance(path)
    raise MpnasError(
        f"no path of {target:g} {model.unit} (within {tolerance:.0%}) found in {space.name!r}: "
        f"paths cost {' to '.join(f'{b:g}' for b in model.bounds(space, 1))}."
    )
