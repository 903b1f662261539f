"""Accuracy of a trained network, and the batch-norm statistics that its evaluation needs."""

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
import torch

from mpnas_kit.domains.batches import DomainStream, Source, Standard
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.domains.split import read
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import unknown
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.space import Path
from mpnas_kit.values import Range, checked, require_type


@checked("recalibrate")
def recalibrate(
    net: MultiPathNet,
    suite: DomainSuite,
    paths: Mapping[str, Path],
    batches: Annotated[int, Range(1, 1_000_000)] = 8,
    batch_size: Annotated[int, Range(2, 1_000_000)] = 128,
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
        d.name: DomainStream(Source(d.train, Standard.of(d)), batch_size, seed=0)
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
    """Return accuracy and loss on a split: one row per domain.

    Columns: domain, split, images (their number), accuracy (top-1, 0 to 1), loss (mean in nats,
    without label smoothing). Batch norms use the statistics that the network has.

    net: trained network.
    suite: domains with their images.
    paths: paths of the domains to evaluate, by domain.
    split: `train`, `val` or `test`.
    team: processes that divide the images, each with the same network. None: this process alone.

    Raises `MpnasError` if the split is unknown, or a path is none of the network's space.

    >>> table = mk.evaluate(trained.net, suite, trained.paths, "test")
    >>> list(table.columns), list(table["images"])
    (['domain', 'split', 'images', 'accuracy', 'loss'], [16, 16])
    """
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
    rows = []
    for domain in (d for d in suite if d.name in paths):
        images, standard, task = domain.split(split), Standard.of(domain), domain.task
        quality, loss = 0.0, 0.0
        for index in team.share(torch.split(torch.arange(len(images)), 500)):
            x = standard(read(images, index).to(device))
            labels = images.labels[index].to(device)
            with torch.no_grad():
                (logits,) = net([Flow(domain.name, x, paths[domain.name])])
            quality += task.quality(logits, labels, reduction="sum")
            loss += float(task.loss(logits, labels, reduction="sum"))
        n = len(images)
        quality, loss = team.sum(torch.tensor([quality, loss], dtype=torch.float64)).tolist()
        row = {"domain": domain.name, "split": split, "images": n}
        rows.append({**row, "accuracy": quality / n, "loss": loss / n})
    net.train(mode)
    return pd.DataFrame(rows)
