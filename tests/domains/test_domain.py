"""Domains and suites: wrong inputs and their messages, selection and fingerprints."""

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from tiny import domain, paths, search_config, space, split, suite, tasks, train_config

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import Subset, TensorSplit
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.stage import search
from mpnas_kit.training.stage import train


def birds(part: str = "train", images: Any = None, labels: Any = None, **more: Any) -> Domain:
    """A domain of three classes whose split `part` has these images and labels."""
    good = split(3, 6, 1, torch.Generator().manual_seed(0))
    bad = TensorSplit(
        good.images if images is None else images, good.labels if labels is None else labels
    )
    parts = {**dict.fromkeys(("train", "val", "test"), good), part: bad}
    return Domain(more.get("name", "birds"), more.get("classes", ("x", "y", "z")), **parts)


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("label", [-1, 3, 7])
def test_a_label_out_of_range_is_named_with_domain_and_split(part: str, label: int) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, label])
    with pytest.raises(MpnasError, match=f"'birds', split '{part}'.*label {label} .* 0 to 2"):
        birds(part, labels=labels)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_an_empty_split_is_named(part: str) -> None:
    with pytest.raises(MpnasError, match=f"'birds', split '{part}' is empty"):
        birds(part, torch.empty(0, 1, 16, 16, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(6, 1, 16, 16),  # not uint8
        torch.zeros(6, 1, 16, 12, dtype=torch.uint8),  # not square
        torch.zeros(6, 2, 16, 16, dtype=torch.uint8),  # two channels
        torch.zeros(6, 16, 16, dtype=torch.uint8),  # no channel
    ],
)
def test_images_of_a_wrong_kind_are_named(images: torch.Tensor) -> None:
    with pytest.raises(MpnasError, match="'birds', split 'train': images must be uint8"):
        birds(images=images)


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(5, dtype=torch.int64), torch.zeros(6), torch.zeros(6, 1, dtype=torch.int64)],
)
def test_labels_of_a_wrong_kind_are_named(labels: torch.Tensor) -> None:
    with pytest.raises(MpnasError, match="'birds', split 'train': labels must be int64"):
        birds(labels=labels)


def test_splits_of_different_shape_are_refused() -> None:
    with pytest.raises(MpnasError, match="'birds': the splits differ in image shape"):
        birds("test", images=torch.zeros(6, 3, 16, 16, dtype=torch.uint8))


def test_a_domain_needs_two_classes_and_a_plain_name() -> None:
    with pytest.raises(MpnasError, match="'birds' needs at least 2 classes"):
        birds(classes=("x",), labels=torch.zeros(6, dtype=torch.int64))
    with pytest.raises(MpnasError, match="'my birds' may have letters"):
        birds(name="my birds")


def test_a_suite_refuses_duplicates_and_no_domains() -> None:
    with pytest.raises(MpnasError, match="names a domain twice: a, a"):
        DomainSuite((domain("a"), domain("a")))
    with pytest.raises(MpnasError, match="no domains"):
        DomainSuite(())


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 1, 16, 16), dtype=np.uint8)
LABELS = [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (IMAGES, LABELS),
        (IMAGES.tolist(), np.array(LABELS, dtype=np.uint8)),
        (IMAGES.astype(np.int16), tuple(LABELS)),
        (IMAGES[::-1][::-1], np.array(LABELS)),
        (torch.from_numpy(IMAGES), torch.tensor(LABELS, dtype=torch.int32)),
    ],
)
def test_arrays_and_lists_of_whole_numbers_are_converted(images: Any, labels: Any) -> None:
    whole = TensorSplit(torch.from_numpy(IMAGES), torch.tensor(LABELS))
    parts = dict.fromkeys(("train", "val", "test"), (images, labels))
    converted = Domain("birds", ["x", "y", "z"], **parts)
    assert converted.train.fingerprint() == whole.fingerprint()
    half = Subset(whole, np.array([4, 2], dtype=np.int32))
    assert half.labels.tolist() == [1, 2] and len(Subset(whole, [])) == 0


def test_class_names_may_be_numbers_and_any_printable_text() -> None:
    assert birds(classes=range(3)).classes == ("0", "1", "2")
    assert birds(classes=np.arange(3)).classes == ("0", "1", "2")
    assert birds(classes=["$x$", "<b>", "鳥"]).classes == ("$x$", "<b>", "鳥")


@pytest.mark.parametrize("error", [KeyError("labels"), OSError("disk")])
def test_an_error_of_a_split_stays_and_names_domain_and_split(error: Exception) -> None:
    class Broken(TensorSplit):
        def take(self, index: torch.Tensor) -> torch.Tensor:
            raise error

    good = domain("a").train
    with pytest.raises(type(error)) as raised:
        Domain("a", tuple("xyz"), good, Broken(good.images, good.labels), good)
    assert raised.value.__notes__ == ["raised by domain 'a', split 'val'"]


@pytest.mark.parametrize("answer", [None, torch.zeros(1, 1, 16, 16), torch.zeros(2, 1, 1, 1)])
def test_what_a_split_returns_later_is_checked(answer: Any) -> None:
    class Changing(TensorSplit):
        def take(self, index: torch.Tensor) -> torch.Tensor:
            return self.images[index] if len(index) < 4 else answer

    good = domain("a").train
    changing = Changing(good.images, good.labels)
    one = DomainSuite((Domain("a", tuple("xyz"), changing, good, good),))
    with pytest.raises(MpnasError, match=r"the split .*returns .* images: expected torch.uint8"):
        search(one, space(), search_config())


def equal(count: int) -> TensorSplit:
    """Equal images of classes 0, 1, 2, 0, ..."""
    return TensorSplit(domain("a").train.images[:1].repeat(count, 1, 1, 1), torch.arange(count) % 3)


@pytest.mark.parametrize(
    ("train_split", "settings", "words"),
    [
        (equal(1), {}, "'a' has 1 training images: expected at least 2"),
        (equal(9), {}, "all training images of domain 'a' are equal"),
        (domain("a", train=6).train, {"micro_batches": 4}, "'a' has 6 .* at least 8, 2 for each"),
    ],
)
def test_a_training_split_that_teaches_nothing_is_refused_before_a_folder_is_made(
    train_split: TensorSplit, settings: dict[str, Any], words: str, tmp_path: pathlib.Path
) -> None:
    other = domain("a")
    one = DomainSuite((Domain("a", other.classes, train_split, other.val, other.test),))
    used = paths(space(), ["k3e1 k3e1"], ["a"])
    with pytest.raises(MpnasError, match=words):
        search(one, space(), search_config(**settings), folder=tmp_path / "search")
    with pytest.raises(MpnasError, match=words):
        train(one, space(), used, train_config(**settings), folder=tmp_path / "train")
    assert not list(tmp_path.iterdir())


def test_a_training_split_that_cannot_be_divided_is_refused_before_a_folder_is_made(
    tmp_path: pathlib.Path,
) -> None:
    few = DomainSuite((domain("a", train=3),))
    with pytest.raises(MpnasError, match="3 training images: too few .* reward part .here 0."):
        search(few, space(), search_config(), folder=tmp_path / "search")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("labels", [[0] * 12, [2, 0] * 6])
def test_classes_may_have_no_training_images(labels: list[int]) -> None:
    other = domain("a")
    own = TensorSplit(other.train.images[:12], labels)
    one = DomainSuite((Domain("a", other.classes, own, other.val, other.test),))
    assert search(one, space(), search_config(steps=2)).paths
    assert len(
        train(one, space(), paths(space(), ["k3e1 k3e1"], ["a"]), train_config(steps=2)).accuracy()
    )


def test_an_unknown_domain_is_named_with_the_nearest() -> None:
    birds = DomainSuite((domain("birds"), domain("cars")))
    with pytest.raises(MpnasError, match="unknown domain 'brids': did you mean 'birds'"):
        _ = birds["brids"]
    with pytest.raises(MpnasError, match="unknown domain 'boats'"):
        birds.select(["cars", "boats"])


def test_select_keeps_the_order_asked_for() -> None:
    assert suite(3).select(["c", "a"]).names == ("c", "a")
    assert suite(3).select(["c", "a"]).tasks == tasks({"c": 2, "a": 3})


def test_the_fingerprint_sees_images_labels_and_moves_of_the_splits_it_guards() -> None:
    def fingerprint(**more: Any) -> str:
        return DomainSuite((domain("a", **more),)).fingerprint()

    other = domain("a").train
    relabelled = TensorSplit(other.images, other.labels.roll(1))
    assert fingerprint() == fingerprint()
    changed = [{"seed": 1}, {"flip": True}, {"turn": True}, {"train": 35}]
    marks = {fingerprint(), *(fingerprint(**c) for c in changed)}
    a = domain("a")
    marks.add(DomainSuite((Domain("a", a.classes, relabelled, a.val, a.test),)).fingerprint())
    assert len(marks) == 6
    test = TensorSplit(a.test.take(torch.arange(12)), a.test.labels.roll(1))
    other = DomainSuite((Domain("a", a.classes, a.train, a.val, test),))
    assert other.fingerprint() != fingerprint()
    assert other.fingerprint(["train"]) == DomainSuite((a,)).fingerprint(["train"])


@pytest.mark.parametrize("name", ["items", "children", "train", "type", "shared"])
def test_a_domain_may_have_the_name_of_a_torch_attribute(name: str) -> None:
    both = DomainSuite((domain("a"), domain(name, seed=1)))
    found = search(both, space(), search_config(steps=2))
    assert list(found.paths) == ["a", name]
    used = paths(space(), ["k3e1 k3e1", "k3e1 k5e3"], ["a", name])
    assert list(train(both, space(), used, train_config(steps=2)).accuracy().index) == ["a", name]
