"""A run made in Python: with any suite and space, read again, and with what cannot be had named."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.domains import domain as domain_module
from mpnas_kit.engine import step as step_module
from mpnas_kit.search import stage as search_stage
from mpnas_kit.training import stage as train_stage

SMALL: dict[str, Any] = {"steps": 4, "batch_size": 4, "threads": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> mk.Run:
    """A finished run of a suite and a space that only this process has in memory."""
    run = mk.Run(
        tmp_path_factory.mktemp("memory") / "run", domains=tiny.suite(), space=tiny.space()
    )
    run.search(reward_batch=4, **SMALL)
    run.train(**SMALL)
    return run


def test_settings_are_given_by_name_or_as_a_config(made: mk.Run, tmp_path: Path) -> None:
    assert made.search_result().config.steps == 4
    run = mk.Run(tmp_path / "run", domains=tiny.suite(), space=tiny.space())
    found = run.search(tiny.search_config(steps=2, controller_delay=0.0, warmup_share=0.0))
    assert len(found.history) == 4
    with pytest.raises(mk.MpnasError, match="unknown parameter of search 'stepz'.*'steps'"):
        run.search(stepz=3)
    with pytest.raises(mk.MpnasError, match="a whole config and single settings"):
        run.train(tiny.train_config(), steps=3)


def test_what_needs_no_images_works_without_them(made: mk.Run) -> None:
    run = mk.Run.read(made.folder)
    assert run.domains == ("a", "b") and run.space.fingerprint() == made.space.fingerprint()
    assert run.search_result().paths == made.search_result().paths
    assert run.train_result().net.tasks == made.suite.tasks
    assert run.search().costs == made.search().costs  # finished: only read
    assert run.compare().cells["test"].tolist() == [run.train_result().accuracy().mean()]
    assert mk.widgets.PathExplorer.of(run.search_result()).graph["domains"] == ["a", "b"]
    with pytest.raises(mk.Unavailable, match="in memory only.*give the suite again"):
        _ = run.suite
    again = mk.Run(made.folder, domains=tiny.suite())
    assert again.suite.names == ("a", "b")


def test_what_a_run_was_begun_with_is_refused_by_name(made: mk.Run) -> None:
    with pytest.raises(mk.MpnasError, match="begun with domains a, b, not a, b, c"):
        mk.Run(made.folder, domains=tiny.suite(3))
    with pytest.raises(mk.MpnasError, match="begun with space 'tiny', not 'pocket'"):
        mk.Run(made.folder, space="pocket")
    with pytest.raises(mk.MpnasError, match="begun with approach mpnas, not bundle"):
        mk.Run(made.folder, approach=mk.Bundle())


def test_other_images_under_the_same_names_are_refused(made: mk.Run, tmp_path: Path) -> None:
    """Also those that a search never reads. What is finished can still be read."""
    shutil.copytree(made.folder, tmp_path / "run")
    a, b = tiny.suite().domains
    relabelled = mk.TensorSplit(tiny.pixels(a.test), a.test.labels.roll(1))
    other = mk.DomainSuite((mk.Domain("a", a.classes, a.train, a.val, relabelled), b), "tiny")
    run = mk.Run(tmp_path / "run", domains=other)
    for stage in (run.search, run.train):
        with pytest.raises(mk.MpnasError, match="begun with other images, labels or classes"):
            stage()
    assert run.search_result().paths == made.search_result().paths


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Optimisers, steps and checksums of images are refused."""

    def refused(*arguments: object, **options: object) -> Any:
        raise AssertionError("this was to be read only")

    for module in (search_stage, train_stage, step_module):
        monkeypatch.setattr(module, "optimiser_of", refused)
    monkeypatch.setattr(domain_module.DomainSuite, "fingerprint", refused)
    yield


def test_results_are_read_and_not_rebuilt(made: mk.Run, nothing_is_computed: None) -> None:
    run = mk.Run.read(made.folder)
    table = run.compare().table()
    assert table["parameters"].iloc[0] > 0
    assert mk.SearchResult.load(run.folder / "search").verdict() == run.search_result().verdict()
    trained = mk.load(run.folder).result
    assert trained.history.equals(mk.TrainResult.load(run.folder / "train").history)


def test_a_loaded_network_gives_the_recorded_accuracies(made: mk.Run) -> None:
    trained = mk.load(made.folder).result
    again = mk.evaluate(trained.net, tiny.suite(), trained.paths, "test")
    assert again["accuracy"].tolist() == trained.accuracy("test").tolist()


def test_sent_to_another_process_it_takes_images_along_only_if_they_are_nowhere_else(
    made: mk.Run, tmp_path: Path
) -> None:
    assert pickle.loads(pickle.dumps(made)).suite.names == ("a", "b")
    text = mk.Run(tmp_path / "run", data="tiny:suite", space="tiny:space")
    text.begin()
    sent = pickle.dumps(text)
    assert tiny.pixels(text.suite["a"].train)[0].numpy().tobytes() not in sent
    assert pickle.loads(sent).suite.names == ("a", "b")


def test_a_new_run_is_the_same_in_another_process_before_it_is_begun(tmp_path: Path) -> None:
    run = mk.Run(tmp_path / "run", data="tiny:suite(count=3)", domains="b,c", space="tiny:space")
    again = pickle.loads(pickle.dumps(run))
    assert again.description == run.description and again.suite.names == ("b", "c")
    assert not run.folder.exists()


def test_what_killed_processes_left_of_run_json_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".new-12ab34cd.mpnas-tmp").write_text("half a run.json")
    mk.Run(tmp_path, data="tiny:suite", space="tiny:space").begin()
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_of_two_processes_that_begin_a_run_the_first_writes_run_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one may also remove what the second one has written so far."""
    run = mk.Run(tmp_path, data="tiny:suite", space="tiny:space")
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_text("the first")
        source.unlink()
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    run.begin()
    assert (tmp_path / "run.json").read_text() == "the first"


def test_a_space_made_in_memory_is_read_from_its_layers(made: mk.Run) -> None:
    about = json.loads((made.folder / "run.json").read_text())["space"]
    assert about["source"] is None
    assert about["layers"][1]["candidates"][0] is None
    assert "inverted_bottleneck(kernel=3" in about["layers"][1]["candidates"][1]["block"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": "pockett"}, "unknown suite of domains 'pockett': did you mean 'pocket'"),
        ({"data": "nowhere.py:suite"}, "the file .*nowhere.py does not exist"),
        ({"data": "no_such_module:suite"}, "there is no module 'no_such_module'"),
        ({"data": "tiny:suit"}, "unknown name in tiny 'suit': did you mean 'suite'"),
        ({"data": "tiny:space"}, "is not a DomainSuite"),
        ({"data": "tiny:suite(counts=1)"}, "'counts': did you mean 'count'"),
        ({"data": "tiny:suite(count=len)"}, "cannot be read"),
        ({"space": "tiny:suite"}, "is not a SearchSpace"),
        ({"approach": "tiny:suite"}, "has no attribute 'searches'"),
        ({"domains": "digits,lettres"}, "unknown .*'lettres': did you mean 'letters'"),
        ({"domains": "tiny:suite"}, "'tiny:suite': expected names of domains. .* in data"),
        ({"domains": tiny.suite}, "tiny.py:suite: expected names of domains, or a"),
        ({"domains": [tiny.domain("a")]}, "expected names of domains, or a DomainSuite"),
        ({"data": mk.DomainSuite}, "data got the class DomainSuite: expected an object"),
        ({"space": tiny.space}, "space got .*it is not a SearchSpace"),
        ({"approach": mk.MPNAS}, r"approach got the class MPNAS: .* such as MPNAS\(\)"),
        ({"data": "tiny:suite", "space": "pocket(resolution=64)"}, "16 pixels .* expects 64"),
    ],
)
def test_a_part_that_cannot_be_had_is_named(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(mk.MpnasError, match=message) as refused:
        mk.Run(tmp_path / "run", **given)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
