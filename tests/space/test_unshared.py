"""Parameters that only one domain adds to the union, and the cost model that prices them."""

from collections.abc import Callable, Mapping

import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import MultiplyAdds, Parameters, Unshared, cost_bounds, path_costs
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import space_from_text
from mpnas_kit.space.unions import UnionParts


def wide(monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    """A space with searched widths."""
    tiny.shrink_factored(monkeypatch)
    return mk.mobilenet_v3_like(16)


def grown(monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    """A space with frozen nodes and searched widths, some of them too narrow."""
    base = wide(monkeypatch)
    return GrownSpace(base, {"old": base.parse("conv3 zero x0.5 k3e1 zero x1 k3e1 k5e2")})


SPACES: Mapping[str, Callable[[pytest.MonkeyPatch], SearchSpace]] = {
    "layerwise": lambda _: tiny.space(),
    "private copies": lambda _: mk.lite0(32),
    "strides": lambda _: space_from_text("pocket_strided", 32),
    "searched widths": wide,
    "frozen": grown,
}


def some(space: SearchSpace, count: int, seed: int) -> dict[str, Path]:
    generator = torch.Generator().manual_seed(seed)
    return {f"d{i}": space.sample(generator) for i in range(count)}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_domain_adds_what_the_union_loses_without_it(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SPACES[name](monkeypatch)
    for seed in range(3):
        paths = some(space, count, seed)
        whole = space.union_cost(paths.values()).parameters
        without = {
            d: space.union_cost(p for o, p in paths.items() if o != d).parameters for d in paths
        }
        union = UnionParts(space, paths)
        assert union.added() == {d: whole - without[d] for d in paths}
        assert union.parameters == whole - space.union_cost([]).parameters
        costs = path_costs(Unshared(price=3), space, paths)
        assert costs == {
            d: space.cost(p).multiply_adds + 3 * (whole - without[d]) for d, p in paths.items()
        }


@pytest.mark.parametrize("name", SPACES)
def test_a_union_follows_domains_that_take_other_paths(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SPACES[name](monkeypatch)
    union = UnionParts(space, some(space, 5, seed=1))
    for seed in range(2, 6):
        other = some(space, 5, seed)
        moved = {d: other[d] for d in list(other)[: seed - 1]}
        before, saved = union.parameters, union.saved(moved)
        union.take(moved)
        assert union.parameters == before - saved
        assert union.parameters == UnionParts(space, union.paths).parameters
        assert union.saved({}) == union.saved(union.paths) == 0


def test_unshared_costs_by_hand() -> None:
    """Stem 8*3*9 and head 8*16 are shared; conv1 has 64 parameters, conv3 576."""
    space = tiny.two_searched_layers()
    paths = tiny.paths(space, ["conv1 conv3", "conv3 conv3", "conv3 zero"])
    compute = {d: space.cost(p).multiply_adds for d, p in paths.items()}
    assert UnionParts(space, paths).added() == {"a": 64, "b": 0, "c": 0}
    assert Unshared(price=10).costs(space, paths) == {
        "a": compute["a"] + 640,
        "b": compute["b"],
        "c": compute["c"],
    }
    alone = {"b": paths["b"]}
    assert UnionParts(space, alone).added() == {"b": 8 * 3 * 9 + 576 + 576 + 8 * 16}


def test_the_widest_user_of_a_node_adds_what_it_is_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    space = wide(monkeypatch)
    narrow, broad = (
        space.parse(f"conv3 zero {x} k3e1 zero x0.5 k3e1 zero") for x in ("x0.5", "x1")
    )
    added = UnionParts(space, {"a": narrow, "b": broad, "c": narrow}).added()
    sizes = [space.cost(path).parameters for path in (narrow, broad)]
    assert added == {"a": 0, "b": sizes[1] - sizes[0], "c": 0}
    assert UnionParts(space, {"a": broad, "b": broad}).added() == {"a": 0, "b": 0}


@pytest.mark.parametrize("name", ["layerwise", "private copies", "strides"])
def test_bounds_are_reached_and_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space, model = SPACES[name](monkeypatch), Unshared(price=7)
    low, high = cost_bounds(model, space, 3)
    for seed in range(5):
        for cost in path_costs(model, space, some(space, 3, seed)).values():
            assert low <= cost <= high
    cheapest = space.extremes(mk.Footprint(7).price)[0]
    assert path_costs(model, space, dict.fromkeys("abc", cheapest))["a"] == low
    most = space.extremes(lambda u: u.cost.multiply_adds + 7 * u.cost.parameters)[1]
    assert path_costs(model, space, {"a": most})["a"] == high
    assert cost_bounds(model, space, 1)[0] > low


def test_without_a_price_the_cost_is_that_of_multiply_adds() -> None:
    space = tiny.space()
    assert cost_bounds(Unshared(price=0), space, 3) == cost_bounds(MultiplyAdds(), space, 3)
    paths = some(space, 3, seed=0)
    assert path_costs(Unshared(0), space, paths) == path_costs(MultiplyAdds(), space, paths)


def test_smaller_images_cost_less_compute_but_the_same_parameters() -> None:
    mixed = tiny.space(32).with_resolutions({"a": 32, "b": 16})
    path = mixed.parse("k3e2 k5e3")
    large, small = (path_costs(Unshared(5), mixed, {d: path})[d] for d in "ab")
    sizes = [mixed.of(d).cost(path).multiply_adds for d in "ab"]
    assert [large - sizes[0], small - sizes[1]] == [5 * mixed.cost(path).parameters] * 2
    low, high = cost_bounds(Unshared(5), mixed, 2)
    cheapest = mixed.extremes(Parameters().price)[0]
    assert low <= mixed.of("b").cost(cheapest).multiply_adds and large <= high


def test_a_price_out_of_its_range_is_refused() -> None:
    with pytest.raises(MpnasError, match="price"):
        Unshared(price=-1)
