"""Jaccard similarity of the domains' paths, as a heatmap."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from mpnas_kit.analysis.similarity import Similarity, clustered
from mpnas_kit.plots import style


@style.literal
def jaccard(similarity: Similarity, ax: Axes | None = None, *, cluster: bool = False) -> Axes:
    """Draw the Jaccard similarity of every two domains' paths, 0 to 1.

    The line on the colour bar is the mean similarity of random paths with the same costs.

    similarity: result of `analysis.jaccard_matrix`, which states formula and source.
    ax: axes to draw into; None: a new figure.
    cluster: whether to order the domains so that similar ones are neighbours (average linkage on
    1 - similarity, optimal leaf order).
    """
    matrix = similarity.matrix
    if cluster:
        order = clustered(similarity)
        matrix = matrix.loc[order, order]
    size = len(matrix)
    ax = style.axes(ax, max(5.2, 2.6 + 0.6 * size), max(4.0, 1.6 + 0.5 * size))
    sns.heatmap(
        matrix.astype(np.float64),
        vmin=0,
        vmax=1,
        cmap="viridis",
        annot=True,
        fmt=".2f",
        annot_kws={"fontsize": 8.5},
        square=True,
        linewidths=1.0,
        linecolor=ax.get_facecolor(),
        cbar_kws={"label": "Jaccard similarity of paths", "shrink": 0.85},
        ax=ax,
    )
    _mark_random(ax, similarity)
    ax.set(xlabel="", ylabel="")
    ax.set_xticklabels(ax.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)
    ax.tick_params(length=0)
    spread = f"\N{PLUS-MINUS SIGN} {similarity.matched_spread:.2f}"
    chance = (
        f"{similarity.random_value:.2f}, of the same costs {similarity.matched_value:.2f} {spread}"
    )
    mean = f"mean {similarity.mean:.2f}, " if size > 1 else ""
    ax.set_title(f"Share of nodes in common\n{mean}random paths {chance}", fontsize=11)
    return ax


def _mark_random(ax: Axes, similarity: Similarity) -> None:
    """Draw a line and a tick on the colour bar at the mean of random paths of the same costs."""
    bar = ax.collections[0].colorbar
    if bar is None:  # pragma: no cover - seaborn always draws one here
        return
    value = similarity.matched_value
    near = 0.06  # a tick closer than this would cover the label
    ticks = [t for t in np.linspace(0, 1, 6) if abs(t - value) > near]
    bar.set_ticks([*ticks, value], labels=[*(f"{t:.1f}" for t in ticks), f"{value:.2f} random"])
    bar.ax.axhline(value, color="white", linewidth=3)
    bar.ax.axhline(value, color=style.ACCENT, linewidth=1.5)
    bar.outline.set_visible(False)
