"""Accuracy of random paths over their cost, with the range over seeds."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.errors import unknown
from mpnas_kit.plots import style


@style.literal
def path_spread(spread: PathSpread, domain: str, ax: Axes | None = None) -> Axes:
    """Draw the validation accuracy of random paths of one domain over their multiply-adds.

    A dot is a path at its first seed. A bar is the range over the seeds of a path that has several.
    The title gives the standard deviation over paths, that over seeds, and their ratio.

    spread: result of `analysis.read_path_spread`.
    domain: name of the domain.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if the domain is unknown.
    """
    if domain not in (names := list(spread.rows["domain"].unique())):
        raise unknown("domain", domain, names)
    ax = ax if ax is not None else plt.subplots(layout="constrained")[1]
    rows = spread.rows
    color = style.domain_colors(names)[domain]
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
    style.log_ticks(ax.xaxis)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_title(
        f"{domain}: paths ±{100 * row['over_paths']:.1f}, seeds ±{100 * row['over_seeds']:.1f} "
        f"(ratio {row['ratio']:.1f})",
        fontsize="medium",
    )
    ax.set_xlabel("multiply-adds (M)")
    ax.set_ylabel("validation top-1 (%)")
    return ax
