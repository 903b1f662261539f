"""The training stage: all training images, and every domain until the last step."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from mpnas_kit.domains.batches import DomainStream, Standard
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train

ARCHS = ["k3e1 k5e3", "k3e1 k3e1", "zero k5e3"]


def trained(domains: int = 2, **settings: Any) -> TrainResult:
    suite, space = tiny.suite(domains), tiny.space()
    return train(suite, space, tiny.paths(space, ARCHS[:domains]), tiny.train_config(**settings))


def test_the_network_is_the_union_of_the_paths() -> None:
    result = trained(3, steps=1)
    assert list(result.net.nodes) == ["0_conv3", "1_k3e1", "2_k3e1", "2_k5e3", "3_conv1"]
    assert set(result.net.heads) == {"of_a", "of_b", "of_c"}


def test_training_begins_from_scratch_and_moves_every_parameter() -> None:
    """Fails if the optimiser lacks the stem, a head or a norm."""
    result, suite, space = trained(3, average=0.0), tiny.suite(3), tiny.space()
    paths = tiny.paths(space, ARCHS)
    fresh = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=0)
    start = dict(fresh.named_parameters())
    still = [n for n, p in result.net.named_parameters() if torch.equal(p, start[n])]
    assert not still


def test_all_of_the_training_split_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: retraining on the weight part only."""
    sizes = {}
    made = DomainStream.__init__

    def spy(self: DomainStream, source: Any, *rest: Any, **more: Any) -> None:
        sizes[id(source.split)] = len(source.split)
        made(self, source, *rest, **more)

    monkeypatch.setattr(DomainStream, "__init__", spy)
    trained(3, steps=1)
    assert sorted(sizes.values()) == [20, 28, 36]


def test_validation_and_test_images_do_not_change_the_weights() -> None:
    suite, space = tiny.suite(), tiny.space()
    other = tiny.domain("a", 3, 1, 36, seed=77)
    a, b = suite
    swapped = DomainSuite((Domain("a", a.classes, a.train, other.val, other.test), b), "tiny")
    paths = tiny.paths(space, ARCHS[:2])
    nets = [
        train(s, space, paths, tiny.train_config(evaluate_every=2)).net.state_dict()
        for s in (suite, swapped)
    ]
    assert all(torch.equal(nets[0][n], nets[1][n]) for n in nets[0])


def test_history_and_evaluation_have_a_row_for_everything() -> None:
    events: list[StepEvent] = []
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    result = train(suite, space, paths, tiny.train_config(), callbacks=[events.append])
    rows = result.history[["step", "domain"]].to_numpy().tolist()
    assert rows == [[step, domain] for step in range(1, 7) for domain in ("a", "b")]
    assert set(result.history.columns) == {"step", "domain", "loss", "weight", "accuracy"}
    table = result.evaluation
    assert table[["domain", "split", "images"]].to_numpy().tolist() == [
        ["a", "val", 12],
        ["b", "val", 12],
        ["a", "test", 12],
        ["b", "test", 12],
    ]
    assert result.accuracy("val").to_dict() == dict(
        zip(("a", "b"), table["accuracy"][:2], strict=True)
    )
    assert [e.step for e in events] == list(range(1, 7)) and events[0].stage == "train"


def test_accuracy_over_time_is_kept_and_changes_nothing() -> None:
    plain, watched = trained(), trained(evaluate_every=3)
    at = watched.history.dropna()[["step", "domain"]].to_numpy().tolist()
    assert at == [[3, "a"], [3, "b"], [6, "a"], [6, "b"]]
    first, second = plain.net.state_dict(), watched.net.state_dict()
    assert all(torch.equal(first[n], second[n]) for n in first)
    last = watched.history.query("step == 6")["val_accuracy"].tolist()
    assert last == watched.accuracy("val").tolist()


def test_a_domain_that_is_not_drawn_still_has_its_accuracy_over_time() -> None:
    result = trained(3, draw_temperature=1.0, evaluate_every=1, steps=5)
    assert result.history.groupby("domain")["val_accuracy"].count().tolist() == [5, 5, 5]


def test_the_evaluated_weights_are_a_moving_average() -> None:
    def head(**settings: Any) -> torch.Tensor:
        return trained(1, **settings).net.head_of("a").weight.detach()

    assert not torch.equal(head(average=0.9), head(average=0.0))
    assert torch.equal(head(average=0.9, steps=1), head(average=0.0, steps=1))


def test_the_average_of_two_steps_by_hand() -> None:
    """The second step has weight 1 - min(0.9, 2 / 11); the first step has weight 1."""

    def bias(average: float, steps: int) -> torch.Tensor:
        result = trained(1, average=average, steps=steps, prioritization=Uniform())
        return result.net.head_of("a").bias.detach()

    first, second = bias(0.0, 1), bias(0.0, 2)
    expected = first + (second - first) * 9 / 11
    torch.testing.assert_close(bias(0.9, 2), expected, atol=1e-6, rtol=1e-4)
    assert not torch.equal(first, second)


def test_no_domain_ends_the_epoch_of_another() -> None:
    """The trap: loops that stop at the smallest domain."""
    result = trained(3, steps=12)
    assert result.history.groupby("domain")["step"].max().tolist() == [12, 12, 12]


def test_a_single_domain_can_be_trained_alone() -> None:
    suite, space = tiny.suite(3), tiny.space()
    result = train(suite, space, {"b": space.parse(ARCHS[1])}, tiny.train_config(steps=2))
    assert set(result.net.heads) == {"of_b"} and result.evaluation["domain"].unique() == ["b"]


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_every_norm_can_be_trained_with(norm: str) -> None:
    assert trained(norm=norm, steps=2).history["loss"].notna().all()


def test_paths_of_searched_widths_are_trained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE)
    narrow = space.parse("conv3 zero x0.5 k3e1 zero x0.5 k3e2 zero")
    paths = {"a": narrow, "b": space.widest(narrow)}
    result = train(tiny.suite(), space, paths, tiny.train_config(steps=2))
    kernels = sum(p.numel() for p in result.net.parameters() if p.ndim == 4)
    single = MultiPathNet.of_paths(space, {"b": paths["b"]}, tiny.tasks({"b": 4}), "mixed", seed=0)
    assert kernels == sum(p.numel() for p in single.parameters() if p.ndim == 4)


def test_seeds_differ_and_repeat() -> None:
    first, same, other = (trained(seed=s).net.state_dict() for s in (0, 0, 1))
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert not torch.equal(first["heads.of_a.weight"], other["heads.of_a.weight"])


# What it refuses ----------------------------------------------------------------------------------


def test_a_path_of_an_unknown_domain_is_named() -> None:
    space = tiny.space()
    paths = tiny.paths(space, ARCHS[:2], ["a", "bb"])
    with pytest.raises(MpnasError, match="unknown domain 'bb'"):
        train(tiny.suite(), space, paths, tiny.train_config())


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(MpnasError, match="at least one"):
        train(tiny.suite(), tiny.space(), {}, tiny.train_config())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("average", 1.0),
        ("label_smoothing", 1.0),
        ("checkpoint_every", 0),
        ("seed", -1),
        ("norm", "group"),
        ("shift", -1),
        ("momentum", 1.5),
        ("weight_decay", -1.0),
        ("warmup", -0.5),
        ("draw_temperature", -1.0),
        ("evaluate_every", -1),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: Any) -> None:
    with pytest.raises(MpnasError, match=setting):
        tiny.train_config(**{setting: value})


def test_a_loss_that_is_not_finite_ends_in_one_sentence() -> None:
    with pytest.raises(MpnasError, match="the loss of domain 'a' is .* at learning rate"):
        trained(learning_rate=1e6)


def test_images_of_another_size_than_the_space_are_refused() -> None:
    space = tiny.space(32)
    with pytest.raises(MpnasError, match="32"):
        train(tiny.suite(), space, tiny.paths(space, ARCHS[:2]), tiny.train_config(steps=1))


def test_the_folder_records_what_a_prediction_needs_to_the_bit(tmp_path: Path) -> None:
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    made = train(suite, space, paths, tiny.train_config(steps=1), folder=tmp_path / "train")
    read = TrainResult.load(tmp_path / "train")
    assert read.signatures == made.signatures and read.signatures is not None
    for domain in suite:
        signature, standard = read.signatures[domain.name], Standard.of(domain)
        assert torch.equal(signature.standard.mean, standard.mean)
        assert torch.equal(signature.standard.deviation, standard.deviation)
        assert (signature.channels, signature.resolution) == (domain.channels, tiny.SIZE)
        assert signature.classes == domain.classes
    text = (tmp_path / "train" / "config.json").read_text()
    content = json.loads(text)
    del content["record"]["inputs"]["b"]
    (tmp_path / "train" / "config.json").write_text(json.dumps(content))
    with pytest.raises(MpnasError, match="no inputs of 'b'"):
        TrainResult.load(tmp_path / "train")
    del content["record"]["inputs"]
    (tmp_path / "train" / "config.json").write_text(json.dumps(content))
    assert TrainResult.load(tmp_path / "train").signatures is None
