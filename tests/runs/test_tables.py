"""The tables of a run: tidy, with the same columns before and after a stage, written whole."""

import io
import warnings
from pathlib import Path

import pandas as pd
import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.cli.commands import main
from mpnas_kit.runs.tables import TABLES

SEARCH = {"steps": 4, "batch_size": 8, "reward_batch": 8, "paths_per_step": 2, "threads": 1}
TRAIN = {"steps": 4, "batch_size": 8, "evaluate_every": 2, "threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mk.Run:
    made = mk.Run(tmp_path_factory.mktemp("runs") / "one", domains=tiny.suite(), space=tiny.space())
    made.search(**SEARCH)
    made.train(**TRAIN)
    return made


def test_a_run_that_has_not_begun_has_all_columns_and_no_rows(run: mk.Run, tmp_path: Path) -> None:
    new = mk.Run(tmp_path / "new", domains=tiny.suite(), space=tiny.space()).tables.all()
    done = run.tables.all()
    assert list(new) == list(done) == list(TABLES)
    for name in set(TABLES) - {"settings"}:
        assert new[name].empty and not done[name].empty, name
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            both = pd.concat([new[name], done[name]])
        assert both.dtypes.equals(done[name].dtypes), name
        assert list(new[name].columns) == list(done[name].columns), name
    assert len(new["settings"]) == len(done["settings"])
    assert not (tmp_path / "new").exists()


def test_tables_say_what_the_results_say(run: mk.Run) -> None:
    tables, found, trained = run.tables, run.search_result(), run.train_result()
    paths = tables.paths.set_index("domain")
    assert paths["arch"].to_dict() == {d: p.arch for d, p in found.paths.items()}
    assert paths["cost"].to_dict() == found.costs
    assert len(tables.search_history) == len(found.history) == 4 * 2
    sums = tables.policy.groupby(["step", "domain", "decision"])["probability"].sum()
    assert len(sums) == len(found.policy_steps) * 2 * 2 and (sums - 1).abs().max() < 1e-5
    assert tables.training_history["val_accuracy"].notna().sum() == 2 * 2
    test = tables.evaluation[tables.evaluation["split"] == "test"].set_index("domain")["accuracy"]
    assert test.to_dict() == trained.accuracy("test").to_dict()
    assert tables.cells["test"].tolist() == [pytest.approx(test.mean())]
    steps = tables.settings.set_index(["stage", "setting"]).loc[("train", "steps")]
    assert steps["value"] == "4" and steps["changed"]


def test_a_run_without_a_search_has_paths_with_costs_and_no_target(tmp_path: Path) -> None:
    run = mk.Run(
        tmp_path / "one", domains=tiny.suite(), space=tiny.space(), approach=mk.SinglePath()
    )
    tables = run.tables
    assert set(tables.settings["stage"]) == {"train"}
    assert tables.search_history.empty and tables.paths["cost_target"].isna().all()
    expected = mk.path_costs(mk.MultiplyAdds(), run.space, run.paths())
    assert tables.paths.set_index("domain")["cost"].to_dict() == expected
    assert tables.similarity["similarity"].tolist() == [1.0]


def test_a_cell_that_takes_a_search_has_its_tables(run: mk.Run, tmp_path: Path) -> None:
    taker = mk.Run(
        run.folder.parent / "taker",
        domains=tiny.suite(),
        space=tiny.space(),
        search_from=run.folder,
    )
    assert taker.tables.search_history.equals(run.tables.search_history)
    assert taker.tables.training_history.empty


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_tables_are_written_and_read_again(run: mk.Run, tmp_path: Path, format: str) -> None:
    files = run.tables.write(tmp_path / "out", format=format)  # type: ignore[arg-type]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.{format}" for name in TABLES
    )
    read = pd.read_csv if format == "csv" else pd.read_parquet
    for name, table in run.tables.all().items():
        again = read(io.BytesIO(files[name].read_bytes()))
        assert list(again.columns) == list(table.columns) and len(again) == len(table), name
        numbers = table.select_dtypes("number")
        pd.testing.assert_frame_equal(again[numbers.columns], numbers, check_dtype=False)


def test_the_command_writes_the_tables(
    run: mk.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tables", "--run", str(run.folder), "--out", str(tmp_path / "out")]) == 0
    assert "paths.csv: path of every domain, with its cost, 2 rows" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "out" / "paths.csv")) == 2


def test_a_representation_names_every_table(run: mk.Run) -> None:
    html = run.tables._repr_html_()
    assert all(f"<code>{name}</code>" in html and name in repr(run.tables) for name in TABLES)
