"""One step: the weighted sum of the raw losses, all parameters in the optimiser, true metrics."""

import math

import pytest
import tiny
import torch
import torch.nn.functional as F
from one_step import CLASSES, setup
from torch import Tensor

from mpnas_kit.engine.step import learning_rate, optimiser_of, set_rate
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.training.config import TrainConfig


def gradients(net: MultiPathNet) -> dict[str, Tensor]:
    zero = torch.zeros(())
    return {n: zero if p.grad is None else p.grad.clone() for n, p in net.named_parameters()}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_what_is_backpropagated_is_the_weighted_sum_of_the_raw_losses(smoothing: float) -> None:
    """Weights are constants (detached), and no loss is divided by the log of its classes."""
    net, paths, batches = setup()
    with torch.no_grad():
        net.head_of("a").weight.mul_(100)  # so that a is far harder than b
    optimiser = tiny.sgd(net, 0.0, 0.0)
    set_rate(optimiser, 0.0)
    prioritization = ABDP(0.5, 0.5, "constant")
    figures = tiny.step(
        net,
        optimiser,
        batches,
        paths,
        prioritization.begin(tiny.tasks(CLASSES)),
        smoothing,
        progress=0.0,
    )
    total = gradients(net)
    raw = {}
    for domain, (x, labels) in batches.items():
        net.zero_grad(set_to_none=True)
        (logits,) = net([Flow(domain, x, paths[domain])])
        assert figures[domain]["loss"] == pytest.approx(
            float(F.cross_entropy(logits.detach(), labels))
        )
        F.cross_entropy(logits, labels, label_smoothing=smoothing).backward()
        raw[domain] = gradients(net)
    difficulty = {d: figures[d]["loss"] / math.log(n) for d, n in CLASSES.items()}
    boost = {d: math.exp(x / 0.5) for d, x in difficulty.items()}
    for name, gradient in total.items():
        parts = (2 * boost[d] / sum(boost.values()) * raw[d][name] for d in CLASSES)
        torch.testing.assert_close(gradient, sum(parts), atol=1e-5, rtol=1e-3)
    assert figures["a"]["weight"] > 1.1


def test_reported_losses_are_without_label_smoothing() -> None:
    net, paths, batches = setup()
    optimiser, state = tiny.sgd(net, 0.0, 0.0), Uniform().begin(tiny.tasks(CLASSES))
    plain = tiny.step(net, optimiser, batches, paths, state, 0.0, 0.0)
    smooth = tiny.step(net, optimiser, batches, paths, state, 0.3, 0.0)
    assert {d: f["loss"] for d, f in plain.items()} == {d: f["loss"] for d, f in smooth.items()}


def test_only_nodes_that_took_part_move() -> None:
    net, paths, batches = setup()
    optimiser, state = tiny.sgd(net, 0.9, 0.1), Uniform().begin(tiny.tasks(CLASSES))
    set_rate(optimiser, 0.1)
    tiny.step(net, optimiser, batches, paths, state, 0.0, 0.0)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    tiny.step(net, optimiser, {"a": batches["a"]}, paths, state, 0.0, 0.5)
    for name, parameter in net.named_parameters():
        private = name.startswith(("nodes.2_k3e1", "heads.of_b")) or name.endswith(".of_b")
        assert torch.equal(before[name], parameter) is private, name


# The optimiser ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["supernet", "union"])
def test_the_optimiser_has_every_parameter_once(kind: str) -> None:
    """Fails if the stem, a head, a batch norm or a node is missing."""
    net, _, _ = setup()
    if kind == "supernet":
        net = MultiPathNet.supernet(tiny.space(), tiny.tasks(CLASSES), "mixed", seed=0)
    held = [p for g in tiny.sgd(net, 0.9, 1e-4).param_groups for p in g["params"]]
    names = {id(p): n for n, p in net.named_parameters()}
    assert sorted(names[id(p)] for p in held) == sorted(names.values())
    expected = {"heads.of_a.weight", "heads.of_b.bias", "nodes.0_conv3.convolution.weight"}
    assert expected <= set(names.values())


def test_every_kernel_and_every_head_moves_in_a_step() -> None:
    net, paths, batches = setup()
    optimiser = tiny.sgd(net, 0.9, 0.0)
    set_rate(optimiser, 0.1)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    for _ in range(2):
        tiny.step(net, optimiser, batches, paths, Uniform().begin(tiny.tasks(CLASSES)), 0.1, 0.0)
    still = [n for n, p in net.named_parameters() if torch.equal(before[n], p)]
    assert not still


def test_weight_decay_touches_kernels_and_matrices_only() -> None:
    net, _, _ = setup()
    for group in tiny.sgd(net, 0.9, 0.01).param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}


def test_one_call_steps_as_torch_does_for_each_parameter() -> None:
    """Fused against foreach over five steps, in which paths take turns: rounding, no more."""
    space, nets, momenta = tiny.space(), [], []
    archs = ["k3e1 k5e3", "k5e2se k3e3", "k3e1 k3e1", "k5e2se k5e3", "zero k3e3"]
    for fused in (True, False):
        net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0, collapse=True)
        optimiser = tiny.sgd(net, 0.9, 1e-2)
        assert optimiser.defaults["fused"]
        for group in optimiser.param_groups:
            group.update(fused=fused, foreach=not fused)
        set_rate(optimiser, 0.1)
        for i, arch in enumerate(archs):
            batches = {d: (tiny.images(8, seed=i), torch.arange(8) % n) for d, n in CLASSES.items()}
            drawn = {d: batches[d] for d in ("ab" if i % 2 else "a")}
            paths = tiny.paths(space, [arch, "k3e1 k3e1"])
            tiny.step(net, optimiser, drawn, paths, Uniform().begin(tiny.tasks(CLASSES)))
        nets.append(net)
        momenta.append(
            {
                name: optimiser.state[p]["momentum_buffer"]
                for name, p in net.named_parameters()
                if p in optimiser.state
            }
        )
    assert momenta[0].keys() == momenta[1].keys()
    for name, momentum in momenta[0].items():
        torch.testing.assert_close(momentum, momenta[1][name], rtol=1e-4, atol=1e-5)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_parameter_without_a_gradient_keeps_weight_and_momentum() -> None:
    net, paths, batches = setup()
    optimiser, state = tiny.sgd(net, 0.9, 0.1), Uniform().begin(tiny.tasks(CLASSES))
    set_rate(optimiser, 0.1)
    tiny.step(net, optimiser, batches, paths, state)
    head = net.head_of("b").weight
    before = head.detach().clone(), optimiser.state[head]["momentum_buffer"].clone()
    tiny.step(net, optimiser, {"a": batches["a"]}, paths, state)
    assert torch.equal(before[0], head)
    assert torch.equal(before[1], optimiser.state[head]["momentum_buffer"]) and before[1].any()


# The learning rate --------------------------------------------------------------------------------


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    rates = [learning_rate(step, 110, peak=0.4, warmup=10 / 110) for step in range(110)]
    assert rates[0] == pytest.approx(0.04) and rates[4] == pytest.approx(0.2)
    assert rates[9] == rates[10] == max(rates) == pytest.approx(0.4)
    assert rates[60] == pytest.approx(0.2)  # half way down
    assert rates[35] == pytest.approx(0.4 * (1 + math.cos(math.pi / 4)) / 2)
    assert 0 < rates[-1] < 2e-4
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("warmup", [0.0, 0.025, 1.0])
def test_short_runs_have_a_rate_too(steps: int, warmup: float) -> None:
    assert learning_rate(0, steps, 0.1, warmup) > 0


# What goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_domain_and_the_rate(bad: float) -> None:
    net, paths, batches = setup()
    optimiser = tiny.sgd(net, 0.9, 0.0)
    set_rate(optimiser, 0.125)
    batches["b"][0][0, 0, 0, 0] = bad
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    with pytest.raises(MpnasError, match="domain 'b' is nan at learning rate 0.125") as caught:
        tiny.step(net, optimiser, batches, paths, Uniform().begin(tiny.tasks(CLASSES)), 0.1, 0.0)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[n], p) for n, p in net.named_parameters())


def test_adamw_moves_every_weight_by_its_rate_in_the_first_step() -> None:
    """With momentum corrected for its bias, the first step is the rate times the sign."""
    net, paths, batches = setup()
    config = TrainConfig(optimiser="adamw", weight_decay=0.0, loaded_rate=0.25)
    names = [n for n, _ in net.named_parameters()]
    loaded = frozenset(names[::2])
    optimiser = optimiser_of(net, config, loaded)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    set_rate(optimiser, 0.01)
    tiny.step(net, optimiser, batches, paths, Uniform().begin(tiny.tasks(CLASSES)), 0.1, 0.0)
    for name, parameter in net.named_parameters():
        if parameter.grad is None:
            assert torch.equal(before[name], parameter)
            continue
        rate = 0.01 * (0.25 if name in loaded else 1.0)
        large = parameter.grad.abs() > 1e-4
        moved = (parameter - before[name]).detach()[large]
        expected = -rate * parameter.grad.sign()[large]
        torch.testing.assert_close(moved, expected, rtol=1e-2, atol=1e-6)


def test_weight_decay_of_adamw_does_not_depend_on_the_gradient() -> None:
    net, _, _ = setup()
    config = TrainConfig(optimiser="adamw", weight_decay=0.5)
    optimiser = optimiser_of(net, config)
    set_rate(optimiser, 0.1)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in net.named_parameters():
        factor = 0.95 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
