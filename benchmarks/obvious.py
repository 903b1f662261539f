"""The obvious loop: a search step in its simplest form. `engine.py` compares the engine with it.

Forward and backward pass of one domain after the other, then one optimiser step, then one forward
pass per sampled path for its reward. Network, batches, paths and losses are those of the engine.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """Train `paths` on `batches` for one step; return the accuracy of every sampled path.

    batches, reward_batches: images (B, 3, H, W) and labels (B,) by domain.
    paths: path of every domain that is trained.
    sampled: paths of every domain whose accuracy is measured.

    Accuracies are 0 to 1, by domain, in the order of `sampled`.
    """
    optimiser.zero_grad(set_to_none=True)
    for domain, (images, labels) in batches.items():
        (logits,) = net([Flow(domain, images, paths[domain])])
        F.cross_entropy(logits, labels, label_smoothing=label_smoothing).backward()
    optimiser.step()
    qualities = {}
    with torch.no_grad():
        for domain, (images, labels) in reward_batches.items():
            outputs = [net([Flow(domain, images, path)])[0] for path in sampled[domain]]
            qualities[domain] = [net.tasks[domain].quality(x, labels) for x in outputs]
    return qualities
