"""Accuracy of a trained network. Its batch-norm statistics fit, also after a reload."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Subset, count_pixels
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm, member
from mpnas_kit.search.stage import search
from mpnas_kit.training.evaluation import evaluate, measure, recalibrate
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train

ARCHS = ["k3e1 k5e3", "k3e1 k3e1", "zero k5e3"]


def in_training_mode(net: MultiPathNet, suite: DomainSuite, paths: Any) -> dict[str, float]:
    """Accuracy on the training images with batch statistics, as during training."""
    flows = [Flow(d.name, Standard.of(d)(d.train.images), paths[d.name]) for d in suite]
    with torch.no_grad():
        logits = net.train()(flows)
    pairs = zip(suite, logits, strict=True)
    return {d.name: d.task.quality(x, d.train.labels) for d, x in pairs}


@pytest.mark.parametrize("norm", ["per_domain", "mixed"])
def test_accuracy_in_training_and_after_reload_agree(norm: str, tmp_path: Any) -> None:
    """The trap: 93 % in training, 36 % after reload."""
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    config = tiny.train_config(steps=40, norm=norm, average=0.5, shift=0, batch_size=16)
    result = train(suite, space, paths, config, folder=tmp_path)
    net = MultiPathNet.of_paths(space, paths, suite.tasks, norm, seed=99)  # type: ignore[arg-type]
    net.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    measured = evaluate(net, suite, paths, "train").set_index("domain")["accuracy"]
    saved = {n: t.clone() for n, t in net.state_dict().items()}
    for domain, share in in_training_mode(net, suite, paths).items():
        assert share > 0.85
        assert measured[domain] == pytest.approx(share, abs=0.1)
    net.load_state_dict(saved)
    test = evaluate(net, suite, paths, "test").set_index("domain")["accuracy"]
    assert test.to_dict() == result.accuracy("test").to_dict()


def test_recalibration_mends_wrong_statistics_and_leaves_weights_alone() -> None:
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    result = train(suite, space, paths, tiny.train_config(steps=24, average=0.0, batch_size=16))
    net = result.net
    weights = {n: p.clone() for n, p in net.named_parameters()}
    good = evaluate(net, suite, paths, "train")["accuracy"].mean()
    for name, buffer in net.named_buffers():
        buffer.fill_(3.0 if "mean_" in name else 0.1)
    bad = evaluate(net, suite, paths, "train")["accuracy"].mean()
    recalibrate(net, suite, paths)
    mended = evaluate(net, suite, paths, "train")["accuracy"].mean()
    assert bad < good - 0.2 and mended == pytest.approx(good, abs=0.02)
    assert all(torch.equal(weights[n], p) for n, p in net.named_parameters())
    assert not net.training


def assert_stem_fits_its_statistics(net: MultiPathNet, suite: DomainSuite) -> None:
    """The stem's running means are those of its maps of all training images.

    A batch holds the whole training split of a tiny domain, so they are known exactly.
    """
    stem = tiny.node(net, 0, "conv3")
    maps = {}
    for domain in suite:
        with torch.no_grad():
            maps[domain.name] = stem.convolution(Standard.of(domain)(domain.train.images))  # type: ignore[operator]
    means = {d: x.mean((0, 2, 3)) for d, x in maps.items()}
    layer = stem.norm
    assert isinstance(layer, DomainNorm)
    if layer.norm == "per_domain":
        expected = {member(d): mean for d, mean in means.items()}
    elif layer.norm == "mixed":
        expected = {"shared": torch.cat(list(maps.values())).mean((0, 2, 3))}
    else:
        expected = {"shared": torch.stack(list(means.values())).mean(0)}
    for name, mean in expected.items():
        torch.testing.assert_close(layer.get_buffer(f"mean_{name}"), mean, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_recalibrated_statistics_are_the_plain_mean_over_batches_and_domains(norm: str) -> None:
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    net = MultiPathNet.of_paths(space, paths, suite.tasks, norm, seed=0)  # type: ignore[arg-type]
    recalibrate(net, suite, paths, batches=3)
    assert_stem_fits_its_statistics(net, suite)


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_the_statistics_of_a_trained_network_are_those_of_its_averaged_weights(norm: str) -> None:
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    result = train(suite, space, paths, tiny.train_config(norm=norm))
    assert_stem_fits_its_statistics(result.net, suite)


def test_evaluation_counts_every_image_once_and_by_hand() -> None:
    suite, space = tiny.suite(1), tiny.space()
    paths = tiny.paths(space, ARCHS[:1])
    net = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=0)
    with torch.no_grad():
        net.head_of("a").weight.zero_()
        net.head_of("a").bias.copy_(torch.tensor([2.0, 1.0, 0.0]))
    row = evaluate(net, suite, paths, "test").iloc[0]
    logits = torch.tensor([2.0, 1.0, 0.0]).log_softmax(0)
    assert row["images"] == 12 and row["accuracy"] == pytest.approx(1 / 3)
    assert row["loss"] == pytest.approx(-float(logits.mean()), rel=1e-5)


def unbalanced() -> DomainSuite:
    """A domain of three classes whose test split has 9, 3 and no images of them."""
    base = tiny.domain("a", 3)
    index = torch.tensor([0, 3, 6, 9, 0, 3, 6, 9, 0, 1, 4, 7])
    test = Subset(base.test, index)
    return DomainSuite((Domain("a", base.classes, base.train, base.val, test),))


def test_macro_accuracy_is_the_mean_recall_over_classes_with_images() -> None:
    suite, space = unbalanced(), tiny.space()
    paths = tiny.paths(space, ARCHS[:1])
    net = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=0)
    with torch.no_grad():
        net.head_of("a").weight.zero_()
        net.head_of("a").bias.copy_(torch.tensor([2.0, 1.0, 0.0]))  # always the first class
    row = evaluate(net, suite, paths, "test").iloc[0]
    assert row["accuracy"] == pytest.approx(9 / 12) and row["macro_accuracy"] == 0.5
    (measured,) = measure(net, suite, paths, "test")
    assert measured.recalls == [1.0, 0.0, None] and measured.class_images == [9, 3, 0]


def test_recalls_are_stored_and_agree_with_the_predictions(tmp_path: Path) -> None:
    suite, space = unbalanced(), tiny.space()
    paths = tiny.paths(space, ARCHS[:1])
    result = train(suite, space, paths, tiny.train_config(), folder=tmp_path)
    loaded = TrainResult.load(tmp_path, space=space)
    assert result.recalls is not None and loaded.recalls is not None
    pd.testing.assert_frame_equal(loaded.recalls, result.recalls)
    pd.testing.assert_frame_equal(loaded.evaluation, result.evaluation)
    table = mk.analysis.predictions(result, suite["a"])
    own = mk.analysis.class_recalls(mk.analysis.confusion(table, 3))
    test = loaded.recalls[loaded.recalls["split"] == "test"]
    assert test["images"].tolist() == own["images"].tolist() == [9, 3, 0]
    assert test["recall"].tolist()[:2] == own["recall"].tolist()[:2]
    assert math.isnan(test["recall"].iloc[2])
    assert loaded.macro_accuracy()["a"] == own["recall"].mean()
    (sentence,) = mk.notebook.tables.classes_without_images(loaded)
    assert "1 of 3 classes has no image in the test split" in sentence and "class2" in sentence


@pytest.mark.parametrize(
    "change", [{"class_images": [9, 3]}, {"class_images": [9, 2, 0]}, {"recalls": [1.0, 0.0, 0.0]}]
)
def test_recalls_that_do_not_fit_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    suite, space = unbalanced(), tiny.space()
    train(suite, space, tiny.paths(space, ARCHS[:1]), tiny.train_config(), folder=tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    content["evaluation"][1].update(change)
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(mk.MpnasError, match="recalls of 'a' on test do not fit"):
        TrainResult.load(tmp_path, space=space)


def test_more_images_than_a_batch_are_evaluated_the_same_way() -> None:
    many = tiny.domain("a", 3, train=36)
    index = torch.arange(1101) % 12
    split = Subset(many.test, index)
    large = DomainSuite((Domain("a", many.classes, many.train, many.val, split),))
    space = tiny.space()
    paths = tiny.paths(space, ARCHS[:1])
    net = MultiPathNet.of_paths(space, paths, large.tasks, "per_domain", seed=0)
    small = DomainSuite((many,))
    few, lots = (evaluate(net, s, paths, "test").iloc[0] for s in (small, large))
    assert lots["images"] == 1101
    with torch.no_grad():
        (logits,) = net.eval()([Flow("a", Standard.of(many)(many.test.images), paths["a"])])
    right = logits.argmax(1) == many.test.labels
    assert lots["accuracy"] == pytest.approx(float(right[index].double().mean()))
    assert few["accuracy"] == pytest.approx(float(right.double().mean()))


def test_evaluation_leaves_the_network_as_it_was() -> None:
    suite, space = tiny.suite(), tiny.space()
    paths = tiny.paths(space, ARCHS[:2])
    net = MultiPathNet.of_paths(space, paths, suite.tasks, "mixed", seed=0).train()
    before = {n: t.clone() for n, t in net.state_dict().items()}
    evaluate(net, suite, paths, "val")
    assert net.training and all(torch.equal(before[n], t) for n, t in net.state_dict().items())


class Counting(Subset):
    """A split that notes how often its pixel values are asked for."""

    asked = 0

    def pixel_counts(self) -> torch.Tensor:
        self.asked += 1
        return count_pixels(self)


def test_training_images_are_read_once_for_their_mean_and_deviation() -> None:
    """By a search, a training and everything after it, also with a part of the suite."""
    splits = {d.name: Counting(d.train, torch.arange(len(d.train))) for d in tiny.suite()}
    whole = DomainSuite([replace(d, train=splits[d.name]) for d in tiny.suite()], "counted")
    paths = tiny.paths(tiny.space(), ARCHS[:2])
    search(whole, tiny.space(), tiny.search_config())
    trained = train(whole, tiny.space(), paths, tiny.train_config())
    part = whole.select(["a"])
    evaluate(trained.net, part, {"a": paths["a"]}, "test")
    mk.analysis.predictions(trained, part["a"])
    mk.Signature.of(part["a"])
    assert {name: split.asked for name, split in splits.items()} == {"a": 1, "b": 1}
