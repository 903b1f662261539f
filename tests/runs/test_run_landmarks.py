"""Landmarks of a run: what trains them, what they may see, and who shares them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from whole import same

from mpnas_kit.approaches.approach import Context
from mpnas_kit.approaches.best_landmarks import BestLandmarks
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.split import Subset, TensorSplit
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.signals import StopRequested
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.integrity import check_run
from mpnas_kit.runs.landmarks import landmark_paths, make_landmarks, read_landmarks
from mpnas_kit.runs.profiles import QUICK
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import sweep_of
from mpnas_kit.runs.watching import begun_stages, stop_stages
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.data import divide
from mpnas_kit.space.costs import MultiplyAdds, UnionShare, Unshared, path_costs
from mpnas_kit.training.result import TrainResult

TARGET = 60_000.0


def config(**settings: Any) -> SearchConfig:
    small = {"landmarks": 4, "landmark_steps": 3, "cost_target": TARGET, "steps": 4}
    return tiny.search_config(**{**small, **settings})


def run_in(folder: Path, **more: Any) -> Run:
    return Run(folder, data="tiny:suite(count=3)", domains="a,b", space="tiny:space", **more)


def made(folder: Path, **settings: Any) -> Any:
    given = tiny.suite(), tiny.space(), config(**settings), tiny.train_config()
    return make_landmarks(*given, folder)


# How they are made --------------------------------------------------------------------------------


def test_a_set_has_one_path_per_domain_at_the_target() -> None:
    space = tiny.space()
    sets = landmark_paths(space, config(), ("a", "b"), 6)
    costs = [c for paths in sets for c in path_costs(MultiplyAdds(), space, paths).values()]
    assert len(costs) == 12 and all(abs(c / TARGET - 1) <= 0.05 for c in costs)
    assert landmark_paths(space, config(), ("a", "b"), 3) == sets[:3]
    assert landmark_paths(space, config(seed=1), ("a", "b"), 6) != sets


def test_a_price_on_unshared_parameters_does_not_change_the_landmarks() -> None:
    space, priced = tiny.space(), config(cost=Unshared(price=50))
    wanted = landmark_paths(space, config(), ("a", "b"), 4)
    assert landmark_paths(space, priced, ("a", "b"), 4) == wanted


def test_scores_are_those_of_the_reward_part_and_images_for_validation_are_not_read(
    tmp_path: Path,
) -> None:
    """Other images for validation and test change nothing; a reward image does."""
    first = made(tmp_path / "first")

    def other(split: Any) -> TensorSplit:
        return TensorSplit(255 - tiny.pixels(split), split.labels)

    blind = [replace(d, val=other(d.val), test=other(d.test)) for d in tiny.suite()]
    given = tiny.space(), config(), tiny.train_config()
    second = make_landmarks(DomainSuite(tuple(blind), "tiny"), *given, tmp_path / "second")
    assert second.rows.equals(first.rows)

    reward = divide(tiny.suite(), config().reward_share, 0)["a"].reward.split
    assert isinstance(reward, Subset)
    images = tiny.pixels(tiny.suite()["a"].train)
    images[reward.index] = 255 - images[reward.index]
    train = TensorSplit(images, tiny.suite()["a"].train.labels)
    changed = (replace(tiny.suite()["a"], train=train), tiny.suite()["b"])
    third = make_landmarks(DomainSuite(changed, "tiny"), *given, tmp_path / "third")
    both = third.rows.merge(first.rows, on=["set", "domain"])
    differs = both["score_x"] != both["score_y"]
    assert differs[both["domain"] == "a"].any() and not differs[both["domain"] == "b"].any()


def test_the_paths_of_a_set_share_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    trained = TrainResult.load(tmp_path / "00", space=tiny.space())
    assert all(len(domains) == 1 for domains in trained.net.users.values())
    assert trained.config.steps == 3


def test_an_interrupted_set_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    made(whole)
    given = tiny.suite(), tiny.space(), config(), tiny.train_config()

    def stop(event: StepEvent) -> None:
        if (event.stage, event.step) == ("landmarks 2/4", 2):
            raise tiny.Stopped

    with pytest.raises(tiny.Stopped):
        make_landmarks(*given, stopped, callbacks=[stop])
    assert read_landmarks(stopped, config()) is None
    made(stopped)
    for name in ("results.json", "metrics.jsonl", "model.safetensors", "paths.json"):
        assert (stopped / "01" / name).read_bytes() == (whole / "01" / name).read_bytes(), name
    states = [torch.load(f / "01" / "checkpoint.pt", weights_only=True) for f in (whole, stopped)]
    assert same(states[0]["state"], states[1]["state"])


def test_more_sets_keep_those_that_are_there(tmp_path: Path) -> None:
    few, before = made(tmp_path), (tmp_path / "03" / "results.json").stat().st_mtime_ns
    more = made(tmp_path, landmarks=5)
    assert more.rows[more.rows["set"] < 4].equals(few.rows)
    assert (tmp_path / "03" / "results.json").stat().st_mtime_ns == before
    assert more.fingerprint() != few.fingerprint() and more.seconds > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"landmark_steps": 4}, "steps = 3, not 4"),
        ({"cost_target": 80_000.0}, "paths.a = "),
        ({"reward_share": 0.5}, "other images"),
        ({"seed": 1}, "other images|seed"),
    ],
)
def test_landmarks_of_other_settings_are_refused_by_name(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    made(tmp_path)
    with pytest.raises(MpnasError, match=words):
        made(tmp_path, **settings)


# In a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A run with landmarks and a sweep around it, and the names of the stages of its steps."""
    run, stages = run_in(tmp_path_factory.mktemp("landmarks") / "run"), list[str]()
    run.search(config(), callbacks=[lambda event: stages.append(event.stage)])
    run.train(tiny.train_config())
    sweep_of(run, approaches="mpnas, bundle, best_landmarks", seeds="0, 1").run()
    return run, stages


def test_a_search_makes_its_landmarks_first(swept: tuple[Run, list[str]]) -> None:
    run, stages = swept
    names = [f"landmarks {number}/4" for number in (1, 2, 3, 4)]
    assert list(dict.fromkeys(stages)) == [*names, "search"]
    assert [stages.count(name) for name in names] == [3] * 4
    found = run.search_result()
    assert found.config.landmarks == 4 and set(found.landmark_tau or {}) == {"a", "b"}
    assert run.about("search")["seconds"] > 4 * run.about("search")["seconds_per_step"]


def test_all_cells_of_a_seed_share_the_landmarks_of_the_run(swept: tuple[Run, list[str]]) -> None:
    run, _ = swept
    assert sorted(f.name for f in (run.folder / "landmarks").iterdir()) == ["0_60000", "1_60000"]
    assert not list((run.folder / "cells").glob("*/landmarks"))
    searches = [run.folder / "search", *(run.folder / "cells").glob("*/search")]
    assert len(searches) == 4  # of mpnas and bundle, two seeds each


def test_the_best_landmarks_are_trained_as_they_are(swept: tuple[Run, list[str]]) -> None:
    run, _ = swept
    (folder,) = (run.folder / "cells").glob("best-landmarks*seed1")
    cell = Run.read(folder)
    known = read_landmarks(run.folder / "landmarks" / "1_60000", run.search_result().config)
    assert known is not None
    for domain, path in cell.paths().items():
        own = known.rows[known.rows["domain"] == domain]
        assert path.arch == own.loc[own["score"].idxmax(), "arch"]
        assert cell.train_result().paths[domain] == path


def test_a_finished_search_is_read_without_training(swept: tuple[Run, list[str]]) -> None:
    run, _ = swept
    steps: list[StepEvent] = []
    again = Run.read(run.folder).search(callbacks=[steps.append])
    assert not steps and again.paths == run.search_result().paths
    with pytest.raises(MpnasError, match="landmark_steps = 3, not 5"):
        Run.read(run.folder).search(landmark_steps=5)


def test_the_check_of_a_run_reads_its_landmarks(swept: tuple[Run, list[str]]) -> None:
    run, _ = swept
    rows = [row for row in check_run(run.folder) if "landmarks" in row.folder.parts]
    rows = [row for row in rows if "cells" not in row.folder.parts]
    assert len(rows) == 8 and {row.state for row in rows} == {"finished"}


def test_settings_of_the_training_are_those_that_landmarks_were_begun_with(
    swept: tuple[Run, list[str]],
) -> None:
    """The run had no training then; later it was trained with smaller batches, as seed 1 is."""
    run, _ = swept
    sizes = {}
    for name in ("0_60000", "1_60000"):
        trained = TrainResult.load(run.folder / "landmarks" / name / "00", space=tiny.space())
        sizes[name] = trained.config.batch_size
    assert sizes == {"0_60000": QUICK.train.get("batch_size", 32), "1_60000": 8}


def test_what_cannot_have_landmarks_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    with pytest.raises(MpnasError, match="union_share.* depends on the paths of all domains"):
        run.search(config(cost=UnionShare(), cost_target=None))
    assert not (tmp_path / "run").exists()
    run.train(tiny.train_config(), paths=landmark_paths(tiny.space(), config(), ("a", "b"), 1)[0])
    grown = run.grow(tmp_path / "grown", data=tiny.suite(3).select(["c"]))
    with pytest.raises(MpnasError, match="expected landmarks=0 in a run that adds domains"):
        grown.search(landmarks=4)


def test_the_control_says_what_it_needs(tmp_path: Path) -> None:
    context = Context(tiny.space(), ("a", "b"), config())
    with pytest.raises(MpnasError, match="best_landmarks takes its paths from the landmarks"):
        BestLandmarks().plan(context)
    with pytest.raises(MpnasError, match="setting landmarks above 0"):
        run_in(tmp_path / "run", approach="best_landmarks").train(tiny.train_config())


def test_a_training_of_landmarks_can_be_watched_and_stopped(tmp_path: Path) -> None:
    """The request comes in the second set; the same search then continues with it."""
    run, seen = run_in(tmp_path / "run"), list[str]()

    def ask(event: StepEvent) -> None:
        if (event.stage, event.step) == ("landmarks 2/4", 1):
            (watch,) = begun_stages(run.folder)
            seen.append(f"{watch.stage} {watch.state}")
            assert stop_stages([run.folder / "cells" / "one", run.folder])

    with pytest.raises(StopRequested):
        run.search(config(), callbacks=[ask])
    assert seen == ["landmarks/0_60000/01 running"]
    (watch,) = begun_stages(run.folder)
    assert (watch.state, watch.poll().step) == ("stopped", 1)
    run.search(config())
    assert run.finished("search")
