"""One step of the network's weights on the weighted losses of the drawn domains.

Search and training both use it.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mpnas_kit.domains.batches import Drawn
from mpnas_kit.domains.task import Task, mean_qualities
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.config import StageConfig
from mpnas_kit.errors import MpnasError, RaisedBy
from mpnas_kit.network.net import Blend, Flow
from mpnas_kit.prioritization.domain_weights import (
    UNKNOWN,
    DomainWeights,
    Seen,
    checked_weights,
    needs_losses,
)
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace

FUSED = {"cpu", "cuda"}  # devices on which torch has an optimiser in one call
SECOND_BETA = 0.999  # of adamw


class NotFinite(MpnasError):
    """A loss is infinite or not a number."""


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine to 0.

    step: number of the step, from 0. steps: number of steps of the stage.
    peak: learning rate at the end of the warm-up.
    warmup: share of the steps in which the rate rises, 0 to 1. It rises in at least one step.

    >>> [round(learning_rate(step, steps=4, peak=0.1, warmup=0.5), 3) for step in range(4)]
    [0.05, 0.1, 0.1, 0.05]
    """
    ramp = max(1, round(warmup * steps))
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


def optimiser_of(
    net: nn.Module, config: StageConfig, loaded: Collection[str] = ()
) -> torch.optim.Optimizer:
    """Return the optimiser of a stage on all parameters of its network.

    Weight decay acts on matrices and kernels only. On CPUs and GPUs, one call of torch steps on all
    parameters. AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101.

    config: settings of the stage.
    loaded: names of the parameters that begin with the weights of a start. Their learning rate is
    the share `loaded_rate` of that of all others.
    """
    parameters = dict(net.named_parameters())
    fused = {p.device.type for p in parameters.values()} <= FUSED
    decay, momentum = config.weight_decay, config.momentum
    groups = _decayed([p for n, p in parameters.items() if n not in loaded], decay)
    if loaded:
        started = [p for n, p in parameters.items() if n in loaded]
        groups += [{**g, "share": config.loaded_rate} for g in _decayed(started, decay)]
    how: dict[str, Any] = {"lr": 0.0, "foreach": not fused, "fused": fused}
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, betas=(momentum, SECOND_BETA), **how)
    return torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, **how)


def _decayed(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return groups of an optimiser: matrices and kernels with weight decay, others without."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use the learning rate `rate` in the next step; loaded weights have their share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


class Stepped(Protocol):
    """What a step trains: a `MultiPathNet`, or a part of one."""

    @property
    def space(self) -> SearchSpace:
        """Search space of the network."""
        ...

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Task of every domain, by name."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters."""
        ...

    def __call__(self, flows: Sequence[Flow], recompute: bool = False) -> list[Tensor]:
        """Return the head outputs of every flow (see `MultiPathNet.forward`)."""
        ...


def weighted_step(
    net: Stepped,
    optimiser: torch.optim.Optimizer,
    batches: Mapping[str, Drawn],
    paths: Mapping[str, Path | Blend],
    weights: DomainWeights,
    label_smoothing: float,
    progress: float,
    compute: Compute,
) -> dict[str, dict[str, float]]:
    """Do one step on `sum over d of weight_d * loss_d`. Return the metrics of every drawn domain.

    The metrics are loss (mean per image, in nats, without label smoothing), weight, and accuracy
    (quality of the task, 0 to 1), all measured before the step. Only nodes on the paths have a
    gradient, so only they change.

    If the memory budget of `compute` needs several groups of micro-batches, each goes forward and
    back alone, and the gradients add up. The result is the same but for rounding, because a batch
    norm sees one micro-batch at a time. If one micro-batch alone is too much, the backward pass
    computes the maps inside of layers again. If the weights need the losses of the step, a forward
    pass without gradients comes first, if there are several groups. A GPU is waited for once per
    step, or twice if the prioritization needs the losses after it.

    batches: one batch per drawn domain.
    paths: path or blend of every drawn domain.
    weights: weights of the stage's prioritization.
    label_smoothing: share of the target that is spread evenly over all classes, 0 to below 1.
    progress: share of the steps that is done, 0 to 1.

    Raises `NotFinite` if a loss is not finite, and `MpnasError` if a weight is not a finite number
    of at least 0.
    """
    _forget_gradients(optimiser)
    domains = list(batches)
    tasks = [net.tasks[d] for d in domains]
    parts = compute.parts(batches)
    flows = [Flow(domains[p.domain], p.images, paths[domains[p.domain]]) for p in parts]
    groups, recompute = compute.memory.divide(net.space, flows)
    divided, early = len(groups) > 1, not needs_losses(weights)

    def forward(group: Sequence[int]) -> list[Tensor]:
        with compute.autocast():
            return [x.float() for x in net([flows[i] for i in group], recompute)]

    def measured(outputs: Sequence[Tensor]) -> dict[str, Seen]:
        rows = [_seen(tasks[p.domain], x, p.labels) for p, x in zip(parts, outputs, strict=True)]
        means = compute.means((len(domains), len(Seen._fields)), parts, rows)
        return {d: Seen(*row) for d, row in zip(domains, means.tolist(), strict=True)}

    first: list[list[Tensor]] = []  # outputs of every group, if the losses are needed at once
    seen = dict.fromkeys(domains, UNKNOWN)
    if not early:
        with torch.set_grad_enabled(not divided):
            first = [forward(group) for group in groups]
        seen = measured([x for group in first for x in group])
        _require_finite(seen, optimiser)
    values = checked_weights(weights, seen, progress)
    outputs = []
    for number, group in enumerate(groups):
        logits = forward(group) if early or divided else first[number]
        terms = [
            values[domains[p.domain]] * p.share * tasks[p.domain].loss(x, p.labels, label_smoothing)
            for p, x in zip([parts[i] for i in group], logits, strict=True)
        ]
        if terms:
            torch.autograd.backward(torch.stack(terms).sum())
        outputs += [x.detach() for x in logits]
    if early:
        seen = measured(outputs)
        _require_finite(seen, optimiser)
    compute.team.sum_gradients(net.parameters())
    _step(optimiser)
    if weights.needs_losses_after_step:
        with torch.no_grad():
            after = measured([x for group in groups for x in forward(group)])
        with RaisedBy(f"after_step of the prioritization ({type(weights).__name__.strip('_')})"):
            weights.after_step({d: s.nll for d, s in after.items()})
    return {d: {"loss": s.nll, "weight": values[d], "accuracy": s.quality} for d, s in seen.items()}


def _require_finite(seen: Mapping[str, Seen], optimiser: torch.optim.Optimizer) -> None:
    """Raise `NotFinite` unless the losses of all domains are finite."""
    for domain, (value, _) in seen.items():
        if not math.isfinite(value):
            rate = optimiser.param_groups[0]["lr"]
            raise NotFinite(
                f"the loss of domain {domain!r} is {value} at learning rate {rate:.3g}: "
                "expected a finite number. A lower learning rate usually helps."
            )


def _forget_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Drop all gradients. `zero_grad` is far slower for thousands of parameters."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = None


def _step(optimiser: torch.optim.Optimizer) -> None:
    """Step on the parameters that have a gradient. Skipping the others early saves time."""
    every = [group["params"] for group in optimiser.param_groups]
    for group, parameters in zip(optimiser.param_groups, every, strict=True):
        group["params"] = [p for p in parameters if p.grad is not None]
        if group["fused"] and group.get("momentum"):
            for parameter in group["params"]:  # fused SGD expects a momentum, 0 in the first step
                state = optimiser.state[parameter]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
    try:
        optimiser.step()
    finally:
        for group, parameters in zip(optimiser.param_groups, every, strict=True):
            group["params"] = parameters


def _seen(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return loss and quality of a micro-batch, as means over its images: float64 (2,)."""
    outputs = outputs.detach()
    loss = task.loss(outputs, labels).double()
    return torch.cat([loss.view(1), mean_qualities(task, [outputs], labels)])
