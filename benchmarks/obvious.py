"""The obvious loop: a search step in its simplest form. The engine is compared with it.

Forward and backward pass of one domain after the other, then one optimiser step, then one forward
pass per sampled path for its reward. The network is a function, so that networks of other libraries
can take the place of the kit's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from mpnas_kit.domains.task import Task
from mpnas_kit.space.layers import Path

Batches = Mapping[str, tuple[Tensor, Tensor]]
Forward = Callable[[str, Tensor, Path], Tensor]
"""Function of a domain, its images (B, 3, H, W) and a path that returns logits (B, classes)."""


def one_by_one(losses: Iterable[Tensor]) -> None:
    """Do the backward pass of a loss as soon as the loss is there."""
    for loss in losses:
        loss.backward()


def obvious_step(
    forward: Forward,
    tasks: Mapping[str, Task],
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    paths: Mapping[str, Path],
    reward_batches: Batches,
    sampled: Mapping[str, Sequence[Path]],
    label_smoothing: float,
    backward: Callable[[Iterable[Tensor]], None] = one_by_one,
) -> dict[str, list[float]]:
    """Train `paths` on `batches` for one step; return the accuracy of every sampled path.

    forward: the network.
    tasks: task of every domain.
    batches, reward_batches: images (B, 3, H, W) and labels (B,) by domain.
    paths: path of every domain that is trained.
    sampled: paths of every domain whose accuracy is measured.
    backward: function that takes the loss of one domain after the other and computes gradients.

    Accuracies are 0 to 1, by domain, in the order of `sampled`.
    """
    optimiser.zero_grad(set_to_none=True)
    backward(
        tasks[domain].loss(forward(domain, images, paths[domain]), labels, label_smoothing)
        for domain, (images, labels) in batches.items()
    )
    optimiser.step()
    qualities = {}
    with torch.no_grad():
        for domain, (images, labels) in reward_batches.items():
            outputs = [forward(domain, images, path) for path in sampled[domain]]
            qualities[domain] = [tasks[domain].quality(x, labels) for x in outputs]
    return qualities
