"""The data of a search: the training split, divided into a weight part and a reward part.

A search gets only a `SearchPart` per domain, so it cannot read validation and test images.
"""

from dataclasses import dataclass

import torch

from mpnas_kit.domains.batches import Source, Standard, standards
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.domains.split import Subset, by_class
from mpnas_kit.domains.task import Task
from mpnas_kit.errors import MpnasError


@dataclass(frozen=True)
class SearchPart:
    """The data of one domain in a search.

    weights: images that train the weights. reward: other images, which give the rewards.
    classes: names of the classes.
    """

    weights: Source
    reward: Source
    task: Task
    classes: tuple[str, ...]


def divide(
    suite: DomainSuite, reward_share: float, seed: int, standard: Standard | None = None
) -> dict[str, SearchPart]:
    """Divide every training split at random, class by class.

    reward_share: share of each class that goes into the reward part, between 0 and 1. The number of
    images is rounded. A class of at least two images has at least one in each part.
    seed: seed of the division.
    standard: conversion of all images to network input. None: each domain has its own.

    Raises `MpnasError` if a domain has too few images.
    """
    require_divisible(suite, reward_share, micro_batches=1)
    inputs = standards(suite, standard)
    return {
        d.name: _divide(d, reward_share, derived_seed(seed, i), inputs[d.name])
        for i, d in enumerate(suite)
    }


def require_divisible(suite: DomainSuite, reward_share: float, micro_batches: int) -> None:
    """Raise `MpnasError` if a training split has too few images to divide, without reading them.

    Both parts need at least 2 images for each micro-batch, because batch norm needs two.

    reward_share: share of each class that goes into the reward part, between 0 and 1.
    micro_batches: parts of a batch.
    """
    for domain in suite:
        sizes = domain.train.labels.bincount(minlength=len(domain.classes)).tolist()
        reward = sum(_reward_count(size, reward_share) for size in sizes if size)
        least = 2 * micro_batches
        if min(reward, sum(sizes) - reward) < least:
            raise MpnasError(
                f"domain {domain.name!r} has {sum(sizes)} training images: too few to divide into "
                f"a weight part and a reward part (here {reward}) of at least {least} images each."
            )


def _reward_count(size: int, reward_share: float) -> int:
    """Return how many of the images of a class go into the reward part: one stays at least."""
    return min(size - 1, max(1, round(reward_share * size)))


def _divide(domain: Domain, reward_share: float, seed: int, standard: Standard) -> SearchPart:
    train, generator = domain.train, torch.Generator().manual_seed(seed)
    weights, reward = [], []
    for members in by_class(train.labels).values():
        members = members[torch.randperm(len(members), generator=generator)]
        count = _reward_count(len(members), reward_share)
        reward.append(members[:count])
        weights.append(members[count:])

    trained = Source(Subset(train, torch.cat(weights)), standard, domain.flip, domain.turn)
    rewarded = Source(Subset(train, torch.cat(reward)), standard)
    return SearchPart(trained, rewarded, domain.task, domain.classes)
