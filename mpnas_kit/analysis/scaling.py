"""Estimated time of a stage on other machines, from counted work and measured speed (ours).

A step consists of two parts here: the multiply-adds of convolutions and linear layers, at the
measured speed of a device, and one sum of the gradients over all devices. Drawing images, sampling
paths and the optimiser are not counted. The measured speed covers them only as far as they are part
of one forward and backward pass.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import torch
import torch.nn.functional as F

from mpnas_kit.domains.task import Classification
from mpnas_kit.engine.config import StageConfig
from mpnas_kit.engine.runtime import reproducible, require_same_products
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.values import SEED, Range, checked, convert_list, convert_plain, require_type

BACKWARD = 2  # multiply-adds of a backward pass per multiply-add of the forward pass
TASK = Classification(100)  # assumed for every domain
PATHS = 60  # random paths over which costs are averaged
RATE = Range(1e-3, 1e30)
Devices = Annotated[int, Range(1, 1_000_000)]


@dataclass(frozen=True)
class Work:
    """The work of a stage. Returned by `work_of`.

    stage: `search` or `train`.
    steps: number of steps.
    multiply_adds: multiply-adds of one step over all domains, with backward passes.
    gradients: bytes of gradients that are summed over the devices after each step.
    units: micro-batches of one step over all domains. A device computes whole units.

    >>> mk.analysis.Work("train", steps=100, multiply_adds=2e9, gradients=4e6, units=10).units
    10
    """

    stage: str
    steps: int
    multiply_adds: float
    gradients: float
    units: int


@checked("random_paths")
def random_paths(
    space: SearchSpace,
    count: Annotated[int, Range(1, 1_000_000)] = PATHS,
    seed: Annotated[int, SEED] = 0,
) -> list[Path]:
    """Return random paths; every choice of a decision is equally likely.

    space: the search space.
    count: number of paths, 1 to 1 million; by default 60.
    seed: seed of the random generator, 0 to 2**32 - 1.

    Raises `MpnasError` if a number is out of its range.

    >>> len(mk.analysis.random_paths(space, 3))
    3
    """
    generator = torch.Generator().manual_seed(seed)
    return [space.sample(generator) for _ in range(count)]


@checked("work_of")
def work_of(
    space: SearchSpace,
    domains: Annotated[int, Range(1, 1000)],
    config: SearchConfig | TrainConfig,
) -> Work:
    """Return the work of a stage, if every path has the mean cost of random paths.

    space: the search space.
    domains: number of domains, 1 to 1000.
    config: settings of the stage. Steps, batch sizes, micro-batches, and for a search
    paths_per_step and reward_batch are used.

    Multiply-adds of a step: domains * (3 * batch_size + rewards) * mean cost, over random paths and
    over the resolutions of the space. The factor 3 is one forward pass and a backward pass of twice
    its work. rewards is paths_per_step * reward_batch in
    a search and 0 in a training.

    >>> work = mk.analysis.work_of(space, 2, mk.TrainConfig(steps=100))
    >>> work.stage, work.steps, work.units
    ('train', 100, 2)
    """
    require_type(config, StageConfig, "work_of: config")
    paths = random_paths(space)
    images = config.batch_size * (1 + BACKWARD)
    if isinstance(config, SearchConfig):
        images += config.paths_per_step * config.reward_batch
    spaces = [space.of(d) for d in space.resolutions] or [space]
    costs = [own.cost(p).multiply_adds for own in spaces for p in paths]
    forward = sum(costs) / len(costs)
    return Work(
        "search" if isinstance(config, SearchConfig) else "train",
        config.steps,
        domains * images * forward,
        4 * _with_gradient(space, random_paths(space, domains), config),
        domains * config.micro_batches,
    )


def _with_gradient(
    space: SearchSpace, paths: Sequence[Path], config: SearchConfig | TrainConfig
) -> int:
    """Return the number of parameters that have a gradient after a step; one path per domain.

    The step runs on torch's meta device, which computes shapes only. A weight that is used in part
    has a whole gradient.
    """
    flows = {f"domain{i}": path for i, path in enumerate(paths)}
    tasks = dict.fromkeys(flows, TASK)
    given = (config.norm, 0, config.private, config.collapse)
    with torch.device("meta"):
        if isinstance(config, SearchConfig):
            net = MultiPathNet.supernet(space, tasks, *given)
        else:
            net = MultiPathNet.of_paths(space, flows, tasks, *given)
        images = torch.empty(2, 3, space.resolution, space.resolution)
        logits = net([Flow(domain, images, path) for domain, path in flows.items()])
        torch.autograd.backward(torch.stack([x.sum() for x in logits]).sum())
    return sum(p.numel() for p in net.parameters() if p.grad is not None)


@checked("estimate")
def estimate(
    work: Sequence[Work],
    devices: Sequence[int],
    speed: Annotated[float, RATE],
    bandwidth: Annotated[float, RATE],
) -> pd.DataFrame:
    """Return the time of every stage on every number of devices (ours).

    work: work of the stages.
    devices: numbers of devices, each 1 to 1 million.
    speed: speed of one device in multiply-adds per second, 0.001 to 1e30.
    bandwidth: rate at which a device sends and receives, in bytes per second, 0.001 to 1e30.

    Raises `MpnasError` if a number is out of its range.

    seconds = steps * (m / units * multiply_adds / speed + 2 (n - 1) / n * gradients / bandwidth) on
    n devices, with m = ceil(units / n), the units on the device that has the most. The second term
    is a ring all-reduce (Patarasuk and Yuan 2009, doi 10.1016/j.jpdc.2008.09.002).

    One row per stage and number of devices. Columns:

        stage, devices: identify the row.
        hours: time of the stage.
        device_hours: hours * devices.
        busy: mean share of the time in which a device computes, 0 to 1. The rest is waiting, for
        devices with more units and for the sums.

    >>> work = mk.analysis.Work("train", steps=3600, multiply_adds=1e9, gradients=0, units=10)
    >>> mk.analysis.estimate([work], [1, 10], speed=1e9, bandwidth=1e9)["hours"].tolist()
    [1.0, 0.1]
    """
    rows = []
    counts = convert_list(devices, "estimate: devices", "whole numbers")
    counts = tuple(convert_plain(n, Devices, "estimate: a number of devices") for n in counts)
    for one in work:
        for count in counts:
            most = -(-one.units // count) / one.units  # share of the fullest device
            computing = most * one.multiply_adds / speed
            summing = 2 * (count - 1) / count * one.gradients / bandwidth
            seconds = one.steps * (computing + summing)
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


@checked("measured_speed")
def measured_speed(
    space: SearchSpace,
    device: torch.device,
    batch: Annotated[int, Range(2, 1_000_000)] = 32,
    repeats: Annotated[int, Range(1, 1000)] = 5,
) -> float:
    """Return the measured speed of a training step, in multiply-adds per second.

    space: the search space.
    device: device that is measured.
    batch: number of images, 2 to 1 million.
    repeats: number of timed steps, 1 to 1000; the fastest one counts. One step before them is not
    timed.

    The step is a forward and backward pass of one random path on random images.

    >>> mk.analysis.measured_speed(space, torch.device("cpu"), batch=2, repeats=1) > 0
    True
    """
    require_same_products(device)
    (path,) = random_paths(space, 1)
    net = MultiPathNet.of_paths(space, {"one": path}, {"one": TASK}, "per_domain", 0).to(device)
    size, times = space.resolution, []
    with reproducible(None, size):
        images = torch.randn(batch, 3, size, size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(batch, dtype=torch.int64, device=device)
        for _ in range(repeats + 1):
            began = time.perf_counter()
            (logits,) = net([Flow("one", images, path)])
            loss = F.cross_entropy(logits, labels)
            torch.autograd.backward(loss)
            float(next(net.parameters()).grad.sum())  # type: ignore[union-attr] # waits for a GPU
            times.append(time.perf_counter() - began)
    work = batch * (1 + BACKWARD) * space.cost(path).multiply_adds
    return float(work / min(times[1:]))
