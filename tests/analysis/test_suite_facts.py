"""Facts about a suite: counts, files, copies and suggestions, by hand on small suites."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.analysis import copies as copies_module
from mpnas_kit.analysis.suite_facts import suggested_resolution
from mpnas_kit.domains.domain import SPLITS
from mpnas_kit.errors import MpnasError

NOISE = np.random.default_rng(0)


def noise(size: tuple[int, int] = (40, 40), mode: str = "RGB") -> Image.Image:
    """A picture unlike all others, with large areas, so that other sizes of it look alike."""
    blobs = Image.fromarray(NOISE.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return blobs.resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two domains with splits: 8 and 2 training images per class, and copies of known kinds."""
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    for domain, mode in (("pets", "RGB"), ("scans", "L")):
        for split, counts in (("train", (8, 2)), ("val", (2, 2)), ("test", (2, 2))):
            for label, count in zip(("猫", "dog"), counts, strict=True):
                folder = root / domain / split / label
                folder.mkdir(parents=True)
                for i in range(count):
                    noise((40, 30 + 10 * i), mode).save(folder / f"{i}.png")
    train = root / "pets" / "train" / "猫"
    again = Image.open(train / "0.png")
    again.save(root / "pets" / "test" / "猫" / "exact.png")
    again.save(train / "twin.bmp")
    Image.open(train / "1.png").save(root / "pets" / "val" / "dog" / "near.jpg", quality=80)
    Image.open(root / "scans" / "train" / "dog" / "0.png").convert("RGB").save(
        root / "pets" / "val" / "dog" / "from_scans.png"
    )
    (train / "cut.png").write_bytes(b"")
    return root


def test_what_came_in_is_counted(photos: Path) -> None:
    facts = mk.describe(mk.folders(photos, resolution=16, bad="skip"))
    pets = facts.domains.set_index("domain").loc["pets"]
    assert (pets["classes"], pets["channels"], pets["resolution"]) == (2, 3, 16)
    assert (pets["train"], pets["val"], pets["test"]) == (11, 6, 5)
    assert (pets["largest"], pets["smallest"], pets["imbalance"]) == (9, 2, 4.5)
    assert (pets["few"], pets["unreadable"]) == (2, 1)
    rows = facts.classes[facts.classes["domain"] == "pets"].set_index("label")
    assert rows.loc["猫", ["train", "val", "test"]].tolist() == [9, 2, 3]
    assert facts.unreadable.to_numpy().tolist() == [["pets", "train/猫/cut.png: it is empty"]]
    assert facts.findings[0] == "pets: 1 file is left out because it cannot be read."
    json.dumps(facts.as_dict(), allow_nan=False)


def test_what_the_files_were_is_known(photos: Path) -> None:
    facts = mk.describe(mk.folders(photos, resolution=16, bad="skip"))
    assert facts.sizes is not None and facts.modes is not None and facts.originals is not None
    modes = facts.modes.set_index(["domain", "mode", "format"])["images"].to_dict()
    assert modes == {
        ("pets", "RGB", "PNG"): 20,
        ("pets", "RGB", "BMP"): 1,
        ("pets", "RGB", "JPEG"): 1,
        ("scans", "L", "PNG"): 18,
    }
    scans = facts.originals[facts.originals["domain"] == "scans"]
    assert sorted(scans["height"].unique()) == list(range(30, 110, 10))
    expected = np.quantile(scans[["width", "height"]].min(axis=1), [0.25, 0.5, 0.75])
    side = facts.sizes[(facts.sizes["domain"] == "scans") & (facts.sizes["quantity"] == "side")]
    assert side[["quarter", "median", "three_quarters"]].to_numpy().tolist() == [expected.tolist()]
    table = mk.notebook.tables.originals_table(facts).set_index("domain")
    assert table.loc["scans", "mode"] == "L 18"
    assert table.loc["scans", "width"].split() == ["40", "/", "40", "/", "40"]


def test_copies_are_found_in_splits_across_splits_and_across_domains(photos: Path) -> None:
    facts = mk.describe(mk.folders(photos, resolution=16, bad="skip"))
    counts = {tuple(row[:4]): tuple(row[4:]) for row in facts.copy_counts.to_numpy().tolist()}
    assert counts == {
        ("pets", "train", "pets", "train"): (1, 0),
        ("pets", "test", "pets", "train"): (1, 0),
        ("pets", "val", "pets", "train"): (0, 1),
        ("scans", "train", "pets", "val"): (0, 1),  # other channels, so not the same pixels
    }
    names = {
        (Path(a).name, Path(b).name) for a, b in facts.copies[["path", "other_path"]].to_numpy()
    }
    assert names == {
        ("twin.bmp", "0.png"),
        ("exact.png", "0.png"),
        ("near.jpg", "1.png"),
        ("0.png", "from_scans.png"),
    }
    text = "\n".join(facts.findings)
    assert (
        "pets: 1 exact and 1 near copies of images in another split (val of train 1, test of "
        "train 1), so results may be too good." in text
    )
    assert "scans: 1 near copy of images of domain pets." in text
    assert "pets: 1 exact copy of images in the same split (train)." in text
    assert "pets: 1 copy has another class than the image before it" in text


def test_a_domain_agrees_with_the_notices_of_its_suite(photos: Path) -> None:
    suite = mk.folders(photos / "pets", resolution=16, bad="skip")
    copies = mk.analysis.find_copies(suite)
    assert any(f"{len(copies.rows)} of 22 images are exact or near" in n for n in suite.notices)


def test_the_same_suite_in_memory_has_the_same_copies_and_no_files(photos: Path) -> None:
    suite = mk.folders(photos, resolution=16, bad="skip")
    kept = mk.describe(suite)
    domains = [
        mk.Domain(
            d.name,
            d.classes,
            *(mk.TensorSplit(tiny.pixels(d.split(s)), d.split(s).labels) for s in SPLITS),
        )
        for d in suite
    ]
    facts = mk.describe(mk.DomainSuite(tuple(domains), "memory"))
    pd.testing.assert_frame_equal(facts.copy_counts, kept.copy_counts)
    pd.testing.assert_frame_equal(
        facts.copies, kept.copies.drop(columns=["path", "other_path"]), check_dtype=False
    )
    assert facts.sizes is facts.modes is facts.originals is None
    assert facts.domains["suggested"].isna().all()
    assert "suggested" not in mk.notebook.tables.facts_table(facts)
    assert mk.notebook.tables.originals_table(facts).empty


def test_a_part_of_a_split_keeps_its_files(photos: Path) -> None:
    suite = mk.folders(photos / "scans", resolution=16)
    (whole,) = suite
    part = mk.Subset(whole.train, torch.tensor([3, 1]))
    few = mk.Domain(whole.name, whole.classes, part, whole.val, whole.test)
    facts, all_facts = mk.describe(mk.DomainSuite((few,))), mk.describe(suite)
    assert facts.originals is not None and all_facts.originals is not None
    assert facts.originals["path"][:2].tolist() == all_facts.originals["path"][[3, 1]].tolist()


def test_images_that_an_earlier_version_decoded_have_no_files(photos: Path, tmp_path: Path) -> None:
    suite = mk.folders(photos / "scans", resolution=16)
    for file in tmp_path.glob("cache/images/*/originals.bin"):
        file.unlink()
    facts = mk.describe(suite)
    assert facts.originals is None and facts.domains["train"].tolist() == [10]


def test_of_a_large_split_some_images_are_compared(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = mk.folders(photos, resolution=16, bad="skip")
    found = mk.analysis.find_copies(suite, most=6)
    assert found.sampled == ("pets/train", "scans/train")
    assert set(mk.analysis.find_copies(suite).sampled) == set()
    every = mk.analysis.find_copies(suite).rows
    assert len(found.rows) <= len(every)
    monkeypatch.setattr(copies_module, "CHUNK", 2)
    pd.testing.assert_frame_equal(mk.analysis.find_copies(suite).rows, every)


def test_classes_that_are_absent_or_rare_are_named() -> None:
    whole = tiny.domain("a", 4, train=36)
    train = mk.Subset(whole.train, torch.tensor([*range(0, 36, 4), *range(0, 36, 4), 1, 2]))
    test = mk.Subset(whole.test, torch.tensor([0, 1]))
    facts = mk.describe(mk.DomainSuite((mk.Domain("a", whole.classes, train, whole.val, test),)))
    text = "\n".join(facts.findings)
    assert "a: 1 of 4 classes has no image in train: class3." in text
    assert "a: 2 of 4 classes have no image in test: class2, class3." in text
    assert "18 times as many training images as the smallest (18 and 1)" in text
    assert "a: 2 classes have fewer than 10 training images." in text


@pytest.mark.parametrize(
    ("side", "stride", "expected", "words"),
    [
        (50, 8, 48, "at least 50 pixels"),
        (64, 8, 64, "at least 64 pixels"),
        (500, 8, 64, "8 x the strides"),
        (20, 8, 32, "most images are smaller"),
        (240, 32, 224, "at least 240"),
        (7.5, 1, 7, "at least 8"),
    ],
)
def test_a_resolution_follows_from_the_files_and_the_strides(
    side: float, stride: int, expected: int, words: str
) -> None:
    size, reason = suggested_resolution(side, stride)
    assert size == expected and words in reason


def test_padded_images_count_by_their_longer_side(photos: Path) -> None:
    def side(how: Any) -> float:
        sizes = mk.describe(mk.folders(photos / "scans", resolution=16, how=how)).sizes
        assert sizes is not None
        return float(sizes.loc[sizes["quantity"] == "side", "most"].iloc[0])

    assert side("pad") == 100 and side("crop") == 40


def test_wrong_calls_are_one_sentence() -> None:
    for call in (lambda: mk.describe(3), lambda: mk.describe(tiny.suite(), "pocket")):  # type: ignore[arg-type]
        with pytest.raises(MpnasError, match="must be a"):
            call()


def test_two_images_are_no_copies_because_both_are_like_one_of_another_domain() -> None:
    blocks = NOISE.integers(40, 200, (3, 1, 8, 8), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
    first, *others = torch.from_numpy(blocks)
    assert 40 < float(first.float().std()) < 90, "so images that differ by 5 are alike"

    def domain(name: str, train: torch.Tensor, val: torch.Tensor) -> mk.Domain:
        rest = torch.stack([train, others[0]]), torch.stack([val, others[1]])
        splits = [mk.TensorSplit(images, torch.tensor([0, 1])) for images in rest]
        return mk.Domain(name, ("x", "y"), splits[0], splits[1], splits[1])

    one = domain("one", first, first + 10)
    two = domain("two", first + 5, others[0])
    counts = mk.analysis.find_copies(mk.DomainSuite((one, two), "linked")).counts
    pairs = {
        (row.domain, row.split, row.other_domain, row.other_split) for row in counts.itertuples()
    }
    assert ("two", "train", "one", "train") in pairs and ("two", "train", "one", "val") in pairs
    assert ("one", "val", "one", "train") not in pairs
