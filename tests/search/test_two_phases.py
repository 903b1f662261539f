"""Two phases: the weights learn, then only the controllers. And how the quality is measured."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import whole
from torch import Tensor

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.task import Classification, mean_probabilities
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.step import learning_rate
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search import quality as measuring
from mpnas_kit.search.data import divide
from mpnas_kit.search.quality import FixedStream, Measured
from mpnas_kit.search.stage import search

TWO: dict[str, Any] = {"two_phases": True, "controller_delay": 0.5, "steps": 12}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, list[Flow]]]:
    """Whether a forward pass has gradients, and its flows, in order."""
    seen: list[tuple[bool, list[Flow]]] = []
    forward = MultiPathNet.forward

    def spy(self: MultiPathNet, flows: Sequence[Flow], recompute: bool = False) -> list[Tensor]:
        seen.append((torch.is_grad_enabled(), list(flows)))
        return forward(self, flows, recompute)

    monkeypatch.setattr(MultiPathNet, "forward", spy)
    return seen


def weights(folder: FilePath) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["state"]
    return state["net"]  # type: ignore[return-value]


# Phases -------------------------------------------------------------------------------------------


def test_weights_learn_in_the_first_phase_only_and_controllers_in_the_second(
    passes: list[tuple[bool, list[Flow]]], tmp_path: FilePath
) -> None:
    kept: dict[int, dict[str, Tensor]] = {}

    def keep(event: StepEvent) -> None:
        if event.step % 2 == 0:
            kept[event.step] = weights(tmp_path)

    found = search(
        tiny.suite(), tiny.space(), tiny.search_config(**TWO), folder=tmp_path, callbacks=[keep]
    )
    same = {
        step: all(torch.equal(kept[step][n], kept[step + 2][n]) for n in kept[step])
        for step in (2, 4, 6, 8, 10)
    }
    assert same == {2: False, 4: False, 6: True, 8: True, 10: True}
    grads = [grad for grad, _ in passes]  # no pass if all paths were measured before
    assert grads[:6] == [True] * 6 and grads[6:] and not any(grads[6:])
    history = found.history
    early, late = history[history["step"] <= 6], history[history["step"] > 6]
    trained, rewarded = ["loss", "weight", "accuracy"], ["reward", "quality", "cost"]
    assert early[trained].notna().all(axis=None) and early[rewarded].isna().all(axis=None)
    assert late[trained].isna().all(axis=None) and late[rewarded].notna().all(axis=None)
    assert np.array_equal(found.policy[2], found.policy[0])
    assert not np.array_equal(found.policy[-1], found.policy[3])


def test_the_learning_rate_falls_to_zero_within_the_first_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mpnas_kit.search import stage

    rates: list[float] = []
    monkeypatch.setattr(
        stage, "learning_rate", lambda *given: rates.append(learning_rate(*given)) or rates[-1]
    )
    search(tiny.suite(), tiny.space(), tiny.search_config(**TWO, warmup=0.2))
    assert rates == [learning_rate(step, 6, 0.1, 0.2) for step in range(6)]


def test_phases_without_a_step_for_the_weights_are_refused() -> None:
    for delay in (0.0, 0.1):
        with pytest.raises(MpnasError, match="weights learn only until controller_delay"):
            tiny.search_config(two_phases=True, controller_delay=delay, warmup_share=0.0)


# Batches and paths that are measured once ---------------------------------------------------------


def test_fixed_batches_hold_every_image_once_and_come_again_in_the_same_order() -> None:
    source = divide(tiny.suite(1), 0.3, seed=0)["a"].reward
    stream = FixedStream(source, 4, seed=1)
    rounds = [[stream.next().chosen.tolist() for _ in range(stream.count)] for _ in range(2)]
    assert stream.count == len(source.split) // 4 and rounds[0] == rounds[1]
    assert sorted(sum(rounds[0], [])) == list(range(len(source.split)))
    assert all(4 <= len(batch) < 8 for batch in rounds[0])
    assert FixedStream(source, 1000, seed=1).count == 1


@pytest.mark.parametrize("norm", ["per_domain", "naive"])
def test_a_path_is_run_once_on_a_batch(passes: list[tuple[bool, list[Flow]]], norm: str) -> None:
    """Two searches that differ in nothing but what is kept end with the same policies."""
    settings = {**TWO, "steps": 30, "norm": norm, "paths_per_step": 6, "controller_spread": 8.0}
    found = search(tiny.suite(), tiny.space(), tiny.search_config(**settings))
    runs = [
        (f.domain, f.images.sum().item(), f.path) for grad, flows in passes if not grad
        for f in flows
    ]  # fmt: skip
    assert max(Counter(runs).values()) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Measured, "lacking", lambda self, domain, batch, paths: list(paths))
        every = search(tiny.suite(), tiny.space(), tiny.search_config(**settings))
    assert len([f for grad, flows in passes if not grad for f in flows]) > 2 * len(runs)
    assert np.array_equal(found.policy, every.policy) and found.history.equals(every.history)


def test_only_so_many_qualities_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MOST_MEASURED", 3)
    paths, kept = list(tiny.all_paths(tiny.space())), Measured("a", 2)
    for number, path in enumerate(paths[:6]):
        assert kept.lacking("a", 0, [path, path]) == [path]
        kept.add("a", 0, [path], [float(number), 0.0])
        assert kept.of("a", 0, [path, path]) == [number, number]
    assert kept.lacking("a", 0, paths[:6]) == paths[:3]
    assert kept.lacking("a", 1, paths[3:6]) == paths[3:6]


def test_with_mixed_statistics_every_path_is_measured_again(
    passes: list[tuple[bool, list[Flow]]],
) -> None:
    search(tiny.suite(), tiny.space(), tiny.search_config(**TWO, norm="mixed"))
    assert [len(flows) for grad, flows in passes if not grad] == [4] * 6


# What every setting must be able to do ------------------------------------------------------------

FEATURES: list[dict[str, Any]] = [
    {"sampling": "fair"},
    {"two_phases": True, "controller_delay": 0.5},
    {"two_phases": True, "controller_delay": 0.3, "sampling": "fair", "quality": "probability"},
    {"two_phases": True, "controller_delay": 0.5, "controllers": "one", "sampling": "fair"},
    {"two_phases": True, "controller_delay": 0.5, "private_from": 0, "sampling": "fair"},
    {"two_phases": True, "controller_delay": 0.5, "micro_batches": 2, "kernels": "eager"},
]


@pytest.mark.parametrize("settings", FEATURES, ids=lambda s: " ".join(map(str, s.values())))
@pytest.mark.parametrize("step", [3, 6])
def test_a_resumed_search_is_equal_to_the_bit(
    settings: dict[str, Any], step: int, tmp_path: FilePath
) -> None:
    whole.run("search", tmp_path / "once", steps=9, **settings)
    with pytest.raises(tiny.Stopped):
        whole.run("search", tmp_path / "twice", tiny.stop_at(step), steps=9, **settings)
    whole.run("search", tmp_path / "twice", steps=9, **settings)
    whole.assert_same_run("search", tmp_path / "once", tmp_path / "twice")


def test_a_checkpoint_with_other_measured_paths_is_refused(tmp_path: FilePath) -> None:
    settings = {"two_phases": True, "controller_delay": 0.3}
    with pytest.raises(tiny.Stopped):
        whole.run("search", tmp_path, tiny.stop_at(5), **settings)
    file = tmp_path / "checkpoint.pt"
    plain = torch.load(file, weights_only=True)
    for wrong in (torch.zeros(1, 7, dtype=torch.int32), torch.zeros(1, 3)):
        plain["state"]["measured"]["a"]["paths"] = wrong
        torch.save(plain, file)
        with pytest.raises(MpnasError, match=r"checkpoint\.pt"):
            whole.run("search", tmp_path, **settings)


# The quality --------------------------------------------------------------------------------------


def test_the_probability_of_the_true_class_by_hand() -> None:
    """Logits ln 3 and 0 are probabilities 3/4 and 1/4; equal ones are 1/2."""
    logits = torch.tensor([[np.log(3.0), 0.0], [0.0, 0.0]])
    found = mean_probabilities(Classification(2), [logits, logits.flip(1)], torch.tensor([0, 1]))
    assert found.tolist() == pytest.approx([(3 / 4 + 1 / 2) / 2, (1 / 4 + 1 / 2) / 2])
    each = Classification(2).probabilities(logits, torch.tensor([0, 1]))
    loss = Classification(2).loss(logits, torch.tensor([0, 1]), reduction="sum")
    assert float(each.log().sum()) == pytest.approx(-float(loss))


def test_a_search_can_reward_probabilities() -> None:
    """They are not multiples of 1 / images, as accuracies are."""
    found = search(tiny.suite(), tiny.space(), tiny.search_config(quality="probability"))
    seen = found.history["quality"].dropna()
    assert seen.between(0, 1).all() and ((8 * 2 * seen) % 1).between(0.01, 0.99).any()


class Guess(Classification):
    """A task that gives no probabilities."""

    probabilities = property()  # type: ignore[assignment]


def test_a_task_without_probabilities_is_named() -> None:
    domain = tiny.domain("plain", task=Guess(3))
    config = tiny.search_config(quality="probability")
    with pytest.raises(
        MpnasError, match="of domain 'plain' does not give: expected quality 'task'"
    ):
        search(DomainSuite((domain,)), tiny.space(), config)
    with pytest.raises(MpnasError, match="a method probabilities"):
        mean_probabilities(Guess(3), [torch.zeros(2, 3)], torch.zeros(2, dtype=torch.int64))


def test_probabilities_of_a_wrong_shape_are_named() -> None:
    class Wrong(Classification):
        def probabilities(self, outputs: Tensor, labels: Tensor) -> Tensor:
            return outputs

    with pytest.raises(MpnasError, match="probabilities of the task .* probability of each of 2"):
        mean_probabilities(Wrong(3), [torch.zeros(2, 3)], torch.zeros(2, dtype=torch.int64))
