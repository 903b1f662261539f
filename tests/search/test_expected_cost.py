"""The exact cost term: expected costs and their gradients against a sum over all paths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import whole
from torch import Tensor

from mpnas_kit.errors import MpnasError
from mpnas_kit.search import expected_cost
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.expected_cost import ExpectedCost
from mpnas_kit.search.rewards import Absolute, Linear, Mnas
from mpnas_kit.search.stage import _Search, search
from mpnas_kit.space.costs import AddedParameters, MultiplyAdds, Parameters, UnionShare, path_costs
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.space import SearchSpace

QUIET: dict[str, Any] = {"exact_cost": True, "warmup_share": 0.0, "controller_delay": 0.0}


def policy(space: SearchSpace, names: Sequence[str] = "a", seed: int = 0) -> Controllers:
    """Controllers with random logits."""
    made = Controllers(space, names, ControllerSchedule(0.0, 1.0, 3.0), steps=100)
    with torch.no_grad():
        noise = torch.randn(made.logits.shape, generator=torch.Generator().manual_seed(seed))
        made.logits.copy_(noise)
    return made


def over_all_paths(model: Any, space: SearchSpace, made: Controllers, name: str = "a") -> Tensor:
    """The expected cost, path by path, with gradient.

    Probabilities are those of all choices, also inside skipped layers: they add up to 1.
    """
    logs = made.log_probabilities[made.names.index(name)].double()
    sizes = [len(d.choices) for d in space.decisions]
    total = torch.zeros((), dtype=torch.float64)
    for choices in torch.cartesian_prod(*map(torch.arange, sizes)).view(-1, len(sizes)):
        cost = path_costs(model, space, {"": space.path(choices.tolist())})[""]
        total = total + logs[torch.arange(len(sizes)), choices].sum().exp() * cost
    return total


def gradient(value: Tensor, made: Controllers) -> Tensor:
    """The gradient with respect to the logits of all controllers."""
    (found,) = torch.autograd.grad(value, made.logits, retain_graph=True)
    return found


def grown() -> SearchSpace:
    space = tiny.space()
    return GrownSpace(space, {"old": space.parse("k3e2 k5e3")})


def layerwise() -> SearchSpace:
    return tiny.space()


@pytest.mark.parametrize("model", [MultiplyAdds(), Parameters(), AddedParameters()])
@pytest.mark.parametrize("made", [layerwise, tiny.strided, grown])
def test_expected_cost_and_gradient_are_those_of_all_paths(
    made: Callable[[], SearchSpace], model: Any
) -> None:
    space = made()
    own = policy(space, "ab")
    found = ExpectedCost(model, space)(own.log_probabilities.exp())
    for row, name in enumerate("ab"):
        expected = over_all_paths(model, space, own, name)
        assert found[row].item() == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(
            gradient(found[row], own), gradient(expected, own), rtol=1e-3, atol=1.0
        )


def test_searched_widths_of_neighbouring_layers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stage of two layers, with all decisions: the width changes its layers and the head."""
    tiny.shrink_factored(monkeypatch, ((8, 2),))
    space = FactoredSpace("small", tiny.SIZE)
    names = [d.name for d in space.decisions]
    width = names.index("stage1/width")
    assert [i for i in range(6) if width in space.decisions_of(i)] == [2, 3, 4]
    own = policy(space)
    found = ExpectedCost(Parameters(), space)(own.log_probabilities.exp())[0]
    expected = over_all_paths(Parameters(), space, own)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient(found, own), gradient(expected, own), rtol=1e-3, atol=1.0)


def test_widths_of_two_stages_meet_in_the_first_layer_of_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A policy that is certain costs what its path costs."""
    tiny.shrink_factored(monkeypatch)
    space, generator = FactoredSpace("small", tiny.SIZE), torch.Generator().manual_seed(0)
    expected = ExpectedCost(MultiplyAdds(), space)
    for path in (space.sample(generator) for _ in range(20)):
        certain = torch.zeros(1, len(space.decisions), 2)
        certain[0, torch.arange(len(space.decisions)), list(path.choices)] = 1.0
        assert float(expected(certain)) == pytest.approx(space.cost(path).multiply_adds)


def test_the_update_of_the_cost_term_is_the_gradient_of_the_expected_reward_by_hand() -> None:
    """One decision, equal qualities. Costs 1 and 3 times the target, p = 1/2, so E[T] = 2 T0.

    d (beta |E[T] / T0 - 1|) / d logit = beta * p (1 - p) * (T - T') / T0 = beta / 4 * (-2 or 2)
    """
    space = tiny.two_searched_layers()
    made = Controllers(space, "a", ControllerSchedule(0.0, 1.0, 3.0), steps=10)
    prices = torch.tensor([1.0, 3.0], dtype=torch.float64)
    cost = (made.log_probabilities.exp()[0, 0, :2].double() * prices).sum()
    term = Absolute(-0.4).cost_term(cost[None], 1.0).sum()
    paths = [space.path([0, 0]), space.path([1, 0])]
    made.update(0, {"a": paths}, {"a": torch.tensor([0.5, 0.5])}, term)
    assert made.logits.grad is not None
    ascent = (-made.logits.grad[0]).tolist()
    assert ascent[0][:2] == pytest.approx([0.2, -0.2]) and ascent[1] == pytest.approx([0, 0, 0])


# In a search --------------------------------------------------------------------------------------


@pytest.fixture
def exact_terms(monkeypatch: pytest.MonkeyPatch) -> list[tuple[_Search, Tensor, Tensor]]:
    """Of every step: the search, its exact objective and the gradient with respect to logits."""
    kept: list[tuple[_Search, Tensor, Tensor]] = []
    update, init = Controllers.update, _Search.__init__
    stages: list[_Search] = []

    def begin(self: _Search, *given: Any) -> None:
        stages.append(self)
        init(self, *given)

    def spy(self: Controllers, step: int, paths: Any, rewards: Any, exact: Any = None) -> None:
        kept.append((stages[-1], exact.detach().clone(), gradient(exact, self)))
        update(self, step, paths, rewards, exact)

    monkeypatch.setattr(_Search, "__init__", begin)
    monkeypatch.setattr(Controllers, "update", spy)
    return kept


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        ({}, 1),
        ({"reward_scope": "joint"}, 2),
        ({"controllers": "one"}, 2),
        ({"reward": Linear(-0.5)}, 1),
        ({"cost_scope": "joint"}, 1),
        ({"cost_scope": "joint", "reward_scope": "joint"}, 2),
    ],
    ids=str,
)
def test_the_objective_of_a_search_is_that_of_all_paths(
    settings: dict[str, Any], shared: int, exact_terms: list[tuple[_Search, Tensor, Tensor]]
) -> None:
    """The gradient of every controller, against the expected cost path by path.

    A mean over domains divides it by 2. With a joint cost, the other domain's cost is a constant.
    """
    space, target = tiny.space(), 60_000.0
    config = tiny.search_config(
        **{"steps": 3, "cost_target": target, "reward": Absolute(-0.3), **QUIET, **settings}
    )
    search(tiny.suite(), space, config)
    stage, value, found = exact_terms[0]  # before the first update: all choices equally likely
    fresh = Controllers(space, stage.controllers.names, ControllerSchedule(0.0, 1.0, 1.0), steps=3)
    costs = [over_all_paths(MultiplyAdds(), space, fresh, stage.controller_of[d]) for d in "ab"]
    joint = config.cost_scope == "joint"
    other = [float(costs[1 - i].detach()) - target if joint else 0.0 for i in range(2)]
    reward: Any = config.reward
    terms = [reward.cost_term(c + o, target) for c, o in zip(costs, other, strict=True)]
    expected = sum(terms, torch.zeros(())) / shared
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(found, gradient(expected, fresh), rtol=1e-4, atol=1e-6)


def test_reinforce_sees_the_quality_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Tensor]] = []
    update = Controllers.update

    def spy(self: Controllers, step: int, paths: Any, rewards: Any, exact: Any = None) -> None:
        seen.append(rewards)
        update(self, step, paths, rewards, exact)

    monkeypatch.setattr(Controllers, "update", spy)
    found = search(tiny.suite(), tiny.space(), tiny.search_config(**QUIET))
    rows = found.history.set_index(["step", "domain"])
    for step, rewards in enumerate(seen, start=1):
        for domain, own in rewards.items():
            row = rows.loc[(step, domain)]
            assert float(own.mean()) == pytest.approx(row["quality"])
            off = abs(row["cost"] / found.cost_targets[domain] - 1)
            assert row["reward"] == pytest.approx(row["quality"] - 0.1 * off)


def test_the_expected_cost_comes_near_a_target_that_few_paths_have() -> None:
    space = tiny.space()
    low, high = (space.cost(p).multiply_adds for p in space.extremes(MultiplyAdds().price))
    target = low + 0.2 * (high - low)
    config = tiny.search_config(
        **{**QUIET, "steps": 40, "batch_size": 2, "reward_batch": 2, "paths_per_step": 2},
        reward=Absolute(-10.0),
        cost_target=target,
        controller_spread=3.0,
        controller_growth=0.02,
    )
    last = search(tiny.suite(), space, config).history.groupby("domain")["cost"].last()
    assert np.abs(last / target - 1).max() < 0.1


def test_the_update_varies_less_than_with_sampled_costs() -> None:
    """Total variance of 300 updates of one policy, of four paths each."""
    space, reward = tiny.space(), Absolute(-1.0)
    own, generator = policy(space), torch.Generator().manual_seed(0)
    target = float(ExpectedCost(MultiplyAdds(), space)(own.probabilities)[0]) / 3
    expected = ExpectedCost(MultiplyAdds(), space)

    def directions(exact: bool) -> Tensor:
        found = []
        for _ in range(300):
            paths = own.sample("a", 4, generator)
            qualities = torch.tensor([0.5 + 0.1 * (p.choices[1] == 1) for p in paths["a"]])
            cost = torch.tensor([space.cost(p).multiply_adds for p in paths["a"]])
            rewards, term = reward(qualities, cost, target), None
            if exact:
                whole = expected(own.log_probabilities.exp())
                rewards, term = qualities, reward.cost_term(whole, target).sum()
            logits = own.logits.detach().clone()
            own.update(0, paths, {"a": rewards}, term)
            with torch.no_grad():
                own.logits.copy_(logits)
            assert own.logits.grad is not None
            found.append(-own.logits.grad.flatten().clone())
        return torch.stack(found)

    exact, sampled = directions(True), directions(False)
    assert float(exact.var(0).sum()) < 0.2 * float(sampled.var(0).sum())


SETTINGS: list[dict[str, Any]] = [
    {},
    {"controllers": "one"},
    {"two_phases": True, "controller_delay": 0.4, "sampling": "fair", "quality": "probability"},
    {"cost_scope": "joint", "private_from": 0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_resumed_search_with_exact_costs_is_equal_to_the_bit(
    settings: dict[str, Any], tmp_path: FilePath
) -> None:
    settings = {"exact_cost": True, **settings}
    whole.run("search", tmp_path / "once", **settings)
    with pytest.raises(tiny.Stopped):
        whole.run("search", tmp_path / "twice", tiny.stop_at(5), **settings)
    whole.run("search", tmp_path / "twice", **settings)
    whole.assert_same_run("search", tmp_path / "once", tmp_path / "twice")


# What it refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"reward": Mnas()},
            "needs a reward that is the quality plus .*, not mnas.*: expected abs",
        ),
        ({"cost": UnionShare()}, "a path costs the sum over its blocks, not union_share"),
    ],
)
def test_what_has_no_exact_cost_term_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MpnasError, match=words):
        search(tiny.suite(), tiny.space(), tiny.search_config(exact_cost=True, **settings))


@dataclass(frozen=True)
class Wrong:
    """A reward whose cost term is what it is told."""

    answer: Any = None

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        return quality

    def cost_term(self, cost: Tensor, target: float) -> Any:
        return self.answer


@pytest.mark.parametrize(
    "answer", [None, 3.0, torch.zeros(5), torch.tensor([1, 2]), torch.tensor([0.0, np.nan])]
)
def test_a_cost_term_that_is_no_number_for_each_cost_is_named(answer: Any) -> None:
    config = tiny.search_config(exact_cost=True, reward=Wrong(answer))
    with pytest.raises(MpnasError, match=r"step 2: cost_term of the reward .*each of 2 costs"):
        search(tiny.suite(), tiny.space(), config)


def test_a_space_that_depends_on_more_than_it_says_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE)
    monkeypatch.setattr(FactoredSpace, "decisions_of", lambda self, layer: ())
    with pytest.raises(MpnasError, match="all decisions on which a layer depends"):
        ExpectedCost(MultiplyAdds(), space)
    monkeypatch.setattr(FactoredSpace, "decisions_of", SearchSpace.decisions_of)
    with pytest.raises(MpnasError, match="width of layer '1.1' is searched: expected a method"):
        ExpectedCost(MultiplyAdds(), space)


def test_a_layer_with_too_many_combined_choices_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_cost, "MOST_COMBINED", 3)
    with pytest.raises(MpnasError, match="layer 'one' of space 'tiny': its 1 decisions have 4"):
        ExpectedCost(MultiplyAdds(), tiny.space())
