"""What the supernet says of paths against what they reach when they are retrained."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from mpnas_kit.analysis.trust import LEAST_PATHS, Trust
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style

_LOG_ABOVE = 5  # multiply-adds of a wider range than that are coloured by their logarithm


def trust_scatter(trust: Trust, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of paths on the supernet against that of the same paths retrained.

    From `Trust.rows`: a dot a path, its colour the multiply-adds. The title has Kendall's tau and
    the p-value (of no relation at all).
    """
    rows = trust.rows
    for column in ("supernet", "retrained", "multiply_adds"):
        if column not in rows:
            raise MpnasError(f"the paths of this trust have no column {column!r}.")
    if len(rows) < LEAST_PATHS:
        raise MpnasError(f"trust is drawn of at least {LEAST_PATHS} paths, not {len(rows)}.")
    costs = rows["multiply_adds"]
    logarithmic = costs.max() > _LOG_ABOVE * costs.min()
    norm = (LogNorm if logarithmic else Normalize)(costs.min(), costs.max())
    ax = style.axes(ax, 7.2, 4.8)
    edge: dict[str, Any] = {"edgecolor": style.OUTLINE, "linewidth": 0.7}
    dots = ax.scatter(
        rows["supernet"], rows["retrained"], c=costs, cmap="viridis", norm=norm, s=46, **edge
    )
    bar = ax.figure.colorbar(dots, ax=ax, pad=0.02, label="multiply-adds")
    bar.outline.set_visible(False)
    if logarithmic:
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.yaxis.set_major_formatter(style.thousands())
    ax.set(xlabel="accuracy on the supernet (reward images)")
    ax.set(ylabel="validation accuracy, retrained alone")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(style.percent())
    ax.margins(0.06)
    style.plain(ax)
    ax.grid(axis="x", color=style.OUTLINE, alpha=0.25, linewidth=0.6)
    tau, p = trust.tau()
    ax.set_title(
        f"{trust.domain}: Kendall's tau {tau:.2f} (p {p:.2g}) over {len(rows)} paths", fontsize=11
    )
    return ax
