"""ABDP and uniform weights against values computed by hand, and the rules that they follow."""

import math

import pytest
import tiny
import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import to_text
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.prioritization.domain_weights import Seen
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.training.stage import train

CLASSES = {"a": 2, "b": 4, "c": 1623}


def at(**nll: float) -> dict[str, Seen]:
    """Batches with these losses. Their accuracy has no effect here."""
    return {domain: Seen(value, math.nan) for domain, value in nll.items()}


def constant(temperature: float, decay: float = 0.95) -> ABDP:
    return ABDP(temperature, temperature, "constant", decay)


def test_weights_of_two_domains_by_hand() -> None:
    """Difficulties 1 (at chance) and 1/2, temperature 1/2: softmax(2, 1) times 2."""
    state = constant(0.5).begin(tiny.tasks({"a": 2, "b": 4}))
    weights = state.weights(at(a=math.log(2), b=math.log(4) / 2), 0.0)
    assert weights == pytest.approx({"a": 2 * math.e / (math.e + 1), "b": 2 / (math.e + 1)})


def test_weights_of_three_domains_by_hand() -> None:
    """Difficulties 1, 1/2 and 0 at temperature 1."""
    state = constant(1.0).begin(tiny.tasks(CLASSES))
    weights = state.weights(at(a=math.log(2), b=math.log(4) / 2, c=0.0), 0.0)
    boosts = [math.e, math.exp(0.5), 1.0]
    assert list(weights.values()) == pytest.approx([3 * x / sum(boosts) for x in boosts])


def test_difficulty_is_a_bias_corrected_average() -> None:
    """Decay 1/2: after losses x and y the difficulty is (x + 2 y) / 3."""
    state = constant(1.0, decay=0.5).begin(tiny.tasks({"a": 2, "b": 4}))
    state.weights(at(a=1.0, b=0.4), 0.0)
    weights = state.weights(at(a=0.2, b=0.8), 0.0)
    a = (1.0 + 2 * 0.2) / 3 / math.log(2)
    b = (0.4 + 2 * 0.8) / 3 / math.log(4)
    assert weights["a"] == pytest.approx(2 / (1 + math.exp(b - a)))


def test_a_domain_that_was_not_drawn_keeps_its_difficulty_and_starts_at_chance() -> None:
    state = constant(1.0).begin(tiny.tasks({"a": 2, "b": 4}))
    alone = state.weights(at(a=0.0), 0.0)
    assert alone == pytest.approx({"a": 2 / (1 + math.e)})  # b counts as at chance
    state.weights(at(b=0.0), 0.0)
    assert state.weights(at(a=0.0), 0.0) == pytest.approx({"a": 1.0})


def test_weights_have_mean_one_and_none_exceeds_the_number_of_domains() -> None:
    generator = torch.Generator().manual_seed(0)
    for temperature in (1e-3, 0.1, 1.0, 10.0):
        state = constant(temperature).begin(tiny.tasks(CLASSES))
        for _ in range(20):
            losses = torch.rand(3, generator=generator).tolist()
            nll = {d: 8 * x for d, x in zip(CLASSES, losses, strict=True)}
            weights = state.weights(at(**nll), 0.0)
            assert sum(weights.values()) == pytest.approx(3)
            assert all(0 <= w <= 3 * (1 + 1e-9) for w in weights.values())


def test_the_harder_domain_comes_first_whatever_its_number_of_classes() -> None:
    weights = constant(0.5).begin(tiny.tasks(CLASSES)).weights(at(a=0.69, b=0.9, c=2.0), 0.0)
    assert weights["a"] > weights["b"] > weights["c"]  # difficulties 1.0, 0.65, 0.27


def test_a_small_temperature_gives_all_weight_to_the_hardest_without_overflow() -> None:
    weights = constant(1e-6).begin(tiny.tasks(CLASSES)).weights(at(a=0.5, b=0.5, c=80.0), 0.0)
    assert weights == pytest.approx({"a": 0.0, "b": 0.0, "c": 3.0})


# The schedule -------------------------------------------------------------------------------------


def test_the_schedule_runs_from_start_to_end() -> None:
    exponential, linear = ABDP(1.0, 0.25), ABDP(1.0, 0.25, "linear")
    for schedule in (exponential, linear):
        assert schedule.temperature(0.0) == 1.0 and schedule.temperature(1.0) == 0.25
    assert exponential.temperature(0.5) == pytest.approx(0.5)
    assert linear.temperature(0.5) == pytest.approx(0.625)
    assert ABDP(0.25, 1.0).temperature(0.5) == pytest.approx(0.5)
    assert ABDP(0.7, 0.1, "constant").temperature(0.9) == 0.7


def test_weights_follow_the_schedule() -> None:
    nll = {"a": math.log(2), "b": 0.0}
    early = ABDP(1.0, 0.25).begin(tiny.tasks({"a": 2, "b": 4})).weights(at(**nll), 0.0)
    late = ABDP(1.0, 0.25).begin(tiny.tasks({"a": 2, "b": 4})).weights(at(**nll), 1.0)
    assert early["a"] == pytest.approx(2 * math.e / (math.e + 1))
    assert late["a"] == pytest.approx(2 * math.exp(4) / (math.exp(4) + 1))


@pytest.mark.parametrize("schedule", ["exponential", "linear", "constant"])
@pytest.mark.parametrize(("start", "end"), [(1.0, math.inf), (math.inf, 1.0), (math.inf, math.inf)])
def test_weights_stay_finite_on_the_way_to_or_from_uniform(
    schedule: str, start: float, end: float
) -> None:
    state = ABDP(start, end, schedule).begin(tiny.tasks({"a": 2, "b": 4}))  # type: ignore[arg-type]
    for progress in (0.0, 0.5, 1.0):
        weights = state.weights(at(a=0.1, b=1.0), progress)
        assert sum(weights.values()) == pytest.approx(2)


# Uniform ------------------------------------------------------------------------------------------


def test_uniform_weighs_every_domain_one() -> None:
    state = Uniform().begin(tiny.tasks(CLASSES))
    for nll in ({"a": 0.1, "b": 9.0, "c": 3.0}, {"b": 1.0}):
        assert state.weights(at(**nll), 0.3) == dict.fromkeys(nll, 1.0)


def test_an_infinite_temperature_is_uniform_bit_for_bit_through_a_training() -> None:
    suite, space = tiny.suite(3), tiny.space()
    paths = tiny.paths(space, ["k3e1 k3e1", "k3e1 k5e3", "zero k3e1"])
    infinite = ABDP(start=math.inf, end=math.inf)
    results = [
        train(suite, space, paths, tiny.train_config(prioritization=p))
        for p in (Uniform(), infinite, ABDP())
    ]
    uniform, same, other = (r.net.state_dict() for r in results)
    assert all(torch.equal(uniform[n], same[n]) for n in uniform)
    assert not torch.equal(uniform["heads.of_a.weight"], other["heads.of_a.weight"])
    assert results[0].history.equals(results[1].history)
    assert set(results[0].history["weight"]) == {1.0} != set(results[2].history["weight"])


# State and settings -------------------------------------------------------------------------------


def test_weights_continue_from_a_state() -> None:
    first, second = ABDP().begin(tiny.tasks(CLASSES)), ABDP().begin(tiny.tasks(CLASSES))
    for step in range(5):
        first.weights(at(a=0.1 * step, c=2.0), 0.1)
    state = first.state_dict()
    second.load_state_dict(state)
    nll = {"a": 0.3, "b": 0.2, "c": 1.0}
    expected = first.weights(at(**nll), 0.5)
    assert second.weights(at(**nll), 0.5) == expected
    third = ABDP().begin(tiny.tasks(CLASSES))
    third.load_state_dict(state)  # a state does not change with the weights it came from
    assert third.weights(at(**nll), 0.5) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 0.0}, "start must be a number from 1e-06 to 1e.06, or infinity, not 0.0"),
        ({"end": -1.0}, "end must be a number from 1e-06 to 1e.06, or infinity, not -1.0"),
        ({"decay": 1.0}, "decay must be a number from 0 to below 1, not 1.0"),
        ({"schedule": "cosine"}, "cosine"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(MpnasError, match=message):
        ABDP(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [Uniform(), ABDP(), ABDP(math.inf, 0.5, "linear", 0.9)])
def test_a_prioritization_is_written_as_text_and_read_back(setting: ABDP | Uniform) -> None:
    assert PRIORITIZATION.parse(to_text(setting)) == setting
