"""Explorer of the similarity of paths: the Jaccard matrix, and two paths side by side."""

import math
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.similarity import clustered, jaccard_matrix, similarities
from mpnas_kit.search.result import SearchResult
from mpnas_kit.values import require_type
from mpnas_kit.widgets.focus import Focus
from mpnas_kit.widgets.matrix_view import Matrix, matrix
from mpnas_kit.widgets.paths import PathExplorer
from mpnas_kit.widgets.view import Explorer


class SimilarityExplorer(Explorer):
    """The Jaccard similarity of every two domains' paths. A cell opens its two paths.

    Similar domains are neighbours in the matrix. Below a value is its excess over chance: over the
    mean similarity of random paths that cost as much as the paths at the end of the search. At an
    earlier step of the search, the matrix has the paths of that step.

    found: result of a search.
    focus: choice that other explorers share; None: its own. The explorer shows its pair, its
    domain and its step of the search.

    The attribute `similarity` is the `analysis.Similarity` of the end of the search, `shown` the
    matrix that is shown. The property `selected` has the two domains of the selected cell; None: no
    cell is selected.

    >>> mk.widgets.SimilarityExplorer(found).selected is None
    True
    """

    alt = "Jaccard similarity of every two domains' paths"

    def __init__(self, found: SearchResult, *, focus: Focus | None = None) -> None:
        require_type(found, SearchResult, "SimilarityExplorer: found")
        super().__init__("Similarity")
        self.found = found
        self.focus = Focus(list(found.paths), found.space) if focus is None else focus
        self.similarity = jaccard_matrix(found.space, found.paths)
        self._order = clustered(self.similarity)
        self._scale = self._limits()
        self._at: int | None = None
        self.matrix = Matrix()
        self.paths = PathExplorer.of(found, focus=self.focus, bar=False)
        self._when(self.matrix, self._open, "selected")
        self.matrix.on_msg(lambda _, head, buffers: self._try(lambda: self._choose_head(head)))
        self._when(self.focus, self._follow_pair, "pair", "domain")
        self._when(self.focus, self._follow_step, "search_step")
        self._follow_step()
        self._follow_pair()
        self._show(self.matrix, self.paths)

    def chance(self) -> str:
        """Return the mean similarity, and that of random paths, in words."""
        found = self.similarity
        return (
            f"Mean over pairs: {self._mean():.2f}. Random paths: {found.random_value:.2f}. Random "
            f"paths of the same costs: {found.matched_value:.2f} ± {found.matched_spread:.2f}. "
            "Small numbers: above or below chance, which is that of the same costs. Select a cell "
            "to see its two paths side by side."
        )

    @property
    def selected(self) -> tuple[str, str] | None:
        """The two domains of the selected cell; None: no cell is selected."""
        row, column = self.matrix.selected or (0, 0)
        return None if row == column else (self._order[row], self._order[column])

    def data(self) -> pd.DataFrame:
        """Return one row per pair of domains: first, second, similarity and excess over chance."""
        shown = self.shown
        upper = np.triu(np.ones(shown.shape, dtype=bool), 1)
        rows, columns = upper.nonzero()
        values = shown.to_numpy()[rows, columns]
        table = pd.DataFrame({"first": shown.index[rows], "second": shown.columns[columns]})
        return table.assign(similarity=values, excess=values - self.similarity.matched_value)

    def figure(self) -> Figure:
        """Return the figure of `plots.jaccard` for the matrix that is shown."""
        shown = replace(self.similarity, matrix=self.shown)
        figure = plots.jaccard(shown).get_figure(root=True)
        assert figure is not None
        return figure

    def rehearse(self) -> None:
        """Select every cell of the first row, then none."""
        for column in range(1, len(self._order)):
            self.matrix.selected = [0, column]
        self.matrix.selected = []

    def _calls(self) -> list[str]:
        names = ["pair", "domain", "search_step"]
        lines = self.focus.code("similarity", names, list(self.found.paths))
        return ["similarity = mk.widgets.SimilarityExplorer(found)", *lines, "similarity"]

    # What is chosen ------------------------------------------------------------------------------

    def _open(self) -> None:
        pair = self.selected or ()
        if set(pair) <= set(self.focus.domains):
            self.focus.pair = pair

    def _follow_pair(self) -> None:
        pair, domain = self.focus.pair, self.focus.domain
        known = bool(pair) and set(pair) <= set(self._order)
        if set(pair) != set(self.selected or ()):
            self.matrix.selected = [self._order.index(d) for d in pair] if known else []
        on = [self._order.index(domain)] if domain in self._order else []
        self.matrix.emphasis = {"rows": on, "columns": on}

    def _choose_head(self, head: dict[str, Any]) -> None:
        name = self._order[int(head["index"])]
        if name in self.focus.domains:
            self.focus.domain = "" if self.focus.domain == name else name

    # What is shown -------------------------------------------------------------------------------

    def _follow_step(self) -> None:
        """Show the last snapshot up to the step of the focus."""
        step, steps = self.focus.search_step, self.found.policy_steps
        last = len(steps) - 1
        at = last if step is None else max(0, bisect_right(steps, step) - 1)
        if at != self._at:
            self._at = at
            paths = self.found.paths_at(at)
            of_step = similarities(self.found.space, paths) if at < last else self.similarity.matrix
            self.shown = of_step.loc[self._order, self._order]
            self._draw()

    def _mean(self) -> float:
        values = self.shown.to_numpy()[~np.eye(len(self._order), dtype=bool)]
        return float(values.mean()) if len(values) else float("nan")

    def _limits(self) -> tuple[float, float]:
        """Return the similarities at the ends of the colours: tenths around what is shown last."""
        values = [*self.similarity.table()["similarity"], self.similarity.matched_value]
        return math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10

    def _draw(self) -> None:
        low, high = self._scale
        values = self.shown.to_numpy(copy=True)
        np.fill_diagonal(values, np.nan)
        chance = self.similarity.matched_value
        steps = self.found.policy_steps
        assert self._at is not None
        when = "" if self._at == len(steps) - 1 else f"After step {steps[self._at]:,}. "
        self.matrix.content = matrix(
            self.alt,
            self._order,
            self._order,
            (values - low) / max(high - low, 1e-9),
            [["" if v != v else f"{v:.2f}" for v in row] for row in values],
            [["" if v != v else f"{v - chance:+.2f}" for v in row] for row in values],
            heads=True,
            small=len(self._order) > 20,
            hint=f"{when}{self.chance()}",
            scale={
                "title": f"colours of similarities; chance is {chance:.2f}",
                "low": low,
                "high": high,
                "texts": [f"{low:.1f}", f"{high:.1f}"],
                "marks": [{"value": chance, "text": f"chance {chance:.2f}"}],
            },
        )
