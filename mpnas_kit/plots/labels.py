"""Where the labels of points go, so that none lies on another label, a point or a line."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpnas_kit.plots import style

Box = tuple[float, float, float, float]  # left, lower, right, upper
_SIDES = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_DISTANCES = (7.0, 14.0, 24.0, 36.0, 50.0)  # points


def label_points(
    ax: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], lines: Sequence[Box] = ()
) -> None:
    """Write a text beside every point (data coordinates), with a thin line where it is far.

    lines: upright and level lines (data coordinates) that are kept free. The places hold for the
    size that the figure has now.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # before that a layout engine has not placed the axes
    pixels = figure.dpi / 72
    anchors = ax.transData.transform(points) / pixels
    written = [ax.annotate(t, p, fontsize=8.5) for t, p in zip(texts, points, strict=True)]
    extents = [w.get_window_extent() for w in written]
    sizes = [(e.width / pixels + 2, e.height / pixels) for e in extents]
    taken = [_around(x, y, 5.0) for x, y in anchors]
    for left, low, right, high in lines:
        (x0, y0), (x1, y1) = ax.transData.transform([(left, low), (right, high)]) / pixels
        taken.append((x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    frame = ax.get_window_extent()
    bounds = tuple(v / pixels for v in (frame.x0, frame.y0, frame.x1, frame.y1))
    corners = place(anchors, sizes, taken, bounds)
    for text, anchor, corner, size in zip(written, anchors, corners, sizes, strict=True):
        text.xyann = tuple(corner - anchor)
        text.anncoords = "offset points"
        text.set(ha="left", va="bottom", in_layout=False)
        nearest = np.clip(anchor, corner, corner + size)
        if np.hypot(*(nearest - anchor)) > 1.5 * _DISTANCES[0]:
            thin = {"arrowstyle": "-", "color": style.OUTLINE, "linewidth": 0.6}
            ax.annotate(
                "",
                points[written.index(text)],
                tuple(nearest - anchor),
                textcoords="offset points",
                arrowprops={**thin, "shrinkA": 0, "shrinkB": 4},
            ).set_in_layout(False)


def place(
    anchors: NDArray[np.float64],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    bounds: Sequence[float],
) -> NDArray[np.float64]:
    """(n, 2) lower left corners of boxes of these sizes, each near its anchor, all lengths alike.

    Each goes where it covers least of the other boxes, of what is `taken` and of the outside of
    `bounds`, and of such places to the nearest; in turn, three times over.
    """
    count = len(sizes)
    choices = [_corners(a, s) for a, s in zip(anchors, sizes, strict=True)]
    corners = np.array([c[0][0] for c in choices]).reshape(count, 2)
    for _ in range(3):
        for i, (width, height) in enumerate(sizes):
            others = [
                (x, y, x + w, y + h)
                for j, ((x, y), (w, h)) in enumerate(zip(corners, sizes, strict=True))
                if j != i
            ]
            obstacles = np.array([*taken, *others]).reshape(-1, 4)
            costs = []
            for (x, y), distance in choices[i]:
                box = (x, y, x + width, y + height)
                outside = width * height - float(_overlap(box, np.array([bounds]))[0])
                costs.append(float(_overlap(box, obstacles).sum()) + 4 * outside + distance / 10)
            corners[i] = choices[i][int(np.argmin(costs))][0]
    return corners


def _corners(
    anchor: NDArray[np.float64], size: tuple[float, float]
) -> list[tuple[tuple[float, float], float]]:
    """The places to choose from: lower left corner, and how little it is liked."""
    (x, y), (width, height) = anchor, size
    result = []
    for (k, distance), (i, (across, up)) in product(enumerate(_DISTANCES), enumerate(_SIDES)):
        reach = distance * (0.7 if across and up else 1.0)
        left = x - width / 2 + across * (width / 2 + reach)
        low = y - height / 2 + up * (height / 2 + reach)
        result.append(((left, low), distance + 0.01 * i + 20 * (k > 0)))
    return result


def _overlap(box: Box, others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that a box has in common with each of `others` (n, 4)."""
    across = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    up = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return np.asarray(np.clip(across, 0, None) * np.clip(up, 0, None))


def _around(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half
