"""Domains and suites: wrong inputs and their messages, selection and fingerprints."""

from typing import Any

import pytest
import torch
from tiny import domain, paths, search_config, space, split, suite, tasks, train_config

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import TensorSplit
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


def test_a_suite_refuses_duplicates_other_sizes_and_no_domains() -> None:
    with pytest.raises(MpnasError, match="names a domain twice: a, a"):
        DomainSuite((domain("a"), domain("a")))
    with pytest.raises(MpnasError, match="no domains"):
        DomainSuite(())
    small = TensorSplit(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    with pytest.raises(MpnasError, match="differ in resolution: {'a': 16, 's': 8}"):
        DomainSuite((domain("a"), Domain("s", ("x", "y"), small, small, small)))


def test_an_unknown_domain_is_named_with_the_nearest() -> None:
    birds = DomainSuite((domain("birds"), domain("cars")))
    with pytest.raises(MpnasError, match="unknown domain 'brids': did you mean 'birds'"):
        _ = birds["brids"]
    with pytest.raises(MpnasError, match="unknown domain 'boats'"):
        birds.select(["cars", "boats"])


def test_select_keeps_the_order_asked_for() -> None:
    assert suite(3).select(["c", "a"]).names == ("c", "a")
    assert suite(3).select(["c", "a"]).tasks == tasks({"c": 2, "a": 3})


def test_the_fingerprint_sees_images_labels_and_flip_of_the_splits_it_guards() -> None:
    def fingerprint(**more: Any) -> str:
        return DomainSuite((domain("a", **more),)).fingerprint()

    other = domain("a").train
    relabelled = TensorSplit(other.images, other.labels.roll(1))
    assert fingerprint() == fingerprint()
    changed = [{"seed": 1}, {"flip": True}, {"train": 35}]
    marks = {fingerprint(), *(fingerprint(**c) for c in changed)}
    a = domain("a")
    marks.add(DomainSuite((Domain("a", a.classes, relabelled, a.val, a.test),)).fingerprint())
    assert len(marks) == 5
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
