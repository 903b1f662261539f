"""`--data` with data sets of Hugging Face and the Decathlon: a run finds them again, or refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import hub_sets as sets
import pytest
import small_decathlon as small

from mpnas_kit import parts
from mpnas_kit.cli import data_command
from mpnas_kit.cli.commands import main
from mpnas_kit.errors import MpnasError

TINY = ["--batch-size", "4", "--threads", "1"]
SEARCH = ["--steps", "2", "--reward-batch", "4", *TINY, "--space", "tiny:space"]
USED = {"aircraft": small.CLASSES["aircraft"], "vgg-flowers": small.CLASSES["vgg-flowers"]}


def decathlon(root: Path) -> Path:
    return small.write(root, USED)


def data_sets(root: Path) -> Path:
    """The train images of the same domains as data sets."""
    folder = small.write(root / "source", USED)
    for domain in USED:
        content = json.loads((folder / f"annotations/{domain}_train.json").read_text())
        names = {c["id"]: c["name"] for c in content["categories"]}
        labels = {a["image_id"]: names[a["category_id"]] for a in content["annotations"]}
        rows = [(folder / i["file_name"], labels[i["id"]]) for i in content["images"]]
        sets.save_parquet(sets.data_set(rows), root / "sets" / domain, "train", 2)
    return root / "sets"


@pytest.mark.parametrize(
    ("make", "reader"), [(decathlon, "decathlon"), (data_sets, "hub")], ids=["decathlon", "hub"]
)
def test_a_run_finds_its_images_again_and_those_of_a_stranger_are_not_read(
    make: Callable[[Path], Path],
    reader: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    data = ["--data", str(make(tmp_path).relative_to(tmp_path)), "--resolution", "16"]
    assert main(["search", "--run", "run", *data, *SEARCH]) == 0, capsys.readouterr().err
    about = json.loads(Path("run/run.json").read_text())
    assert about["data"] == f"{reader}(path='{tmp_path / data[1]}', resolution=16)"
    assert [d["name"] for d in about["domains"]] == list(USED)
    train = ["train", "--run", "run", "--steps", "2", *TINY]
    with monkeypatch.context() as stranger:
        stranger.setattr(parts, "_GIVEN", {})
        stranger.setenv("MPNAS_CACHE", "other_cache")
        capsys.readouterr()
        assert main(train) == 2
        assert "give it again (such as --data), or trust the run" in capsys.readouterr().err
        assert not Path("run/train").exists()
    monkeypatch.setattr(parts, "_GIVEN", {})  # as in a new process
    assert main(train) == 0
    assert main(["evaluate", "--run", "run", *data[:2]]) == 0
    photo = next(tmp_path.glob("**/aircraft/test/000001.jpg"))
    assert main(["predict", "--run", "run", "--domain", "aircraft", str(photo)]) == 0


def test_notices_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    data = ["--data", str(decathlon(tmp_path)), "--resolution", "16"]
    assert main(["search", "--run", str(tmp_path / "run"), *data, *SEARCH]) == 0
    said = capsys.readouterr().err
    assert "mpnas: Decathlon: the official val split is the test split here, and val is" in said


@pytest.mark.parametrize(
    ("make", "reader"), [(decathlon, "decathlon"), (data_sets, "hub")], ids=["decathlon", "hub"]
)
def test_mpnas_data_leaves_out_what_cannot_be_read(
    make: Callable[[Path], Path], reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(text: str, names: object) -> None:
        asked.append(text)
        raise MpnasError("asked")

    monkeypatch.setattr(data_command, "suite_from_text", ask)
    command = ["data", "--data", str(make(tmp_path))]
    assert main(command) == main([*command, "--bad", "stop"]) == 2
    assert [text.startswith(f"{reader}(path=") for text in asked] == [True, True]
    assert ["bad='skip'" in text for text in asked] == [True, False]
