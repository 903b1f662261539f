"""How much memory a search and a training of a suite take, counted before a step is done."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.memory import MB, layer_maps, step_maps
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import read_bytes
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.warmup import warm
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.training.config import TrainConfig

# Maps of native kernels over those of eager ones: 0.54 (benchmarks/memory.py), rounded up.
NATIVE = 0.6
_COPIES = {"search": 3, "train": 4}  # weights, gradients and momenta; a training averages weights
_FULL = 0.8  # share of the memory that a stage may take
_CGROUP = pathlib.Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedMemory:
    """How much memory a search and a training are expected to take. A field of `ExpectedTime`.

    stages: one row per stage. Columns stage (`search`, `train`), weights (with gradients and
    momenta), maps (of the largest step, without a memory budget) and least (the smallest budget
    that holds), all in MB.
    machine: memory of the device, in MB. None: it is unknown.
    resolution: pixels per side of the largest images.
    """

    stages: pd.DataFrame
    machine: float | None
    resolution: int

    @property
    def fits(self) -> bool:
        """Whether both stages fit into the memory of the device, or it is unknown."""
        need = (self.stages["weights"] + self.stages["maps"]).max()
        return self.machine is None or bool(need <= _FULL * self.machine)

    @property
    def budget(self) -> int | None:
        """A setting of memory_budget with which both stages fit, in MB. None: there is none."""
        least, weights = (float(self.stages[name].max()) for name in ("least", "weights"))
        if self.machine is None or least + weights > _FULL * self.machine:
            return None
        return max(math.ceil(least), int(0.5 * self.machine - weights))

    @property
    def sentence(self) -> str:
        """The expected memory in words, and what to do if it is too much."""
        search, train = ((self.stages["weights"] + self.stages["maps"]) / 1000).tolist()
        said = (
            f"A step of this search takes up to {search:,.1f} GB, one of the training "
            f"{train:,.1f} GB"
        )
        if self.machine is None:
            return f"{said}."
        said += f", and there are {self.machine / 1000:,.1f} GB"
        if self.fits:
            return f"{said}."
        smaller = f"images of fewer than {self.resolution} pixels, or a smaller batch_size"
        if self.budget is None:
            return f"{said}. That is too little even with a memory_budget: take {smaller}."
        return (
            f"{said}. That is too little: give search and training --memory-budget {self.budget}, "
            f"which the times above include, or take {smaller}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the expected memory as JSON values."""
        rows = self.stages.to_dict("records")
        return {
            "machine": self.machine,
            "budget": self.budget,
            "stages": [{str(k): v for k, v in row.items()} for row in rows],
        }


def expected_memory(
    suite: DomainSuite,
    space: SearchSpace,
    search: SearchConfig,
    train: TrainConfig,
    paths: Mapping[str, Path],
    compute: Compute,
) -> ExpectedMemory:
    """Return how much memory a search and a training are expected to take (ours).

    The search counts as in its first step, in which all layers are averaged, or as in the reward of
    its paths if that is more. The training has paths of the target cost.

    space: space with the resolutions of the suite. paths: path of every domain for the training.
    compute: where and how both stages compute.
    """
    generator, names = torch.Generator().manual_seed(0), suite.names
    sampled = [space.sample(generator) for _ in names]
    chance = float(search.warmup_share > 0)
    warmed = warm(space, sampled, chance, search.warmup_candidates, generator)
    rewarded = [(d, space.sample(generator)) for d in names for _ in range(search.paths_per_step)]
    supernet = MultiPathNet.supernet(
        space, suite.tasks, search.norm, 0, search.private, search.collapse
    )
    union = MultiPathNet.of_paths(
        space, paths, suite.tasks, train.norm, 0, train.private, train.collapse
    )
    value = compute.memory.value
    kept = value * (1.0 if compute.kernels is None else NATIVE)
    rows = []
    for stage, net, images, taken in (
        ("search", supernet, search.batch_size, list(zip(names, warmed, strict=True))),
        ("train", union, train.batch_size, list(paths.items())),
    ):
        step = step_maps(space, _flows(suite, taken, images))
        passing = 0
        if stage == "search":
            passing = value * _passing(space, _flows(suite, rewarded, search.reward_batch))
        weights = 4 * _COPIES[stage] * sum(p.numel() for p in net.parameters())
        rows.append(
            {
                "stage": stage,
                "weights": weights / MB,
                "maps": max(kept * step.whole, passing) / MB,
                "least": max(value * step.least, passing) / MB,
            }
        )
    return ExpectedMemory(
        pd.DataFrame(rows), machine_memory(compute.device), max(suite.resolutions.values())
    )


def _flows(
    suite: DomainSuite, taken: Sequence[tuple[str, Path | Blend]], images: int
) -> list[Flow]:
    """Return flows of batches without data."""
    sizes = suite.resolutions
    with torch.device("meta"):
        return [Flow(d, torch.empty(images, 3, sizes[d], sizes[d]), path) for d, path in taken]


def _passing(space: SearchSpace, flows: Sequence[Flow]) -> int:
    """Return values of the maps between layers that a pass without gradients holds at most."""
    entrances = [[len(flow.images) * m.entrance for m in layer_maps(space, flow)] for flow in flows]
    between = [sum(layer) for layer in zip(*entrances, strict=True)]
    return int(max(a + b for a, b in zip(between, [*between[1:], 0], strict=True)))


def machine_memory(device: torch.device) -> float | None:
    """Return the memory of a device in MB, in a container its limit. None: it is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / MB
    if device.type != "cpu":
        return None
    try:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # not on this system
        return None
    with suppress(MpnasError, ValueError):  # there is no limit
        known.append(int(read_bytes(_CGROUP)))
    return float(min(known)) / MB
