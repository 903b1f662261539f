"""Positions of point labels: no label covers another label, a point or a line."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpnas_kit.plots import style

Box = tuple[float, float, float, float]  # left, lower, right, upper
Vector = NDArray[np.float64]
_DISTANCES = (7.5, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0)  # from point to label, 1/72 inch
_DIRECTIONS = (0, 8, 4, 12, 1, 15, 7, 9, 2, 14, 6, 10, 3, 13, 5, 11)  # 1/16 circle, best first
_LEADER = 12.0  # from this distance on, a line joins the point and its label


def label_points(
    ax: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], lines: Sequence[Box] = ()
) -> None:
    """Write a text beside every point, and join the two by a thin line if they are far apart.

    The positions hold for the present size of the figure.

    points: data coordinates.
    texts: one per point.
    lines: vertical and horizontal lines to keep free, in data coordinates.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # a layout engine places the axes only when it draws
    inch = figure.dpi / 72

    def scaled(data: Sequence[tuple[float, float]]) -> Vector:
        return np.asarray(ax.transData.transform(data)) / inch

    written = [ax.text(*p, t, fontsize=8.5) for p, t in zip(points, texts, strict=True)]
    extents = [w.get_window_extent() for w in written]
    sizes = np.array([(e.width / inch + 2, e.height / inch) for e in extents])
    for text in written:
        text.remove()
    anchors = scaled(points)
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in anchors]
    for left, low, right, high in lines:
        (x0, y0), (x1, y1) = scaled([(left, low), (right, high)])
        taken.append((x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    frame = np.asarray(ax.get_window_extent().extents) / inch
    how: dict[str, Any] = {"textcoords": "offset points", "in_layout": False}
    line = {"arrowstyle": "-", "color": style.OUTLINE, "linewidth": 0.7, "shrinkA": 0}
    found = places(anchors, sizes, taken, frame)
    for place, anchor, point, name in zip(found, anchors, points, texts, strict=True):
        corner = tuple(np.array(place.box[:2]) - anchor)
        ax.annotate(name, point, corner, fontsize=8.5, ha="left", va="bottom", **how)
        if place.distance >= _LEADER:
            ax.annotate("", point, tuple(place.end - anchor), arrowprops=line, **how)


class Place(NamedTuple):
    """A position of a label: its box, the point of it nearest to the anchor, their distance."""

    box: Box
    end: Vector
    distance: float


def places(anchors: Vector, sizes: Vector, taken: Sequence[Box], bounds: Vector) -> list[Place]:
    """Return one position per label, near its anchor.

    In three rounds, each label takes the position of least cost. Cost: area shared with other
    labels, with the boxes `taken` and with the outside of `bounds`; lines that cross labels;
    another anchor that is nearer than its own; distance.

    anchors: (n, 2). sizes: width and height of the labels, (n, 2). taken: boxes to keep free.
    bounds: (left, lower, right, upper). All lengths are in the same unit.
    """
    choices = [_choices(a, s) for a, s in zip(anchors, sizes, strict=True)]
    chosen = [c[0] for c in choices]
    fixed, frame = np.array(taken).reshape(-1, 4), np.array([bounds])
    for _ in range(3):
        for i, (width, height) in enumerate(sizes):
            others = chosen[:i] + chosen[i + 1 :]
            boxes = np.array([o.box for o in others]).reshape(-1, 4)
            far = [(a, o) for a, o in zip(np.delete(anchors, i, 0), others, strict=True)]
            lines = np.array([_along(a, o.end) for a, o in far if o.distance >= _LEADER])
            costs = []
            for order, place in enumerate(choices[i]):
                outside = width * height - _overlap(place.box, frame)
                cost = _overlap(place.box, boxes) + 3 * _overlap(place.box, fixed) + 4 * outside
                cost += 15 * _inside(lines.reshape(-1, 2), np.array([place.box]))
                if place.distance >= _LEADER:
                    cost += 10 + 15 * _inside(_along(anchors[i], place.end), boxes)
                elif _distance(place.box, np.delete(anchors, i, 0)) < place.distance - 0.5:
                    cost += 8  # the label would seem to belong to another point
                costs.append(cost + place.distance / 5 + order / 1000)
            chosen[i] = choices[i][int(np.argmin(costs))]
    return chosen


def _choices(anchor: Vector, size: Vector) -> list[Place]:
    """Return the positions that a label may take."""
    result = []
    for distance, sixteenth in product(_DISTANCES, _DIRECTIONS):
        angle = sixteenth * np.pi / 8
        towards = np.array([np.cos(angle), np.sin(angle)])
        centre = anchor + distance * towards + size / 2 * np.clip(1.5 * towards, -1, 1)
        low, high = centre - size / 2, centre + size / 2
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        result.append(Place(box, np.clip(anchor, low, high), distance))
    return result


def _along(start: Vector, end: Vector) -> Vector:
    """Return 16 points on a line: (16, 2)."""
    return start + np.linspace(0, 1, 16)[:, None] * (end - start)


def _inside(points: Vector, boxes: Vector) -> int:
    """Return how many of the points (m, 2) are inside a box (n, 4), summed over the boxes."""
    x, y = points[:, :1], points[:, 1:]
    across = (x > boxes[:, 0]) & (x < boxes[:, 2])
    return int((across & (y > boxes[:, 1]) & (y < boxes[:, 3])).sum())


def _distance(box: Box, points: Vector) -> float:
    """Return the distance from a box to the nearest of the points (m, 2); infinite without any."""
    gaps = points - np.clip(points, box[:2], box[2:])
    return float(np.hypot(gaps[:, 0], gaps[:, 1]).min(initial=np.inf))


def _overlap(box: Box, others: Vector) -> float:
    """Return the area that a box shares with the `others` (n, 4), summed."""
    across = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    up = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return float((np.clip(across, 0, None) * np.clip(up, 0, None)).sum())
