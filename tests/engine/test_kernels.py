"""The kernels of a stage: they are recorded, a stage keeps to one variant, finished ones are read.

Recorded variants are changed by hand, so that the tests need no compiler.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from whole import FILES, STAGES, assert_same_run, run

from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.records import Environment
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.engine.team import Team
from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels import library
from mpnas_kit.kernels.library import find_library
from mpnas_kit.runs.run import Run

OTHER = "native x86-64-v9 01234567"


def record(folder: Path, **items: Any) -> None:
    """Change items of config.json. None removes an item."""
    content = json.loads((folder / "config.json").read_text())
    content = {k: v for k, v in {**content, **items}.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(content))


def recorded(folder: Path) -> str:
    return StageFolder.read(folder).read_config().kernels


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a native library."""
    monkeypatch.setattr(library, "_found", lambda: "there is no C++ compiler")


@pytest.mark.parametrize("stage", STAGES)
def test_the_variant_is_recorded_beside_the_results_and_not_in_them(
    stage: str, tmp_path: Path
) -> None:
    run(stage, tmp_path)
    found = find_library()
    variant = "eager" if found is None else found.variant
    folder = StageFolder.read(tmp_path)
    assert recorded(tmp_path) == variant
    assert folder.read_json("environment.json", Environment).kernels == variant
    for name in FILES[stage]:
        assert variant.encode() not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("stage", STAGES)
def test_networks_of_a_stage_have_its_library(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    plain = tiny.MultiPathNet.forward

    def forward(net: Any, *given: Any) -> Any:
        seen.append(net.kernels)
        return plain(net, *given)

    monkeypatch.setattr(tiny.MultiPathNet, "forward", forward)
    run(stage, tmp_path)
    assert set(seen) == {find_library()}
    seen.clear()
    run(stage, tmp_path / "eager", kernels="eager")
    assert set(seen) == {None}


@pytest.mark.parametrize("stage", STAGES)
def test_an_unfinished_stage_is_continued_with_its_variant_only(stage: str, tmp_path: Path) -> None:
    with pytest.raises(tiny.Stopped):
        run(stage, tmp_path, tiny.stop_at(4), kernels="eager")
    record(tmp_path, kernels=OTHER)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(MpnasError) as refused:
        run(stage, tmp_path, kernels="eager")
    assert str(refused.value) == (
        f"{tmp_path} was begun with the kernels '{OTHER}', and this process has 'eager', whose "
        "results differ in their last bits: continue on a machine that has the same kernels, or "
        "use another folder."
    )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("stage", STAGES)
def test_an_eager_stage_can_be_continued_anywhere(
    stage: str, tmp_path: Path, no_library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is a wish. What counts is the variant that it led to."""
    run(stage, tmp_path / "whole")
    with pytest.raises(tiny.Stopped):
        run(stage, tmp_path / "run", tiny.stop_at(4))  # auto, on a machine without a library
    monkeypatch.setattr(library, "find_library", lambda: library.Library(OTHER, None))  # type: ignore[arg-type]
    with pytest.raises(MpnasError, match="'eager', and this process has .*--kernels eager"):
        run(stage, tmp_path / "run")
    run(stage, tmp_path / "run", kernels="eager")
    assert_same_run(stage, tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kernels", ["auto", "native", "eager"])
def test_a_finished_stage_is_read_whatever_its_variant(
    stage: str, kernels: str, tmp_path: Path, no_library: None
) -> None:
    result = run(stage, tmp_path, kernels="eager")
    record(tmp_path, kernels=OTHER)
    assert run(stage, tmp_path, kernels=kernels).history.equals(result.history)


def test_a_folder_that_records_no_variant_is_eager(tmp_path: Path) -> None:
    with pytest.raises(tiny.Stopped):
        run("train", tmp_path, tiny.stop_at(1), kernels="eager")
    content = json.loads((tmp_path / "config.json").read_text())["config"]
    del content["kernels"]
    record(tmp_path, kernels=None, config=content)
    assert recorded(tmp_path) == "eager"
    run("train", tmp_path, kernels="eager")


@pytest.mark.parametrize("stage", STAGES)
def test_native_without_a_library_is_refused_before_a_folder_exists(
    stage: str, tmp_path: Path, no_library: None
) -> None:
    with pytest.raises(MpnasError, match="kernels 'native' cannot be used here .there is no C.."):
        run(stage, tmp_path / "run", kernels="native")
    assert not (tmp_path / "run").exists()


def test_a_run_continues_where_its_finished_stages_have_another_variant(
    tmp_path: Path, no_library: None
) -> None:
    made = Run(tmp_path, data="planted(count=2, train=64, test=16)", space="planted")
    small: dict[str, Any] = {"steps": 2, "batch_size": 8, "threads": 1}
    made.search(**small, reward_batch=8)
    content = json.loads((tmp_path / "search" / "config.json").read_text())["config"]
    record(tmp_path / "search", kernels=OTHER, config={**content, "kernels": "native"})
    again = Run.read(tmp_path)
    assert again.search_config().kernels == "native" and again.search().paths
    again.search(kernels="eager")
    again.train(**small)
    assert (recorded(tmp_path / "search"), recorded(tmp_path / "train")) == (OTHER, "eager")
    assert len(again.compare().table()) > 0
    assert (again.about("search")["kernels"], again.about("train")["kernels"]) == ("eager",) * 2
    with pytest.raises(MpnasError, match="native' cannot be used here"):
        made.sibling(tmp_path.with_name("new")).search(**small, kernels="native")


def test_all_processes_of_a_stage_have_the_same_kernels() -> None:
    class Two(Team):
        """The second of two processes, whose leader has other kernels."""

        def on_leader(self, make: Any) -> Any:
            return OTHER

        def any(self, true: bool) -> bool:
            return true

    alone = Compute()
    alone._require_same_kernels()
    with pytest.raises(MpnasError, match=f"the first process has the kernels '{OTHER}', and"):
        replace(alone, team=Two(1, 2))._require_same_kernels()
