"""Device and precision: no tensor stays on the CPU, and bfloat16 is used in the arithmetic."""

import pytest
import tiny
import torch

from mpnas_kit.engine.compute import Compute
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.space.spaces import pocket_space

CLASSES = {"a": 3, "b": 4}


@pytest.mark.parametrize("kind", ["supernet", "union"])
def test_a_network_on_another_device_makes_nothing_on_the_cpu(kind: str) -> None:
    """The meta device refuses tensors of another device, as a GPU does."""
    space = pocket_space()
    path = space.parse("k5e2 k3e2se k7e2 zero k5e4 k3e2 k3e2se k5e4 k5e2 k3e1")
    paths = {"a": path, "b": space.parse(" ".join(["k3e1"] * 10))}
    if kind == "supernet":
        net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0, collapse=True)
    else:
        net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    net.to("meta")
    flows = [Flow(d, torch.empty(4, 3, 32, 32, device="meta"), paths[d]) for d in paths]
    with net.measure():
        logits = net(flows)
    torch.stack([x.sum() for x in logits]).sum().backward()
    assert [x.device.type for x in logits] == ["meta", "meta"]
    assert any(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("arch", ["k3e1 k5e3", "k5e2se k3e3"])
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights(arch: str) -> None:
    space = tiny.space()
    paths = tiny.paths(space, [arch, "k3e1 k3e1"], "ab")
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    seen: set[torch.dtype] = set()
    stem = tiny.node(net, 0, "conv3")
    stem.register_forward_hook(lambda module, x, y: seen.add(y.dtype))
    batches = {d: (tiny.images(16), torch.arange(16) % n) for d, n in CLASSES.items()}
    compute, state = Compute(precision="bfloat16"), Uniform().begin(tiny.tasks(CLASSES))
    tiny.step(net, tiny.sgd(net, 0.9, 0.0), batches, paths, state, compute=compute)
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_bfloat16_gradients_are_those_of_float32_but_for_rounding() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["k5e2se k5e3", "k3e1 k5e3"], "ab")
    batches = {d: (tiny.images(16), torch.arange(16) % n) for d, n in CLASSES.items()}
    gradients = []
    for precision in ("float32", "bfloat16"):
        net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
        compute = Compute(precision=precision)  # type: ignore[arg-type]
        state = Uniform().begin(tiny.tasks(CLASSES))
        tiny.step(net, tiny.sgd(net, 0.0, 0.0), batches, paths, state, compute=compute)
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    exact, rounded = gradients
    assert not torch.equal(exact, rounded)
    assert float((exact - rounded).norm() / exact.norm()) < 0.1
