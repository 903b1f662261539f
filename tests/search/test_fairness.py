"""Strict fairness: every candidate is trained equally often, in a step and in a round."""

from collections import Counter
from typing import Any

import pytest
import tiny

from mpnas_kit.domains.batches import DrawSchedule
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search.fairness import FairPaths
from mpnas_kit.search.stage import search
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import Path


def steps(fair: FairPaths, names: str, count: int) -> list[dict[str, Path]]:
    """The paths of the first `count` steps, in all of which all controllers draw."""
    return [fair.draw(dict.fromkeys(names, step)) for step in range(count)]


@pytest.mark.parametrize("names", ["a", "abc", "abcdefghij"])
def test_in_a_step_and_a_round_every_choice_is_drawn_equally_often(names: str) -> None:
    """Decisions of 4 and 3 choices, in 24 steps: 6 and 8 rounds."""
    drawn = steps(FairPaths(tiny.space(), names, seed=3), names, 24)
    for decision, size in enumerate((4, 3)):
        for paths in drawn:
            counts = Counter(p.choices[decision] for p in paths.values())
            assert max(counts.values()) - min(counts[c] for c in range(size)) <= 1
        for first in range(0, 24, size):
            for name in names:
                own = [paths[name].choices[decision] for paths in drawn[first : first + size]]
                assert sorted(own) == list(range(size))


def test_the_order_is_random_and_decisions_do_not_depend_on_each_other() -> None:
    """In 480 steps of two controllers, all 12 pairs of choices occur about 80 times."""
    drawn = steps(FairPaths(tiny.space(), "ab", seed=0), "ab", 480)
    pairs = Counter(path.choices for paths in drawn for path in paths.values())
    assert len(pairs) == 12 and all(40 < count < 120 for count in pairs.values())
    assert len({tuple(p["a"].choices[0] for p in drawn[i : i + 4]) for i in range(0, 480, 4)}) > 15
    other = steps(FairPaths(tiny.space(), "ab", seed=1), "ab", 480)
    assert drawn != other and drawn == steps(FairPaths(tiny.space(), "ab", seed=0), "ab", 480)


def test_a_factored_space_takes_every_width_and_kernel_equally_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE)
    drawn = steps(FairPaths(space, "ab", seed=0), "ab", 8)
    for index, decision in enumerate(space.decisions):
        if decision.name.endswith("/width"):
            counts = Counter(p.choices[index] for paths in drawn for p in paths.values())
            assert set(counts.values()) == {16 // len(decision.choices)}


def test_a_domain_that_is_drawn_rarely_continues_its_own_rounds() -> None:
    schedule = DrawSchedule({"a": 1000, "b": 300}, 1.0)
    fair, own = FairPaths(tiny.space(), "ab", seed=0), []
    for step in range(100):
        before = schedule.draws_before(step)
        own += [
            p.choices for d, p in fair.draw({d: before[d] for d in schedule.drawn(step)}).items()
            if d == "b"
        ]  # fmt: skip
    assert len(own) == schedule.draws_before(100)["b"] == 30
    for first in range(0, 28, 4):
        assert sorted(c for c, _ in own[first : first + 4]) == [0, 1, 2, 3]


@pytest.mark.parametrize("settings", [{}, {"controllers": "one"}, {"private_from": 0}])
def test_a_fair_search_trains_every_candidate_equally_often(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the policy has decided, and if one controller serves all domains."""
    trained: list[list[Flow]] = []
    forward = MultiPathNet.forward

    def spy(self: MultiPathNet, flows: Any, recompute: bool = False) -> Any:
        if flows[0].images.shape[0] == 7:
            trained.append(list(flows))
        return forward(self, flows, recompute)

    monkeypatch.setattr(MultiPathNet, "forward", spy)
    config = tiny.search_config(
        steps=12,
        batch_size=7,
        sampling="fair",
        controller_delay=0.0,
        controller_spread=50.0,
        warmup_share=0.0,
        **settings,
    )
    events: list[StepEvent] = []
    search(tiny.suite(), tiny.space(), config, callbacks=[events.append])
    assert len(trained) == len(events) == 12
    for decision, size in enumerate((4, 3)):
        taken = Counter(f.path.choices[decision] for flows in trained for f in flows)  # type: ignore[union-attr]
        assert set(taken.values()) == {24 // size}
    alike = [flows[0].path == flows[1].path for flows in trained]
    assert all(alike) if "controllers" in settings else not all(alike)
