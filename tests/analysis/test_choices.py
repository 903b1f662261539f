"""Probabilities of candidates, and where domains are undecided."""

from typing import Any

import numpy as np
import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.analysis.choices import layer_policies
from mpnas_kit.search.stage import search


def policy(space: mk.SearchSpace, chances: dict[str, list[float]]) -> Any:
    """One snapshot of one domain: certain of the first choice, but for these decisions."""
    most = max(len(d.choices) for d in space.decisions)
    values = np.zeros((1, 1, len(space.decisions), most), dtype=np.float32)
    for i, decision in enumerate(space.decisions):
        own = chances.get(decision.name, [1.0])
        values[0, 0, i, : len(own)] = own
    return values


@pytest.mark.parametrize(
    ("first", "undecided"),
    [
        ([0.25, 0.25, 0.25, 0.25], True),
        ([0.96, 0.02, 0.01, 0.01], False),
        ([0.5, 0.5, 0.0, 0.0], True),  # a tie, although its entropy is no more than half
        ([0.6, 0.4, 0.0, 0.0], False),
    ],
)
def test_a_layer_is_undecided_by_entropy_or_by_a_tie(first: list[float], undecided: bool) -> None:
    space = tiny.space()
    found = layer_policies(space, policy(space, {"one": first}))
    assert found.undecided[0, 0].tolist() == [False, undecided, False, False]
    assert found.probabilities[1][0, 0].tolist() == pytest.approx(first)
    assert found.probabilities[0][0, 0].tolist() == [1.0]


def test_the_rule_is_that_of_the_search_result() -> None:
    found = search(tiny.suite(2), tiny.space(), tiny.search_config(steps=8, policy_snapshots=4))
    policies = layer_policies(found.space, found.policy, tie=0)
    table = found.decisions()
    layers = {d.name: d.layer for d in found.space.decisions}
    for domain, rows in table.groupby("domain"):
        place = list(found.paths).index(str(domain))
        for row in rows.itertuples():
            undecided = policies.undecided[-1, place, layers[str(row.decision)]]
            assert undecided == (not row.decided)


def test_a_candidate_of_several_decisions_has_the_product_of_their_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.shrink_factored(monkeypatch)
    space = mk.mobilenet_v3_like(16)
    chances = {
        "1.2/on": [0.8, 0.2],
        "1.2/kernel": [0.75, 0.25],
        "1.2/expansion": [1.0, 0.0],
        "stage1/width": [0.5, 0.5],
    }
    found = layer_policies(space, policy(space, chances))
    own = dict(zip(space.layers[3].choices, found.probabilities[3][0, 0], strict=True))
    assert own["k3e1"] == pytest.approx(0.6) and own["k5e1"] == pytest.approx(0.2)
    assert own["zero"] == pytest.approx(0.2) and sum(own.values()) == pytest.approx(1)
    undecided = [space.layers[i].name for i in np.flatnonzero(found.undecided[0, 0])]
    assert undecided == ["1.2"]  # widths are no nodes


def test_decisions_in_a_skipped_layer_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space = mk.mobilenet_v3_like(16)
    found = layer_policies(space, policy(space, {"1.2/on": [0.1, 0.9], "1.2/kernel": [0.5, 0.5]}))
    assert not found.undecided.any()
