"""The search stage: what it reads, what its controllers learn from, what it reports."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from torch import Tensor

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.notebook.tables import paths_table
from mpnas_kit.search.config import SearchConfig, resolve_target
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.data import divide
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.rewards import Absolute
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import MultiplyAdds, Parameters, UnionShare, path_costs
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.spaces import mobilenet_v3_large


def cheap(quality: Tensor, cost: Tensor, target: float) -> Tensor:
    """A reward of the cost alone: cheap paths win."""
    return -cost / target


def expensive(quality: Tensor, cost: Tensor, target: float) -> Tensor:
    """A reward of the cost alone: expensive paths win."""
    return cost / target


class Watched:
    """A reward that records its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor, float]] = []

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        self.calls.append((quality.clone(), cost.clone(), target))
        return quality + 0.01 * torch.arange(quality.numel()).view_as(quality)


Update = tuple[dict[str, list[Path]], dict[str, Tensor]]


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[Update]:
    """Paths and rewards of every update of the controllers, in order."""
    kept: list[Update] = []
    update = Controllers.update

    def spy(
        self: Controllers,
        step: int,
        paths: Mapping[str, Sequence[Path]],
        rewards: Mapping[str, Tensor],
        exact: Tensor | None = None,
    ) -> None:
        kept.append(({d: list(p) for d, p in paths.items()}, dict(rewards)))
        update(self, step, paths, rewards, exact)

    monkeypatch.setattr(Controllers, "update", spy)
    return kept


# What a search may see ----------------------------------------------------------------------------


class Forbidden:
    """A split that cannot be read."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("the search read validation or test data")

    def __len__(self) -> int:
        raise AssertionError("the search read validation or test data")


def without_val_and_test(domain: Domain) -> Domain:
    for split in ("val", "test"):
        object.__setattr__(domain, split, Forbidden())
    return domain


def test_a_search_never_reads_validation_or_test_images(tmp_path: Any) -> None:
    plain, poisoned = tiny.suite(), tiny.suite()
    blind = DomainSuite.__new__(DomainSuite)
    object.__setattr__(blind, "domains", tuple(without_val_and_test(d) for d in poisoned))
    object.__setattr__(blind, "name", "tiny")
    with pytest.raises(AssertionError, match="validation or test"):
        _ = blind.domains[0].val.images
    config = tiny.search_config()
    found = search(blind, tiny.space(), config, folder=tmp_path / "run")
    assert found.paths == search(plain, tiny.space(), config).paths


def test_weight_and_reward_part_are_disjoint_and_together_the_training_split() -> None:
    suite = tiny.suite(3)
    for name, part in divide(suite, 0.3, seed=4).items():
        train = suite[name].train
        both = torch.cat([tiny.pixels(part.weights.split), tiny.pixels(part.reward.split)])
        rows = sorted(map(bytes, both.reshape(len(both), -1).numpy()))
        assert rows == sorted(map(bytes, tiny.pixels(train).reshape(len(train), -1).numpy()))
        assert len(set(rows)) == len(rows)  # noise: no two images are equal
        labels = torch.cat([part.weights.split.labels, part.reward.split.labels])
        assert torch.equal(labels.sort().values, train.labels.sort().values)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_every_class_is_in_both_parts(share: float) -> None:
    for part in divide(tiny.suite(3), share, seed=0).values():
        for split in (part.weights.split, part.reward.split):
            assert set(split.labels.tolist()) == set(range(part.task.classes))


def test_a_class_of_two_images_is_in_both_parts() -> None:
    small = DomainSuite((tiny.domain("a", 3, train=6),))
    part = divide(small, 0.8, seed=0)["a"]
    assert part.reward.split.labels.tolist() == part.weights.split.labels.tolist() == [0, 1, 2]


def test_the_parts_have_the_share_asked_for_class_by_class() -> None:
    part = divide(DomainSuite((tiny.domain("a", 3, train=60),)), 0.3, seed=0)["a"]
    assert torch.bincount(part.reward.split.labels).tolist() == [6, 6, 6]
    assert torch.bincount(part.weights.split.labels).tolist() == [14, 14, 14]


def test_the_division_follows_the_seed() -> None:
    first, same, other = (divide(tiny.suite(1), 0.3, seed=s)["a"] for s in (1, 1, 2))
    images = [tiny.pixels(part.reward.split) for part in (first, same, other)]
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])


def test_reward_images_are_not_mirrored_or_moved() -> None:
    assert divide(tiny.suite(), 0.3, seed=0)["b"].reward.flip is False


def test_a_domain_too_small_to_divide_is_named() -> None:
    small = DomainSuite((tiny.domain("a", 3, train=3),))
    with pytest.raises(MpnasError, match="'a' has 3 training images: too few to divide"):
        search(small, tiny.space(), tiny.search_config())


def test_reward_batches_are_capped_at_the_size_of_the_reward_part() -> None:
    found = search(tiny.suite(), tiny.space(), tiny.search_config(reward_batch=1000, steps=2))
    assert set(found.paths) == {"a", "b"}


# What moves the controllers -----------------------------------------------------------------------


@pytest.mark.parametrize(("reward", "which"), [(cheap, 0), (expensive, 1)])
@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_a_search_finds_what_its_reward_asks_for(reward: Any, which: int, baseline: str) -> None:
    """Fails with the sign of the reward flipped, and with argmin for argmax."""
    space = tiny.space()
    config = tiny.search_config(
        steps=36,
        batch_size=2,
        reward_batch=2,
        paths_per_step=6,
        warmup_share=0.0,
        controller_delay=0.0,
        controller_spread=3.0,
        baseline=baseline,
    )
    found = search(tiny.suite(), space, replace(config, reward=reward))
    expected = space.extremes(MultiplyAdds().price)[which]
    assert found.paths == {"a": expected, "b": expected}
    assert found.history["entropy"].iloc[-1] < found.history["entropy"].iloc[0]


def test_the_paths_found_are_the_most_likely_ones_of_the_last_policy() -> None:
    space = tiny.space()
    found = search(tiny.suite(), space, tiny.search_config(reward=expensive))
    for path, last in zip(found.paths.values(), found.policy[-1], strict=True):
        assert list(path.choices) == [int(np.argmax(row)) for row in last]
    table = found.decisions().set_index(["domain", "decision"])
    for name, path in found.paths.items():
        assert path.arch.split() == table.loc[name, "choice"].tolist()


def test_a_search_reads_the_cost_of_the_paths_it_sampled(updates: list[Update]) -> None:
    watched, space = Watched(), tiny.space()
    search(tiny.suite(), space, tiny.search_config(reward=watched))
    assert len(watched.calls) == len(updates) == 5  # one of six steps is the delay
    for (quality, cost, _), (paths, _) in zip(watched.calls, updates, strict=True):
        for row, sampled in zip(cost, paths.values(), strict=True):
            assert row.tolist() == [space.cost(p).multiply_adds for p in sampled]
        assert quality.shape == cost.shape == (2, 2)
        assert ((quality >= 0) & (quality <= 1)).all()


def test_the_union_share_is_taken_over_paths_sampled_together(updates: list[Update]) -> None:
    watched, space, model = Watched(), tiny.space(), UnionShare()
    search(tiny.suite(), space, tiny.search_config(cost=model, reward=watched))
    for (_, cost, _), (paths, _) in zip(watched.calls, updates, strict=True):
        for k in range(2):
            together = {d: p[k] for d, p in paths.items()}
            assert cost[:, k].tolist() == list(model.costs(space, together).values())


def test_rewards_and_costs_of_a_domain_are_its_own(updates: list[Update]) -> None:
    watched = Watched()
    search(tiny.suite(), tiny.space(), tiny.search_config(reward=watched))
    for (quality, _, _), (_, rewards) in zip(watched.calls, updates, strict=True):
        assert rewards["a"].tolist() == pytest.approx(
            (quality[0] + torch.tensor([0, 0.01])).tolist()
        )
        assert rewards["b"].tolist() == pytest.approx(
            (quality[1] + torch.tensor([0.02, 0.03])).tolist()
        )


def test_a_joint_reward_is_the_mean_over_domains(updates: list[Update]) -> None:
    watched = Watched()
    search(tiny.suite(), tiny.space(), tiny.search_config(reward_scope="joint", reward=watched))
    for (quality, _, _), (_, rewards) in zip(watched.calls, updates, strict=True):
        expected = (quality.mean(0) + torch.tensor([0.01, 0.02])).tolist()
        assert rewards["a"].tolist() == pytest.approx(expected)
        assert rewards["b"].tolist() == pytest.approx(expected)


def test_a_joint_cost_charges_a_domain_what_the_others_spend(
    updates: list[Update],
) -> None:
    watched, space = Watched(), tiny.space()
    config = tiny.search_config(cost_scope="joint", cost_target=60_000.0)
    search(tiny.suite(), space, replace(config, reward=watched))
    for (_, charged, _), (paths, _) in zip(watched.calls, updates, strict=True):
        own = {d: [space.cost(p).multiply_adds for p in sampled] for d, sampled in paths.items()}
        for (_, mine), row, other in zip(own.items(), charged.tolist(), ("b", "a"), strict=True):
            excess = sum(own[other]) / 2 - 60_000
            assert row == pytest.approx([c + excess for c in mine])


def test_where_few_domains_are_drawn_a_joint_cost_is_still_that_of_all(
    updates: list[Update],
) -> None:
    """The largest domain is in every step, the others are not: it is not held to the target alone.

    With a union share, too, a node's cost is divided by all who take it.
    """
    watched, space, model = Watched(), tiny.space(), UnionShare()
    config = tiny.search_config(
        steps=12, draw_temperature=1.0, cost=model, cost_scope="joint", cost_target=1_000.0
    )
    sampled: list[dict[str, Any]] = []
    plain = model.costs

    def costs(space: Any, paths: Any) -> Any:
        sampled.append(dict(paths))
        return plain(space, paths)

    object.__setattr__(model, "costs", costs)
    search(tiny.suite(3), space, replace(config, reward=watched))
    assert min(len(paths) for paths, _ in updates) < 3  # at least one step did not draw all domains
    sampled = [paths for paths in sampled if set(paths) == set("abc")]
    for i, ((quality, charged, _), (paths, _)) in enumerate(
        zip(watched.calls, updates, strict=True)
    ):
        assert quality.shape == charged.shape == (len(paths), 2)
        together = [plain(space, sampled[2 * i + k]) for k in range(2)]
        for row, domain in zip(charged.tolist(), paths, strict=True):
            others = [d for d in "abc" if d != domain]
            excess = sum(sum(c[d] for c in together) / 2 - 1_000 for d in others)
            assert row == pytest.approx([c[domain] + excess for c in together])


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_reported_with_its_function(wrong: float) -> None:
    def mine(quality: torch.Tensor, cost: torch.Tensor, target: float) -> torch.Tensor:
        return quality * wrong

    with pytest.raises(MpnasError, match=r"step 2: the reward .*mine.* returns .*: expected a"):
        search(tiny.suite(), tiny.space(), tiny.search_config(reward=mine))


def test_a_folder_of_another_reward_function_is_refused(tmp_path: Any) -> None:
    given, config = (tiny.suite(), tiny.space()), tiny.search_config()
    search(*given, replace(config, reward=cheap), folder=tmp_path)
    search(*given, replace(config, reward=cheap), folder=tmp_path)
    with pytest.raises(MpnasError, match="reward = '.*test_search.py:cheap'"):
        search(*given, replace(config, reward=expensive), folder=tmp_path)


def test_a_reward_that_could_not_be_found_again_is_refused_in_a_folder(tmp_path: Any) -> None:
    config = tiny.search_config(reward=lambda quality, cost, target: quality)
    assert search(tiny.suite(), tiny.space(), config).paths
    with pytest.raises(MpnasError, match="has no text form.*at the top level of a module"):
        search(tiny.suite(), tiny.space(), config, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_reward_of_the_config_is_used_where_none_is_given(updates: list[Update]) -> None:
    space, config = tiny.space(), tiny.search_config(reward=Absolute(-2.0), cost_target=40000.0)
    found = search(tiny.suite(), space, config)
    rows = found.history.dropna()
    learning = rows[rows["domain"] == "a"]
    for row, (paths, rewards) in zip(learning.itertuples(), updates, strict=True):
        costs = [space.cost(p).multiply_adds for p in paths["a"]]
        penalty = np.mean([-2.0 * abs(c / 40000 - 1) for c in costs])
        assert row.cost == pytest.approx(np.mean(costs))
        assert row.reward == pytest.approx(row.quality + penalty)
        assert float(rewards["a"].mean()) == pytest.approx(row.reward)


def test_controllers_do_not_move_during_the_delay() -> None:
    config = tiny.search_config(steps=8, policy_snapshots=8, controller_delay=0.5)
    found = search(tiny.suite(), tiny.space(), replace(config, reward=expensive))
    fresh = Controllers(tiny.space(), "a", ControllerSchedule(0.5, 10.0, 1.5), steps=8)
    assert not fresh.logits.detach().any()
    for policy in found.policy[:4].reshape(-1, 2, 4):
        assert np.array_equal(policy, fresh.probabilities[0].numpy())
    assert not np.array_equal(found.policy[4], found.policy[3])
    assert found.history["reward"].isna().tolist() == [True] * 8 + [False] * 8


def test_an_untrained_domain_does_not_stop_the_others() -> None:
    """Domains of different sizes: all of them are drawn until the last step."""
    config = tiny.search_config(steps=9, draw_temperature=1.0)
    found = search(tiny.suite(3), tiny.space(), config)
    steps = found.history.groupby("domain")["step"].agg(["count", "max"])
    assert steps.loc["a", "count"] == 9 and steps.loc["a", "max"] == 9
    assert 4 <= steps.loc["c", "count"] < 9


def test_stem_nodes_and_all_heads_are_trained(tmp_path: Any) -> None:
    """Fails if the optimiser of the search lacks the stem, a head or a node that took part."""
    suite, space, config = tiny.suite(3), tiny.space(), tiny.search_config(warmup_candidates=4)
    search(suite, space, config, folder=tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["net"]
    net = MultiPathNet.supernet(space, suite.tasks, config.norm, config.seed, collapse=True)
    fresh = net.state_dict()
    moved = {n: not torch.equal(fresh[n], saved[n]) for n in fresh}
    assert all(moved[n] for n in moved if n.startswith(("heads.", "nodes.0_", "nodes.3_")))
    assert all(moved[n] for n in moved if n.endswith("depthwise.weight"))


def test_searches_of_other_seeds_and_lengths_end_with_other_policies() -> None:
    """The trap "the same architecture after 1 or 40 epochs"."""

    def policy(**settings: Any) -> np.ndarray[Any, Any]:
        config = tiny.search_config(controller_delay=0.0, warmup_share=0.0, **settings)
        return search(tiny.suite(), tiny.space(), config).policy[-1]

    ends = [policy(steps=2), policy(steps=10), policy(steps=10, seed=1)]
    assert np.array_equal(policy(steps=10), ends[1])
    for i, first in enumerate(ends):
        for second in ends[i + 1 :]:
            assert np.abs(first - second).max() > 0.01


def test_a_search_through_searched_widths_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE)
    config = tiny.search_config(norm="mixed", cost=Parameters(), cost_target=540_000.0)
    found = search(tiny.suite(), space, config)
    assert all(space.parse(p.arch) == p for p in found.paths.values())


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_every_norm_can_be_searched_with(norm: str) -> None:
    found = search(tiny.suite(), tiny.space(), tiny.search_config(norm=norm, steps=3))
    assert found.history["loss"].notna().all()


def test_the_global_generator_neither_matters_nor_moves() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = search(tiny.suite(), tiny.space(), tiny.search_config())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = search(tiny.suite(), tiny.space(), tiny.search_config())
    assert first.history.equals(second.history)


# The cost target ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [1.0, 1e12])
def test_an_impossible_cost_target_is_named_with_the_attainable_range(target: float) -> None:
    space = tiny.space()
    low, high = (space.cost(p).multiply_adds for p in space.extremes(MultiplyAdds().price))
    expected = f"cost_target {target:g} cannot be reached.*cost {low:g} to {high:g} multiply-adds"
    with pytest.raises(MpnasError, match=expected.replace("+", r"\+")):
        search(tiny.suite(), space, tiny.search_config(cost_target=target))


def test_the_cost_target_is_that_of_the_config() -> None:
    watched = Watched()
    config = tiny.search_config(cost_target=40000.0)
    assert (
        search(tiny.suite(), tiny.space(), replace(config, reward=watched)).cost_target == 40000.0
    )
    assert {target for *_, target in watched.calls} == {40000.0}


@pytest.mark.parametrize("cost", [MultiplyAdds(), Parameters()])
def test_without_a_target_it_is_the_mean_cost_of_random_paths(cost: Any) -> None:
    space = tiny.space()
    every = {str(i): p for i, p in enumerate(tiny.all_paths(space))}
    mean = np.mean(list(path_costs(cost, space, every).values()))
    target = resolve_target(space, tiny.search_config(cost=cost), 2)
    assert target == pytest.approx(mean, rel=0.1)


def test_a_cost_level_lies_between_the_cheapest_path_and_the_mean_of_random_ones() -> None:
    space = tiny.space()
    cheapest, mean = (
        space.extremes(MultiplyAdds().price)[0],
        resolve_target(space, tiny.search_config(), 2),
    )
    low = space.cost(cheapest).multiply_adds
    for level in (0.0, 0.25, 1.0):
        target = resolve_target(space, tiny.search_config(cost_level=level), 2)
        assert target == pytest.approx(low + level * (mean - low))
    with pytest.raises(MpnasError, match="cost_level must be a number from 0 to 1, not 1.5"):
        tiny.search_config(cost_level=1.5)


@pytest.mark.parametrize("domains", [1, 3])
def test_without_a_target_a_share_of_the_union_is_that_of_as_many_paths(domains: int) -> None:
    space, generator = tiny.space(), torch.Generator().manual_seed(1)
    draws = [{str(i): space.sample(generator) for i in range(domains)} for _ in range(200)]
    mean = np.mean([list(UnionShare().costs(space, d).values()) for d in draws])
    target = resolve_target(space, tiny.search_config(cost=UnionShare()), domains)
    assert target == pytest.approx(mean, rel=0.1)


# What it reports ----------------------------------------------------------------------------------


def test_history_has_a_row_a_step_and_domain() -> None:
    events: list[StepEvent] = []
    found = search(tiny.suite(), tiny.space(), tiny.search_config(), callbacks=[events.append])
    history = found.history
    assert history[["step", "domain"]].to_numpy().tolist() == [
        [step, domain] for step in range(1, 7) for domain in ("a", "b")
    ]
    columns = {"loss", "weight", "accuracy", "reward", "quality", "cost", "entropy"}
    assert set(history.columns) == {"step", "domain"} | columns
    always = history[["loss", "weight", "accuracy", "entropy"]]
    assert always.notna().all(axis=None)
    assert history.groupby("step")["weight"].mean().to_numpy() == pytest.approx(np.ones(6))
    assert [e.step for e in events] == list(range(1, 7))
    assert {(e.stage, e.steps) for e in events} == {("search", 6)}
    assert (
        events[3].rows["b"]["loss"] == history.query("step == 4 and domain == 'b'")["loss"].item()
    )


@pytest.mark.parametrize(("steps", "snapshots"), [(6, 6), (7, 3), (5, 100), (6, 1)])
def test_policies_are_kept_at_the_steps_named_and_at_the_last(steps: int, snapshots: int) -> None:
    config = tiny.search_config(steps=steps, policy_snapshots=snapshots)
    found = search(tiny.suite(), tiny.space(), config)
    assert found.policy.shape == (len(found.policy_steps), 2, 2, 4)
    assert found.policy_steps[-1] == steps and len(set(found.policy_steps)) == len(found.policy)
    assert found.policy.sum(-1) == pytest.approx(np.ones(found.policy.shape[:3]), abs=1e-5)


def result(policy: list[list[list[float]]]) -> SearchResult:
    """A result with this last policy (domains, decisions, choices)."""
    space = tiny.space()
    padded = np.zeros((1, len(policy), 2, 4), dtype=np.float32)
    for d, rows in enumerate(policy):
        for i, row in enumerate(rows):
            padded[0, d, i, : len(row)] = row
    paths = {"abc"[d]: space.path([int(np.argmax(r)) for r in p]) for d, p in enumerate(policy)}
    costs = dict.fromkeys(paths, 1.0)
    return SearchResult(
        space, SearchConfig(), paths, costs, costs, "multiply-adds", pd.DataFrame(), padded
    )


SURE, OPEN = [1.0, 0.0, 0.0], [0.4, 0.3, 0.3]
SURE4, OPEN4 = [0.0, 0.97, 0.02, 0.01], [0.25, 0.25, 0.25, 0.25]


def test_the_result_says_that_the_search_decided() -> None:
    assert result([[SURE4, SURE], [SURE4, SURE]]).verdict() == "the search decided all 4 choices."


def test_the_result_says_where_the_search_did_not_decide() -> None:
    made = result([[SURE4, OPEN], [OPEN4, OPEN]])
    assert "did not decide 3 of 4 choices" in made.verdict()
    assert made.verdict().endswith("b 2, a 1.")
    table = made.decisions()
    assert table["decided"].tolist() == [True, False, False, False]
    assert table["choice"].tolist() == ["k3e1", "k3e1", "zero", "k3e1"]
    assert table["entropy"][2] == pytest.approx(1.0) and table["entropy"][0] < 0.15
    assert table["probability"][1] == pytest.approx(0.4)


def test_a_decision_counts_as_made_up_to_half_of_the_greatest_entropy() -> None:
    half = [0.5, 0.5, 0.0, 0.0]  # log 2 of log 4
    more = [0.5, 0.45, 0.05, 0.0]
    assert result([[half, SURE]]).decisions()["entropy"][0] == pytest.approx(0.5)
    assert result([[more, SURE]]).decisions()["decided"].tolist() == [False, True]


def test_a_space_with_a_single_path_has_nothing_to_decide(tmp_path: FilePath) -> None:
    space = mobilenet_v3_large(16)
    config = tiny.search_config(steps=1)
    found = search(tiny.suite(1), space, config, folder=tmp_path)
    assert found.paths["a"] == space.parse("") and "nothing to decide" in found.verdict()
    assert SearchResult.load(tmp_path).paths == found.paths
    assert len(paths_table(found)) == 1


# What it refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0),
        ("batch_size", 1),
        ("reward_batch", 1),
        ("paths_per_step", 0),
        ("reward_share", 0.0),
        ("reward_share", 1.0),
        ("controller_delay", 1.0),
        ("learning_rate", 0.0),
        ("controller_spread", -1.0),
        ("warmup_candidates", 1),
        ("baseline_decay", 1.0),
        ("checkpoint_every", 0),
        ("seed", -1),
        ("threads", 0),
        ("threads", -1),
        ("reward_scope", "team"),
        ("sampling", "even"),
        ("quality", "loss"),
        ("cost_scope", "team"),
        ("baseline", "median"),
        ("norm", "group"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: Any) -> None:
    with pytest.raises(MpnasError, match=setting):
        tiny.search_config(**{setting: value})


def test_a_loss_that_is_not_finite_ends_in_one_sentence() -> None:
    with pytest.raises(MpnasError, match="the loss of domain 'a' is .* at learning rate"):
        search(tiny.suite(), tiny.space(), tiny.search_config(learning_rate=1e6))


def test_images_of_another_size_than_the_space_are_refused() -> None:
    """The costs would otherwise be those of another resolution."""
    with pytest.raises(MpnasError, match="32"):
        search(tiny.suite(), tiny.space(32), tiny.search_config(steps=2))


def test_a_result_of_a_folder_is_that_of_the_search(tmp_path: Any) -> None:
    config = tiny.search_config()
    first = search(tiny.suite(), tiny.space(), config, folder=tmp_path)
    plain = search(tiny.suite(), tiny.space(), config)
    read = search(tiny.suite(), tiny.space(), config, folder=tmp_path)
    for other in (plain, read):
        assert other.paths == first.paths and other.history.equals(first.history)
        assert np.array_equal(other.policy, first.policy)
        assert other.policy_steps == first.policy_steps
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert content["paths"] == {d: p.arch for d, p in first.paths.items()}
    assert content["costs"] == first.costs and content["verdict"] == first.verdict()
