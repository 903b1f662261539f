"""Colours and small helpers that all figures share. Nothing here changes matplotlib's settings.

Figures follow the style in force (`plt.style.context("dark_background")`, ...): text and thin lines
take its text colour. For one picture that is readable on any page, draw it in
`plt.rc_context(TRANSPARENT)`.
"""

from collections.abc import Sequence
from typing import Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, Formatter, PercentFormatter

from mpnas_kit.errors import MpnasError, unknown

# Twelve colours found by search: the least OKLab distance of two of the first ten, in normal
# vision and in simulated protanopia, deuteranopia and tritanopia (Machado et al. 2009), is
# 0.11 or more (matplotlib's ten: 0.007); contrast at least 1.8 to white and 2.3 to near-black.
PALETTE = (
    "#4b3cb4",
    "#ffa500",
    "#00a578",
    "#b42d00",
    "#c378e1",
    "#69d296",
    "#783c5a",
    "#e1691e",
    "#d2b4f0",
    "#7869a5",
    "#2d785a",
    "#e178b4",
)

SHARED, PRIVATE, OUTLINE = "#4a525c", "#d3d8de", "#8a929c"  # greys that stand on light and dark
TEXT_ON_SHARED, TEXT_ON_PRIVATE = "#ffffff", "#22272e"
ACCENT = "#b42d00"

TRANSPARENT = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#7d8590"
    ),
}
"""Settings for `plt.rc_context`: no background, and a grey that is readable on white and black."""


def domain_colors(domains: Sequence[str]) -> dict[str, str]:
    """A colour for every domain, by its place; from the thirteenth on colours come again."""
    if len(set(domains)) < len(domains):
        raise MpnasError(f"domains must be distinct, not {', '.join(domains)}.")
    return {d: PALETTE[i % len(PALETTE)] for i, d in enumerate(domains)}


def chosen_domains(wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """`wanted`, checked against the `known` domains; None: all of them."""
    for domain in wanted or ():
        if domain not in known:
            raise unknown("domain", domain, known)
    return list(known if wanted is None else wanted)


def ink() -> str:
    """The text colour in force."""
    return str(mpl.rcParams["text.color"])


def axes(ax: Axes | None, width: float = 10.0, height: float = 4.5) -> Axes:
    """`ax`, or the axes of a new figure of that size (inches)."""
    if ax is not None:
        return ax
    _, made = plt.subplots(figsize=(width, height), layout="constrained")
    return made


def plain(ax: Axes, grid: Literal["x", "y"] | None = "y") -> None:
    """Without the upper and right spine; with a faint grid along `grid`."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(axis=grid, color=OUTLINE, alpha=0.25, linewidth=0.6)


def percent() -> Formatter:
    """Ticks of shares (0 to 1) as percentages."""
    return PercentFormatter(1.0, decimals=None)


def thousands() -> Formatter:
    """Ticks of counts as 20 k, 3 M."""
    return EngFormatter(sep=" ")


def legend_outside(ax: Axes, *, across: float = 1.01, upwards: bool = False) -> None:
    """The legend right of the axes, where it hides nothing; upwards: the first entry lowest."""
    handles, labels = ax.get_legend_handles_labels()
    order = -1 if upwards else 1
    ax.legend(
        handles[::order],
        labels[::order],
        loc="upper left",
        bbox_to_anchor=(across, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=9,
    )
