"""Measure how well the domain of an image is found, if it is not given.

The test images of a trained run of pocket domains are classified in three ways: with the domain
given; with the domain whose network is most confident, after each domain's temperature was fitted
on its validation images; and with the domain that `model.predict(domain="auto")` chooses, by
statistics of the pixels. The table has one row per domain: the share of images whose domain is
found, and the share whose domain and class are found.

    mpnas train --run runs/ten --profile full --approach even_paths --steps 400 --evaluate-every 0
    python benchmarks/domain_choice.py --run runs/ten                 # a minute on one core
"""

import mpnas_kit as mk  # before torch: it sets how threads wait

# isort: split
import argparse

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from mpnas_kit.deploy.pixels import fitted
from mpnas_kit.domains.split import Split

TEMPERATURES = torch.logspace(-1, 1, 81)
PART = 200  # images at a time


def logits_of(model: mk.Model, domain: str, split: Split) -> Tensor:
    """Return the logits that the network of a domain gives to all images of a split."""
    network, fit = model.network(domain), model.signature(domain).fit
    parts = torch.arange(len(split)).split(PART)
    with torch.no_grad():
        return torch.cat([network(fitted(split.take(p), fit).expand(-1, 3, -1, -1)) for p in parts])


def temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature with the lowest cross-entropy (Guo et al. 2017, arXiv 1706.04599)."""
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in TEMPERATURES])
    return float(TEMPERATURES[losses.argmin()])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="runs/ten")
    model = mk.load(parser.parse_args().run)
    suite = mk.pocket(list(model.domains))
    statistics = [mk.PixelStatistics.of(domain) for domain in suite]
    degrees = {d.name: temperature(logits_of(model, d.name, d.val), d.val.labels) for d in suite}
    rows = []
    for index, domain in enumerate(suite):
        test = domain.test
        logits = {name: logits_of(model, name, test) for name in model.domains}
        right = logits[domain.name].argmax(1) == test.labels
        sure = [(logits[d] / degrees[d]).softmax(1).max(1).values for d in model.domains]
        parts = torch.arange(len(test)).split(PART)
        near = [torch.cat([s.log_density(test.take(p)) for p in parts]) for s in statistics]
        row = {"domain": domain.name, "given": float(right.float().mean())}
        for way, score in (("confidence", sure), ("auto", near)):
            found = torch.stack(score).argmax(0) == index
            row[f"{way}, domain"] = float(found.float().mean())
            row[f"{way}, class"] = float((found & right).float().mean())
        rows.append(row)
    table = pd.DataFrame(rows)
    means = table.drop(columns="domain").mean()
    table = pd.concat([table, pd.DataFrame([{"domain": "mean", **means}])], ignore_index=True)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
