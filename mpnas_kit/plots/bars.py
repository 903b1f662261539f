"""Bars, one per domain: cost of the path, parameters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mpnas_kit.analysis.sharing import Accounting
from mpnas_kit.analysis.units import amount
from mpnas_kit.plots import style
from mpnas_kit.plots.rows import named_rows, values_beside
from mpnas_kit.search.result import SearchResult

SIZE_LOOKS: dict[str, dict[str, Any]] = {  # of each part of a model; greys as in the path graph
    "shared": {"facecolor": style.SHARED},
    "private": {"facecolor": style.PRIVATE},
    "norm": {"facecolor": "none", "hatch": "//////"},
    "head": {"facecolor": "none"},
}
_SIZE_NAMES = {"norm": "batch norm", "head": "classifier"}


@style.literal
def cost_bars(result: SearchResult, ax: Axes | None = None) -> Axes:
    """Draw the cost of every domain's path, and its cost target (dashed).

    The number beside a bar is the distance from the target, in percent of the target. If the
    search had a joint cost scope, the target holds for the mean of the bars only.

    result: result of a search. Costs are in the unit of its cost model.
    ax: axes to draw into; None: a new figure.
    """
    costs, targets = result.costs, list(result.cost_targets.values())
    colors = style.drawn_colors(list(costs))
    ax = named_rows(ax, list(costs))
    positions = np.arange(len(costs))
    color = [colors[d] for d in costs]
    bars = ax.barh(positions, list(costs.values()), color=color, height=0.72)
    highest = max(*costs.values(), *targets)
    off = [f"{c / t - 1:+.0%}" for c, t in zip(costs.values(), targets, strict=True)]
    values_beside(ax, off)
    rows = zip(costs.items(), off, strict=True)
    unit = result.cost_unit
    style.tips(bars, [f"{d}: {amount(c)} {unit}, {o} from the target" for (d, c), o in rows])
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
        f"Cost by domain: mean {mean:+.0%} from the target\ndashed: target, set for {scope}",
        fontsize=11,
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
    for part, look in SIZE_LOOKS.items():
        values = np.array([total[part], *table[part]], dtype=np.float64)
        label = _SIZE_NAMES.get(part, part)
        bars = ax.barh(positions, values, left=left, height=0.72, label=label, **edge, **look)
        pairs = zip(names, values, strict=True)
        style.tips(bars, [f"{name}, {label}: {value:,.0f} parameters" for name, value in pairs])
        left += values
    values_beside(ax, [amount(value) for value in left])
    ax.axhline(0.5, color=style.OUTLINE, linewidth=0.8)
    ax.set(xlim=(0, 1.03 * left.max()), xlabel="parameters")
    ax.xaxis.set_major_formatter(style.thousands())
    style.legend_below(ax)
    alone = left[1:].sum()
    ax.set_title(
        f"Parameters: {left[0] / alone:.0%} of what separate models would have", fontsize=11
    )
    return ax
