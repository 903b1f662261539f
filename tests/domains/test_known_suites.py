"""Known suites: a suite from the cache lists and reads no image, and follows every change."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import zoo  # type: ignore[import-not-found]
from test_own_images import picture, suite_toml, write  # type: ignore[import-not-found]

import mpnas_kit as mk
from mpnas_kit import files
from mpnas_kit.domains import cached_images, cached_suite, known_suites, own_images, suite_files
from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.domain import SPLITS, DomainSuite
from mpnas_kit.domains.split import count_pixels, pixel_histogram
from mpnas_kit.errors import MpnasError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MPNAS_CACHE", str(place))
    return place


def folders(root: Path) -> DomainSuite:
    return mk.folders(root / "photos", resolution=8, bad="skip")


def named(root: Path) -> DomainSuite:
    paths = {name: root / "photos" / name for name in ("pets", "signs")}
    return mk.folders(paths, resolution=8, bad="skip")


def table(root: Path) -> DomainSuite:
    return mk.table(root / "photos" / "list.csv", resolution=8, bad="skip")


def suite_file(root: Path) -> DomainSuite:
    return mk.suite_file(root / "photos" / "suite.toml")


READERS = [folders, named, table, suite_file]
Reader = Callable[[Path], DomainSuite]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two domains: one without splits, with a link, a duplicate and a bad file."""
    rows = write(tmp_path / "photos", splits=False)
    photos = tmp_path / "photos"
    picture(500).save(tmp_path / "linked.png")
    (photos / "pets/cat/link.png").symlink_to(tmp_path / "linked.png")
    (photos / "pets/cat/copy.png").write_bytes((photos / "pets/dog/train 0.png").read_bytes())
    (photos / "pets/cat/bad.png").write_bytes(b"")
    for name in ("link", "copy", "bad"):
        rows.append({"path": f"pets/cat/{name}.png", "label": "cat", "domain": "pets"})
    pd.DataFrame(rows).to_csv(photos / "list.csv", index=False)
    text = suite_toml(photos).read_text()
    (photos / "suite.toml").write_text(f'bad = "skip"\n{text}')
    return tmp_path


def never(*_: object, **__: object) -> Any:
    raise AssertionError("this was to come from the cache")


@pytest.fixture
def only_known(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing may be listed, decoded or hashed."""
    for module, name in (
        (own_images, "list_folders"),
        (own_images, "list_domain"),
        (own_images, "read_manifest"),
        (suite_files, "list_domain"),
        (suite_files, "read_manifest"),
        (cached_suite, "prepare"),
    ):
        monkeypatch.setattr(module, name, never)
    return monkeypatch


def content(suite: DomainSuite) -> Any:
    """All that a suite holds."""
    every = [(d, s, d.split(s)) for d in suite for s in SPLITS]
    pixels = [split.take(torch.arange(len(split))).numpy().tobytes() for _, _, split in every]
    about = [(d.name, d.classes, d.flip, d.turn, d.how, s, x.labels.tolist()) for d, s, x in every]
    return (
        pixels,
        about,
        suite.fingerprint(),
        suite.name,
        suite.source,
        suite.notices,
        suite.left_out,
    )


@pytest.mark.parametrize("reader", READERS)
def test_a_known_suite_is_the_same_and_lists_nothing(
    reader: Reader, root: Path, request: pytest.FixtureRequest
) -> None:
    first = content(reader(root))
    assert any("duplicates" in notice for notice in first[5]) and len(first[6]) == 1
    request.getfixturevalue("only_known")
    known = reader(root)
    # known fingerprints are those of the images
    for split in (domain.split(name) for domain in known for name in SPLITS):
        again = cached_images.CachedSplit(split._images, split._positions, split.labels.numpy())  # type: ignore[attr-defined]
        assert again.fingerprint() == split.fingerprint()
    assert content(known) == first


def test_images_that_were_decoded_in_another_order_keep_theirs(
    root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Rows of a file are decoded in the order of the file, whatever their order in the suite."""
    usual = folders(root)
    mixed = lambda sources: np.random.default_rng(0).permutation(len(sources))  # noqa: E731
    monkeypatch.setattr(cached_suite, "reading_order", mixed)
    other = mk.folders(root / "photos", resolution=9, bad="skip")
    request.getfixturevalue("only_known")
    known = mk.folders(root / "photos", resolution=9, bad="skip")
    assert content(known) == content(other)
    for domain in usual:
        assert known[domain.name].train.labels.tolist() == domain.train.labels.tolist()


def test_all_domains_by_name_are_the_same_known_suite(
    root: Path, request: pytest.FixtureRequest
) -> None:
    """A run folder names its domains. Later commands on it list nothing either."""
    photos = root / "photos"
    first = [content(reader(root)) for reader in (folders, table)]
    request.getfixturevalue("only_known")
    names = ["pets", "signs"]
    assert content(mk.folders(photos, names, resolution=8, bad="skip")) == first[0]
    assert content(mk.table(photos / "list.csv", names, resolution=8, bad="skip")) == first[1]


def later(path: Path) -> None:
    """Set the time of a file as if it was written again."""
    at = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(at, at))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "changed": lambda root: picture(900).save(root / "photos/pets/dog/train 1.png"),
    "touched": lambda root: later(root / "photos/pets/dog/train 1.png"),
    "behind a link": lambda root: picture(901).save(root / "linked.png"),
    "removed": lambda root: (root / "photos/pets/dog/train 1.png").unlink(),
    "mended": lambda root: picture(902).save(root / "photos/pets/cat/bad.png"),
    "swapped": lambda root: swap(root / "photos/pets/dog/train 1.png", root / "linked.png"),
}
MORE: dict[str, Callable[[Path], Any]] = {
    "added": lambda root: picture(903).save(root / "photos/pets/dog/new.png"),
    "renamed": lambda root: (root / "photos/pets/dog/train 1.png").rename(
        root / "photos/pets/dog/zzz.png"
    ),
    "class renamed": lambda root: (root / "photos/pets/dog").rename(root / "photos/pets/wolf"),
    "new class": lambda root: (root / "photos/pets/empty").mkdir(),
    "moved": lambda root: (root / "photos/pets/dog/train 1.png").rename(
        root / "photos/pets/cat/train 1 too.png"
    ),
}
LISTS = {
    "row removed": lambda root: cut(root / "photos/list.csv"),
    "suite file": lambda root: suite_toml(root / "photos"),
}


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def cut(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2] + lines[3:]))


@pytest.mark.parametrize(
    ("reader", "change"),
    [
        *((reader, change) for reader in READERS for change in CHANGES),
        *((reader, change) for reader in (folders, named, suite_file) for change in MORE),
        (table, "row removed"),
        (suite_file, "suite file"),
    ],
)
def test_every_change_is_noticed(
    reader: Reader, change: str, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(root)
    {**CHANGES, **MORE, **LISTS}[change](root)
    if change == "suite file":
        with pytest.raises(MpnasError, match="cannot be read"):
            reader(root)
        return
    found = content(reader(root))
    monkeypatch.setenv("MPNAS_CACHE", str(cache / "new"))
    assert found == content(reader(root)), "as if there was no cache"


def test_what_does_not_count_changes_nothing(root: Path, request: pytest.FixtureRequest) -> None:
    first = content(folders(root))
    (root / "photos/pets/.hidden").write_bytes(b"x")
    (root / "photos/pets/cat/Thumbs.db").write_bytes(b"x")
    (root / "photos/.git").mkdir()
    request.getfixturevalue("only_known")
    assert content(folders(root)) == first


def test_options_and_chosen_domains_are_other_suites(root: Path) -> None:
    photos = root / "photos"
    options: list[dict[str, Any]] = [{}, {"seed": 1}, {"shares": (0.5, 0.25, 0.25)}, {"flip": True}]
    options += [{"turn": True}]
    options += [{"domains": ["pets"]}, {"domains": ["signs", "pets"]}]
    for _ in range(2):
        found = [mk.folders(photos, resolution=8, bad="skip", **each) for each in options]
        assert len({suite.fingerprint() for suite in found}) == len(options)
        assert found[-1].names == ("signs", "pets")


@pytest.mark.parametrize("damage", [b"", b"\0", bytes(1000), None])
def test_a_damaged_list_is_made_again(damage: bytes | None, root: Path, cache: Path) -> None:
    first = content(folders(root))
    for file in cache.glob("suites/*"):
        file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    assert content(folders(root)) == first


def test_a_list_of_another_form_is_made_again(root: Path, cache: Path) -> None:
    first = content(folders(root))
    for file in cache.glob("suites/*"):
        file.write_bytes(files.with_checksum(b"\x81\xa4name\x01"))
    assert content(folders(root)) == first


def test_images_that_were_removed_from_the_cache_are_decoded_again(root: Path, cache: Path) -> None:
    first = content(folders(root))
    files.remove_folder(cache / "images")
    assert content(folders(root)) == first


def test_a_link_to_a_folder_above_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    origin = known_suites.Origin("x", folders=(str(tmp_path),))
    assert known_suites.census(origin) == known_suites.census(origin)


# Counts of pixel values ---------------------------------------------------------------------------


def test_pixels_are_counted_once_and_give_the_same_normalisation(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = folders(root)["pets"]
    train = domain.train
    images, labels = train.take(torch.arange(len(train))), train.labels
    plain = mk.Domain("pets", domain.classes, (images, labels), domain.val, domain.test)
    for _ in range(2):
        again = folders(root)["pets"]
        one, other = Standard.of(again), Standard.of(plain)
        assert torch.equal(one.mean, other.mean) and torch.equal(one.deviation, other.deviation)
        monkeypatch.setattr(cached_images, "count_pixels", never)
    assert not torch.equal(pixel_histogram(plain.train), count_pixels(domain.val))
    monkeypatch.undo()
    monkeypatch.setenv("MPNAS_CACHE", str(cache))
    (file,) = cache.glob("images/*/counts-*.bin")
    file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(pixel_histogram(folders(root)["pets"].train), pixel_histogram(plain.train))


@pytest.mark.parametrize(
    "counts", [3, torch.zeros(3, 256), torch.zeros(3, 256, dtype=torch.int64), torch.zeros(1, 2)]
)
def test_wrong_counts_of_a_split_are_refused(counts: Any) -> None:
    split = mk.TensorSplit(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) % 2)
    object.__setattr__(split, "pixel_counts", lambda: counts)
    with pytest.raises(MpnasError, match=r"pixel_counts\(\) of the split .* int64 \(3, 256\)"):
        pixel_histogram(split)


def test_zoo_is_read_the_same_from_the_cache(tmp_path: Path) -> None:
    for i, (name, (make, _, _)) in enumerate(zoo.READ.items()):
        place = tmp_path / "photos" / f"c{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(make())
    first = content(mk.folders({"zoo": tmp_path / "photos"}, resolution=8))
    assert content(mk.folders({"zoo": tmp_path / "photos"}, resolution=8)) == first
