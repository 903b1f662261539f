"""Warm-up of the shared weights: early in a search, candidates are averaged instead of sampled.

Source: TuNAS, Bender et al., CVPR 2020, arXiv 2008.06120.
"""

import torch

from mpnas_kit.network.net import Blend
from mpnas_kit.space.space import Path, SearchSpace, Use


def warmup_probability(step: int, steps: int, share: float) -> float:
    """Return the probability that a layer is averaged.

    It falls linearly from 1 at step 0 to 0 after a share `share` of the steps.

    >>> [warmup_probability(step, steps=8, share=0.5) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    length = share * steps
    return max(0.0, 1 - step / length) if length > 0 else 0.0


def warm(
    space: SearchSpace,
    path: Path,
    probability: float,
    candidates: int,
    generator: torch.Generator,
) -> Path | Blend:
    """Return the path, or a blend in which some searched layers are averaged.

    An averaged layer gives the mean of its candidates (including `zero`). This is the "op warm-up"
    of TuNAS. If a layer has more than `candidates` candidates, so many random ones are averaged
    (ours; TuNAS averages all). Searched widths are set to their largest with the same probability
    ("filter warm-up").

    probability: probability that a searched layer is averaged, 0 to 1. 0 returns the path.
    candidates: largest number of candidates that are averaged.
    generator: source of the random choices.
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
