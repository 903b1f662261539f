"""A supernet in which candidates of a layer that differ in size have one set of weights."""

from typing import Any

import pytest
import tiny
import torch
from torch import nn

from mpnas_kit.network.collapse import borrower, families
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.block import Block, Collapsible
from mpnas_kit.space.blocks import Conv, InvertedBottleneck
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.factored import FactoredSpace, mobilenet_v3_like
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.space.spaces import pocket_space

CLASSES = {"a": 3, "b": 4}


def collapsed(norm: str = "per_domain", private: PrivateLayers = SHARED) -> MultiPathNet:
    space = tiny.space()
    return MultiPathNet.supernet(space, tiny.tasks(CLASSES), norm, 0, private, collapse=True)


def names(net: MultiPathNet) -> list[list[str]]:
    return [[node.block for node in family.nodes] for family in families(net.uses)]


def test_blocks_share_weights_if_both_expand_or_neither_does() -> None:
    """Layer one: k3e1, k3e2, k5e2se; layer two: k3e1, k5e3, k3e3."""
    assert names(collapsed()) == [["k3e2", "k5e2se"], ["k5e3", "k3e3"]]
    assert [f.hull.name for f in families(collapsed().uses)] == ["k5e2", "k5e3"]


def test_the_candidates_of_a_large_layer_are_two_families() -> None:
    """Those that expand are one, with and without squeeze-and-excite. The others have no expand."""
    space = mobilenet_v3_like(32)
    uses = {use.node: use for use in space.widest_uses()}
    found = [f for f in families(uses) if f.nodes[0].layer == 4]
    assert [(f.hull.name, len(f.nodes)) for f in found] == [("k7e1se1", 6), ("k7e6se6", 30)]


def test_a_family_is_sought_in_its_own_layer_and_owner_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the time grows with the nodes, not with their square: two families per layer here."""
    asked: list[str] = []
    hull = InvertedBottleneck.hull

    def counted(self: InvertedBottleneck, other: Block) -> InvertedBottleneck | None:
        asked.append(other.name)
        return hull(self, other)

    monkeypatch.setattr(InvertedBottleneck, "hull", counted)
    uses = {
        use.node._replace(owner=owner): use
        for owner in map(str, range(20))
        for use in pocket_space().widest_uses()
    }
    families(uses)
    assert len(asked) <= 2 * len(uses)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (InvertedBottleneck(3, 6), InvertedBottleneck(7, 2, se=True), "k7e6"),
        (InvertedBottleneck(5, 4, se=True), InvertedBottleneck(3, 2, se=True), "k5e4se4"),
        (InvertedBottleneck(5, 4), InvertedBottleneck(3, 2), "k5e4"),
        (InvertedBottleneck(3, 1), InvertedBottleneck(5, 1), "k5e1"),
        (InvertedBottleneck(3, 1), InvertedBottleneck(5, 2), None),
        (InvertedBottleneck(3, 2), InvertedBottleneck(3, 4, activation="hardswish"), None),
        (InvertedBottleneck(3, hidden=24), InvertedBottleneck(3, 2), None),
        (InvertedBottleneck(3, 2), Conv(3), None),
        (Conv(1), Conv(3), None),
    ],
)
def test_the_hull_of_two_blocks(one: Block, other: Block, expected: str | None) -> None:
    pairs = ((one, other), (other, one))
    hulls = [a.hull(b) if isinstance(a, Collapsible) else None for a, b in pairs]
    assert [h and h.name for h in hulls] == [expected] * 2


def test_a_small_kernel_is_the_centre_of_the_large_one_and_a_narrow_block_its_first_channels() -> (
    None
):
    """A step for k3e2 changes only the inner 3 x 3 taps of the lender's 16 hidden channels."""
    net = collapsed()
    lender = net.lenders["1_k5e2"]
    path = tiny.space().parse("k3e2 k3e1")
    (logits,) = net([Flow("a", tiny.images(4), path)])
    logits.square().sum().backward()
    taps = lender.depthwise.weight.grad.abs().sum((0, 1)) > 0
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(taps, expected)
    assert lender.expand.weight.grad is not None
    assert "weight" not in dict(tiny.node(net, 1, "k3e2").depthwise.named_parameters())

    net.zero_grad(set_to_none=True)
    (logits,) = net([Flow("a", tiny.images(4), tiny.space().parse("k3e1 k3e3"))])
    logits.square().sum().backward()
    assert lender.expand.weight.grad is None  # k3e1 does not expand: it has its own weights
    assert net.lenders["2_k5e3"].project.weight.grad is not None


def mixed_sizes() -> LayerwiseSpace:
    """One searched layer whose candidates differ in kernel, expansion and squeeze-and-excite."""
    blocks = [InvertedBottleneck(k, e, se) for k in (3, 7) for e in (2, 5) for se in (True, False)]
    stem, head = Layer("stem", 2, (8,), (Conv(3),)), Layer("head", 1, (16,), (Conv(1),))
    return LayerwiseSpace("mixed", (stem, Layer("one", 2, (12,), blocks), head), tiny.SIZE)


def part(lent: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The first channels of a tensor, and the centre of its kernels."""
    if len(shape) == 4:
        edge = (lent.shape[-1] - shape[-1]) // 2
        lent = lent[:, :, edge : edge + shape[-1], edge : edge + shape[-1]]
    return lent[tuple(slice(n) for n in shape)]


@pytest.mark.parametrize("widths", ["fixed", "searched"])
def test_borrowers_compute_what_their_parts_of_the_lender_compute(
    widths: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.shrink_factored(monkeypatch)
    space = mixed_sizes() if widths == "fixed" else FactoredSpace("small", tiny.SIZE)
    tasks, generator = tiny.tasks(CLASSES), torch.Generator().manual_seed(0)
    net = MultiPathNet.supernet(space, tasks, "per_domain", 0, collapse=True)
    own = MultiPathNet.supernet(space, tasks, "per_domain", 1)
    for parameter in net.lenders.parameters():
        nn.init.normal_(parameter, std=0.3)  # biases and norms too
    lenders = {
        f"nodes.{node.layer}_{node.block}.": f"lenders.{node.layer}_{family.hull.name}."
        for family in families(net.uses)
        for node in family.nodes
    }
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            node = ".".join(name.split(".")[:2]) + "."
            lent = name.replace(node, lenders.get(node, node), 1)
            parameter.copy_(part(net.get_parameter(lent), parameter.shape))
    paths = [space.sample(generator) for _ in range(12)]
    for path in [*paths, *space.extremes(MultiplyAdds().price)]:
        flows = [Flow(d, tiny.images(4), path) for d in CLASSES]
        torch.testing.assert_close(net(flows), own(flows), msg=lambda m, p=path: f"{p}: {m}")


def test_a_hull_has_only_weights_that_candidates_share() -> None:
    """Gates of k3e2se and k5e2se: 16 channels, 8 inside. k7e4 has 32 channels, and no gate."""
    alone = hull_of(InvertedBottleneck(7, 4), InvertedBottleneck(3, 2, se=True))
    assert alone.name == "k7e4"
    shared = hull_of(alone, InvertedBottleneck(5, 2, se=True))
    assert shared.name == "k7e4se2"
    sizes = [
        sum(p.numel() for p in hull.build(8, 8, 1, nn.BatchNorm2d).parameters())
        for hull in (alone, shared)
    ]
    without = 8 * 32 + 32 * 49 + 32 * 8 + 2 * (32 + 32 + 8)
    assert sizes == [without, without + 8 * 16 + 8 + 16 * 8 + 16]


def hull_of(one: Block, other: Block) -> Block:
    assert isinstance(one, Collapsible)
    hull = one.hull(other)
    assert hull is not None
    return hull


class Keeping(nn.Module):
    """A module that borrows its weight, and keeps its bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))

    def borrow(self, lender: nn.Module) -> None:
        """Use the weight of the lender."""
        del self.weight


def test_what_a_borrower_keeps_has_values() -> None:
    built: list[nn.Module] = []

    def build() -> nn.Module:
        built.append(Keeping())
        return built[-1]

    kept = borrower(build, Keeping())
    assert built[0].bias.is_meta and len(built) == 2
    assert dict(kept.named_parameters()).keys() == {"bias"} and kept.bias.tolist() == [1, 1, 1]


def test_weights_that_are_borrowed_are_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither time nor memory: without `collapse` the supernet has 12 times as many weights."""
    drawn: list[int] = []
    uniform = torch.Tensor.uniform_

    def counted(self: torch.Tensor, *bounds: float, **more: Any) -> torch.Tensor:
        drawn.append(0 if self.is_meta else self.numel())
        return uniform(self, *bounds, **more)

    monkeypatch.setattr(torch.Tensor, "uniform_", counted)
    tasks = tiny.tasks(CLASSES)
    net = MultiPathNet.supernet(mobilenet_v3_like(32), tasks, "per_domain", 0, collapse=True)
    assert sum(drawn) <= sum(p.numel() for p in net.parameters())
    assert not any(tensor.is_meta for tensor in net.state_dict().values())


def test_no_borrower_has_weights_of_its_own() -> None:
    space = mixed_sizes()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0, collapse=True)
    assert not [n for n, _ in net.nodes.named_parameters() if n.startswith("1_")]
    largest = MultiPathNet.of_paths(
        space, dict.fromkeys(CLASSES, space.parse("k7e5se")), tiny.tasks(CLASSES), "per_domain", 0
    )
    sizes = [sum(p.numel() for p in one.parameters()) for one in (net, largest)]
    assert sizes[0] == sizes[1]  # all candidates together have the weights of the largest one


def test_a_step_for_a_gated_candidate_trains_the_first_channels_of_the_gate() -> None:
    space = mixed_sizes()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0, collapse=True)
    gate = net.lenders["1_k7e5se5"].se
    nn.init.constant_(gate.reduce.bias, 9.0)  # so that ReLU lets all channels through
    nn.init.constant_(gate.expand.weight, 1e-3)  # so that no gate is 0 or 1
    for word, used in (("k3e2se", (8, 16)), ("k3e5se", (16, 40)), ("k3e2", None)):
        net.zero_grad(set_to_none=True)
        (logits,) = net([Flow("a", tiny.images(4), space.parse(word))])
        logits.square().sum().backward()
        gradients = [p.grad for p in gate.parameters()]
        if used is None:
            assert gradients == [None] * 4
            continue
        reduce, reduce_bias, expand, expand_bias = gradients
        inside, hidden = used
        assert reduce.abs().sum((1, 2, 3)).count_nonzero() == inside
        assert reduce.abs().sum((0, 2, 3)).nonzero().flatten().tolist() == list(range(hidden))
        assert reduce_bias.count_nonzero() == inside
        assert expand.abs().sum((1, 2, 3)).nonzero().flatten().tolist() == list(range(hidden))
        assert expand_bias.nonzero().flatten().tolist() == list(range(hidden))


@pytest.mark.parametrize("norm", ["per_domain", "mixed"])
def test_scales_and_shifts_are_lent_too(norm: str) -> None:
    net = collapsed(norm)
    flow = Flow("a", tiny.images(4), tiny.space().parse("k3e2 k3e1"))
    before = net([flow])[0]
    with torch.no_grad():
        for parameter in net.lenders["1_k5e2"].project_norm.parameters():
            parameter.add_(1)
    assert not torch.allclose(before, net([flow])[0])
    assert not list(tiny.node(net, 1, "k3e2").project_norm.parameters())


def test_every_domain_has_lenders_of_its_own_in_private_layers() -> None:
    net = collapsed(private=PrivateLayers(since=2))
    assert set(net.lenders) == {"1_k5e2", "2_k5e3@a", "2_k5e3@b"}


def test_lent_weights_are_stored_once() -> None:
    net = collapsed()
    pointers = [t.data_ptr() for t in net.state_dict().values()]
    assert len(set(pointers)) == len(pointers)
    again = collapsed()
    for tensor in again.parameters():
        nn.init.zeros_(tensor)
    again.load_state_dict(net.state_dict())
    assert again.fingerprint() == net.fingerprint()


def test_a_space_of_searched_widths_is_collapsed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE)
    net = MultiPathNet.supernet(space, tiny.tasks({"a": 3}), "per_domain", 0, collapse=True)
    generator = torch.Generator().manual_seed(0)
    flows = [Flow("a", tiny.images(2), space.sample(generator)) for _ in range(8)]
    assert [x.shape for x in net(flows)] == [(2, 3)] * 8
    assert net.lenders and not any(
        "depthwise.weight" in name for name, _ in net.nodes.named_parameters() if "2_k" in name
    )


class Wider(InvertedBottleneck):
    """A block of a user that builds another module than its base class."""

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride), norm(out_channels))


def test_a_block_of_a_user_s_own_keeps_its_weights() -> None:
    own, plain = Wider(3, 2), InvertedBottleneck(3, 4)
    assert own.hull(plain) is None and plain.hull(own) is None
