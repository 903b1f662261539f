"""What a trained network says of every image: predictions, mistakes, confusion."""

import numpy as np
import pandas as pd
import torch

from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.domain import Domain
from mpnas_kit.network.net import Flow
from mpnas_kit.training.stage import TrainResult


def predictions(trained: TrainResult, domain: Domain, split: str = "test") -> pd.DataFrame:
    """A row an image of a split, in its order.

    Columns: image (its index), label, predicted (class indices), confidence (the probability of
    the predicted class, 0 to 1), right.
    """
    images, standard = getattr(domain, split), Standard.of(domain)
    net, path = trained.net.eval(), trained.paths[domain.name]
    device = next(net.parameters()).device
    found = []
    with torch.no_grad():
        for part in torch.split(torch.arange(len(images)), 500):
            batch = standard(images[part].images.to(device))
            (logits,) = net([Flow(domain.name, batch, path)])
            confidence, predicted = logits.softmax(1).max(1)
            found.append(torch.stack([predicted.double(), confidence.double()]).cpu())
    predicted, confidence = torch.cat(found, 1).numpy()
    labels = images.labels.numpy()
    return pd.DataFrame(
        {
            "image": np.arange(len(labels)),
            "label": labels,
            "predicted": predicted.astype(np.int64),
            "confidence": confidence,
            "right": predicted.astype(np.int64) == labels,
        }
    )


def confident_mistakes(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `predictions` that are wrong, the most confident first."""
    wrong = table[~table["right"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable")


def confusion(table: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Images by label (rows) and predicted class (columns): counts, (classes, classes)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (table["label"].to_numpy(), table["predicted"].to_numpy()), 1)
    return pd.DataFrame(counts)
