"""Recall of the classes of every domain."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.plots.rows import named_rows, values_beside
from mpnas_kit.training.result import TrainResult

STEPS = 50  # recalls closer than 1 / 50 are one dot
NUMBERED = 4  # classes of a dot that has its number beside it
_TOLD = 8  # classes in the value of a dot
_DOT, _LARGEST = 22, 340  # areas, 1/72 inch squared


@style.literal
def class_recalls(trained: TrainResult, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the recall of every class of every domain, and the macro accuracy of the domain.

    A dot is a class. Classes of nearly equal recall are one larger dot, with their number if it is
    4 or more. The upright line is the macro accuracy, the mean over classes. The text on the right
    names the class with the lowest recall, of several the one with the most images. Classes without
    images in the split do not count.

    trained: result of a training.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if the split is unknown, or an earlier release trained, which did not record
    the recalls.
    """
    if trained.recalls is None:
        raise MpnasError("this training has no recalls: an earlier release made it. Train again.")
    rows = trained.recalls[trained.recalls["split"] == split]
    if rows.empty:
        raise unknown("split", split, sorted(set(trained.recalls["split"])))
    rows = rows[rows["images"] > 0]
    domains = list(trained.paths)
    colors = style.drawn_colors(domains)
    ax = named_rows(ax, domains)
    ground = ax.get_facecolor() if to_rgba(ax.get_facecolor())[3] else "white"
    beside = []
    for row, domain in enumerate(domains):
        own = rows[rows["domain"] == domain]
        recalls = own["recall"].to_numpy(dtype=np.float64)
        places, count = np.unique(np.round(recalls * STEPS) / STEPS, return_counts=True)
        area = np.minimum(_DOT * count, _LARGEST)
        y = np.full(len(places), row)
        dots = ax.scatter(places, y, s=area, color=colors[domain], linewidths=0, clip_on=False)
        at = np.round(recalls * STEPS) / STEPS
        style.tips(dots, [_told(domain, own[at == place]) for place in places])
        for place, number in zip(places, count, strict=True):
            if number >= NUMBERED:
                how: dict[str, Any] = {
                    "ha": "center",
                    "va": "center",
                    "fontsize": 7,
                    "color": ground,
                }
                ax.text(place, row, f"{number:,}", **how)
        ax.plot([recalls.mean()] * 2, [row - 0.42, row + 0.42], color=style.ink(), linewidth=1.6)
        lowest = own[own["recall"] == recalls.min()]
        name = style.shortened(lowest.loc[lowest["images"].idxmax(), "label"], 24)
        others = f" and {len(lowest) - 1:,} more" if len(lowest) > 1 else ""
        beside.append(f"{name}{others}: {recalls.min():.0%}")
    values_beside(ax, beside)
    ax.set(xlim=(-0.025, 1.025), xlabel=f"recall on the {split} split")
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(style.percent())
    ax.set_title("Recall of every class; on the right the weakest", fontsize=11)
    return ax


def _told(domain: str, rows: pd.DataFrame) -> str:
    """Return the value on hover of the classes of one dot."""
    lines = [f"{r.label}: {r.recall:.0%} of {r.images:,}" for r in rows.head(_TOLD).itertuples()]
    more = [f"and {len(rows) - _TOLD:,} more classes"] if len(rows) > _TOLD else []
    return "\n".join([domain, *lines, *more])
