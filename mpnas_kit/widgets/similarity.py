"""Explorer of the similarity of paths: the Jaccard matrix, and two paths side by side."""

import html

import ipywidgets
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.similarity import clustered, jaccard_matrix
from mpnas_kit.search.result import SearchResult
from mpnas_kit.widgets.paths import PathExplorer
from mpnas_kit.widgets.view import Explorer, Matrix, matrix


class SimilarityExplorer(Explorer):
    """The Jaccard similarity of every two domains' paths. A cell opens its two paths.

    Similar domains are neighbours in the matrix.

    found: result of a search.

    The attribute `similarity` is the `analysis.Similarity` that is shown. The property `selected`
    has the two domains of the selected cell; None: no cell is selected.

    >>> mk.widgets.SimilarityExplorer(found).selected is None
    True
    """

    alt = "Jaccard similarity of every two domains' paths"

    def __init__(self, found: SearchResult) -> None:
        super().__init__("Similarity")
        self.similarity = jaccard_matrix(found.space, found.paths)
        self._order = clustered(self.similarity)
        values = self.similarity.matrix.loc[self._order, self._order].to_numpy()
        texts = [[f"{v:.2f}" for v in row] for row in values]
        self.matrix = Matrix(content=matrix(self.alt, self._order, self._order, values, texts))
        self.paths = PathExplorer(found.space, [found.paths])
        self._when(self.matrix, self._open, "selected")
        note = ipywidgets.HTML(f'<p class="mpnas">{html.escape(self.chance())}</p>')
        self._show(note, self.matrix, self.paths)

    def chance(self) -> str:
        """Return the mean similarity, and that of random paths, in words."""
        found = self.similarity
        return (
            f"Mean over pairs: {found.mean:.2f}. Random paths: {found.random_value:.2f}. Random "
            f"paths of the same costs: {found.matched_value:.2f} ± {found.matched_spread:.2f}. "
            "Select a cell to see its two paths side by side."
        )

    @property
    def selected(self) -> tuple[str, str] | None:
        """The two domains of the selected cell; None: no cell is selected."""
        if not self.matrix.selected:
            return None
        row, column = self.matrix.selected
        return self._order[row], self._order[column]

    def _open(self) -> None:
        pair = self.selected
        self.paths.compare = list(pair) if pair is not None and pair[0] != pair[1] else []

    def figure(self) -> Figure:
        """Return the figure of `plots.jaccard`, with similar domains as neighbours."""
        figure = plots.jaccard(self.similarity, cluster=True).get_figure(root=True)
        assert figure is not None
        return figure

    def rehearse(self) -> None:
        """Select every cell of the first row, then none."""
        for column in range(len(self._order)):
            self.matrix.selected = [0, column]
        self.matrix.selected = []
