"""The domain prioritizations that a config takes, by their text names."""

from mpnas_kit.prioritization.abdp import ABDP, Boosted, DynamicTaskPriority, Uniform
from mpnas_kit.prioritization.scalarizers import (
    DWA,
    FAMO,
    GeometricMean,
    RandomWeights,
    Uncertainty,
)

Prioritization = (
    ABDP
    | Uniform
    | Boosted
    | Uncertainty
    | DWA
    | DynamicTaskPriority
    | RandomWeights
    | FAMO
    | GeometricMean
)
