"""The settings of the training stage."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from mpnas_kit.engine.config import StageConfig
from mpnas_kit.settings import require
from mpnas_kit.values import Range

FrozenNorms = Literal["measured", "tuned", "start"]


@dataclass(frozen=True)
class TrainConfig(StageConfig):
    """Settings of the training stage.

    Raises `MpnasError` for a value of a wrong type or out of its range.

    >>> TrainConfig(steps=600, prioritization="uniform").prioritization
    Uniform()
    """

    stage: ClassVar[str] = "train"

    average: Annotated[float, Range(0, 1, below=True)] = 0.99
    """Decay of the moving average of the weights. The average is evaluated."""
    frozen: bool = False
    """Whether only the classifiers are trained. All other weights then stay as they start."""
    collapse: bool = False
    """Whether nodes of a layer that differ only in size share one set of weights."""
    frozen_norms: FrozenNorms = "measured"
    """With frozen, batch norms: measured on images, tuned (trained as well), or of the start."""
    evaluate_every: Annotated[int, Range(0, 10_000_000)] = 0
    """Steps from one evaluation on the validation split to the next. 0: only at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.frozen or self.frozen_norms == "measured",
            f"train: frozen_norms {self.frozen_norms!r} is for frozen weights: expected "
            "frozen=True, or no frozen_norms.",
        )
