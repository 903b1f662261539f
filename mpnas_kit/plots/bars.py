"""Bars, one per domain: accuracy, cost, parameters."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mpnas_kit.analysis.sharing import Accounting
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.search.result import SearchResult

SIZE_COLORS = {  # colour of each part of a model; the same greys as in the path graph
    "shared": style.SHARED,
    "private": style.PRIVATE,
    "norm": "#ffa500",
    "head": "#00a578",
}
_SIZE_NAMES = {"norm": "batch norm", "head": "classifier"}


@style.literal
def accuracy_bars(table: pd.DataFrame, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the top-1 accuracy of every domain on one split, and the mean over domains (dashed).

    A thin line is one standard error of the images, sqrt(a (1 - a) / images). It does not include
    the spread over seeds.

    table: evaluation of a training (`TrainResult.evaluation`). Columns domain, split, images (how
    many), accuracy (top-1, 0 to 1).
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if a column is missing or the table has no such split.
    """
    for column in ("domain", "split", "images", "accuracy"):
        if column not in table:
            raise MpnasError(
                f"the accuracy table has no column {column!r}: expected `TrainResult.evaluation`."
            )
    rows = table[table["split"] == split]
    if rows.empty:
        raise unknown("split", split, sorted(set(table["split"])))
    domains = [str(d) for d in rows["domain"]]
    colors = style.domain_colors(domains)
    values = rows["accuracy"].to_numpy(dtype=np.float64)
    error = np.sqrt(values * (1 - values) / rows["images"].to_numpy(dtype=np.float64))
    ax = named_rows(ax, domains)
    positions = np.arange(len(domains))
    ax.barh(positions, values, color=[colors[d] for d in domains], height=0.72)
    ax.errorbar(values, positions, xerr=error, fmt="none", ecolor=style.ink(), elinewidth=1)
    values_beside(ax, [f"{value:.1%}" for value in values])
    mean = float(values.mean())
    ax.axvline(mean, color=style.ink(), linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1), xlabel=f"top-1 accuracy on the {split} split")
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(style.percent())
    ax.set_title(f"Accuracy by domain: mean {mean:.1%} (dashed)", fontsize=11)
    return ax


@style.literal
def cost_bars(result: SearchResult, ax: Axes | None = None) -> Axes:
    """Draw the cost of every domain's path, and its cost target (dashed).

    The number beside a bar is the distance from the target, in percent of the target. If the
    search had a joint cost scope, the target holds for the mean of the bars only.

    result: result of a search. Costs are in the unit of its cost model.
    ax: axes to draw into; None: a new figure.
    """
    costs, targets = result.costs, list(result.cost_targets.values())
    colors = style.domain_colors(list(costs))
    ax = named_rows(ax, list(costs))
    positions = np.arange(len(costs))
    ax.barh(positions, list(costs.values()), color=[colors[d] for d in costs], height=0.72)
    highest = max(*costs.values(), *targets)
    pairs = zip(costs.values(), targets, strict=True)
    values_beside(ax, [f"{cost / target - 1:+.0%}" for cost, target in pairs])
    if len(set(targets)) == 1:
        ax.axvline(targets[0], color=style.ink(), linewidth=1, linestyle="--")
    else:
        ends = (positions - 0.45, positions + 0.45)
        ax.vlines(targets, *ends, color=style.ink(), linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1.03 * highest), xlabel=f"cost of the path ({result.cost_unit})")
    ax.xaxis.set_major_formatter(style.thousands())
    mean = np.mean(list(costs.values())) / result.cost_target - 1
    scope = "the mean of all domains" if result.config.cost_scope == "joint" else "every domain"
    ax.set_title(
        f"Cost by domain: mean {mean:+.0%} from the target (dashed), set for {scope}", fontsize=11
    )
    return ax


@style.literal
def size_bars(accounting: Accounting, ax: Axes | None = None) -> Axes:
    """Draw the parameters of the whole model and of every domain's path, by purpose.

    Parts: nodes shared by two or more domains, nodes private to one domain, batch norm, classifier.
    The paths together have more parameters than the model, because each counts the shared nodes.

    accounting: result of `analysis.account`.
    ax: axes to draw into; None: a new figure.
    """
    table = accounting.domains.set_index("domain")
    whole = accounting.categories.set_index("category")["parameters"]
    total = {
        "shared": whole["shared"],
        "private": whole["private"],
        "norm": whole["batch norm"],
        "head": whole["heads"],
    }
    names = ["whole model", *map(str, table.index)]
    ax = named_rows(ax, names)
    positions, left = np.arange(len(names)), np.zeros(len(names))
    edge: dict[str, Any] = {"edgecolor": style.OUTLINE, "linewidth": 0.6}
    for part, color in SIZE_COLORS.items():
        values = np.array([total[part], *table[part]], dtype=np.float64)
        label = _SIZE_NAMES.get(part, part)
        ax.barh(positions, values, left=left, color=color, height=0.72, label=label, **edge)
        left += values
    values_beside(ax, [amount(value) for value in left])
    ax.axhline(0.5, color=style.OUTLINE, linewidth=0.8)
    ax.set(xlim=(0, 1.03 * left.max()), xlabel="parameters")
    ax.xaxis.set_major_formatter(style.thousands())
    style.legend_outside(ax, across=1.11)
    alone = left[1:].sum()
    ax.set_title(
        f"Parameters: {left[0] / alone:.0%} of what the paths would have as separate models",
        fontsize=11,
    )
    return ax


def named_rows(ax: Axes | None, names: list[str]) -> Axes:
    """Return axes for horizontal bars, one row per name, the first name at the top."""
    ax = style.axes(ax, 8.0, max(2.2, 1.2 + 0.32 * len(names)))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    style.plain(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    return ax


def values_beside(ax: Axes, texts: list[str]) -> None:
    """Write one text per bar in a column on the right of the axes."""
    beside = ax.get_yaxis_transform()
    for row, text in enumerate(texts):
        ax.text(1.012, row, text, va="center", fontsize=9, transform=beside)
