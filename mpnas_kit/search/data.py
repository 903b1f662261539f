"""The data a search may see: the training split, divided into a weight part and a reward part.

A search gets `SearchPart`s and nothing else, so validation and test images are out of its reach.
"""

from dataclasses import dataclass

import torch

from mpnas_kit.domains.batches import Source, Standard
from mpnas_kit.domains.domain import Domain, DomainSuite, Split
from mpnas_kit.errors import MpnasError


@dataclass(frozen=True)
class SearchPart:
    """One domain as a search sees it: images for the weights, other images for the rewards."""

    weights: Source
    reward: Source
    classes: int


def divide(suite: DomainSuite, reward_share: float, seed: int) -> dict[str, SearchPart]:
    """Divide every training split, class by class, at random.

    reward_share: the share of each class (rounded, at least one image of a class that has two)
    that goes into the reward part. Raises `MpnasError` for a domain too small to be divided.
    """
    return {d.name: _divide(d, reward_share, seed * 1_000_003 + i) for i, d in enumerate(suite)}


def _divide(domain: Domain, reward_share: float, seed: int) -> SearchPart:
    train, generator = domain.train, torch.Generator().manual_seed(seed)
    weights, reward = [], []
    for label in range(len(domain.classes)):
        members = (train.labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        most = len(members) - 1  # a class has an image in the weight part, at least
        count = min(most, max(1, round(reward_share * len(members))))
        reward.append(members[:count])
        weights.append(members[count:])
    standard = Standard.of(domain)

    def source(parts: list[torch.Tensor], flip: bool) -> Source:
        split: Split = train[torch.cat(parts)]
        if len(split) < 2:
            raise MpnasError(
                f"domain {domain.name!r} has {len(train)} training images: too few to divide into "
                "a weight part and a reward part of at least 2 images each."
            )
        return Source(split, standard, flip)

    return SearchPart(source(weights, domain.flip), source(reward, False), len(domain.classes))
