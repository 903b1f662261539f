"""Accuracy of every domain, beside what a guess would reach."""

import numpy as np
from matplotlib.axes import Axes

from mpnas_kit.errors import unknown
from mpnas_kit.plots import style
from mpnas_kit.plots.rows import named_rows, values_beside
from mpnas_kit.training.result import TrainResult


@style.literal
def accuracy_dots(trained: TrainResult, ax: Axes | None = None, *, split: str = "test") -> Axes:
    """Draw the top-1 accuracy of every domain on one split, and the mean over domains (dashed).

    A line is one standard error of the images, sqrt(a (1 - a) / images). It does not include the
    spread over seeds. A grey upright mark is the share of the most frequent class, which is the
    accuracy of always guessing that class. It is absent if an earlier release trained, which did
    not record the classes.

    trained: result of a training.
    ax: axes to draw into; None: a new figure.
    split: `val` or `test`.

    Raises `MpnasError` if the training has no such split.
    """
    rows = trained.evaluation[trained.evaluation["split"] == split]
    if rows.empty:
        raise unknown("split", split, sorted(set(trained.evaluation["split"])))
    domains = [str(d) for d in rows["domain"]]
    guesses = _guesses(trained, split)
    colors, marker = style.drawn_colors(domains), style.markers(domains)
    values = rows["accuracy"].to_numpy(dtype=np.float64)
    errors = np.sqrt(values * (1 - values) / rows["images"].to_numpy(dtype=np.float64))
    ax = named_rows(ax, domains)
    for row, (domain, value, error) in enumerate(zip(domains, values, errors, strict=True)):
        color = colors[domain]
        ax.hlines(row, value - error, value + error, color=color, linewidth=2.2)
        (dot,) = ax.plot(value, row, marker[domain], color=color, markersize=8, label=domain)
        text = f"{domain}: {value:.1%} \N{PLUS-MINUS SIGN} {100 * error:.1f} (standard error)"
        if domain in guesses:
            guess = guesses[domain]
            ax.plot([guess, guess], [row - 0.3, row + 0.3], color=style.GREY, linewidth=1.8)
            text += f"\nalways guessing the largest class: {guess:.1%}"
        style.tips(dot, [text])
    values_beside(ax, [f"{value:.1%}" for value in values])
    mean = float(values.mean())
    ax.axvline(mean, color=style.ink(), linewidth=1, linestyle="--", zorder=0)
    ax.set(xlabel=f"top-1 accuracy on the {split} split")
    ax.xaxis.set_major_formatter(style.percent())
    note = "line: one standard error"
    if guesses:
        note += "; grey mark: always guessing the largest class"
    ax.set_title(f"Accuracy by domain: mean {mean:.1%} (dashed)\n{note}", fontsize=11)
    return ax


def _guesses(trained: TrainResult, split: str) -> dict[str, float]:
    """Return the share of the most frequent class, by domain; empty: it was not recorded."""
    if trained.recalls is None:
        return {}
    images = trained.recalls[trained.recalls["split"] == split].groupby("domain")["images"]
    return {str(d): float(share) for d, share in (images.max() / images.sum()).items()}
