"""Warm-up of the shared weights: early in a search, candidates are averaged instead of sampled.

Source: TuNAS, Bender et al., CVPR 2020, arXiv 2008.06120.
"""

from collections.abc import Sequence

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
    paths: Sequence[Path],
    probability: float,
    candidates: int,
    generator: torch.Generator,
) -> list[Path | Blend]:
    """Return the paths, or blends in which some searched layers are averaged.

    An averaged layer gives the mean of its candidates (including `zero`). This is the "op warm-up"
    of TuNAS. If a layer has more than `candidates` candidates, so many random ones are averaged
    (ours; TuNAS averages all). Searched widths are set to their largest with the same probability
    ("filter warm-up").

    paths: one path per controller. Each is changed at random, independently of the others.
    probability: probability that a searched layer is averaged, 0 to 1. 0 returns the paths.
    candidates: largest number of candidates that are averaged.
    generator: source of the random choices. All are drawn in two calls.
    """
    if probability <= 0:
        return list(paths)
    counts = torch.tensor([len(space.layers[i].candidates) for i in space.searched])
    most = max(counts.tolist(), default=0)
    random = torch.rand(len(paths), 1 + len(counts), generator=generator) < probability
    order = torch.rand(len(paths), len(counts), most, generator=generator)
    order = order.masked_fill(torch.arange(most) >= counts[:, None], 2.0)  # after all that exist
    picks = order.argsort(2)[..., :candidates].sort(2).values.tolist()
    return [
        _blend(space, space.widest(path) if wide else path, averaged, own)
        for path, (wide, *averaged), own in zip(paths, random.tolist(), picks, strict=True)
    ]


def _blend(
    space: SearchSpace, path: Path, averaged: Sequence[bool], picks: Sequence[Sequence[int]]
) -> Blend:
    """Return a path in which some searched layers are averaged.

    averaged: whether, for every searched layer. picks: candidates that it averages; indices that
    the layer does not have are left out.
    """
    widths = space.widths(path.choices)
    layers: list[tuple[Use | None, ...]] = [(use,) for use in space.uses(path)]
    for i, average, own in zip(space.searched, averaged, picks, strict=True):
        if average:
            before, there = widths[i - 1] if i else 3, len(space.layers[i].candidates)
            layers[i] = tuple(space.use(i, p, before, widths[i]) for p in own if p < there)
    return Blend(tuple(layers))
