"""A supernet in which candidates of a layer that differ in size have one set of weights."""

from typing import Any

import pytest
import tiny
import torch
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.collapse import families
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.blocks import Block, Collapsible, Conv, InvertedBottleneck
from mpnas_kit.space.factored import FactoredSpace

CLASSES = {"a": 3, "b": 4}


def collapsed(norm: str = "per_domain", private_from: int | None = None) -> MultiPathNet:
    space = tiny.space()
    return MultiPathNet.supernet(space, tiny.tasks(CLASSES), norm, 0, private_from, collapse=True)


def names(net: MultiPathNet) -> list[list[str]]:
    return [[node.block for node in family.nodes] for family in families(net.uses)]


def test_blocks_share_weights_if_both_expand_or_neither_does() -> None:
    """Layer one: k3e1, k3e2, k5e2se; layer two: k3e1, k5e3, k3e3."""
    assert names(collapsed()) == [["k3e2", "k5e2se"], ["k5e3", "k3e3"]]
    assert [f.hull.name for f in families(collapsed().uses)] == ["k5e2", "k5e3"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (InvertedBottleneck(3, 6), InvertedBottleneck(7, 2, se=True), "k7e6"),
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


def test_a_borrower_computes_what_its_part_of_the_lender_computes() -> None:
    net = collapsed()
    lender, space = net.lenders["1_k5e2"], tiny.space()
    own = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", 0)
    with torch.no_grad():
        own.heads.load_state_dict(net.heads.state_dict())
        alone = dict(tiny.node(own, 1, "k3e2").named_parameters())
        alone["depthwise.weight"].copy_(lender.depthwise.weight[:, :, 1:4, 1:4])
        for name in ("expand", "project"):
            alone[f"{name}.weight"].copy_(getattr(lender, name).weight)
        for key in ("0_conv3", "2_k3e1", "3_conv1"):
            own.nodes[key].load_state_dict(net.nodes[key].state_dict())
    flow = Flow("b", tiny.images(4), space.parse("k3e2 k3e1"))
    torch.testing.assert_close(net([flow])[0], own([flow])[0])


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
    net = collapsed(private_from=2)
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


def test_weights_are_not_copied_from_nodes_that_have_none() -> None:
    net = MultiPathNet.of_paths(
        tiny.space(), {"a": tiny.space().parse("k3e2 k3e3")}, tiny.tasks({"a": 3}), "per_domain", 0
    )
    with pytest.raises(MpnasError, match="collapsed supernet"):
        net.adopt(collapsed(), "a")
