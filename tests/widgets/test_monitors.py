"""Live views of searches and trainings, in this process and in another one, without a browser."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.engine.loop import Callback, StepEvent
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.watching import News, Watch
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train
from mpnas_kit.widgets import Focus, SearchMonitor, TrainMonitor, watch
from mpnas_kit.widgets.monitor import Controls


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(tiny.suite(3), tiny.space(), tiny.search_config(steps=8, policy_snapshots=4))


@pytest.fixture(scope="module")
def trained(found: SearchResult) -> TrainResult:
    config = tiny.train_config(steps=8, evaluate_every=4)
    return train(tiny.suite(3), found.space, found.paths, config)


def panels(monitor: SearchMonitor | TrainMonitor) -> dict[str, Any]:
    return {panel["title"]: panel for panel in monitor.chart.content["panels"]}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# A stage of this process --------------------------------------------------------------------------


def started(folder: Path, steps: int = 200) -> SearchMonitor:
    suite, space = tiny.suite(2), tiny.space()
    monitor = SearchMonitor(space, suite.names, every=0.0)
    config = tiny.search_config(steps=steps, checkpoint_every=500)

    def run(callback: Callback) -> SearchResult:
        return search(suite, space, config, folder=folder, callbacks=[callback])

    monitor.start(run)
    return monitor


def test_a_page_gets_a_state_and_its_status_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    controls = Controls("search", print)
    sent: list[Any] = []
    monkeypatch.setattr(controls, "send_state", lambda key=None: sent.append(set(key)))
    controls.say("stopped", "after step 3 of 9", 0.3)
    assert sent == [{"state", "status", "progress"}]


def test_a_search_is_paused_resumed_and_stopped_with_a_checkpoint(tmp_path: Path) -> None:
    monitor = started(tmp_path / "run")
    controls = monitor.controls
    until(lambda: "step 3" in controls.status)
    assert controls.can == ["pause", "stop"]
    monitor._hear("pause")
    until(lambda: controls.state == "paused")
    before = controls.status
    time.sleep(0.3)
    assert controls.status == before and before.startswith("step ")
    monitor._hear("resume")
    until(lambda: controls.status != before and controls.state == "running")
    until(lambda: "s per step" in controls.status and "left" in controls.status)
    monitor._hear("stop")
    with ThreadPoolExecutor(1) as other:  # a browser test may have left a loop in this thread
        waiting = other.submit(asyncio.run, monitor.wait())
        with pytest.raises(MpnasError, match="the search was stopped: start it again to continue"):
            waiting.result()
    assert controls.state == "stopped" and controls.can == []
    step = int(controls.status.split("after step ")[1].split()[0])
    left = StageFolder(tmp_path / "run").load_checkpoint()
    assert left is not None and left.step == step < 200
    again = started(tmp_path / "run")
    found = again.result()
    assert len(found.history) == 400 and again.controls.state == "finished"
    entropy = panels(again)["entropy, as a share of its maximum"]
    assert len(entropy["steps"]) == 4 * 200  # bytes
    assert again.policy.content["domains"] == ["a", "b"]


def test_a_second_start_is_refused_and_an_interrupted_wait_stops_the_search(
    tmp_path: Path,
) -> None:
    monitor = started(tmp_path / "run")
    until(lambda: "step 3" in monitor.controls.status)
    with pytest.raises(MpnasError, match="a search is running in this monitor"):
        monitor.start(lambda callback: pytest.fail("it was started"))

    async def interrupted() -> None:
        waiting = asyncio.ensure_future(monitor.wait())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with ThreadPoolExecutor(1) as other:
        other.submit(asyncio.run, interrupted()).result()
    with pytest.raises(MpnasError, match="the search was stopped"):
        monitor.result()
    assert monitor.controls.state == "stopped"
    assert StageFolder(tmp_path / "run").load_checkpoint() is not None


def test_an_error_of_a_search_is_shown_and_raised() -> None:
    monitor = SearchMonitor(tiny.space(), ["a"])

    def run(callback: Callback) -> SearchResult:
        raise MpnasError("no such thing.")

    with pytest.raises(MpnasError, match="no search was started in this monitor"):
        monitor.result()
    monitor.start(run)
    with pytest.raises(MpnasError, match="no such thing"):
        monitor.result()
    assert (monitor.controls.state, monitor.controls.status) == ("failed", "no such thing.")


def test_a_training_is_shown_while_it_runs(found: SearchResult) -> None:
    monitor = TrainMonitor(list(found.paths), every=0.0)
    suite, config = tiny.suite(3), tiny.train_config(steps=6, evaluate_every=3)
    monitor.start(
        lambda callback: train(suite, found.space, found.paths, config, callbacks=[callback])
    )
    trained = monitor.result()
    assert monitor.trained is trained and monitor.controls.progress == 1.0
    assert "mean accuracy" in monitor.controls.status
    assert list(panels(monitor)) == [
        "loss (nats)",
        "validation accuracy",
        "accuracy on training batches",
        "weight of the loss",
    ]
    assert len(panels(monitor)["validation accuracy"]["steps"]) == 4 * 2


def test_events_of_another_stage_are_not_shown() -> None:
    monitor = TrainMonitor(["a"], every=0.0)
    monitor(StepEvent("search", 1, 9, {"a": {"loss": 1.0}}))
    assert panels(monitor) == {} and monitor.controls.state == "not started"
    monitor(StepEvent("train", 1, 9, {"a": {"loss": 1.0}}))
    sizes = {title: len(panel["steps"]) for title, panel in panels(monitor).items()}
    assert sizes.pop("loss (nats)") == 4 and set(sizes.values()) == {0}  # bytes


# What is shown ------------------------------------------------------------------------------------


def test_the_monitor_shows_the_policy_and_the_cost_target(found: SearchResult) -> None:
    monitor = SearchMonitor.of(found)
    content = monitor.policy.content
    values = np.frombuffer(content["values"], "<f4")
    counts = [len(d["choices"]) for d in content["decisions"]] * 3
    sums = np.add.reduceat(values, np.cumsum([0, *counts[:-1]]))
    assert sums == pytest.approx(np.ones(len(counts)))
    assert [d["name"] for d in content["decisions"]] == ["one", "two"]
    assert content["when"] == "policy after step 8"
    (target,) = panels(monitor)["cost of sampled paths"]["references"]
    assert target["value"] == pytest.approx(found.cost_target)
    live = SearchMonitor(found.space, list(found.paths), config=found.config)
    assert live.targets == pytest.approx(found.cost_targets)


def test_a_node_has_a_panel_with_its_probability(found: SearchResult) -> None:
    monitor = SearchMonitor.of(found)
    before = len(panels(monitor))
    monitor.policy.domain, monitor.policy.node = "b", [2, "k5e3"]  # as a click sends it
    assert monitor.focus.selected.domain == "b" and monitor.focus.node == (2, "k5e3")
    panel = panels(monitor)["probability of k5e3 in two"]
    values = np.frombuffer(panel["groups"][0]["values"], "<f4").reshape(3, -1)
    choice = found.space.decisions[1].choices.index("k5e3")
    assert np.array_equal(values, found.policy[:, :, 1, choice].T)
    assert np.frombuffer(panel["steps"], "<f4").tolist() == list(found.policy_steps)
    monitor.focus.node = ()
    assert len(panels(monitor)) == before


def test_domain_step_and_node_are_shared_with_other_explorers(found: SearchResult) -> None:
    focus = Focus([*found.paths, "other"], found.space)
    one, two = SearchMonitor.of(found, focus=focus), SearchMonitor.of(found, focus=focus)
    one.chart.domain, one.chart.step = "b", 4
    assert (two.chart.domain, two.chart.step, two.policy.domain) == ("b", 4, "b")
    assert two.policy.content["when"] == "policy after step 4"
    focus.node, focus.search_step = (1, "k3e2"), 3
    assert two.policy.node == [1, "k3e2"] and one.chart.step == 3
    assert one.policy.content["when"] == "policy after step 2"
    focus.domain = "other"
    assert one.chart.domain == "" and focus.domain == "other"


def test_data_and_code_make_a_monitor_again(found: SearchResult, trained: TrainResult) -> None:
    searched, training = SearchMonitor.of(found), TrainMonitor.of(trained)
    assert searched.data() is found.history and training.data() is trained.history
    searched.focus.node, searched.chart.log = (1, "k3e2"), True
    training.chart.zoom = [2, 5]
    for monitor in (searched, training):
        names = {"mk": mk, "found": found, "trained": trained}
        exec(monitor.code(), names)
        assert names["monitor"].code() == monitor.code()
    live = SearchMonitor(found.space, list(found.paths), every=0.0)
    live(StepEvent("search", 1, 9, {"a": {"reward": 0.5}}))
    assert live.data()[["panel", "domain", "value"]].values.tolist() == [["reward", "a", 0.5]]


# A stage of another process -----------------------------------------------------------------------


class Script(Watch):
    """A watch that tells what it is given, one part per look; the last part stays."""

    def __init__(self, *news: News) -> None:
        self.news, self.stops = list(news), 0

    def poll(self) -> News:
        return self.news.pop(0) if len(self.news) > 1 else self.news[0]

    def stop(self) -> None:
        self.stops += 1


def row(step: int, reward: float) -> dict[str, Any]:
    return {"step": step, "domains": {"a": {"reward": reward}}}


@pytest.fixture
def foreign(found: SearchResult) -> Iterator[Callable[..., SearchMonitor]]:
    """A function that returns a monitor of a scripted stage, which ends with the test."""
    scripts = []

    def begin(*news: News) -> SearchMonitor:
        monitor = SearchMonitor(found.space, list(found.paths), every=0.01)
        scripts.append(Script(*news))
        monitor.follow(scripts[-1], lambda: found)
        return monitor

    yield begin
    for one in scripts:
        one.news = [News("finished", 8, 8, [])]


def test_a_running_search_of_another_process_is_shown_and_stopped(
    found: SearchResult, foreign: Callable[..., SearchMonitor]
) -> None:
    first = News("running", 2, 8, [row(1, 0.1), row(2, 0.2)], found.policy[0])
    later = News("running", 3, 8, [row(3, 0.3)], None, 0.5, 2.5)
    monitor = foreign(News("not started", 0, 0, []), first, later, News("running", 3, 8, []))
    until(lambda: "step 3 of 8" in monitor.controls.status)
    assert "0.5 s per step · 2 s left" in monitor.controls.status
    assert monitor.controls.foreign and monitor.controls.can == ["stop"]
    sent = panels(monitor)["reward"]["groups"][0]["values"]
    assert np.frombuffer(sent, "<f4")[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert monitor.policy.content["when"].startswith("policy after step 2")
    with pytest.raises(MpnasError, match="runs in another process: it can be stopped here"):
        monitor.pause()
    monitor._hear("stop")
    assert monitor._watch.stops == 1 and monitor.controls.state == "stopping"  # type: ignore[union-attr]


def test_a_search_that_was_cut_back_is_shown_anew_and_its_end_is_the_result(
    found: SearchResult, foreign: Callable[..., SearchMonitor]
) -> None:
    monitor = foreign(
        News("running", 3, 8, [row(1, 0.1), row(2, 0.2), row(3, 0.3)]),
        News("stopped", 3, 8, []),
        News("running", 2, 8, [row(1, 0.1), row(2, 0.9)], restarted=True),
        News("running", 2, 8, []),
    )
    until(lambda: "step 2 of 8" in monitor.controls.status)
    sent = panels(monitor)["reward"]["groups"][0]["values"]
    assert np.frombuffer(sent, "<f4")[:2] == pytest.approx([0.1, 0.9])
    monitor._watch.news = [News("finished", 8, 8, [])]  # type: ignore[union-attr]
    assert monitor.result() is found and monitor.controls.state == "finished"


def test_a_watched_search_that_nobody_runs_can_be_started_here(
    found: SearchResult, foreign: Callable[..., SearchMonitor]
) -> None:
    monitor = foreign(News("running", 2, 8, [row(1, 0.1), row(2, 0.2)]))
    until(lambda: monitor.controls.state == "running")
    with pytest.raises(MpnasError, match="a search is running in this monitor"):
        monitor.start(lambda callback: found)
    monitor._watch.news = [News("stopped", 2, 8, [])]  # type: ignore[union-attr]
    until(lambda: monitor.controls.state == "stopped")
    monitor.start(lambda callback: found)
    assert monitor.result() is found and not monitor.controls.foreign


def test_domains_have_the_colours_of_the_run(found: SearchResult) -> None:
    names = ["digits", *found.paths]
    monitor = SearchMonitor.of(found, focus=Focus(names, found.space))
    colors = mk.plots.domain_variables(names)
    assert {x["name"]: x["color"] for x in monitor.chart.content["lines"]}.items() <= colors.items()
    assert monitor.policy.content["colors"].items() <= colors.items()


def test_watch_follows_the_files_of_a_run(tmp_path: Path) -> None:
    """A thread runs the search, as another process would: the monitor sees its files only."""
    run = Run(tmp_path / "run", domains=tiny.suite(2), space=tiny.space())
    config = tiny.search_config(steps=300, checkpoint_every=1, policy_snapshots=300)

    def work() -> None:
        with pytest.raises(KeyboardInterrupt):
            run.search(config, callbacks=[lambda event: time.sleep(0.02)])

    run.begin()
    monitor = watch(run)
    assert isinstance(monitor, SearchMonitor) and monitor.controls.state == "not started"
    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: "left" in monitor.controls.status)
    assert monitor.controls.state == "running"
    until(lambda: "policy after" in str(monitor.policy.content))
    monitor.stop()
    thread.join()
    until(lambda: monitor.controls.state == "stopped")
    with pytest.raises(MpnasError, match="unknown stage 'report'"):
        watch(run, "report")
    with pytest.raises(MpnasError, match="expected a run folder"):
        watch(tmp_path, "train")
