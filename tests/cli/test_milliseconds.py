"""A search that is held to milliseconds, from the command line, in several processes."""

import json
from pathlib import Path

import pytest
import tiny

from mpnas_kit import parts
from mpnas_kit.cli.commands import main
from mpnas_kit.runs.run import Run
from mpnas_kit.space.latency_file import LatencyFile, Time, Unit

TINY = ["--batch-size=8", "--reward-batch=8", "--paths-per-step=2", "--threads=1"]
SPACE = f"{Path(tiny.__file__)}:space"
SEARCH = ["search", "--run", "run", "--data", "planted", "--space", SPACE, "--steps", "4", *TINY]
COST = ["--cost", "latency(path='phone.csv')", "--cost-target", "0.05"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    another_process(monkeypatch)
    write_table(0.01)


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_GIVEN", {})


def write_table(each: float, without: str = "nothing") -> None:
    units = [Unit("call", 3, 10, 1, 16), *map(Unit.of, tiny.space().all_uses())]
    times = {unit: Time(each) for unit in units if unit.block != without}
    Path("phone.csv").write_text(LatencyFile({"device": "a phone"}, times).text(), "utf-8")


def test_a_search_is_held_to_milliseconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SEARCH, *COST]) == 0
    assert "cost: ms per image; cost target: 0.05" in capsys.readouterr().out
    results = json.loads(Path("run/search/results.json").read_text())
    assert results["cost_target"] == 0.05
    for domain, arch in results["paths"].items():
        blocks = 4 - arch.split().count("zero")
        assert results["costs"][domain] == pytest.approx(0.01 * (1 + blocks))
    another_process(monkeypatch)
    found = Run.read("run").search_result()
    assert found.cost_unit == "ms" and "<td>0.05</td>" in found._repr_html_()
    assert found.config.cost.unit == "ms"
    assert main(["train", "--run", "run", "--steps", "2", "--batch-size", "8"]) == 0


def test_a_stopped_search_continues_in_another_process_with_the_same_table_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run = Run("run", data="planted", space=SPACE)
        few = dict(zip(("batch_size", "reward_batch", "paths_per_step"), (8, 8, 2), strict=True))
        few |= {"checkpoint_every": 1, "threads": 1, "steps": 4}
        run.search(cost=COST[1], cost_target=0.05, callbacks=[stop], **few)
    another_process(monkeypatch)
    begin = ["search", "--run", "run", "--trust"]

    write_table(0.011)
    assert main(begin) == 2
    said = capsys.readouterr().err
    assert "phone.csv has changed: its checksum is" in said and said.count("\n") == 1
    assert main([*begin, *COST]) == 2
    assert 'run/search was made with cost = "latency(path=' in capsys.readouterr().err
    assert not Path("run/search/results.json").exists()

    write_table(0.01)
    assert main(begin) == 0
    assert Path("run/search/results.json").exists()


def test_a_table_without_a_row_is_refused_before_a_folder_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_table(0.01, without="inverted_bottleneck(expansion=2)")
    assert main([*SEARCH, *COST]) == 2
    said = capsys.readouterr().err
    assert "has no row for block 'k3e2', 8 to 8 channels, stride 1, at 8 px" in said
    assert not Path("run").exists()


def test_a_target_out_of_reach_is_refused_in_ms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SEARCH, *COST[:2], "--cost-target", "5"]) == 2
    assert "cost_target 5 cannot be reached" in (said := capsys.readouterr().err)
    assert "cost 0.04 to 0.05 ms" in said
