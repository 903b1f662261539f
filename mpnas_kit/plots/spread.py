"""Accuracy of random paths against their cost, with the spread over seeds beside it."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.plots.style import domain_colors


def path_spread(spread: PathSpread, domain: str, ax: Axes | None = None) -> Axes:
    """One domain: a dot a path (its first seed), bars over the seeds of paths that have several."""
    ax = ax if ax is not None else plt.subplots(layout="constrained")[1]
    rows = spread.rows
    color = domain_colors(list(rows["domain"].unique()))[domain]
    own = rows[rows["domain"] == domain].sort_values("seed")
    first = own.groupby("path").first()
    ax.plot(first["multiply_adds"] / 1e6, 100 * first["accuracy"], "o", color=color, ms=4)
    for _, seeds in own.groupby("path"):
        if len(seeds) > 1:
            low, high = 100 * seeds["accuracy"].min(), 100 * seeds["accuracy"].max()
            cost = seeds["multiply_adds"].iloc[0] / 1e6
            ax.plot([cost, cost], [low, high], color=color, lw=5, alpha=0.35)
    row = spread.table().set_index("domain").loc[domain]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_title(
        f"{domain}: paths ±{100 * row['over_paths']:.1f}, seeds ±{100 * row['over_seeds']:.1f} "
        f"({row['ratio']:.1f} times)",
        fontsize="medium",
    )
    ax.set_xlabel("multiply-adds (M)")
    ax.set_ylabel("validation top-1 (%)")
    return ax
