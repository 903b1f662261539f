"""`mpnas data`: what it prints and writes about images, and what it leaves alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpnas_kit.cli import data_command
from mpnas_kit.cli.commands import main

TINY = ["--data", "tiny:suite", "--space", "tiny:space", "--no-time"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one domain with two classes, two files that are no images, and a copy."""
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label, count in (("köter", 60), ("猫", 9)):
        folder = tmp_path / "pets" / label
        folder.mkdir(parents=True)
        for i in range(count):
            blobs = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
            blobs.resize((50, 40)).save(folder / f"{i}.png")
    Image.open(tmp_path / "pets" / "猫" / "0.png").save(tmp_path / "pets" / "猫" / "0 copy.png")
    for name in ("a.png", "b.png"):
        (tmp_path / "pets" / "猫" / name).write_bytes(b"text")
    return tmp_path / "pets"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["data", *arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_it_says_what_came_in(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "--data", "pets", "--resolution", "32", "--no-time")
    rows = [line.split() for line in out.splitlines()]
    assert ["pets", "2", "48", "11", "11", "6", "to", "42", "1", "32", "40"] in rows
    assert "pets: suggested resolution 40: three quarters of the images have at least 40" in out
    assert "猫/a.png: it is no image" in out and "2 files are left out" in out
    assert "1 exact copy of images in the same split (train)" in out
    assert "7 times as many training images as the smallest (42 and 6)" in out
    assert "expected to take" not in out


def test_one_that_asks_for_it_is_stopped_by_bad_files(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "--data", "pets", "--bad", "stop", "--no-time"]) == 2
    assert "2 of 72 images cannot be read" in capsys.readouterr().err


def test_pictures_and_tables_are_written(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, "--data", "pets", "--no-time", "--out", "look")
    assert out.endswith("pictures and tables: look\n")
    names = {file.name for file in (tmp_path / "look").iterdir()}
    pictures = {"splits", "classes-pets", "samples-pets", "sizes", "copies"}
    tables = {"domains", "classes", "sizes", "files", "copies", "unreadable"}
    assert names == {f"{n}.png" for n in pictures} | {f"{n}.csv" for n in tables}
    for name in pictures:
        with Image.open(tmp_path / "look" / f"{name}.png") as image:
            assert min(image.size) > 100
    files = pd.read_csv(tmp_path / "look" / "files.csv")
    assert len(files) == 70 and set(files["width"]) == {50}
    assert not (tmp_path / "runs").exists()


def test_pictures_and_tables_replace_only_those_of_an_earlier_call(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "domains.csv"
    rows = [f"{f},{f.parent.name}" for f in photos.rglob("*.png") if len(f.stem) > 1]
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    before, there = table.read_bytes(), set(tmp_path.iterdir())
    assert main(["data", "--data", "domains.csv", "--no-time", "--out", "."]) == 2
    said = capsys.readouterr().err
    assert "domains.csv was not written by mpnas data, and would be replaced" in said
    assert table.read_bytes() == before and set(tmp_path.iterdir()) - there <= {tmp_path / "cache"}
    for _ in range(2):
        printed(capsys, "--data", "pets", "--no-time", "--out", "look")
    picture = tmp_path / "look" / "splits.png"
    Image.new("L", (4, 4)).save(picture)
    before = picture.read_bytes()
    assert main(["data", "--data", "pets", "--no-time", "--out", "look"]) == 2
    assert "splits.png was not written by" in capsys.readouterr().err
    assert picture.read_bytes() == before


@pytest.mark.parametrize("out", ["pets", "pets/look", "pets/猫"])
@pytest.mark.parametrize("data", ["pets", "mine=pets"])
def test_pictures_do_not_become_images(
    out: str, data: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(photos.rglob("*"))
    assert main(["data", "--data", data, "--no-time", "--out", out]) == 2
    assert "so the pictures would become images" in capsys.readouterr().err
    assert sorted(photos.rglob("*")) == before


def test_json_has_the_same_facts(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "--data", "pets", "--no-time", "--json"))
    assert found["time"] is None and found["domains"][0]["suggested"] == 40
    assert found["unreadable"][0]["domain"] == "pets"
    assert {row["label"] for row in found["classes"]} == {"köter", "猫"}
    assert found["copies"][0]["path"].endswith("0.png")


def test_a_suite_that_is_not_from_files_has_no_facts_about_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, *TINY, "--out", str(tmp_path / "look"))
    assert "Files." not in out and "suggested" not in out
    names = {file.name for file in (tmp_path / "look").iterdir()}
    assert "sizes.png" not in names and "files.csv" not in names
    assert json.loads(printed(capsys, *TINY, "--json"))["sizes"] is None
    assert "pocket" in printed(capsys, "--domains", "digits,icons", "--no-time")


def test_the_expected_time_is_measured_and_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    real = data_command.expected_time

    def few(suite: Any, space: Any) -> Any:
        asked.append(suite.names)
        return real(suite, space, measured=8)

    monkeypatch.setattr(data_command, "expected_time", few)
    out = printed(capsys, *TINY[:-1])
    assert asked == [("a", "b")] and "This is an estimate from 8" in " ".join(out.split())
    found = json.loads(printed(capsys, *TINY[:-1], "--json"))
    assert [row["stage"] for row in found["time"]["stages"]] == ["search", "train"]


def test_many_bad_files_are_counted(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_command, "LISTED", 1)
    out = printed(capsys, "--data", "pets", "--no-time")
    assert "猫/a.png" in out and "and 1 more" in out and "猫/b.png" not in out
