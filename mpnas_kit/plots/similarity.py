"""Jaccard similarity of the domains' paths, beside the similarity that chance gives."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm

from mpnas_kit.analysis.similarity import Similarity, clustered
from mpnas_kit.plots import style

_NUMBERED = 20  # domains of a matrix whose cells have numbers
_LEAST_RANGE = 0.1  # of the colours, on both sides of chance


@style.literal
def jaccard(similarity: Similarity, ax: Axes | None = None, *, cluster: bool = False) -> Axes:
    """Draw the Jaccard similarity of every two domains' paths, beside the value of chance.

    One cell per pair of domains. Its number is the similarity, 0 to 1. Its colour is the distance
    from chance: the mean similarity of random paths with the same costs, where the colour bar has a
    line. The bracket there is the standard deviation of chance; a number that is outside is bold.
    Of more than 20 domains, cells have no numbers.

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
    pitch = 0.46 if size <= _NUMBERED else 0.22
    ax = style.axes(ax, max(4.4, 2.3 + pitch * size), max(3.2, 1.5 + pitch * size))
    spread = f"\N{PLUS-MINUS SIGN} {similarity.matched_spread:.2f}"
    chance = f"random paths of the same costs {similarity.matched_value:.2f} {spread}"
    mean = f"Similarity of paths: mean {similarity.mean:.2f}" if size > 1 else "Similarity of paths"
    ax.set_title(f"{mean}\n{chance}", fontsize=11)
    if size < 2:
        ax.set_axis_off()
        ax.text(0.0, 0.9, f"{matrix.index[0]} is the only domain.", transform=ax.transAxes)
        return ax
    _draw(ax, similarity, matrix.iloc[1:, :-1].to_numpy(dtype=np.float64), list(matrix.index))
    return ax


def _draw(ax: Axes, similarity: Similarity, values: np.ndarray, domains: list[str]) -> None:
    """Draw the cells below the diagonal. values: rows are domains[1:], columns domains[:-1]."""
    below = np.tril(np.ones_like(values, dtype=bool))
    chance, spread = similarity.matched_value, similarity.matched_spread
    reach = max(_LEAST_RANGE, float(np.abs(values[below] - chance).max()))
    numbered = len(domains) <= _NUMBERED
    sns.heatmap(
        values,
        mask=~below,
        cmap="PuOr_r",
        norm=CenteredNorm(chance, reach),
        annot=numbered,
        fmt=".2f",
        annot_kws={"fontsize": 8.5},
        square=True,
        linewidths=1.0,
        linecolor=ax.get_facecolor(),
        cbar_kws={"label": "similarity", "shrink": 0.7, "aspect": 16},
        ax=ax,
    )
    mesh = ax.collections[0]
    if numbered:
        faces = np.asarray(mesh.get_facecolor())[below.ravel()]
        for text, face, value in zip(ax.texts, faces, values[below], strict=True):
            far = abs(value - chance) > spread
            text.set(fontweight="bold" if far else "normal", color=style.readable_on(face))
    texts = [
        f"{row} and {column}: {value:.2f}\nchance {chance:.2f}, excess {value - chance:+.2f}"
        if shown
        else ""
        for row, line, line_shown in zip(domains[1:], values, below, strict=True)
        for column, value, shown in zip(domains, line, line_shown, strict=False)
    ]
    style.tips(mesh, texts)
    _mark_chance(ax, chance, spread, reach)
    ax.set(xlabel="", ylabel="")
    size = 9 if numbered else 7
    middles = np.arange(len(domains) - 1) + 0.5
    how: dict[str, Any] = {
        "rotation": 40 if numbered else 90,
        "ha": "right",
        "rotation_mode": "anchor",
    }
    if not numbered:
        how["va"] = "center"
    ax.set_xticks(middles, domains[:-1], fontsize=size, **how)
    ax.set_yticks(middles, domains[1:], fontsize=size, rotation=0)
    ax.tick_params(length=0)


def _mark_chance(ax: Axes, chance: float, spread: float, reach: float) -> None:
    """Mark the mean of random paths of the same costs on the colour bar, and its spread."""
    bar = ax.collections[0].colorbar
    assert bar is not None
    low, high = max(0.0, chance - reach), min(1.0, chance + reach)
    bar.ax.set_ylim(low, high)
    near = 0.09 * (high - low)  # a tick closer than this would cover the label
    ticks = [t for t in np.linspace(0, 1, 11) if low <= t <= high and abs(t - chance) > near]
    bar.set_ticks([*ticks, chance], labels=[*(f"{t:.1f}" for t in ticks), f"{chance:.2f} chance"])
    bar.ax.axhline(chance, color="black", linewidth=1.5)
    ends = (max(low, chance - spread), min(high, chance + spread))
    bar.ax.plot([0.5, 0.5], ends, color="black", linewidth=1.5, marker="_", markersize=7)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
