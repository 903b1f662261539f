"""The pocket suite: its images, no image in two splits, and errors for wrong files."""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mpnas_kit.domains import pocket_suite as module
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.pocket_suite import POCKET_DATA, POCKET_DOMAINS, pocket
from mpnas_kit.errors import MpnasError

# Domain: classes, channels, train, val, test.
SIZES = {
    "fashion": (10, 1, 4000, 1000, 1000),
    "landcover": (11, 3, 2980, 987, 997),
    "scripts": (22, 1, 3512, 1172, 1168),
    "scene": (10, 3, 3600, 1500, 1500),
    "textures": (10, 1, 3000, 968, 968),
    "icons": (22, 1, 1321, 470, 437),
    "watch": (7, 3, 2055, 777, 773),
    "letters": (26, 1, 2599, 624, 1508),
    "digits": (10, 1, 3000, 1000, 1000),
    "emoji": (8, 3, 825, 272, 275),
}
SMALL = {"digits": 300, "icons": 660, "emoji": 400}


@pytest.fixture(scope="module")
def full() -> DomainSuite:
    return pocket(full=True)


@pytest.fixture(scope="module")
def small() -> DomainSuite:
    return pocket()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data of `icons` that a test may damage."""
    for file in ("checksums.json", "icons.json", "icons.png"):
        shutil.copy(POCKET_DATA / file, tmp_path)
    monkeypatch.setattr(module, "POCKET_DATA", tmp_path)
    return tmp_path


def test_holds_the_ten_domains_in_order(full: DomainSuite, small: DomainSuite) -> None:
    assert full.names == small.names == POCKET_DOMAINS == tuple(SIZES)
    assert full.name == "pocket"


@pytest.mark.parametrize("name", POCKET_DOMAINS)
def test_sizes_and_types(full: DomainSuite, name: str) -> None:
    classes, channels, *sizes = SIZES[name]
    domain = full[name]
    assert len(set(domain.classes)) == len(domain.classes) == classes
    for split, size in zip((domain.train, domain.val, domain.test), sizes, strict=True):
        assert split.images.shape == (size, channels, 32, 32)
        assert split.images.dtype == torch.uint8
        assert split.labels.shape == (size,)
        assert split.labels.dtype == torch.int64


@pytest.mark.parametrize("name", POCKET_DOMAINS)
def test_every_class_is_in_every_split(full: DomainSuite, small: DomainSuite, name: str) -> None:
    for suite in (full, small):
        domain = suite[name]
        for split in (domain.train, domain.val, domain.test):
            assert set(split.labels.tolist()) == set(range(len(domain.classes)))


@pytest.mark.parametrize("name", POCKET_DOMAINS)
def test_no_image_occurs_twice(full: DomainSuite, name: str) -> None:
    domain = full[name]
    splits = (domain.train, domain.val, domain.test)
    images = [image.numpy().tobytes() for split in splits for image in split.images]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize("name", POCKET_DOMAINS)
def test_no_tile_is_blank(full: DomainSuite, name: str) -> None:
    for split in (full[name].train, full[name].val, full[name].test):
        flat = split.images.flatten(1)
        assert (flat.amax(1) > flat.amin(1)).all()


def test_default_limits_three_training_splits_only(full: DomainSuite, small: DomainSuite) -> None:
    for name in POCKET_DOMAINS:
        assert len(small[name].train) == SMALL.get(name, SIZES[name][2])
        assert torch.equal(small[name].val.images, full[name].val.images)
        assert torch.equal(small[name].test.images, full[name].test.images)


@pytest.mark.parametrize("name", SMALL)
def test_limited_split_is_a_stratified_part(
    full: DomainSuite, small: DomainSuite, name: str
) -> None:
    all_, some = full[name].train, small[name].train
    known = {
        image.numpy().tobytes(): label
        for image, label in zip(all_.images, all_.labels.tolist(), strict=True)
    }
    found = [known[image.numpy().tobytes()] for image in some.images]
    assert found == some.labels.tolist()
    expected = all_.labels.bincount() * len(some) / len(all_)
    assert (some.labels.bincount() - expected).abs().max() <= 1


def test_loading_again_gives_the_same(small: DomainSuite) -> None:
    assert pocket().fingerprint() == small.fingerprint()


def test_only_mirrorable_domains_flip(small: DomainSuite) -> None:
    assert {d.name for d in small if d.flip} == {"landcover", "textures", "fashion", "emoji"}
    assert {d.name for d in small if d.turn} == {"textures"}


def test_named_domains_come_in_the_order_given() -> None:
    assert pocket(["icons", "digits"]).names == ("icons", "digits")


def test_unknown_domain_names_the_nearest() -> None:
    with pytest.raises(MpnasError, match="unknown pocket domain 'digit'.*'digits'"):
        pocket(["digit"])


@pytest.mark.parametrize("file", ["icons.png", "icons.json"])
def test_damaged_file_is_refused_by_name(copied: Path, file: str) -> None:
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content)
    with pytest.raises(MpnasError, match=f"{file} is damaged"):
        pocket(["icons"])


@pytest.mark.parametrize("file", ["icons.png", "icons.json", "checksums.json"])
def test_missing_file_is_refused_by_name(copied: Path, file: str) -> None:
    (copied / file).unlink()
    with pytest.raises(MpnasError, match=f"{file} is missing"):
        pocket(["icons"])


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\x80"])
def test_damaged_checksums_are_refused(copied: Path, content: bytes) -> None:
    (copied / "checksums.json").write_bytes(content)
    with pytest.raises(MpnasError, match="is damaged"):
        pocket(["icons"])


def test_data_is_small_and_complete() -> None:
    files = [path for path in POCKET_DATA.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 15_000_000
    checksums = json.loads((POCKET_DATA / "checksums.json").read_text("utf-8"))
    assert {path.name for path in files} == {*checksums, "checksums.json", "SOURCES.md"}


@pytest.mark.parametrize("name", POCKET_DOMAINS)
def test_sources_name_every_domain(name: str) -> None:
    text = (POCKET_DATA / "SOURCES.md").read_text("utf-8")
    assert f"| {name} | " in text


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The modules of the builder that need no source packages."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools" / "pocket"))
    yield importlib.import_module("tiles"), importlib.import_module("sheets")
    for name in ("tiles", "sheets"):
        sys.modules.pop(name, None)


def test_builder_splits_whole_groups_the_same_way_each_time(
    tools: tuple[ModuleType, ModuleType],
) -> None:
    tiles, _ = tools
    groups = np.repeat(np.arange(50), 4)
    labels = groups % 5
    splits = tiles.split_groups(labels, groups, tiles.generator("a domain"))
    assert (splits == tiles.split_groups(labels, groups, tiles.generator("a domain"))).all()
    assert np.bincount(splits).tolist() == [120, 40, 40]
    assert all(len(set(splits[groups == group])) == 1 for group in range(50))


def test_builder_gives_each_split_the_same_mix_of_difficulty(
    tools: tuple[ModuleType, ModuleType],
) -> None:
    tiles, _ = tools
    difficulty = np.random.default_rng(0).permutation(45).tolist()
    splits = tiles.split_in_blocks(difficulty, tiles.generator("a domain"))
    assert (splits == tiles.split_in_blocks(difficulty, tiles.generator("a domain"))).all()
    for block in range(5):
        own = splits[[value // 9 == block for value in difficulty]]
        assert np.bincount(own).tolist() == [5, 2, 2]
    assert len({tuple(splits[np.argsort(difficulty)][b * 9 : b * 9 + 9]) for b in range(5)}) > 1


def test_builder_drops_duplicates_over_all_splits(tools: tuple[ModuleType, ModuleType]) -> None:
    tiles, _ = tools
    images = [np.full((32, 32), value) for value in (1, 2, 2, 3, 3, 4)]
    made = tiles.make_tiles("ab", images, [0, 0, 0, 0, 1, 1], [0, 2, 0, 0, 1, 2])
    # 2 occurs twice with one label: the training image stays. 3 has two labels: both go.
    assert tiles.distinct(made).tolist() == [0, 2, 5]


@pytest.mark.parametrize("shape", [(70, 32, 32), (70, 32, 32, 3)])
def test_builder_reads_back_what_it_wrote(
    tools: tuple[ModuleType, ModuleType], shape: tuple[int, ...]
) -> None:
    tiles, sheets = tools
    images = np.random.default_rng(0).integers(0, 256, shape)
    made = tiles.make_tiles("a", images, [0] * 70, [0] * 70)
    assert (sheets.as_read(made, None).images == images).all()
    lossy = sheets.as_read(made, 85).images
    swapped = sheets.as_read(made.take(np.arange(70)[::-1]), 85).images
    assert (lossy == swapped[::-1]).all()  # no tile bleeds into its neighbour
