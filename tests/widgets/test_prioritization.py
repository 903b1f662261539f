"""The explorer of a training's domain weights, without a browser."""

from dataclasses import dataclass

import numpy as np
import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.analysis.difficulty import difficulties, replayed
from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train
from mpnas_kit.widgets import Focus, PrioritizationExplorer


@pytest.fixture(scope="module")
def trained() -> TrainResult:
    space = tiny.space()
    paths = dict(zip("abc", tiny.all_paths(space), strict=False))
    return train(tiny.suite(3), space, paths, tiny.train_config(steps=8))


def test_replaying_the_prioritization_of_the_run_gives_the_recorded_weights(
    trained: TrainResult,
) -> None:
    table = difficulties(trained).sort_values(["step", "domain"])
    again = replayed(trained, trained.config.prioritization).sort_values(["step", "domain"])
    assert again["weight"].tolist() == pytest.approx(table["weight"].tolist(), rel=1e-12)
    assert set(replayed(trained, Uniform())["weight"]) == {1.0}


@dataclass(frozen=True)
class StepByStep(ABDP):
    """ABDP as a prioritization that `replayed` does not know."""


@pytest.mark.parametrize(
    "setting", [ABDP(), ABDP(2, 0.1, "linear", 0), ABDP(float("inf"), 1), ABDP(decay=0.99)]
)
def test_abdp_is_replayed_at_once_as_step_by_step(trained: TrainResult, setting: ABDP) -> None:
    """Also if some steps do not draw some domains."""
    drawn = np.random.default_rng(0).random(len(trained.history)) > 0.4
    some = TrainResult(
        trained.net, trained.paths, trained.config, trained.evaluation, trained.history[drawn]
    )
    keys = ["step", "domain"]
    once = replayed(some, setting).sort_values(keys)
    slow = replayed(some, StepByStep(**vars(setting))).sort_values(keys)
    assert once[keys].values.tolist() == slow[keys].values.tolist()
    assert once["weight"].tolist() == pytest.approx(slow["weight"].tolist(), rel=1e-12)


def test_sliders_give_the_weights_of_other_settings(trained: TrainResult) -> None:
    explorer = PrioritizationExplorer(trained)
    assert explorer.prioritization == ABDP()

    def lines() -> list[bytes]:
        return [group["values"] for group in explorer.chart.content["panels"][0]["groups"]]

    recorded, again = lines()
    assert np.frombuffer(again, "<f4") == pytest.approx(np.frombuffer(recorded, "<f4"))
    explorer.end.value = 5.0
    assert lines()[0] == recorded and lines()[1] != again
    assert explorer.prioritization == ABDP(end=5.0)
    titles = [panel["title"] for panel in explorer.chart.content["panels"]]
    assert titles == [
        "weight of the loss",
        "difficulty",
        "loss (nats)",
        "accuracy on training batches",
    ]


def test_a_domain_and_a_step_are_shared_with_other_explorers(trained: TrainResult) -> None:
    focus = Focus(["a", "b", "c", "other"])
    one, two = (PrioritizationExplorer(trained, focus=focus) for _ in range(2))
    one.chart.domain, one.chart.step = "b", 3
    assert (focus.domain, focus.train_step) == ("b", 3)
    assert (two.chart.domain, two.chart.step) == ("b", 3)
    focus.domain = "other"
    assert one.chart.domain == "" and focus.domain == "other"


def test_its_data_and_its_code_make_it_again(trained: TrainResult) -> None:
    explorer = PrioritizationExplorer(trained)
    explorer.end.value, explorer.schedule.value = 5.0, "linear"
    explorer.chart.hidden, explorer.focus.train_step = ["a"], 4
    table = explorer.data()
    assert len(table) == len(trained.history)
    weights = replayed(trained, explorer.prioritization)
    both = table.merge(weights, on=["step", "domain"])
    assert both["replayed_weight"].tolist() == both["weight_y"].tolist()
    names = {"mk": mk, "trained": trained}
    exec(explorer.code(), names)
    again = names["explorer"]
    assert isinstance(again, PrioritizationExplorer) and again.code() == explorer.code()


def test_a_slider_takes_values_of_its_range_only(trained: TrainResult) -> None:
    explorer = PrioritizationExplorer(trained)
    explorer.end.value = explorer.end.min
    assert explorer.prioritization.end == 0.05
    with pytest.raises(MpnasError, match=r"end temperature must be 0\.05 to 10, not 11\."):
        explorer.end.value = 11
    assert explorer.prioritization.end == 0.05
