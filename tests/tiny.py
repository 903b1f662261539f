"""Tiny suites, spaces and settings for tests: 16 x 16 images, two searched layers, few steps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Split, TensorSplit
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.step import optimiser_of, weighted_step
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.prioritization.domain_weights import DomainWeights
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.space import factored
from mpnas_kit.space.blocks import Conv, InvertedBottleneck
from mpnas_kit.space.layers import Layer, Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.strided import StridedSpace
from mpnas_kit.training.config import TrainConfig

SIZE = 16


def split(classes: int, images: int, channels: int, generator: torch.Generator) -> TensorSplit:
    """Noise, and a bright band whose height is the class, so it survives mirroring; in turn."""
    noise = torch.randint(0, 90, (images, channels, SIZE, SIZE), generator=generator)
    labels = torch.arange(images) % classes
    for image, label in zip(noise, labels.tolist(), strict=True):
        image[:, 4 * label : 4 * label + 4] += 150
    return TensorSplit(noise.to(torch.uint8), labels)


def domain(
    name: str, classes: int = 3, channels: int = 1, train: int = 36, seed: int = 0, **more: Any
) -> Domain:
    """A domain of `train` training images, 12 for validation and 12 for test."""
    generator = torch.Generator().manual_seed(seed)
    parts = {
        part: split(classes, count, channels, generator)
        for part, count in (("train", train), ("val", 12), ("test", 12))
    }
    return Domain(name, tuple(f"class{i}" for i in range(classes)), **{**parts, **more})


def suite(count: int = 2) -> DomainSuite:
    """Up to three domains that differ in classes, channels, size and flipping."""
    made = (
        domain("a", 3, 1, 36, seed=1),
        domain("b", 4, 3, 28, seed=2, flip=True),
        domain("c", 2, 1, 20, seed=3),
    )
    return DomainSuite(made[:count], "tiny")


def three() -> DomainSuite:
    """All three domains."""
    return suite(3)


def space(resolution: int = SIZE) -> LayerwiseSpace:
    """Two searched layers, of 4 and 3 candidates: 12 paths."""
    return LayerwiseSpace("tiny", layers(), resolution)


def layers() -> tuple[Layer, ...]:
    """The layers of `space`."""
    first = (
        None,
        InvertedBottleneck(3, 1),
        InvertedBottleneck(3, 2),
        InvertedBottleneck(5, 2, se=True),
    )
    second = (InvertedBottleneck(3, 1), InvertedBottleneck(5, 3), InvertedBottleneck(3, 3))
    return (
        Layer("stem", 2, (8,), (Conv(3),)),
        Layer("one", 1, (8,), first),
        Layer("two", 2, (12,), second),
        Layer("head", 1, (16,), (Conv(1),)),
    )


def two_searched_layers() -> LayerwiseSpace:
    """A choice of two convolutions, then of two or none: costs are worked out by hand easily."""
    searched = (
        Layer("1.1", 1, (8,), (Conv(1), Conv(3))),
        Layer("1.2", 1, (8,), (None, Conv(1), Conv(3))),
    )
    stem, head = Layer("stem", 2, (8,), (Conv(3),)), Layer("head", 1, (16,), (Conv(1),))
    return LayerwiseSpace("tiny", (stem, *searched, head), resolution=8)


def tasks(classes: Mapping[str, int]) -> dict[str, Task]:
    """Classification into these numbers of classes."""
    return {name: Classification(count) for name, count in classes.items()}


def pixels(split: Split) -> Tensor:
    """All images of a split, uint8 (n, C, H, W)."""
    return split.take(torch.arange(len(split)))


def all_paths(space: SearchSpace) -> Iterator[Path]:
    """Every path through a small space, in order."""
    sizes = [len(d.choices) for d in space.decisions]
    grid = torch.cartesian_prod(*(torch.arange(n) for n in sizes)).reshape(-1, len(sizes))
    for choices in grid.tolist():
        yield space.path(choices)


def search_config(**settings: Any) -> SearchConfig:
    """Six steps without warm-up; `settings` overrule."""
    small: dict[str, Any] = {
        "steps": 6,
        "batch_size": 8,
        "learning_rate": 0.1,
        "paths_per_step": 2,
        "reward_batch": 8,
        "controller_delay": 0.25,
        "warmup_share": 0.25,
        "policy_snapshots": 6,
        "checkpoint_every": 2,
        "threads": 1,
    }
    return SearchConfig(**{**small, **settings})


def train_config(**settings: Any) -> TrainConfig:
    """Six steps; `settings` overrule."""
    small: dict[str, Any] = {
        "steps": 6,
        "batch_size": 8,
        "learning_rate": 0.1,
        "average": 0.9,
        "checkpoint_every": 2,
        "threads": 1,
    }
    return TrainConfig(**{**small, **settings})


def paths(
    space: SearchSpace, archs: Sequence[str], names: Sequence[str] = "abc"
) -> dict[str, Path]:
    """The paths written as `archs`, for the domains `names` in turn."""
    return {name: space.parse(arch) for name, arch in zip(names, archs, strict=False)}


def images(count: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    """Network input (count, 3, 16, 16): standard normal, moved by `shift`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, SIZE, SIZE, generator=generator) + shift


class Ready:
    """A batch as a step takes it, of images and labels that are made already."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, part: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        return self.images[part].to(device), self.labels[part].to(device)


def sgd(net: MultiPathNet, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """SGD on all weights of a network, none of them loaded."""
    return optimiser_of(net, TrainConfig(momentum=momentum, weight_decay=weight_decay))


def step(
    net: MultiPathNet,
    optimiser: torch.optim.Optimizer,
    batches: Mapping[str, tuple[Tensor, Tensor]],
    paths: Mapping[str, Path],
    state: DomainWeights,
    label_smoothing: float = 0.0,
    progress: float = 0.0,
    compute: Compute | None = None,
) -> dict[str, dict[str, float]]:
    """`weighted_step` on images and labels that are made already."""
    ready: Any = {d: Ready(*batch) for d, batch in batches.items()}
    compute = compute or Compute()
    return weighted_step(net, optimiser, ready, paths, state, label_smoothing, progress, compute)


def node(net: MultiPathNet, layer: int, block: str) -> nn.Module:
    """The module of a node."""
    return net.nodes[f"{layer}_{block}"]


class Stopped(Exception):
    """What `stop_at` raises."""


def stop_at(step: int) -> Any:
    """A callback that ends a stage after `step` steps, as a crash of the process would."""

    def callback(event: StepEvent) -> None:
        if event.step == step:
            raise Stopped

    return callback


_BODY = (InvertedBottleneck(3, 1), InvertedBottleneck(5, 2))


def strided_layers() -> list[Layer]:
    return [
        Layer("stem", 2, (4,), (Conv(3),)),
        Layer("a", 1, (4,), _BODY),
        Layer("b", 1, (8,), _BODY),
        Layer("c", 1, (8,), (*_BODY, None)),
        Layer("d", 1, (8,), _BODY[:1]),
    ]


def strided(resolution: int = SIZE) -> StridedSpace:
    """A stem and three layers, one of which halves the map; 3 strides x 2 x 2 x 3 blocks."""
    return StridedSpace("strided", strided_layers(), [["a"], ["b"], ["d"]], resolution)


def shrink_factored(
    monkeypatch: pytest.MonkeyPatch, stages: tuple[tuple[int, int], ...] = ((8, 2), (16, 2))
) -> None:
    """Make `FactoredSpace` small: two layers a stage, two choices for everything."""
    small = {
        "STAGES": stages,
        "LAYERS_PER_STAGE": 2,
        "KERNELS": (3, 5),
        "EXPANSIONS": (1, 2),
        "WIDTH_MULTIPLIERS": (0.5, 1.0),
    }
    for name, value in small.items():
        monkeypatch.setattr(factored, name, value)
