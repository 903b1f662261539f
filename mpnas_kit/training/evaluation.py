"""Accuracy of a trained network, and the batch-norm statistics that its evaluation needs."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import pandas as pd
import torch

from mpnas_kit.domains.batches import DomainStream, Source, Standard
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.split import read
from mpnas_kit.domains.task import image_qualities
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import unknown
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.layers import Path
from mpnas_kit.values import Range, checked, require_type

CALIBRATION_BATCHES, CALIBRATION_IMAGES = 8, 128  # images per domain and batch


def standard_for(net: MultiPathNet, domain: Domain) -> Standard:
    """Return how images of a domain become input of a network: as in the network's training."""
    return net.standards.get(domain.name) or Standard.of(domain)


@checked("recalibrate")
def recalibrate(
    net: MultiPathNet,
    suite: DomainSuite,
    paths: Mapping[str, Path],
    batches: Annotated[int, Range(1, 1_000_000)] = CALIBRATION_BATCHES,
    batch_size: Annotated[int, Range(2, 1_000_000)] = CALIBRATION_IMAGES,
) -> None:
    """Measure the statistics of every batch norm, on training images without augmentation.

    Training keeps no statistics, and averaged weights would need others anyway. The statistics are
    the mean over `batches` batches. The weights do not change.

    paths: paths of the domains that are measured.
    batches: number of batches, 1 to 1 million, each with images of all these domains.
    batch_size: images per domain and batch, 2 to 1 million.

    Raises `MpnasError` if a number is out of its range.
    """
    mode, device = net.training, next(net.parameters()).device
    draw = {
        d.name: DomainStream(Source(d.train, standard_for(net, d)), batch_size, seed=0)
        for d in suite
        if d.name in paths
    }
    net.train()
    with net.measure(), torch.no_grad():
        for _ in range(batches):
            drawn = {name: stream.next().take(device=device)[0] for name, stream in draw.items()}
            net([Flow(name, images, paths[name]) for name, images in drawn.items()])
    net.train(mode)


def evaluate(
    net: MultiPathNet,
    suite: DomainSuite,
    paths: Mapping[str, Path],
    split: str,
    team: Team | None = None,
) -> pd.DataFrame:
    """Return accuracies and loss on a split: one row per domain.

    Columns: domain, split, images (their number), accuracy (top-1, 0 to 1), loss (mean in nats,
    without label smoothing), macro_accuracy (mean recall over the classes that have images, 0 to
    1). Batch norms use the statistics that the network has.

    net: trained network.
    suite: domains with their images.
    paths: paths of the domains to evaluate, by domain.
    split: `train`, `val` or `test`.
    team: processes that divide the images, each with the same network. None: this process alone.

    Raises `MpnasError` if the split is unknown, or a path is none of the network's space.

    >>> table = mk.evaluate(trained.net, suite, trained.paths, "test")
    >>> list(table.columns), list(table["images"])
    (['domain', 'split', 'images', 'accuracy', 'loss', 'macro_accuracy'], [16, 16])
    """
    return evaluation_table(measure(net, suite, paths, split, team))


class Measured(NamedTuple):
    """What a network reaches on a split of a domain.

    domain, split: their names.
    accuracy: top-1, 0 to 1.
    loss: mean in nats, without label smoothing.
    class_images: number of images of every class.
    recalls: share of the images of a class that are right; None: the class has no images.
    """

    domain: str
    split: str
    accuracy: float
    loss: float
    class_images: list[int]
    recalls: list[float | None]

    @property
    def macro_accuracy(self) -> float:
        """Mean recall over the classes that have images, 0 to 1."""
        there = [recall for recall in self.recalls if recall is not None]
        return math.fsum(there) / len(there)

    def record(self) -> dict[str, object]:
        """Return the measurement as JSON values. `engine.records.DomainAccuracy` reads them."""
        return {
            "domain": self.domain,
            "split": self.split,
            "images": sum(self.class_images),
            "accuracy": self.accuracy,
            "loss": self.loss,
            "class_images": self.class_images,
            "recalls": self.recalls,
        }


def evaluation_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return measurements as `evaluate` returns them."""
    return pd.DataFrame(
        [
            {
                "domain": one.domain,
                "split": one.split,
                "images": sum(one.class_images),
                "accuracy": one.accuracy,
                "loss": one.loss,
                "macro_accuracy": one.macro_accuracy,
            }
            for one in measured
        ]
    )


def recall_table(
    measured: Sequence[Measured], classes: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return the recall of every class: one row per domain, split and class.

    Columns: domain, split, label (name of the class), images (their number), recall (0 to 1; nan if
    the class has no images).

    measured: measurements.
    classes: names of the classes, by domain.
    """
    tables = [
        pd.DataFrame(
            {
                "domain": one.domain,
                "split": one.split,
                "label": list(classes[one.domain]),
                "images": one.class_images,
                "recall": [math.nan if recall is None else recall for recall in one.recalls],
            }
        )
        for one in measured
    ]
    return pd.concat(tables, ignore_index=True)


def measurements(evaluation: pd.DataFrame, recalls: pd.DataFrame) -> list[Measured]:
    """Return the measurements of which `evaluation_table` and `recall_table` made these tables."""
    own = {key: table for key, table in recalls.groupby(["domain", "split"], sort=False)}
    found = []
    for row in evaluation.itertuples():
        table = own[row.domain, row.split]
        shares = [None if math.isnan(share) else share for share in table["recall"].tolist()]
        counts = table["images"].tolist()
        found.append(Measured(row.domain, row.split, row.accuracy, row.loss, counts, shares))
    return found


def measure(
    net: MultiPathNet,
    suite: DomainSuite,
    paths: Mapping[str, Path],
    split: str,
    team: Team | None = None,
) -> list[Measured]:
    """Return what a network reaches on a split of every domain (see `evaluate`)."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    require_type(net, MultiPathNet, "net")
    require_type(suite, DomainSuite, "suite")
    require_type(paths, Mapping, "paths")
    for name, path in paths.items():
        net.head_of(name)
        net.space.require(path)
    team, mode, device = team or Team(), net.training, next(net.parameters()).device
    net.eval()
    found = []
    for domain in (d for d in suite if d.name in paths):
        images, standard, task = domain.split(split), standard_for(net, domain), domain.task
        losses, right, seen = [], [], []  # per chunk of images: their sum; of every image; labels
        for index in team.share(torch.split(torch.arange(len(images)), 500)):
            x = standard(read(images, index).to(device))
            seen.append(images.labels[index])
            labels = seen[-1].to(device)
            with torch.no_grad():
                (logits,) = net([Flow(domain.name, x, paths[domain.name])])
            losses.append(task.loss(logits, labels, reduction="sum").double())
            right.append(image_qualities(task, logits, labels))
        sums = torch.zeros(1 + len(domain.classes), dtype=torch.float64)
        if seen:
            labels = torch.cat(seen)
            values = torch.cat([*right, torch.stack(losses)]).cpu()  # waits for the device
            sums[0] = values[len(labels) :].sum()
            sums[1:].index_add_(0, labels, values[: len(labels)])
        loss, *per_class = team.sum(sums).tolist()
        n, quality = len(images), math.fsum(per_class)
        counts = torch.bincount(images.labels, minlength=len(domain.classes)).tolist()
        recalls = [r / c if c else None for r, c in zip(per_class, counts, strict=True)]
        found.append(Measured(domain.name, split, quality / n, loss / n, counts, recalls))
    net.train(mode)
    return found
