"""Costs of paths and unions against an independent counter, and the cost models of a search."""

from dataclasses import dataclass
from typing import Any

import counter
import pytest
import tiny
import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.costs import (
    CostModel,
    MultiplyAdds,
    Parameters,
    UnionShare,
    cost_bounds,
    cost_fingerprint,
    path_costs,
)
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import Node, Use
from mpnas_kit.space.spaces import mobilenet_v3_large
from mpnas_kit.space.texts import SPACE, space_from_text


def test_mobilenet_v3_large_has_exactly_its_published_size() -> None:
    space = mobilenet_v3_large(224)
    cost = space.cost(space.parse(""))
    classifier = 1280 * 1000
    assert cost.parameters + cost.norm_parameters + classifier + 1000 == 5_483_032
    assert cost.norm_parameters == 24_400
    assert cost.multiply_adds + classifier == 216_589_760


@pytest.mark.parametrize("name", tuple(n for n in SPACE.known if not n.startswith("planted")))
@pytest.mark.parametrize(("resolution", "paths"), [(32, 4), (225, 1)])
def test_path_costs_agree_with_an_independent_counter(
    name: str, resolution: int, paths: int
) -> None:
    space, generator = space_from_text(name, resolution), torch.Generator().manual_seed(3)
    for path in {
        *(space.sample(generator) for _ in range(paths)),
        space.extremes(MultiplyAdds().price)[1],
    }:
        tally, last = counter.counted(space, path)
        assert tuple(space.cost(path)) == (
            tally.multiply_adds,
            tally.parameters,
            tally.norm_parameters,
        )
        assert last.shape[1] == space.layers[-1].widths[-1]


@pytest.mark.parametrize("arch", ["zero k3e1", "k5e2se k5e3"])
def test_a_network_costs_what_its_path_says(arch: str) -> None:
    space = tiny.space()
    path = space.parse(arch)
    net = MultiPathNet.of_paths(
        space, {"a": path}, tiny.tasks({"a": 5}), "per_domain", seed=0
    ).eval()
    tally, cost = counter.Tally(), space.cost(path)
    with counter.multiply_adds(net, tally), torch.no_grad():
        net([Flow("a", tiny.images(1), path)])
    assert tally.multiply_adds == cost.multiply_adds + 16 * 5
    assert sum(p.numel() for p in net.parameters()) == sum(cost[1:]) + 16 * 5 + 5


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_the_union_costs_what_the_network_holds(norm: str) -> None:
    space, classes = tiny.space(), {"a": 3, "b": 4, "c": 2}
    paths = tiny.paths(space, ["k3e1 k5e3", "k3e1 k3e1", "zero k5e3"])
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(classes), norm, seed=0)  # type: ignore[arg-type]
    norms = sum(
        p.numel() for m in net.modules() if isinstance(m, DomainNorm) for p in m.parameters()
    )
    heads = sum(p.numel() for p in net.heads.parameters())
    union = space.union_cost(paths.values())
    assert sum(p.numel() for p in net.parameters()) - norms - heads == union.parameters
    expected = union.norm_parameters
    if norm == "per_domain":
        expected = sum(space.cost(p).norm_parameters for p in paths.values())
    assert norms == expected


# Unions -------------------------------------------------------------------------------------------


def test_a_shared_node_counts_once_in_the_union() -> None:
    space = tiny.space()
    first, second = space.parse("k3e1 k5e3"), space.parse("k3e1 k3e1")
    only = [u for u in space.uses(second) if u is not None and u.node == Node(2, "k3e1")]
    added = only[0].cost
    assert len(only) == 1
    union = space.union_cost([first, second])
    pairs = zip(space.cost(first), added, strict=True)
    assert tuple(union) == tuple(a + b for a, b in pairs)
    assert space.union_cost([first, first]) == space.cost(first)


def test_the_same_block_in_two_layers_is_two_nodes() -> None:
    space = tiny.space()
    path = space.parse("k3e1 k3e1")
    assert space.nodes(path) == {Node(1, "k3e1"), Node(2, "k3e1")}
    total, _ = counter.counted(space, path)
    assert space.union_cost([path]).parameters == total.parameters


def test_a_node_of_several_widths_counts_at_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch, stages=((8, 2),))
    space = FactoredSpace("small", tiny.SIZE)
    narrow, wide = (
        space.parse("conv3 zero x0.5 k3e2 k3e2se"),
        space.parse("conv3 zero x1 k3e2 zero"),
    )
    assert space.union_cost([narrow, space.widest(narrow)]) == space.cost(space.widest(narrow))
    assert space.union_cost([wide, space.parse("conv3 zero x0.5 k3e2 zero")]) == space.cost(wide)
    # k3e2se stays at 4 channels in and out: 4 -> 8 -> 4 with a gate of 8 and 8 biases each.
    se_block = 4 * 8 + 8 * 9 + (8 * 8 + 8) + (8 * 8 + 8) + 8 * 4
    head = (8 - 4) * 512  # the head's input is as wide as the widest path's
    assert space.union_cost([narrow, wide]).parameters == space.cost(wide).parameters + se_block
    assert (
        space.cost(wide).parameters
        - space.cost(space.parse("conv3 zero x0.5 k3e2 zero")).parameters
        == head + (8 - 4) * 32
    )


def test_the_union_is_at_most_the_sum_and_at_least_each_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.shrink_factored(monkeypatch)
    space, generator = FactoredSpace("small", tiny.SIZE), torch.Generator().manual_seed(0)
    for _ in range(20):
        paths = [space.sample(generator) for _ in range(3)]
        union, costs = space.union_cost(paths), [space.cost(p) for p in paths]
        assert max(c.parameters for c in costs) <= union.parameters
        assert union.parameters <= sum(c.parameters for c in costs)


# Cost models --------------------------------------------------------------------------------------

MODELS: tuple[CostModel, ...] = (MultiplyAdds(), Parameters(), UnionShare())


def test_models_measure_what_they_say() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["zero k5e3", "k3e1 k5e3"])
    costs = {d: space.cost(p) for d, p in paths.items()}
    assert path_costs(MultiplyAdds(), space, paths) == {
        d: c.multiply_adds for d, c in costs.items()
    }
    assert path_costs(Parameters(), space, paths) == {d: c.parameters for d, c in costs.items()}


def test_shares_of_the_union_add_up_to_it() -> None:
    space = space_from_text("pocket", 32)
    generator = torch.Generator().manual_seed(0)
    for domains in (1, 2, 5):
        paths = {str(i): space.sample(generator) for i in range(domains)}
        shares = UnionShare().costs(space, paths)
        assert sum(shares.values()) == pytest.approx(space.union_cost(paths.values()).parameters)


def test_a_node_shared_by_two_costs_each_one_half() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ["zero k5e3", "k3e1 k5e3"])
    private = space.cost(paths["b"]).parameters - space.cost(paths["a"]).parameters
    half = space.cost(paths["a"]).parameters / 2
    assert UnionShare().costs(space, paths) == {"a": half, "b": half + private}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_no_cost_is_beyond_the_bounds_and_both_are_reached(model: CostModel) -> None:
    space = tiny.space()
    low, high = cost_bounds(model, space, 2)
    paths = list(tiny.all_paths(space))
    costs = [
        cost
        for first in paths
        for second in paths
        for cost in path_costs(model, space, {"a": first, "b": second}).values()
    ]
    assert low == min(costs)
    assert max(costs) <= high
    assert high == max(path_costs(model, space, {"a": p})["a"] for p in paths)


def test_a_path_with_a_skipped_layer_costs_less() -> None:
    space = tiny.space()
    skipped, there = space.parse("zero k3e1"), space.parse("k3e1 k3e1")
    for model in MODELS[:2]:
        costs = path_costs(model, space, {"skipped": skipped, "there": there})
        assert costs["skipped"] < costs["there"]


# Cost models of others ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Priced:
    """A cost model that answers every block with the same value."""

    answer: object
    unit = "ms"

    def price(self, use: Use) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            None,
            r"cost model .*Priced.* returns None for block 'k3e1': expected a finite number",
        ),
        ("5", "returns '5' for block"),
        (True, "returns True for block"),
        (-1.0, "returns -1.0 for block .*: expected a finite number of ms, at least 0"),
        (float("nan"), "returns nan"),
        (float("inf"), "returns inf"),
        ([1.0], r"returns \[1.0\]"),
    ],
)
def test_what_a_cost_model_answers_is_checked(answer: object, message: str) -> None:
    with pytest.raises(MpnasError, match=message) as refused:
        cost_bounds(Priced(answer), tiny.space(), 2)
    assert "\n" not in str(refused.value)


def test_an_error_of_a_cost_model_stays_and_names_the_model() -> None:
    class Broken:
        unit = "ms"

        def price(self, use: Use) -> float:
            raise FileNotFoundError("phone.json")

    with pytest.raises(FileNotFoundError) as raised:
        cost_bounds(Broken(), tiny.space(), 2)
    (note,) = raised.value.__notes__
    assert "price(use) of the cost model" in note and "Broken" in note


@pytest.mark.parametrize(
    ("costs", "bounds", "message"),
    [
        ({"a": 1.0}, (0.0, 1.0), "returns None for the path k3e1 k3e1"),
        ({"a": 1.0, "b": -1.0}, (0.0, 1.0), "returns -1.0 for the path"),
        ([1.0, 1.0], (0.0, 1.0), r"returns \[1.0, 1.0\] for costs"),
        ({"a": 1.0, "b": 1.0}, (1.0, 0.0), "the lowest and the highest"),
        ({"a": 1.0, "b": 1.0}, (0.0, "1"), "returns '1' for bounds"),
        ({"a": 1.0, "b": 1.0}, None, "returns None for bounds"),
    ],
)
def test_what_a_joint_cost_model_answers_is_checked(costs: Any, bounds: Any, message: str) -> None:
    class Joint:
        unit = "ms"

        def costs(self, space: Any, paths: Any) -> Any:
            paths.clear()  # it has a copy
            return costs

        def bounds(self, space: Any, domains: int) -> Any:
            return bounds

    space = tiny.space()
    with pytest.raises(MpnasError, match=message):
        path_costs(Joint(), space, dict.fromkeys("ab", space.parse("k3e1 k3e1")))
        cost_bounds(Joint(), space, 2)


def test_a_changed_price_of_one_block_changes_the_fingerprint() -> None:
    class Table:
        unit = "ms"

        def __init__(self, special: float) -> None:
            self.special = special

        def price(self, use: Use) -> float:
            return self.special if use.block.name == "k3e2" else 1.0

    prints = [cost_fingerprint(Table(special), tiny.space()) for special in (1.0, 1.0, 2.0)]
    assert prints[0] == prints[1] != prints[2]


def test_a_price_that_is_known_is_not_asked_for_again() -> None:
    """Of 12 paths through one space, each block is priced once, and the costs are the same."""
    asked: list[Use] = []

    @dataclass(frozen=True)
    class Asked(MultiplyAdds):
        def price(self, use: Use) -> float:
            asked.append(use)
            return super().price(use)

    space, prices = tiny.space(), dict[Use, float]()
    for path in tiny.all_paths(space):
        cost = path_costs(Asked(), space, {"a": path}, prices)
        assert cost == path_costs(MultiplyAdds(), space, {"a": path})
    assert len(asked) == len(set(asked)) == len(list(space.all_uses()))


def test_a_space_at_another_size_has_uses_of_that_size() -> None:
    space = tiny.space().with_resolutions({"a": tiny.SIZE, "b": tiny.SIZE // 2})
    path = space.parse("k3e1 k3e1")
    for domain, size in (("a", 16), ("b", 8), ("a", 16)):
        assert [u.size for u in space.of(domain).uses(path) if u] == [
            size,
            *[size // 2] * 2,
            size // 4,
        ]
