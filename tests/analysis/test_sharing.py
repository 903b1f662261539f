"""Accounting of a union: sums are those of the network, and figures those worked out by hand."""

import pytest
import tiny
import torch

from mpnas_kit.analysis.sharing import account, usage
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.network.norms import Norm
from mpnas_kit.space.factored import mobilenet_v3_like
from mpnas_kit.space.layers import Node
from mpnas_kit.space.layerwise import LayerwiseSpace

CLASSES = {"a": 3, "b": 5}
STEM, HEAD = 3 * 8 * 9, 8 * 16  # weights of a conv 3x3 from 3 to 8, of a conv 1x1 from 8 to 16
CONV1, CONV3 = 8 * 8, 8 * 8 * 9


@pytest.fixture
def space() -> LayerwiseSpace:
    return tiny.two_searched_layers()


def test_usage_lists_every_candidate(space: LayerwiseSpace) -> None:
    paths = {"a": space.parse("conv1 zero"), "b": space.parse("conv1 conv3")}
    assert usage(space, paths) == {
        Node(1, "conv1"): ("a", "b"),
        Node(1, "conv3"): (),
        Node(2, "conv1"): (),
        Node(2, "conv3"): ("b",),
    }
    assert list(usage(space, paths, all_layers=True))[0] == Node(0, "conv3")


@pytest.mark.parametrize(("norm", "sets"), [("per_domain", 2), ("mixed", 1), ("naive", 1)])
def test_by_hand(space: LayerwiseSpace, norm: Norm, sets: int) -> None:
    paths = {"a": space.parse("conv1 zero"), "b": space.parse("conv1 conv3")}
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), norm, seed=0)
    found = account(net, paths)

    sizes = found.categories.set_index("category")["parameters"].to_dict()
    heads = 16 * 3 + 3 + 16 * 5 + 5
    norms = sets * 2 * (8 + 8 + 16) + 2 * 8  # scale and shift: stem, 1.1, head; 1.2 has one user
    assert sizes == {
        "shared": STEM + CONV1 + HEAD,
        "private": CONV3,
        "batch norm": norms,
        "heads": heads,
    }
    assert found.categories["share"].sum() == pytest.approx(1)

    everything = sum(p.numel() for p in net.parameters())
    assert found.parameters() == everything == sum(sizes.values())
    assert found.parameters(batch_norm=False) == everything - norms
    assert found.parameters(heads=False) == everything - heads
    assert found.parameters(batch_norm=False, heads=False) == STEM + CONV1 + HEAD + CONV3

    domains = found.domains.set_index("domain")
    assert domains.loc["a", "private"] == 0
    assert domains.loc["b", "private"] == CONV3
    assert domains.loc["a", "parameters"] == domains.loc["a", "shared"] == STEM + CONV1 + HEAD
    assert domains["norm"].to_dict() == {"a": 2 * 32, "b": 2 * 40}
    assert domains["head"].to_dict() == {"a": 51, "b": 85}
    common = 16 * (STEM + CONV1 + HEAD)  # the stem's output has 4 x 4 pixels
    a, b = common + 16 * 3, common + 16 * CONV3 + 16 * 5
    assert domains["multiply_adds"].to_dict() == {"a": a, "b": b}

    readings = found.multiply_adds.set_index("reading")["multiply_adds"].to_dict()
    union = common + 16 * CONV3 + 16 * 3 + 16 * 5
    assert readings == {"per image": (a + b) / 2, "union": union, "N images": a + b}

    nodes = found.nodes.set_index(["layer_name", "block"])
    assert nodes.loc[("1.1", "conv1"), "users"] == 2
    assert nodes.loc[("1.2", "conv3"), "domains"] == ("b",)


def test_one_domain_shares_nothing(space: LayerwiseSpace) -> None:
    paths = {"a": space.parse("conv1 conv1")}
    net = MultiPathNet.of_paths(space, paths, tiny.tasks({"a": 3}), "per_domain", seed=0)
    sizes = account(net, paths).categories.set_index("category")["parameters"]
    assert sizes["shared"] == 0
    assert sizes["private"] == STEM + 2 * CONV1 + HEAD


def test_searched_widths_count_as_the_network_has_them() -> None:
    space = mobilenet_v3_like(32)
    generator = torch.Generator().manual_seed(0)
    base = space.sample(generator)
    width = [d.name for d in space.decisions].index("stage5/width")
    narrow, wide = (
        space.path([*base.choices[:width], k, *base.choices[width + 1 :]]) for k in (0, 6)
    )
    paths = {"a": narrow, "b": wide}
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    found = account(net, paths)
    assert found.parameters() == sum(p.numel() for p in net.parameters())
    domains = found.domains.set_index("domain")
    for name, path in paths.items():
        assert domains.loc[name, "parameters"] == space.cost(path).parameters
        assert domains.loc[name, "private"] == 0
    assert (
        found.parameters(batch_norm=False, heads=False)
        == space.union_cost(paths.values()).parameters
    )
    assert domains.loc["a", "parameters"] < domains.loc["b", "parameters"]


def test_another_network_is_refused(space: LayerwiseSpace) -> None:
    paths = {"a": space.parse("conv1 zero"), "b": space.parse("conv1 conv3")}
    supernet = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    with pytest.raises(MpnasError, match="node 'conv3' of layer '1.1' .* not a supernet"):
        account(supernet, paths)
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    with pytest.raises(MpnasError, match="serves a, b, but paths are given for a:"):
        account(net, {"a": paths["a"]})
