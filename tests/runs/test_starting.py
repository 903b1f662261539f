"""Weights of a finished training, as a start of another one."""

from pathlib import Path

import pytest
import tiny
import torch
import whole

import mpnas_kit as mk
from mpnas_kit import files


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "train"
    whole.run("train", folder)
    return folder


def test_a_finished_training_is_a_start(stage: Path) -> None:
    start = mk.start_from_text(str(stage))
    trained = mk.TrainResult.load(stage)
    assert start.net.fingerprint() == trained.net.fingerprint()
    assert start.paths == trained.paths and start.standard is None
    assert start.checksum == files.checksum(stage / "model.safetensors")
    assert start.text == str(stage)


def test_the_own_union_gets_the_weights_statistics_and_heads(stage: Path) -> None:
    start, suite = mk.start_from_text(str(stage)), tiny.suite(3)
    net = mk.MultiPathNet.of_paths(tiny.space(), start.paths, suite.tasks, "per_domain", seed=5)
    start.load(net, {domain.name: domain.classes for domain in suite})
    assert net.fingerprint() == start.net.fingerprint()


def test_a_run_folder_stands_for_its_training_if_that_is_finished(tmp_path: Path) -> None:
    run = mk.Run(tmp_path / "run", domains=tiny.suite(2), space=tiny.space())
    run.search(steps=2, batch_size=8)
    with pytest.raises(mk.MpnasError, match="has no training to start from: run `mpnas train"):
        mk.start_from_text(str(tmp_path / "run"))
    run.train(steps=2, batch_size=8)
    for name in ("model.safetensors", "checkpoint.pt", "results.json"):
        with pytest.raises(mk.MpnasError, match="a file of a stage of the kit: give the folder"):
            mk.start_from_text(str(tmp_path / "run" / "train" / name))
    start, again = (mk.start_from_text(str(tmp_path / f)) for f in ("run", "run/train"))
    assert start.net.fingerprint() == run.train_result().net.fingerprint()
    assert again.checksum == start.checksum
    assert start.classes["a"] == ("class0", "class1", "class2")


def test_damaged_weights_are_named(stage: Path, tmp_path: Path) -> None:
    copy = tmp_path / "train"
    copy.mkdir()
    for file in stage.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    whole_file = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole_file[:-8] + b"12345678")
    with pytest.raises(mk.MpnasError, match="is not the file that the results belong to"):
        mk.start_from_text(str(copy))


def own_start() -> mk.Start:
    """A start of one's own: the kit finds it as file.py:own_start."""
    space = tiny.space()
    paths = {"a": space.parse("k3e1 k3e1")}
    net = mk.MultiPathNet.of_paths(space, paths, tiny.tasks({"a": 3}), "per_domain", 0)
    return mk.Start.of(net, paths)


def test_a_start_of_ones_own_is_found_by_its_text() -> None:
    text = f"{__file__}:own_start"
    start = mk.start_from_text(text)
    assert start.text == text and list(start.paths) == ["a"]
    assert torch.is_tensor(next(iter(start.net.state_dict().values())))
