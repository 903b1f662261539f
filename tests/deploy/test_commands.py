"""`mpnas predict` and `mpnas evaluate`: what they print and write, and what they refuse."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

import mpnas_kit as mk
from mpnas_kit.cli.commands import main


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    assert main([str(a) for a in arguments]) == status
    said = capsys.readouterr()
    return said.err if status else said.out


def test_predict_prints_a_table_and_writes_it(
    moved: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = photos[:3]
    expected = mk.load(moved).predict(some, domain="b", top=2)
    out = printed(capsys, "predict", "--run", moved, "--domain", "b", *some)
    lines = out.splitlines()
    assert lines[0].split() == ["image", "label", "probability"] and len(lines) == 4
    for line, photo, label in zip(lines[1:], some, expected.labels, strict=True):
        assert str(photo) in line and label in line and line.endswith("%")
    file = tmp_path / "found.csv"
    command = ["predict", "--run", moved, "--domain", "b", "--top", 2, "--csv", file]
    printed(capsys, *command, *some)
    pd.testing.assert_frame_equal(pd.read_csv(file), expected.table, check_dtype=False)
    content = json.loads(printed(capsys, *command[:-2], "--json", *some))
    assert content["domain"] == "b" and len(content["images"]) == 3
    assert [image["classes"][0]["label"] for image in content["images"]] == list(expected.labels)
    assert all(len(image["classes"]) == 2 for image in content["images"])


def test_predict_chooses_domains(
    moved: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = mk.load(moved).predict(photos, domain="auto")
    command = ["predict", "--run", moved, "--domain", "auto"]
    lines = printed(capsys, *command, *photos).splitlines()
    assert lines[0].split() == ["image", "domain", "label", "probability"]
    assert len(lines) == len(photos) + 1
    content = json.loads(printed(capsys, *command, "--json", *photos))
    assert content["domain"] == "auto"
    assert [image["domain"] for image in content["images"]] == list(expected.domains)
    file = tmp_path / "found.csv"
    printed(capsys, *command, "--top", 2, "--csv", file, *photos)
    assert len(pd.read_csv(file)) == 2 * len(photos)


def test_predict_can_leave_out_what_is_no_image(
    moved: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes(photos[0].read_bytes()[:40])
    bad = [tmp_path / "cut.png", tmp_path / "none.png"]
    command = ["predict", "--run", moved, "--domain", "b", "--bad", "skip"]
    assert main([*map(str, command), *map(str, [bad[0], *photos[:2], bad[1]])]) == 0
    said = capsys.readouterr()
    assert said.out == printed(capsys, *command, *photos[:2])
    lines = said.err.splitlines()
    assert all(str(file) in line for file, line in zip(bad, lines, strict=True))
    assert "no file is a usable image" in printed(capsys, *command, *bad, status=2)


def test_predict_refuses_in_one_sentence(
    moved: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, word in [
        (["--domain", "bb", photos[0]], "did you mean 'b'"),
        ([photos[0]], "several domains"),
        (["--domain", "b", photos[0], "nowhere.png"], "nowhere.png"),
        (["--domain", "b", __file__], "no image"),
        (["--domain", "b", "--device", "gpu", photos[0]], "gpu"),
        (["--domain", "b", "--csv", tmp_path, photos[0]], "folder"),
    ]:
        said = printed(capsys, "predict", "--run", moved, *arguments, status=2)
        assert word in said and len(said.splitlines()) == 1, said


def test_a_run_that_cannot_be_used_is_named(
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for run in ("a" * 300, "file", "loop", "pipe", "/dev/null", "file/run", "~no_such_user", " "):
        for command in (["predict", photos[0]], ["export", "--out", "x.onnx"]):
            said = printed(capsys, *command, "--run", run, status=2)
            assert len(said.splitlines()) == 1 and len(said) < 700, said
            assert run.strip()[:80] in said
    assert not (tmp_path / "x.onnx").exists()


def test_evaluate_prints_accuracies_and_what_has_no_partner(
    made: mk.Run, moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--run", moved, "--data", "tiny:suite(count=2)"]
    out = printed(capsys, *command, "--csv", tmp_path / "recalls.csv")
    accuracy = made.train_result().accuracy("test")
    for domain in ("a", "b"):
        assert any(
            line.split()[:3] == [domain, "12", f"{accuracy[domain]:.1%}"]
            for line in out.splitlines()
        )
    assert "1 domain of the model is not in the data: c." in out
    assert len(pd.read_csv(tmp_path / "recalls.csv")) == 3 + 4
    content = json.loads(printed(capsys, *command, "--json", "--split", "val", "--domains", "b"))
    assert content["split"] == "val" and [d["domain"] for d in content["domains"]] == ["b"]
    assert len(content["classes"]) == 4 and len(content["unmatched"]) == 1
    assert "splits" in printed(capsys, *command, "--split", "splits", status=2)
