"""Controllers: REINFORCE and baselines by hand, the schedule of the rate, and the best path."""

import math
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.space.blocks import Conv, InvertedBottleneck
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import Layer, Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.space import SearchSpace


def one_decision(choices: int = 2) -> LayerwiseSpace:
    """A space with a single decision."""
    blocks = tuple(InvertedBottleneck(3, 1 + i) for i in range(choices))
    return LayerwiseSpace(
        "one", (Layer("stem", 2, (8,), (Conv(3),)), Layer("one", 1, (8,), blocks)), tiny.SIZE
    )


def controllers(space: SearchSpace, domains: str = "a", **settings: Any) -> Controllers:
    """Controllers that learn from the first step, with a rate of about 0.3."""
    return Controllers(space, domains, ControllerSchedule(0.0, 1.0, 3.0), steps=100, **settings)


def sampled(made: Controllers, count: int, generator: torch.Generator) -> dict[str, list[Path]]:
    """Paths of every controller."""
    return made.sample(made.names, count, generator)


def gradient(made: Controllers, choices: list[int], rewards: list[float]) -> list[float]:
    """The direction in which one update moves the logits of domain a."""
    paths = [made.space.path([c]) for c in choices]
    made.update(0, {"a": paths}, {"a": torch.tensor(rewards, dtype=torch.float64)})
    assert made.logits.grad is not None
    return (-made.logits.grad[0, 0]).tolist()


# REINFORCE and its baselines, by hand -------------------------------------------------------------


def test_leave_one_out_by_hand() -> None:
    """p = 1/2; grad log pi = onehot - p; advantages of rewards 1 and 0 are 1 and -1."""
    assert gradient(controllers(one_decision()), [0, 1], [1.0, 0.0]) == pytest.approx([0.5, -0.5])


def test_leave_one_out_of_three_paths_by_hand() -> None:
    """Rewards 1, 1/2, 0: each minus the mean of the others is 3/4, 0, -3/4."""
    expected = [0.75 / 3, 0.0, -0.75 / 3]
    made = controllers(one_decision(3))
    assert gradient(made, [0, 1, 2], [1.0, 0.5, 0.0]) == pytest.approx(expected, abs=1e-6)


def test_leave_one_out_counts_the_same_path_twice() -> None:
    """Paths 0, 0, 1 with 1, 1/2, 0: advantages 3/4, 0, -3/4 on (1/2, -1/2), same, (-1/2, 1/2)."""
    expected = [(0.75 + 0.75) / 2 / 3, -(0.75 + 0.75) / 2 / 3]
    made = controllers(one_decision())
    assert gradient(made, [0, 0, 1], [1.0, 0.5, 0.0]) == pytest.approx(expected)


@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_equal_rewards_ask_for_nothing(baseline: str) -> None:
    made = controllers(one_decision(), baseline=baseline)
    assert gradient(made, [0, 1], [0.7, 0.7]) == pytest.approx([0.0, 0.0], abs=1e-7)
    assert not made.logits.detach().any()


def test_the_moving_average_by_hand() -> None:
    """Decay 1/2, rewards 1 then 0: the average, bias-corrected, is 1/3, so the advantage -1/3."""
    made = controllers(one_decision(), baseline="moving_average", baseline_decay=0.5)
    assert gradient(made, [0], [1.0]) == pytest.approx([0.0, 0.0], abs=1e-7)
    assert gradient(made, [0], [0.0]) == pytest.approx([-1 / 6, 1 / 6])


def test_a_single_path_has_a_moving_average_to_be_compared_with() -> None:
    made = controllers(one_decision())
    gradient(made, [0], [0.0])
    assert gradient(made, [0], [1.0])[0] > 0.1


def test_every_domain_has_a_baseline_of_its_own() -> None:
    space = one_decision()
    made = controllers(space, "ab", baseline="moving_average", baseline_decay=0.5)
    path = [space.path([0])]
    for rewards in ((1.0, 0.0), (1.0, 0.0)):
        tensors = {d: torch.tensor([r]) for d, r in zip("ab", rewards, strict=True)}
        made.update(0, dict.fromkeys("ab", path), tensors)
    assert made.logits.grad is not None and not made.logits.grad.any()


def test_the_entropy_bonus_by_hand() -> None:
    """Logits (1, 0), equal rewards: the entropy rises against the larger logit."""
    made = controllers(one_decision(), entropy_weight=2.0)
    with torch.no_grad():
        made.logits[0, 0, 0] = 1.0
    p = 1 / (1 + math.exp(-1))
    slope = -p * (1 - p) * 1.0  # dH / dlogit0 = -p (1 - p) (logit0 - logit1)
    assert gradient(made, [0, 1], [0.3, 0.3]) == pytest.approx([2 * slope, -2 * slope], abs=1e-6)


@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_probability_moves_to_the_rewarded_choice(baseline: str, good: int) -> None:
    """Fails with the sign of the reward flipped, and with argmin for argmax."""
    space, generator = one_decision(3), torch.Generator().manual_seed(0)
    made = controllers(space, baseline=baseline)
    for step in range(60):
        paths = sampled(made, 4, generator)
        rewards = torch.tensor([float(p.choices[0] == good) for p in paths["a"]])
        made.update(step, paths, {"a": rewards})
    assert float(made.probabilities[0, 0, good]) > 0.9
    assert made.best()["a"] == space.path([good])


def test_domains_learn_different_choices_in_one_update() -> None:
    space, generator = one_decision(3), torch.Generator().manual_seed(1)
    made, good = controllers(space, "ab"), {"a": 0, "b": 2}
    for step in range(60):
        paths = sampled(made, 4, generator)
        rewards = {
            d: torch.tensor([float(p.choices[0] == good[d]) for p in paths[d]]) for d in "ab"
        }
        made.update(step, paths, rewards)
    assert {d: p.choices[0] for d, p in made.best().items()} == good


def test_a_controller_that_is_not_updated_keeps_logits_and_moments() -> None:
    """Controller b has the same logits as one that has never seen the second update."""
    space = one_decision()
    made, other = controllers(space, "ab"), controllers(space, "ab")
    both = [space.path([0]), space.path([1])]
    for step in range(3):
        one = ["a", "b"] if step != 1 else ["a"]
        given = dict.fromkeys(one, torch.tensor([1.0, 0.5 * step - 1.0]))
        before = made.logits.detach().clone()
        made.update(step, dict.fromkeys(one, both), given)
        if step == 1:
            assert torch.equal(before[1], made.logits[1]) and not torch.equal(before, made.logits)
        else:
            other.update(step, {"b": both}, {"b": given["b"]})
    assert torch.equal(made.logits[1], other.logits[1])


def test_many_controllers_learn_as_each_would_alone() -> None:
    space, generator = tiny.space(), torch.Generator().manual_seed(0)
    made, alone = controllers(space, "abc"), {d: controllers(space, d) for d in "abc"}
    for step in range(5):
        paths = {d: [space.sample(generator) for _ in range(3)] for d in "abc"}
        rewards = {d: torch.rand(3, generator=generator) for d in "abc"}
        made.update(step, paths, rewards)
        for d in "abc":
            alone[d].update(step, {d: paths[d]}, {d: rewards[d]})
    each = torch.cat([alone[d].logits for d in "abc"])
    torch.testing.assert_close(made.logits, each, rtol=0, atol=1e-6)


# The policy ---------------------------------------------------------------------------------------


def test_a_policy_begins_uniform() -> None:
    space = tiny.space()
    policy = controllers(space)
    for row, decision in zip(policy.probabilities[0], space.decisions, strict=True):
        n = len(decision.choices)
        assert row[:n].tolist() == pytest.approx([1 / n] * n) and not row[n:].any()
    assert policy.indecision()[0].tolist() == pytest.approx([1.0, 1.0])


def with_logits(space: SearchSpace, rows: list[list[float]]) -> Controllers:
    policy = controllers(space)
    with torch.no_grad():
        for i, row in enumerate(rows):
            policy.logits[0, i, : len(row)] = torch.tensor(row)
    return policy


def test_the_best_path_is_the_most_likely_one_and_nothing_is_drawn() -> None:
    """Fails if the best path is sampled, or the least likely one is taken."""
    space = tiny.space()
    policy = with_logits(space, [[0.0, 0.2, 0.1, 0.15], [0.1, 0.0, 0.2]])
    before = torch.get_rng_state()
    assert {policy.best()["a"].choices for _ in range(50)} == {(1, 2)}
    assert torch.equal(torch.get_rng_state(), before)


def test_a_choice_that_does_not_exist_is_never_taken() -> None:
    space = tiny.space()  # the second decision has 3 choices, the first 4
    policy = with_logits(space, [[0.0], [-5.0, -5.0, -5.0]])
    assert policy.best()["a"].choices[1] < 3
    generator = torch.Generator().manual_seed(0)
    assert all(p.choices[1] < 3 for p in sampled(policy, 100, generator)["a"])


def test_samples_follow_the_probabilities() -> None:
    space, generator = one_decision(3), torch.Generator().manual_seed(0)
    policy = with_logits(space, [[math.log(0.6), math.log(0.3), math.log(0.1)]])
    drawn = [p.choices[0] for p in sampled(policy, 3000, generator)["a"]]
    assert [drawn.count(i) / 3000 for i in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_a_choice_of_probability_zero_is_never_drawn() -> None:
    space, generator = one_decision(3), torch.Generator().manual_seed(0)
    policy = with_logits(space, [[-200.0, 0.0, -200.0]])
    assert {p.choices for p in sampled(policy, 1000, generator)["a"]} == {(1,)}


def test_each_policy_draws_its_own_paths_and_all_of_them_at_once() -> None:
    """Three policies in one call: the counts, the order, and no draw from torch's generator."""
    space, before = one_decision(3), torch.get_rng_state()
    made = controllers(space, "abc")
    with torch.no_grad():
        for row in range(3):
            made.logits[row, 0, row] = 50.0
    drawn = made.sample("cab", 4, torch.Generator().manual_seed(0))
    found = {name: [p.choices for p in own] for name, own in drawn.items()}
    assert found == {"c": [(2,)] * 4, "a": [(0,)] * 4, "b": [(1,)] * 4}
    assert torch.equal(torch.get_rng_state(), before)


def test_log_probability_and_entropy_by_hand() -> None:
    space = tiny.space()
    policy = with_logits(space, [[math.log(x) for x in (0.1, 0.2, 0.3, 0.4)], [0.0, 0.0, 0.0]])
    logs, entropy = policy.score({"a": [space.path([3, 0]), space.path([0, 2])]})
    assert logs[0].tolist() == pytest.approx([math.log(0.4 / 3), math.log(0.1 / 3)])
    expected = -sum(p * math.log(p) for p in (0.1, 0.2, 0.3, 0.4)) + math.log(3)
    assert entropy[0].tolist() == pytest.approx([expected] * 2)
    relative = policy.indecision()[0].tolist()
    assert relative == pytest.approx([(expected - math.log(3)) / math.log(4), 1.0])


def test_decisions_in_a_skipped_layer_count_in_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch, stages=((8, 2),))
    space = FactoredSpace("small", tiny.SIZE)
    skipped, there = (space.parse(f"conv3 zero x0.5 k3e1 {word}") for word in ("zero", "k5e2se"))
    policy = controllers(space)
    logs, entropy = (x[0] for x in policy.score({"a": [skipped, there]}))
    n = len(space.decisions)
    assert logs.tolist() == pytest.approx([-(n - 3) * math.log(2), -n * math.log(2)])
    assert entropy.tolist() == pytest.approx([(n - 3) * math.log(2), n * math.log(2)])
    logs[0].backward()
    inner = [i for i, d in enumerate(space.decisions) if d.name.startswith("1.2/")]
    moved = [bool(policy.logits.grad[0, i].any()) for i in inner]  # type: ignore[index]
    assert moved == [True, False, False, False]


# The schedule -------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("growth", [1.0, 10.0, 0.5])
@pytest.mark.parametrize("steps", [4, 100, 1501])
def test_rates_are_zero_then_grow_and_their_squares_add_up(
    delay: float, growth: float, steps: int
) -> None:
    schedule = ControllerSchedule(delay, growth, spread=1.7)
    rates = [schedule.rate(step, steps) for step in range(steps)]
    first = math.floor(delay * steps)
    assert not any(rates[:first]) and all(rates[first:])
    assert math.sqrt(sum(r * r for r in rates)) == pytest.approx(1.7)
    if steps - first > 1:
        assert rates[-1] / rates[first] == pytest.approx(growth)
        ratios = [b / a for a, b in zip(rates[first:], rates[first + 1 :], strict=False)]
        assert ratios == pytest.approx([ratios[0]] * len(ratios))


def test_pure_noise_spreads_logits_no_further_than_the_spread() -> None:
    """Random rewards: at the end the root mean square of the logits is near the spread."""
    space, generator = one_decision(), torch.Generator().manual_seed(0)
    domains = [f"d{i}" for i in range(20)]
    made = Controllers(space, domains, ControllerSchedule(0.0, 10.0, 1.0), steps=40)
    for step in range(40):
        paths = sampled(made, 4, generator)
        noise = {d: torch.randn(4, generator=generator) for d in domains}
        made.update(step, paths, noise)
    assert 0.5 < float(made.logits.detach().square().mean().sqrt()) < 1.5


def test_nothing_learns_at_a_spread_of_zero() -> None:
    made = Controllers(one_decision(), "a", ControllerSchedule(0.0, 1.0, 0.0), steps=10)
    assert not any(made.learns(step) for step in range(10))


# State --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_controllers_go_on_where_their_state_was_taken(baseline: str) -> None:
    space = tiny.space()
    generator = torch.Generator().manual_seed(0)

    def step(made: Controllers, index: int, paths: list[Path], rewards: Tensor) -> None:
        made.update(index, {"a": paths}, {"a": rewards})

    batches = [
        ([space.sample(generator) for _ in range(3)], torch.rand(3, generator=generator))
        for _ in range(8)
    ]
    whole, first, second = (controllers(space, baseline=baseline) for _ in range(3))
    for i, batch in enumerate(batches):
        step(whole, i, *batch)
        if i < 4:
            step(first, i, *batch)
    second.load_state_dict(first.state_dict())
    for i, batch in enumerate(batches[4:], start=4):
        step(second, i, *batch)
    assert torch.equal(whole.logits, second.logits)
