"""Domain prioritization: weights, the difficulties that they follow, and their effect."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.difficulty import difficulties
from mpnas_kit.analysis.prioritization import prioritization_differences
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import to_text
from mpnas_kit.plots import style
from mpnas_kit.plots.comparison import MARKERS, titled
from mpnas_kit.plots.curves import domain_curves, level
from mpnas_kit.plots.rows import named_rows, values_beside
from mpnas_kit.training.result import TrainResult

MOST_MARKS = 4  # marks per domain at most; for more prioritizations there is the heatmap


@style.literal
def prioritization_dots(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    split: str = "test",
    baseline: str = "uniform",
) -> Axes:
    """Draw how up to 4 prioritizations change the accuracy of every domain, in percentage points.

    The difference to `baseline` is taken seed by seed (`analysis.prioritization_differences`). The
    first row is the mean over all domains. With several seeds, a line is the standard deviation of
    the differences. ABDP has the accent colour, other prioritizations have grey marks.

    comparison: runs of one approach and one norm.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.
    baseline: prioritization to compare with, as it is written in the comparison.

    Raises `MpnasError` if there are more than 4 prioritizations beside the baseline, and as
    `prioritization_differences` does.
    """
    table = prioritization_differences(comparison, split, baseline)
    prioritizations, domains = (list(dict.fromkeys(table[c])) for c in ("prioritization", "domain"))
    count = len(prioritizations)
    if count > MOST_MARKS:
        raise MpnasError(
            f"prioritization_dots draws up to {MOST_MARKS} prioritizations beside {baseline!r}, "
            f"not {count}: choose fewer with comparison.where, or draw prioritization_heatmap."
        )
    ax = named_rows(ax, domains, pitch=0.18 + 0.13 * max(count, 1.3))
    others = iter(MARKERS.values())
    for i, prioritization in enumerate(prioritizations):
        rows = table[table["prioritization"] == prioritization]
        positions = np.arange(len(domains)) + (i - (count - 1) / 2) * 0.76 / count
        values, errors = 100 * rows["difference"], 100 * rows["spread"]
        own = prioritization.partition("(")[0] == "abdp"
        how: dict[str, Any] = {"color": style.accent() if own else style.GREY, "elinewidth": 1.6}
        error = errors if rows["seeds"].max() > 1 else None
        marker = "o" if own else next(others)
        bar = ax.errorbar(
            values, positions, xerr=error, fmt=marker, markersize=6.5, label=prioritization, **how
        )
        style.tips(
            bar.lines[0],
            [
                f"{r.domain}, {prioritization}: {100 * r.difference:+.1f} points"
                + (f" \N{PLUS-MINUS SIGN} {100 * r.spread:.1f}" if r.seeds > 1 else "")
                for r in rows.itertuples()
            ],
        )
    if count == 1:
        values_beside(ax, [f"{100 * value:+z.1f}" for value in table["difference"]])
    ax.axvline(0, color=style.ink(), linewidth=1)
    ax.axhline(0.5, color=style.OUTLINE, linewidth=0.8)
    ax.margins(x=0.03)
    ax.set(xlabel=f"percentage points of {split} accuracy above {baseline}")
    if count > 1:
        style.legend_below(ax)
    what = f"{prioritizations[0] if count == 1 else 'Prioritizations'} against {baseline}"
    ax.set_title(titled(what, comparison, "line: standard deviation over seeds"), fontsize=11)
    return ax


@style.literal
def prioritization_heatmap(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    split: str = "test",
    baseline: str = "uniform",
) -> Axes:
    """Draw how any number of prioritizations change the accuracy, in percentage points.

    One row per domain, one column per prioritization; differences as in `prioritization_dots`. The
    colour scale ends at the median over prioritizations of their largest difference, so that one
    bad prioritization does not fade the others. With several seeds, a number is bold if it exceeds
    the standard deviation over seeds.

    comparison: runs of one approach and one norm.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.
    baseline: prioritization to compare with, as it is written in the comparison.

    Raises `MpnasError` as `prioritization_differences` does.
    """
    table = prioritization_differences(comparison, split, baseline)
    prioritizations, domains = (list(dict.fromkeys(table[c])) for c in ("prioritization", "domain"))
    values, spreads = (
        100
        * table.pivot(index="domain", columns="prioritization", values=c).loc[
            domains, prioritizations
        ]
        for c in ("difference", "spread")
    )
    largest = values.abs().max()
    limit = max(0.1, float(np.quantile(largest, 0.5, method="lower")))
    ends = "both" if largest.max() > limit else "neither"
    width = 2.9 + 0.72 * len(prioritizations)
    ax = style.axes(ax, max(5.2, width), max(3.6, 1.9 + 0.36 * len(domains)))
    sns.heatmap(
        values,
        vmin=-limit,
        vmax=limit,
        cmap="PuOr",
        annot=values.map("{:+z.1f}".format),
        fmt="",
        annot_kws={"fontsize": 8.5},
        linewidths=1.0,
        linecolor=ax.get_facecolor(),
        cbar_kws={"label": "percentage points", "extend": ends},
        ax=ax,
    )
    mesh = ax.collections[0]
    bar = mesh.colorbar
    if bar is not None:
        bar.outline.set_visible(False)
    bold = (values.abs() > spreads).to_numpy().ravel()
    for text, face, far in zip(ax.texts, mesh.get_facecolor(), bold, strict=True):
        text.set(fontweight="bold" if far else "normal", color=style.readable_on(face))
    style.tips(
        mesh,
        [
            f"{domain}, {prioritization}: {values.loc[domain, prioritization]:+.1f} points"
            for domain in domains
            for prioritization in prioritizations
        ],
    )
    ax.axhline(1, color=style.ink(), linewidth=1.5)
    ax.set(xlabel="", ylabel="")
    ax.set_xticklabels(prioritizations, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(domains, rotation=0)
    ax.tick_params(length=0)
    note = "bold: larger than the standard deviation over seeds"
    ax.set_title(titled(f"Prioritizations against {baseline}", comparison, note), fontsize=11)
    return ax


@style.literal
def weights_and_difficulties(trained: TrainResult, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw the weight of every domain's loss (above) and its difficulty (below) over the steps.

    Difficulty is 1 at chance and 0 if the domain is solved (`analysis.difficulties`). Weights are
    smoothed as in `training_curves`. Returns the figure.

    trained: result of a training.
    axes: two axes to draw into, the upper one first; None: a new figure.

    Raises `MpnasError` if there are not two axes, and as `difficulties` does.
    """
    table = difficulties(trained)
    if axes is None:
        _, axes = plt.subplots(2, 1, sharex=True, figsize=(8.2, 5.8), layout="constrained")
    if len(axes) != 2:
        raise MpnasError(f"weights and difficulties are drawn in two axes, not in {len(axes)}.")
    upper, lower = axes
    domains = list(trained.paths)
    domain_curves(table, domains, "weight", "weight of the loss", upper, None, None)
    level(upper, 1.0, "equal weights")
    domain_curves(table, domains, "difficulty", "difficulty: loss / ln(classes)", lower, None, 1)
    level(lower, 1.0, "chance")
    lower.legend().remove()
    lower.set_ylim(bottom=0)
    upper.set(xlabel="")
    name = to_text(trained.config.prioritization, defaults=False)
    upper.set_title(f"Weights under {name}", fontsize=11)
    lower.set_title("Difficulty: 1 (dashed) at chance, 0 when solved", fontsize=11)
    figure = lower.get_figure(root=True)
    assert figure is not None
    return figure
