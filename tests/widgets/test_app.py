"""The app of a run: one choice for all explorers, stages that are not finished, and its code."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.approaches.approach import Approach
from mpnas_kit.approaches.fixed import SinglePath
from mpnas_kit.approaches.searched import Bundle
from mpnas_kit.errors import MpnasError
from mpnas_kit.runs.run import Run
from mpnas_kit.widgets.app import GRID, TABS, App, explore
from mpnas_kit.widgets.focus import Focus, FocusBar, Selected

SHORT: dict[str, Any] = {"steps": 4, "batch_size": 4, "threads": 1}
NAMES = ["search", "paths", "similarity", "training", "prioritization", "results", "images"]


def begun(folder: Path) -> Run:
    """A new run of three tiny domains."""
    run = Run(folder, domains=tiny.three(), space=tiny.space())
    run.search_config()
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    run = begun(tmp_path_factory.mktemp("app") / "run")
    run.search(**SHORT, policy_snapshots=4, controller_delay=0.2, warmup_share=0.1, reward_batch=4)
    run.train(**SHORT, evaluate_every=2)
    return run


@pytest.fixture
def app(run: Run) -> App:
    return App(run)


def test_an_explorer_is_made_when_it_is_opened(app: App) -> None:
    assert list(app.explorers) == ["paths"]
    app["images"]
    assert list(app.explorers) == ["paths", "images"]
    app.arrangement.value = GRID
    assert sorted(app.explorers) == sorted(NAMES)
    app.arrangement.value = TABS
    assert len(app.children) == 3
    with pytest.raises(MpnasError, match="unknown explorer 'path': did you mean 'paths'"):
        app["path"]


def test_a_choice_in_one_explorer_is_the_choice_of_all(app: App, run: Run) -> None:
    domains = list(run.domains)
    for name in NAMES:
        app[name]
    bar = app.children[0]
    assert isinstance(bar, FocusBar)
    assert app.selected == Selected()
    bar.domain = domains[1]
    assert app.selected.domain == domains[1]
    assert app["images"].domain.value == domains[1]
    app["images"].domain.value = domains[2]
    assert app.selected.domain == bar.domain == domains[2]
    app["paths"].pinned = [[1, run.space.layers[1].choices[0]]]
    assert app.selected.node is not None and app.selected.node.layer == 1
    app["paths"].compare = domains[:2]
    assert app.selected.pair == (domains[0], domains[1]) == app["similarity"].selected
    app["paths"].at = 0
    steps = run.search_result().policy_steps
    assert app.selected.search_step == app["search"].chart.step == steps[0]
    app["search"].chart.step = int(steps[-1])
    assert app["paths"].at == len(steps) - 1
    app["training"].chart.step = 2
    assert app.selected.train_step == app["prioritization"].chart.step == 2
    app.focus.clear()
    assert app.selected == Selected() and bar.domain == ""


def test_edited_paths_can_be_trained(app: App, run: Run) -> None:
    assert app.paths == run.search_result().paths
    domain = run.domains[0]
    other = next(p for p in tiny.all_paths(run.space) if p != app.paths[domain])
    app["paths"].paths = {**app.paths, domain: other}
    assert app.paths[domain] == other
    trained = mk.train(run.suite, run.space, app.paths, tiny.train_config(steps=2))
    assert trained.paths[domain] == other


def test_the_code_of_every_explorer_makes_it_again(
    app: App, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(mk, "Run", lambda folder: run)  # its images are in memory only
    for name in NAMES:
        assert_code_makes(app, name)
        assert not app[name].data().empty


def test_the_code_of_every_explorer_has_what_it_follows_of_a_choice(
    app: App, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(mk, "Run", lambda folder: run)
    app.focus.domain, app.focus.node = run.domains[1], (1, run.space.layers[1].choices[1])
    app.focus.search_step = app.focus.train_step = 2
    for name in NAMES:
        made = assert_code_makes(app, name)
        assert made.focus.domain == run.domains[1] or name == "images"
    focus = Focus(["a", "other"])
    focus.domain, focus.pair = "other", ("a", "other")
    assert focus.code("explorer", ["domain", "pair"], ["a"]) == []


@pytest.mark.parametrize("approach", [SinglePath(), Bundle()])
def test_a_run_without_search_or_training_has_the_other_explorers(
    approach: Approach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", domains=tiny.suite(), space=tiny.space(), approach=approach)
    monkeypatch.setattr(mk, "Run", lambda folder: run)
    images = App(run)
    assert_code_makes(images, "images")
    if not run.searches:
        with pytest.raises(MpnasError, match="does not search"):
            images["search"]
        run.train(**SHORT, evaluate_every=0)
        app = App(run)
        app.rehearse()
        assert list(assert_code_makes(app, "paths").paths) == list(run.domains)
        assert "search" not in app.explorers


def test_a_domain_that_was_not_trained_has_images_only(run: Run) -> None:
    paths = {d: run.search_result().paths[d] for d in run.domains[:2]}
    trained = mk.train(run.suite.select(run.domains[:2]), run.space, paths, tiny.train_config())
    browser = mk.widgets.DomainBrowser(run.suite, trained)
    assert "predicted" in browser.data() and browser.scores.layout.display is None
    browser.focus.domain = run.domains[2]
    assert "predicted" not in browser.data() and browser.scores.layout.display == "none"
    assert len(browser.data()) == len(run.suite[run.domains[2]].test)
    browser.rehearse()
    browser.focus.domain = run.domains[0]
    assert "predicted" in browser.data() and browser.scores.layout.display is None


def assert_code_makes(app: App, name: str) -> Any:
    """Run the code of an explorer, check that it makes one of the same kind, and return it."""
    made: dict[str, Any] = {}
    code = app[name].code()
    exec(code, made)
    explorer = made[code.splitlines()[-1].strip()]
    assert type(explorer) is type(app[name]), code
    return explorer


def test_all_controls_can_be_rehearsed_and_the_open_tab_has_a_figure(app: App) -> None:
    app.rehearse()
    assert app.figure() is not None


def test_stages_that_are_not_finished_are_computed(tmp_path: Path) -> None:
    run = Run(tmp_path / "new", domains=tiny.three(), space=tiny.space())
    short = {"search": {**SHORT, "reward_batch": 4}, "train": {**SHORT, "evaluate_every": 0}}
    search, train = run.search, run.train
    object.__setattr__(run, "search", lambda **more: search(**short["search"], **more))
    object.__setattr__(run, "train", lambda **more: train(**short["train"], **more))
    app = App(run)
    assert list(app.explorers) == ["search"]
    with pytest.raises(MpnasError, match="search"):
        app["similarity"]
    with ThreadPoolExecutor(1) as other:  # this thread has a loop if a browser is open
        other.submit(asyncio.run, app.finish()).result()
    assert run.finished("search") and run.finished("train")
    assert app["search"].controls.state == app["training"].controls.state == "finished"
    assert set(app.paths) == set(run.domains)
    assert not app["results"].data().empty


def test_explore_takes_a_folder_and_refuses_what_is_no_run(run: Run, tmp_path: Path) -> None:
    assert explore(run).run is run
    assert explore(run.folder).run.folder == run.folder
    with pytest.raises(MpnasError, match=r"has no run|no run"):
        explore(tmp_path)


# The choice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("domain", "dgits", "unknown domain 'dgits'"),
        ("pair", ("digits",), "pair must be two different domains"),
        ("pair", ("digits", "digits"), "pair must be two different domains"),
        ("pair", ("digits", "x"), "unknown domain 'x'"),
        ("node", (99, "k3e1"), "node must be"),
        ("node", (1, "k9"), "node must be"),
        ("node", ("a", "k3e1"), "node must be"),
        ("search_step", -1, "search_step must be a step, from 0"),
    ],
)
def test_a_wrong_choice_is_refused_in_a_sentence(name: str, value: Any, sentence: str) -> None:
    focus = Focus(["digits", "letters"], tiny.space())
    with pytest.raises(MpnasError, match=sentence):
        setattr(focus, name, value)
    assert focus.selected == Selected()


def test_a_bar_follows_the_choice_and_changes_it() -> None:
    focus = Focus(["digits", "letters"], tiny.space())
    bar = FocusBar(focus)
    focus.node = (1, tiny.space().layers[1].choices[0])
    assert bar.node == [*focus.node, tiny.space().layers[1].name]
    bar.node = []
    bar.pair = ["letters", "digits"]
    assert focus.node == () and focus.pair == ("letters", "digits")
