"""The benchmarks: the yardstick of the engine, and the kills and faults, in small."""

import importlib.util
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.cli.model_parsers import export_parser
from mpnas_kit.cli.parsers import report_parser, stage_parser, sweep_parser
from mpnas_kit.engine.step import set_rate, sgd
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
    optimisers = [sgd(net, 0.9, 1e-3) for net in nets]
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
