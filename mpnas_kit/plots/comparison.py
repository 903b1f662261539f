"""Finished runs side by side: accuracy by approach, by domain, and against cost."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mpnas_kit.analysis.comparison import KEY, NO_PRIORITIZATION, Comparison, Split
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.plots.bars import named_rows, values_beside
from mpnas_kit.plots.labels import label_points

COSTS = {
    "parameters": "parameters without batch norm and classifiers",
    "parameters_all": "parameters",
    "per_image": "multiply-adds per image, mean over domains",
    "union": "multiply-adds of the union",
    "n_images": "multiply-adds of one image per domain",
    "bytes": "bytes of the weights",
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "*")  # one fewer than colours
_LOG_ABOVE = 5  # largest over smallest cost above which the axis is logarithmic


@style.literal
def approach_bars(comparison: Comparison, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the mean accuracy over domains as bars, one per approach, prioritization and norm.

    With several seeds, a bar is the mean over seeds, a dot is one seed, and a line is one standard
    deviation over seeds. A row is named by what differs between the rows.

    comparison: runs to draw, in the order of `Comparison.table`.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if there are no runs or the split is unknown.
    """
    table = _table(comparison)
    if split not in ("val", "test"):
        raise unknown("split", split, ("val", "test"))
    runs = comparison.cells.groupby(list(KEY), sort=False)
    means, spreads = runs[split].mean().to_numpy(), runs[split].std().to_numpy()
    labels = kind_labels(table)
    looks = _looks(labels)
    ax = named_rows(ax, labels)
    positions = np.arange(len(labels))
    ax.barh(positions, means, color=[looks[x]["color"] for x in labels], height=0.72)
    texts = [f"{mean:.1%}" for mean in means]
    if table["seeds"].max() > 1:
        lower = positions + 0.18
        thin: dict[str, Any] = {"fmt": "none", "ecolor": style.ink(), "elinewidth": 1.2}
        ax.errorbar(means, lower, xerr=spreads, capsize=2.5, **thin)
        seeds = runs.ngroup().to_numpy() - 0.14
        ax.scatter(comparison.cells[split], seeds, s=15, linewidths=0.7, zorder=4, **_ON_BARS)
        texts = [
            text if np.isnan(spread) else f"{text} \N{PLUS-MINUS SIGN} {100 * spread:.1f}"
            for text, spread in zip(texts, spreads, strict=True)
        ]
    values_beside(ax, texts)
    ax.set(xlim=(0, 1), xlabel=f"top-1 accuracy on the {split} split, mean over domains")
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(style.percent())
    ax.set_title(
        titled("Mean accuracy", comparison, "dot: one seed; line: standard deviation over seeds"),
        fontsize=11,
    )
    return ax


@style.literal
def domain_bars(comparison: Comparison, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the accuracy of every domain (rows), one mark per approach, prioritization and norm.

    A mark is the mean over seeds. With several seeds, the line through it is one standard deviation
    over seeds. The marks of a domain stand below each other in the order of the legend.

    comparison: runs to draw.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if there are no runs or the split is unknown.
    """
    table = _table(comparison)
    means = comparison.by_domain(split)
    domains = list(means.columns[len(KEY) :])
    labels = kind_labels(means)
    looks, count = _looks(labels), len(labels)
    ax = style.axes(ax, 8.0, 1.2 + len(domains) * (0.12 + max(0.12, 0.083 * count)))
    named_rows(ax, domains)
    rows = comparison.domains[comparison.domains["split"] == split]
    spreads = rows.groupby([*KEY, "domain"])["accuracy"].std()
    for i, (label, row) in enumerate(zip(labels, means.itertuples(index=False), strict=True)):
        key, values = row[: len(KEY)], np.array(row[len(KEY) :], dtype=np.float64)
        positions = np.arange(len(domains)) + (i - (count - 1) / 2) * 0.8 / count
        error = [spreads[*key, d] for d in domains] if table["seeds"].max() > 1 else None
        thin: dict[str, Any] = {"elinewidth": 1.2, "linestyle": "none", "markersize": 5.5}
        ax.errorbar(values, positions, xerr=error, label=label, **thin, **looks[label])
    for position in range(1, len(domains)):
        ax.axhline(position - 0.5, color=style.OUTLINE, alpha=0.4, linewidth=0.6)
    ax.set(xlabel=f"top-1 accuracy on the {split} split")
    ax.xaxis.set_major_formatter(style.percent())
    style.legend_outside(ax)
    ax.set_title(
        titled("Accuracy by domain", comparison, "line: standard deviation over seeds"), fontsize=11
    )
    return ax


@style.literal
def pareto(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    cost: str = "parameters",
    split: Split = "test",
) -> Axes:
    """Draw mean accuracy against a cost, one point per approach, prioritization and norm.

    The dashed steps are the Pareto front: no other point is better in both accuracy and cost
    (`Comparison.pareto`). With several seeds, a vertical line is one standard deviation over seeds.

    comparison: runs to draw.
    ax: axes to draw into; None: a new figure.
    cost: `parameters` (without batch norm and classifiers), `parameters_all`, `per_image`, `union`,
    `n_images` (three readings of multiply-adds, see `analysis.Accounting`) or `bytes` (of the
    weights on disk). The axis is logarithmic if the largest cost is over 5 times the smallest.
    split: `val` or `test`.

    Raises `MpnasError` if there are no runs or the cost is unknown.
    """
    table = _table(comparison)
    front = comparison.pareto(cost, split)
    labels = kind_labels(table)
    looks, spread = _looks(labels), f"{split}_spread"
    ax = style.axes(ax, 8.0, 5.0)
    for label, row in zip(labels, table.to_dict("records"), strict=True):
        error = None if np.isnan(row[spread]) else row[spread]
        how: dict[str, Any] = {"elinewidth": 1.2, "markersize": 7, "zorder": 3, **looks[label]}
        ax.errorbar(row[cost], row[split], yerr=error, label=label, **how)
    if table[cost].max() > _LOG_ABOVE * table[cost].min():
        ax.set_xscale("log")
        style.log_ticks(ax.xaxis)
    ax.margins(0.12)
    right = ax.get_xlim()[1]
    xs, ys = [*front[cost], right], [*front[split], front[split].iloc[-1]]
    line: dict[str, Any] = {"drawstyle": "steps-post", "linewidth": 1.2, "linestyle": "--"}
    ax.plot(xs, ys, color=style.ink(), zorder=1, label="Pareto front", **line)
    ax.set_xlim(right=right)
    named = {"test": "test", "val": "validation"}[split]
    ax.set(xlabel=COSTS[cost], ylabel=f"top-1 accuracy on the {named} split, mean over domains")
    ax.xaxis.set_major_formatter(style.thousands())
    ax.yaxis.set_major_formatter(style.percent())
    style.plain(ax)
    note = "dashed: Pareto front; line: standard deviation over seeds"
    ax.set_title(
        titled("Mean accuracy against cost", comparison, note, alone="dashed: Pareto front"),
        fontsize=11,
    )
    points = list(zip(table[cost], table[split], strict=True))
    spreads = table[spread].fillna(0.0)
    lines = [(x, y - s, x, y + s) for (x, y), s in zip(points, spreads, strict=True)]
    for i in range(len(front)):
        lines += [(xs[i], ys[i], xs[i + 1], ys[i]), (xs[i + 1], ys[i], xs[i + 1], ys[i + 1])]
    label_points(ax, points, labels, lines)
    return ax


def kind_labels(table: pd.DataFrame) -> list[str]:
    """Return one name per row: of approach, prioritization and norm those that differ."""
    prioritizations = set(table["prioritization"]) - {NO_PRIORITIZATION}
    counts = {"approach": table["approach"].nunique(), "prioritization": len(prioritizations)}
    counts["norm"] = table["norm"].nunique()
    parts = [part for part, count in counts.items() if count > 1] or ["approach"]
    names = [[v for v in row if v != NO_PRIORITIZATION] for row in table[parts].to_numpy()]
    return [fill(", ".join(name), 34) for name in names]


_ON_BARS: dict[str, Any] = {"facecolor": style.PRIVATE, "edgecolor": style.TEXT_ON_PRIVATE}


def _table(comparison: Comparison) -> pd.DataFrame:
    if comparison.cells.empty:
        raise MpnasError("the comparison has no runs: expected at least one.")
    return comparison.table()


def _looks(labels: list[str]) -> dict[str, dict[str, Any]]:
    """Return colour and marker by label, the same pair in all figures of a comparison.

    12 colours and 11 markers have no common divisor: a pair repeats only after 132 labels.
    """
    colors = style.domain_colors(labels)
    return {
        x: {"color": colors[x], "marker": MARKERS[i % len(MARKERS)]} for i, x in enumerate(labels)
    }


def titled(what: str, comparison: Comparison, spread: str = "", alone: str = "") -> str:
    """Return a title: what is drawn, what all runs have in common, and how to read the marks.

    what: what is drawn.
    spread: second line of the title if there are several seeds.
    alone: second line of the title if there is one seed; empty: no second line.
    """
    table = comparison.table()
    prioritizations = set(table["prioritization"]) - {NO_PRIORITIZATION}
    same = [str(a) for a in table["approach"].unique() if table["approach"].nunique() == 1]
    same += [f"{w} prioritization" for w in prioritizations if len(prioritizations) == 1]
    same += [f"{n} norm" for n in table["norm"].unique() if table["norm"].nunique() == 1]
    least, most = int(table["seeds"].min()), int(table["seeds"].max())
    same.append(f"{most} seed{'s' * (most > 1)}" if least == most else f"{least} to {most} seeds")
    note = spread if most > 1 else alone
    return f"{what} ({', '.join(same)})" + (f"\n{note}" if note else "")
