"""The benchmark of the engine: every line in small, and that it compares like with like."""

import itertools
import os
from types import ModuleType
from typing import Any

import pytest
import tiny
import torch
from test_benchmarks import benchmark

import mpnas_kit as mk
from mpnas_kit import files

ROWS = {
    "step": ["step", "step channels-last"],
    "step eager": ["step eager", "step eager channels-last"],
    "kernels": ["kernels"],
    "plain": ["plain", "plain channels-last"],
    "nni": ["nni", "nni channels-last"],
    "torchjd": ["torchjd"],
    "large": ["large 32"],
    "depthwise": ["depthwise"],
    "cores": ["cores", "cores 32"],
    "busy": ["busy"],
    "candidates": ["candidates", "candidates met"],
    "memory": ["candidates memory"],
    "budget": ["budget"],
    "domains": ["domains"],
    "floor": ["floor"],
    "floor torch": ["floor torch"],
    "full": ["full warm-up step", "full step", "full"],
    "input": ["input"],
    "checkpoint": ["checkpoint"],
    "inference": ["inference 1", "inference 64"],
    "pages": ["pages"],
    "tcmalloc": ["tcmalloc"],
}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, with a small space and without new processes."""
    module = benchmark("engine", monkeypatch)
    monkeypatch.setattr(module.search_steps, "pocket_space", tiny.space)
    return module


def size(module: ModuleType, **more: Any) -> Any:
    """The smallest size."""
    smallest = {"images": 4, "domains": ("digits", "letters"), "many": 3, "candidates": (2, 3)}
    settings = {"repeats": 1, "steps": 1, **smallest, "pixels": (32,), "matrix": 16, **more}
    return module.Size(**settings)


def in_this_process(child: str, *options: str, **environment: str) -> Any:
    """What a child returns, without a child."""
    if child in ("memory", "budget"):
        return 1 + int(options[0]), 2 * int(options[0])
    return 2.0, 3.0


@pytest.mark.parametrize("line", ROWS)
def test_every_line_is_measured(
    line: str, engine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.surroundings, "in_a_process", in_this_process)
    monkeypatch.setattr(engine.surroundings, "find_shared_library", lambda name: f"lib{name}.so")
    assert set(engine.LINES) == set(ROWS)
    try:
        result = engine.measure(engine.LINES[line], size(engine))
    except engine.Unavailable as error:
        pytest.skip(str(error))
    assert list(result.rows) == ROWS[line]
    values = [
        v for measures in result.rows.values() for values in measures.values() for v in values
    ]
    assert values and all(v > 0 for v in values)


def test_every_goal_names_a_row(engine: ModuleType) -> None:
    rows = {row for rows in ROWS.values() for row in rows}
    rows |= {f"large {pixels}" for pixels in engine.Size().pixels}
    assert {row for row, _ in engine.GOALS} <= rows


def test_two_times_are_measured_in_turn(engine: ModuleType) -> None:
    calls: list[str] = []
    ratios = engine.search_steps.turns(
        lambda: calls.append("a"), lambda: calls.append("b"), repeats=2, count=2
    )
    assert "".join(calls) == "bbaa" * 3
    assert {clock: len(values) for clock, values in ratios.items()} == {"cpu": 2, "wall": 2}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_a_line_with_one_thread_has_one_core(engine: ModuleType) -> None:
    before, seen = os.sched_getaffinity(0), []

    def measure(size: object) -> dict[str, Any]:
        seen.append(os.sched_getaffinity(0))
        return {}

    for cores in (False, True):
        engine.measure(engine.Line(measure, cores), size(engine))
    assert seen == [{max(before)}, before] and os.sched_getaffinity(0) == before


def test_a_finished_line_is_not_measured_again(
    engine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any
) -> None:
    runs: list[str] = []

    def missing(size: Any) -> dict[str, Any]:
        raise engine.Unavailable("it needs a library")

    def measured(name: str) -> Any:
        def measure(size: Any) -> dict[str, Any]:
            runs.append(name)
            return {name: {"cpu": [1.0, 3.0, 2.0]}}

        return engine.Line(measure)

    lines = {"one": measured("one"), "two": measured("two"), "peer": engine.Line(missing)}
    monkeypatch.setattr(engine, "LINES", lines)
    file = tmp_path / "bench.json"
    for only in ("one", "one, two ,peer"):
        monkeypatch.setattr("sys.argv", ["engine.py", "--only", only, "--json", str(file)])
        engine.main()
    assert runs == ["one", "two"]
    results = files.read_json(file, dict[str, engine.Result])
    assert {name: result.rows[name]["cpu"] for name, result in results.items()} == dict.fromkeys(
        ("one", "two"), [1.0, 3.0, 2.0]
    )
    printed = capsys.readouterr().out
    assert "skipped: it needs a library" in printed and "minutes" in printed
    assert "two" in printed and "2.000    1.000    3.000" in printed


def test_a_line_that_does_not_exist_is_one_sentence(engine: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no line 'stepp': expected some of step, "):
        engine.chosen_lines("nni,stepp")


def test_the_same_steps_of_two_searches_draw_the_same_new_paths(engine: ModuleType) -> None:
    searches = [engine.search_steps.Steps(size(engine, steps=3)) for _ in "ab"]
    drawn = []
    for steps in searches:
        for _ in range(2):
            steps.engine()
            drawn += steps.drawn
    assert drawn[:6] == drawn[6:]
    for one, other in itertools.combinations(drawn[:6], 2):
        assert one != other
    for one in drawn:
        assert set(one.trained) == {"digits", "letters"}
        assert {d: len(paths) for d, paths in one.sampled.items()} == dict.fromkeys(one.trained, 4)


def test_paths_choose_among_the_offered_twins_only(engine: ModuleType) -> None:
    twins = engine.search_steps.twins(5, offered=2)
    drawn = torch.Generator().manual_seed(0)
    words = {word for _ in range(20) for word in twins.sample(drawn).arch.split()}
    assert words == {"k5e2t0", "k5e2t1"}
    assert [len(layer.candidates) for layer in twins.layers] == [1, 5, 5, 1]
    assert len(list(twins.widest_uses())) == 12


def test_the_loop_gets_the_batches_that_the_engine_would_get(engine: ModuleType) -> None:
    steps = engine.search_steps.Steps(size(engine))
    for rewards in (False, True):
        for memory_format in engine.search_steps.FORMATS.values():
            batches = steps.batches(rewards, memory_format)
            assert list(batches) == ["digits", "letters"]
            for images, labels in batches.values():
                assert images.shape == (4, 3, 32, 32) and len(labels) == 4
                assert images.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("out", [8, 12])
@pytest.mark.parametrize(
    "block",
    [
        mk.Conv(3),
        mk.InvertedBottleneck(3, 1),
        mk.InvertedBottleneck(5, 2, activation="hardswish"),
        mk.InvertedBottleneck(3, 3, se=True),
        mk.InvertedBottleneck(7, hidden=20),
    ],
)
def test_a_plain_block_computes_what_the_block_computes(
    block: Any, out: int, stride: int, engine: ModuleType
) -> None:
    from peers import plain_block

    ours = block.build(8, out, stride, torch.nn.BatchNorm2d)
    plain = plain_block(block, 8, out, stride)
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.nn.init.uniform_(mine, -1, 1, generator=torch.Generator().manual_seed(mine.numel()))
        other.data = mine.detach().clone()
    images = torch.randn(3, 8, 7, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(plain(images), ours(images))


def test_a_plain_network_follows_the_path(engine: ModuleType) -> None:
    from peers import PlainNet

    space, tasks = tiny.space(), tiny.tasks({"a": 3, "b": 4})
    net, images = PlainNet(space, tasks), tiny.images(4)
    path = space.parse("zero k5e3")
    net("b", images, path).sum().backward()
    used = {name for name, p in net.named_parameters() if p.grad is not None}
    parts = {tuple(name.split(".")[:3]) for name in used if name.startswith("layers")}
    assert {(layer, choice) for _, layer, choice in parts} == {
        ("0", "conv3"),
        ("2", "k5e3"),
        ("3", "conv1"),
    }
    assert {name for name in used if name.startswith("heads")} == {
        "heads.of_b.weight",
        "heads.of_b.bias",
    }


def test_the_mean_of_the_jacobian_is_the_mean_of_the_gradients(engine: ModuleType) -> None:
    from peers import JacobianMean

    net, x = torch.nn.Linear(3, 2), torch.arange(6.0).view(2, 3)
    losses = net(x).square().sum(1)
    expected = torch.autograd.grad(losses.mean(), [net.weight], retain_graph=True)[0]
    JacobianMean(net)(iter(losses))
    torch.testing.assert_close(net.weight.grad, expected)


def test_the_floor_counts_a_shared_beginning_once(engine: ModuleType) -> None:
    space = tiny.two_searched_layers()
    first, second = (space.parse(arch) for arch in ("conv1 conv3", "conv1 zero"))
    stem, one, three = 16 * 8 * 27, 16 * 8 * 8, 16 * 8 * 8 * 9
    head = 16 * 16 * 8
    drawn = engine.search_steps.Drawn({"a": first}, {"a": [first, second], "b": [second]})
    training = 3 * (stem + one + three + head)
    rewards = (stem + one + three + 2 * head) + (stem + one + head)
    assert engine.floor.multiply_adds(space, drawn, 5) == 5 * (training + rewards)
