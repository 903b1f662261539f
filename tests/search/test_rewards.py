"""Rewards against values computed by hand."""

import pytest
import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import to_text
from mpnas_kit.search.rewards import REWARD, Absolute, Mnas, MnasHard, Reward, charged

QUALITY = torch.tensor([0.8, 0.8, 0.8, 0.5], dtype=torch.float64)
COST = torch.tensor([50.0, 100.0, 200.0, 400.0], dtype=torch.float64)
TARGET = 100.0


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (Absolute(-0.1), [0.8 - 0.05, 0.8, 0.8 - 0.1, 0.5 - 0.3]),
        (Absolute(-1.0), [0.8 - 0.5, 0.8, 0.8 - 1.0, 0.5 - 3.0]),
        (Mnas(-0.5), [0.8 * 2**0.5, 0.8, 0.8 / 2**0.5, 0.5 / 2]),
        (MnasHard(-0.5), [0.8, 0.8, 0.8 / 2**0.5, 0.5 / 2]),
        (MnasHard(-1.0), [0.8, 0.8, 0.4, 0.125]),
        (Absolute(0.0), [0.8, 0.8, 0.8, 0.5]),
    ],
)
def test_rewards_are_what_their_formula_says(reward: Reward, expected: list[float]) -> None:
    assert reward(QUALITY, COST, TARGET).tolist() == pytest.approx(expected)


def test_a_charge_is_the_own_cost_and_what_the_others_are_above_the_target() -> None:
    """Three domains, two paths, target 100: mean excesses 0, +50, -80."""
    cost = torch.tensor([[80.0, 120.0], [150.0, 150.0], [10.0, 30.0]], dtype=torch.float64)
    assert charged(cost, 100.0).tolist() == [[50.0, 90.0], [70.0, 70.0], [60.0, 80.0]]


def test_domains_below_the_target_still_feel_what_a_path_costs() -> None:
    """Ten domains ten percent below: the absolute reward raises them, powers stay finite."""
    cost = torch.tensor([[80.0, 100.0]] * 10, dtype=torch.float64)
    below, above = Absolute()(torch.zeros(10, 2), charged(cost, 100.0), 100.0).unbind(1)
    assert (below < above).all()
    for reward in (Mnas(), MnasHard()):
        assert torch.isfinite(reward(torch.ones(10, 2), charged(cost, 100.0), 100.0)).all()


def test_the_price_of_a_unit_is_the_same_for_every_domain_and_as_for_one_alone() -> None:
    cost = torch.tensor([[300.0, 310.0], [120.0, 130.0]], dtype=torch.float64)
    for row in Absolute()(torch.zeros(2, 2), charged(cost, 100.0), 100.0).diff(dim=1).tolist():
        assert row == pytest.approx([-0.1 * 10 / 100])


@pytest.mark.parametrize("reward", [Absolute(), Mnas(), MnasHard()])
def test_quality_raises_a_reward_and_cost_beyond_the_target_lowers_it(reward: Reward) -> None:
    cost = torch.tensor([100.0, 200.0, 300.0])
    assert (reward(torch.full((3,), 0.5), cost, 100.0).diff() < 0).all()
    assert (reward(torch.tensor([0.1, 0.5, 0.9]), torch.full((3,), 150.0), 100.0).diff() > 0).all()


def test_only_the_absolute_reward_penalises_a_cost_below_the_target() -> None:
    quality, cost = torch.tensor([0.5, 0.5]), torch.tensor([50.0, 100.0])
    below, at = Absolute()(quality, cost, 100.0)
    assert below < at
    below, at = MnasHard()(quality, cost, 100.0)
    assert below == at
    below, at = Mnas()(quality, cost, 100.0)
    assert below > at


@pytest.mark.parametrize("kind", [Absolute, Mnas, MnasHard])
def test_a_reward_for_cost_is_refused(kind: type[Absolute]) -> None:
    with pytest.raises(MpnasError, match="beta must be a number from -10 to 0, not 0.1"):
        kind(0.1)


@pytest.mark.parametrize("reward", [Absolute(-0.3), Mnas(), MnasHard(-1.0)])
def test_a_reward_is_written_as_text_and_read_back(reward: Reward) -> None:
    assert REWARD.parse(to_text(reward)) == reward
