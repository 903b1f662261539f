"""Spaces around a known network: their paths, what a layer offers, and private copies."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

import mpnas_kit as mk
from mpnas_kit.space.elastic import conv, depthwise
from mpnas_kit.space.layers import OWN, Node
from mpnas_kit.space.private import OwnCopy, OwnDepthwise

SPACES = [mk.lite0, mk.mobilenet_v3_large_like]


@pytest.fixture(params=SPACES, ids=lambda make: make.__name__)
def around(request: pytest.FixtureRequest) -> mk.BackboneSpace:
    return request.param(64)


def replaced(space: mk.SearchSpace, **words: str) -> mk.Path:
    """The original path with other words in the layers of these names (`_` for the dot)."""
    names = [space.layers[i].name for i in space.searched]
    arch = space.original.arch.split()
    for name, word in words.items():
        arch[names.index(name.strip("_").replace("_", "."))] = word
    return space.parse(" ".join(arch))


def test_the_original_is_efficientnet_lite0() -> None:
    space = mk.lite0(224)
    cost = space.cost(space.original)
    classifier = 1280 * 1000 + 1000
    # 4,652,008 parameters and 0.39 billion multiply-adds: the tables of EfficientNet-Lite
    assert cost.parameters + cost.norm_parameters + classifier == 4_652_008
    assert round((cost.multiply_adds + 1280 * 1000) / 1e6) == 385


def test_the_original_is_mobilenet_v3_large() -> None:
    space, large = mk.mobilenet_v3_large_like(), mk.mobilenet_v3_large()
    pairs = zip(space.uses(space.original), large.uses(large.parse("")), strict=True)
    assert all(a._replace(node=b.node) == b for a, b in pairs)


def test_paths_print_and_parse(around: mk.BackboneSpace) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        path = around.sample(generator)
        assert around.parse(path.arch) == path
        assert len(around.uses(path)) == len(around.layers)


def test_a_skipped_layer_has_no_other_choices(around: mk.BackboneSpace) -> None:
    layer = next(x for x in around.layers if None in x.candidates)
    skipped = replaced(around, **{f"_{layer.name.replace('.', '_')}": "zero"})
    choices = list(skipped.choices)
    for i, decision in enumerate(around.decisions):
        if decision.layer == around.layers.index(layer) and decision.name.endswith("/kernel"):
            choices[i] = 1
    assert around.path(choices) == skipped


def test_a_layer_offers_every_variant_shared_and_private() -> None:
    layer = mk.lite0().layers[3]  # 2.2
    names = [f"k{k}e{e}" for k in (3, 5) for e in (3, 6)]
    assert layer.choices == (*(n + s for n in names for s in ("", "~", "*")), "zero")
    first = mk.lite0().layers[2]  # 2.1 has stride 2
    assert "zero" not in first.choices


def test_a_private_copy_is_a_node_of_the_domain(around: mk.BackboneSpace) -> None:
    name = around.layers[3].name
    block = around.original.arch.split()[around.searched.index(3)]
    for suffix, node, pointwise in (
        ("", Node(3, block), None),
        ("*", Node(3, block, OWN), None),
        ("~", Node(3, f"{block}~", OWN), Node(3, block)),
    ):
        path = replaced(around, **{f"_{name.replace('.', '_')}": block + suffix})
        use = around.uses(path)[3]
        assert (use.node, use.pointwise) == (node, pointwise)
        assert use.block.name == block
        assert use.cost == around.uses(around.original)[3].cost


def test_private_parameters_are_those_of_the_copy() -> None:
    space = mk.lite0(64)
    own, mixed = replaced(space, _2_2="k3e6*"), replaced(space, _2_2="k3e6~")
    hidden = 6 * 24
    depthwise_weights, pointwise = 9 * hidden, 2 * hidden * 24
    assert [sum(u.private_parameters for u in space.uses(p) if u) for p in (own, mixed)] == [
        depthwise_weights + pointwise,
        depthwise_weights,
    ]
    base = space.union_cost([space.original])
    assert space.union_cost([space.original, own, own]).parameters == (
        base.parameters + 2 * (depthwise_weights + pointwise)
    )
    assert space.union_cost([space.original, mixed]).parameters == (
        base.parameters + depthwise_weights
    )
    # the 1x1 convolutions are there once, also if no path takes the plain node
    assert space.union_cost([mixed, mixed]).parameters == base.parameters + depthwise_weights


def test_a_footprint_prices_private_parameters_only() -> None:
    space = mk.lite0(64)
    own = replaced(space, _2_2="k3e6*")
    plain, priced = (
        mk.path_costs(mk.Footprint(private=p), space, {"a": space.original, "b": own})
        for p in (0, 7)
    )
    assert plain["a"] == plain["b"] == priced["a"] == space.cost(own).multiply_adds
    assert priced["b"] - plain["b"] == 7 * (9 * 144 + 2 * 144 * 24)


def test_shares_of_a_union_add_up_to_it() -> None:
    space = mk.lite0(64)
    paths = {
        "a": replaced(space, _2_2="k3e6*", _3_2="k5e6~"),
        "b": replaced(space, _2_2="k3e6~", _3_2="k5e6~"),
        "c": replaced(space, _3_2="k3e3"),
    }
    shares = mk.UnionShare().costs(space, paths)
    assert sum(shares.values()) == pytest.approx(space.union_cost(paths.values()).parameters)


def test_private_nodes_are_in_no_intersection() -> None:
    space = mk.lite0(64)
    own = space.parse(" ".join(["k3e1*", *["k3e3*"] * 15]))
    assert mk.analysis.jaccard_matrix(space, {"a": own, "b": own}, pairs=4).mean == 0
    same = dict.fromkeys("ab", space.uniform_paths()[1])
    assert mk.analysis.jaccard_matrix(space, same, pairs=4).mean == 1


def test_extremes_are_the_cheapest_and_the_most_expensive_path(around: mk.BackboneSpace) -> None:
    model = mk.Footprint(private=3)
    low, high = mk.cost_bounds(model, around, 1)
    generator = torch.Generator().manual_seed(0)
    costs = [mk.path_costs(model, around, {"": around.sample(generator)})[""] for _ in range(300)]
    assert low <= min(costs) and max(costs) <= high


def test_uniform_paths_begin_with_the_original() -> None:
    space = mk.lite0()
    original, *others = space.uniform_paths()
    assert original == space.original and len(others) == 4
    assert others[-1].arch.split() == ["k5e1"] + ["k5e6"] * 15


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("dense", [False, True])
def test_same_padding_is_that_of_tensorflow(kernel: int, size: int, dense: bool) -> None:
    torch.manual_seed(0)
    made = conv(4, 4, kernel, 2, padding="same") if dense else depthwise(4, kernel, 2, "same")
    x = torch.randn(2, 4, size, size)
    outputs = -(-size // 2)
    zeros = (outputs - 1) * 2 + kernel - size  # all that the last window needs
    before = zeros // 2
    after = zeros - before
    padded = F.pad(x, (before, after, before, after))
    expected = F.conv2d(padded, made.weight, None, 2, 0, 1, made.groups)
    assert torch.equal(made(x), expected)
    assert expected.shape[-1] == outputs
    assert (before == after) == (size % 2 == 1)


def test_padding_tells_blocks_apart_but_not_those_of_before() -> None:
    def space(**more: str) -> mk.SearchSpace:
        block = mk.InvertedBottleneck(3, 2, **more)
        layers = [mk.Layer("stem", 2, (8,), (mk.Conv(3),)), mk.Layer("a", 2, (8,), (block,))]
        return mk.LayerwiseSpace("tiny", layers, 32)

    class OldBottleneck:
        """A block of the release before, which had no padding."""

        name = "k3e2"

        def build(self, *args: object) -> None: ...

        def __repr__(self) -> str:
            return repr(mk.InvertedBottleneck(3, 2)).replace(", padding='symmetric'", "")

    layers = [
        mk.Layer("stem", 2, (8,), (mk.Conv(3),)),
        mk.Layer("a", 2, (8,), (OldBottleneck(),)),
    ]
    before = mk.LayerwiseSpace("tiny", layers, 32)
    assert space().blocks_fingerprint() == before.blocks_fingerprint()
    assert space(padding="same").blocks_fingerprint() != space().blocks_fingerprint()


def test_a_backbone_space_is_recreated_from_its_description(around: mk.BackboneSpace) -> None:
    from mpnas_kit.space.texts import describe_space, read_space

    again = read_space(describe_space(around), trust=False)
    assert again.fingerprint() == around.fingerprint()
    assert again.blocks_fingerprint() == around.blocks_fingerprint()
    assert again.original == around.original


def test_hulls_of_fixed_widths_share_only_what_expands() -> None:
    narrow, wide = mk.InvertedBottleneck(3, hidden=8), mk.InvertedBottleneck(5, hidden=16)
    hull = narrow.hull(wide)
    assert hull is not None and hull.name == "k5h16"
    assert narrow.hull(mk.InvertedBottleneck(3, 2)) is None
    assert narrow.hull(dataclasses.replace(wide, padding="same")) is None
    module = hull.build(8, 8, 1, torch.nn.BatchNorm2d)
    assert module.depthwise.weight.shape == (16, 1, 5, 5)


def test_copies_are_named_after_their_block() -> None:
    block = mk.InvertedBottleneck(5, 3, se=True)
    assert (OwnCopy(block).name, OwnDepthwise(block).name) == ("k5e3se*", "k5e3se~")


def test_an_arch_string_of_another_length_is_refused() -> None:
    with pytest.raises(mk.MpnasError, match="has 2 words: space 'lite0' needs 16"):
        mk.lite0().parse("k3e1 k3e6")
    with pytest.raises(mk.MpnasError, match="k9e6"):
        replaced(mk.lite0(), _2_2="k9e6")
