"""A sweep runs what is missing, shares searches, and matches its controls."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import tiny

from mpnas_kit.approaches.fixed import PrivatePaths, SharedTrunk
from mpnas_kit.approaches.random_draws import RandomPaths
from mpnas_kit.approaches.searched import MPNAS, Bundle, MultiHead
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.runs import sweep
from mpnas_kit.runs.executors import Joblib
from mpnas_kit.runs.profiles import QUICK
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import Sweep, answer_of, own_comparison, sweep_of
from mpnas_kit.runs.sweep_cells import CELLS, Cell, Prioritizations, cells
from mpnas_kit.space.private_layers import SHARED

SEARCH = {"steps": 4, "warmup_share": 0.0, "policy_snapshots": 2, "batch_size": 4}
TRAIN = {"steps": 3, "evaluate_every": 0, "batch_size": 4}
BOTH, NONE = Prioritizations(ABDP(), ABDP()), Prioritizations(Uniform(), Uniform())


def around(folder: Path) -> Run:
    """A run that is begun with settings of its own."""
    run = Run(folder / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    run.search(tiny.search_config(cost_target=60_000.0))
    run.train(tiny.train_config())
    return run


def small(run: Run, chosen: list[Cell]) -> Sweep:
    return Sweep(run, chosen, SEARCH, TRAIN)


# Which cells --------------------------------------------------------------------------------------


def test_all_combinations_seed_by_seed_and_the_bundle_once() -> None:
    result = cells([MPNAS(), Bundle()], [BOTH, NONE], seeds=[0, 1])
    assert result == [
        Cell(MPNAS(), BOTH),
        Cell(Bundle(), NONE),
        Cell(MPNAS(), NONE),
        Cell(MPNAS(), BOTH, seed=1),
        Cell(Bundle(), NONE, seed=1),
        Cell(MPNAS(), NONE, seed=1),
    ]


def test_names_of_cells_are_names_of_folders_and_all_different() -> None:
    odd = Prioritizations.parse("uniform > abdp(start=0.5)")
    result = cells(
        [MPNAS(), RandomPaths(), RandomPaths(1)], [BOTH, NONE, odd], ["mixed", "naive"], [0, 1]
    )
    names = [c.name for c in result]
    assert len(set(names)) == len(result) == 36
    assert all(set(n) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.ABDP") for n in names)
    assert "random_paths-draw-1_uniform-abdp-start-0.5_mixed_seed1" in "".join(names).replace(
        "random-paths", "random_paths"
    )


@pytest.mark.parametrize("text", ["abdp", "uniform > abdp", "abdp(end=0.5)", "famo > dwa(epoch=3)"])
def test_prioritizations_are_read_as_they_are_written(text: str) -> None:
    assert Prioritizations.parse(text).label == text


def test_a_control_is_preceded_by_the_mpnas_cell_it_is_matched_to(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    control = Cell(RandomPaths(), NONE, seed=3)
    planned = small(run, [control])
    assert planned.cells == [Cell(MPNAS(), NONE, seed=3), control]
    assert planned.other(control) == planned.cells[0]


def test_private_paths_take_the_paths_of_a_cell_with_the_same_search(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    mixed = Prioritizations.parse("abdp > uniform")
    chosen = cells([MPNAS(), PrivatePaths()], [BOTH, mixed])
    private = Cell(PrivatePaths(), mixed)
    assert chosen == [Cell(MPNAS(), BOTH), private, Cell(MPNAS(), mixed)]
    planned = small(run, chosen)
    assert planned.cells == chosen and planned.other(private) == Cell(MPNAS(), BOTH)
    assert small(run, [private]).cells == [Cell(MPNAS(), mixed), private]


def test_cells_with_one_search_share_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    both, search_only = Cell(MPNAS(), BOTH), Cell(MPNAS(), Prioritizations.parse("abdp > uniform"))
    other = Cell(MPNAS(), Prioritizations.parse("uniform > abdp"))
    planned = small(run, [both, search_only, other])
    assert [planned.other(c) for c in planned.cells] == [None, both, None]
    ways = [MPNAS(), MPNAS(private_until=1), MPNAS(scale=2.0)]
    planned = small(run, cells(ways, [BOTH]))
    assert [planned.other(c) for c in planned.cells] == [None, planned.cells[0], None]


# Running ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list[str]]:
    run = around(tmp_path_factory.mktemp("sweep"))
    planned = sweep_of(
        run,
        approaches="mpnas, bundle, multi_head, single_path(frozen=True), random_paths, "
        "shared_trunk, private_paths",
        prioritizations="abdp, abdp > uniform",
        search=SEARCH,
        train=TRAIN,
    )
    lines: list[str] = []
    planned.run(lines.append)
    return planned, lines


def test_every_cell_is_run_once_and_reported(swept: tuple[Sweep, list[str]]) -> None:
    planned, lines = swept
    assert len(planned.cells) == len(lines) == 12  # two share no weights to be prioritized
    assert all("mean test top-1" in line for line in lines)
    again: list[str] = []
    planned.run(again.append)
    assert all("finished before" in line for line in again)


def test_a_finished_cell_of_other_settings_is_refused_by_name(
    swept: tuple[Sweep, list[str]],
) -> None:
    planned, _ = swept
    other = Sweep(planned.around, planned.cells, SEARCH, {**TRAIN, "steps": 4})
    with pytest.raises(MpnasError, match="steps"):
        other.run()


def test_the_order_of_prioritizations_does_not_matter_for_shared_searches(tmp_path: Path) -> None:
    run = around(tmp_path)
    own, both = Cell(MPNAS(), Prioritizations.parse("abdp > uniform")), Cell(MPNAS(), BOTH)
    small(run, [own]).run()
    planned = small(run, [both, own])
    assert (planned.other(both), planned.other(own)) == (own, None)
    lines: list[str] = []
    planned.run(lines.append)
    assert [("finished" in line) for line in lines] == [False, True]
    searches = list((run.folder / CELLS).glob("*/search"))
    assert [s.parent.name for s in searches] == [own.name]
    small(run, [own, both]).run()


def test_cells_take_the_settings_of_the_run_and_of_the_sweep(
    swept: tuple[Sweep, list[str]],
) -> None:
    planned, _ = swept
    for cell in planned.cells:
        opened = planned.open(cell)
        config = opened.train_config()
        assert (config.steps, config.seed, config.norm) == (3, cell.seed, cell.norm)
        assert config.average == 0.9  # that of the run they are around
        if opened.searches:
            assert opened.search_config().cost_target == 60_000.0
            assert opened.search_config().steps == 4


def test_a_shared_search_is_not_run_again(swept: tuple[Sweep, list[str]]) -> None:
    planned, _ = swept
    first, second = (c for c in planned.cells if isinstance(c.approach, MultiHead))
    assert not (planned.folder(second) / "search").exists()
    assert planned.open(second).paths() == planned.open(first).paths()
    assert planned.open(second).search_result().paths == planned.open(first).paths()


def test_controls_are_matched_to_what_mpnas_found(swept: tuple[Sweep, list[str]]) -> None:
    planned, _ = swept
    space = tiny.space()
    for cell in planned.cells:
        match = planned.other(cell)
        if isinstance(cell.approach, RandomPaths):
            assert match is not None
            own, found = planned.open(cell).paths(), planned.open(match).paths()
            for domain, path in own.items():
                costs = [space.cost(p).multiply_adds for p in (path, found[domain])]
                assert abs(costs[0] / costs[1] - 1) <= 0.05
        if isinstance(cell.approach, PrivatePaths):
            assert match is not None
            assert planned.open(cell).paths() == planned.open(match).paths()
        if isinstance(cell.approach, SharedTrunk):
            assert planned.open(cell).train_result().net.private != SHARED


def test_the_table_has_every_cell(swept: tuple[Sweep, list[str]]) -> None:
    planned, _ = swept
    table = planned.run().table()
    assert set(table["approach"]) == {
        "mpnas",
        "bundle",
        "multi_head",
        "single_path(frozen=True)",
        "random_paths",
        "shared_trunk",
        "private_paths",
    }
    assert set(table["prioritization"]) == {"abdp", "abdp > uniform", "none"}
    single = table[table["approach"] == "single_path(frozen=True)"]
    assert list(single["parameter_ratio"]) == [1.0, 1.0]


def test_finished_runs_are_found_from_the_folder_alone(swept: tuple[Sweep, list[str]]) -> None:
    planned, _ = swept
    runs = sweep.finished_runs(planned.around)
    assert len(runs) == 13  # the run and its cells
    labels = {(o.approach, o.prioritization) for o in map(sweep.outcome, runs[1:])}
    assert len(labels) == 12


def test_a_stopped_sweep_continues_and_ends_equal(tmp_path: Path) -> None:
    chosen = [Cell(MPNAS(), NONE), Cell(RandomPaths(), NONE)]
    runs = [around(tmp_path / name) for name in ("stopped", "whole")]
    stopped, whole = (small(run, chosen) for run in runs)
    seen: list[str] = []

    def crash(event: StepEvent) -> None:
        seen.append(event.stage)
        if event.stage == "cell 2/2, train" and event.step == 2:
            raise tiny.Stopped

    with pytest.raises(tiny.Stopped):
        stopped.run(callbacks=[crash])
    assert stopped.finished(chosen[0]) and not stopped.finished(chosen[1])
    stages: list[str] = []
    first = stopped.run(callbacks=[lambda e: stages.append(e.stage)])
    assert set(stages) == {"cell 2/2, train"}
    assert first.domains.equals(whole.run().domains)


def test_a_run_sent_to_another_process_takes_no_images(tmp_path: Path) -> None:
    run = around(tmp_path / "run")
    assert len(run.suite) == 2
    sent = pickle.dumps(run)
    assert tiny.pixels(run.suite["a"].train)[0].numpy().tobytes() not in sent
    again = pickle.loads(sent)
    assert again.folder == run.folder and again.description == run.description


def test_a_stopped_sweep_around_a_run_that_was_not_begun_is_continued(tmp_path: Path) -> None:
    def new() -> Sweep:
        return small(Run(tmp_path, data="tiny:suite", space="tiny:space"), [Cell(MPNAS(), NONE)])

    with pytest.raises(tiny.Stopped):
        new().run(callbacks=[tiny.stop_at(2)])
    again = new()
    again.run()
    assert again.finished(again.cells[0])


@pytest.mark.parametrize("jobs", [0, 2])
def test_jobs_that_cannot_be_are_named(jobs: int, tmp_path: Path) -> None:
    sweep_ = small(around(tmp_path / "run"), [Cell(MPNAS(), NONE)])
    with pytest.raises(MpnasError, match="jobs"):
        sweep_.run(callbacks=[lambda event: None], executor=Joblib(jobs))


def test_the_run_itself_is_a_cell_where_nothing_differs(tmp_path: Path) -> None:
    run = around(tmp_path)
    plain = Sweep(run, [Cell(MPNAS(), BOTH)])
    assert plain.folder(plain.cells[0]) == run.folder and plain.finished(plain.cells[0])
    assert small(run, plain.cells).folder(plain.cells[0]) != run.folder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"approaches": "mpnas, bundel"}, "unknown approach 'bundel'.*did you mean 'bundle'"),
        ({"prioritizations": "abpd"}, "unknown prioritization 'abpd'.*did you mean 'abdp'"),
        ({"prioritizations": "abdp > uniform > famo"}, "expected one for both stages, or two"),
        ({"approaches": "mpnas", "norms": "perdomain"}, "norm must be"),
        ({"train": {"seed": 5}}, "seed cannot be a setting of all cells.*expected it in seeds"),
        (
            {"search": {"prioritization": "uniform"}},
            "prioritization cannot be.*expected it in prioritizations",
        ),
        ({"approaches": "mpnas", "seeds": "0,one"}, "seed must be a whole number, not 'one'"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    with pytest.raises(MpnasError, match=message):
        sweep_of(run, **given)
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_search_says_so(tmp_path: Path) -> None:
    run = Run(
        tmp_path / "run",
        data="tiny:suite(count=3)",
        domains="a,b",
        space="tiny:space",
        approach="single_path",
    )
    for ask in (run.search, run.search_result):
        with pytest.raises(MpnasError, match="no search stage: the approach single_path does not"):
            ask()


def test_a_run_begun_before_an_approach_had_an_option_is_continued(tmp_path: Path) -> None:
    given = {"data": "tiny:suite(count=3)", "domains": "a,b", "space": "tiny:space"}
    Run(tmp_path / "run", approach="bundle", **given).begin()
    file = tmp_path / "run" / "run.json"
    text = file.read_text(encoding="utf-8")
    assert "bundle(scale=1.0)" in text
    file.write_text(text.replace("bundle(scale=1.0)", "bundle"), encoding="utf-8")
    assert Run(tmp_path / "run", approach="bundle").approach == Bundle()
    with pytest.raises(MpnasError, match=r"was begun with approach bundle, not bundle\(scale=2"):
        Run(tmp_path / "run", approach="bundle(scale=2)")


def test_what_an_approach_fixes_cannot_be_overruled(tmp_path: Path) -> None:
    run = Run(
        tmp_path / "run",
        data="tiny:suite(count=3)",
        domains="a,b",
        space="tiny:space",
        approach="bundle",
    )
    with pytest.raises(MpnasError, match="train: private_from is 0 in the approach bundle, not 2"):
        run.train_config(private_from=2)
    assert run.train_config().private_from == 0


def test_the_search_of_the_run_itself_is_taken_where_it_is_the_same(tmp_path: Path) -> None:
    run = around(tmp_path)
    other = Cell(MPNAS(), Prioritizations(ABDP(), Uniform()))
    plain = Sweep(run, [other])
    assert plain.cells == [Cell(MPNAS(), BOTH), other]
    assert plain.other(other) == Cell(MPNAS(), BOTH)
    assert plain.open(other).origin.folder.resolve() == run.folder.resolve()
    assert small(run, [other]).other(other) is None  # its searches have settings of their own


def test_a_search_of_another_seed_than_the_training_is_not_shared(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    run.search(tiny.search_config(seed=0))
    run.train(tiny.train_config(seed=1))
    other = Cell(MPNAS(), Prioritizations(ABDP(), Uniform()), seed=1)
    assert Sweep(run, [other]).cells == [other]


def test_what_the_approach_of_the_run_fixes_is_not_for_the_cells(tmp_path: Path) -> None:
    run = Run(
        tmp_path / "run",
        data="tiny:suite(count=3)",
        domains="a,b",
        space="tiny:space",
        approach="multi_head",
    )
    cell = Cell(MPNAS(), NONE)
    planned = Sweep(run, [cell], {**SEARCH, "paths_per_step": 2}, TRAIN)
    planned.run()
    config = planned.open(cell).search_config()
    assert (config.controllers, config.cost_scope) == ("domain", "joint")


def test_a_cell_of_the_run_s_own_kind_stands_for_it_in_a_comparison(tmp_path: Path) -> None:
    """Its settings are those of the other cells; the run's may be others."""
    run = around(tmp_path)
    assert run.compare().cells["approach"].tolist() == ["mpnas"]
    small(run, cells([MPNAS(), RandomPaths()], [BOTH], seeds=[0])).run()
    table = run.compare().cells
    assert sorted(table["approach"]) == ["mpnas", "random_paths"]


def test_a_later_sweep_takes_the_steps_of_the_cells_that_were_begun(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite", domains="a,b", space="tiny:space")
    cell = Cell(MPNAS(), BOTH)
    Sweep(run, [cell], SEARCH, TRAIN).run()
    later = sweep_of(run, approaches="mpnas, bundle")
    opened = later.open(cell)
    assert opened.search_config().steps == SEARCH["steps"] != run.search_config().steps
    assert later.run_cell(cell).endswith("finished before")
    assert (later._search["steps"], later._train["steps"]) == (SEARCH["steps"], TRAIN["steps"])
    with pytest.raises(MpnasError, match="made with steps = 4, not 5"):
        sweep_of(run, search={"steps": 5}).run()


def test_all_cells_of_the_quick_profile_have_the_budget_of_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", profile="quick", data="tiny:suite", space="tiny:space")
    run.search(tiny.search_config())
    trained = run.train(tiny.train_config())
    planned = sweep_of(run)
    assert planned.folder(planned.cells[0]) == run.folder, "the run itself is the first cell"
    comparison = planned.run()
    assert list(comparison.cells["approach"]) == list(QUICK.approaches)
    assert comparison.cells["test"][0] == trained.accuracy("test").mean()
    for cell in planned.cells:
        opened = planned.open(cell)
        stages = ("search", "train") if opened.searches else ("train",)
        for stage in stages:
            assert opened.config(stage).steps == run.config(stage).steps
    compared = own_comparison(run).cells.set_index("approach")["test"].to_dict()
    assert compared == comparison.cells.set_index("approach")["test"].to_dict(), "all are compared"


def test_a_run_is_compared_with_runs_of_its_own_budget_only(tmp_path: Path) -> None:
    run = around(tmp_path)
    chosen = cells([MPNAS(), RandomPaths()], [BOTH], seeds=[0])
    small(run, chosen).run()
    assert len(own_comparison(run).cells) == 1 < len(run.compare().cells)
    Sweep(run, cells([MPNAS(), RandomPaths()], [BOTH], seeds=[1])).run()
    compared = own_comparison(run)
    assert sorted(zip(compared.cells["approach"], compared.cells["seed"], strict=True)) == [
        ("mpnas", 0),
        ("mpnas", 1),
        ("random_paths", 1),
    ]
    control = Run.read(run.folder / "cells" / Cell(RandomPaths(), BOTH, seed=1).name)
    assert len(own_comparison(control).cells) == 3, "a cell has the others of its sweep"
    assert answer_of(control, compared).approach == "random_paths"
    assert answer_of(run, compared.where(approach="random_paths")).approach == "random_paths"


def test_a_comparison_of_nothing_says_what_is_missing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite", space="tiny:space")
    with pytest.raises(MpnasError, match="no training of .*run or its cells is finished"):
        run.compare()
