"""The sums of a latency table against whole paths that were measured."""

from typing import Any

from matplotlib.axes import Axes

from mpnas_kit.analysis.latency import LatencyCheck
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style


@style.literal
def latency_scatter(check: LatencyCheck, ax: Axes | None = None) -> Axes:
    """Draw the measured latency of whole paths against the sums of a latency table.

    One dot per path. On the dashed line, sum and measured time are equal. The title gives
    Spearman's correlation and the median of the relative errors.

    check: result of `measure_latency`, with at least one path.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if there are no paths.
    """
    rows = check.rows
    if len(rows) == 0:
        raise MpnasError("latency_scatter needs at least one path, not 0.")
    ax = style.axes(ax, 5.2, 4.8)
    edge: dict[str, Any] = {"edgecolor": style.OUTLINE, "linewidth": 0.7}
    dots = ax.scatter(rows["sum"], rows["measured"], color=style.accent(), s=46, zorder=2, **edge)
    style.tips(
        dots,
        [f"{r.arch}\nsum {r.sum:.3g} ms, measured {r.measured:.3g} ms" for r in rows.itertuples()],
    )
    highest = 1.05 * float(rows[["sum", "measured"]].to_numpy().max())
    equal: dict[str, Any] = {"color": style.ink(), "linewidth": 1.0, "linestyle": "--", "zorder": 1}
    ax.plot([0, highest], [0, highest], **equal)
    ax.set(xlabel="sum of the table (ms)", ylabel="whole path, measured (ms)")
    ax.set(xlim=(0, highest), ylim=(0, highest), aspect="equal")
    style.plain(ax)
    ax.grid(axis="x", color=style.OUTLINE, alpha=0.25, linewidth=0.6)
    ax.set_title(
        f"Latency of {len(rows)} paths at {check.resolution} px\nSpearman {check.spearman:.3f}, "
        f"median error {check.median_error:.1%}",
        fontsize=11,
    )
    return ax
