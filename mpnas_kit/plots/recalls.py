"""Recall of the classes of every domain."""

import numpy as np
from matplotlib.axes import Axes

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.plots.bars import named_rows, values_beside
from mpnas_kit.training.result import TrainResult


@style.literal
def class_recalls(trained: TrainResult, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the recall of every class of every domain, and the macro accuracy of the domain.

    A dot is a class; dots of equal recall are beside each other. The upright line is the macro
    accuracy, the mean of the dots. The text on the right names the class with the lowest recall.
    Classes without images in the split have no dot.

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
    colors = style.domain_colors(domains)
    ax = named_rows(ax, domains)
    beside = []
    for row, domain in enumerate(domains):
        own = rows[rows["domain"] == domain]
        recalls = own["recall"].to_numpy(dtype=np.float64)
        y = row + _spread(recalls)
        ax.scatter(recalls, y, s=16, color=colors[domain], alpha=0.75, linewidths=0)
        ax.plot([recalls.mean()] * 2, [row - 0.42, row + 0.42], color=style.ink(), linewidth=1.6)
        low = own.iloc[int(recalls.argmin())]
        beside.append(f"{style.shortened(low['label'], 24)}: {low['recall']:.0%}")
    values_beside(ax, beside)
    ax.set(xlim=(-0.02, 1.02), xlabel=f"recall on the {split} split")
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(style.percent())
    ax.set_title("Recall of every class; on the right the weakest", fontsize=11)
    return ax


def _spread(values: np.ndarray) -> np.ndarray:
    """Return offsets, -0.36 to 0.36, that place nearly equal values beside each other: (n,)."""
    offsets = np.zeros(len(values))
    near = np.round(values * 50)
    for value in np.unique(near):
        (same,) = np.nonzero(near == value)
        step = min(0.12, 0.72 / len(same))
        offsets[same] = step * (np.arange(len(same)) - (len(same) - 1) / 2)
    return offsets
