"""The obvious loop: a search step as one would write it first. The yardstick of `engine.py`.

A domain after the other: forward, backward; one optimiser step for all; then a forward pass a
sampled path, for its reward. The same network, batches, paths and losses as the engine's.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mpnas_kit.engine.step import accuracy
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.space import Path

Batches = Mapping[str, tuple[Tensor, Tensor]]


def obvious_step(
    net: MultiPathNet,
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    paths: Mapping[str, Path],
    reward_batches: Batches,
    sampled: Mapping[str, Sequence[Path]],
    label_smoothing: float,
) -> dict[str, list[float]]:
    """Train `paths` on `batches`, then return the accuracy of every sampled path, by domain."""
    optimiser.zero_grad(set_to_none=True)
    for domain, (images, labels) in batches.items():
        (logits,) = net([Flow(domain, images, paths[domain])])
        F.cross_entropy(logits, labels, label_smoothing=label_smoothing).backward()
    optimiser.step()
    qualities = {}
    with torch.no_grad():
        for domain, (images, labels) in reward_batches.items():
            outputs = [net([Flow(domain, images, path)])[0] for path in sampled[domain]]
            qualities[domain] = [accuracy(x, labels) for x in outputs]
    return qualities
