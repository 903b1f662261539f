"""Networks on the native kernels: what runs there, what falls back, what autograd is promised."""

import copy
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from native_nodes import LIBRARY, Link, OwnChain, needs_native
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels.chain import Chain
from mpnas_kit.kernels.threads import use_kernel_threads
from mpnas_kit.network import net as network
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.blocks import Conv
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.private_layers import PrivateLayers

pytestmark = needs_native
CLASSES = {"a": 3, "b": 4}
ARCHS = ["k5e2se k5e3", "k3e2 k3e3"]


class Calls:
    """How many jobs the kernels got."""

    jobs = 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    counter, run = Calls(), network.run_chains

    def count(library: Any, jobs: Any, *arguments: Any) -> Any:
        counter.jobs += len(jobs)
        return run(library, jobs, *arguments)

    monkeypatch.setattr(network, "run_chains", count)
    yield counter


def union(**more: Any) -> MultiPathNet:
    """The union of two paths, on the native kernels."""
    space = tiny.space()
    paths, tasks = tiny.paths(space, ARCHS), tiny.tasks(CLASSES)
    net = MultiPathNet.of_paths(space, paths, tasks, **{"norm": "per_domain", "seed": 0, **more})
    net.kernels = LIBRARY
    return net


def eager(net: MultiPathNet) -> MultiPathNet:
    """A copy by the operations of torch."""
    net = copy.deepcopy(net)
    net.kernels = None
    return net


def flows(images: int = 4, dtype: torch.dtype = torch.float32) -> list[Flow]:
    paths = tiny.paths(tiny.space(), ARCHS)
    inputs = (tiny.images(images, seed).to(dtype) for seed in range(len(paths)))
    return [Flow(d, x, p) for (d, p), x in zip(paths.items(), inputs, strict=True)]


def gradients(net: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}


def square(outputs: list[Tensor]) -> Tensor:
    return torch.stack([y.square().sum() for y in outputs]).sum()


def assert_near(found: Any, expected: Any) -> None:
    """Within 1e-4 of the largest value of a tensor, and 1e-6 of the largest of all."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    sizes = [float(t.abs().max()) for t in expected]
    for one, other, size in zip(found, expected, sizes, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * size + 1e-6 * max(sizes))


def assert_same_training(net: MultiPathNet, inputs: list[Flow]) -> None:
    """Outputs and gradients are those of eager."""
    other = eager(net)
    ys, expected = net(inputs), other(inputs)
    assert_near([y.detach() for y in ys], [y.detach() for y in expected])
    assert_near(gradients(net, square(ys)), gradients(other, square(expected)))


# What runs on the kernels -------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
@pytest.mark.parametrize(
    ("private", "shared"),  # nodes of both domains: stem and head
    [
        (PrivateLayers(), 2),
        (PrivateLayers(since=0), 0),
        (PrivateLayers(since=2), 1),
        (PrivateLayers(until=1), 1),
    ],
)
def test_all_nodes_of_a_union_run_on_the_kernels(
    norm: str, private: PrivateLayers, shared: int, calls: Calls
) -> None:
    assert_same_training(union(norm=norm, private=private), flows())
    assert calls.jobs == 8 - (shared if norm == "mixed" else 0)


@pytest.mark.parametrize("collapse", [False, True])
def test_a_supernet_with_blends_and_several_flows_of_the_same_images(
    collapse: bool, calls: Calls
) -> None:
    """All nodes of layer one take the same map, and layer two the mean of theirs."""
    space, tasks = tiny.space(), tiny.tasks(CLASSES)
    net = MultiPathNet.supernet(space, tasks, "per_domain", seed=1, collapse=collapse)
    net.kernels = LIBRARY
    one, two = (space.uses(space.parse(arch)) for arch in ARCHS)
    blend = Blend(
        tuple(
            (a,) if a == b else (a, b, *((None,) if i == 1 else ()))
            for i, (a, b) in enumerate(zip(one, two, strict=True))
        )
    )
    images = tiny.images(4)
    inputs = [Flow("a", images, space.parse(arch)) for arch in ARCHS]
    assert_same_training(net, [*inputs, Flow("a", images, blend), Flow("b", images + 1, blend)])
    assert calls.jobs > 0


def test_elastic_widths(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("factored", 32)
    generator = torch.Generator().manual_seed(3)
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0)
    net.kernels = LIBRARY
    choices = [
        [int(torch.randint(len(d.choices), (), generator=generator)) for d in space.decisions]
        for _ in CLASSES
    ]
    images = torch.randn(3, 3, 32, 32, generator=generator)
    inputs = [Flow(d, images, space.path(c)) for d, c in zip(CLASSES, choices, strict=True)]
    assert_same_training(net, inputs)
    assert calls.jobs > 0


def test_evaluation_with_measured_statistics(calls: Calls) -> None:
    net = union()
    with net.measure(), torch.no_grad():
        net(flows(16))
    assert calls.jobs == 0
    net.eval()
    with torch.no_grad():
        assert_near(net(flows()), eager(net)(flows()))
    assert calls.jobs == 8


def test_a_domain_has_the_same_bits_in_any_company() -> None:
    net, (first, second) = union(), flows()
    both = net([first, second])
    assert torch.equal(net([second, first])[1], both[0])
    assert torch.equal(net([first])[0], both[0])
    for threads in (2, 3, 8):
        with use_kernel_threads(threads):
            assert torch.equal(net([first, second])[1], both[1])


# What autograd is promised ------------------------------------------------------------------------


def test_frozen_weights_get_no_gradient() -> None:
    net = union()
    for index, parameter in enumerate(net.parameters()):
        parameter.requires_grad_(index % 3 == 0)
    assert_same_training(net, flows())
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert not net(flows())[0].requires_grad


def test_frozen_features_run_on_the_kernels_if_nothing_before_the_heads_is_trained(
    calls: Calls,
) -> None:
    net = union()
    net.nodes.requires_grad_(False).eval()
    assert_same_training(net, flows())
    assert calls.jobs == 8
    net.nodes.requires_grad_(True)
    assert_same_training(net, flows())
    net.nodes.requires_grad_(False)
    inputs = [flow._replace(images=flow.images.requires_grad_(True)) for flow in flows()]
    assert_same_training(net, inputs)
    assert calls.jobs == 8


def test_a_second_backward_pass_gives_the_same_bits_and_adds_up() -> None:
    net = union()
    loss = square(net(flows()))
    loss.backward(retain_graph=True)
    first = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    loss.backward()
    for name, parameter in net.named_parameters():
        if name in first:
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, 2 * first[name])


def test_micro_batches_add_up_as_in_eager() -> None:
    net, batches = union(), [flows(3), flows(5)]
    other = eager(net)
    for inputs in batches:
        for each in (net, other):
            square(each(inputs)).backward()
    found, expected = (
        {n: p.grad for n, p in each.named_parameters() if p.grad is not None}
        for each in (net, other)
    )
    assert_near(found, expected)


def test_an_output_that_no_loss_uses() -> None:
    net = union()
    other = eager(net)
    (one, _), (expected, _) = net(flows()), other(flows())
    found, expected_gradients = (gradients(n, y.sum()) for n, y in ((net, one), (other, expected)))
    assert_near({name: found[name] for name in expected_gradients}, expected_gradients)
    assert all(not found[name].any() for name in found.keys() - expected_gradients.keys())


def test_hooks_of_parameters_run() -> None:
    net, seen = union(), []
    for name, parameter in net.named_parameters():
        parameter.register_hook(lambda _, name=name: seen.append(name))
    square(net(flows())).backward()
    assert sorted(seen) == sorted(n for n, p in net.named_parameters() if p.grad is not None)


def test_a_weight_that_changes_before_the_backward_pass_is_an_error() -> None:
    net = union()
    loss = square(net(flows()))
    with torch.no_grad():
        tiny.node(net, 1, "k3e2").expand.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_second_derivatives_are_an_error() -> None:
    net = union()
    (gradient,) = torch.autograd.grad(
        square(net(flows())), [tiny.node(net, 1, "k3e2").expand.weight], create_graph=True
    )
    with pytest.raises(RuntimeError, match="twice"):
        gradient.sum().backward()


# Weights that move --------------------------------------------------------------------------------


def by_data(net: MultiPathNet) -> None:
    for parameter in net.parameters():
        parameter.data = 1.5 * parameter.data + 0.1


def by_new_parameters(net: MultiPathNet) -> None:
    for module in net.modules():
        for name, parameter in list(module._parameters.items()):
            if isinstance(module, nn.Conv2d) and parameter is not None:
                setattr(module, name, nn.Parameter(1.5 * parameter.data + 0.1))


def by_assignment(net: MultiPathNet) -> None:
    state = {n: 1.5 * t + 0.1 if t.ndim == 4 else t for n, t in net.state_dict().items()}
    net.load_state_dict(state, assign=True)


def by_conversion(net: MultiPathNet) -> None:
    net.double()
    net.float()


def by_layout(net: MultiPathNet) -> None:
    for parameter in net.parameters():
        parameter.data = parameter.data.contiguous()


def by_gaps(net: MultiPathNet) -> None:
    """The kernels cannot read these."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = torch.cat([parameter.data] * 2, 3)[..., : parameter.shape[3]]


MOVES = [by_data, by_new_parameters, by_assignment, by_conversion, by_layout, by_gaps]


@pytest.mark.parametrize("move", MOVES)
def test_weights_that_move_between_two_passes_are_seen(
    move: Callable[[MultiPathNet], None], calls: Calls
) -> None:
    net = union()
    square(net(flows())).backward()
    move(net)
    calls.jobs = 0
    assert_same_training(net, flows())
    assert (calls.jobs == 0) == (move is by_gaps)


def test_a_parameter_that_is_replaced_before_the_backward_pass_gets_its_gradient() -> None:
    net = union()
    other, inputs = eager(net), flows()
    found, expected = [], []
    for each, into in ((net, found), (other, expected)):
        convolution = tiny.node(each, 1, "k3e2").project
        old = convolution.weight
        loss = square(each(inputs))
        convolution.weight = nn.Parameter(torch.zeros_like(old))
        loss.backward()
        into.append(old.grad)
    assert_near(found, expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_weights_of_its_own(copied: Callable[[Any], Any], calls: Calls) -> None:
    net = union()
    before = [y.detach() for y in net(flows())]
    other = copied(net)
    by_data(net)
    calls.jobs = 0
    assert all(map(torch.equal, other(flows()), before))
    assert calls.jobs == 8


# What falls back ----------------------------------------------------------------------------------


def in_float64(net: MultiPathNet) -> Any:
    return net.double()(flows(dtype=torch.float64))


def under_autocast(net: MultiPathNet) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return net(flows())


def in_evaluation_with_gradients(net: MultiPathNet) -> Any:
    return net.eval()(flows())


def with_other_parameters(net: MultiPathNet) -> Any:
    net(flows())
    Calls.jobs = 0
    changed = {n: 1.5 * p.detach() + 0.1 for n, p in net.named_parameters()}
    return functional_call(net, changed, (flows(),))


def with_a_derivative_by_jvp(net: MultiPathNet) -> Any:
    net.eval()

    def scaled(scale: Tensor) -> Tensor:
        return net([f._replace(images=scale * f.images) for f in flows()])[0]

    with torch.no_grad():
        return torch.func.jvp(scaled, (torch.ones(()),), (torch.ones(()),))


def exported(net: MultiPathNet) -> Any:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net([flows()[0]._replace(images=x)])[0]

    images = flows()[0].images
    return [torch.export.export(First().eval(), (images,)).module()(images)]


def traced(net: MultiPathNet) -> Any:
    for parameter in net.eval().parameters():
        parameter.requires_grad_(False)
    images = flows()[0].images
    first = torch.jit.trace(
        lambda x: net([flows()[0]._replace(images=x)])[0], (images,), check_trace=False
    )
    return [first(2 * images)]


FALLBACKS = [
    in_float64,
    under_autocast,
    in_evaluation_with_gradients,
    with_other_parameters,
    with_a_derivative_by_jvp,
    exported,
    traced,
]


@pytest.mark.parametrize("use", FALLBACKS)
def test_what_the_kernels_do_not_know_runs_in_eager(
    use: Callable[[MultiPathNet], Any], calls: Calls
) -> None:
    net = union()
    expected = use(eager(net))
    found = use(net)
    assert all(map(torch.equal, found, expected))
    if use is not with_other_parameters:
        assert calls.jobs == 0


def test_a_counter_of_operations_sees_all_of_them() -> None:
    net = union()
    counts = []
    for each in (net, eager(net)):
        with FlopCounterMode(display=False) as counter:
            each(flows())
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_maps_on_the_meta_device(calls: Calls) -> None:
    net = union().to("meta")
    outputs = net([f._replace(images=f.images.to("meta")) for f in flows()])
    assert [tuple(y.shape) for y in outputs] == [(4, 3), (4, 4)] and calls.jobs == 0


def test_weights_of_another_type_or_device_are_the_error_that_eager_has() -> None:
    for convert in (nn.Module.double, lambda net: net.to("meta")):
        messages = []
        for net in (union(), eager(union())):
            net(flows())
            with pytest.raises(RuntimeError) as caught:
                convert(net)(flows())
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_nodes_and_norms_in_other_modes_than_the_network(calls: Calls) -> None:
    """Frozen statistics beside those of the batch, in one layer and in one node."""
    net = union().eval()
    tiny.node(net, 1, "k5e2se").train()
    tiny.node(net, 2, "k3e3").depthwise_norm.train()
    with torch.no_grad():
        assert_near(net(flows()), eager(net)(flows()))
    assert calls.jobs == 7


# Blocks of one's own ------------------------------------------------------------------------------


def wider(chain: Chain) -> Chain:
    """A chain that uses more than the weights have."""
    first, second = chain.units
    return Chain([replace(first, weights=replace(first.weights, kernel=5)), second])


class Own:
    """A block whose module may be a chain. kind: which."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def build(self, in_channels: int, out: int, stride: int, norm: Any) -> nn.Module:
        links = [
            Link(kernel=3, stride=stride, out=12, activation="relu6", squeeze=4),
            Link(out=out, activation="hardswish"),
        ]

        class Module(OwnChain):
            def chain(module, inside: int, outside: int) -> Chain | None:  # noqa: N805
                if self.name == "none":
                    return None
                if self.name == "raises":
                    raise ValueError("broken")
                if self.name == "narrow":
                    return super().chain(inside - 1, outside)
                if self.name == "larger":
                    return wider(super().chain(inside, outside))
                return super().chain(inside, outside)

        if self.name == "plain":
            return nn.Sequential(nn.Conv2d(in_channels, out, 3, stride, 1), norm(out))
        return Module(links, in_channels, False, norm)


def with_own(kind: str) -> tuple[MultiPathNet, list[Flow]]:
    layers = [
        Layer("stem", 2, (8,), (Conv(3),)),
        Layer("one", 2, (8,), (Own(kind), Conv(1))),
        Layer("head", 1, (16,), (Conv(1),)),
    ]
    space = LayerwiseSpace("own", layers, 16)
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0)
    net.kernels = LIBRARY
    return net, [Flow(d, tiny.images(3, i), space.parse(kind)) for i, d in enumerate(CLASSES)]


@pytest.mark.parametrize(
    ("kind", "jobs"), [("chained", 6), ("none", 4), ("plain", 4), ("larger", 4)]
)
def test_an_own_block_runs_on_the_kernels_if_it_is_a_chain(
    kind: str, jobs: int, calls: Calls
) -> None:
    assert_same_training(*with_own(kind))
    assert calls.jobs == jobs


def test_an_error_in_an_own_chain_names_the_block() -> None:
    net, inputs = with_own("raises")
    with pytest.raises(ValueError, match="broken") as caught:
        net(inputs)
    assert "chain of block 'raises'" in caught.value.__notes__[0]


def test_the_block_in_the_documentation_runs_on_the_kernels(calls: Calls) -> None:
    text = (Path(__file__).parents[2] / "docs/extend.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {"__name__": "my_parts"}
    for code in (blocks[0], *(code for code in blocks if "def chain" in code)):
        exec(code, names)
    block = names["Separable"](5)
    layers = [
        Layer("stem", 2, (8,), (Conv(3),)),
        Layer("one", 2, (12,), (block, Conv(1))),
        Layer("head", 1, (16,), (Conv(1),)),
    ]
    space = LayerwiseSpace("own", layers, 16)
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0)
    net.kernels = LIBRARY
    assert_same_training(net, [Flow("a", tiny.images(3), space.parse(block.name))])
    assert calls.jobs == 3


def test_a_chain_for_other_widths_is_refused() -> None:
    net, inputs = with_own("narrow")
    with pytest.raises(MpnasError, match="takes 7 channels and returns 8: expected 8 and 8"):
        net(inputs)


def test_norms_with_another_eps_run_in_eager(calls: Calls) -> None:
    net = union()
    for norm in (m for m in net.modules() if isinstance(m, DomainNorm)):
        norm.eps = 0.1
    outputs, expected = net(flows()), eager(net)(flows())
    assert calls.jobs == 0
    assert all(torch.equal(x, y) for x, y in zip(outputs, expected, strict=True))
