"""Every prioritization against values computed by hand, and the rules that all of them follow."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from one_step import setup
from torch import Tensor
from whole import assert_same_run, run

from mpnas_kit.engine.step import set_rate
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import text_name, to_text
from mpnas_kit.prioritization.abdp import ABDP, Boosted, DynamicTaskPriority, Uniform
from mpnas_kit.prioritization.domain_weights import DomainWeights, Seen
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.prioritization.scalarizers import (
    DWA,
    FAMO,
    GeometricMean,
    RandomWeights,
    Scalarization,
    Uncertainty,
)

TWO = {"a": 2, "b": 4}
CLASSES = {**TWO, "c": 1623}
RAW = Boosted(normalise=False)
BOUNDED = [
    ABDP(),
    Uniform(),
    Boosted(),
    Boosted(decay=0.9),
    DynamicTaskPriority(),
    Uncertainty(),
    DWA(epoch=2),
    RandomWeights(),
    FAMO(),
    GeometricMean(),
]
every = pytest.mark.parametrize("setting", [*BOUNDED, RAW], ids=to_text)
bounded = pytest.mark.parametrize("setting", BOUNDED, ids=to_text)

LOSSES = (
    {"a": 0.7, "b": 1.4, "c": 7.0},
    {"a": 0.6, "b": 1.5},
    {"b": 1.1, "c": 6.0},
    {"a": 0.9, "b": 0.8, "c": 0.0},
    {"c": 80.0},
    {"a": 0.0, "b": 0.3, "c": 3.0},
    {"a": 0.2, "b": 0.4, "c": 2.0},
)
FALL = {"a": 0.9, "b": 0.7, "c": 1.1}  # loss after a step divided by the loss before it


def step(
    state: DomainWeights, nll: Mapping[str, float], after: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The weights of a step on batches with these losses and accuracies exp(-loss)."""
    weights = state.weights({d: Seen(x, math.exp(-x)) for d, x in nll.items()}, 0.5)
    if state.needs_losses_after_step:
        state.after_step(after or {d: FALL[d] * x for d, x in nll.items()})
    return weights


def steps(state: DomainWeights, losses: Any) -> list[dict[str, float]]:
    return [step(state, nll) for nll in losses]


# Boosted ------------------------------------------------------------------------------------------


def test_boosted_weights_by_hand() -> None:
    """exp(2 / 2) and exp(0 / 2), divided by their mean or not."""
    nll = {"a": 0.0, "b": 2.0}
    normal = step(Boosted(temperature=2.0).begin(tiny.tasks(TWO)), nll)
    assert normal == pytest.approx({"a": 2 / (1 + math.e), "b": 2 * math.e / (1 + math.e)})
    raw = step(Boosted(temperature=2.0, normalise=False).begin(tiny.tasks(TWO)), nll)
    assert raw == pytest.approx({"a": 1.0, "b": math.e})


def test_boosted_follows_a_bias_corrected_average_of_the_loss() -> None:
    """Decay 1/2: after losses x and y the average is (x + 2 y) / 3."""
    state = Boosted(normalise=False, decay=0.5).begin(tiny.tasks(TWO))
    weights = steps(state, [{"a": 1.0, "b": 0.0}, {"a": 0.4, "b": 3.0}])[-1]
    assert weights == pytest.approx({"a": math.exp(1.8 / 3), "b": math.exp(2.0)})


def test_boosted_puts_the_domain_with_the_most_classes_first_at_chance() -> None:
    at_chance = {d: math.log(n) for d, n in CLASSES.items()}
    assert step(RAW.begin(tiny.tasks(CLASSES)), at_chance) == pytest.approx(CLASSES)
    normal = step(Boosted().begin(tiny.tasks(CLASSES)), at_chance)
    assert normal == pytest.approx({d: 3 * n / 1629 for d, n in CLASSES.items()})


def test_boosted_takes_an_unseen_domain_as_at_chance() -> None:
    assert step(Boosted().begin(tiny.tasks(TWO)), {"a": 0.0}) == pytest.approx({"a": 2 / (1 + 4)})


# DynamicTaskPriority ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gamma", "focal"), [(0.0, (1.0, 2.0)), (1.0, (0.5, 1.5)), (2.0, (0.25, 1.125))]
)
def test_dynamic_weights_by_hand(gamma: float, focal: tuple[float, float]) -> None:
    """Accuracies 1/2 and 1/4: -(1 - k)^gamma log k in units of log 2, divided by the mean."""
    state = DynamicTaskPriority(gamma, decay=0.0).begin(tiny.tasks(TWO))
    weights = step(state, {"a": math.log(2), "b": math.log(4)})
    assert list(weights.values()) == pytest.approx([2 * f / sum(focal) for f in focal])


def test_dynamic_weights_follow_a_bias_corrected_average_of_the_accuracy() -> None:
    """Decay 1/2: a has accuracies 1/4, 5/8, so (1/4 + 2 * 5/8) / 3 = 1/2; b has 1/4 twice."""
    state = DynamicTaskPriority(decay=0.5).begin(tiny.tasks(TWO))
    b = math.log(4)
    weights = steps(state, [{"a": math.log(4), "b": b}, {"a": math.log(8 / 5), "b": b}])[-1]
    assert weights == pytest.approx({"a": 0.5, "b": 1.5})


def test_dynamic_puts_the_domain_of_low_accuracy_first_whatever_its_loss() -> None:
    batches = {"a": Seen(9.0, 0.9), "b": Seen(0.1, 0.3), "c": Seen(1.0, 0.6)}
    weights = DynamicTaskPriority().begin(tiny.tasks(CLASSES)).weights(batches, 0.0)
    assert weights["b"] > weights["c"] > weights["a"] > 0


def test_dynamic_weights_are_equal_if_all_domains_are_solved_and_0_for_a_solved_one() -> None:
    solved = {"a": 0.0, "b": 0.0}
    assert step(DynamicTaskPriority().begin(tiny.tasks(TWO)), solved) == {"a": 1.0, "b": 1.0}
    weights = step(DynamicTaskPriority().begin(tiny.tasks(TWO)), {"a": 0.0, "b": 1.0})
    assert weights == pytest.approx({"a": 0.0, "b": 2.0})


def test_dynamic_keeps_accuracies_above_one_in_a_hundred_and_an_unseen_domain_at_chance() -> None:
    wrong = step(DynamicTaskPriority().begin(tiny.tasks(TWO)), {"a": 80.0, "b": math.log(100)})
    assert wrong == pytest.approx({"a": 1.0, "b": 1.0})
    alone = step(DynamicTaskPriority().begin(tiny.tasks(TWO)), {"a": math.log(2)})
    assert alone == pytest.approx({"a": 0.5})  # b as with accuracy 1/4, above


# Uncertainty --------------------------------------------------------------------------------------


def test_uncertainty_weights_by_hand() -> None:
    """Adam's first step has length `rate`: s rises if the loss is above 1, otherwise it falls."""
    state = Uncertainty(rate=0.1).begin(tiny.tasks(TWO))
    nll = {"a": 2.0, "b": 0.5}
    assert step(state, nll) == {"a": 1.0, "b": 1.0}
    expected = {"a": math.exp(-0.1) / math.cosh(0.1), "b": math.exp(0.1) / math.cosh(0.1)}
    assert step(state, nll) == pytest.approx(expected, rel=1e-6)


def test_uncertainty_weighs_a_domain_of_persistent_loss_by_its_inverse() -> None:
    """0.5 exp(-s) L + 0.5 s is least at s = log L, where the weight exp(-s) is 1 / L."""
    state = Uncertainty(rate=0.05).begin(tiny.tasks(TWO))
    weights = steps(state, [{"a": 2.0, "b": 0.5}] * 300)
    assert weights[-1] == pytest.approx({"a": 0.4, "b": 1.6}, rel=1e-3)
    assert all(w["a"] < w["b"] for w in weights[1:])


# DWA ----------------------------------------------------------------------------------------------


def test_dwa_is_uniform_for_two_epochs_and_then_follows_the_rates_by_hand() -> None:
    """Means of the epochs: a 3, 1.5, 1.5 and b 1, 1, 0.5, so rates 1/2, 1 and then 1, 1/2."""
    state = DWA(temperature=0.5, epoch=2).begin(tiny.tasks(TWO))
    a, b = [4.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0], [1.0, 1.0, 0.5, 1.5, 0.5, 0.5, 1.0]
    weights = steps(state, [{"a": x, "b": y} for x, y in zip(a, b, strict=True)])
    assert weights[:4] == [{"a": 1.0, "b": 1.0}] * 4
    slow, fast = 2 * math.e / (1 + math.e), 2 / (1 + math.e)
    assert weights[4] == weights[5] == pytest.approx({"a": fast, "b": slow})
    assert weights[6] == pytest.approx({"a": slow, "b": fast})


def test_dwa_weighs_the_slower_domain_more_whatever_the_size_of_its_loss() -> None:
    state = DWA(epoch=1).begin(tiny.tasks(TWO))
    weights = steps(state, [{"a": 0.1, "b": 8.0}, {"a": 0.09, "b": 4.0}, {"a": 0.08, "b": 2.0}])
    assert weights[-1]["a"] > 1 > weights[-1]["b"]


# RandomWeights ------------------------------------------------------------------------------------


def test_random_weights_are_a_softmax_of_normal_noise() -> None:
    """So the log of a ratio of two is a difference of two standard normals: variance 2."""
    weights = steps(RandomWeights().begin(tiny.tasks(TWO)), [{"a": 1.0, "b": 1.0}] * 500)
    ratios = torch.tensor([math.log(w["a"] / w["b"]) for w in weights])
    assert float(ratios.mean()) == pytest.approx(0.0, abs=0.2)
    assert float(ratios.var()) == pytest.approx(2.0, abs=0.4)


def test_random_weights_differ_by_step_and_seed_and_by_nothing_else() -> None:
    first, same, other = (RandomWeights().begin(tiny.tasks(TWO), seed) for seed in (0, 0, 1))
    weights = steps(first, [{"a": 1.0, "b": 1.0}] * 5)
    torch.rand(3)
    assert steps(same, [{"a": 0.1, "b": 7.0}] * 5) == weights
    weights += steps(other, [{"a": 1.0, "b": 1.0}] * 5)
    assert len({w["a"] for w in weights}) == 10


def test_random_weights_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    steps(RandomWeights().begin(tiny.tasks(TWO)), [{"a": 1.0, "b": 1.0}] * 2)
    assert torch.equal(torch.get_rng_state(), before)


# FAMO ---------------------------------------------------------------------------------------------


def test_famo_weights_by_hand() -> None:
    """z / L, first of equal z; a step of length `rate` then lowers a's logit and raises b's."""
    state = FAMO(rate=0.1).begin(tiny.tasks(TWO))
    first = step(state, {"a": 2.0, "b": 0.5}, after={"a": 1.0, "b": 0.5})
    assert first == pytest.approx({"a": 0.4, "b": 1.6})
    a, b = math.exp(-0.1), math.exp(0.1) / 0.5
    expected = {"a": 2 * a / (a + b), "b": 2 * b / (a + b)}
    assert step(state, {"a": 1.0, "b": 0.5}) == pytest.approx(expected, rel=1e-6)


def slower(setting: FAMO, count: int) -> list[float]:
    """The weights of a domain whose loss falls less in each of `count` steps."""
    state = setting.begin(tiny.tasks(TWO))
    equal = {"a": 1.0, "b": 1.0}
    return [step(state, equal, after={"a": 0.5, "b": 0.9})["b"] for _ in range(count)]


def test_famo_weighs_the_domain_that_falls_slower_more_from_step_to_step() -> None:
    weights = slower(FAMO(), 20)
    assert weights[0] == pytest.approx(1.0)
    assert all(later > earlier for earlier, later in zip(weights, weights[1:], strict=False))


def test_decay_holds_famo_back() -> None:
    assert slower(FAMO(decay=1.0), 50)[-1] < slower(FAMO(decay=0.0), 50)[-1] - 0.1


def test_only_famo_needs_the_losses_after_a_step() -> None:
    needy = {type(s) for s in BOUNDED if s.begin(tiny.tasks(CLASSES)).needs_losses_after_step}
    assert needy == {FAMO}


class Watching(DomainWeights):
    """Equal weights. Records the losses after every step."""

    needs_losses_after_step = True

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def weights(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
        return dict.fromkeys(batches, 1.0)

    def after_step(self, nll: Mapping[str, float]) -> None:
        self.losses.append(dict(nll))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_a_step_reports_the_losses_after_it_without_label_smoothing() -> None:
    net, paths, batches = setup()
    optimiser, state = tiny.sgd(net, 0.0, 0.0), Watching()
    set_rate(optimiser, 0.1)
    before = tiny.step(net, optimiser, batches, paths, state, 0.3, 0.0)
    after = tiny.step(net, optimiser, batches, paths, Uniform().begin(tiny.tasks(TWO)), 0.3, 0.0)
    assert state.losses == [{d: figures["loss"] for d, figures in after.items()}]
    assert all(state.losses[0][d] < before[d]["loss"] for d in batches)


def test_only_weights_that_need_later_losses_cost_a_second_forward_pass() -> None:
    net, paths, batches = setup()
    passes: list[int] = []
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    for state, expected in ((Uniform().begin(tiny.tasks(TWO)), 1), (Watching(), 2)):
        passes.clear()
        tiny.step(net, tiny.sgd(net, 0.0, 0.0), batches, paths, state, 0.0, 0.0)
        assert len(passes) == expected


def test_weights_that_need_no_losses_do_not_get_them() -> None:
    """The metrics have the losses all the same."""
    seen: list[float] = []

    class Blind(Watching):
        needs_losses = False
        needs_losses_after_step = False

        def weights(self, batches: Mapping[str, Seen], progress: float) -> dict[str, float]:
            seen.extend(value for own in batches.values() for value in own)
            return dict.fromkeys(batches, 1.0)

    net, paths, batches = setup()
    rows = [
        tiny.step(net, tiny.sgd(net, 0.0, 0.0), batches, paths, state, 0.3, 0.0)
        for state in (Blind(), Uniform().begin(tiny.tasks(TWO)), ABDP().begin(tiny.tasks(TWO)))
    ]
    assert len(seen) == 4 and all(math.isnan(value) for value in seen)
    losses = [{d: figures["loss"] for d, figures in row.items()} for row in rows]
    assert losses[0] == losses[1] == losses[2]


# GeometricMean, and how a scalarizer becomes weights ----------------------------------------------


def test_geometric_mean_weighs_in_proportion_to_one_over_the_loss() -> None:
    """1, 1/2 and 1/4, divided by their mean 7/12: easy domains have more weight."""
    weights = step(GeometricMean().begin(tiny.tasks(CLASSES)), {"a": 1.0, "b": 2.0, "c": 4.0})
    assert weights == pytest.approx({"a": 12 / 7, "b": 6 / 7, "c": 3 / 7})


def test_the_weights_of_a_scalarizer_are_its_derivative() -> None:
    def squares(losses: Tensor) -> Tensor:
        return (losses**2).sum()

    work = Scalarization(squares)  # type: ignore[arg-type]
    with torch.no_grad():
        weights = work.weights(torch.tensor([1.0, 3.0]))
    assert weights.tolist() == [2.0, 6.0] and not weights.requires_grad


def test_an_undrawn_domain_stands_in_with_chance_and_then_with_its_latest_loss() -> None:
    """For two domains, the geometric mean gives a the weight 2 L_b / (L_a + L_b)."""
    state, chance = GeometricMean().begin(tiny.tasks(TWO)), math.log(4)
    assert step(state, {"a": 1.0}) == pytest.approx({"a": 2 * chance / (1 + chance)})
    step(state, {"b": 3.0})
    assert step(state, {"a": 2.0}) == pytest.approx({"a": 6 / 5})


def test_an_undrawn_domain_did_not_fall() -> None:
    """As in the step by hand above, but b was not drawn, so it stays at chance."""
    state, chance = FAMO(rate=0.1).begin(tiny.tasks(TWO)), math.log(4)
    step(state, {"a": 2.0}, after={"a": 1.0})
    a, b = math.exp(-0.1), math.exp(0.1) / chance
    assert step(state, {"a": 1.0}) == pytest.approx({"a": 2 * a / (a + b)}, rel=1e-6)


def test_a_solved_domain_that_stays_solved_did_not_fall() -> None:
    state, still = FAMO().begin(tiny.tasks(TWO)), {"a": 0.0, "b": 1.0}
    step(state, still, after=still)
    assert step(state, {"a": 1.0, "b": 1.0}) == pytest.approx({"a": 1.0, "b": 1.0})


# All of them --------------------------------------------------------------------------------------


def test_every_prioritization_is_tested_here() -> None:
    assert {type(s) for s in BOUNDED} == set(PRIORITIZATION.known.values())


EXTREMES = ({"a": 0.0, "b": 80.0, "c": 1.0}, {"a": 80.0, "b": 0.0, "c": 80.0})


@bounded
@pytest.mark.parametrize("losses", [LOSSES, EXTREMES * 3, [dict.fromkeys(CLASSES, 0.0)] * 5])
def test_the_weights_of_all_domains_have_mean_one(setting: Any, losses: Any) -> None:
    weights = steps(setting.begin(tiny.tasks(CLASSES)), losses)
    assert [list(w) for w in weights] == [list(nll) for nll in losses]
    totals = [sum(w.values()) for w in weights if len(w) == len(CLASSES)]
    assert totals == pytest.approx([len(CLASSES)] * len(totals))
    assert len(totals) > 3


@every
def test_weights_are_finite_and_not_negative_for_extreme_losses(setting: Any) -> None:
    weights = steps(setting.begin(tiny.tasks(CLASSES)), [*EXTREMES * 3, *LOSSES])
    assert all(math.isfinite(x) and x >= 0 for w in weights for x in w.values())


@every
@pytest.mark.parametrize("point", [0, 1, 2, 4, 5, 6])
def test_weights_continue_bit_for_bit_from_a_state(setting: Any, point: int) -> None:
    expected = steps(setting.begin(tiny.tasks(CLASSES)), LOSSES)
    first, second = setting.begin(tiny.tasks(CLASSES)), setting.begin(tiny.tasks(CLASSES))
    begun = steps(first, LOSSES[:point])
    state, file = first.state_dict(), io.BytesIO()
    assert begun + steps(first, LOSSES[point:]) == expected
    torch.save(state, file)  # only now: a state does not change with the weights it came from
    file.seek(0)
    steps(second, LOSSES[3:])  # what the weights had seen before is forgotten
    second.load_state_dict(torch.load(file, weights_only=True))
    assert steps(second, LOSSES[point:]) == expected[point:]


@every
def test_a_state_can_be_taken_twice_and_handed_on(setting: Any) -> None:
    expected = steps(setting.begin(tiny.tasks(CLASSES)), LOSSES)
    state, weights = setting.begin(tiny.tasks(CLASSES)), []
    for nll in LOSSES:
        weights.append(step(state, nll))
        state.state_dict()
        kept, state = state.state_dict(), setting.begin(tiny.tasks(CLASSES))
        state.load_state_dict(kept)
    assert weights == expected


@every
def test_a_stopped_training_resumes_to_the_bit(setting: Any, tmp_path: Path) -> None:
    settings = {"prioritization": setting, "evaluate_every": 0}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    history = run("train", whole, **settings).history
    with pytest.raises(tiny.Stopped):
        run("train", resumed, tiny.stop_at(3), **settings)
    assert run("train", resumed, **settings).history.equals(history)
    assert_same_run("train", resumed, whole)


# Settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        *BOUNDED,
        RAW,
        Boosted(math.inf, normalise=False, decay=0.5),
        DynamicTaskPriority(2.5, 0.0),
        Uncertainty(1e-3),
        DWA(0.5, 7),
        FAMO(1e-5, 0.0),
    ],
    ids=to_text,
)
def test_a_weighting_is_written_as_text_and_read_back(setting: Any) -> None:
    assert PRIORITIZATION.parse(to_text(setting)) == setting


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (Boosted, "temperature", (0.0, -1.0, math.nan, "hot")),
        (Boosted, "normalise", (2, "perhaps")),
        (Boosted, "decay", (1.0, -0.1)),
        (DynamicTaskPriority, "gamma", (-0.5, math.nan)),
        (DynamicTaskPriority, "decay", (1.0, -0.1)),
        (Uncertainty, "rate", (0.0, -0.1, None)),
        (DWA, "temperature", (0.0, -2.0)),
        (DWA, "epoch", (0, -1, 2.5, math.inf, math.nan)),
        (FAMO, "rate", (0.0, -0.1)),
        (FAMO, "decay", (-1e-3, math.nan)),
    ],
)
def test_a_wrong_setting_is_named(kind: Any, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(MpnasError, match=f"^{text_name(kind)}: {name} must"):
            kind(**{name: value})
