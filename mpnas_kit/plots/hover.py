"""Values on hover: invisible areas over the marks of a figure, each with a text, in its SVG."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # (n, 4): left, lower, right, upper, in pixels
LEAST = 5.0  # half the width of the smallest area, 1/72 inch: a pointer hits it easily
_LINE = 8.0  # width of the area along a line, 1/72 inch


class HoverAreas(Artist):
    """Areas with a text each. In an SVG, an area is `<g class="tip"><title>TEXT</title>...</g>`.

    Other formats do not have them, and they take no room in a layout.

    texts: text of every area; lines are separated by line feeds. Empty: no area.
    boxes: returns the areas when the figure is drawn, in pixels.
    lines: returns lines instead, as points in pixels.
    """

    def __init__(
        self,
        texts: Sequence[str],
        boxes: Callable[[], Boxes] | None = None,
        lines: Callable[[], list[Boxes]] | None = None,
    ) -> None:
        super().__init__()
        self.texts = list(texts)
        self._boxes, self._lines = boxes, lines
        self.set_in_layout(False)
        self.set_zorder(1000)

    def draw(self, renderer: RendererBase) -> None:
        """Write the areas into an SVG."""
        svg: Any = renderer
        if (writer := getattr(svg, "writer", None)) is None:  # only the renderer of SVG has one
            return
        height = float(svg.height)
        for text, (tag, about) in zip(self.texts, self._shapes(height), strict=True):
            if text:
                writer.start("g", attrib={"class": "tip"})
                writer.element("title", text)
                writer.element(tag, attrib={"pointer-events": "all", **about})
                writer.end("g")

    def _shapes(self, height: float) -> Iterator[tuple[str, dict[str, str]]]:
        for left, low, right, high in self._boxes() if self._boxes else ():
            sides = {"x": left, "y": height - high, "width": right - left, "height": high - low}
            yield "rect", {"fill": "none", **{k: f"{v:.1f}" for k, v in sides.items()}}
        for points in self._lines() if self._lines else ():
            along = " ".join(f"{x:.1f},{height - y:.1f}" for x, y in points)
            how = {"fill": "none", "stroke": "none", "stroke-width": f"{_LINE:g}"}
            yield "polyline", {"points": along, **how}


def hover_areas(artist: Any, texts: Sequence[str]) -> HoverAreas:
    """Return the areas over the marks of an artist: points, bars, cells, patches or a line."""
    if isinstance(artist, PathPatch):
        return HoverAreas(texts, lines=lambda: [_along(artist)])
    return HoverAreas(texts, boxes=lambda: _boxes(artist))


def hover_columns(ax: Axes, xs: Sequence[float], texts: Sequence[str]) -> HoverAreas:
    """Return areas as high as the axes, each around one of the ascending positions `xs`."""

    def boxes() -> Boxes:
        frame = ax.bbox
        at = ax.transData.transform([(x, 0.0) for x in xs])[:, 0]
        ends = np.concatenate([[frame.x0], (at[1:] + at[:-1]) / 2, [frame.x1]])
        ends = np.clip(ends, frame.x0, frame.x1)
        low, high = np.full(len(at), frame.y0), np.full(len(at), frame.y1)
        return np.stack([ends[:-1], low, ends[1:], high], axis=1)

    return HoverAreas(texts, boxes)


def _boxes(artist: Any) -> Boxes:
    """Return the boxes of the marks of an artist, in pixels."""
    if isinstance(artist, Line2D):
        points = artist.get_transform().transform(artist.get_xydata())
        return _around(points, artist.get_markersize() / 2)
    if isinstance(artist, PathCollection):
        points = artist.get_offset_transform().transform(artist.get_offsets())
        return _around(points, np.sqrt(np.resize(artist.get_sizes(), len(points))) / 2)
    if isinstance(artist, QuadMesh):
        corners = np.asarray(artist.get_coordinates())
        corners = artist.get_transform().transform(corners.reshape(-1, 2)).reshape(corners.shape)
        return _sorted(corners[:-1, :-1].reshape(-1, 2), corners[1:, 1:].reshape(-1, 2))
    boxes = np.array([part.get_window_extent().extents for part in artist]).reshape(-1, 4)
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = np.maximum(half, LEAST / 2)  # a bar may have no length
    return np.concatenate([middle - half, middle + half], axis=1)


def _around(points: NDArray[np.float64], radius: Any) -> Boxes:
    """Return boxes around points. radius: half of their width, at least `LEAST`, 1/72 inch.

    An SVG has 72 pixels per inch.
    """
    half = np.maximum(np.broadcast_to(radius, len(points)), LEAST)[:, None]
    return np.concatenate([points - half, points + half], axis=1)


def _sorted(one: NDArray[np.float64], other: NDArray[np.float64]) -> Boxes:
    return np.concatenate([np.minimum(one, other), np.maximum(one, other)], axis=1)


def _along(patch: Patch) -> Boxes:
    """Return the points of the outline of a patch, in pixels."""
    polygons = patch.get_path().to_polygons(patch.get_transform(), closed_only=False)
    return np.asarray(np.concatenate(polygons))
