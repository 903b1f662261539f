"""Accuracy of a trained network, and the batch-norm statistics it needs for that."""

from collections.abc import Mapping

import pandas as pd
import torch
import torch.nn.functional as F

from mpnas_kit.domains.batches import DomainStream, Source, Standard
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import unknown
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.space import Path


def recalibrate(
    net: MultiPathNet,
    suite: DomainSuite,
    paths: Mapping[str, Path],
    batches: int = 8,
    batch_size: int = 128,
) -> None:
    """Measure the statistics of every batch norm, on plain training images.

    Training keeps none, and averaged weights would need others; these are the plain mean over
    `batches` batches of all domains together. Weights stay as they are.
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
    """Top-1 accuracy (0 to 1) and loss (nats) of every domain on a split.

    split: `train`, `val` or `test`. Returns a row a domain: domain, split, images, accuracy, loss.
    Uses the statistics as `recalibrate` has measured them. team: the processes that share out the
    images, each with the same network; None: this one takes all.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    team, mode, device = team or Team(), net.training, next(net.parameters()).device
    net.eval()
    rows = []
    for domain in (d for d in suite if d.name in paths):
        images, standard = getattr(domain, split), Standard.of(domain)
        right, loss = 0, 0.0
        for index in team.share(torch.split(torch.arange(len(images)), 500)):
            batch = images[index]
            x, labels = standard(batch.images.to(device)), batch.labels.to(device)
            with torch.no_grad():
                (logits,) = net([Flow(domain.name, x, paths[domain.name])])
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        n = len(images)
        right, loss = team.sum(torch.tensor([right, loss], dtype=torch.float64)).tolist()
        row = {"domain": domain.name, "split": split, "images": n}
        rows.append({**row, "accuracy": right / n, "loss": loss / n})
    net.train(mode)
    return pd.DataFrame(rows)
