"""Records of a study compare as the study does, and the tables of the docs are made from them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.runs.run import Run


@pytest.fixture(scope="module")
def study() -> ModuleType:
    place = Path(__file__).parents[1] / "tools/study.py"
    spec = importlib.util.spec_from_file_location("study", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["study"] = module
    spec.loader.exec_module(module)
    return module


def test_records_compare_as_the_run_but_for_its_weights(tmp_path: Path, study: ModuleType) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    run.search(tiny.search_config(cost_target=60_000.0))
    run.train(tiny.train_config())
    study.keep(run.folder, tmp_path / "records")
    names = {f.name for f in (tmp_path / "records/train").iterdir()}
    assert names == {
        f"{name}.json" for name in ("config", "environment", "paths", "results", "timing")
    }
    kept = Run.read(tmp_path / "records", trust=True)
    assert kept.search_result().paths == run.search_result().paths
    own, other = run.compare(), kept.compare()
    assert own.cells["bytes"].notna().all() and other.cells["bytes"].isna().all()
    pd.testing.assert_frame_equal(
        own.cells.drop(columns="bytes"), other.cells.drop(columns="bytes")
    )
    pd.testing.assert_frame_equal(own.domains, other.domains)
    assert other.has_sizes


def test_the_tables_of_the_docs_are_those_of_the_records(study: ModuleType) -> None:
    page = study.PAGE.read_text(encoding="utf-8")
    assert set(study.TABLES) == {
        line.split()[2] for line in page.splitlines() if "<!-- table" in line
    }
    assert study.filled(page, mk.Run.read(study.RECORDS).compare()) == page
