"""Trackers: what they log is what the stage computed, once, and their failures stay their own."""

import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tiny
import whole
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mpnas_kit as mk
from mpnas_kit.cli.commands import main
from mpnas_kit.engine.trackers import StageStart, tracked
from mpnas_kit.tracking import log as log_module
from mpnas_kit.tracking.content import pictures_of_search, png
from mpnas_kit.tracking.log import Pace, Scalar, without_password
from mpnas_kit.tracking.mlflow import MLflowRun
from mpnas_kit.tracking.stage import LoggedStage
from mpnas_kit.tracking.tensorboard import EventFolder

SEARCH = {"steps": 7, "batch_size": 8, "reward_batch": 8, "paths_per_step": 2, "threads": 1}
SEARCH |= {"checkpoint_every": 3, "policy_snapshots": 3}
TRAIN = {"steps": 4, "batch_size": 8, "evaluate_every": 2, "threads": 1}
Values = dict[str, list[tuple[int, float]]]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of one pixel, since drawing takes seconds."""
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "png")
    monkeypatch.setattr("mpnas_kit.tracking.stage.png", lambda draw: stream.getvalue())


def new_run(folder: Path, **more: Any) -> mk.Run:
    return mk.Run(folder, domains=tiny.suite(), space=tiny.space(), **more)


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(
        str(folder), size_guidance={"scalars": 0, "images": 0}, purge_orphaned_data=False
    )
    return found.Reload()


def in_events(folder: Path) -> Values:
    found = events(folder)
    return {
        name: [(point.step, point.value) for point in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data base of MLflow. It is made once, since that takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def client(uri: str) -> Any:
    return __import__("mlflow").MlflowClient(tracking_uri=uri)


def runs_in(uri: str, experiment: str) -> list[Any]:
    found = client(uri).get_experiment_by_name(experiment)
    return list(client(uri).search_runs([found.experiment_id]))


def in_mlflow(uri: str, experiment: str, stage: str) -> Values:
    (run,) = runs_in(uri, experiment)
    own = [name for name in run.data.metrics if name.startswith(f"{stage}/")]
    return {
        name[len(stage) + 1 :]: [
            (point.step, point.value)
            for point in client(uri).get_metric_history(run.info.run_id, name)
        ]
        for name in own
    }


def assert_is_history(values: Values, history: pd.DataFrame) -> None:
    """All metrics of all steps are there once, in order."""
    count = 0
    for metric in history.columns.drop(["step", "domain"]):
        for domain, rows in history.groupby("domain"):
            rows = rows[rows[metric].notna()]
            if len(rows) == 0:
                continue
            count += 1
            found = values[f"{metric}/{domain}"]
            assert [step for step, _ in found] == rows["step"].tolist(), metric
            np.testing.assert_allclose([value for _, value in found], rows[metric], rtol=1e-6)
        means = history.groupby("step")[metric].mean().dropna()
        found = values[f"mean/{metric}"]
        assert [step for step, _ in found] == means.index.tolist()
        np.testing.assert_allclose([value for _, value in found], means, rtol=1e-6)
    assert count >= 6


def paths_of(uri: str, run: str, folder: str) -> Iterator[str]:
    for item in client(uri).list_artifacts(run, folder):
        if item.is_dir:
            yield from paths_of(uri, run, item.path)
        else:
            yield item.path


def test_both_trackers_have_what_a_run_computed(tmp_path: Path, uri: str) -> None:
    trackers = [
        mk.TensorBoard(pictures_every=3),
        mk.MLflow(uri=uri, experiment="both", pictures_every=3),
    ]
    run = new_run(tmp_path / "one")
    found = run.search(**SEARCH, callbacks=trackers)
    trained = run.train(**TRAIN, callbacks=trackers)
    board = run.folder / "tensorboard"
    (tracked_run,) = runs_in(uri, "both")
    assert tracked_run.info.run_name == "one" and tracked_run.info.status == "FINISHED"
    for values in (in_events(board / "search"), in_mlflow(uri, "both", "search")):
        assert_is_history(values, found.history)
        share = found.decisions()["decided"].mean()
        assert [step for step, _ in values["decided"]] == list(found.policy_steps)
        assert values["decided"][-1] == (7, pytest.approx(share))
        for domain, cost in found.costs.items():
            assert values[f"path_cost/{domain}"] == [(7, pytest.approx(cost))]
    sizes = mk.analysis.account(trained.net, trained.paths)
    for values in (in_events(board / "train"), in_mlflow(uri, "both", "train")):
        assert_is_history(values, trained.history)
        for domain, accuracy in trained.accuracy("test").items():
            assert values[f"test/accuracy/{domain}"] == [(4, pytest.approx(accuracy))]
        mean = trained.accuracy("val").mean()
        assert values["val/mean_accuracy"] == [(4, pytest.approx(mean))]
        assert values["size/parameters"] == [(4, sizes.parameters())]

    shown = events(board / "search")
    pictures = {"paths", "similarity", "policy/a", "policy/b"}
    assert set(shown.Tags()["images"]) == pictures
    for name in pictures:
        assert [image.step for image in shown.Images(name)] == [3, 6, 7]
    assert {"accuracy", "paths"} <= set(events(board / "train").Tags()["images"])
    assert "_hparams_/session_start_info" in shown.PluginTagToContent("hparams")

    name = tracked_run.info.run_id
    artifacts = set(paths_of(uri, name, ""))
    drawn = {f"pictures/search/{p}/step_{s:06d}.png" for p in pictures for s in (3, 6, 7)}
    written = {f"tables/search/{t}.csv" for t in ("paths", "decisions", "similarity")}
    written |= {f"tables/train/{t}.csv" for t in ("evaluation", "recalls", "sizes")}
    assert drawn | written | {"search/config.json", "train/metrics.jsonl"} <= artifacts
    local = Path(client(uri).download_artifacts(name, "tables/search/paths.csv", str(tmp_path)))
    assert pd.read_csv(local)["arch"].tolist() == [p.arch for p in found.paths.values()]
    params = tracked_run.data.params
    assert params["search.steps"] == "7" and params["train.steps"] == "4"
    assert params["search.domains"] == "a, b" and params["search.approach"] == "mpnas"


def test_pictures_show_something_and_leave_no_figure_open() -> None:
    found = mk.search(tiny.suite(), tiny.space(), tiny.search_config(steps=2))
    before = plt.get_fignums()
    drawings = [*pictures_of_search(found, step=1), *pictures_of_search(found)]
    assert [name for name, _ in drawings] == ["paths", "similarity", "policy/a", "policy/b"] * 2
    for name, draw in [drawings[0], drawings[2], drawings[5]]:
        picture = Image.open(io.BytesIO(png(draw)))
        assert picture.width > 300 and np.asarray(picture.convert("L")).std() > 5, name
    assert plt.get_fignums() == before
    assert drawings[2][1]().get_title() == "Policy of 'a' after step 1"
    plt.close("all")


@pytest.mark.parametrize("first", [True, False], ids=["tracked", "not tracked before"])
def test_a_resume_goes_on_in_the_same_tracked_run_without_doubled_steps(
    first: bool, tmp_path: Path, uri: str
) -> None:
    experiment = f"resume {first}"
    trackers = [mk.TensorBoard(), mk.MLflow(uri=uri, experiment=experiment)]
    run = new_run(tmp_path / "one")
    with pytest.raises(tiny.Stopped):
        run.search(**SEARCH, callbacks=[*(trackers if first else []), tiny.stop_at(5)])
    if first:
        (stopped,) = runs_in(uri, experiment)
        assert stopped.info.status == "KILLED"
    found = mk.Run.read(run.folder, trust=True)
    again = mk.Run(run.folder, domains=tiny.suite(), space=tiny.space())
    result = again.search(**SEARCH, callbacks=trackers)
    assert found.folder == again.folder
    assert_is_history(in_events(run.folder / "tensorboard" / "search"), result.history)
    assert_is_history(in_mlflow(uri, experiment, "search"), result.history)


def test_a_finished_stage_is_logged_later_and_only_once(tmp_path: Path, uri: str) -> None:
    run = new_run(tmp_path / "one")
    result = run.search(**SEARCH)
    trackers = [mk.TensorBoard(), mk.MLflow(uri=uri, experiment="later")]
    for _ in range(2):
        run.search(**SEARCH, callbacks=trackers)
    assert_is_history(in_events(run.folder / "tensorboard" / "search"), result.history)
    assert_is_history(in_mlflow(uri, "later", "search"), result.history)


@pytest.mark.parametrize("stage", whole.STAGES)
def test_a_tracker_changes_no_byte(stage: str, tmp_path: Path) -> None:
    whole.run(stage, tmp_path / "plain")
    board = mk.TensorBoard(folder=str(tmp_path / "logs"), pictures_every=1)
    whole.run(stage, tmp_path / "tracked", board)
    whole.assert_same_run(stage, tmp_path / "plain", tmp_path / "tracked")
    assert "mean/loss" in in_events(tmp_path / "logs" / "tracked" / stage)


def test_a_failure_warns_once_and_the_rest_is_logged_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "due", True)
    write, fails = EventFolder.scalars, [False, True, True, False]
    calls = iter(fails)

    def scalars(self: EventFolder, some: list[Scalar]) -> None:
        if next(calls, False):
            raise OSError(28, "No space left on device")
        write(self, some)

    monkeypatch.setattr(EventFolder, "scalars", scalars)
    run = new_run(tmp_path / "one")
    with pytest.warns(UserWarning, match="TensorBoard cannot log") as noted:
        found = run.search(**SEARCH, callbacks=[mk.TensorBoard(pictures_every=100)])
    texts = [str(w.message) for w in noted if "cannot log" in str(w.message)]
    assert len(texts) == 1 and "no space left" in texts[0] and "search continues" in texts[0]
    assert next(calls) is False  # after a failure the next try is the end of the stage
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.search(**SEARCH, callbacks=[mk.TensorBoard()])
    assert_is_history(in_events(run.folder / "tensorboard" / "search"), found.history)


def test_a_half_written_event_hides_none_of_the_later_ones(tmp_path: Path) -> None:
    run = new_run(tmp_path / "one")
    with pytest.raises(tiny.Stopped):
        run.search(**SEARCH, callbacks=[mk.TensorBoard(), tiny.stop_at(5)])
    (file,) = (run.folder / "tensorboard" / "search").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    result = run.search(**SEARCH, callbacks=[mk.TensorBoard()])
    assert_is_history(in_events(file.parent), result.history)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_one_sentence_before_anything_is_written(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(log_module.importlib.util, "find_spec", lambda name: None)
    folder = tmp_path / "run"
    arguments = ["--data", "tiny:suite", "--space", "tiny:space", "--steps", "1"]
    assert main(["search", "--run", str(folder), *arguments, "--track", name]) == 2
    said = capsys.readouterr().err
    assert f"pip install 'mpnas-kit[{name}]'" in said and len(said.splitlines()) == 1
    assert not folder.exists()


def test_logs_of_runs_with_one_name_stay_apart(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    tracker = mk.TensorBoard(folder=str(logs))
    one, other = new_run(tmp_path / "x" / "mine"), new_run(tmp_path / "y" / "mine")
    one.search(**SEARCH, callbacks=[tracker])
    other.search(**SEARCH, callbacks=[tracker])
    one.train(**TRAIN, callbacks=[tracker])
    found = sorted(str(p.relative_to(logs)) for p in logs.glob("*/*"))
    assert found == ["mine-2/search", "mine/search", "mine/train"]


def test_a_record_leads_to_no_other_folder(tmp_path: Path) -> None:
    run, logs = new_run(tmp_path / "one"), tmp_path / "logs"
    run.begin()
    (run.folder / "tracking.json").write_text(f'{{"tensorboard": ["{logs}/../elsewhere"]}}')
    run.search(**{**SEARCH, "steps": 2}, callbacks=[mk.TensorBoard(folder=str(logs))])
    assert not (tmp_path / "elsewhere").exists() and (logs / "one" / "search").is_dir()


@pytest.mark.parametrize("content", ["{", "[]", '{"tensorboard": 3}'])
def test_a_damaged_record_is_named_before_the_stage_begins(content: str, tmp_path: Path) -> None:
    run = new_run(tmp_path / "one")
    (run.begin() / "tracking.json").write_text(content)
    tracker = mk.TensorBoard(folder=str(tmp_path / "logs"))
    with pytest.raises(mk.MpnasError, match=r"tracking\.json"):
        run.search(**SEARCH, callbacks=[tracker])


def test_every_cell_of_a_sweep_is_a_tracked_run(tmp_path: Path, uri: str) -> None:
    run = new_run(tmp_path / "one")
    run.search(**{**SEARCH, "steps": 2})
    sweep = mk.sweep_of(
        run,
        approaches="bundle",
        seeds="0, 1",
        search={"steps": 2},
        train={"steps": 2, "batch_size": 8, "threads": 1},
    )
    tracker = mk.MLflow(uri=uri, experiment="sweep")
    sweep.run(callbacks=[tracker, mk.TensorBoard(folder=str(tmp_path / "logs"))])
    names = {r.info.run_name for r in runs_in(uri, "sweep")}
    assert names == {sweep.folder(cell).name for cell in sweep.cells} and len(names) == 2
    tags = {r.data.tags["mpnas.cell_of"] for r in runs_in(uri, "sweep")}
    assert tags == {"one"}
    cells = {p.name for p in (tmp_path / "logs" / "one" / "cells").iterdir()}
    assert cells == names


def test_several_jobs_take_trackers_and_no_other_callbacks(tmp_path: Path) -> None:
    run = new_run(tmp_path / "one")
    sweep = mk.Sweep(run, mk.cells([mk.Bundle()], [mk.Prioritizations.parse("abdp")]))
    with pytest.raises(mk.MpnasError, match="expected trackers only"):
        sweep.run(callbacks=[lambda event: None], executor=mk.Joblib(2))
    assert pickle.loads(pickle.dumps(mk.TensorBoard(folder="x"))) == mk.TensorBoard(folder="x")
    assert pickle.loads(pickle.dumps(mk.MLflow(uri="x"))) == mk.MLflow(uri="x")


def test_only_the_leader_has_trackers(tmp_path: Path) -> None:
    class Other:
        def on_leader(self, make: Callable[[], Any]) -> None:
            """Do nothing, as in ranks besides the leader."""

    start = StageStart("search", tiny.search_config(), tiny.space(), ("a", "b"), None)

    def plain(event: Any) -> None:
        """Do nothing."""

    with tracked([mk.TensorBoard(), plain], start, Other()) as followed:  # type: ignore[arg-type]
        assert followed.callbacks == [plain]


def test_a_stage_without_a_run_needs_a_folder_and_has_no_record(tmp_path: Path) -> None:
    config = tiny.search_config(steps=2)
    with pytest.raises(mk.MpnasError, match=r"tensorboard\(folder='logs'\)"):
        mk.search(tiny.suite(), tiny.space(), config, callbacks=[mk.TensorBoard()])
    logs = tmp_path / "logs"
    found = mk.search(
        tiny.suite(), tiny.space(), config, callbacks=[mk.TensorBoard(folder=str(logs))]
    )
    assert_is_history(in_events(logs / "stage" / "search"), found.history)


def test_telemetry_of_mlflow_is_off(uri: str) -> None:
    mk.MLflow(uri=uri).check()
    assert __import__("mlflow.telemetry").telemetry.get_telemetry_client() is None


def test_work_is_due_after_the_time_that_its_share_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(log_module.time, "monotonic", lambda: now[0])
    pace = Pace(share=0.1, pause=2.0)
    assert not pace.due
    now[0] = 2.0
    assert pace.due
    with pace.work():
        now[0] += 3.0
    assert not pace.due
    now[0] = 34.9
    assert not pace.due
    now[0] = 35.0
    assert pace.due


def test_numbers_go_to_mlflow_in_requests_that_it_takes(uri: str) -> None:
    place = client(uri)
    name = place.create_run(place.create_experiment("many")).info.run_id
    log = MLflowRun(place, name, "search")
    log.scalars([Scalar(f"loss/d{i % 3}", 1 + i // 3, float(i)) for i in range(2400)])
    assert log.last == {"loss/d0": 800, "loss/d1": 800, "loss/d2": 800}
    log.last = {}
    log.refresh()
    assert log.last == {"loss/d0": 800, "loss/d1": 800, "loss/d2": 800}
    log.settings({f"s{i}": "x" * 9000 for i in range(150)}, ())
    log.settings({"s0": "other"}, ())
    params = place.get_run(name).data.params
    assert len(params) == 150 and params["search.s0"].startswith("xxx")


def test_numbers_that_wait_are_dropped_after_a_failure() -> None:
    class Broken(EventFolder):
        def __init__(self) -> None:
            self.last = {}

        def settings(self, *given: Any) -> None:
            raise OSError("http://me:secret@server is gone")

    start = StageStart("train", tiny.train_config(), tiny.space(), ("a",), None)
    stage = LoggedStage(start, Broken(), "Broken")
    with pytest.warns(UserWarning, match="http://server is gone"):
        for step in (1, 2, 3):
            stage(mk.StepEvent("train", step, 9, {"a": {"loss": 1.0}}))
    assert stage._waiting == []


def test_a_message_has_no_password() -> None:
    text = "http://me:secret@server:5000 and postgresql://u:p@db/x"
    assert without_password(text) == "http://server:5000 and postgresql://db/x"
