"""Whether the gradients of two domains agree, at every node that both use.

If two gradients point the same way, a step for one domain helps the other one. If they point in
opposite ways, the domains compete for the weights.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mpnas_kit.domains.batches import DomainStream
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.building import owned
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.elastic import ElasticConv
from mpnas_kit.space.layers import Node, Path

COLUMNS = ("layer", "block", "first", "second", "cosine", "spread", "ceiling", "batches")


@dataclass(frozen=True, eq=False, repr=False)
class GradientAgreement:
    """Cosines of the gradients of two domains' losses. Returned by `gradient_agreement`.

    `cosine = g_a . g_b / (|g_a| |g_b|)`, -1 to 1. g is the gradient of the loss of one batch with
    respect to the weights of a node, without those of batch norms. A negative cosine is a conflict
    (Yu et al. 2020, arXiv 2001.06782).

    Gradients of batches are noisy, so even a domain does not fully agree with itself. `ceiling` is
    `sqrt(r_a r_b)`, r the cosine between two batches of the same domain: what the cosine would be
    if both domains had the same mean gradient (correction for attenuation, Spearman 1904, doi
    10.2307/1412159). A cosine near 0 under a ceiling near 0 says nothing.

    rows: one row per node and pair of domains that use it. Columns:

        layer, block: name of the layer and of the block.
        first, second: names of the domains.
        cosine: mean over batches.
        spread: standard deviation over batches; nan if there is one.
        ceiling: see above, 0 to 1; 0 if a domain does not agree with itself.
        batches: number of batches in which both domains used the node.
    domains: names of all domains, in order.
    layers: names of all layers, in order.

    Raises `MpnasError` if a column is missing.
    """

    rows: pd.DataFrame
    domains: tuple[str, ...]
    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        missing = [c for c in COLUMNS if c not in self.rows]
        if missing:
            raise MpnasError(
                f"the rows of a gradient agreement have no column {missing[0]!r}: expected the "
                f"columns {', '.join(COLUMNS)}."
            )

    def matrix(self, column: str = "cosine") -> pd.DataFrame:
        """Return the mean over nodes of every pair, as a symmetric matrix with 1 on the diagonal.

        column: `cosine` or `ceiling`. A pair that shares no node has nan.

        Raises `MpnasError` if there is no such column.
        """
        if column not in ("cosine", "ceiling"):
            raise MpnasError(
                f"a gradient agreement has no matrix {column!r}: expected cosine or ceiling."
            )
        names = list(self.domains)
        matrix = pd.DataFrame(np.nan, index=names, columns=names)
        for (first, second), value in self.rows.groupby(["first", "second"])[column].mean().items():
            matrix.loc[first, second] = matrix.loc[second, first] = value
        values = matrix.to_numpy(copy=True)
        np.fill_diagonal(values, 1.0)
        return pd.DataFrame(values, index=names, columns=names)

    def by_layer(self) -> pd.DataFrame:
        """Return the mean over pairs and blocks of every layer that a pair shares.

        Columns layer, cosine, low, high (least and largest mean of a pair), ceiling, pairs (their
        number).
        """
        columns = ["layer", "first", "second"]
        means = self.rows.groupby(columns, sort=False)[["cosine", "ceiling"]].mean().reset_index()
        table = means.groupby("layer", sort=False).agg(
            cosine=("cosine", "mean"),
            low=("cosine", "min"),
            high=("cosine", "max"),
            ceiling=("ceiling", "mean"),
            pairs=("cosine", "size"),
        )
        present = [layer for layer in self.layers if layer in table.index]
        return table.loc[present].rename_axis("layer").reset_index()

    def sentence(self) -> str:
        """Return how far gradients agree, as a sentence."""
        if not len(self.rows):
            return "no two domains use the same node, so their gradients cannot be compared."
        pairs = self.rows.groupby(["first", "second"])[["cosine", "ceiling"]].mean()
        below = int((pairs["cosine"] < 0).sum())
        return (
            f"the mean cosine of the gradients of two domains is {pairs['cosine'].mean():.2f}. It "
            f"would be {pairs['ceiling'].mean():.2f} if all domains had the same gradient. Of "
            f"{len(pairs)} pairs, {below} have a mean below 0."
        )

    def _repr_html_(self) -> str:
        return str(self.matrix().to_html(float_format="{:.2f}".format, na_rep=""))

    def __repr__(self) -> str:
        mean = self.rows["cosine"].mean()
        return f"GradientAgreement({len(self.domains)} domains, mean cosine {mean:.2f})"


def agreement_of(
    net: MultiPathNet,
    streams: Mapping[str, DomainStream],
    paths: Sequence[Mapping[str, Path]],
    label_smoothing: float,
) -> GradientAgreement:
    """Return how far the gradients of domains agree on a network.

    A batch of a stream is divided into two halves, each with a gradient of its own. The cosine of
    two domains is the mean over all four combinations, and that of a domain with itself is between
    its halves. Batch norm uses batch statistics. Weights and statistics do not change.

    net: the network.
    streams: batches of every domain, of at least 4 images each.
    paths: path of every domain, once per batch.
    label_smoothing: that of the losses.
    """
    between: dict[tuple[Node, str, str], list[float]] = defaultdict(list)
    within: dict[tuple[Node, str], list[float]] = defaultdict(list)
    training = net.training
    net.train()
    try:
        for own in paths:
            users: dict[Node, dict[str, Tensor]] = defaultdict(dict)
            for domain, stream in streams.items():
                halves = _gradients(net, domain, stream, own[domain], label_smoothing)
                for node, pair in halves.items():
                    users[node][domain] = pair
            for node, pairs in users.items():
                for domain, pair in pairs.items():
                    within[node, domain].append(float(pair[0] @ pair[1]))
                for a, b in combinations(pairs, 2):
                    between[node, a, b].append(float((pairs[a] @ pairs[b].T).mean()))
    finally:
        net.train(training)
    layers = [layer.name for layer in net.space.layers]
    rows = []
    for (node, a, b), cosines in sorted(between.items(), key=lambda item: item[0][0]):
        reliable = [max(0.0, float(np.mean(within[node, d]))) for d in (a, b)]
        rows.append(
            {
                "layer": layers[node.layer],
                "block": node.block,
                "first": a,
                "second": b,
                "cosine": float(np.mean(cosines)),
                "spread": float(np.std(cosines, ddof=1)) if len(cosines) > 1 else math.nan,
                "ceiling": math.sqrt(reliable[0] * reliable[1]),
                "batches": len(cosines),
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return GradientAgreement(table, tuple(streams), tuple(layers))


def _gradients(
    net: MultiPathNet, domain: str, stream: DomainStream, path: Path, label_smoothing: float
) -> dict[Node, Tensor]:
    """Return the directions of the gradients of two half batches, at every node of a path.

    Shape (2, weights) per node, each row of length 1, or 0 if the gradient is 0.
    """
    uses = [use for use in net.space.of(domain).uses(path) if use is not None]
    nodes = [owned(use.node, domain, net.private) for use in uses]
    weights = {node: own for node in nodes if (own := _weights(net.module_of(node)))}
    every = [weight for own in weights.values() for weight in own]
    drawn, task = stream.next(), net.tasks[domain]
    halves = []
    for part in torch.arange(len(drawn)).chunk(2):
        images, labels = drawn.take(part)
        (outputs,) = net([Flow(domain, images, path)])
        loss = task.loss(outputs, labels, label_smoothing)
        found = torch.autograd.grad(loss, every, allow_unused=True, materialize_grads=True)
        halves.append([gradient.double().flatten() for gradient in found])
    directions = {}
    at = 0
    for node, own in weights.items():
        pair = torch.stack([torch.cat(half[at : at + len(own)]) for half in halves])
        directions[node] = nn.functional.normalize(pair, dim=1)
        at += len(own)
    return directions


def _weights(module: nn.Module) -> list[nn.Parameter]:
    """Return the weights that a node computes with, without those of batch norms.

    A convolution that borrows has those of its lender.
    """
    if isinstance(module, DomainNorm):
        return []
    source = module.owner if isinstance(module, ElasticConv) else module
    inner = [weight for child in module.children() for weight in _weights(child)]
    return [*source.parameters(recurse=False), *inner]
