"""`mpnas submit`: every official test image once, with the organisers' numbers, or no file."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_decathlon as small
import tiny

import mpnas_kit as mk
from mpnas_kit.cli.commands import main
from mpnas_kit.domains.preparation import to_stderr
from mpnas_kit.errors import MpnasError

USED = ["vgg-flowers", "aircraft"]  # not in the order of the organisers


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp("decathlon"))


@pytest.fixture(scope="module")
def run(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two domains of the Decathlon."""
    place = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPNAS_CACHE", str(place / "cache"))
        suite = mk.decathlon(written, USED, resolution=tiny.SIZE)
        space = tiny.space()
        made = mk.Run(place / "run", domains=suite, space=space)
        made.train(tiny.train_config(steps=40), paths=tiny.paths(space, tiny_archs(), USED))
    return made.folder


def tiny_archs() -> list[str]:
    return ["k5e2se k5e3", "k5e2se k3e1"]


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "decathlon-1.0"))


def content(file: Path) -> list[dict[str, int]]:
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["results.json"] and archive.testzip() is None
        found: list[dict[str, int]] = json.loads(archive.read("results.json"))
    return found


def test_every_test_image_has_the_number_of_its_predicted_class(
    run: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.zip"
    command = ["submit", "--run", str(run), "--data", str(written), "--out", str(out)]
    assert main([*command, "--batch-size", "2"]) == 0
    said = capsys.readouterr().out
    assert "results.json has no predictions for cifar100, daimlerpedcls, dtd, gtsrb" in said
    assert "domain 'aircraft' has 6 test images in this folder, but 3,333 of the org" in said
    answers = content(out)
    expected = {10_200_000 + n: "aircraft" for n in range(1, 7)}
    expected |= {100_200_000 + n: "vgg-flowers" for n in range(1, 5)}
    assert [answer["image_id"] for answer in answers] == list(expected)
    model = mk.load(run)
    for answer in answers:
        assert list(answer) == ["image_id", "category_id"]
        domain = expected[answer["image_id"]]
        names = sorted(small.CLASSES[domain])  # category 1, 2, ... in the order of text
        file = written / f"data/{domain}/test/{answer['image_id'] % 100_000:06d}.jpg"
        (label,) = model.predict(file, domain=domain).labels
        first = 10_000_000 if domain == "aircraft" else 100_000_000
        assert answer["category_id"] == first + 1 + names.index(label)
    kinds = [answer["category_id"] % 100 for answer in answers]
    assert kinds == [1, 2, 3, 1, 2, 3, 1, 2, 1, 2], "bands are easy to tell apart"
    before = out.read_bytes()
    assert main(command) == 0 and out.read_bytes() == before, "the same bytes each time"


def test_classes_are_matched_by_name_not_by_number(run: Path, folder: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        small.change(
            folder / "annotations" / f"aircraft_{split}.json",
            categories=lambda x: [{**c, "id": 10_000_900 - c["id"] % 100} for c in x],
        )
    model = mk.load(run)
    done = mk.submit(model, folder, tmp_path / "x.zip", domains=["aircraft"], tell=to_stderr)
    assert [answer["category_id"] for answer in content(done.path)] == [
        *(10_000_899, 10_000_898, 10_000_897) * 2
    ]
    assert done.table["domain"].tolist() == ["aircraft"]
    assert repr(done) == f"Submission({str(tmp_path / 'x.zip')!r}, 1 domains, 6 images)"


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (lambda f: (f / "data/aircraft/test/000004.jpg").unlink(), "000004.jpg"),
    "cut": (
        lambda f: (f / "data/vgg-flowers/test/000001.jpg").write_bytes(b"\xff\xd8"),
        "000001.jpg is not a usable image",
    ),
    "list": (
        lambda f: (f / "annotations/aircraft_test_stripped.json").unlink(),
        "aircraft_test_stripped.json",
    ),
    "classes": (
        lambda f: small.change(
            f / "annotations/aircraft_train.json",
            categories=lambda x: [{**c, "name": c["name"] + "x"} for c in x],
        ),
        "the model has the class '747-400', which is not among the categories",
    ),
    "ids": (
        lambda f: small.change(
            f / "annotations/aircraft_test_stripped.json",
            images=lambda x: [{**i, "id": i["id"] + 90_000_000} for i in x],
        ),
        "image id 100200001 is not one of aircraft",
    ),
    "none": (lambda f: shutil.rmtree(f / "annotations"), "is not laid out as the Decathlon"),
}


@pytest.mark.parametrize("case", WRONG)
def test_nothing_is_written_if_something_is_wrong(
    case: str, run: Path, folder: Path, tmp_path: Path
) -> None:
    make, words = WRONG[case]
    make(folder)
    (tmp_path / "x.zip").write_bytes(b"of an earlier day")
    with pytest.raises(MpnasError) as caught:
        mk.submit(mk.load(run), folder, tmp_path / "x.zip")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "x.zip").read_bytes() == b"of an earlier day"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out": "x.json"}, "out must be a file that ends with .zip"),
        ({"out": "none/x.zip"}, "cannot write in"),
        ({"out": 3}, "must be text or a path"),
        ({"data": "none"}, "there is no folder"),
        ({"domains": ["dtd"]}, "unknown domain of the Decathlon in this model 'dtd'"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"model": 3}, "model must be"),
    ],
)
def test_wrong_calls_are_refused(
    options: dict[str, Any],
    words: str,
    run: Path,
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"model": mk.load(run), "data": written, "out": "x.zip", **options}
    with pytest.raises(MpnasError) as caught:
        mk.submit(**given)
    assert words in str(caught.value) and not list(tmp_path.iterdir())


def test_a_model_of_other_domains_is_refused(model: mk.Model, written: Path) -> None:
    with pytest.raises(MpnasError, match="the model has no domain of the Decathlon, but a, b, c"):
        mk.submit(model, written, "x.zip")
