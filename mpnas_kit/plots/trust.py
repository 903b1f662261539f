"""Accuracy of paths on the supernet against their accuracy when they are trained alone."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from mpnas_kit.analysis.trust import LEAST_PATHS, Trust
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style

_LOG_ABOVE = 5  # largest over smallest multiply-adds above which colours are logarithmic


@style.literal
def trust_scatter(trust: Trust, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of paths on the supernet against that of the same paths trained alone.

    One dot per path; its colour is the multiply-adds. The title gives Kendall's tau and its p-value
    (null hypothesis: no relation).

    trust: result of `supernet_trust`, with at least 3 paths.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if a column is missing or there are fewer than 3 paths.
    """
    rows = trust.rows
    for column in ("supernet", "retrained", "multiply_adds"):
        if column not in rows:
            raise MpnasError(f"the rows of this Trust have no column {column!r}.")
    if len(rows) < LEAST_PATHS:
        raise MpnasError(f"trust_scatter needs at least {LEAST_PATHS} paths, not {len(rows)}.")
    costs = rows["multiply_adds"]
    logarithmic = costs.max() > _LOG_ABOVE * costs.min()
    norm = (LogNorm if logarithmic else Normalize)(costs.min(), costs.max())
    ax = style.axes(ax, 6.2, 4.2)
    edge: dict[str, Any] = {"edgecolor": style.OUTLINE, "linewidth": 0.7}
    dots = ax.scatter(
        rows["supernet"], rows["retrained"], c=costs, cmap="viridis", norm=norm, s=46, **edge
    )
    style.tips(
        dots,
        [
            f"supernet {r.supernet:.1%}, alone {r.retrained:.1%}\n"
            f"{amount(r.multiply_adds)} multiply-adds"
            for r in rows.itertuples()
        ],
    )
    bar = ax.figure.colorbar(dots, ax=ax, pad=0.02, label="multiply-adds")
    bar.outline.set_visible(False)
    if logarithmic:
        style.log_ticks(bar.ax.yaxis)
    bar.ax.yaxis.set_major_formatter(style.thousands())
    ax.set(xlabel="accuracy on the supernet (reward images)")
    ax.set(ylabel="validation accuracy, retrained alone")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(style.percent())
    ax.margins(0.06)
    style.plain(ax)
    ax.grid(axis="x", color=style.OUTLINE, alpha=0.25, linewidth=0.6)
    tau, p = trust.tau()
    words = "no order" if math.isnan(tau) else f"Kendall's tau {tau:.2f} (p {p:.2g})"
    ax.set_title(f"{trust.domain}: {words} over {len(rows)} paths", fontsize=11)
    return ax
