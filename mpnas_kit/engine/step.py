"""What search and training do alike in a step: losses of the drawn domains, weighted, one step."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.domains.batches import Drawn
from mpnas_kit.engine.compute import Compute, Part
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.prioritization.weigher import Seen, Weigher
from mpnas_kit.space.space import Path


class NotFinite(MpnasError):
    """A loss that is infinite or no number."""


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear warm-up over a share `warmup` of the steps, then cosine to 0 (step from 0)."""
    ramp = max(1, round(warmup * steps))
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


def sgd(net: nn.Module, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """Nesterov SGD on all parameters; weight decay on matrices and kernels only."""
    parameters = list(net.parameters())
    return torch.optim.SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=0.0,
        momentum=momentum,
        nesterov=momentum > 0,
        foreach=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` in the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def weighted_step(
    net: MultiPathNet,
    optimiser: torch.optim.Optimizer,
    batches: Mapping[str, Drawn],
    paths: Mapping[str, Path | Blend],
    weigher: Weigher,
    label_smoothing: float,
    progress: float,
    compute: Compute,
) -> dict[str, dict[str, float]]:
    """One step on sum_d weight_d * loss_d; returns loss, weight and accuracy of every domain.

    loss: mean negative log-likelihood, nats, without label smoothing. Only nodes that took part
    have a gradient, so only they move. A weigher that looks back costs one more forward pass.
    Raises `NotFinite` for a loss that is not finite.
    """
    _forget_gradients(optimiser)
    domains = list(batches)
    parts = compute.parts(batches)
    flows = [Flow(domains[p.domain], p.images, paths[domains[p.domain]]) for p in parts]

    def forward() -> tuple[list[Tensor], dict[str, Seen]]:
        with compute.autocast():
            logits = [x.float() for x in net(flows)]
        means = compute.means((len(domains), 2), parts, _seen(parts, logits))
        return logits, {d: Seen(*row) for d, row in zip(domains, means.tolist(), strict=True)}

    logits, seen = forward()
    for domain, (value, _) in seen.items():
        if not math.isfinite(value):
            rate = optimiser.param_groups[0]["lr"]
            raise NotFinite(
                f"the loss of domain {domain!r} is {value} at learning rate {rate:.3g}: "
                "expected a finite number; a lower learning rate usually mends it."
            )
    weights = weigher.weigh(seen, progress)
    terms = [
        weights[domains[p.domain]]
        * p.share
        * F.cross_entropy(x, p.labels, label_smoothing=label_smoothing)
        for p, x in zip(parts, logits, strict=True)
    ]
    if terms:
        torch.autograd.backward(torch.stack(terms).sum())
    compute.team.sum_gradients(net.parameters())
    _step(optimiser)
    if weigher.looks_back:
        with torch.no_grad():
            after = forward()[1]
        weigher.look_back({d: s.nll for d, s in after.items()})
    return {
        d: {"loss": s.nll, "weight": weights[d], "accuracy": s.accuracy} for d, s in seen.items()
    }


def _forget_gradients(optimiser: torch.optim.Optimizer) -> None:
    """`zero_grad`, which takes far longer where there are thousands of parameters."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = None


def _step(optimiser: torch.optim.Optimizer) -> None:
    """A step that does not look at the parameters of all the nodes that took no part."""
    every = [group["params"] for group in optimiser.param_groups]
    for group, parameters in zip(optimiser.param_groups, every, strict=True):
        group["params"] = [p for p in parameters if p.grad is not None]
    try:
        optimiser.step()
    finally:
        for group, parameters in zip(optimiser.param_groups, every, strict=True):
            group["params"] = parameters


def _seen(parts: Sequence[Part], logits: Sequence[Tensor]) -> list[Seen]:
    """Loss and accuracy of every part."""
    return [
        Seen(float(F.cross_entropy(x.detach(), p.labels)), accuracy(x, p.labels))
        for p, x in zip(parts, logits, strict=True)
    ]


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of images whose most likely class is right: (B, classes), (B,) -> 0 to 1."""
    return float((logits.argmax(1) == labels).float().mean())
