"""Figures: each function draws one result into `ax`, or into a new figure, and returns the Axes.

A domain has the same colour in all figures of a run. No function opens a window or changes
matplotlib's settings.
"""

from mpnas_kit.plots.accuracy import accuracy_dots
from mpnas_kit.plots.answer import size_and_accuracy
from mpnas_kit.plots.bars import cost_bars, size_bars
from mpnas_kit.plots.comparison import approach_dots, domain_dots, pareto
from mpnas_kit.plots.curves import search_course, search_curves, training_course, training_curves
from mpnas_kit.plots.devices import scaling_curves
from mpnas_kit.plots.domains import samples, suite_sizes
from mpnas_kit.plots.graph import path_graph
from mpnas_kit.plots.latency import latency_scatter
from mpnas_kit.plots.pair import two_paths
from mpnas_kit.plots.policy import policies, policy_heatmap, policy_over_time
from mpnas_kit.plots.predicted_images import probabilities, worst_mistakes
from mpnas_kit.plots.prioritization import (
    prioritization_dots,
    prioritization_heatmap,
    weights_and_difficulties,
)
from mpnas_kit.plots.recalls import class_recalls
from mpnas_kit.plots.similarity import jaccard
from mpnas_kit.plots.spread import path_spread, path_spreads
from mpnas_kit.plots.style import TRANSPARENT, domain_colors, domain_variables
from mpnas_kit.plots.suite_facts import class_counts, class_samples, copy_pairs, original_sizes
from mpnas_kit.plots.transfer import agreement_by_layer, transfer_matrix, transfer_scatter
from mpnas_kit.plots.trust import trust_scatter

__all__ = [
    "TRANSPARENT",
    "accuracy_dots",
    "agreement_by_layer",
    "approach_dots",
    "class_counts",
    "class_recalls",
    "class_samples",
    "copy_pairs",
    "cost_bars",
    "domain_dots",
    "domain_colors",
    "domain_variables",
    "jaccard",
    "latency_scatter",
    "worst_mistakes",
    "original_sizes",
    "pareto",
    "path_graph",
    "path_spread",
    "path_spreads",
    "policies",
    "policy_heatmap",
    "policy_over_time",
    "samples",
    "scaling_curves",
    "search_course",
    "search_curves",
    "size_and_accuracy",
    "size_bars",
    "suite_sizes",
    "training_course",
    "training_curves",
    "transfer_matrix",
    "transfer_scatter",
    "trust_scatter",
    "two_paths",
    "prioritization_dots",
    "prioritization_heatmap",
    "probabilities",
    "weights_and_difficulties",
]
