"""The space of an added domain: frozen nodes, own nodes, and what they cost."""

import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import AddedParameters, MultiplyAdds, path_costs
from mpnas_kit.space.factored import mobilenet_v3_like
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import OWN
from mpnas_kit.space.private_layers import SHARED, PrivateLayers
from mpnas_kit.space.space import SearchSpace

ARCHS = ["k3e1 k5e3", "zero k3e1"]


def grown(private: PrivateLayers = SHARED) -> GrownSpace:
    """Tiny paths are frozen: stem, head, k3e1 in layer one, k5e3 and k3e1 in layer two."""
    space = tiny.space()
    return GrownSpace(space, tiny.paths(space, ARCHS), private)


def added(space: SearchSpace, arch: str) -> float:
    return path_costs(AddedParameters(), space, {"": space.read(arch)})[""]


def test_every_layer_offers_what_is_frozen_and_what_is_new() -> None:
    space = grown()
    assert [d.name for d in space.decisions[2:]] == [
        "stem/node",
        "one/node",
        "two/node",
        "head/node",
    ]
    assert space.layers[1].choices == ("zero", "k3e1", "k3e2", "k5e2se", "k3e1*")
    # stem and head: 2 each; layer one: 4 candidates and 1 copy; layer two: 3 and 2
    assert len(set(tiny.all_paths(space))) == 2 * 2 * 5 * 5


def test_paths_are_read_back_and_are_paths_of_the_base() -> None:
    space = grown()
    for path in tiny.all_paths(space):
        assert space.parse(path.arch) == space.read(path.arch) == path
        plain = space.plain(path)
        assert plain == tiny.space().read(path.arch) and plain.arch == path.arch
        assert space.plain(plain) == plain
        owned = [u.node.layer for u in space.uses(path) if u and u.node.owner == OWN]
        assert tuple(owned) == plain.own


def test_only_what_is_new_adds_parameters() -> None:
    space, plain = grown(), tiny.space()
    sizes = [u.cost.parameters for u in plain.uses(plain.parse("k3e1 k5e3")) if u]
    assert added(space, "k3e1 k5e3") == added(space, "zero k3e1") == 0
    assert added(space, "k3e1 k5e3 own:0,2") == sizes[0] + sizes[2]
    new = plain.uses(plain.parse("k3e2 k3e1"))[1]
    assert new is not None and added(space, "k3e2 k3e1") == new.cost.parameters
    assert added(plain, "k3e1 k5e3") == sum(sizes)


@pytest.mark.parametrize("model", [AddedParameters(), MultiplyAdds()])
def test_extremes_are_those_of_all_paths(model: AddedParameters | MultiplyAdds) -> None:
    space = grown()
    costs = [path_costs(model, space, {"": p})[""] for p in tiny.all_paths(space)]
    low, high = (path_costs(model, space, {"": p})[""] for p in space.extremes(model.price))
    assert (low, high) == (min(costs), max(costs))


def test_private_layers_have_no_frozen_nodes() -> None:
    space = grown(private=PrivateLayers(since=2))
    assert {node.layer for node in space.frozen} == {0, 1}
    assert [d.name for d in space.decisions[2:]] == ["stem/node", "one/node"]


def test_a_frozen_node_that_is_too_narrow_is_an_own_node(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    monkeypatch.setattr("mpnas_kit.space.factored.STAGES", ((8, 2), (16, 2)))
    base = mobilenet_v3_like(16)
    narrow, wide = (base.sample(torch.Generator().manual_seed(1)) for _ in "nw")
    words = narrow.arch.split()
    narrow = base.parse(" ".join("x0.5" if w.startswith("x") else w for w in words))
    wide = base.parse(" ".join("x1" if w.startswith("x") else w for w in words))
    space = GrownSpace(base, {"a": narrow})
    assert space.plain(narrow).own == ()
    own = space.plain(wide).own
    expected = {
        u.node.layer
        for u, v in zip(base.uses(wide), base.uses(narrow), strict=True)
        if u and v and (u.in_channels > v.in_channels or u.out_channels > v.out_channels)
    }
    assert set(own) == expected != set()
    assert GrownSpace(base, {"a": wide}).plain(narrow).own == ()


def backbone() -> tuple[mk.BackboneSpace, GrownSpace]:
    """A space that offers private copies, and the frozen path `k3e2 k3e2` in it."""
    block = mk.InvertedBottleneck(3, 2)
    rows = [
        mk.Row("stem", 2, 8, mk.Conv(3)),
        mk.Row("one", 1, 8, block, (3, 5), (2, 3)),
        mk.Row("two", 1, 8, block, (3, 5), (2, 3)),
    ]
    base = mk.BackboneSpace("around", rows, 8)
    return base, GrownSpace(base, {"a": base.original})


def test_private_copies_of_the_base_are_its_own_nodes() -> None:
    base, space = backbone()
    assert [d.name for d in space.decisions[len(base.decisions) :]] == ["stem/node"]
    generator = torch.Generator().manual_seed(0)
    for path in [space.sample(generator) for _ in range(100)]:
        plain = space.plain(path)
        assert space.parse(plain.arch) == path
        nodes, own = ([u and u.node for u in s.uses(p)] for s, p in ((space, path), (base, plain)))
        assert nodes == own
        private = {n.layer for n in space.nodes(path, all_layers=True) if n.owner == OWN}
        assert private == {n.layer for n in nodes if n and n.owner == OWN}
        assert space.nodes(path) <= mk.analysis.usage(space, {"b": path}).keys()


def test_frozen_1x1_convolutions_add_no_parameters() -> None:
    _, space = backbone()
    depthwise = 16 * 3 * 3
    assert added(space, "k3e2 k3e2") == 0
    assert added(space, "k3e2~ k3e2") == depthwise
    assert added(space, "k3e2* k3e2") == depthwise + 2 * 8 * 16
    assert added(space, "k5e3~ k3e2") == 24 * 5 * 5 + 2 * 8 * 24  # there is no frozen k5e3


@pytest.mark.parametrize("model", [AddedParameters(), MultiplyAdds()])
def test_extremes_around_a_network_are_those_of_all_paths(
    model: AddedParameters | MultiplyAdds,
) -> None:
    _, space = backbone()
    costs = [path_costs(model, space, {"": p})[""] for p in tiny.all_paths(space)]
    low, high = (path_costs(model, space, {"": p})[""] for p in space.extremes(model.price))
    assert (low, high) == (min(costs), max(costs))


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("zero k3e1 own:1", "has no node in layer 1"),
        ("k3e1 k3e1 own:9", "has no node in layer 9"),
        ("k3e1 k3e1 own:x", "has 3 words"),
        ("own:1", "has 0 words"),
        (3, "an arch string"),
    ],
)
def test_own_nodes_must_be_on_the_path(arch: str, words: str) -> None:
    with pytest.raises(MpnasError, match=words):
        tiny.space().read(arch)
