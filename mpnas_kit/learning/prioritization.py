"""The domain prioritizations that a config takes, by their text names."""

from mpnas_kit.learning.abdp import ABDP, Boosted, DynamicTaskPriority, Uniform
from mpnas_kit.learning.scalarizers import DWA, FAMO, GeometricMean, RandomWeights, Uncertainty

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
