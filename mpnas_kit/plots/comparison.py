"""Finished runs side by side: accuracy by approach, by domain, and against cost."""

from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mpnas_kit.analysis.comparison import KEY, NO_PRIORITIZATION, Comparison, Split, kind_names
from mpnas_kit.analysis.standings import ranking
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.plots.labels import label_points
from mpnas_kit.plots.rows import named_rows, values_beside

COSTS = {
    "parameters": "parameters without batch norm and classifiers",
    "parameters_all": "parameters",
    "per_image": "multiply-adds per image, mean over domains",
    "union": "multiply-adds of the union",
    "n_images": "multiply-adds of one image per domain",
    "bytes": "bytes of the weights",
}
MARKERS = {"bundle": "s", "random_paths": "D", "single_path": "^", "multi_head": "v"}
OTHER_MARKERS = (
    "P",
    "X",
    "<",
    ">",
    "p",
    "*",
    "h",
    "d",
    "8",
)  # of approaches without a marker of theirs
_BARS = {"deviation": "standard deviation", "interval": "95 % interval of the mean"}
_METHOD = {"approach": "mpnas", "prioritization": "abdp"}  # what has the accent colour
_LOG_ABOVE = 5  # largest over smallest cost above which the axis is logarithmic


@style.literal
def approach_dots(comparison: Comparison, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the mean accuracy over domains, one row per approach, prioritization and norm.

    With several seeds, a large mark is the mean over seeds, a small dot is one seed, and a line is
    one standard deviation over seeds. The axis shows the range of the values. A row is named by
    what differs between the rows. The method has the accent colour, what it is compared with has
    grey marks of different shapes.

    comparison: runs to draw, in the order of `Comparison.table`.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if there are no runs or the split is unknown.
    """
    table = _table(comparison)
    if split not in ("val", "test"):
        raise unknown("split", split, ("val", "test"))
    runs = comparison.cells.groupby(list(KEY), sort=False)
    labels, looks = kind_labels(table), _looks(table)
    ax = named_rows(ax, labels)
    texts = []
    for row, (label, (_, cells)) in enumerate(zip(labels, runs, strict=True)):
        values, how = cells[split].to_numpy(dtype=np.float64), looks[label]
        mean = float(values.mean())
        texts.append(f"{mean:.1%}")
        if len(values) > 1:
            spread = float(values.std(ddof=1))
            texts[-1] += f" \N{PLUS-MINUS SIGN} {100 * spread:.1f}"
            ax.hlines(row, mean - spread, mean + spread, color=how["color"], linewidth=2)
            places = np.full(len(values), row - 0.27)
            seeds = ax.scatter(values, places, s=14, color=how["color"], linewidths=0, zorder=3)
            pairs = zip(cells["seed"], values, strict=True)
            style.tips(seeds, [f"{_inline(label)}, seed {s}: {v:.1%}" for s, v in pairs])
        (mark,) = ax.plot(mean, row, markersize=8, linestyle="none", label=label, **how)
        style.tips(mark, [f"{_inline(label)}: {texts[-1]}, {_seeds(len(values))}"])
    values_beside(ax, texts)
    ax.margins(x=0.06)
    ax.set(xlabel=f"top-1 accuracy on the {split} split, mean over domains")
    ax.xaxis.set_major_formatter(style.percent())
    ax.set_title(
        titled("Mean accuracy", comparison, "dot: one seed; line: standard deviation over seeds"),
        fontsize=11,
    )
    return ax


@style.literal
def domain_dots(comparison: Comparison, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the accuracy of every domain (rows), one mark per approach, prioritization and norm.

    A mark is the mean over seeds. With several seeds, the line through it is one standard deviation
    over seeds. The marks of a domain stand below each other in the order of the legend, and look as
    in `approach_dots`.

    comparison: runs to draw.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if there are no runs or the split is unknown.
    """
    table = _table(comparison)
    means = comparison.by_domain(split)
    domains = list(means.columns[len(KEY) :])
    labels, looks = kind_labels(means), _looks(means)
    count = len(labels)
    ax = named_rows(ax, domains, pitch=0.12 + max(0.16, 0.1 * count), width=7.0)
    rows = comparison.domains[comparison.domains["split"] == split]
    spreads = rows.groupby([*KEY, "domain"])["accuracy"].std()
    several = table["seeds"].max() > 1
    for i, (label, row) in enumerate(zip(labels, means.itertuples(index=False), strict=True)):
        key, values = row[: len(KEY)], np.array(row[len(KEY) :], dtype=np.float64)
        positions = np.arange(len(domains)) + (i - (count - 1) / 2) * 0.8 / count
        error = [spreads[*key, d] for d in domains] if several else None
        thin: dict[str, Any] = {"elinewidth": 1.2, "linestyle": "none", "markersize": 5.5}
        bars = ax.errorbar(values, positions, xerr=error, label=label, **thin, **looks[label])
        pairs = zip(domains, values, strict=True)
        style.tips(bars.lines[0], [f"{d}, {_inline(label)}: {v:.1%}" for d, v in pairs])
    for position in range(1, len(domains)):
        ax.axhline(position - 0.5, color=style.OUTLINE, alpha=0.4, linewidth=0.6)
    ax.set(xlabel=f"top-1 accuracy on the {split} split")
    ax.xaxis.set_major_formatter(style.percent())
    style.legend_below(ax, columns=3)
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
    bars: Literal["deviation", "interval"] = "deviation",
) -> Axes:
    """Draw mean accuracy against a cost, one point per approach, prioritization and norm.

    The dashed steps are the Pareto front: no other point is better in both accuracy and cost
    (`Comparison.pareto`, see also `analysis.accuracy_front`).

    comparison: runs to draw.
    ax: axes to draw into; None: a new figure.
    cost: `parameters` (without batch norm and classifiers), `parameters_all`, `per_image`, `union`,
    `n_images` (three readings of multiply-adds, see `analysis.Accounting`) or `bytes` (of the
    weights on disk). The axis is logarithmic if the largest cost is over 5 times the smallest.
    split: `val` or `test`.
    bars: what vertical lines are, with several seeds: one standard deviation over seeds, or the
    95 % t interval of the mean (`analysis.ranking`).

    Raises `MpnasError` if there are no runs or the cost or the kind of bars is unknown.
    """
    table = _table(comparison)
    if bars not in _BARS:
        raise unknown("kind of bars", bars, _BARS)
    front = comparison.pareto(cost, split)
    labels = kind_labels(table)
    looks, spread = _looks(table), f"{split}_spread"
    if bars == "interval":
        ranked = ranking(comparison, split)
        table[spread] = ranked["high"] - ranked["accuracy"]
    ax = style.axes(ax, 7.2, 4.6)
    for label, row in zip(labels, table.to_dict("records"), strict=True):
        error = None if np.isnan(row[spread]) else row[spread]
        how: dict[str, Any] = {"elinewidth": 1.2, "markersize": 7, "zorder": 3, **looks[label]}
        bar = ax.errorbar(row[cost], row[split], yerr=error, label=label, **how)
        seeds = "" if error is None else f" \N{PLUS-MINUS SIGN} {100 * error:.1f}"
        value = f"{row[split]:.1%}{seeds}, {row[cost]:,.0f} {COSTS[cost]}"
        style.tips(bar.lines[0], [f"{_inline(label)}: {value}"])
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
    ax.set(xlabel=COSTS[cost], ylabel=f"mean top-1 accuracy ({named})")
    ax.xaxis.set_major_formatter(style.thousands())
    ax.yaxis.set_major_formatter(style.percent())
    style.plain(ax)
    note = f"dashed: Pareto front; line: {_BARS[bars]} over seeds"
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
    """Return the names of `kind_names`, in lines of at most 34 characters."""
    return [fill(name, 34) for name in kind_names(table)]


def _table(comparison: Comparison) -> pd.DataFrame:
    if comparison.cells.empty:
        raise MpnasError("the comparison has no runs: expected at least one.")
    return comparison.table()


def _looks(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return colour and marker by label, the same pair in all figures of a comparison.

    The method, which is `mpnas` among approaches and `abdp` among prioritizations of one approach,
    has the accent colour. The others are grey. Domain colours mean domains only.

    table: rows with the columns of `KEY`.
    """
    column = "approach" if table["approach"].nunique() > 1 else "prioritization"
    looks: dict[str, dict[str, Any]] = {}
    used: list[tuple[str, bool]] = []
    for label, row in zip(kind_labels(table), table.to_dict("records"), strict=True):
        name = str(row[column]).partition("(")[0]
        own = name == _METHOD[column]
        first = "o" if own else MARKERS.get(name, "")
        for filled in (True, False):
            free = [m for m in (first, *OTHER_MARKERS) if m and (m, filled) not in used]
            if free:
                break
        used.append((free[0] if free else "o", filled))
        color = style.accent() if own else style.GREY
        looks[label] = {"color": color, "marker": used[-1][0]}
        if not filled:
            looks[label]["markerfacecolor"] = "none"
    return looks


def _inline(label: str) -> str:
    return label.replace("\n", " ")


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count > 1)}"


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
    same.append(_seeds(most) if least == most else f"{least} to {most} seeds")
    note = spread if most > 1 else alone
    return f"{what} ({', '.join(same)})" + (f"\n{note}" if note else "")
