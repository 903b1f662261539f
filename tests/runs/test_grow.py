"""A run that adds domains to a trained run: its folder, its commands, and what it refuses."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import mpnas_kit as mk
from mpnas_kit.cli import commands as cli
from mpnas_kit.deploy.model import load
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.report.summary import Summary
from mpnas_kit.runs.integrity import check_run
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import sweep_of
from mpnas_kit.runs.trust import supernet_trust
from mpnas_kit.search.rewards import Linear
from mpnas_kit.space.costs import AddedParameters
from mpnas_kit.widgets.monitor import SearchMonitor
from mpnas_kit.widgets.paths import PathExplorer

SETTINGS = {"batch_size": 8, "threads": 1, "steps": 4}
SEARCH = {**SETTINGS, "reward_batch": 8, "paths_per_step": 2}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the domains a and b."""
    folder = tmp_path_factory.mktemp("grow") / "two"
    run = Run(folder, domains=tiny.suite(), space=tiny.space())
    run.search(**SEARCH)
    run.train(**SETTINGS)
    return run


@pytest.fixture(scope="module")
def new(old: Run) -> Run:
    """The same run and domain c, finished."""
    run = old.grow(old.folder.parent / "three", data=tiny.suite(3), domains="c")
    run.search(**SEARCH)
    run.train(**SETTINGS)
    return run


def contents(folder: Path) -> Mapping[str, bytes]:
    """Return every file below a folder."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_growth_has_settings_of_its_own(new: Run) -> None:
    config = new.search_config()
    assert (config.reward, config.cost) == (Linear(), AddedParameters())
    assert (config.steps, config.cost_scope) == (4, "domain")
    assert new.description.approach == "grown"


def test_a_run_of_any_profile_grows_without_landmarks(tmp_path: Path) -> None:
    run = Run(tmp_path / "two", profile="full", domains=tiny.suite(), space=tiny.space())
    run.train(**SETTINGS, paths=dict.fromkeys("ab", tiny.space().sample(torch.Generator())))
    config = run.grow(tmp_path / "three", data=tiny.suite(3), domains="c").search_config()
    assert run.search_config().landmarks > 0 and config.landmarks == 0
    assert (config.reward, config.sampling) == (Linear(), "policy")


def test_the_run_has_all_domains_and_images_of_the_new_ones(old: Run, new: Run) -> None:
    read = Run.read(new.folder)
    assert read.domains == ("a", "b", "c") and list(read.tasks) == ["a", "b", "c"]
    assert new.suite.names == ("c",) and read.trust_domain == "c"
    assert list(read.search_result().paths) == ["c"]
    assert list(read.paths()) == list(read.train_result().paths) == ["a", "b", "c"]
    before, after = (r.train_result().net.state_dict() for r in (old, read))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_run_that_was_grown_does_not_change_and_is_not_needed(old: Run, tmp_path: Path) -> None:
    source = tmp_path / "two"
    shutil.copytree(old.folder, source)
    before = contents(source)
    larger = Run.read(source).grow(tmp_path / "three", data=tiny.suite(3), domains=["c"])
    assert contents(source) == before
    shutil.rmtree(source)
    with pytest.raises(Unavailable, match="existed in memory only"):
        Run.read(larger.folder).search(**SEARCH)
    again = Run(larger.folder, domains=tiny.suite(3).select(["c"]))
    again.search(**SEARCH)
    again.train(**SETTINGS)
    assert load(again.folder).domains == ("a", "b", "c")
    assert [row.state for row in check_run(again.folder)] == ["run", *["finished"] * 3]


def test_a_grown_run_grows_again(new: Run, tmp_path: Path) -> None:
    more = DomainSuite((tiny.domain("d", 2, seed=5),))
    larger = new.grow(tmp_path / "four", data=more)
    larger.search(**SEARCH)
    trained = larger.train(**SETTINGS)
    assert list(trained.paths) == ["a", "b", "c", "d"]
    before, after = new.train_result().net.state_dict(), trained.net.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    evaluation = trained.evaluation
    assert evaluation[evaluation["domain"] != "d"].to_dict("records") == (
        new.train_result().evaluation.to_dict("records")
    )


def test_a_growth_that_stopped_before_its_copy_was_complete_continues(
    old: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "three"
    larger = old.grow(folder, data=tiny.suite(3), domains="c")
    (folder / "frozen" / "results.json").unlink()
    with pytest.raises(MpnasError, match="incomplete: give the command `mpnas grow` again"):
        Run.read(folder).search_config()
    again = old.grow(folder, data=tiny.suite(3), domains="c")
    assert again.description == larger.description and again.finished("frozen")


def test_compare_has_the_run_and_a_sweep_is_refused(new: Run) -> None:
    assert new.compare().cells["approach"].tolist() == ["grown"]
    with pytest.raises(Unavailable, match="adds domains to a trained network"):
        sweep_of(new, approaches="mpnas")
    with pytest.raises(Unavailable, match="supernet of .* has frozen nodes"):
        supernet_trust(new, "c", paths=3)


def test_a_grown_run_is_explored_and_summed_up(new: Run) -> None:
    found = new.search_result()
    assert new.search_space.decisions == found.space.decisions
    assert new.search_domains == ("c",)
    monitor = SearchMonitor(new.search_space, new.search_domains)
    again = Run.read(new.folder)
    again._suite = new.suite
    monitor.start(lambda callback: again.search(callbacks=[callback]))
    assert monitor._thread is not None
    monitor._thread.join()
    assert monitor.found is not None and monitor.found.paths == found.paths
    assert PathExplorer.of(found).shown == ["c"]
    layer = new.search_space.searched[0]
    for block in new.search_space.layers[layer].choices:  # also one that the search cannot choose
        monitor.focus.node = (layer, block)
        assert monitor.policy.place((layer, "no block")) is None
    summary = Summary.of(new)
    words = " ".join(summary.notes)
    assert "The trained network of a, b stays as it is." in words and "other paths" not in words
    assert " parameters serves three domains: mean test accuracy" in summary.sentence
    assert summary.commands == [], "a run that adds domains has no sweep"
    assert [row.domain for row in summary.rows] == ["a", "b", "c"]
    assert mk.analysis.jaccard_matrix(new.space, new.paths()).table().shape[0] == 3


def test_paths_of_frozen_domains_are_fixed(old: Run, tmp_path: Path) -> None:
    larger = old.grow(tmp_path / "three", data=tiny.suite(3), domains="c")
    space = tiny.space()
    taken = old.train_result().paths["a"]
    other = next(p for p in tiny.all_paths(space) if p != taken)
    with pytest.raises(MpnasError, match=f"domain 'a' is frozen on the path {taken}"):
        larger.train(paths={"a": other, "c": taken}, **SETTINGS)
    trained = larger.train(paths={"a": taken, "c": taken}, **SETTINGS)
    assert trained.paths["c"] == taken


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": tiny.suite(3)}, "has a domain 'a' already"),
        ({"data": tiny.suite(3), "domains": "e"}, "unknown domain 'e'"),
        ({"data": "nowhere"}, "unknown suite of domains"),
        ({"data": "pocket", "domains": "digits"}, "32 pixels per side"),
    ],
)
def test_what_cannot_be_added_is_named(
    old: Run, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(MpnasError, match=words):
        old.grow(tmp_path / "new", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_another_run_folder_is_refused(old: Run, new: Run, tmp_path: Path) -> None:
    with pytest.raises(MpnasError, match="holds another run"):
        old.grow(old.folder, data=tiny.suite(3), domains="c")
    with pytest.raises(MpnasError, match="holds another run"):
        old.grow(new.folder, data=DomainSuite((tiny.domain("d", 2),)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(MpnasError, match="not empty and has no run.json"):
        old.grow(tmp_path / "full", data=tiny.suite(3), domains="c")
    with pytest.raises(MpnasError, match="expected `mpnas grow`"):
        Run(tmp_path / "new", domains=tiny.suite(), space=tiny.space(), approach="grown")


def test_the_command_grows_a_run(
    old: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "three"
    command = ["grow", "--run", str(old.folder), "--out", str(out)]
    command += ["--data", "tiny:three", "--domains", "c"]
    for stage, settings in (("search", SEARCH), ("train", SETTINGS)):
        for name, value in settings.items():
            command += [f"--{stage}", name, str(value)]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("The verdict", "added", "own" if "own" in said else "c"))
    assert cli.main(command) == 0  # a finished growth is only read
    assert capsys.readouterr().out == said
    assert load(out).domains == ("a", "b", "c")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "needs the new images: --data NAME=FOLDER"),
        (["--data", "tiny:three"], "needs --out FOLDER"),
        (["--data", "tiny:three", "--out", "x", "--search", "stepz", "3"], "did you mean 'steps'"),
        (["--data", "tiny:three", "--out", "x", "--train", "steps", "a"], "steps must be a whole"),
        (["--data", "tiny:three", "--out", "x", "--search", "callbacks", "3"], "unknown parameter"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    old: Run,
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["grow", "--run", str(old.folder), "--domains", "c", *options]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
    assert not (tmp_path / "x").exists()


def test_own_images_get_the_resolution_of_the_run(old: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("dark", "bright"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(8):
            noise = generator.integers(0, 256, (40, 30), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{i}.png")
    larger = old.grow(tmp_path / "new", data=f"photos={tmp_path / 'photos'}")
    assert larger.suite["photos"].resolution == tiny.SIZE
    assert larger.domains == ("a", "b", "photos")
