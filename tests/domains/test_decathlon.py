"""The Decathlon: classes by name, splits as its organisers mean them, and errors with ids."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_decathlon as small
import torch

import mpnas_kit as mk
from mpnas_kit.domains.decathlon_files import (
    DECATHLON,
    TEST_IMAGES,
    category_ids,
    unlabelled_images,
)
from mpnas_kit.domains.decoding import Fit, decode
from mpnas_kit.domains.suites import suite_text
from mpnas_kit.errors import MpnasError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp("decathlon"))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "decathlon-1.0"))


def test_the_official_numbers_are_those_of_the_organisers() -> None:
    assert len(DECATHLON) == 10 == len(TEST_IMAGES) and sum(TEST_IMAGES.values()) == 139_760


def test_domains_have_their_classes_splits_and_defaults(written: Path) -> None:
    suite = mk.decathlon(written)
    assert suite.names == ("aircraft", "daimlerpedcls", "omniglot", "vgg-flowers")
    assert suite.resolution == 72 and suite.name == "decathlon-1.0"
    assert {d.name: d.classes for d in suite} == {
        "aircraft": ("747-400", "A320", "DC-10"),
        "daimlerpedcls": ("non-pedestrian", "pedestrian"),
        "omniglot": ("char 1", "char 2", "char 10"),
        "vgg-flowers": ("lily", "rose"),
    }
    assert {d.name: (d.channels, d.flip) for d in suite} == {
        "aircraft": (3, True),
        "daimlerpedcls": (1, True),
        "omniglot": (1, False),
        "vgg-flowers": (3, True),
    }
    # of 8 official train images of a class, round(8 * .15 / .85) = 1 validates
    sizes = {d.name: [len(d.split(s)) for s in ("train", "val", "test")] for d in suite}
    assert sizes["aircraft"] == [21, 3, 9] and sizes["vgg-flowers"] == [14, 2, 6]
    assert suite.notices[0] == (
        "Decathlon: the official val split is the test split here, and val is taken out of the "
        "official train split."
    )


def test_labels_follow_the_ids_of_images_not_folders_or_order(written: Path) -> None:
    domain = mk.decathlon(written, ["omniglot"], resolution=24)["omniglot"]
    own = {}
    for n in range(1, 10):
        file = next((written / "data/omniglot/val").glob(f"*/{n:06d}.jpg"))
        label = sorted(small.CLASSES["omniglot"])[(n - 1) % 3]
        own[decode(file.read_bytes(), Fit(24)).numpy().tobytes()] = label
    images = domain.test.take(torch.arange(9))
    for image, label in zip(images, domain.test.labels.tolist(), strict=True):
        assert own[image.numpy().tobytes()] == domain.classes[label]


@pytest.mark.parametrize(
    ("official_val", "sizes", "words"),
    [
        ("test", [14, 2, 6], "is the test split here"),
        ("val", [14, 6, 2], "is the val split here, and test is taken out"),
        ("train", [14, 4, 4], "is joined with the official train split here"),
    ],
)
def test_the_official_val_split_can_be_used_otherwise(
    official_val: Any, sizes: list[int], words: str, written: Path
) -> None:
    suite = mk.decathlon(written, ["vgg-flowers"], official_val=official_val, resolution=24)
    assert [len(suite["vgg-flowers"].split(s)) for s in ("train", "val", "test")] == sizes
    assert words in suite.notices[0]
    assert suite.source is not None and ("official_val" in suite.source) == (official_val != "test")


def test_a_domain_without_images_is_left_out_and_told(folder: Path) -> None:
    shutil.rmtree(folder / "data/aircraft")
    suite = mk.decathlon(folder, resolution=24)
    assert suite.names == ("daimlerpedcls", "omniglot", "vgg-flowers")
    assert suite.notices[1] == (
        f"Decathlon: aircraft is left out, because {folder / 'data/aircraft'} is missing."
    )
    with pytest.raises(MpnasError, match="domain 'aircraft' cannot be read: .*aircraft is missing"):
        mk.decathlon(folder, ["aircraft"])


def test_a_text_of_the_folder_creates_the_suite(written: Path) -> None:
    text = suite_text(str(written))
    assert text == f"decathlon(path='{written}', resolution=72)"
    given = mk.suite_from_text(str(written), ["vgg-flowers"])
    assert given.source == text and given.names == ("vgg-flowers",)
    other = f"decathlon(path='{written}', flip=False, resolution=24, official_val='val')"
    assert suite_text(other) == other
    suite = mk.suite_from_text(other, ["aircraft"])
    assert not suite["aircraft"].flip and suite.resolution == 24
    again = mk.decathlon(written, ["aircraft"], flip=False, resolution=24, official_val="val")
    assert suite.fingerprint() == again.fingerprint()
    assert again.source is not None and suite_text(again.source) == again.source


def test_test_images_and_categories_are_those_of_the_organisers(written: Path) -> None:
    assert category_ids(written, "aircraft") == {
        "747-400": 10_000_001,
        "A320": 10_000_002,
        "DC-10": 10_000_003,
    }
    images = unlabelled_images(written, "vgg-flowers")
    assert [image.id for image in images] == [100_200_001 + n for n in range(4)]
    assert images[2].path == str(written / "data/vgg-flowers/test/000003.jpg")


def annotations(folder: Path, split: str = "train") -> Path:
    return folder / "annotations" / f"vgg-flowers_{split}.json"


def with_first(**values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda items: [{**items[0], **values}, *items[1:]]


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "form": (lambda f: annotations(f).write_text("{}"), "missing required field images"),
    "text": (lambda f: annotations(f).write_bytes(b"\xff"), "train.json cannot be read"),
    "cut": (lambda f: annotations(f).write_text('{"images": ['), "train.json cannot be read"),
    "type": (
        lambda f: small.change(annotations(f), images=with_first(id="7")),
        "images[0].id: expected int, got str",
    ),
    "twice": (
        lambda f: small.change(annotations(f), images=lambda x: [*x, x[0]]),
        "two images have the id 100000001",
    ),
    "no_label": (
        lambda f: small.change(annotations(f), annotations=lambda x: x[1:]),
        "image 100000016 has no annotation",
    ),
    "two_labels": (
        lambda f: small.change(annotations(f, "val"), annotations=lambda x: [*x, x[0]]),
        "image 100100006 has several annotations",
    ),
    "category": (
        lambda f: small.change(annotations(f), annotations=with_first(category_id=3)),
        "image 100000016 has the category 3, which is not among its categories",
    ),
    "names": (
        lambda f: small.change(annotations(f), categories=with_first(name="rose")),
        "two categories have one name or one id",
    ),
    **{
        f"path{i}": (
            lambda f, name=name: small.change(annotations(f), images=with_first(file_name=name)),  # type: ignore[misc]
            "expected a path in this folder",
        )
        for i, name in enumerate(
            ("/etc/hosts", "data/../../x.jpg", "x.jpg", "data", "data//x.jpg", "data/a\0")
        )
    },
    "gone": (
        lambda f: (f / "data/vgg-flowers/val/0001/000001.jpg").unlink(),
        "1 of 22 images cannot be read: vgg-flowers: data/vgg-flowers/val/0001/000001.jpg",
    ),
    "no_val": (lambda f: annotations(f, "val").unlink(), "no such file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_file_and_id(case: str, folder: Path) -> None:
    make, words = WRONG[case]
    make(folder)
    with pytest.raises(MpnasError) as caught:
        mk.decathlon(folder, ["vgg-flowers"], resolution=24)
    said = str(caught.value)
    assert words in said and "\n" not in said, said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: mk.decathlon(f, ["flowers"]), "unknown domain of the Decathlon 'flowers'"),
        (lambda f: mk.decathlon(f / "data"), "has no domain of the Decathlon: expected"),
        (lambda f: mk.decathlon(f / "none"), "there is no folder"),
        (lambda f: mk.decathlon(f, official_val="all"), "official_val must be"),
        (lambda f: mk.decathlon(f, flip="x"), "decathlon: flip must be true or false"),
        (lambda f: mk.decathlon(f, resolution=0), "resolution must be"),
    ],
)
def test_wrong_calls_are_refused(make: Callable[[Path], Any], words: str, written: Path) -> None:
    with pytest.raises(MpnasError) as caught:
        make(written)
    assert words in str(caught.value)


def test_test_images_of_another_domain_are_refused(folder: Path) -> None:
    file = annotations(folder, "test_stripped")
    small.change(file, images=with_first(id=10_200_001))
    with pytest.raises(MpnasError, match="image id 10200001 is not one of vgg-flowers"):
        unlabelled_images(folder, "vgg-flowers")
    file.write_text(json.dumps({"images": []}))
    with pytest.raises(MpnasError, match="has no images: expected the official test images"):
        unlabelled_images(folder, "vgg-flowers")
