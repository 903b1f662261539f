"""What a suite has: images per class, sizes of the files, examples of every class, and copies."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mpnas_kit.analysis.suite_facts import SuiteFacts
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.split import Split, read
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.plots.domains import SPLIT_COLORS, SPLIT_NAMES

MOST_CLASSES = 30  # classes that a figure shows
_DOTS = 2000  # files per domain that a figure shows
_GAP = 1  # pixels between two images


def shown_classes(counts: Sequence[int], most: int = MOST_CLASSES) -> tuple[list[int], int]:
    """Return which classes a figure shows, and the position of the gap between them.

    The classes are sorted by their number of images, descending. If there are more than `most`,
    the gap is before the least frequent ones; else it is -1.

    counts: images of every class.
    most: classes that are shown.

    >>> shown_classes([5, 9, 1, 7, 3], most=4)
    ([1, 3, 4, 2], 2)
    """
    order = np.argsort(-np.asarray(counts), kind="stable").tolist()
    if len(order) <= most:
        return order, -1
    first = (most + 1) // 2
    return order[:first] + order[first - most :], first


@style.literal
def class_counts(
    facts: SuiteFacts, domain: str, ax: Axes | None = None, *, most: int = MOST_CLASSES
) -> Axes:
    """Draw the number of images of every class of a domain, by split, the most frequent first.

    Of more than `most` classes, the most and the least frequent ones are drawn. A line of text
    between them counts the others.

    facts: what `describe` returns.
    domain: name of the domain.
    ax: axes to draw into; None: a new figure.
    most: classes that are drawn, at least 2.

    Raises `MpnasError` if the domain is unknown, or `most` is less than 2.
    """
    if domain not in set(facts.classes["domain"]):
        raise unknown("domain", domain, facts.domains["domain"])
    if most < 2:
        raise MpnasError(f"class_counts draws at least 2 classes, not {most}.")
    own = facts.classes[facts.classes["domain"] == domain]
    counts = own[list(SPLITS)].to_numpy()
    order, gap = shown_classes(counts.sum(1).tolist(), most)
    rows = np.arange(len(order)) + np.where(np.arange(len(order)) >= gap, gap > 0, 0)
    ax = style.axes(ax, 6.4, max(2.4, 1.5 + 0.26 * (rows[-1] + 1)))
    left = np.zeros(len(order))
    labels = own["label"].tolist()
    for i, split in enumerate(SPLITS):
        width = counts[order, i]
        bars = ax.barh(
            rows,
            width,
            left=left,
            height=0.72,
            color=SPLIT_COLORS[split],
            edgecolor=style.OUTLINE,
            linewidth=0.5,
            label=SPLIT_NAMES[split],
        )
        left += width
        pairs = zip(order, width, strict=True)
        style.tips(bars, [f"{labels[k]}: {n:,} {SPLIT_NAMES[split]} images" for k, n in pairs])
    ax.set_yticks(rows, [style.shortened(labels[i]) for i in order])
    if gap > 0:
        words = f"and {len(own) - len(order):,} more classes"
        ax.text(0.01, gap, words, va="center", fontsize=9, transform=ax.get_yaxis_transform())
    ax.set_ylim(rows[-1] + 0.6, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="images")
    ax.set_title(f"{domain}: images of {len(own):,} classes", fontsize=11)
    style.plain(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    style.legend_below(ax)
    return ax


@style.literal
def original_sizes(facts: SuiteFacts, ax: Axes | None = None) -> Axes:
    """Draw width and height of the files, in pixels, before they were decoded.

    A dot is a file; of more than 2,000 files of a domain, so many are drawn. The dashed line is a
    square. A cross is at the resolution that the images of the domain have now.

    facts: what `describe` returns.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if the images are not from files.
    """
    if facts.originals is None:
        raise MpnasError(f"the images of suite {facts.name!r} are not from files: no sizes.")
    domains = facts.domains["domain"].tolist()
    colors = style.drawn_colors(domains)
    ax = style.axes(ax, 6.6, 5.0)
    generator = np.random.default_rng(0)
    for row in facts.domains.itertuples():
        own = facts.originals[facts.originals["domain"] == row.domain]
        if len(own) > _DOTS:
            own = own.iloc[np.sort(generator.choice(len(own), _DOTS, replace=False))]
        if own.empty:
            continue
        color, label = colors[row.domain], style.in_legend(row.domain)
        jitter = np.exp(generator.normal(0, 0.012, (2, len(own))))  # equal sizes become visible
        width, height = own["width"] * jitter[0], own["height"] * jitter[1]
        ax.scatter(width, height, s=12, color=color, alpha=0.5, linewidths=0, label=label)
        ax.plot(row.resolution, row.resolution, "x", color=color, markersize=9, mew=2)
    ax.set(xscale="log", yscale="log", xlabel="width (pixels)", ylabel="height (pixels)")
    limits = (min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1]))
    ax.plot(limits, limits, "--", color=style.OUTLINE, linewidth=0.8, zorder=0)
    ax.set(xlim=limits, ylim=limits)
    for axis in (ax.xaxis, ax.yaxis):
        style.log_ticks(axis)
        axis.set_major_formatter("{x:g}")
    style.plain(ax)
    ax.set_title("Size of every file (dots), and of the images now (crosses)", fontsize=11)
    style.legend_outside(ax)
    return ax


@style.literal
def class_samples(
    domain: Domain,
    ax: Axes | None = None,
    *,
    split: str = "train",
    classes: int = 12,
    columns: int = 10,
    seed: int = 0,
) -> Axes:
    """Draw random images of every class of a domain: one row per class, with its name.

    Of more classes than `classes`, the most and the least frequent ones of the split are drawn. A
    class without images in the split has an empty row.

    domain: domain to draw.
    ax: axes to draw into; None: a new figure.
    split: `train`, `val` or `test`.
    classes: rows, at least 2.
    columns: images per class, at least 1.
    seed: seed of the random choice of images.

    Raises `MpnasError` if the split is unknown, or there is no place for images.
    """
    if classes < 2 or columns < 1:
        raise MpnasError(
            f"class_samples needs at least 2 classes and one column, not {classes} x {columns}."
        )
    part = domain.split(split)
    labels = part.labels
    counts = torch.bincount(labels, minlength=len(domain.classes)).tolist()
    order, gap = shown_classes(counts, classes)
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for label in order:
        (own,) = torch.nonzero(labels == label, as_tuple=True)
        chosen = own[torch.randperm(len(own), generator=generator)[:columns]]
        rows.append(chosen)
    ax = style.axes(ax, 0.62 * columns + 2.4, 0.62 * len(order) + 0.5 + 0.3 * (gap > 0))
    _mosaic(ax, part, rows, columns, [gap] if gap > 0 else [])
    size = domain.resolution + _GAP
    extra = np.where((np.arange(len(order)) >= gap) & (gap > 0), size // 2, 0)
    middles = size * np.arange(len(order)) + domain.resolution / 2 + extra
    texts = [f"{style.shortened(domain.classes[i], 24)} ({counts[i]:,})" for i in order]
    ax.set_yticks(middles, texts)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    if gap > 0:
        words = f"and {len(counts) - len(order):,} more classes"
        ax.text(0, size * gap + size // 4, words, va="center", fontsize=9)
    ax.set_title(f"{domain.name}: images of classes, and their number in {split}", fontsize=10)
    return ax


def _mosaic(
    ax: Axes, split: Split, rows: Sequence[torch.Tensor], columns: int, gaps: Sequence[int]
) -> None:
    """Draw rows of images. Before the rows in `gaps` half a row stays free."""
    side = split.shape[-1]
    size, free = side + _GAP, (side + _GAP) // 2
    height = size * len(rows) - _GAP + free * len(gaps)
    canvas = np.zeros((height, columns * size - _GAP, 4), np.uint8)  # transparent
    for number, index in enumerate(rows):
        top = size * number + free * sum(number >= gap for gap in gaps)
        for column, image in enumerate(read(split, index).numpy() if len(index) else ()):
            _place(canvas, image, top, column * size)
    ax.imshow(canvas, interpolation="nearest")


def _place(canvas: NDArray[np.uint8], image: NDArray[np.uint8], top: int, left: int) -> None:
    side = image.shape[-1]
    cell = canvas[top : top + side, left : left + side]
    cell[..., :3] = image.transpose(1, 2, 0)  # a grey channel fills all three
    cell[..., 3] = 255


@style.literal
def copy_pairs(
    facts: SuiteFacts, suite: DomainSuite, ax: Axes | None = None, *, pairs: int = 12
) -> Axes:
    """Draw images that have a copy, each beside its copy, and where both are.

    Pairs in different domains are drawn first, then those in different splits, then the others.

    facts: what `describe` returned for the suite.
    suite: domains with their images.
    ax: axes to draw into; None: a new figure.
    pairs: pairs that are drawn at most, at least 1.

    Raises `MpnasError` if there is no copy, or `pairs` is less than 1.
    """
    if pairs < 1:
        raise MpnasError(f"copy_pairs draws at least one pair, not {pairs}.")
    if facts.copies.empty:
        raise MpnasError(f"suite {facts.name!r} has no copies to draw.")
    rows = facts.copies
    apart = 2 * (rows["domain"] != rows["other_domain"]) + (rows["split"] != rows["other_split"])
    chosen = rows.loc[apart.sort_values(ascending=False, kind="stable").index].head(pairs)
    size = max(suite[d].resolution for d in {*chosen["domain"], *chosen["other_domain"]}) + _GAP
    canvas = np.zeros((size * len(chosen) - _GAP, 2 * size - _GAP, 4), np.uint8)
    texts = []
    for number, row in enumerate(chosen.itertuples()):
        own = (row.domain, row.split, row.image, row.label)
        other = (row.other_domain, row.other_split, row.other_image, row.other_label)
        words = []
        for column, (name, split, image, label) in enumerate((own, other)):
            (pixels,) = read(suite[name].split(split), torch.tensor([image])).numpy()
            lines = np.arange(size - _GAP) * pixels.shape[-1] // (size - _GAP)  # fills the cell
            pixels = pixels[:, lines][:, :, lines]
            _place(canvas, pixels, number * size, column * size)
            words.append(f"{name}, {split}, {style.shortened(suite[name].classes[label], 24)}")
        texts.append(f"{row.kind} copy: {words[0]}\nof {words[1]}")
    ax = style.axes(ax, 6.4, 0.66 * len(chosen) + 0.5)
    ax.imshow(canvas, interpolation="nearest")
    ax.yaxis.tick_right()
    ax.set_yticks(size * np.arange(len(chosen)) + size / 2, texts, fontsize=8.5)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    more = f", {len(chosen)} of {len(rows):,}" if len(chosen) < len(rows) else ""
    ax.set_title(f"Copies{more}", fontsize=10)
    return ax
