"""What search and training do alike in a step: losses of the drawn domains, weighted, one step."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.learning.weigher import Seen, Weigher
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
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
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` in the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def weighted_step(
    net: MultiPathNet,
    optimiser: torch.optim.Optimizer,
    batches: Mapping[str, tuple[Tensor, Tensor]],
    paths: Mapping[str, Path | Blend],
    weigher: Weigher,
    label_smoothing: float,
    progress: float,
) -> dict[str, dict[str, float]]:
    """One step on sum_d weight_d * loss_d; returns loss, weight and accuracy of every domain.

    loss: mean negative log-likelihood, nats, without label smoothing. Only nodes that took part
    have a gradient, so only they move. A weigher that looks back costs one more forward pass.
    Raises `NotFinite` for a loss that is not finite.
    """
    optimiser.zero_grad(set_to_none=True)
    flows = [Flow(d, images, paths[d]) for d, (images, _) in batches.items()]
    logits = net(flows)
    labels = [y for _, y in batches.values()]
    seen = _seen(batches, logits)
    for domain, (value, _) in seen.items():
        if not math.isfinite(value):
            rate = optimiser.param_groups[0]["lr"]
            raise NotFinite(
                f"the loss of domain {domain!r} is {value} at learning rate {rate:.3g}: "
                "expected a finite number; a lower learning rate usually mends it."
            )
    weights = weigher.weigh(seen, progress)
    total = torch.stack(
        [
            weights[d] * F.cross_entropy(x, y, label_smoothing=label_smoothing)
            for d, x, y in zip(batches, logits, labels, strict=True)
        ]
    ).sum()
    torch.autograd.backward(total)
    optimiser.step()
    if weigher.looks_back:
        with torch.no_grad():
            after = _seen(batches, net(flows))
        weigher.look_back({d: s.nll for d, s in after.items()})
    return {
        d: {"loss": s.nll, "weight": weights[d], "accuracy": s.accuracy} for d, s in seen.items()
    }


def _seen(
    batches: Mapping[str, tuple[Tensor, Tensor]], logits: Sequence[Tensor]
) -> dict[str, Seen]:
    """Loss and accuracy of every domain's batch."""
    return {
        d: Seen(float(F.cross_entropy(x.detach(), y)), accuracy(x, y))
        for (d, (_, y)), x in zip(batches.items(), logits, strict=True)
    }


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of images whose most likely class is right: (B, classes), (B,) -> 0 to 1."""
    return float((logits.argmax(1) == labels).float().mean())
