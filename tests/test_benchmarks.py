"""The benchmarks: the yardstick of the engine, and the kills and faults, in small."""

import importlib.util
import json
import os
import random
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.cli.model_parsers import export_parser
from mpnas_kit.cli.parsers import report_parser, stage_parser, sweep_parser
from mpnas_kit.engine.step import set_rate
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CLASSES = {"a": 3, "b": 4}
ARCHS = ["k3e1 k5e3", "k3e1 k3e1"]


def test_the_obvious_loop_makes_the_step_and_the_rewards_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    obvious = benchmark("obvious", monkeypatch)
    space = tiny.space()
    paths = tiny.paths(space, ARCHS)
    batches, rewards = (
        {
            d: (tiny.images(8, seed=first + i), torch.arange(8) % n)
            for i, (d, n) in enumerate(CLASSES.items())
        }
        for first in (0, 10)
    )
    sampled = {d: list(tiny.all_paths(space))[:3] for d in CLASSES}
    nets = [
        MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0, collapse=True)
        for _ in "eo"
    ]
    optimisers = [tiny.sgd(net, 0.9, 1e-3) for net in nets]
    for optimiser in optimisers:
        set_rate(optimiser, 0.1)
    tiny.step(
        nets[0], optimisers[0], batches, paths, Uniform().begin(tiny.tasks(CLASSES)), 0.1, 0.0
    )
    with torch.no_grad():
        flows = [Flow(d, rewards[d][0], path) for d in CLASSES for path in sampled[d]]
        logits = nets[0](flows)
    expected = [
        tiny.tasks(CLASSES)[f.domain].quality(x, rewards[f.domain][1])
        for f, x in zip(flows, logits, strict=True)
    ]

    def forward(domain: str, images: torch.Tensor, path: mk.Path) -> torch.Tensor:
        return nets[1]([Flow(domain, images, path)])[0]

    qualities = obvious.obvious_step(
        forward, nets[1].tasks, optimisers[1], batches, paths, rewards, sampled, 0.1
    )
    assert [q for d in CLASSES for q in qualities[d]] == pytest.approx(expected)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module of a benchmark, under a name of its own."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_commands_that_are_killed_are_commands_of_the_kit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kills = benchmark("kills", monkeypatch)
    parsers = {"sweep": sweep_parser(), "report": report_parser(), "export": export_parser()}
    parsers |= {stage: stage_parser(stage) for stage in ("search", "train")}
    for commands in dict.fromkeys(kind.commands for kind in kills.KINDS.values()):
        for command in commands(tmp_path):
            name, *options = command[command.index("mpnas_kit") + 1 :]
            parsers[name].parse(options)
    assert sum(kind.share for kind in kills.KINDS.values()) == 100


def test_a_process_that_outlives_its_parent_is_found_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kills = benchmark("kills", monkeypatch)
    monkeypatch.setattr(kills, "PATIENCE", 0.1)
    process = kills.start(["sh", "-c", "sleep 60 & wait"], tmp_path, tmp_path / "errors")
    draw = random.Random(0)
    assert kills.hit(process, tmp_path, kills.KINDS["stage killed"], 0.3, draw)
    assert process.wait() == -signal.SIGKILL
    left = kills.orphans(tmp_path)
    assert [line.split() for line in left.values()] == [["sleep", "60"]]
    assert not kills.processes(tmp_path) or not kills.orphans(tmp_path)


def test_a_change_that_fails_without_a_sentence_is_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = benchmark("faults", monkeypatch)

    def careless(folder: Path) -> None:
        os.makedirs(folder, exist_ok=True)
        os.close(os.open(folder / "file", os.O_WRONLY | os.O_CREAT))

    monkeypatch.setitem(module.KINDS, "train", careless)
    row: Counter[str] = Counter()
    module.faulty("train", module.ERRORS["error"], tmp_path, row)
    assert (row["changes"], row["sentences"], row["repeated"]) == (2, 0, 2)


def test_the_steps_of_controllers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = benchmark("controllers", monkeypatch)
    size = controllers.Size(1, ("digits", "letters"), 6, 30)
    shares = controllers.paths(size)
    assert len(shares) == 6 and all(0 < share <= 1 for share in shares.values())
    assert all(ratio > 1 for ratio in controllers.variances(size).values())
    assert all(ratio > 0 for ratio in controllers.times(size).values())


def test_a_device_is_checked_and_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = benchmark("device", monkeypatch)
    whole = device.cases(device.Scale())
    assert {(c.name, c.space, c.size) for c in whole} >= {
        (name, space, size)
        for name in ("search", "train")
        for space in ("lite0", "MobileNetV3-Large")
        for size in (96, 224)
    }
    device.main(["--tiny", "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    values = {line["name"]: line["values"] for line in figures["lines"]}
    timed = ("loop", "torch")
    for precision in ("float32", "bfloat16"):
        assert 0 <= values[f"planted {precision}"]["right choices"] <= 12
        assert values[f"resume {precision}"] == {"files that differ": 0}
        for name in (
            "search pocket 16 px",
            "train MobileNetV3-Large 16 px",
            "train lite0 32 px",
        ):
            line = values[f"{name} {precision}"]
            assert all(line[f"{who} over engine"] > 0 for who in timed)
            assert line["busy"] > 0 and line["kernels"] > 10 and line["images/s"] > 0
        assert values[f"graph train lite0 32 px {precision}"] == {}
    assert values["losses float32"] == {"difference": 0}
    assert 0 < values["losses bfloat16"]["difference"] < 0.1
    printed = capsys.readouterr().out.splitlines()
    assert "not tried: CUDA graphs need a GPU" in printed[-1]
    assert printed[0] == f"cpu, torch {torch.__version__}" and len(printed) == 1 + len(values)


def test_a_part_that_fails_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = benchmark("device", monkeypatch)

    def fails(*_: object) -> None:
        raise RuntimeError("no kernel for this\nand a trace")

    def misses(_: object, precision: str, __: object) -> Any:
        return device.Line(f"misses {precision}", {"files that differ": 2}, "0", met=False)

    monkeypatch.setattr(device, "parts", lambda scale: [("fails", fails), ("misses", misses)])
    with pytest.raises(SystemExit, match="A part failed, or a wanted value is missed"):
        device.main(["--tiny", "--device", "cpu"])
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[1:]] == [
        "fails float32 RuntimeError: no kernel for this",
        "fails bfloat16 RuntimeError: no kernel for this",
        "misses float32 files that differ 2 (wanted: 0; MISSED)",
        "misses bfloat16 files that differ 2 (wanted: 0; MISSED)",
    ]
    with pytest.raises(SystemExit, match="A part failed"):
        device.main(["--tiny", "--device", "cpu", "--minutes", "0"])
    assert "not begun, because the time is over" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_check_of_a_device_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = benchmark("device", monkeypatch)
    with pytest.raises(
        SystemExit, match="device 'cuda' cannot be used here.* Use --tiny"
    ) as caught:
        device.main([])
    assert "\n" not in str(caught.value)


def test_waits_and_memory_of_a_gpu_are_those_of_the_last_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = benchmark("device", monkeypatch)
    modes, peaks = ["default"], iter(range(1, 100))
    fakes = {
        "set_sync_debug_mode": modes.append,
        "max_memory_allocated": lambda _: next(peaks) * 2**30,
        **dict.fromkeys(("synchronize", "reset_peak_memory_stats"), lambda _: None),
        "empty_cache": lambda: None,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    clock = device.Clock(torch.device("cuda"), repeats=2)
    with clock.running():
        for _ in range(clock.steps):
            if modes[-1] == "warn":  # as torch does for a copy to the CPU
                for _ in range(3):
                    warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            clock.tick()
        warnings.warn("another warning", stacklevel=1)
    assert modes[-1] == "default" and modes.count("warn") == 1
    assert clock.result().waits == 3 and clock.result().memory == clock.steps


def test_a_killed_search_for_what_is_planted_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = benchmark("planted", monkeypatch)
    calls: list[tuple[int, bool]] = []

    def searched(_: object, seed: int, __: object, shuffled: bool) -> list[bool]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append((seed, shuffled))
        return [not shuffled] * 4

    monkeypatch.setattr(planted, "searched", searched)
    command = ["--only", "sharing", "--seeds", "2", "--out", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        planted.main(command)
    first = calls.copy()
    calls.clear()
    planted.main(command)
    assert sorted(first + calls) == [(s, kind) for s in (0, 1) for kind in (False, True)]
    figures = json.loads(capsys.readouterr().out)["sharing"]
    assert figures["rewards"]["all right"] == 2 and figures["rewards"]["right"] == 8
    assert figures["rewards"]["p"] == pytest.approx(2 * 0.5**8, abs=1e-4)
    assert figures["shuffled"]["all right"] == figures["shuffled"]["right"] == 0
    with pytest.raises(SystemExit, match="has the settings {}, not .*steps.*another --out"):
        planted.main([*command, "--set", "steps=5"])
    with pytest.raises(SystemExit, match="did you mean 'steps'"):
        planted.main([*command, "--set", "step=5"])


def one_second(call: Callable[[], object], count: int) -> float:
    """Call once, and say that it took a second."""
    call()
    return 1.0


def every_call_takes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    import ratios

    monkeypatch.setattr(ratios, "seconds", one_second)


def test_predictions_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    module = benchmark("predict", monkeypatch)
    every_call_takes_a_second(monkeypatch)
    found = module.measure(domains=2, repeats=1)
    assert set(found) == {f"{kind} {count}" for kind in ("predict", "union") for count in (1, 64)}


def test_images_in_are_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = benchmark("data", monkeypatch)
    monkeypatch.setenv("MPNAS_CACHE", str(tmp_path / "mine"))
    every_call_takes_a_second(monkeypatch)
    found = module.measure(tmp_path, repeats=1, images=200, large=2)
    assert set(found) == {
        *(
            "decode small",
            "decode large",
            "cached",
            "map 32",
            "map 512",
            "map cold",
            "input",
            "cores",
        )
    }
    assert not (tmp_path / "mine").exists()
    images = module.write_images(tmp_path, 200)
    assert len(list(images.rglob("*.jpg"))) == 200
    assert set(module.start(images)) == {"cpu", "clock", "megabytes"}


def test_files_of_every_format_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    module = benchmark("export", monkeypatch)
    monkeypatch.setattr(module, "seconds", one_second)
    monkeypatch.setattr(module.mk, "pocket_space", tiny.space)
    monkeypatch.setattr(module, "SIZE", tiny.SIZE)
    monkeypatch.setattr(module, "signature", small_signature)
    found = module.measure(domains=1, repeats=1)
    files = ("onnx whole", "onnx cut", "onnx-folded", "onnx-int8", "pte", "pte alone")
    lines = {f"{file} {count}" for file in files for count in (1, 64)}
    sizes = {f"{file} bytes" for file in ("onnx", "onnx-int8", "pte", "pte alone")}
    assert set(found) == lines | sizes and all(len(values) == 1 for values in found.values())


def small_signature() -> mk.Signature:
    classes = tuple(f"class{i}" for i in range(10))
    return mk.Signature(classes, 3, tiny.SIZE, (0.5,) * 3, (0.25,) * 3)


def test_a_step_in_a_large_space_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    module = benchmark("large", monkeypatch)
    monkeypatch.setattr(module, "DOMAINS", 1)
    monkeypatch.setattr(module, "MATRIX", 64)
    found = module.measure("pocket", 16, repeats=1)
    times = {name: value for name, value in found.items() if not name.startswith("share")}
    assert set(times) == {"build", "step, eager", "step, native", "arithmetic", "optimiser"}
    assert all(value > 0 for value in times.values())
    assert 0.9 < sum(found[name] for name in found.keys() - times.keys()) <= 1


def test_a_line_of_clicks_reaches_its_goal_by_its_median(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks = benchmark("clicks", monkeypatch)
    text, reached = clicks.row("paths", [(90.0, 50.0), (300.0, 60.0), (80.0, 70.0)], 100)
    assert text.split() == ["paths", "90", "80", "300", "60"] and reached
    text, reached = clicks.row("paths", [(110.0, 50.0), (120.0, 50.0), (20.0, 50.0)], 100)
    assert text.endswith("MISSED") and not reached
    text, reached = clicks.row("paths", [(-1.0, 0.0), (20.0, 50.0), (20.0, 50.0)], 100)
    assert text.endswith("MISSED") and not reached  # once, nothing happened
    with pytest.raises(SystemExit):
        clicks.main([])


def test_a_run_of_many_domains_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many = benchmark("many", monkeypatch)
    assert len(many.suite()) == 50 and len(many.space().searched) == 20
    folder = many.build(tmp_path / "few", domains=2, layers=1, steps=4)
    run = mk.Run(folder, trust=True)
    assert len(run.domains) == 2 and len(run.compare().cells) == 2
