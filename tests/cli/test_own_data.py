"""`--data` with images of one's own: a run is searched, trained and continued on them."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpnas_kit import parts
from mpnas_kit.cli.commands import main
from mpnas_kit.notebook.lab import explore_notebook
from mpnas_kit.runs.run import Run

TINY = ["--batch-size", "4", "--threads", "1"]
STEPS = ["--steps", "2", "--reward-batch", "4", *TINY, "--space", "tiny:space"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two domains, which is in the working folder."""
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for domain, mode in (("pets", "RGB"), ("signs", "L")):
        for label in ("one", "two", "three"):
            folder = tmp_path / "photos" / domain / label
            folder.mkdir(parents=True)
            for i in range(20):
                blobs = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
                size = tuple(rng.integers(16, 50, 2).tolist())
                blobs.resize(size).convert(mode).save(folder / f"{i}.png")
    return tmp_path / "photos"


def test_a_folder_goes_through_a_run(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", "photos", "--resolution", "16"]
    assert main(["search", "--run", "run", *data, *STEPS]) == 0, capsys.readouterr().err
    about = json.loads(Path("run/run.json").read_text())
    assert about["data"] == f"folders(path='{photos}', resolution=16)"
    assert [(d["name"], d["channels"], d["train"]) for d in about["domains"]] == [
        ("pets", 3, 42),
        ("signs", 1, 42),
    ]
    assert main(["train", "--run", "run", "--steps", "2", *TINY]) == 0, "given in this process"
    assert main(["compare", "--run", "run"]) == 0 and main(["check", "--run", "run"]) == 0


def test_a_new_process_finds_the_images_that_this_person_gave(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["search", "--run", "run", "--data", "photos", "--resolution", "16", *STEPS]) == 0
    monkeypatch.setattr(parts, "_GIVEN", {})  # as in a new process
    assert main(["train", "--run", "run", "--steps", "2", *TINY]) == 0


def test_another_person_gives_the_images_again(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--data", "photos", "--resolution", "16"]
    assert main(["search", "--run", "run", *data, *STEPS]) == 0
    monkeypatch.setattr(parts, "_GIVEN", {})
    monkeypatch.setenv("MPNAS_CACHE", "other_cache")
    train = ["train", "--run", "run", "--steps", "2", *TINY]
    capsys.readouterr()
    assert main(train) == 2
    said = capsys.readouterr().err
    assert "give it again (such as --data), or trust the run" in said and said.count("\n") == 1
    assert not Path("run/train").exists()
    assert main([*train, "--data", "photos"]) == 2, "another resolution is another suite"
    assert "was begun with data folders(" in capsys.readouterr().err
    assert Run.read("run", trust=True).suite.names == ("pets", "signs")
    assert main([*train, *data]) == 0


def test_other_images_are_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", "photos", "--resolution", "16"]
    assert main(["search", "--run", "run", *data, *STEPS]) == 0
    Image.new("RGB", (30, 30), "red").save(photos / "pets" / "one" / "0.png")
    assert main(["train", "--run", "run", "--steps", "2", *TINY, *data]) == 2
    assert "was begun with other images" in capsys.readouterr().err


def test_bad_files_stop_a_search_or_are_named(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "pets" / "one" / "cut.jpg").write_bytes(b"")
    data = ["--data", f"animals={photos}/pets", "--data", f"s={photos}/signs", "--resolution", "16"]
    search = ["search", "--run", "run", *data, *STEPS]
    assert main(search) == 2
    said = capsys.readouterr().err
    assert said == (
        "mpnas: 1 of 121 images cannot be read: animals: one/cut.jpg: it is empty. Mend or remove "
        "them, or leave them out (--bad skip, bad='skip').\n"
    )
    assert not Path("run").exists()
    assert main([*search, "--bad", "skip"]) == 0
    said = capsys.readouterr().err
    assert "mpnas: 1 image is left out: animals: one/cut.jpg: it is empty.\n" in said
    assert Run("run").domains == ("animals", "s")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resolution", "32"], "--resolution is for images of your own: expected --data too"),
        (["--bad", "skip"], "--bad is for images of your own: expected --data too"),
        (["--data", "pocket", "--resolution", "32"], "resolution cannot be used with"),
        (["--data", "photos", "--resolution", "0"], "--resolution must be a whole number from 1"),
        (["--data", "photos", "--bad", "ask"], "--bad must be 'stop' or 'skip', not 'ask'"),
        (["--data", "photos", "--data", "photos"], "--data photos is given twice"),
        (["--data", "photos", "--data", "more"], "data is given 2 times: expected name=path"),
        (["--data", "none.csv"], "no such file"),
        (["--data", "./none"], "there is no folder"),
        (["--data", "photos", "--domains", "pest"], "unknown domain 'pest'"),
    ],
)
def test_wrong_data_is_refused_in_one_sentence(
    arguments: list[str], words: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--run", "run", *arguments, *STEPS]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not Path("run").exists()


def test_the_notebook_of_explorers_gets_the_images(photos: Path) -> None:
    run = Run("run", data=str(photos / "pets"), space="tiny:space")
    cells = json.loads(explore_notebook(run).read_text(encoding="utf-8"))["cells"]
    (given,) = [c["source"] for c in cells if "injected-parameters" in c["metadata"]["tags"]]
    assert f"data = \"folders(path='{photos}/pets', resolution=64)\"" in "".join(given)


def test_processes_of_a_sweep_and_of_torchrun_get_the_images(photos: Path) -> None:
    run = Run("run", data=str(photos / "pets"), space="tiny:space")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).suite.fingerprint())"
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(run),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
    )
    assert done.stdout.decode().split()[-1] == run.suite.fingerprint(), done.stderr.decode()
