"""The data of a search: the training split, divided into a weight part and a reward part.

A search gets only a `SearchPart` per domain, so it cannot read validation and test images.
"""

from dataclasses import dataclass

import torch

from mpnas_kit.domains.batches import Source, Standard
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.domains.split import Subset
from mpnas_kit.domains.task import Task
from mpnas_kit.errors import MpnasError


@dataclass(frozen=True)
class SearchPart:
    """The data of one domain in a search.

    weights: images that train the weights. reward: other images, which give the rewards.
    """

    weights: Source
    reward: Source
    task: Task


def divide(suite: DomainSuite, reward_share: float, seed: int) -> dict[str, SearchPart]:
    """Divide every training split at random, class by class.

    reward_share: share of each class that goes into the reward part, between 0 and 1. The number of
    images is rounded. A class of at least two images has at least one in each part.
    seed: seed of the division.

    Raises `MpnasError` if a domain has too few images.
    """
    return {d.name: _divide(d, reward_share, derived_seed(seed, i)) for i, d in enumerate(suite)}


def _divide(domain: Domain, reward_share: float, seed: int) -> SearchPart:
    train, generator = domain.train, torch.Generator().manual_seed(seed)
    weights, reward = [], []
    for label in range(len(domain.classes)):
        members = (train.labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        most = len(members) - 1  # at least one image stays in the weight part
        count = min(most, max(1, round(reward_share * len(members))))
        reward.append(members[:count])
        weights.append(members[count:])
    standard = Standard.of(domain)

    def source(parts: list[torch.Tensor], flip: bool) -> Source:
        split = Subset(train, torch.cat(parts))
        if len(split) < 2:
            raise MpnasError(
                f"domain {domain.name!r} has {len(train)} training images: too few to divide into "
                "a weight part and a reward part of at least 2 images each."
            )
        return Source(split, standard, flip)

    return SearchPart(source(weights, domain.flip), source(reward, False), domain.task)
