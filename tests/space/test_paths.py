"""Spaces and paths: arch strings, canonical paths, extremes, and errors for wrong names."""

import os
import subprocess
import sys
from pathlib import Path as FilePath

import pytest
import tiny
import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.space import factored
from mpnas_kit.space.blocks import Conv, InvertedBottleneck
from mpnas_kit.space.costs import AdditiveCost, MultiplyAdds, Parameters, path_costs
from mpnas_kit.space.factored import FactoredSpace, mobilenet_v3_like
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import SPACE, space_from_text

NAMES = tuple(n for n in SPACE.known if not n.startswith("planted"))


@pytest.fixture
def small_factored(monkeypatch: pytest.MonkeyPatch) -> FactoredSpace:
    """The MobileNetV3-like space with one stage of two layers: 1,024 ways to choose."""
    tiny.shrink_factored(monkeypatch, stages=((8, 2),))
    return FactoredSpace("small", tiny.SIZE)


# Arch strings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_arch_strings_parse_back(name: str) -> None:
    space, generator = space_from_text(name, 32), torch.Generator().manual_seed(0)
    for _ in range(200):
        path = space.sample(generator)
        again = space.parse(str(path))
        assert again == path and again.arch == path.arch
        assert len(path.arch.split()) >= len(space.searched)


def test_every_path_has_an_arch_string_of_its_own(small_factored: FactoredSpace) -> None:
    for space, distinct in ((tiny.space(), 12), (small_factored, 2 * 2 * 2 * 8 * 9)):
        paths = set(tiny.all_paths(space))
        assert len({p.arch for p in paths}) == len(paths) == distinct
        assert all(space.parse(p.arch) == p for p in paths)


@pytest.mark.parametrize("name", ["pocket", "mobilenet_v3_like"])
def test_an_unknown_block_is_named_with_its_layer(name: str) -> None:
    space = space_from_text(name, 32)
    words = space.sample(torch.Generator().manual_seed(0)).arch.split()
    words[-1] = "k3e99"
    layer = space.layers[space.searched[-1]].name
    with pytest.raises(
        MpnasError, match=f"unknown choice in layer '{layer}' 'k3e99': did you mean"
    ):
        space.parse(" ".join(words))


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_number_of_words_is_named(name: str) -> None:
    space = space_from_text(name, 32)
    arch = space.sample(torch.Generator().manual_seed(0)).arch
    expected = len(arch.split())
    with pytest.raises(MpnasError, match=f"has {expected + 1} words.* needs {expected}"):
        space.parse(arch + " k3e3")


def test_an_unknown_width_and_a_zero_where_none_may_be_are_named() -> None:
    space = mobilenet_v3_like(32)
    words = space.sample(torch.Generator().manual_seed(0)).arch.split()
    assert words[2].startswith("x")
    with pytest.raises(MpnasError, match=r"'stage1/width' 'x9'"):
        space.parse(" ".join([*words[:2], "x9", *words[3:]]))
    with pytest.raises(MpnasError, match=r"unknown choice in layer '1.1' 'zero'"):
        space.parse(" ".join([*words[:3], "zero", *words[4:]]))


@pytest.mark.parametrize("choices", [[0], [0, 0, 0], [4, 0], [0, -1]])
def test_choices_out_of_range_are_refused(choices: list[int]) -> None:
    with pytest.raises(MpnasError, match="choices"):
        tiny.space().path(choices)


def test_an_unknown_space_is_named() -> None:
    with pytest.raises(MpnasError, match="unknown search space 'pockett': did you mean 'pocket'"):
        space_from_text("pockett", 32)


# Canonical paths ----------------------------------------------------------------------------------


def test_decisions_in_a_skipped_layer_do_not_matter() -> None:
    space, generator = mobilenet_v3_like(32), torch.Generator().manual_seed(1)
    index = {d.name: i for i, d in enumerate(space.decisions)}
    for _ in range(30):
        choices = list(space.sample(generator).choices)
        choices[index["3.2/on"]] = 1  # zero
        other = list(choices)
        for part in ("kernel", "expansion", "se"):
            other[index[f"3.2/{part}"]] = 1
        first, second = space.path(choices), space.path(other)
        assert first == second and hash(first) == hash(second) and first.arch == second.arch
        active = space.active(other)
        assert not any(active[index[f"3.2/{p}"]] for p in ("kernel", "expansion", "se"))
        assert active[index["3.2/on"]] and active[index["stage3/width"]]
        other[index["3.2/on"]] = 0
        assert space.path(other) != first


def test_the_widest_path_keeps_the_blocks() -> None:
    space = mobilenet_v3_like(32)
    for seed in range(10):
        path = space.sample(torch.Generator().manual_seed(seed))
        wide = space.widest(path)
        assert space.candidate_indices(wide.choices) == space.candidate_indices(path.choices)
        assert space.widths(wide.choices) == tuple(layer.widths[-1] for layer in space.layers)


def test_zero_is_not_a_node_and_only_searched_layers_count() -> None:
    space = tiny.space()
    path = space.parse("zero k5e3")
    assert [n.block for n in space.nodes(path)] == ["k5e3"]
    assert {n.block for n in space.nodes(path, all_layers=True)} == {"conv3", "k5e3", "conv1"}


def test_random_paths_take_every_choice_equally_often() -> None:
    space, generator = tiny.space(), torch.Generator().manual_seed(0)
    firsts = [space.sample(generator).choices[0] for _ in range(2000)]
    assert all(abs(firsts.count(i) / 2000 - 0.25) < 0.04 for i in range(4))


# Extremes -----------------------------------------------------------------------------------------


def costs(space: SearchSpace, model: AdditiveCost) -> list[float]:
    paths = {str(i): p for i, p in enumerate(set(tiny.all_paths(space)))}
    return sorted(path_costs(model, space, paths).values())


@pytest.mark.parametrize("model", [MultiplyAdds(), Parameters()])
def test_extremes_are_the_cheapest_and_the_most_expensive_path(
    model: AdditiveCost, small_factored: FactoredSpace
) -> None:
    for space in (tiny.space(), small_factored):
        low, high = space.extremes(model.price)
        found = path_costs(model, space, {"low": low, "high": high})
        every = costs(space, model)
        assert (found["low"], found["high"]) == (every[0], every[-1])


def test_extremes_follow_the_measure() -> None:
    """Squeeze-and-excite adds many parameters and few multiply-adds; expansion adds both."""
    layers = (
        Layer("stem", 1, (8,), (Conv(3),)),
        Layer("one", 1, (8,), (InvertedBottleneck(3, 3), InvertedBottleneck(3, 2, se=True))),
        Layer("head", 1, (8,), (Conv(1),)),
    )
    space = LayerwiseSpace("two", layers, 16)
    assert [p.arch for p in space.extremes(MultiplyAdds().price)] == ["k3e2se", "k3e3"]
    assert [p.arch for p in space.extremes(Parameters().price)] == ["k3e3", "k3e2se"]


@pytest.mark.parametrize("name", ["pocket", "mobilenet_v3_like"])
def test_no_random_path_is_beyond_the_extremes(name: str) -> None:
    space, generator = space_from_text(name, 32), torch.Generator().manual_seed(0)
    costs = [space.cost(space.sample(generator)) for _ in range(5)]
    for model, measure in ((MultiplyAdds(), "multiply_adds"), (Parameters(), "parameters")):
        low, high = (getattr(space.cost(p), measure) for p in space.extremes(model.price))
        assert all(low < getattr(cost, measure) < high for cost in costs)


def test_pocket_paths_span_ten_times_in_cost() -> None:
    space = space_from_text("pocket", 32)
    low, high = (space.cost(p).multiply_adds for p in space.extremes(MultiplyAdds().price))
    assert high >= 10 * low


# Layers -------------------------------------------------------------------------------------------


def test_a_layer_that_changes_the_map_cannot_be_skipped() -> None:
    block = InvertedBottleneck(3, 1)
    with pytest.raises(MpnasError, match="'one' has stride 2: it cannot be skipped"):
        Layer("one", 2, (8,), (block, None))
    with pytest.raises(MpnasError, match="'one' changes the width: it cannot be skipped"):
        stem = Layer("stem", 2, (8,), (Conv(3),))
        LayerwiseSpace("wrong", (stem, Layer("one", 1, (16,), (block, None))), 16)


def test_a_layer_needs_distinct_candidates() -> None:
    block = InvertedBottleneck(3, 1)
    with pytest.raises(MpnasError, match="'one' needs distinct candidates"):
        Layer("one", 1, (8,), (block, block))
    with pytest.raises(MpnasError, match="'one' needs distinct candidates"):
        Layer("one", 1, (8,), ())


def test_the_full_space_is_that_of_tunas() -> None:
    space = mobilenet_v3_like(224)
    searched = [layer for layer in space.layers if len(layer.candidates) > 30]
    assert len(searched) == 20
    assert sum(None in layer.candidates for layer in searched) == 15
    strides = [layer.stride for layer in space.layers if layer.stride == 2]
    assert len(strides) == 5
    sizes = [len(d.choices) for d in space.decisions if d.name.endswith("/width")]
    assert sizes == [7] * 5 and factored.WIDTH_MULTIPLIERS[3] == 1.0
    assert space.layers[-1].widths == (1024,) and space.layers[-2].widths == (512,)


# Order --------------------------------------------------------------------------------------------

ORDER = """
import mpnas_kit, torch, tiny
from mpnas_kit.network.net import MultiPathNet
space, classes = tiny.space(), {"b": 3, "a": 2, "c": 4}
paths = tiny.paths(space, ["k5e2se k5e3", "k3e1 k3e3", "k3e2 k3e1"])
for net in (
    MultiPathNet.supernet(space, tiny.tasks(classes), "per_domain", 0),
    MultiPathNet.of_paths(space, paths, tiny.tasks(classes), "per_domain", 0),
):
    groups = tiny.sgd(net, 0.9, 0.0).param_groups
    named = {id(p): n for n, p in net.named_parameters()}
    print(list(net.state_dict()), [named[id(p)] for g in groups for p in g["params"]])
    print([float(p.sum()) for p in net.parameters()])
print(sorted(map(str, space.nodes(paths["a"]))), tiny.suite(3).fingerprint())
"""


def test_the_order_of_nodes_does_not_depend_on_the_hash_seed() -> None:
    here = FilePath(tiny.__file__).parent
    outputs = []
    for seed in ("1", "4242"):
        path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", ORDER], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] and len(outputs[0]) > 1000
