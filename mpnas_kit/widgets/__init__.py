"""Explorers for JupyterLab: views of what the library has computed; none of them computes itself.

Every explorer can be read and set from Python, and has a static twin, `figure()`, which is what a
report shows in its place.
"""

from mpnas_kit.widgets.domains import DomainBrowser
from mpnas_kit.widgets.monitor import SearchMonitor
from mpnas_kit.widgets.paths import PathExplorer
from mpnas_kit.widgets.prioritization import PrioritizationExplorer
from mpnas_kit.widgets.results import ResultsExplorer
from mpnas_kit.widgets.similarity import SimilarityExplorer

__all__ = [
    "DomainBrowser",
    "PathExplorer",
    "PrioritizationExplorer",
    "ResultsExplorer",
    "SearchMonitor",
    "SimilarityExplorer",
]
