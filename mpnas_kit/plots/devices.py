"""Estimated hours of the stages on different numbers of devices."""

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

from mpnas_kit.plots import style


@style.literal
def scaling_curves(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the hours of every stage over the number of devices, on logarithmic axes.

    A dashed line is the time if no device ever waited for another: the hours of the first row of
    the stage, divided by the number of devices.

    table: result of `analysis.estimate`. Columns stage, devices, hours.
    ax: axes to draw into; None: a new figure.
    """
    ax = style.axes(ax, 6.0, 3.8)
    looks = cycle([(style.accent(), "o"), (style.GREY, "s")])
    for (stage, rows), (color, marker) in zip(
        table.groupby("stage", sort=False), looks, strict=False
    ):
        devices, hours = rows["devices"].to_numpy(), rows["hours"].to_numpy()
        (line,) = ax.plot(devices, hours, marker=marker, color=color, label=str(stage))
        pairs = zip(devices, hours, strict=True)
        style.tips(line, [f"{stage}, {d} devices: {h:,.3g} hours" for d, h in pairs])
        ideal = hours[0] * devices[0] / devices
        ax.plot(devices, ideal, linestyle="--", linewidth=1, color=color)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    counts = sorted(set(table["devices"]))
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="devices", ylabel="hours")
    style.plain(ax)
    style.legend_outside(ax)
    ax.set_title("Hours over devices (dashed: if no device ever waited)", fontsize=11)
    return ax
