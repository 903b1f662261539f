"""Predictions beside their images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpnas_kit.analysis.mistakes import confident_mistakes, images_at, predictions
from mpnas_kit.deploy.pixels import batches_of_pixels
from mpnas_kit.deploy.prediction import Prediction
from mpnas_kit.domains.decoding import Fit
from mpnas_kit.domains.domain import Domain
from mpnas_kit.errors import MpnasError
from mpnas_kit.plots import style
from mpnas_kit.training.result import TrainResult

_SIDE = 128  # pixels of an image beside its probabilities


@style.literal
def probabilities(
    found: Prediction, images: Sequence[object], ax: Axes | None = None, *, top: int = 4
) -> Axes:
    """Draw images, and beside each the probabilities of its most probable classes.

    found: prediction of the images.
    images: the images, as they were given to `Model.predict`. The whole of each is shown.
    ax: axes to draw into; None: a new figure.
    top: classes per image, at least 1.

    Raises `MpnasError` if `top` is less than 1, or the images are not those of the prediction.
    """
    if top < 1:
        raise MpnasError(f"probabilities draws at least one class per image, not {top}.")
    batches = batches_of_pixels(images, Fit(_SIDE, "pad", 3), len(found))
    pictures = next(batches)[1].permute(0, 2, 3, 1).numpy()
    if len(pictures) != len(found) or next(batches, None) is not None:
        raise MpnasError(f"the prediction is of {len(found)} images: expected the same images.")
    top = min(top, len(found.classes))
    ax = style.axes(ax, 7.0, 0.4 + 1.15 * len(found))
    height = 0.8 / top
    ink = style.ink()
    for row, (values, picture) in enumerate(zip(found.probabilities, pictures, strict=True)):
        order = np.argsort(-values, kind="stable")[:top]
        y = -row - height * (np.arange(top) - (top - 1) / 2)
        ax.barh(y, values[order], height=0.86 * height, color=style.accent(), alpha=0.35)
        for place, label in zip(y, order, strict=True):
            name = style.shortened(found.classes[label], 36)
            text = f" {values[label]:.0%}  {name}"
            ax.text(0, place, text, va="center", fontsize=9, color=ink)
        inside = ax.inset_axes((-0.24, -row - 0.45, 0.22, 0.9), transform=ax.transData)
        inside.imshow(picture, interpolation="nearest")
        inside.set_axis_off()
    ax.set(xlim=(-0.26, 1), ylim=(0.45 - len(found), 0.55))
    ax.set_yticks([])
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(style.percent())
    style.plain(ax, grid=None)
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_bounds(0, 1)
    ax.set_title(f"{found.domain}: probabilities of the classes", fontsize=11)
    return ax


@style.literal
def worst_mistakes(
    trained: TrainResult,
    domain: Domain,
    ax: Axes | None = None,
    *,
    split: str = "test",
    most: int = 12,
) -> Axes:
    """Draw the most confident mistakes of a split, each with its class and what was predicted.

    trained: result of a training that serves `domain`.
    domain: the domain with its images.
    ax: axes to draw into; None: a new figure.
    split: `train`, `val` or `test`.
    most: images at most, at least 1.

    Raises `MpnasError` if the split is unknown, the training does not serve the domain, or `most`
    is less than 1.
    """
    if most < 1:
        raise MpnasError(f"worst_mistakes draws at least one image, not {most}.")
    table = predictions(trained, domain, split)
    wrong = confident_mistakes(table)
    title = f"{domain.name}: {len(wrong):,} of {len(table):,} {split} images are mistaken"
    rows = wrong.head(most)
    columns = 6
    lines = max(1, -(-len(rows) // columns))
    ax = style.axes(ax, 1.5 * columns, 1.95 * lines + 0.4)
    ax.set(xlim=(0, columns), ylim=(-lines, 0))
    ax.set_axis_off()
    more = f"; the {len(rows)} most confident" if len(rows) < len(wrong) else ""
    ax.set_title(f"{title}{more}", fontsize=11)
    images = images_at(domain, split, rows["image"]) if len(rows) else ()
    for number, (row, image) in enumerate(zip(rows.itertuples(), images, strict=True)):
        line, column = divmod(number, columns)
        inside = ax.inset_axes((column + 0.08, -line - 0.62, 0.84, 0.6), transform=ax.transData)
        inside.imshow(_picture(image), interpolation="nearest")
        inside.set_axis_off()
        label, predicted = (
            style.shortened(domain.classes[i], 20) for i in (row.label, row.predicted)
        )
        text = f"{label}\nas {predicted}\n{row.confidence:.0%}"
        ax.text(column + 0.5, -line - 0.65, text, ha="center", va="top", fontsize=8)
    return ax


def _picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (C, H, W) as (H, W, 3)."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
