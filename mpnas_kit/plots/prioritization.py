"""What a domain prioritization does: the weights it gives, what they follow, what they change."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from seaborn.utils import relative_luminance

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.analysis.difficulty import difficulties
from mpnas_kit.analysis.weightings import weighting_differences
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style
from mpnas_kit.plots.bars import named_rows, values_beside
from mpnas_kit.plots.comparison import titled
from mpnas_kit.plots.curves import domain_curves, level
from mpnas_kit.settings import to_text
from mpnas_kit.training.stage import TrainResult

MOST_BARS = 4  # weightings a domain; more are a heatmap


def weighting_bars(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    split: str = "test",
    baseline: str = "uniform",
) -> Axes:
    """Draw what up to 4 weightings change in the accuracy of every domain, in percentage points.

    From `weighting_differences`: of one approach and norm, against `baseline`, seed by seed; the
    mean over all domains first. With several seeds the thin line is the standard deviation of
    their differences.
    """
    table = weighting_differences(comparison, split, baseline)
    weightings, domains = (list(dict.fromkeys(table[c])) for c in ("weighting", "domain"))
    count = len(weightings)
    if count > MOST_BARS:
        raise MpnasError(
            f"bars are for up to {MOST_BARS} weightings beside {baseline!r}, not {count}: expected "
            "fewer, or weighting_heatmap."
        )
    colors = style.domain_colors(weightings)
    ax = style.axes(ax, 8.0, 1.3 + len(domains) * (0.16 + 0.13 * max(count, 1.3)))
    named_rows(ax, domains)
    height = 0.76 / count
    for i, weighting in enumerate(weightings):
        rows = table[table["weighting"] == weighting]
        places = np.arange(len(domains)) + (i - (count - 1) / 2) * height
        values, errors = 100 * rows["difference"], 100 * rows["spread"]
        ax.barh(places, values, color=colors[weighting], height=0.94 * height, label=weighting)
        if rows["seeds"].max() > 1:
            thin: dict[str, Any] = {"fmt": "none", "ecolor": style.ink(), "elinewidth": 1}
            ax.errorbar(values, places, xerr=errors, **thin)
    if count == 1:
        values_beside(ax, [f"{100 * value:+z.1f}" for value in table["difference"]])
    ax.axvline(0, color=style.ink(), linewidth=1)
    ax.axhline(0.5, color=style.OUTLINE, linewidth=0.8)
    ax.margins(x=0.03)
    ax.set(xlabel=f"percentage points of {split} accuracy above {baseline}")
    if count > 1:
        style.legend_outside(ax)
    what = f"{weightings[0] if count == 1 else 'Weightings'} against {baseline}"
    ax.set_title(titled(what, comparison, "lines: deviation over seeds"), fontsize=11)
    return ax


def weighting_heatmap(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    split: str = "test",
    baseline: str = "uniform",
) -> Axes:
    """Draw what any number of weightings change, in percentage points: see `weighting_bars`.

    A row a domain, a column a weighting. Colours end at the largest difference of the weighting in
    the middle, so that one that fails does not fade all others. With several seeds a figure is bold
    where it exceeds the standard deviation over them.
    """
    table = weighting_differences(comparison, split, baseline)
    weightings, domains = (list(dict.fromkeys(table[c])) for c in ("weighting", "domain"))
    values, spreads = (
        100 * table.pivot(index="domain", columns="weighting", values=c).loc[domains, weightings]
        for c in ("difference", "spread")
    )
    largest = values.abs().max()
    limit = max(0.1, float(np.quantile(largest, 0.5, method="lower")))
    ends = "both" if largest.max() > limit else "neither"
    width = 2.9 + 0.72 * len(weightings)
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
        readable = "black" if relative_luminance(face) > 0.18 else "white"  # of more contrast
        text.set(fontweight="bold" if far else "normal", color=readable)
    ax.axhline(1, color=style.ink(), linewidth=1.5)
    ax.set(xlabel="", ylabel="")
    ax.set_xticklabels(weightings, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(domains, rotation=0)
    ax.tick_params(length=0)
    note = "bold: beyond the deviation over seeds"
    ax.set_title(titled(f"Weightings against {baseline}", comparison, note), fontsize=11)
    return ax


def weights_and_difficulties(trained: TrainResult, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw over the steps the weight of every domain (above) and its difficulty (below).

    From `difficulties`: 1 is chance, 0 solved; the weights smoothed as in `training_curves`.
    axes: two, the upper one first; None: a new figure. Returns their figure.
    """
    table = difficulties(trained)
    if axes is None:
        _, axes = plt.subplots(2, 1, sharex=True, figsize=(10.0, 6.4), layout="constrained")
    if len(axes) != 2:
        raise MpnasError(f"weights and difficulties are drawn in two axes, not in {len(axes)}.")
    upper, lower = axes
    domains = list(trained.paths)
    domain_curves(table, domains, "weight", "weight of the loss", upper, None, None)
    level(upper, 1.0, "all alike")
    domain_curves(table, domains, "difficulty", "difficulty: loss / ln(classes)", lower, None, 1)
    level(lower, 1.0, "chance")
    lower.legend().remove()
    lower.set_ylim(bottom=0)
    upper.set(xlabel="")
    name = to_text(trained.config.priority, defaults=False)
    upper.set_title(f"Weights under {name}", fontsize=11)
    lower.set_title("Difficulty: 1 (dashed) at chance, 0 when solved", fontsize=11)
    figure = lower.get_figure(root=True)
    assert figure is not None
    return figure
