"""Images of the domains, and the number of images per split."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style

SPLIT_COLORS = dict(zip(SPLITS, (style.SHARED, style.OUTLINE, style.PRIVATE), strict=True))
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
_GAP = 1  # pixels between two images


@style.literal
def samples(
    domain: Domain,
    ax: Axes | None = None,
    *,
    split: str = "train",
    rows: int = 3,
    columns: int = 12,
    seed: int = 0,
) -> Axes:
    """Draw random images of one domain, sorted by class, no image twice.

    Every class is drawn once before a class is drawn twice. If the split has fewer images than the
    grid has cells, the last cells stay empty.

    domain: domain to draw.
    ax: axes to draw into; None: a new figure.
    split: `train`, `val` or `test`.
    rows, columns: size of the grid, each at least 1.
    seed: seed of the random choice of images.

    Raises `MpnasError` if the split is unknown or the grid has no cell.
    """
    if rows < 1 or columns < 1:
        raise MpnasError(f"samples needs at least one row and one column, not {rows} x {columns}.")
    part = domain.split(split)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
    chosen = _by_turns(part.labels[order].tolist())[: rows * columns]
    index = order[chosen]
    index = index[torch.argsort(part.labels[index], stable=True)]
    size = domain.resolution + _GAP
    mosaic = np.zeros((rows * size - _GAP, columns * size - _GAP, 4), np.uint8)  # transparent
    for number, image in enumerate(part.take(index).numpy()):
        top, left = (size * p for p in divmod(number, columns))
        cell = mosaic[top : top + domain.resolution, left : left + domain.resolution]
        cell[..., :3] = image.transpose(1, 2, 0)  # a grey channel fills all three
        cell[..., 3] = 255
    ax = style.axes(ax, 0.62 * columns, 0.62 * rows + 0.35)
    ax.imshow(mosaic, interpolation="nearest")
    ax.set_axis_off()
    channels = "RGB" if domain.channels == 3 else "grey"
    ax.set_title(
        f"{domain.name}: {len(domain.classes)} classes, {channels}", fontsize=10, loc="left"
    )
    return ax


@style.literal
def suite_sizes(suite: DomainSuite, ax: Axes | None = None) -> Axes:
    """Draw the number of training, validation and test images of every domain.

    suite: domains to draw.
    ax: axes to draw into; None: a new figure.
    """
    ax = style.axes(ax, 6.4, max(2.4, 1.5 + 0.32 * len(suite)))
    positions, left = np.arange(len(suite)), np.zeros(len(suite))
    for split, color in SPLIT_COLORS.items():
        counts = np.array([len(d.split(split)) for d in suite], dtype=np.float64)
        bars = ax.barh(
            positions,
            counts,
            left=left,
            height=0.72,
            color=color,
            edgecolor=style.OUTLINE,
            linewidth=0.6,
            label=SPLIT_NAMES[split],
        )
        left += counts
        pairs = zip(suite.names, counts, strict=True)
        style.tips(bars, [f"{d}: {n:,.0f} {SPLIT_NAMES[split]} images" for d, n in pairs])
    ax.set_yticks(positions, suite.names)
    ax.set_ylim(len(suite) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="images")
    ax.set_title(f"Images of {len(suite)} domains, by split", fontsize=11)
    style.plain(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    style.legend_below(ax)
    return ax


def _by_turns(labels: list[int]) -> list[int]:
    """Return the positions of `labels`: first one of every class, then a second of each, ..."""
    turn: dict[int, int] = {}
    turns = []
    for label in labels:
        turns.append(turn.get(label, 0))
        turn[label] = turns[-1] + 1
    return sorted(range(len(labels)), key=lambda i: turns[i])
