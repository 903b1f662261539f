"""Warm-up of the shared weights: early in a search, candidates are averaged instead of sampled.

Source: TuNAS, Bender et al., CVPR 2020, arXiv 2008.06120.
"""

from collections.abc import Mapping, Sequence

import torch

from mpnas_kit.network.net import Blend
from mpnas_kit.space.layers import Path, Use
from mpnas_kit.space.space import SearchSpace


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

    An averaged layer gives the mean of its candidates (including `zero`) with the stride of the
    path there. This is the "op warm-up" of TuNAS. If a layer has more than `candidates` of them, so
    many random ones are averaged (ours; TuNAS averages all). Searched widths are set to their
    largest with the same probability ("filter warm-up").

    paths: one path per controller. Each is changed at random, independently of the others.
    probability: probability that a searched layer is averaged, 0 to 1. 0 returns the paths.
    candidates: largest number of candidates that are averaged.
    generator: source of the random choices. All are drawn in two calls.
    """
    if probability <= 0:
        return list(paths)
    layers = space.searched
    most = max((len(space.layers[i].candidates) for i in layers), default=0)
    random = torch.rand(len(paths), 1 + len(layers), generator=generator) < probability
    order = torch.rand(len(paths), len(layers), most, generator=generator)
    blends: list[Path | Blend] = []
    for path, (wide, *averaged), own in zip(paths, random.tolist(), order.tolist(), strict=True):
        chosen = space.candidate_indices(path.choices)
        picks = {
            i: sorted(sorted(space.alternatives(i, chosen[i]), key=ranks.__getitem__)[:candidates])
            for i, average, ranks in zip(layers, averaged, own, strict=True)
            if average
        }
        blends.append(_blend(space, space.widest(path) if wide else path, picks))
    return blends


def _blend(space: SearchSpace, path: Path, picks: Mapping[int, Sequence[int]]) -> Blend:
    """Return a path in which some layers are averaged.

    picks: candidates that are averaged, by layer.
    """
    layers: list[tuple[Use | None, ...]] = [(use,) for use in space.uses(path)]
    for i, _, *sizes in space.places(path.choices):
        if i in picks:
            layers[i] = tuple(space.use(i, pick, *sizes) for pick in picks[i])
    return Blend(tuple(layers))
