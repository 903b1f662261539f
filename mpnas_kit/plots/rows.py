"""Axes with one row per name, for bars and marks, and texts beside the rows."""

from matplotlib.axes import Axes

from mpnas_kit.plots import style


def named_rows(
    ax: Axes | None, names: list[str], *, pitch: float = 0.32, width: float = 6.4
) -> Axes:
    """Return axes for horizontal bars or marks, one row per name, the first name at the top.

    ax: axes to draw into; None: a new figure.
    names: names of the rows; a name may have several lines.
    pitch: height of a row of a new figure, in inches. Names of several lines have more.
    width: width of a new figure, in inches.
    """
    lines = max((name.count("\n") + 1 for name in names), default=1)
    ax = style.axes(ax, width, 1.3 + max(pitch, 0.08 + 0.16 * lines) * max(3, len(names)))
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.4, -0.6)
    style.plain(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    return ax


def values_beside(ax: Axes, texts: list[str]) -> None:
    """Write one text per row in a column on the right of the axes."""
    beside = ax.get_yaxis_transform()
    for row, text in enumerate(texts):
        ax.text(1.012, row, text, va="center", fontsize=9, transform=beside)
