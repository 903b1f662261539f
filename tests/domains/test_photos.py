"""The folder of photo-like images that other tests use: its layout, and that nothing leaks."""

from pathlib import Path

import photos
import pytest

import mpnas_kit as mk

FEW = {"train": 4, "val": 2, "test": 2}


def test_folder_is_read_as_given_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    suite = mk.folders(photos.write(tmp_path, FEW), resolution=photos.SIDE)
    assert {domain.name for domain in suite} == set(photos.DOMAINS)
    for domain in suite:
        classes = photos.DOMAINS[domain.name]
        assert set(domain.classes) == set(classes)
        sizes = {part: len(getattr(domain, part)) for part in FEW}
        assert sizes == {part: count * len(classes) for part, count in FEW.items()}
        assert domain.channels == (1 if domain.name in photos.GREY else 3)
    assert not suite.notices  # no duplicates, no empty classes, no file that is left out


def test_same_seed_gives_same_files(tmp_path: Path) -> None:
    first, again, other = (
        {
            file.relative_to(folder): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        for folder in (
            photos.write(tmp_path / str(at), {"train": 1}, seed)
            for at, seed in enumerate((0, 0, 1))
        )
    )
    assert first == again
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())
