"""`mpnas cache`: it lists, removes what was unused for longest, and nothing that is used."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mpnas_kit as mk
from mpnas_kit import files
from mpnas_kit.cli.cache_command import size_of, size_text
from mpnas_kit.cli.commands import main
from mpnas_kit.domains.cache_content import cache_entries
from mpnas_kit.domains.domain import DomainSuite

DAY = 24 * 3600
Run = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache."""
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache(place: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command, and return what it prints."""

    def run(*options: str) -> str:
        capsys.readouterr()
        assert main(["cache", *options]) == 0
        return capsys.readouterr().out

    return run


def suite(folder: Path, resolution: int, seed: int = 0) -> DomainSuite:
    """A domain of 12 images in the cache, named as its folder."""
    rng = np.random.default_rng(seed)
    for i in range(12):
        place = folder / f"c{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return mk.folders({folder.name: folder}, resolution=resolution)


def unused(place: Path, days: float, pattern: str = "**/*") -> None:
    """Set times of files in the cache back."""
    for file in place.glob(pattern):
        if file.is_file():
            at = time.time() - days * DAY
            os.utime(file, (at, at))


def names() -> list[str]:
    return [entry.what for entry in cache_entries() if entry.state != "list"]


def three(tmp_path: Path, place: Path) -> None:
    """Three entries of 16, 8 and 4 pixels, unused for 9, 5 and 1 days."""
    for name, resolution, days in (("old", 16, 9), ("middle", 8, 5), ("new", 4, 1)):
        suite(tmp_path / name, resolution, seed=resolution)
        unused(place, days, f"images/{max_entry(place)}/*")
    unused(place, 20, "sources/*")
    unused(place, 20, "suites/*")


def max_entry(place: Path) -> str:
    """The entry that was made last."""
    found = [f for f in (place / "images").iterdir() if f.is_dir()]
    return max(found, key=lambda f: (f / "header.json").stat().st_mtime).name


def test_an_empty_cache_says_so(cache: Run, place: Path) -> None:
    assert cache() == f"the cache {place} is empty.\n"
    assert cache("--all") == f"removed 0 B; 0 B are left in {place}.\n"
    assert not place.exists()


def test_entries_are_listed_by_their_last_use(cache: Run, place: Path, tmp_path: Path) -> None:
    three(tmp_path, place)
    lines = cache().splitlines()
    found = [line.strip().split("  ")[0] for line in lines]
    assert found[:5] == [
        "entry",
        "domain 'new'",
        "domain 'middle'",
        "domain 'old'",
        "lists of files",
    ]
    assert "12 16 px RGB" in lines[3] and "216 h" in lines[3]
    size = sum(f.stat().st_size for f in place.rglob("*") if "given" not in str(f) and f.is_file())
    assert lines[-1] == f"total: {size_text(size)} in {place}"
    suite(tmp_path / "old", 16, seed=16)  # a use
    assert names()[0] == "domain 'old'"


def test_the_longest_unused_entries_are_removed_first(
    cache: Run, place: Path, tmp_path: Path
) -> None:
    three(tmp_path, place)
    total = sum(entry.bytes for entry in cache_entries())
    assert cache("--limit", "1GB").startswith("removed 0 B")
    lists = sum(entry.bytes for entry in cache_entries() if entry.state == "list")
    (old,) = (entry.bytes for entry in cache_entries() if entry.what == "domain 'old'")
    said = cache("--limit", f"{total - lists - 1}B")  # all lists, and one entry
    left = size_text(total - lists - old)
    assert said == f"removed {size_text(lists + old)}; {left} are left in {place}.\n"
    assert names() == ["domain 'new'", "domain 'middle'"]
    cache("--limit", "0B")
    assert cache_entries() == [] and list((place / "given").iterdir())


def test_days_count_from_the_last_use(cache: Run, place: Path, tmp_path: Path) -> None:
    three(tmp_path, place)
    cache("--unused-days", "5.5")
    assert names() == ["domain 'new'", "domain 'middle'"]
    cache("--unused-days", "0")
    assert names() == []


READER = """
import sys
import mpnas_kit as mk
import torch
suite = mk.folders({"used": sys.argv[1]}, resolution=16)
print("ready", flush=True)
sys.stdin.readline()
split = suite["used"].train
print(int(split.take(torch.arange(len(split))).sum()), flush=True)
"""


def test_nothing_is_removed_that_another_process_uses(
    cache: Run, place: Path, tmp_path: Path
) -> None:
    train = suite(tmp_path / "used", 16)["used"].train
    total = int(train.take(torch.arange(len(train))).sum())
    del train
    suite(tmp_path / "free", 8, seed=1)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path / "used")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        said = cache("--all")
        assert "domain 'used' (" in said and said.endswith("stays: a process uses it.\n")
        assert names() == ["domain 'used'"]
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert int(reader.stdout.readline()) == total
    cache("--all")
    assert names() == []


def test_others_are_removed_instead_of_one_that_is_used(
    cache: Run, place: Path, tmp_path: Path
) -> None:
    used = suite(tmp_path / "used", 16)
    unused(place, 9)
    suite(tmp_path / "free", 8, seed=1)
    (entry,) = (e for e in cache_entries() if e.what == "domain 'used'")
    said = cache("--limit", f"{entry.bytes}B")
    assert said.endswith("stays: a process uses it.\n") and len(used["used"].train)
    assert [e.folder for e in cache_entries()] == [entry.folder]


def test_files_of_a_person_are_not_taken_for_entries(cache: Run, place: Path) -> None:
    """MPNAS_CACHE may name a folder that has folders of these names already."""
    own = [place / "images/cats/1.jpg", place / "sources/main.c", place / "suites/1.txt"]
    for file in own:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"mine")
    assert cache().endswith("is empty.\n")
    for options in (["--all"], ["--limit", "0B"], ["--unused-days", "0"]):
        assert cache(*options).startswith("removed 0 B")
    assert all(file.read_bytes() == b"mine" for file in own)


def test_nothing_is_removed_that_a_process_prepares(
    cache: Run, place: Path, tmp_path: Path
) -> None:
    suite(tmp_path / "x", 8)
    (entry,) = (e for e in cache_entries() if e.state == "ready")
    part = entry.folder.with_suffix(".part")
    entry.folder.rename(part)
    (part / "header.json").unlink()
    with files.locked(part.with_suffix(".lock")):
        assert "unknown images" in cache("--all") and part.exists()
    assert "(unfinished)" in cache()
    cache("--all")
    assert not part.exists() and cache().endswith("is empty.\n")


def test_a_killed_removal_is_finished(cache: Run, place: Path, tmp_path: Path) -> None:
    suite(tmp_path / "x", 8)
    (entry,) = (e for e in cache_entries() if e.state == "ready")
    gone = entry.folder.rename(entry.folder.with_suffix(".gone"))
    (gone / "index.bin").unlink()
    assert "(removed in part)" in cache()
    fingerprint = suite(tmp_path / "x", 8).fingerprint()  # decoded again beside it
    cache("--limit", "0B")
    assert not gone.exists() and cache().endswith("is empty.\n")
    assert suite(tmp_path / "x", 8).fingerprint() == fingerprint


def test_a_damaged_entry_is_listed_and_removed(cache: Run, place: Path, tmp_path: Path) -> None:
    suite(tmp_path / "x", 8)
    for file in place.glob("images/*/header.json"):
        file.write_text("{")
    assert "unknown images (damaged)" in cache()
    cache("--all")
    assert cache().endswith("is empty.\n")


def test_sizes_are_read_and_written() -> None:
    assert size_of("20GB") == 2e10 and size_of(" 1.5 mb ") == 1.5e6 and size_of("0B") == 0
    texts = {999: "999 B", 1000: "1 kB", 12_321_000_000: "12.3 GB", 5e12: "5 TB"}
    assert [size_text(size) for size in texts] == list(texts.values())
