"""Accuracy of a trained network, and the batch-norm statistics it needs for that."""

from collections.abc import Mapping

import pandas as pd
import torch
import torch.nn.functional as F

from mpnas_kit.domains.batches import DomainStream, Source, Standard
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.errors import unknown
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.space import Path


def recalibrate(
    net: MultiPathNet,
    suite: DomainSuite,
    paths: Mapping[str, Path],
    batches: int = 8,
    batch_size: int = 128,
) -> None:
    """Measure the running statistics of every batch norm anew, on plain training images.

    Averaged weights have no statistics of their own; these are the plain mean over `batches`
    batches of all domains together. Weights stay as they are.
    """
    norms = [m for m in net.modules() if isinstance(m, DomainNorm)]
    momenta = [m.momentum for m in norms]
    draw = {
        d.name: DomainStream(Source(d.train, Standard.of(d)), batch_size, seed=0)
        for d in suite
        if d.name in paths
    }
    mode = net.training
    net.train()
    for module in norms:
        module.momentum = None
        module.restart()
    for _ in range(batches):
        with torch.no_grad():
            net([Flow(name, stream.next()[0], paths[name]) for name, stream in draw.items()])
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    net.train(mode)


def evaluate(
    net: MultiPathNet, suite: DomainSuite, paths: Mapping[str, Path], split: str
) -> pd.DataFrame:
    """Top-1 accuracy (0 to 1) and loss (nats) of every domain on a split.

    split: `train`, `val` or `test`. Returns a row a domain: domain, split, images, accuracy, loss.
    Uses the running statistics as they are.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    mode = net.training
    net.eval()
    rows = []
    for domain in (d for d in suite if d.name in paths):
        images, standard = getattr(domain, split), Standard.of(domain)
        right, loss = 0, 0.0
        for index in torch.split(torch.arange(len(images)), 500):
            batch = images[index]
            with torch.no_grad():
                (logits,) = net([Flow(domain.name, standard(batch.images), paths[domain.name])])
            right += int((logits.argmax(1) == batch.labels).sum())
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
        n = len(images)
        row = {"domain": domain.name, "split": split, "images": n}
        rows.append({**row, "accuracy": right / n, "loss": loss / n})
    net.train(mode)
    return pd.DataFrame(rows)
