"""Explorer of a comparison: accuracy against cost, and accuracy by domain."""

from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.comparison import KEY, Comparison
from mpnas_kit.plots.comparison import COSTS, kind_labels
from mpnas_kit.widgets.view import Chart, Explorer, Matrix, matrix, numbers


class ResultsExplorer(Explorer):
    """Mean accuracy of every approach against its cost, and its accuracy in every domain.

    A large point is the mean over seeds, a small point is one seed. The dashed line is the Pareto
    front. The controls choose the cost and the split.

    comparison: runs to show.

    The property `selected` is the row of `Comparison.table` whose point was clicked; None: none.

    >>> results = mk.widgets.ResultsExplorer(run.compare())  # doctest: +SKIP
    >>> results.selected["approach"]  # doctest: +SKIP
    'mpnas'
    """

    alt = "mean accuracy of every approach against its cost"

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("Results")
        self.comparison = comparison
        self._table = comparison.table()
        self._labels = [label.replace("\n", " ") for label in kind_labels(self._table)]
        costs = [(about, name) for name, about in COSTS.items()]
        style = {"description_width": "initial"}
        self.cost = ipywidgets.Dropdown(
            options=costs, value="parameters", description="cost", style=style
        )
        self.split = ipywidgets.Dropdown(options=["test", "val"], description="split")
        self.chart, self.matrix = Chart(), Matrix()
        for control in (self.cost, self.split):
            self._when(control, self._draw, "value")
        self._draw()
        self._show(ipywidgets.HBox([self.cost, self.split]), self.chart, self.matrix)

    @property
    def selected(self) -> dict[str, Any] | None:
        """Selected row of `Comparison.table`, by column; None: no point is selected."""
        if self.chart.selected not in self._labels:
            return None
        return dict(self._table.iloc[self._labels.index(self.chart.selected)])

    def _draw(self) -> None:
        cost, split = self.cost.value, self.split.value
        front = self.comparison.pareto(cost, split)
        best = {tuple(row) for row in front[list(KEY)].to_numpy().tolist()}
        line = {"x": numbers(front[cost]), "y": numbers(front[split])}
        series: list[dict[str, Any]] = [{"name": "Pareto front", **line, "dashed": True}]
        for label, row in zip(self._labels, self._table.to_dict("records"), strict=True):
            runs = self._runs(row)
            if len(runs) > 1:
                seeds = [f"{label}, seed {s}" for s in runs["seed"]]
                points = {"x": numbers(runs[cost]), "y": numbers(runs[split])}
                series.append(
                    {"name": label, **points, "points": True, "small": True, "labels": seeds}
                )
            mean = {"x": numbers([row[cost]]), "y": numbers([row[split]])}
            named = tuple(row[key] for key in KEY) in best
            series.append({"name": label, **mean, "points": True, "keys": [label], "named": named})
        self.chart.content = {
            "panels": [
                {"title": f"mean {split} top-1", "series": series, "percent": True, "points": True}
            ],
            "colors": {**plots.domain_colors(self._labels), "Pareto front": "#7d8590"},
            "legend": False,
            "x_title": str(COSTS[cost]),
            "x_log": bool(self._table[cost].max() > 5 * self._table[cost].min()),
        }
        means = self.comparison.by_domain(split)
        domains = list(means.columns[len(KEY) :])
        labels = [label.replace("\n", " ") for label in kind_labels(means)]
        values = means[domains].to_numpy(dtype=float)
        texts = [[f"{100 * v:.1f}" for v in row] for row in values]
        title = f"{split} top-1 in percent, by domain"
        self.matrix.content = matrix(title, labels, domains, values, texts)

    def _runs(self, row: dict[Any, Any]) -> pd.DataFrame:
        cells = self.comparison.cells
        same = [cells[key] == row[key] for key in KEY]
        return cells[same[0] & same[1] & same[2]]

    def figure(self) -> Figure:
        """Return the figure of `plots.pareto` for the chosen cost and split."""
        drawn = plots.pareto(self.comparison, cost=self.cost.value, split=self.split.value)
        figure = drawn.get_figure(root=True)
        assert figure is not None
        return figure
