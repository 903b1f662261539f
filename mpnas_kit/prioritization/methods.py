"""The prioritizations of the kit, by their names in text."""

from typing import Any

from mpnas_kit.parts import Kind, by_text_name, lacks_attributes
from mpnas_kit.prioritization.abdp import ABDP, Boosted, DynamicTaskPriority, Uniform
from mpnas_kit.prioritization.scalarizers import (
    DWA,
    FAMO,
    GeometricMean,
    RandomWeights,
    Uncertainty,
)


def _lacks(value: Any) -> str | None:
    """Return what `value` lacks to be a prioritization."""
    return lacks_attributes(value, "begin(tasks, seed)")


PRIORITIZATION = Kind(
    "prioritization",
    by_text_name(
        ABDP,
        Uniform,
        Boosted,
        Uncertainty,
        DWA,
        DynamicTaskPriority,
        RandomWeights,
        FAMO,
        GeometricMean,
    ),
    _lacks,
)
