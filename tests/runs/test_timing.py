"""How long a run takes: the stages, their steps, and that nothing is written."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.memory import MB, maps_per_image
from mpnas_kit.network.net import Flow
from mpnas_kit.runs import memory, timing
from mpnas_kit.runs.memory import ExpectedMemory, expected_memory, machine_memory
from mpnas_kit.runs.profiles import profile
from mpnas_kit.runs.timing import suggested_steps
from mpnas_kit.search.config import resolve_target
from mpnas_kit.settings import from_dict
from mpnas_kit.space.costs import cost_bounds


def test_a_suite_has_an_expected_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite, space = tiny.suite(2), tiny.space()
    found = mk.expected_time(suite, space, search_steps=400, train_steps=600, measured=8)
    assert found.stages["stage"].tolist() == ["search", "train"]
    assert found.stages["steps"].tolist() == [400, 600]
    row = found.stages.set_index("stage")
    assert (row["seconds_per_step"] > 0).all()
    config = from_dict(mk.SearchConfig, profile("full").search)
    searching = 400 * row.loc["search", "seconds_per_step"]
    searching += config.landmarks * config.landmark_steps * row.loc["train", "seconds_per_step"]
    assert row.loc["search", "minutes"] == pytest.approx(searching / 60)
    training = 600 * row.loc["train", "seconds_per_step"] / 60
    assert row.loc["train", "minutes"] > training, "evaluations count too"
    assert found.minutes == pytest.approx(row["minutes"].sum())
    assert "400 steps" in found.sentence and "estimate from 8 steps" in found.sentence
    assert found.as_dict()["stages"][1]["steps"] == 600
    assert not list(tmp_path.iterdir()), "no file is written"


def test_steps_follow_the_domain_of_median_size() -> None:
    assert suggested_steps(tiny.suite(3)) == {"search": 1300, "train": 1000}
    middle = tiny.domain("m", 3, train=4000)
    large = tiny.domain("l", 3, train=6000)
    suite = mk.DomainSuite((tiny.domain("s"), middle, large))
    assert suggested_steps(suite) == {"search": 2700, "train": 2000}
    assert suggested_steps(replace(suite, domains=(large,)), batch_size=2)["train"] == 20_000


def test_wrong_calls_are_one_sentence() -> None:
    suite = tiny.suite(1)
    for options, words in (
        ({"measured": 2}, "measured must be a whole number from 8"),
        ({"profile": "fulll"}, "did you mean 'full'"),
        ({"train_steps": 0}, "train_steps"),
        ({"space": tiny.space(32)}, "16 pixels"),
    ):
        with pytest.raises(mk.MpnasError, match=words):
            mk.expected_time(suite, **{"space": tiny.space(), **options})  # type: ignore[arg-type]


def test_long_steps_are_measured_with_fewer_images() -> None:
    config, large = mk.SearchConfig(), mk.mobilenet_v3_large(224)
    path = large.parse("")
    images = timing._images(large, config, {"a": path, "b": path})
    assert images == round(60e9 / (7 * 2 * large.cost(path).multiply_adds)) == 20
    assert timing._images(large, config, dict.fromkeys("abcdefghijklmno", path)) == 4
    small = tiny.space()
    assert timing._images(small, config, tiny.paths(small, ["k3e1 k5e3"])) == config.batch_size


def test_paths_become_cheaper_by_hand() -> None:
    space, level = tiny.space(), tiny.search_config(cost_level=0.0)
    cheapest = cost_bounds(level.cost, space, 1)[0]
    mean = resolve_target(space, tiny.search_config(cost_level=1.0), 1)
    assert timing._falling(space, level, "ab") == pytest.approx((1 + cheapest / mean) / 2)
    assert timing._falling(space, tiny.search_config(cost_level=1.0), "ab") == 1
    most = tiny.search_config(cost_target=cost_bounds(level.cost, space, 1)[1])
    assert timing._falling(space, most, "ab") == 1


def test_a_stage_stops_when_enough_steps_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))

    def stage(note: timing.Callable[[mk.StepEvent], None]) -> None:
        for step in range(1, 13):
            note(mk.StepEvent("train", step, 12, {}))

    assert timing._timed(4, stage) == [5.0] * 4  # 8 seconds are over, but four are needed
    assert timing._timed(1, stage) == [5.0] * 2
    monkeypatch.setattr(timing, "_SECONDS", 1e9)
    assert timing._timed(1, stage) == [5.0] * 11


def test_the_memory_of_both_stages_by_hand() -> None:
    """Without averaged layers, paths and widths are known."""
    suite, space = tiny.suite(2), tiny.space()
    paths = tiny.paths(space, ["k3e2 k5e3"] * 2)
    search = tiny.search_config(warmup_share=0, paths_per_step=1, reward_batch=2)
    found = expected_memory(suite, space, search, tiny.train_config(), paths, Compute())
    row = found.stages.set_index("stage").loc["train"]
    flow = Flow("a", torch.empty(1, 3, tiny.SIZE, tiny.SIZE, device="meta"), paths["a"])
    maps, images = maps_per_image(space, flow), tiny.train_config().batch_size
    assert row["maps"] == pytest.approx(4 * images * (2 * maps.kept + 8 * maps.largest) / MB)
    assert row["least"] < row["maps"] and row["weights"] > 0
    assert found.resolution == tiny.SIZE and (found.machine is None or found.machine > 100)


def test_a_collapsed_union_takes_less_memory() -> None:
    suite, space = tiny.suite(2), tiny.space()
    paths = tiny.paths(space, ["k3e2 k5e3", "k5e2se k5e3"])
    search = tiny.search_config()
    plain, collapsed = (
        expected_memory(suite, space, search, tiny.train_config(collapse=c), paths, Compute())
        for c in (False, True)
    )
    weights = [
        found.stages.set_index("stage").loc["train", "weights"] for found in (plain, collapsed)
    ]
    assert weights[0] > weights[1] > 0


@pytest.mark.parametrize(
    ("machine", "budget", "words"),
    [
        (16_000, None, "one of the training 3.1 GB, and there are 16.0 GB."),
        (8_000, 3_500, "--memory-budget 3500, which the times above include, or take images"),
        (3_000, 1_100, "--memory-budget 1100,"),
        (1_800, None, "even with a memory_budget: take images of fewer than 96 pixels, or a"),
        (None, None, "up to 9.5 GB, one of the training 3.1 GB."),
    ],
)
def test_what_to_do_if_a_stage_does_not_fit(
    machine: float | None, budget: int | None, words: str
) -> None:
    rows = [("search", 500.0, 9000.0, 1100.0), ("train", 100.0, 3000.0, 800.0)]
    stages = pd.DataFrame(rows, columns=["stage", "weights", "maps", "least"])
    found = ExpectedMemory(stages, machine, 96)
    assert words in found.sentence
    if not found.fits:
        assert found.budget == budget
    assert found.fits == (machine is None or machine == 16_000)


def test_a_suite_that_does_not_fit_is_timed_with_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda device: 3.0)
    seen: list[int | None] = []
    real = timing.search

    def search(*given: object, **more: object) -> object:
        seen.append(given[2].memory_budget)  # type: ignore[attr-defined]
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(timing, "search", search)
    steps = {"search_steps": 9, "measured": 8}
    found = mk.expected_time(tiny.suite(2), tiny.space(), profile="quick", **steps)
    assert seen == [found.memory.budget] and found.memory.budget is not None
    assert f"--memory-budget {found.memory.budget}" in found.sentence


def test_a_limit_of_a_container_is_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, file = torch.device("cpu"), tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP", file)
    whole = machine_memory(cpu)
    assert whole is not None
    file.write_text("max\n")
    assert machine_memory(cpu) == whole
    file.write_text("64000000\n")
    assert machine_memory(cpu) == 64
    assert machine_memory(torch.device("meta")) is None
