"""A finished run of release 0.1 is still read; one that was stopped is refused in one sentence."""

import json
import shutil
from pathlib import Path

import pytest

import mpnas_kit as mk

HERE = Path(__file__).parent / "release_0_1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a run of two pocket domains that release 0.1 has written."""
    shutil.copytree(HERE, tmp_path / "run")
    return tmp_path / "run"


def test_a_finished_run_is_read(run: Path) -> None:
    old = mk.Run.read(run)
    assert old.domains == ("digits", "icons") and old.space.name == "pocket"
    results = json.loads((run / "search" / "results.json").read_text())
    found = old.search_result()
    assert {d: p.arch for d, p in found.paths.items()} == results["paths"]
    assert found.costs == results["costs"] and found.cost_unit == "multiply-adds"
    assert len(found.history) == 8 and found.config.prioritization == mk.ABDP()
    trained = old.train_result()
    rows = json.loads((run / "train" / "results.json").read_text())["evaluation"]
    assert trained.evaluation.to_dict("records") == rows
    assert trained.recalls is None and trained.macro_accuracy().isna().all()
    assert mk.notebook.tables.accuracy_table(trained).columns.tolist() == ["domain", "val", "test"]
    assert mk.notebook.tables.weakest_classes(trained).empty
    assert trained.net.tasks == {"digits": mk.Classification(10), "icons": mk.Classification(22)}
    assert old.compare().cells["approach"].tolist() == ["mpnas"]


def test_its_stages_are_read_alone(run: Path) -> None:
    assert set(mk.SearchResult.load(run / "search").paths) == {"digits", "icons"}
    trained = mk.TrainResult.load(run / "train")
    evaluated = mk.evaluate(trained.net, mk.pocket(["digits"]), trained.paths, "test")
    assert evaluated["accuracy"].tolist() == [trained.accuracy("test")["digits"]]


def test_the_same_command_only_reads_it(run: Path) -> None:
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    old = mk.Run(run)
    assert old.search().paths == old.search_result().paths
    assert old.train(steps=4).accuracy("test").equals(old.train_result().accuracy("test"))
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before
    with pytest.raises(mk.MpnasError, match="steps = 4, not 5"):
        old.train(steps=5)


def test_a_run_that_was_stopped_is_refused_in_one_sentence(run: Path) -> None:
    (run / "train" / "results.json").unlink()
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    with pytest.raises(mk.MpnasError, match=r"release 0.1 .*[Uu]se another folder") as refused:
        mk.Run(run).train()
    assert "\n" not in str(refused.value)
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before


def test_a_folder_of_release_0_1_that_was_taken_from_another_run_keeps_its_link(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    for approach, field in (("mpnas()", "search_from"), ("random_paths(draw=1)", "matched_to")):
        cell = run / "cells" / field
        cell.mkdir(parents=True)
        (cell / "run.json").write_text(json.dumps({**about, "approach": approach, "like": "../.."}))
        read = mk.Run.read(cell)
        assert getattr(read.description, field) == "../.."
        assert read.other is not None and read.other.folder.resolve() == run.resolve()
