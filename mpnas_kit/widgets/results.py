"""Explorer of a comparison: accuracy against cost, and accuracy by domain."""

from functools import cache, partial
from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from mpnas_kit import plots
from mpnas_kit.analysis.comparison import KEY, Comparison
from mpnas_kit.analysis.standings import of_domain, ranking
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import unknown
from mpnas_kit.plots.comparison import COSTS, kind_labels
from mpnas_kit.settings import require
from mpnas_kit.values import require_type
from mpnas_kit.widgets.focus import Focus
from mpnas_kit.widgets.matrix_view import Matrix, matrix
from mpnas_kit.widgets.scatter_view import Scatter
from mpnas_kit.widgets.table_view import DESCENDING, Table, cell, column
from mpnas_kit.widgets.view import Explorer, numbers

MEAN = "mean over domains"
OWN = "mpnas"  # the approach in the accent colour
_LOG_ABOVE = 5  # largest over smallest cost above which the axis is logarithmic at first


class ResultsExplorer(Explorer):
    """Accuracy of every approach against its cost, as points and as a table, and by domain.

    A large point is the mean over seeds, a small point is one seed, and a bar is the 95 % t
    interval over seeds. The dashed line is the Pareto front. Points and rows of the tables are
    selected together. The controls choose the cost, the split, and one domain or the mean.

    comparison: runs to show.
    focus: choice that other explorers share; None: its own. The explorer shows the domain of the
    focus, or the mean over domains if it has none.

    The property `selected` is the row of `Comparison.table` that is selected; None: none. The
    attribute `key` is its name, and can be set. An unknown name raises `MpnasError`.

    >>> results = mk.widgets.ResultsExplorer(run.compare())  # doctest: +SKIP
    >>> results.selected["approach"]  # doctest: +SKIP
    'mpnas'
    """

    alt = "accuracy of every approach against its cost"

    def __init__(self, comparison: Comparison, *, focus: Focus | None = None) -> None:
        require_type(comparison, Comparison, "ResultsExplorer: comparison")
        require(not comparison.cells.empty, "the comparison has no runs: expected at least one.")
        super().__init__("Results")
        self.comparison = comparison
        # Computed once per domain (empty: the mean), so that a click is answered at once.
        self._of = cache(lambda name: of_domain(comparison, name) if name else comparison)
        self._table_of = cache(lambda name: self._of(name).table())
        self._ranking = cache(lambda name, split: ranking(self._of(name), split))
        self._front = cache(lambda name, cost, split: self._of(name).pareto(cost, split))
        self._table = self._table_of("")
        self._labels = [label.replace("\n", " ") for label in kind_labels(self._table)]
        own = (self._table["approach"] == OWN).tolist()
        self._shapes = [own[:i].count(one) for i, one in enumerate(own)]
        self._domains = list(dict.fromkeys(comparison.domains["domain"]))
        self.focus = Focus(self._domains) if focus is None else focus
        costs = [(about, name) for name, about in COSTS.items()]
        style = {"description_width": "initial"}
        self.cost = ipywidgets.Dropdown(
            options=costs, value="parameters", description="cost", style=style
        )
        self.split = ipywidgets.Dropdown(options=["test", "val"], description="split")
        self.domain = ipywidgets.Dropdown(
            options=[(MEAN, ""), *((d, d) for d in self._domains)], description="domain"
        )
        if self.focus.domain in self._domains:
            self.domain.value = self.focus.domain
        self.plot, self.table, self.matrix = Scatter(), Table(), Matrix()
        self._when(self.cost, self._show_cost, "value")
        self._when(self.split, self._draw_all, "value")
        self._when(self.domain, self._choose_domain, "value")
        for view in (self.plot, self.table):
            self._when(view, partial(self._select_in, view), "selected")
        self._when(self.matrix, self._choose_cell, "selected")
        self.matrix.on_msg(lambda _, head, buffers: self._try(lambda: self._choose_head(head)))
        self._when(self.focus, self._follow, "domain")
        self._show_cost()
        self._draw_all()
        choices = ipywidgets.HBox([self.cost, self.split, self.domain])
        choices.add_class("mpnas-choices")
        sides = ipywidgets.Box([self.plot, self.table, self.matrix])
        sides.add_class("mpnas-sides")
        self._show(choices, sides)

    @property
    def key(self) -> str:
        """Name of the selected row, as in the table; empty: none."""
        return str(self.table.selected)

    @key.setter
    def key(self, name: str) -> None:
        if name not in ("", *self._labels):
            raise unknown("row of this comparison", name, self._labels)
        self.table.selected = name

    @property
    def selected(self) -> dict[str, Any] | None:
        """Selected row of `Comparison.table`, by column; None: no row is selected."""
        if self.key not in self._labels:
            return None
        return dict(self._table.iloc[self._labels.index(self.key)])

    def data(self) -> pd.DataFrame:
        """Return one row per approach: its accuracy as of `analysis.ranking`, and its cost."""
        shown = self._of_choice()
        rows = ranking(shown, self.split.value)
        return rows.assign(**{self.cost.value: shown.table()[self.cost.value]})

    def figure(self) -> Figure:
        """Return the figure of `plots.pareto` for the chosen cost, split and domain."""
        ax = plots.pareto(self._of_choice(), cost=self.cost.value, split=self.split.value)
        if self.domain.value:
            ax.set_ylabel(f"top-1 accuracy on the {self.split.value} split of {self.domain.value}")
            ax.set_title(f"Accuracy in {self.domain.value} against cost", fontsize=11)
        figure = ax.get_figure(root=True)
        assert figure is not None
        return figure

    def _calls(self) -> list[str]:
        usual = {"cost": "parameters", "split": "test", "domain": ""}
        lines = [
            f"results.{name}.value = {getattr(self, name).value!r}"
            for name, first in usual.items()
            if getattr(self, name).value != first
        ]
        if self.key:
            lines.append(f"results.key = {self.key!r}")
        return ["results = mk.widgets.ResultsExplorer(comparison)", *lines, "results"]

    # What is chosen ------------------------------------------------------------------------------

    def _select_in(self, view: Scatter | Table) -> None:
        self._select(view.selected)

    def _select(self, key: str) -> None:
        self.plot.selected = self.table.selected = key
        self._mark()

    def _choose_domain(self) -> None:
        if self.domain.value in ("", *self.focus.domains):
            self.focus.domain = self.domain.value
        self._draw()

    def _follow(self) -> None:
        if self.focus.domain in ("", *self._domains):
            self.domain.value = self.focus.domain

    def _choose_cell(self) -> None:
        if self.matrix.selected:
            row, index = self.matrix.selected
            self._select(self._labels[row])
            self.domain.value = self._domains[index]

    def _choose_head(self, head: dict[str, Any]) -> None:
        index = int(head["index"])
        if head["choose"] == "row":
            name = self._labels[index]
            self._select("" if self.key == name else name)
        else:
            name = self._domains[index]
            self.domain.value = "" if self.domain.value == name else name

    def _mark(self) -> None:
        """Emphasise the selected row and the chosen domain in the matrix."""
        rows = [self._labels.index(self.key)] if self.key in self._labels else []
        columns = [self._domains.index(self.domain.value)] if self.domain.value else []
        self.matrix.emphasis = {"rows": rows, "columns": columns}
        self.matrix.selected = [*rows, *columns] if rows and columns else []

    # What is shown -------------------------------------------------------------------------------

    def _of_choice(self) -> Comparison:
        return self._of(self.domain.value)

    def _show_cost(self) -> None:
        costs = self._table[self.cost.value]
        self.plot.x_log = bool(costs.max() > _LOG_ABOVE * costs.min())
        self._draw()

    def _draw_all(self) -> None:
        self._draw()
        split = self.split.value
        means = self.comparison.by_domain(split)
        labels = [label.replace("\n", " ") for label in kind_labels(means)]
        values = means[self._domains]
        # Every column has its own shades: domains differ more than approaches.
        ranges = values.max() - values.min()
        shades = ((values - values.min()) / ranges.where(ranges > 0, 1)).to_numpy()
        self.matrix.content = matrix(
            f"{split} top-1 in percent, by domain",
            labels,
            self._domains,
            shades,
            [[f"{100 * v:.1f}" for v in row] for row in values.to_numpy()],
            unit=" %",
            heads=True,
            hint=(
                f"{split} top-1 in percent, by domain. A stronger colour: better than other "
                "rows in this domain. A cell or a head chooses."
            ),
        )

    def _draw(self) -> None:
        cost, split = self.cost.value, self.split.value
        shown, name = self._of_choice(), self.domain.value
        rows, table = self._ranking(name, split), self._table_of(name)
        costs = table[cost]
        where = name or MEAN
        known = bool(costs.notna().any())
        front = self._front(name, cost, split) if known else table.head(0)
        best = {tuple(row) for row in front[list(KEY)].to_numpy().tolist()}
        lost = int(costs.isna().sum())
        runs = self._runs(shown)
        keys = [tuple(row) for row in rows[list(KEY)].to_numpy().tolist()]
        places = rows.assign(cost=costs)[["cost", "accuracy", "low", "high"]].to_numpy().tolist()
        with self.plot.hold_sync():
            self.plot.content = {
                "title": f"{split} top-1, {where}, against {COSTS[cost]}",
                "x_title": COSTS[cost],
                "y_title": f"{split} top-1, {where}",
                "note": f"Without a known cost: {lost} of {len(table)} rows." if lost else "",
                "points": [
                    {
                        **dict(zip(("x", "y", "low", "high"), numbers(ends), strict=True)),
                        "key": self._labels[i],
                        "label": self._labels[i],
                        "own": key[0] == OWN,
                        "shape": self._shapes[i],
                        "best": key in best,
                        "seeds": runs[key],
                    }
                    for i, (key, ends) in enumerate(zip(keys, places, strict=True))
                ],
                "front": [numbers(pair) for pair in front[[cost, split]].to_numpy().tolist()],
            }
        self.table.content = self._listing(rows, costs)
        if not self.table.order:
            self.table.order = [1, DESCENDING]
        self._mark()

    def _runs(self, shown: Comparison) -> dict[tuple[str, ...], list[dict[str, Any]]]:
        """Return cost, accuracy and name of every run with a known cost, by row."""
        found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        columns = [*KEY, "seed", self.cost.value, self.split.value]
        for *key, seed, x, y in shown.cells[columns].to_numpy().tolist():
            own = found.setdefault(tuple(key), [])
            if x == x:
                own.append({"x": x, "y": y, "name": f"{key[0]}, seed {seed}"})
        return found

    def _listing(self, rows: pd.DataFrame, costs: pd.Series) -> dict[str, Any]:
        listed = []
        for i, row in enumerate(rows.to_dict("records")):
            half = 100 * (row["high"] - row["low"]) / 2
            spread = "" if half != half else f" ± {half:.1f}"
            text = f"{100 * row['accuracy']:.1f}{spread}"
            about = {"low": row["low"], "high": row["high"]}
            cost = float(costs[i])
            listed.append(
                {
                    "key": self._labels[i],
                    "cells": [
                        cell(self._labels[i]),
                        cell(row["accuracy"], text, mark=row["place"], **about),
                        cell(cost, amount(cost) if cost == cost else "not known"),
                        cell(row["seeds"]),
                    ],
                }
            )
        where = self.domain.value or MEAN
        accuracy = (
            "mean over seeds, ± 95 % t interval over seeds. tie: the interval of the difference to "
            "the best holds 0"
        )
        return {
            "title": f"approaches by {self.split.value} accuracy, {where}",
            "columns": [
                column("approach", "text"),
                column(f"{self.split.value} top-1, % ({where})", about=accuracy),
                column("cost", about=str(COSTS[self.cost.value])),
                column("seeds"),
            ],
            "rows": listed,
            "search": None,
        }
