"""The settings that search and training share."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from mpnas_kit.engine.compute import Precision
from mpnas_kit.kernels.library import Kernels
from mpnas_kit.network.norms import Norm
from mpnas_kit.prioritization.abdp import ABDP
from mpnas_kit.prioritization.domain_weights import Prioritization
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.settings import check, repr_html, require
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.values import SEED, Range

Optimiser = Literal["sgd", "adamw"]


@dataclass(frozen=True)
class StageConfig:
    """Settings of a stage that `SearchConfig` and `TrainConfig` share.

    Raises `MpnasError` for a value of a wrong type or out of its range.
    """

    stage: ClassVar[str]

    steps: Annotated[int, Range(1, 10_000_000)] = 1500
    """Optimiser steps. In each, every drawn domain gives one batch."""
    batch_size: Annotated[int, Range(2, 1_000_000)] = 32
    """Training images per domain and step. Batch norm needs two."""
    learning_rate: Annotated[float, Range(0, 1_000_000, above=True)] = 0.1
    """Peak learning rate of the weights: linear warm-up, then cosine to 0."""
    loaded_rate: Annotated[float, Range(0, 1000)] = 0.1
    """Learning rate of weights that a start gives, as a share of learning_rate. 0: they stay."""
    warmup: Annotated[float, Range(0, 1)] = 0.025
    """Share of the steps in which the learning rate rises."""
    optimiser: Optimiser = "sgd"
    """sgd (Nesterov), or adamw, with learning rates near 0.001: often better from a start."""
    momentum: Annotated[float, Range(0, 1, below=True)] = 0.9
    """Nesterov momentum; the first beta of adamw."""
    weight_decay: Annotated[float, Range(0, 1000)] = 3e-4
    """Weight decay of kernels and matrices. Biases and batch norms have none."""
    label_smoothing: Annotated[float, Range(0, 1, below=True)] = 0.1
    """Share of the target that is spread evenly over all classes."""
    shift: Annotated[int, Range(0, 1024)] = 2
    """Augmentation: images move by at most so many pixels in each direction. 0: none."""
    draw_temperature: Annotated[float, Range(0, 100)] = 0.0
    """How often a domain is drawn: 0 in every step, 1 in proportion to its images."""
    norm: Norm = "per_domain"
    """How shared nodes normalise images of several domains: per_domain, mixed or naive."""
    private_until: Annotated[int, Range(0, 10_000)] = 0
    """Index of the first layer whose weights domains may share (stem: 0). 0: all layers."""
    private_from: Annotated[int | None, Range(0, 10_000)] = None
    """Index of the first layer (stem: 0) whose weights no domain shares. None: all are shared."""
    prioritization: Annotated[Prioritization, PRIORITIZATION] = field(default_factory=ABDP)
    """Domain prioritization: how much each domain's loss counts."""
    checkpoint_every: Annotated[int, Range(1, 10_000_000)] = 100
    """Steps from one checkpoint to the next."""
    seed: Annotated[int, SEED] = 0
    """Seed of weights, batches and sampled paths."""
    threads: Annotated[int | None, Range(1, 1024)] = None
    """Threads. None: torch's own number; with eager kernels 1 below 160 pixels per side."""
    device: str | None = None
    """Name of the device in torch (cpu, cuda). None: a GPU if there is one, else the CPU."""
    precision: Precision = "float32"
    """Precision of forward and backward pass: float32, or bfloat16 by autocast."""
    kernels: Kernels = "auto"
    """What computes: native (compiled kernels), eager (torch), or auto (native if possible)."""
    micro_batches: Annotated[int, Range(1, 500_000)] = 1
    """Parts of a batch, each normalised alone. Processes of torchrun divide them."""
    memory_budget: Annotated[int | None, Range(1, 10_000_000)] = None
    """Memory for the feature maps of a step, in MB. None: as much as all domains together need."""

    def __post_init__(self) -> None:
        check(self, self.stage)
        self._fits_micro_batches("batch_size")
        require(
            self.norm != "mixed" or self.memory_budget is None,
            f"{self.stage}: norm 'mixed' normalises all images of a step together, so that a step "
            "cannot be divided: expected memory_budget None, or another norm.",
        )

    @property
    def private(self) -> PrivateLayers:
        """The layers in which each domain has nodes of its own."""
        return PrivateLayers(self.private_until, self.private_from)

    def _fits_micro_batches(self, name: str) -> None:
        images = getattr(self, name)
        require(
            self.micro_batches <= images // 2,
            f"{self.stage}: micro_batches must be at most {images // 2}, not {self.micro_batches}: "
            f"each part of {name} ({images}) needs at least 2 images.",
        )

    def _repr_html_(self) -> str:
        return repr_html(self)
