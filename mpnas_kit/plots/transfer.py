"""What domains gain from each other, beside the similarity of their paths and their gradients."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm

from mpnas_kit.analysis.gradients import GradientAgreement
from mpnas_kit.analysis.relatedness import Relatedness
from mpnas_kit.analysis.transfer import Transfer
from mpnas_kit.analysis.units import signed
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style

_NUMBERED = 20  # domains of a matrix whose cells have numbers
_LEAST_RANGE = 0.5  # of the colours, in points, on both sides of 0
_NAMED = 12  # pairs of a scatter plot that have their names beside them


@style.literal
def transfer_matrix(transfer: Transfer, ax: Axes | None = None) -> Axes:
    """Draw what every domain (row) gains from every other one (column), in percentage points.

    Colours are centred on 0. A gain whose 95 % interval includes 0 is pale and in brackets. Of more
    than 20 domains, cells have no numbers, and a dot marks the gains that differ from 0.

    transfer: result of `measured_transfer`.
    ax: axes to draw into; None: a new figure.
    """
    names, size = list(transfer.domains), len(transfer.domains)
    gains = transfer.matrix().to_numpy()
    low, high = (transfer.matrix(end).to_numpy() for end in ("low", "high"))
    clear = (low > 0) | (high < 0)
    numbered = size <= _NUMBERED
    pitch = 0.5 if numbered else 0.22
    ax = style.axes(ax, max(4.6, 2.5 + pitch * size), max(3.4, 1.6 + pitch * size))
    reach = max(_LEAST_RANGE, float(np.nanmax(np.abs(gains))))
    sns.heatmap(
        gains,
        mask=np.isnan(gains),
        cmap="PuOr_r",
        norm=CenteredNorm(0.0, reach),
        square=True,
        linewidths=1.0,
        linecolor=ax.get_facecolor(),
        cbar_kws={"label": "gain (points)", "shrink": 0.7, "aspect": 16},
        ax=ax,
    )
    mesh = ax.collections[0]
    mesh.update_scalarmappable()
    faces = np.array(mesh.get_facecolor()).reshape(size, size, 4)
    faces[~clear] = 0.55 * faces[~clear] + 0.45 * np.array([1.0, 1.0, 1.0, 1.0])
    faces[np.isnan(gains)] = 0.0
    mesh.set(array=None, facecolors=faces.reshape(-1, 4))
    for row, column in zip(*np.nonzero(~np.isnan(gains)), strict=True):
        is_clear = bool(clear[row, column])
        if not numbered and not is_clear:
            continue
        text = signed(gains[row, column] / 100) if numbered else "\N{BULLET}"
        ax.text(
            column + 0.5,
            row + 0.5,
            text if is_clear else f"({text})",
            ha="center",
            va="center",
            fontsize=8.5 if is_clear else 7.5,
            fontweight="bold" if is_clear else "normal",
            color=style.readable_on(faces[row, column]),
        )
    texts = [
        ""
        if a == b
        else f"{a} with {b}: {signed(gains[i, j] / 100)} points\n"
        f"95% interval {signed(low[i, j] / 100)} to {signed(high[i, j] / 100)}"
        if np.isfinite(low[i, j])
        else f"{a} with {b}: {signed(gains[i, j] / 100)} points, one seed"
        for i, a in enumerate(names)
        for j, b in enumerate(names)
    ]
    style.tips(mesh, texts)
    how: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor"}
    font = 9 if numbered else 7
    middles = np.arange(size) + 0.5
    ax.set_xticks(middles, names, rotation=40 if numbered else 90, fontsize=font, **how)
    ax.set_yticks(middles, names, rotation=0, fontsize=font)
    ax.tick_params(length=0)
    bar = ax.collections[0].colorbar
    if bar is not None:
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)
    ax.set(xlabel="trained together with", ylabel="")
    seeds = len(transfer.seeds)
    ax.set_title(
        f"Gain from a partner: mean {signed(np.nanmean(gains) / 100)} points\n"
        f"{seeds} seed{'s' if seeds > 1 else ''}; in brackets: not distinguishable from 0",
        fontsize=11,
    )
    return ax


@style.literal
def transfer_scatter(
    related: Relatedness, ax: Axes | None = None, *, measure: str = "transfer"
) -> Axes:
    """Draw a measure of relatedness against the similarity of paths, one dot per pair of domains.

    A cross has the same measure at the similarity of random paths with the same costs, and a line
    leads from it to the dot. The title gives Spearman's correlation and its p-value.

    related: result of `analysis.relate`.
    ax: axes to draw into; None: a new figure.
    measure: `transfer` or `agreement`.

    Raises `MpnasError` if the measure is unknown or was not measured.
    """
    tests = related.tests.query("other == 'similarity'").set_index("measure")
    if measure not in tests.index:
        raise MpnasError(
            f"measure must be {' or '.join(tests.index)}, the measured ones, not {measure!r}."
        )
    ax = style.axes(ax, 6.2, 4.2)
    pairs = related.pairs
    values = pairs[measure]
    ax.hlines(values, pairs["chance"], pairs["similarity"], color=style.OUTLINE, lw=0.6, alpha=0.6)
    ax.plot(pairs["chance"], values, "x", color=style.GREY, ms=4, label="random paths")
    (dots,) = ax.plot(pairs["similarity"], values, "o", color=style.accent(), ms=6, label="pairs")
    unit = " points" if measure == "transfer" else ""
    style.tips(
        dots,
        [
            f"{r.first} and {r.second}: {measure} {getattr(r, measure):+.2f}{unit}\n"
            f"similarity {r.similarity:.2f}, chance {r.chance:.2f}"
            for r in pairs.itertuples()
        ],
    )
    if len(pairs) <= _NAMED:
        for r in pairs.itertuples():
            place = (r.similarity, getattr(r, measure))
            name = style.shortened(f"{r.first}, {r.second}")
            ax.annotate(name, place, (5, 4), textcoords="offset points", fontsize=8)
    if measure == "transfer":
        ax.axhline(0.0, color=style.GREY, lw=0.8, ls=":")
    ax.margins(0.12)
    words = {"transfer": "gain, mean of both directions (points)", "agreement": "mean cosine"}
    ax.set(xlabel="similarity of paths (Jaccard)", ylabel=words[measure])
    style.plain(ax)
    row = tests.loc[measure]
    known = f"Spearman's correlation {row['rho']:.2f} (p {row['p']:.2g})"
    title = "no order" if np.isnan(row["rho"]) else known
    ax.set_title(f"{title} over {len(pairs)} pair{'s' if len(pairs) > 1 else ''}", fontsize=11)
    style.legend_below(ax, columns=2)
    return ax


@style.literal
def agreement_by_layer(agreement: GradientAgreement, ax: Axes | None = None) -> Axes:
    """Draw the mean cosine of gradients of every layer, from the first to the last.

    A line is the range over pairs of domains. The open circle is the cosine that equal gradients
    would have, given the noise of batches.

    agreement: result of `gradient_agreement`.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if no two domains use the same node.
    """
    table = agreement.by_layer()
    if not len(table):
        raise MpnasError("agreement_by_layer: no two domains use the same node.")
    ax = style.axes(ax, max(7.0, 4.2 + 0.4 * len(table)), 3.8)
    places = np.arange(len(table))
    ax.vlines(places, table["low"], table["high"], color=style.accent(), lw=1.4)
    (dots,) = ax.plot(places, table["cosine"], "o", color=style.accent(), ms=6, label="mean cosine")
    ax.plot(
        places,
        table["ceiling"],
        "o",
        mfc="none",
        color=style.GREY,
        ms=6,
        label="equal gradients, with this noise",
    )
    style.tips(
        dots,
        [
            f"{r.layer}: cosine {r.cosine:.2f} ({r.low:.2f} to {r.high:.2f})\n"
            f"equal gradients {r.ceiling:.2f}, pairs {r.pairs}"
            for r in table.itertuples()
        ],
    )
    ax.axhline(0.0, color=style.GREY, lw=0.8, ls=":")
    names = [style.shortened(str(layer), 12) for layer in table["layer"]]
    ax.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set(ylabel="cosine of gradients")
    style.plain(ax)
    ax.set_title(f"Agreement of gradients: mean {agreement.rows['cosine'].mean():.2f}", fontsize=11)
    style.legend_outside(ax)
    return ax
