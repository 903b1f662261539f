"""The settings of the training stage."""

from dataclasses import dataclass
from typing import ClassVar

from mpnas_kit.engine.config import StageConfig


@dataclass(frozen=True)
class TrainConfig(StageConfig):
    """Settings of the training stage.

    Raises `MpnasError` for a value of a wrong type or out of its range.

    >>> TrainConfig(steps=600, prioritization="uniform").prioritization
    Uniform()
    """

    stage: ClassVar[str] = "train"

    average: float = 0.99
    """Decay of the moving average of the weights, 0 to below 1. The average is evaluated."""
    frozen: bool = False
    """Whether only the classifiers are trained. All other weights then stay as they start."""
    evaluate_every: int = 0
    """Steps from one evaluation on the validation split to the next. 0: only at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._below_one("average")
        self._at_least("evaluate_every", 0)
