"""Warm-up of the shared weights: early in a search, candidates are averaged instead of sampled."""

import torch

from mpnas_kit.network.net import Blend
from mpnas_kit.space.space import Path, SearchSpace, Use


def warmup_probability(step: int, steps: int, share: float) -> float:
    """The chance that a layer is averaged: from 1 at step 0 linearly to 0 at `share` of `steps`."""
    length = share * steps
    return max(0.0, 1 - step / length) if length > 0 else 0.0


def warm(
    space: SearchSpace,
    path: Path,
    probability: float,
    candidates: int,
    generator: torch.Generator,
) -> Path | Blend:
    """The path, or a blend in which each searched layer is averaged with this `probability`.

    An averaged layer is the mean of its candidates, `zero` among them, or of `candidates` random
    ones where it has more (ours; TuNAS takes all: "op warm-up"). Searched widths are, with the same
    probability, at their largest ("filter warm-up").
    """
    if probability <= 0:
        return path
    if float(torch.rand((), generator=generator)) < probability:
        path = space.widest(path)
    widths = space.widths(path.choices)
    layers: list[tuple[Use | None, ...]] = [(use,) for use in space.uses(path)]
    for i in space.searched:
        if float(torch.rand((), generator=generator)) >= probability:
            continue
        order = torch.randperm(len(space.layers[i].candidates), generator=generator)
        before = widths[i - 1] if i else 3
        layers[i] = tuple(
            space.use(i, pick, before, widths[i]) for pick in sorted(order[:candidates].tolist())
        )
    return Blend(tuple(layers))
