"""Predictions of a trained network image by image: mistakes and confusion matrix."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mpnas_kit.domains.domain import Domain
from mpnas_kit.domains.split import Subset, read
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.network.net import Flow
from mpnas_kit.training.evaluation import standard_for
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import Range, checked


def predictions(trained: TrainResult, domain: Domain, split: str = "test") -> pd.DataFrame:
    """Return the prediction for every image of a split.

    trained: result of a training that serves `domain`.
    domain: the domain with its images.
    split: `train`, `val` or `test`.

    One row per image, in the order of the split. Columns:

        image: index in the split, from 0.
        label, predicted: class indices, from 0.
        confidence: probability of the predicted class (softmax), 0 to 1.
        right: whether `predicted` is the label.

    Raises `MpnasError` if `split` is unknown, or the training does not serve the domain.

    >>> table = mk.analysis.predictions(trained, suite["planted0"])
    >>> len(table), table.columns.tolist()
    (16, ['image', 'label', 'predicted', 'confidence', 'right'])
    """
    return first_predictions(top_predictions(trained, domain, split, 1))


@checked("top_predictions")
def top_predictions(
    trained: TrainResult,
    domain: Domain,
    split: str = "test",
    count: Annotated[int, Range(1, 100)] = 5,
) -> pd.DataFrame:
    """Return the likeliest classes of every image of a split.

    trained: result of a training that serves `domain`.
    domain: the domain with its images.
    split: `train`, `val` or `test`.
    count: number of classes per image, 1 to 100. A domain with fewer classes has fewer.

    One row per image and class, in the order of the split, the likeliest class first. Columns:

        image: index in the split, from 0.
        label: class index of the image, from 0.
        rank: 1 for the likeliest class, 2 for the next.
        predicted: class index, from 0.
        confidence: probability of this class (softmax), 0 to 1.

    Raises `MpnasError` if `split` is unknown, or the training does not serve the domain.

    >>> table = mk.analysis.top_predictions(trained, suite["planted0"], count=3)
    >>> len(table), table["rank"].tolist()[:3]
    (48, [1, 2, 3])
    """
    if domain.name not in trained.paths:
        raise unknown("domain of this training", domain.name, trained.paths)
    net, path = trained.net.eval(), trained.paths[domain.name]
    images, standard = domain.split(split), standard_for(net, domain)
    device, count = next(net.parameters()).device, min(count, len(domain.classes))
    found = []
    with torch.no_grad():
        for part in torch.split(torch.arange(len(images)), 500):
            batch = standard(read(images, part).to(device))
            (logits,) = net([Flow(domain.name, batch, path)])
            confidence, predicted = logits.softmax(1).topk(count)
            found.append(torch.stack([predicted.double(), confidence.double()]).cpu())
    predicted, confidence = torch.cat(found, 1).flatten(1).numpy()
    labels = images.labels.numpy()
    return pd.DataFrame(
        {
            "image": np.arange(len(labels)).repeat(count),
            "label": labels.repeat(count),
            "rank": np.tile(np.arange(1, count + 1), len(labels)),
            "predicted": predicted.astype(np.int64),
            "confidence": confidence,
        }
    )


def first_predictions(top: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `predictions`.

    top: what `top_predictions` returns.

    >>> top = mk.analysis.top_predictions(trained, suite["planted0"])
    >>> len(mk.analysis.first_predictions(top))
    16
    """
    first = top[top["rank"] == 1].drop(columns="rank").reset_index(drop=True)
    return first.assign(right=first["predicted"] == first["label"])


def confident_mistakes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `predictions` that are wrong, in order of descending confidence.

    table: what `predictions` returns, or rows of it.

    >>> table = mk.analysis.predictions(trained, suite["planted0"])
    >>> bool(mk.analysis.confident_mistakes(table)["right"].any())
    False
    """
    wrong = table[~table["right"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable")


@checked("confusion")
def confusion(table: pd.DataFrame, classes: Annotated[int, Range(1, 100_000)]) -> pd.DataFrame:
    """Return the confusion matrix: int64 counts of images, shape (classes, classes).

    table: what `predictions` returns.
    classes: number of classes of the domain, 1 to 100,000.

    Raises `MpnasError` if the table has more classes.

    Rows are labels, columns are predicted classes; both are class indices.

    >>> table = mk.analysis.predictions(trained, suite["planted0"])
    >>> int(mk.analysis.confusion(table, 16).to_numpy().sum())
    16
    """
    labels, predicted = (table[name].to_numpy() for name in ("label", "predicted"))
    largest = max([-1, *labels, *predicted])
    if largest >= classes:
        raise MpnasError(
            f"the table has the class {largest}: expected more than {classes} classes."
        )
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return pd.DataFrame(counts)


def class_recalls(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the images and the recall of every class, from a confusion matrix.

    counts: what `confusion` returns.

    One row per class, in the order of the labels. Columns images (their number), recall (share of
    the class's images that are recognised, 0 to 1; nan if it has none). Their mean without nan is
    the macro accuracy.

    >>> mk.analysis.class_recalls(pd.DataFrame([[3, 1], [0, 0]]))["recall"].tolist()
    [0.75, nan]
    """
    matrix = counts.to_numpy()
    images = matrix.sum(1)
    recall = np.where(images > 0, matrix.diagonal() / np.maximum(images, 1), np.nan)
    return pd.DataFrame({"images": images, "recall": recall})


def images_at(domain: Domain, split: str, index: Sequence[int]) -> NDArray[np.uint8]:
    """Return images of a split as uint8 array of shape (k, channels, height, width).

    domain: the domain with its images.
    split: `train`, `val` or `test`.
    index: k indices of images in the split, from 0; the result has their order.

    Raises `MpnasError` if `split` is unknown or an index is not in it.

    >>> mk.analysis.images_at(suite["planted0"], "test", [3, 0]).shape
    (2, 1, 16, 16)
    """
    chosen = Subset(domain.split(split), index)  # type: ignore[arg-type] # it converts a list
    images: NDArray[np.uint8] = read(chosen, torch.arange(len(chosen))).numpy()
    return images
