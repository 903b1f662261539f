"""How alike the domains' paths are, beside chance; two of them side by side."""

import html

import ipywidgets
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.similarity import clustered, jaccard_matrix
from mpnas_kit.search.result import SearchResult
from mpnas_kit.widgets.paths import PathExplorer
from mpnas_kit.widgets.view import Explorer, Matrix, matrix


class SimilarityExplorer(Explorer):
    """The Jaccard matrix, similar domains side by side; a cell opens the two paths.

    similarity: the `Similarity` behind it. selected: the two domains of the cell, or None.
    """

    alt = "Jaccard similarity of every two domains' paths"

    def __init__(self, found: SearchResult) -> None:
        super().__init__()
        self.similarity = jaccard_matrix(found.space, found.paths)
        self._order = clustered(self.similarity)
        values = self.similarity.matrix.loc[self._order, self._order].to_numpy()
        texts = [[f"{v:.2f}" for v in row] for row in values]
        self.matrix = Matrix(content=matrix(self.alt, self._order, self._order, values, texts))
        self.paths = PathExplorer(found.space, [found.paths])
        self._when(self.matrix, self._open, "selected")
        told = ipywidgets.HTML(f'<p class="mpnas">{html.escape(self.chance())}</p>')
        self._show(told, self.matrix, self.paths)

    def chance(self) -> str:
        """What random paths would have, in a sentence."""
        found = self.similarity
        return (
            f"Mean over pairs {found.mean:.2f}; random paths {found.random_value:.2f}, random "
            f"paths of the same costs {found.matched_value:.2f} ± {found.matched_spread:.2f}. "
            "Choose a cell to see the two paths side by side."
        )

    @property
    def selected(self) -> tuple[str, str] | None:
        """The domains of the chosen cell."""
        if not self.matrix.selected:
            return None
        row, column = self.matrix.selected
        return self._order[row], self._order[column]

    def _open(self) -> None:
        pair = self.selected
        self.paths.compare = list(pair) if pair is not None and pair[0] != pair[1] else []

    def figure(self) -> Figure:
        """As `plots.jaccard`."""
        figure = plots.jaccard(self.similarity, cluster=True).get_figure(root=True)
        assert figure is not None
        return figure

    def rehearse(self) -> None:
        """Choose every cell of the first row, then none."""
        for column in range(len(self._order)):
            self.matrix.selected = [0, column]
        self.matrix.selected = []
