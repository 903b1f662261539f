"""What a stage would cost on other machines: its arithmetic counted, its speed measured (ours).

A step is taken as the arithmetic of its convolutions and linear layers at a device's measured
speed, and one sum of gradients over all devices. What a step does besides (drawing images, sampling
paths, the optimiser) is inside the measured speed only as far as one training step has it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import torch.nn.functional as F

from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.space.space import Path, SearchSpace
from mpnas_kit.training.stage import TrainConfig

BACKWARD = 2  # the arithmetic of a backward pass over that of the forward pass
CLASSES = 100  # of a domain
PATHS = 60  # random paths that stand for those of a search


@dataclass(frozen=True)
class Work:
    """What all steps of a stage do.

    multiply_adds: of a step, backward passes included. gradients: bytes that are summed over the
    devices after a step. units: micro-batches of a step, which the devices share out.
    """

    stage: str
    steps: int
    multiply_adds: float
    gradients: float
    units: int


def random_paths(space: SearchSpace, count: int = PATHS, seed: int = 0) -> list[Path]:
    """Paths whose every choice is as likely as the others."""
    generator = torch.Generator().manual_seed(seed)
    return [space.sample(generator) for _ in range(count)]


def work_of(space: SearchSpace, domains: int, config: SearchConfig | TrainConfig) -> Work:
    """The work of a stage in which every domain goes random paths, of their mean cost."""
    paths = random_paths(space)
    images = config.batch_size * (1 + BACKWARD)
    if isinstance(config, SearchConfig):
        images += config.paths_per_step * config.reward_batch
    forward = sum(space.cost(p).multiply_adds for p in paths) / len(paths)
    return Work(
        "search" if isinstance(config, SearchConfig) else "train",
        config.steps,
        domains * images * forward,
        4 * _moved(space, random_paths(space, domains), config),
        domains * config.micro_batches,
    )


def _moved(space: SearchSpace, paths: Sequence[Path], config: SearchConfig | TrainConfig) -> int:
    """Parameters that have a gradient after a step in which every domain goes one of `paths`.

    Of a step on torch's meta device, which has no data. A weight of which a part is used has all of
    its gradient.
    """
    flows = {f"domain{i}": path for i, path in enumerate(paths)}
    classes = dict.fromkeys(flows, CLASSES)
    with torch.device("meta"):
        if isinstance(config, SearchConfig):
            net = MultiPathNet.supernet(
                space, classes, config.norm, 0, config.private_from, config.collapse
            )
        else:
            net = MultiPathNet.of_paths(space, flows, classes, config.norm, 0, config.private_from)
        images = torch.empty(2, 3, space.resolution, space.resolution)
        logits = net([Flow(domain, images, path) for domain, path in flows.items()])
        torch.autograd.backward(torch.stack([x.sum() for x in logits]).sum())
    return sum(p.numel() for p in net.parameters() if p.grad is not None)


def estimate(
    work: Sequence[Work], devices: Sequence[int], speed: float, bandwidth: float
) -> pd.DataFrame:
    """Time of every stage on every number of devices: a row each.

    speed: multiply-adds a second of one device. bandwidth: bytes a second at which a device sends
    and receives; a sum over n devices moves 2 (n - 1) / n of the gradients through each (ring).
    Columns: stage, devices, hours, device_hours, busy (the share of the time in which a device
    computes: units seldom divide evenly, and it waits for the sums).
    """
    rows = []
    for one in work:
        for count in devices:
            most = -(-one.units // count) / one.units  # of the units, on the fullest device
            computes = most * one.multiply_adds / speed
            sums = 2 * (count - 1) / count * one.gradients / bandwidth
            seconds = one.steps * (computes + sums)
            busy = one.steps * one.multiply_adds / speed / count / seconds
            rows.append(
                {
                    "stage": one.stage,
                    "devices": count,
                    "hours": seconds / 3600,
                    "device_hours": count * seconds / 3600,
                    "busy": busy,
                }
            )
    return pd.DataFrame(rows)


def measured_speed(
    space: SearchSpace, device: torch.device, batch: int = 32, repeats: int = 5
) -> float:
    """Multiply-adds a second of a training step of one random path, best of `repeats`."""
    (path,) = random_paths(space, 1)
    net = MultiPathNet.of_paths(space, {"one": path}, {"one": CLASSES}, "per_domain", 0).to(device)
    size = space.resolution
    images = torch.randn(batch, 3, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        (logits,) = net([Flow("one", images, path)])
        loss = F.cross_entropy(logits, labels)
        torch.autograd.backward(loss)
        float(next(net.parameters()).grad.sum())  # type: ignore[union-attr] # waits for a GPU
        taken.append(time.perf_counter() - began)
    done = batch * (1 + BACKWARD) * space.cost(path).multiply_adds
    return float(done / min(taken[1:]))
