"""Runs that begin with pretrained weights: what run.json says, what is refused, cells and reads."""

import json
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit import parts
from mpnas_kit.cli.commands import main
from mpnas_kit.domains.batches import Standard
from mpnas_kit.runs.sweep import sweep_of
from mpnas_kit.runs.trust import supernet_quality
from mpnas_kit.search import data
from mpnas_kit.search import stage as search_stage
from mpnas_kit.starts.source import Start

SMALL: dict[str, Any] = {"steps": 3, "batch_size": 4, "threads": 1}
SEARCH = {**SMALL, "reward_batch": 4, "warmup_share": 0.0, "cost_target": 60_000.0}
DATA: dict[str, Any] = {"data": "tiny:suite(count=2)", "space": "tiny:space"}
ARCH = "k3e2 k5e3"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs with the run `source`, which gives its weights."""
    folder = tmp_path_factory.mktemp("runs")
    source = mk.Run(folder / "source", approach=f"backbone(path='{ARCH}')", **DATA)
    source.train(**SMALL)
    return folder


@pytest.fixture(scope="module")
def started(runs: Path) -> mk.Run:
    """A finished run that begins with them."""
    run = mk.Run(runs / "started", start=str(runs / "source"), **DATA)
    run.search(**SEARCH)
    run.train(**SMALL)
    return run


def test_the_run_says_where_its_weights_come_from(started: mk.Run) -> None:
    content = json.loads((started.folder / "run.json").read_text())["start"]
    assert started.start is not None
    assert content == {"text": "../source", "sha256": started.start.checksum}
    for stage in ("search", "train"):
        config = json.loads((started.folder / stage / "config.json").read_text())
        assert config["start"] == content["sha256"]
        assert config["record"]["start"].endswith("source")
        assert (started.folder / stage / "start.csv").exists()
    assert started.search_result().start_table is not None
    assert started.train_result().start_table is not None


def test_a_run_beside_it_is_found_again(started: mk.Run, runs: Path, tmp_path: Path) -> None:
    """Also if both were moved; but not by a run folder that comes alone."""
    shutil.copytree(runs, tmp_path / "moved")
    moved = mk.Run.read(tmp_path / "moved" / "started")
    assert moved.start is not None and moved.start.checksum == started.start.checksum  # type: ignore[union-attr]
    for name in ("started", "source"):
        shutil.copytree(runs / name, tmp_path / name / name)
    about = tmp_path / "started" / "started" / "run.json"
    about.write_text(about.read_text().replace("../source", "../../source/source"))
    alone = mk.Run.read(about.parent)
    with pytest.raises(mk.Unavailable, match=r"outside of it by itself: give it again \(--st"):
        _ = alone.start
    assert alone.train_result().start_table is not None  # finished: only read
    assert alone.train().paths == started.train_result().paths
    assert mk.Run.read(about.parent, trust=True).start is not None
    given = mk.Run(about.parent, start=str(tmp_path / "source" / "source"))
    assert given.start is not None
    assert mk.Run.read(about.parent).start is not None  # given in this process


def test_other_weights_are_refused(started: mk.Run, runs: Path, tmp_path: Path) -> None:
    other = mk.Run(runs / "other", approach=f"backbone(path='{ARCH}')", **DATA)
    other.train(**SMALL, seed=1)
    with pytest.raises(mk.MpnasError, match="was begun with start '/.*/source', and .* has other"):
        mk.Run(started.folder, start=str(other.folder))
    with pytest.raises(mk.MpnasError, match="was begun without a start, not with start"):
        mk.Run(other.folder, start=str(runs / "source"))
    shutil.copytree(runs, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "source")
    shutil.copytree(other.folder, tmp_path / "runs" / "source")
    with pytest.raises(mk.MpnasError, match="has other weights now: use the same start"):
        _ = mk.Run.read(tmp_path / "runs" / "started").start
    shutil.rmtree(tmp_path / "runs" / "source")
    with pytest.raises(mk.MpnasError, match="/runs/source any more: give it where it is now"):
        _ = mk.Run.read(tmp_path / "runs" / "started", trust=True).start
    assert mk.Run.read(tmp_path / "runs" / "started").train_result().accuracy().mean() >= 0


def memory(run: mk.Run) -> Start:
    """The weights of a trained run as a start that no file has."""
    trained = run.train_result()
    return Start.of(trained.net, trained.paths)


def test_a_start_in_memory_is_given_again(started: mk.Run, tmp_path: Path) -> None:
    start = memory(started)
    run = mk.Run(tmp_path / "run", start=start, **DATA)
    run.search(**SEARCH)
    assert json.loads((run.folder / "run.json").read_text())["start"]["text"] is None
    again = mk.Run.read(run.folder, trust=True)
    with pytest.raises(mk.Unavailable, match=r"in memory only .* Run\(folder, start=\.\.\.\)"):
        again.train(**SMALL)
    copy = pickle.loads(pickle.dumps(run))  # as for another process of a sweep
    assert copy.start is not None and copy.start.checksum == start.checksum
    mk.Run(run.folder, start=start, trust=True).train(**SMALL)


def test_a_start_of_ones_own_is_named_as_a_part(
    started: mk.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "import mpnas_kit as mk",
        "def weights(folder):",
        "    trained = mk.TrainResult.load(folder, trust=True)",
        "    return mk.Start.of(trained.net, trained.paths)",
    )
    (tmp_path / "own_weights.py").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    text = f"(folder={str(started.folder / 'train')!r})"
    run = mk.Run(tmp_path / "run", start=f"own_weights.py:weights{text}", **DATA)
    run.begin()
    recorded = json.loads((run.folder / "run.json").read_text())["start"]["text"]
    assert recorded == f"{tmp_path / 'own_weights.py'}:weights{text}"
    monkeypatch.chdir("/")
    again = mk.Run.read(run.folder, trust=True).start
    assert again is not None and again.checksum == memory(started).checksum
    monkeypatch.setattr(parts, "_APPROVED", {})
    monkeypatch.delitem(sys.modules, "own_weights")
    with pytest.raises(
        mk.Unavailable, match="comes from .*own_weights.py, and a run folder imports"
    ):
        _ = mk.Run.read(run.folder).start


def test_a_file_in_a_text_is_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder from elsewhere cannot lead to a file by the text of a known network."""
    run = mk.Run(tmp_path / "run", **DATA)
    run.begin()
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    content["start"] = {"text": "mobilenet_v3_large(file='/secret.pth')", "sha256": "0"}
    file.write_text(json.dumps(content))
    with pytest.raises(
        mk.Unavailable, match=r"/secret\.pth.* reads files outside of the run folder.*--start"
    ):
        _ = mk.Run.read(tmp_path / "run").start
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mk.MpnasError, match=f"{tmp_path}/weights.pth"):  # from every folder
        mk.Run("new", start="mobilenet_v3_large(file='weights.pth')", **DATA)


def test_a_sweep_compares_the_backbones_of_a_practitioner(started: mk.Run) -> None:
    approaches = ", ".join(
        f"backbone({tuned}path='{ARCH}')"
        for tuned in ("", "shared=False, ", "tuned='norms', ", "tuned='heads', ")
    )
    comparison = sweep_of(
        started, approaches=approaches, seeds="0", search=SMALL, train=SMALL
    ).run()
    cells = comparison.cells.set_index("approach")
    one, own, norms, heads = (
        cells.loc[f"backbone({options}path='{ARCH}')"]
        for options in ("", "shared=False, ", "tuned='norms', ", "tuned='heads', ")
    )
    heads_alone = 16 * (3 + 4)  # multiply-adds of the two classifiers
    assert own["parameters"] == 2 * one["parameters"]
    assert own["union"] - heads_alone == 2 * (one["union"] - heads_alone)
    for column in ("parameters", "union", "per_image", "n_images"):
        assert one[column] == norms[column] == heads[column], column
    assert own["per_image"] == one["per_image"] and own["n_images"] == one["n_images"]
    assert own["prioritization"] == heads["prioritization"] == "none"
    folders = list((started.folder / "cells").iterdir())
    assert len(folders) == 4
    for folder in folders:
        about = json.loads((folder / "run.json").read_text())["start"]
        assert about == {"text": "../../../source", "sha256": started.start.checksum}  # type: ignore[union-attr]
        assert (folder / "train" / "start.csv").exists()
    assert all(row.problem is None for row in mk.check_run(started.folder))


def test_cells_of_other_settings_are_read_again_without_naming_them(
    started: mk.Run, tmp_path: Path
) -> None:
    """As a report does. The run around them was not begun, so it changes no setting."""
    around = mk.Run(tmp_path / "around", start=started.start, **DATA)
    assert around.search_config().optimiser == "adamw"
    assert around.changes(around.search_config()) == []
    cells = {**SEARCH, "cost_target": 50_000.0, "learning_rate": 0.002}
    of_cells = {"approaches": "mpnas", "seeds": "0"}
    sweep_of(around, **of_cells, search=cells, train={**SMALL, "weight_decay": 0.01}).run()
    again = sweep_of(around, **of_cells)
    assert len(again.run().cells) == 1
    recorded = again.open(again.cells[0]).search_config()
    assert (recorded.cost_target, recorded.learning_rate) == (50_000.0, 0.002)


def test_a_backbone_that_stays_is_refused_without_a_start(tmp_path: Path) -> None:
    run = mk.Run(tmp_path / "run", approach=f"backbone(tuned='heads', path='{ARCH}')", **DATA)
    with pytest.raises(mk.MpnasError, match="keeps the weights of a start, and the run has none"):
        run.train(**SMALL)
    assert not (tmp_path / "run").exists()


def test_a_single_path_begins_with_the_start_and_its_input(started: mk.Run, runs: Path) -> None:
    approach = f"single_path(path='{ARCH}', pretrained=True)"
    run = mk.Run(runs / "single", start=started.start, approach=approach, **DATA)
    trained = run.train(**SMALL)
    assert (run.folder / "pretrain" / "start.csv").exists() and trained.start_table is not None
    assert trained.config.optimiser == "adamw"  # as in every run with a start


def test_predictions_have_the_network_input_of_the_start(started: mk.Run, tmp_path: Path) -> None:
    pixels = Standard(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25))
    run = mk.Run(tmp_path / "run", start=replace(memory(started), standard=pixels), **DATA)
    run.search(**SEARCH)
    trained = run.train(**SMALL)
    model = mk.load(run.folder, trust=True)
    for domain in run.suite:
        signature = model.signature(domain.name)
        assert (set(signature.mean), set(signature.deviation)) == ({0.5}, {0.25})
        found = model.predict(tiny.pixels(domain.test), domain=domain.name)
        right = np.array(found.labels) == np.array(domain.classes)[domain.test.labels.numpy()]
        assert right.mean() == pytest.approx(trained.accuracy()[domain.name])
        on_supernet = supernet_quality(run, domain.name, [run.space.parse(ARCH)])
        assert 0 <= on_supernet[0] <= 1


def test_a_start_hands_the_network_input_on(started: mk.Run, tmp_path: Path) -> None:
    """A run that begins with a run that began with weights of ImageNet."""
    pixels = Standard(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25))
    approach = f"backbone(path='{ARCH}')"
    first = replace(memory(started), standard=pixels)
    run = mk.Run(tmp_path / "first", start=first, approach=approach, **DATA)
    run.train(**SMALL)
    second = mk.start_from_text(str(tmp_path / "first"), trust=True)
    assert second.standard is not None
    assert torch.equal(second.standard.mean, pixels.mean)
    assert torch.equal(second.standard.deviation, pixels.deviation)
    assert mk.start_from_text(str(started.folder), trust=True).standard is None


def test_a_run_that_grows_has_no_start_of_its_own(started: mk.Run, runs: Path) -> None:
    more = mk.DomainSuite([tiny.domain("c")], "more")
    grown = started.grow(runs / "grown", data=more)
    assert grown.start is None
    assert json.loads((grown.folder / "run.json").read_text())["start"] is None
    with pytest.raises(mk.MpnasError, match="was begun without a start"):
        mk.Run(grown.folder, start=str(runs / "source"))


def test_a_run_that_grows_has_the_network_input_of_the_start(
    started: mk.Run, tmp_path: Path
) -> None:
    """Its frozen weights expect that, also if a grown run grows again."""
    pixels = Standard(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25))
    first = replace(memory(started), standard=pixels)
    run = mk.Run(tmp_path / "run", start=first, approach=f"backbone(path='{ARCH}')", **DATA)
    trained = run.train(**SMALL)
    seen = []
    for name in ("c", "d"):
        suite = mk.DomainSuite([tiny.domain(name)], "more")
        paths = {name: run.space.parse(ARCH)}
        config = mk.TrainConfig(**SMALL)
        trained = mk.train(suite, run.space, paths, config, frozen=trained)
        assert trained.signatures is not None
        seen.append({s.mean + s.deviation for s in trained.signatures.values()})
    assert seen == [{(0.5,) * 3 + (0.25,) * 3}] * 2


def test_a_search_for_more_domains_has_the_network_input_of_the_start(
    started: mk.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = Standard(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25))
    first = replace(memory(started), standard=pixels)
    run = mk.Run(tmp_path / "run", start=first, approach=f"backbone(path='{ARCH}')", **DATA)
    run.train(**SMALL)
    given: list[Any] = []

    def divide(*arguments: Any) -> Any:
        given.append(arguments[3])  # the network input
        return data.divide(*arguments)

    monkeypatch.setattr(search_stage, "divide", divide)
    grown = run.grow(tmp_path / "grown", data=mk.DomainSuite([tiny.domain("c")], "more"))
    grown.search(**{k: v for k, v in SEARCH.items() if k != "cost_target"})
    assert torch.equal(given[0].mean, pixels.mean)


def test_commands_take_a_start(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--run", str(runs / "command"), "--data", DATA["data"], "--space", DATA["space"]]
    small = ["--steps", "3", "--batch-size", "4", "--threads", "1"]
    start = ["--start", str(runs / "source")]
    assert main(["search", *common, *small, *start, "--reward-batch", "4"]) == 0
    assert f"start {str(runs / 'source')!r}; its tensors: " in capsys.readouterr().out
    assert main(["train", *common, *small, "--loaded-rate", "0.5"]) == 0
    assert mk.Run.read(runs / "command").train_config().loaded_rate == 0.5
    assert mk.Run.read(runs / "command").train_result().start_table is not None
    assert main(["train", *common, "--start", str(runs / "command")]) == 2
    assert f"was begun with start '{runs / 'source'}'" in capsys.readouterr().err


def test_a_run_of_before_has_no_start(started: mk.Run, tmp_path: Path) -> None:
    shutil.copytree(started.folder, tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    del content["start"]
    file.write_text(json.dumps(content))
    assert mk.Run.read(tmp_path / "run").description.start is None
