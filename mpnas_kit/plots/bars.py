"""One figure a domain, as bars: accuracy, cost, size."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mpnas_kit.analysis.sharing import Accounting
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.search.result import SearchResult

SIZE_COLORS = {  # of the parts of a model; greys as in the path graph
    "shared": style.SHARED,
    "private": style.PRIVATE,
    "norm": "#ffa500",
    "head": "#00a578",
}
_SIZE_NAMES = {"norm": "batch norm", "head": "classifier"}


def accuracy_bars(table: pd.DataFrame, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the top-1 accuracy of every domain on one split, and their mean.

    table: `TrainResult.evaluation`: domain, split, images, accuracy (0 to 1). The thin lines are
    one standard error of so many images, sqrt(a (1 - a) / images); other seeds vary more.
    """
    for column in ("domain", "split", "images", "accuracy"):
        if column not in table:
            raise MpnasError(
                f"the accuracy table has no column {column!r}: expected an evaluation."
            )
    rows = table[table["split"] == split]
    if rows.empty:
        raise unknown("split", split, sorted(set(table["split"])))
    domains = [str(d) for d in rows["domain"]]
    colors = style.domain_colors(domains)
    values = rows["accuracy"].to_numpy(dtype=np.float64)
    error = np.sqrt(values * (1 - values) / rows["images"].to_numpy(dtype=np.float64))
    ax = named_rows(ax, domains)
    places = np.arange(len(domains))
    ax.barh(places, values, color=[colors[d] for d in domains], height=0.72)
    ax.errorbar(values, places, xerr=error, fmt="none", ecolor=style.ink(), elinewidth=1)
    values_beside(ax, [f"{value:.1%}" for value in values])
    mean = float(values.mean())
    ax.axvline(mean, color=style.ink(), linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1), xlabel=f"top-1 accuracy on the {split} split")
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(style.percent())
    ax.set_title(f"Accuracy by domain: mean {mean:.1%} (dashed)", fontsize=11)
    return ax


def cost_bars(result: SearchResult, ax: Axes | None = None) -> Axes:
    """Draw the cost of every domain's path beside the target of the search.

    The figures on the right are the distance from the target, in percent. With a joint cost scope
    the mean of the bars is what was held to the target.
    """
    costs, target = result.costs, result.cost_target
    colors = style.domain_colors(list(costs))
    ax = named_rows(ax, list(costs))
    places = np.arange(len(costs))
    ax.barh(places, list(costs.values()), color=[colors[d] for d in costs], height=0.72)
    highest = max(*costs.values(), target)
    values_beside(ax, [f"{cost / target - 1:+.0%}" for cost in costs.values()])
    ax.axvline(target, color=style.ink(), linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1.03 * highest), xlabel=f"cost of the path ({result.config.cost.unit})")
    ax.xaxis.set_major_formatter(style.thousands())
    mean = np.mean(list(costs.values())) / target - 1
    scope = "the mean of all domains" if result.config.cost_scope == "joint" else "every domain"
    ax.set_title(
        f"Cost by domain: mean {mean:+.0%} from the target (dashed), set for {scope}", fontsize=11
    )
    return ax


def size_bars(accounting: Accounting, ax: Axes | None = None) -> Axes:
    """Draw the parameters of the whole model and of every domain's path, by what they are for.

    Parts: shared (nodes of two or more domains), private, batch norm, classifier. The paths add up
    to more than the model by what they share.
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
    places, left = np.arange(len(names)), np.zeros(len(names))
    edge: dict[str, Any] = {"edgecolor": style.OUTLINE, "linewidth": 0.6}
    for part, color in SIZE_COLORS.items():
        values = np.array([total[part], *table[part]], dtype=np.float64)
        label = _SIZE_NAMES.get(part, part)
        ax.barh(places, values, left=left, color=color, height=0.72, label=label, **edge)
        left += values
    values_beside(ax, [_short(value) for value in left])
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
    """Axes for a horizontal bar a name, the first at the top."""
    ax = style.axes(ax, 8.0, max(2.2, 1.2 + 0.32 * len(names)))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    style.plain(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    return ax


def values_beside(ax: Axes, texts: list[str]) -> None:
    """A column of figures right of the axes, one a bar."""
    where = ax.get_yaxis_transform()
    for place, text in enumerate(texts):
        ax.text(1.012, place, text, va="center", fontsize=9, transform=where)


def _short(count: float) -> str:
    """A count in three digits: 614 k, 1.23 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{count:.0f}"
