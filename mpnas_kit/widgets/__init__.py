"""Explorers for JupyterLab: interactive views of results. None of them computes results itself.

`explore` shows all of them as one app. Every explorer can be read and set from Python. Its method
`figure()` returns a static figure, which a report shows in its place.
"""

from mpnas_kit.widgets.app import App, explore
from mpnas_kit.widgets.domains import DomainBrowser
from mpnas_kit.widgets.focus import Focus, Selected
from mpnas_kit.widgets.monitor import SearchMonitor, TrainMonitor, watch
from mpnas_kit.widgets.paths import PathExplorer
from mpnas_kit.widgets.prioritization import PrioritizationExplorer
from mpnas_kit.widgets.results import ResultsExplorer
from mpnas_kit.widgets.similarity import SimilarityExplorer

__all__ = [
    "App",
    "DomainBrowser",
    "Focus",
    "PathExplorer",
    "PrioritizationExplorer",
    "ResultsExplorer",
    "SearchMonitor",
    "Selected",
    "SimilarityExplorer",
    "TrainMonitor",
    "explore",
    "watch",
]
