"""The settings that search and training share."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from mpnas_kit.engine.compute import Precision
from mpnas_kit.network.norms import Norm
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.prioritization.domain_weights import Prioritization
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.settings import check, repr_html, require


@dataclass(frozen=True)
class StageConfig:
    """Settings of a stage that `SearchConfig` and `TrainConfig` share.

    Raises `MpnasError` for a value of a wrong type or out of its range.
    """

    stage: ClassVar[str]

    steps: int = 1500
    """Optimiser steps, at least 1. In each, every drawn domain gives one batch."""
    batch_size: int = 32
    """Training images per domain and step, at least 2."""
    learning_rate: float = 0.1
    """Peak learning rate of the weights, above 0: linear warm-up, then cosine to 0."""
    warmup: float = 0.025
    """Share of the steps in which the learning rate rises, 0 to 1."""
    momentum: float = 0.9
    """Nesterov momentum, 0 to below 1."""
    weight_decay: float = 3e-4
    """Weight decay of kernels and matrices, at least 0. Biases and batch norms have none."""
    label_smoothing: float = 0.1
    """Share of the target that is spread evenly over all classes, 0 to below 1."""
    shift: int = 2
    """Augmentation: images move by at most so many pixels in each direction. 0: none."""
    draw_temperature: float = 0.0
    """How often a domain is drawn, at least 0: 0 in every step, 1 in proportion to its images."""
    norm: Norm = "per_domain"
    """How shared nodes normalise images of several domains: per_domain, mixed or naive."""
    private_from: int | None = None
    """Index of the first layer (stem: 0) whose weights no domain shares. None: all are shared."""
    prioritization: Annotated[Prioritization, PRIORITIZATION] = field(default_factory=ABDP)
    """Domain prioritization: how much each domain's loss counts."""
    checkpoint_every: int = 100
    """Steps from one checkpoint to the next, at least 1."""
    seed: int = 0
    """Seed of weights, batches and sampled paths, at least 0."""
    threads: int | None = None
    """Threads of torch, at least 1. None: 1 below 160 pixels per side, else torch's own number."""
    device: str | None = None
    """Name of the device in torch (cpu, cuda). None: a GPU if there is one, else the CPU."""
    precision: Precision = "float32"
    """Precision of forward and backward pass: float32, or bfloat16 by autocast."""
    micro_batches: int = 1
    """Parts of a batch, at least 1, each normalised alone. Processes of torchrun divide them."""

    def __post_init__(self) -> None:
        check(self, self.stage)
        self._at_least("steps", 1)
        self._at_least("batch_size", 2, ": batch norm needs two images")
        self._above_zero("learning_rate")
        self._within("warmup", 0, 1)
        self._below_one("momentum")
        self._below_one("label_smoothing")
        for name in ("weight_decay", "shift", "draw_temperature", "private_from", "seed"):
            self._at_least(name, 0)
        self._at_least("checkpoint_every", 1)
        self._at_least("threads", 1)
        self._at_least("micro_batches", 1)
        self._fits_micro_batches("batch_size")

    def _at_least(self, name: str, least: float, why: str = "") -> None:
        value = getattr(self, name)
        require(
            value is None or value >= least,
            f"{self.stage}: {name} must be at least {least}, not {value}{why}.",
        )

    def _above_zero(self, name: str) -> None:
        value = getattr(self, name)
        require(value > 0, f"{self.stage}: {name} must be above 0, not {value}.")

    def _below_one(self, name: str) -> None:
        value = getattr(self, name)
        require(0 <= value < 1, f"{self.stage}: {name} must be in [0, 1), not {value}.")

    def _within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        require(
            low <= value <= high, f"{self.stage}: {name} must be in [{low}, {high}], not {value}."
        )

    def _fits_micro_batches(self, name: str) -> None:
        images = getattr(self, name)
        require(
            self.micro_batches <= images // 2,
            f"{self.stage}: micro_batches must be at most {images // 2}, not {self.micro_batches}: "
            f"each part of {name} ({images}) needs at least 2 images.",
        )

    def _repr_html_(self) -> str:
        return repr_html(self)
