"""All explorers of one run as one app: what is chosen in one of them is chosen in all."""

import pathlib
from collections.abc import Callable
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from mpnas_kit.engine.loop import Callback
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.runs.run import Run, StageName
from mpnas_kit.runs.watching import Watch
from mpnas_kit.space.layers import Path
from mpnas_kit.widgets.domains import DomainBrowser
from mpnas_kit.widgets.focus import Focus, FocusBar, Selected
from mpnas_kit.widgets.monitor import SearchMonitor, TrainMonitor, watch
from mpnas_kit.widgets.paths import PathExplorer
from mpnas_kit.widgets.prioritization import PrioritizationExplorer
from mpnas_kit.widgets.results import ResultsExplorer
from mpnas_kit.widgets.similarity import SimilarityExplorer
from mpnas_kit.widgets.view import Explorer, Twin

TABS, GRID = "tabs", "side by side"


class App(Twin, ipywidgets.VBox):  # type: ignore[misc]
    """All explorers of a run, in tabs or side by side. `mk.explore` makes it.

    What is chosen in one explorer (a domain, two domains, a node, a step) is chosen in all. An
    explorer is made when its tab is opened. If a stage is not finished, its tab shows it live if
    another process computes it; otherwise `finish` computes it.

    run: run to explore.

    `app["paths"]` is an explorer; the names are search, paths, similarity, training,
    prioritization, results and images. The attribute `focus` has what is chosen and can be set;
    `selected` is its value. The attribute `arrangement` chooses tabs or side by side.

    >>> app = mk.explore(run)  # doctest: +SKIP
    >>> app.focus.domain = "digits"  # doctest: +SKIP
    >>> app.selected.domain  # doctest: +SKIP
    'digits'
    """

    alt = "the explorer in the open tab"

    def __init__(self, run: Run) -> None:
        self.run = run
        self.focus = Focus(list(run.domains), run.search_space)
        self.explorers: dict[str, Explorer] = {}
        self.arrangement = ipywidgets.ToggleButtons(options=[TABS, GRID])
        self._boxes = {name: ipywidgets.VBox() for name in _MAKERS}
        titles = [name.capitalize() for name in _MAKERS]
        self._tabs = ipywidgets.Tab(list(self._boxes.values()), titles=titles)
        self._grid = ipywidgets.VBox()
        self._grid.add_class("mpnas-grid")
        self._above = [FocusBar(self.focus), self.arrangement]
        super().__init__([*self._above, self._tabs])
        self.add_class("mpnas-app")
        first = "search" if run.searches and not run.finished("search") else "paths"
        self._tabs.selected_index = list(_MAKERS).index(first)
        self._fill()
        self._tabs.observe(lambda change: self._fill(), "selected_index")
        self.arrangement.observe(lambda change: self._arrange(), "value")

    # What is chosen -------------------------------------------------------------------------------

    @property
    def selected(self) -> Selected:
        """What is chosen in all explorers."""
        return self.focus.selected

    @property
    def paths(self) -> dict[str, Path]:
        """Path of every domain, with the moves made in the explorer of paths.

        A run beside this one trains them: `run.sibling("runs/edited").train(paths=app.paths)`.

        Raises `MpnasError` if the run has no paths yet.
        """
        explorer = self["paths"]
        assert isinstance(explorer, PathExplorer)
        return dict(explorer.paths)

    def __getitem__(self, name: str) -> Explorer:
        """Return an explorer by its name.

        Raises `MpnasError` if there is no such explorer, or if the run has not computed yet what it
        shows.
        """
        if name not in _MAKERS:
            raise unknown("explorer", name, _MAKERS)
        if name not in self.explorers:
            make, define = _MAKERS[name]
            self.explorers[name] = explorer = make(self.run, self.focus)
            trust = ", trust=True" if self.run.trust else ""
            opened = f"run = mk.Run({str(self.run.folder)!r}{trust})"
            explorer.preamble = ["import mpnas_kit as mk", opened, *define(self.run)]
            self._boxes[name].children = [explorer]
        return self.explorers[name]

    # Stages that are not finished -----------------------------------------------------------------

    async def finish(self) -> None:
        """Compute the stages that are not finished, while the buttons of their views work.

        A stage that another process computes is awaited.

        Raises `MpnasError` if a stage is stopped or fails.
        """
        search, training = self.run.search, self.run.train
        if self.run.searches:
            await self._finished("search", lambda callback: search(callbacks=[callback]))
        await self._finished("training", lambda callback: training(callbacks=[callback]))

    async def _finished(self, name: str, compute: Callable[[Callback], Any]) -> None:
        monitor = self[name]
        assert isinstance(monitor, SearchMonitor | TrainMonitor)
        if not self.run.finished(monitor.stage):
            if monitor.controls.state != "running":
                monitor.start(compute)
            await monitor.wait()
        self._fill()

    # Display --------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Make what is in view: the explorer of the open tab, or all of them.

        In the place of an explorer that has nothing to show yet stands the reason.
        """
        names = list(_MAKERS)
        if self.arrangement.value == TABS:
            names = [names[self._tabs.selected_index or 0]]
        for name in names:
            try:
                _ = self[name]
            except MpnasError as error:
                self._boxes[name].children = [ipywidgets.Label(str(error))]

    def _arrange(self) -> None:
        """Show the explorers in tabs or side by side."""
        boxes, grid = list(self._boxes.values()), self.arrangement.value == GRID
        at = self._tabs.selected_index or 0
        self._tabs.children, self._grid.children = ([], boxes) if grid else (boxes, [])
        if not grid:
            self._tabs.titles = [name.capitalize() for name in _MAKERS]
            self._tabs.selected_index = at
        self.children = [*self._above, self._grid if grid else self._tabs]
        self._fill()

    def figure(self) -> Figure | None:
        """Return the figure of the explorer in the open tab; None: it has none yet."""
        explorer = self.explorers.get(list(_MAKERS)[self._tabs.selected_index or 0])
        return None if explorer is None else explorer.figure()

    def rehearse(self) -> None:
        """Open every explorer, set its controls as a person would, and choose nothing again.

        Explorers of a search are left out if the run has none. An error in a callback is raised
        here, so that an automatic run of a notebook fails.
        """
        for name in _MAKERS:
            if _has_search(self.run) or name not in _OF_SEARCH:
                self[name].rehearse()
        self.focus.clear()


def explore(run: Run | str | pathlib.Path) -> App:
    """Return all explorers of a run as one app.

    run: run, or path of a run folder. Modules that the folder names are not imported; for those,
    give `mk.Run(folder, trust=True)`.

    Raises `MpnasError` if the folder has no run.

    >>> mk.explore("runs/mine")  # doctest: +SKIP
    """
    return App(run if isinstance(run, Run) else Run.read(run))


def _has_search(run: Run) -> bool:
    """Return whether the paths of a run come from a search, its own or that of another run."""
    return run.searches or run.description.search_from is not None


def _search(run: Run, focus: Focus) -> Explorer:
    if not run.searches or run.finished("search"):
        return SearchMonitor.of(run.search_result(), focus=focus)
    if _computed_elsewhere(run, "search"):
        return watch(run, "search", focus=focus)
    config = run.search_config()
    return SearchMonitor(run.search_space, run.search_domains, config=config, focus=focus)


def _paths(run: Run, focus: Focus) -> Explorer:
    if _has_search(run):
        return PathExplorer.of(run.search_result(), focus=focus)
    return PathExplorer(run.space, [run.paths()], focus=focus)


def _training(run: Run, focus: Focus) -> Explorer:
    if run.finished("train"):
        return TrainMonitor.of(run.train_result(), focus=focus)
    if _computed_elsewhere(run, "train"):
        return watch(run, "train", focus=focus)
    return TrainMonitor(run.domains, focus=focus)


def _images(run: Run, focus: Focus) -> Explorer:
    trained = run.train_result() if run.finished("train") else None
    return DomainBrowser(run.suite, trained, focus=focus)


def _computed_elsewhere(run: Run, stage: StageName) -> bool:
    return run.begun(stage) and Watch(run, stage).poll().state == "running"


def _found(run: Run) -> list[str]:
    return ["found = run.search_result()"]


def _trained(run: Run) -> list[str]:
    return ["trained = run.train_result()"]


def _paths_of(run: Run) -> list[str]:
    return _found(run) if _has_search(run) else ["space, paths = run.space, run.paths()"]


def _images_of(run: Run) -> list[str]:
    return ["suite = run.suite", *(_trained(run) if run.finished("train") else [])]


_OF_SEARCH = ("search", "similarity")
_MAKERS: dict[str, tuple[Callable[[Run, Focus], Explorer], Callable[[Run], list[str]]]] = {
    "search": (_search, _found),  # what makes the explorer, and the lines that its code needs
    "paths": (_paths, _paths_of),
    "similarity": (lambda r, f: SimilarityExplorer(r.search_result(), focus=f), _found),
    "training": (_training, _trained),
    "prioritization": (lambda r, f: PrioritizationExplorer(r.train_result(), focus=f), _trained),
    "results": (
        lambda r, f: ResultsExplorer(r.compare(), focus=f),
        lambda r: ["comparison = run.compare()"],
    ),
    "images": (_images, _images_of),
}
