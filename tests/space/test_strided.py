"""Searched strides: sizes and costs of paths, nodes, extremes, warm-up, training and errors."""

from itertools import product

import pytest
import tiny
import torch

from mpnas_kit import analysis
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.stage import search
from mpnas_kit.search.warmup import warm
from mpnas_kit.space.costs import MultiplyAdds, path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.spaces import pocket_space, pocket_strided
from mpnas_kit.space.strided import StridedSpace
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train


def paths(of: StridedSpace) -> list[Path]:
    counts = [range(len(d.choices)) for d in of.decisions]
    return [of.path(choices) for choices in product(*counts)]


def test_a_map_is_halved_where_the_path_says() -> None:
    first, last = tiny.strided().parse("a k3e1 k3e1 k3e1"), tiny.strided().parse("d k3e1 k3e1 zero")
    sizes = [None if use is None else use.size for use in tiny.strided().uses(first)]
    assert sizes == [16, 8, 4, 4, 4]
    assert [None if use is None else use.size for use in tiny.strided().uses(last)] == [
        16,
        8,
        8,
        None,
        8,
    ]
    blocks = [use.node.block for use in tiny.strided().uses(last) if use is not None]
    assert blocks == ["conv3", "k3e1", "k3e1", "k3e1/2"]


def test_a_path_costs_what_the_same_fixed_space_says() -> None:
    """The base pocket space is one of the choices, so costs of its paths are known."""
    fixed, strided = pocket_space(), pocket_strided()
    words = ["k3e2", "k5e4", "zero", "k3e1", "k7e2", "zero", "k3e2se", "k3e1", "k5e1", "k3e4"]
    expected = fixed.cost(fixed.parse(" ".join(words)))
    assert strided.cost(strided.parse(" ".join(["2.1+3.1", *words]))) == expected


def test_every_path_has_its_own_arch_string_and_extremes_are_exact() -> None:
    found = paths(tiny.strided())
    assert len({p.arch for p in found}) == len(found) == 36
    assert all(tiny.strided().parse(p.arch) == p for p in found)
    costs = [tiny.strided().cost(p).multiply_adds for p in found]
    low, high = tiny.strided().extremes(MultiplyAdds().price)
    assert tiny.strided().cost(low).multiply_adds == min(costs)
    assert tiny.strided().cost(high).multiply_adds == max(costs)


def test_costs_follow_the_resolution_of_a_domain() -> None:
    mixed = tiny.strided().with_resolutions({"large": tiny.SIZE, "small": tiny.SIZE // 2})
    path = mixed.parse("b k3e1 k5e2 zero")
    costs = path_costs(MultiplyAdds(), mixed, {"large": path, "small": path})
    assert costs["small"] == costs["large"] / 4
    assert mixed.total_stride == 4


def test_a_block_with_two_strides_is_two_nodes_that_share_weights_in_a_supernet() -> None:
    suite = tiny.suite()
    fixed = LayerwiseSpace("fixed", tiny.strided_layers(), tiny.SIZE)
    net, other = (
        MultiPathNet.supernet(s, suite.tasks, "per_domain", 0, collapse=True)
        for s in (tiny.strided(), fixed)
    )
    assert len(net.uses) == len(other.uses) + 5  # k3e1/2 and k5e2/2 in a and b, k3e1/2 in d
    weights, expected = (
        sum(p.numel() for name, p in n.named_parameters() if "norm" not in name)
        for n in (net, other)
    )
    assert weights == expected
    x = torch.randn(2, 3, tiny.SIZE, tiny.SIZE)
    outputs = net([Flow(suite.names[0], x, path) for path in paths(tiny.strided())[::5]])
    assert all(bool(torch.isfinite(y).all()) for y in outputs)


def test_a_warm_up_averages_only_candidates_with_the_stride_of_the_path() -> None:
    chosen = tiny.strided().parse("b k3e1 k5e2 k3e1")
    generator = torch.Generator().manual_seed(0)
    (blend,) = warm(tiny.strided(), [chosen], 1.0, 4, generator)
    assert isinstance(blend, Blend)
    strides = [{use.stride for use in layer if use is not None} for layer in blend.layers]
    assert strides == [{2}, {1}, {2}, {1}, {1}]
    assert len(blend.layers[1]) == 2 and len(blend.layers[3]) == 3


def test_probabilities_of_blocks_count_the_strides() -> None:
    policy = torch.full((1, 1, 4, 3), 1 / 3)
    policy[..., 1:3, :2], policy[..., 1:3, 2] = 0.5, 0
    policy[..., 0, :] = torch.tensor([0.5, 0.25, 0.25])
    a = analysis.layer_policies(tiny.strided(), policy.numpy()).probabilities[1][0, 0]
    assert a == pytest.approx([0.25, 0.25, 0.25, 0.25])  # halved with 0.5, two equal blocks
    b = analysis.layer_policies(tiny.strided(), policy.numpy()).probabilities[2][0, 0]
    assert b == pytest.approx([0.375, 0.375, 0.125, 0.125])


def test_a_search_and_a_training_run_through_it() -> None:
    suite, config = tiny.suite(), SearchConfig(steps=6, batch_size=8, reward_batch=8)
    found = search(suite, tiny.strided(), config)
    trained = train(suite, tiny.strided(), found.paths, TrainConfig(steps=3, batch_size=8))
    assert sorted(trained.accuracy().index) == sorted(suite.names)


@pytest.mark.parametrize(
    ("halved", "message"),
    [
        ([["a"], ["z"]], "'z', which is no layer: expected names of its layers, stem, a, b, c, d"),
        ([["a"], ["c"]], "the stride of layer 'c' cannot be searched: expected a layer with"),
        ([["a"], ["stem"]], "the stride of layer 'stem' cannot be searched"),
        ([["a"]], "at least two choices of strides"),
        ([["a"], ["a"]], "at least two choices of strides that differ"),
        ([["a"], ["a", "b"]], "name equally many layers"),
        ([["a", "a"], ["a", "b"]], "each once"),
        ([[], []], "at least two choices of strides"),
    ],
)
def test_wrong_strides_are_named(halved: list[list[str]], message: str) -> None:
    with pytest.raises(MpnasError, match=message.replace("(", r"\(")):
        StridedSpace("strided", tiny.strided_layers(), halved, 16)
