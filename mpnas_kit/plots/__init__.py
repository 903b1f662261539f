"""Figures. Each function draws a result into `ax`, or a new figure, and returns the Axes."""

from mpnas_kit.plots.bars import accuracy_bars, cost_bars, size_bars
from mpnas_kit.plots.curves import search_curves, training_curves
from mpnas_kit.plots.path_graph import path_graph
from mpnas_kit.plots.policy import policy_heatmap, policy_over_time
from mpnas_kit.plots.similarity import jaccard
from mpnas_kit.plots.spread import path_spread
from mpnas_kit.plots.style import TRANSPARENT, domain_colors

__all__ = [
    "TRANSPARENT",
    "accuracy_bars",
    "cost_bars",
    "domain_colors",
    "jaccard",
    "path_graph",
    "path_spread",
    "policy_heatmap",
    "policy_over_time",
    "search_curves",
    "size_bars",
    "training_curves",
]
