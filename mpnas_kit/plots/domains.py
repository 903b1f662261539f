"""What the domains look like, and how large they are."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style

SPLIT_COLORS = dict(zip(SPLITS, (style.SHARED, style.OUTLINE, style.PRIVATE), strict=True))
_GAP = 1  # pixels between two images


def samples(
    domain: Domain,
    ax: Axes | None = None,
    *,
    split: str = "train",
    rows: int = 3,
    columns: int = 12,
    seed: int = 0,
) -> Axes:
    """Draw random images of a domain, sorted by class and not twice the same.

    Every class is there before one comes again. Fewer images than places leave places empty.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if rows < 1 or columns < 1:
        raise MpnasError(f"samples needs at least one row and column, not {rows} x {columns}.")
    part = getattr(domain, split)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
    chosen = _by_turns(part.labels[order].tolist())[: rows * columns]
    index = order[chosen]
    index = index[torch.argsort(part.labels[index], stable=True)]
    size = domain.resolution + _GAP
    mosaic = np.zeros((rows * size - _GAP, columns * size - _GAP, 4), np.uint8)  # clear between
    for place, image in enumerate(part.images[index].numpy()):
        top, left = (size * p for p in divmod(place, columns))
        spot = mosaic[top : top + domain.resolution, left : left + domain.resolution]
        spot[..., :3] = image.transpose(1, 2, 0)  # a grey image fills all three
        spot[..., 3] = 255
    ax = style.axes(ax, 0.62 * columns, 0.62 * rows + 0.35)
    ax.imshow(mosaic, interpolation="nearest")
    ax.set_axis_off()
    channels = "RGB" if part.images.shape[1] == 3 else "grey"
    ax.set_title(
        f"{domain.name}: {len(domain.classes)} classes, {channels}", fontsize=10, loc="left"
    )
    return ax


def suite_sizes(suite: DomainSuite, ax: Axes | None = None) -> Axes:
    """Draw how many images every domain has for training, validation and test."""
    ax = style.axes(ax, 8.0, max(2.2, 1.2 + 0.32 * len(suite)))
    places, left = np.arange(len(suite)), np.zeros(len(suite))
    for split, color in SPLIT_COLORS.items():
        counts = np.array([len(getattr(d, split)) for d in suite], dtype=np.float64)
        ax.barh(
            places,
            counts,
            left=left,
            height=0.72,
            color=color,
            edgecolor=style.OUTLINE,
            linewidth=0.6,
            label={"train": "training", "val": "validation", "test": "test"}[split],
        )
        left += counts
    ax.set_yticks(places, suite.names)
    ax.set_ylim(len(suite) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="images")
    ax.set_title(f"Images of {len(suite)} domains, by split", fontsize=11)
    style.plain(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    style.legend_outside(ax)
    return ax


def _by_turns(labels: list[int]) -> list[int]:
    """Positions in `labels`, such that every class has come k times before one comes k + 1."""
    turn: dict[int, int] = {}
    turns = []
    for label in labels:
        turns.append(turn.get(label, 0))
        turn[label] = turns[-1] + 1
    return sorted(range(len(labels)), key=lambda i: turns[i])
