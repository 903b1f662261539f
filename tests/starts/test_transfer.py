"""Transfer: what keeps its function, which channels are taken, and where each tensor went."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mpnas_kit as mk
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.space.private_layers import PrivateLayers

CLASSES = {"a": ("x", "y", "z"), "b": ("u", "v", "w", "t")}
COUNTS = {domain: len(names) for domain, names in CLASSES.items()}


def randomise(net: mk.MultiPathNet, seed: int = 0) -> mk.MultiPathNet:
    """All tensors of a network become random, its variances positive; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            drawn = torch.randn(tensor.shape, generator=generator)
            is_scale = "norm.weight" in name or "var_" in name
            tensor.copy_(drawn.abs() + 0.5 if is_scale else drawn / 3)
    return net.eval()


def union(
    space: mk.SearchSpace,
    paths: Mapping[str, mk.Path],
    seed: int = 1,
    norm: Any = "per_domain",
    **more: Any,
) -> mk.MultiPathNet:
    tasks = tiny.tasks({d: COUNTS[d] for d in paths})
    return mk.MultiPathNet.of_paths(space, paths, tasks, norm, seed, **more)


def start_of(space: mk.SearchSpace, paths: Mapping[str, mk.Path], **more: Any) -> mk.Start:
    """Random weights, with names of classes, so that heads can be taken."""
    net = randomise(union(space, paths, 0, **more))
    return replace(mk.Start.of(net, paths), classes={d: CLASSES[d] for d in paths})


def logits(net: mk.MultiPathNet, domain: str, path: mk.Path, images: int = 6) -> Tensor:
    with torch.no_grad():
        return net([mk.Flow(domain, tiny.images(images), path)])[0]


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> bool:
    return float((found - expected).abs().max()) < tolerance * max(1, float(expected.abs().max()))


def same_tensors(net: mk.MultiPathNet, other: mk.MultiPathNet, without: str = "-") -> None:
    state = other.state_dict()
    for name, tensor in net.state_dict().items():
        assert name.startswith(without) or torch.equal(tensor, state[name]), name


# Small spaces -------------------------------------------------------------------------------------

Spec = tuple[int, int, bool, int, int]  # kernel, expansion, squeeze-and-excite, width, stride


def single(specs: Sequence[Spec], stem: int = 8, head: int = 16, kernel: int = 3) -> mk.SearchSpace:
    """A space with one path."""
    layers = [mk.Layer("stem", 2, (stem,), (mk.Conv(kernel),))]
    for i, (k, expansion, se, width, stride) in enumerate(specs):
        block = mk.InvertedBottleneck(k, expansion, se, "hardswish")
        layers.append(mk.Layer(f"{i}", stride, (width,), (block,)))
    layers.append(mk.Layer("head", 1, (head,), (mk.Conv(1),)))
    layers.append(mk.Layer("hidden", 1, (12,), (mk.PooledConv(),)))
    return mk.LayerwiseSpace("single", layers, tiny.SIZE)


def only(space: mk.SearchSpace) -> dict[str, mk.Path]:
    return {"a": space.parse("")}


spec = st.tuples(
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.sampled_from([8, 12]),
    st.sampled_from([1, 2]),
)
specs = st.lists(spec, min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(specs, specs, st.sampled_from([8, 12]))
def test_every_tensor_of_the_source_is_accounted_for(
    own: list[Spec], other: list[Spec], stem: int
) -> None:
    """Whatever the two spaces are. And what a row says of its tensors is true."""
    start = start_of(single(own), only(single(own)))
    net = union(single(other, stem), only(single(other, stem)))
    before = {n: t.clone() for n, t in net.state_dict().items()}
    loaded = start.load(net, CLASSES)
    table, source, state = loaded.table, start.net.state_dict(), net.state_dict()
    assert set(table["source"]) == set(source)
    assert table["how"].isin(["taken", "cut", "padded", "left"]).all()
    for row in table.itertuples():
        assert row.source_shape == tuple(source[row.source].shape)
        if row.how == "left":
            assert row.target == "" and row.note and (table["source"] == row.source).sum() == 1
            continue
        assert row.target_shape == tuple(state[row.target].shape)
        if row.how == "taken":
            ours, theirs = state[row.target].flatten(), source[row.source].flatten()
            assert torch.equal(ours.sort()[0], theirs.sort()[0])
    targets = table.loc[table["how"] != "left", "target"]
    assert targets.is_unique
    parameters = {name for name, _ in net.named_parameters()}
    assert loaded.names == set(targets) & parameters
    for name, tensor in state.items():
        if name not in set(targets) and not torch.equal(tensor, before[name]):
            assert "_norm.weight" in name or ".se.expand." in name  # identity, and the gate 1/2
            assert not tensor.any()


@settings(max_examples=40, deadline=None)
@given(specs, st.data())
def test_a_larger_network_computes_the_same(own: list[Spec], data: Any) -> None:
    """Borders of kernels are zeros, and new channels are read by zeros, wherever they are."""
    widths = {8: data.draw(st.sampled_from([8, 16])), 12: data.draw(st.sampled_from([12, 20]))}
    more = [
        (
            k + data.draw(st.sampled_from([0, 2])),
            e if e == 1 else e + data.draw(st.integers(0, 2)),
            se,
            widths[width],
            stride,
        )
        for k, e, se, width, stride in own
    ]
    space, head = single(own), data.draw(st.sampled_from([16, 24]))
    wide = single(more, stem=widths[8], head=head, kernel=5)
    start, net = start_of(space, only(space)), union(wide, only(wide)).eval()
    loaded = start.load(net, CLASSES)
    assert set(loaded.table["how"]) <= {"taken", "padded"}
    assert close(logits(net, "a", wide.parse("")), logits(start.net, "a", space.parse("")))


PATHS = st.tuples(*[st.sampled_from(list(tiny.all_paths(tiny.space())))] * 2)


@settings(max_examples=25, deadline=None)
@given(
    PATHS,
    st.sampled_from(["per_domain", "mixed", "naive"]),
    st.sampled_from([PrivateLayers(), PrivateLayers(until=1), PrivateLayers(since=1)]),
    st.booleans(),
)
def test_the_own_network_gets_equal_tensors(
    chosen: tuple[mk.Path, mk.Path], norm: Any, private: PrivateLayers, collapse: bool
) -> None:
    paths = dict(zip("ab", chosen, strict=True))
    how = {"norm": norm, "private": private, "collapse": collapse}
    start = start_of(tiny.space(), paths, **how)
    net = union(tiny.space(), paths, **how)
    loaded = start.load(net, CLASSES)
    same_tensors(net, start.net)
    assert set(loaded.table["how"]) == {"taken"} and not loaded.table["note"].any()
    heads = start.load(union(tiny.space(), paths)).table
    assert set(heads.loc[heads["source"].str.startswith("heads"), "how"]) == {"left"}


@settings(max_examples=15, deadline=None)
@given(PATHS, st.booleans())
def test_paths_keep_their_function_in_a_supernet(
    chosen: tuple[mk.Path, mk.Path], collapse: bool
) -> None:
    """Batch statistics in both networks. Collapsed, hidden channels are in another order."""
    space, paths = tiny.space(), {"a": chosen[0]}
    start = start_of(space, paths)
    net = mk.MultiPathNet.supernet(space, tiny.tasks(COUNTS), "per_domain", 1, collapse=collapse)
    start.load(net, CLASSES)
    expected = logits(start.net.train(), "a", chosen[0])
    assert close(logits(net.train(), "a", chosen[0]), expected, 1e-3)


# Rules --------------------------------------------------------------------------------------------


def candidates(*blocks: mk.Block | None, width: int = 8, stride: int = 1) -> mk.LayerwiseSpace:
    layers = [
        mk.Layer("stem", 2, (8,), (mk.Conv(3),)),
        mk.Layer("one", stride, (width,), blocks),
        mk.Layer("head", 1, (16,), (mk.Conv(1),)),
    ]
    return mk.LayerwiseSpace("rules", layers, tiny.SIZE)


B = mk.InvertedBottleneck


def from_block(block: mk.Block, width: int = 8, stride: int = 1) -> mk.Start:
    space = candidates(block, width=width, stride=stride)
    return start_of(space, only(space))


def test_a_narrow_block_gets_the_channels_with_the_largest_norm_of_the_project_weights() -> None:
    start = from_block(B(5, 6, se=True))
    space = candidates(B(3, 3, se=True))
    net = union(space, only(space))
    loaded = start.load(net)
    own, made = (tiny.node(n, 1, b) for n, b in ((start.net, "k5e6se"), (net, "k3e3se")))
    order = own.project.weight.abs().sum((0, 2, 3)).argsort(descending=True)[:24]
    assert torch.equal(made.expand.weight, own.expand.weight[order])
    assert torch.equal(made.depthwise.weight, own.depthwise.weight[order][..., 1:4, 1:4])
    assert torch.equal(made.project.weight, own.project.weight[:, order])
    for norm in ("expand_norm", "depthwise_norm"):
        ours, theirs = (getattr(m, norm) for m in (made, own))
        assert torch.equal(ours.weight["of_a"], theirs.weight["of_a"][order])
        assert torch.equal(ours.var_of_a, theirs.var_of_a[order])
    inner = own.se.expand.weight.abs().sum((0, 2, 3)).argsort(descending=True)[:8]
    assert torch.equal(made.se.reduce.weight, own.se.reduce.weight[inner][:, order])
    assert torch.equal(made.se.expand.weight, own.se.expand.weight[order][:, inner])
    assert torch.equal(made.se.reduce.bias, own.se.reduce.bias[inner])
    rows = loaded.table.set_index("target")
    assert rows.loc["nodes.1_k3e3se.depthwise.weight", "how"] == "cut"
    note = "24 of 48 output channels, kernel 5 to 3"
    assert rows.loc["nodes.1_k3e3se.depthwise.weight", "note"] == note
    assert rows.loc["nodes.1_k3e3se.project_norm.weight.of_a", "how"] == "taken"


def test_the_hull_of_a_collapsed_family_has_the_most_important_channels_first() -> None:
    start = from_block(B(3, 6))
    space = candidates(B(3, 3), B(3, 6), B(5, 6), None)
    net = mk.MultiPathNet.supernet(space, tiny.tasks(COUNTS), "per_domain", 1, collapse=True)
    loaded = start.load(net, CLASSES)
    own, hull = tiny.node(start.net, 1, "k3e6"), net.lenders["1_k5e6"]
    order = own.project.weight.abs().sum((0, 2, 3)).argsort(descending=True)
    assert torch.equal(hull.project.weight, own.project.weight[:, order])
    assert torch.equal(hull.depthwise.weight[..., 1:4, 1:4], own.depthwise.weight[order])
    assert int((hull.depthwise.weight != 0).sum()) == 48 * 9
    targets = list(
        loaded.table.loc[loaded.table["source"] == "nodes.1_k3e6.expand.weight", "target"]
    )
    assert targets == ["lenders.1_k5e6.expand.weight"]  # once
    expected = logits(start.net.train(), "a", start.paths["a"])
    for word in ("k3e6", "k5e6"):
        assert close(logits(net, "a", space.parse(word)), expected, 1e-3)
    assert not close(logits(net, "a", space.parse("zero")), expected, 1e-2)


def test_every_domain_gets_the_norms_of_its_name_or_those_of_the_first() -> None:
    space = candidates(B(3, 2))
    start = start_of(space, dict.fromkeys("ab", space.parse("")))
    tasks = tiny.tasks({"b": 4, "new": 3})
    net = mk.MultiPathNet.of_paths(
        space, dict.fromkeys(tasks, space.parse("")), tasks, "per_domain", 1
    )
    start.load(net)
    for name, norm in net.named_modules():
        if isinstance(norm, DomainNorm):
            own = start.net.get_submodule(name)
            for domain, origin in (("b", "b"), ("new", "a")):
                for part in ("weight", "bias"):
                    ours = getattr(norm, part)[f"of_{domain}"]
                    assert torch.equal(ours, getattr(own, part)[f"of_{origin}"])
                ours = norm.get_buffer(f"mean_of_{domain}")
                assert torch.equal(ours, own.get_buffer(f"mean_of_{origin}"))


@pytest.mark.parametrize("block", [B(3, 2), B(3, 2, se=True), B(3, 1)], ids=lambda b: b.name)
def test_layers_that_the_source_lacks_start_as_identity(block: mk.Block) -> None:
    """The source skips the layer; or expands, and the candidate does not; or the reverse."""
    space = candidates(block, None)
    start = start_of(space, {"a": space.parse("zero")})
    net = union(space, {"a": space.parse(block.name)}).eval()
    loaded = start.load(net, CLASSES)
    assert close(
        logits(net, "a", space.parse(block.name)), logits(start.net, "a", start.paths["a"])
    )
    assert not any(name.startswith("nodes.1_") for name in loaded.names)
    other = from_block(B(3, 1) if block.name != "k3e1" else B(3, 4))
    net = union(candidates(block), only(candidates(block)))
    other.load(net)
    assert not tiny.node(net, 1, block.name).project_norm.weight["of_a"].any()


def test_a_block_that_is_no_identity_stays_random_without_a_counterpart() -> None:
    space = candidates(B(3, 1), stride=2)
    net, same = union(space, only(space)), union(space, only(space))
    loaded = from_block(B(3, 4), stride=2).load(net)
    for name, tensor in net.nodes["1_k3e1"].state_dict().items():
        assert torch.equal(tensor, same.nodes["1_k3e1"].state_dict()[name])
    left = loaded.table[loaded.table["source"] == "nodes.1_k3e4.expand.weight"]
    assert list(left["note"]) == ["no candidate of the layer gets the weights of this block"]


def test_squeeze_and_excite_that_the_source_lacks_does_nothing_at_first_and_can_be_trained() -> (
    None
):
    start, space = from_block(B(3, 3)), candidates(B(3, 3, se=True))
    net = mk.MultiPathNet.supernet(space, tiny.tasks(COUNTS), "per_domain", 1)
    loaded = start.load(net, CLASSES)
    expected = logits(start.net.train(), "a", start.paths["a"])
    assert close(logits(net, "a", space.parse("")), expected, 1e-2)
    gate = tiny.node(net, 1, "k3e3se").se
    assert not gate.expand.weight.any() and gate.reduce.weight.any()
    assert not any(".se." in name for name in loaded.names)
    (output,) = net([mk.Flow("a", tiny.images(4), space.parse(""))])
    output.square().sum().backward()
    assert gate.expand.weight.grad.any()
    notes = loaded.table.loc[loaded.table["source"] == "nodes.1_k3e3.depthwise.weight", "note"]
    assert list(notes) == ["squeeze-and-excite new"]


def test_squeeze_and_excite_that_only_the_source_has_is_left() -> None:
    start, space = from_block(B(3, 3, se=True)), candidates(B(3, 3))
    table = start.load(union(space, only(space))).table.set_index("source")
    assert table.loc["nodes.1_k3e3se.se.reduce.weight", "how"] == "left"
    assert table.loc["nodes.1_k3e3se.se.reduce.weight", "note"] == (
        "no candidate of the layer has this part"
    )
    assert table.loc["nodes.1_k3e3se.expand.weight", "how"] == "taken"


def test_weights_that_read_a_map_without_counterpart_are_left() -> None:
    """The source widens the map before the stride. What follows that layer is taken."""
    own, other = single([(3, 2, False, 12, 1), (3, 2, True, 12, 2)]), single([(3, 3, True, 12, 2)])
    start, net = start_of(own, only(own)), union(other, only(other))
    table = start.load(net, CLASSES).table.set_index("source")
    block = "nodes.2_k3e2se"
    assert table.loc[f"{block}.expand.weight", "note"] == "it reads another feature map"
    assert table.loc[f"{block}.depthwise.weight", "target"] == "nodes.1_k3e3se.depthwise.weight"
    assert table.loc[f"{block}.project.weight", "how"] == "taken"
    assert table.loc["nodes.1_k3e2.project.weight", "note"] == "no layer corresponds"
    for name in ("nodes.3_conv1.convolution.weight", "heads.of_a.weight"):
        assert table.loc[name, "how"] == "taken"


def test_the_nearest_of_several_blocks_is_taken_and_one_of_the_same_name_first() -> None:
    space = candidates(B(3, 2), B(5, 4), B(3, 4))
    start = start_of(space, {"a": space.parse("k3e2"), "b": space.parse("k5e4")})
    net = mk.MultiPathNet.supernet(space, tiny.tasks(COUNTS), "per_domain", 1)
    start.load(net)
    for block in ("k3e2", "k5e4"):
        ours, theirs = (tiny.node(n, 1, block).expand.weight for n in (net, start.net))
        assert torch.equal(ours, theirs)
    near, nearest = (tiny.node(n, 1, b) for n, b in ((net, "k3e4"), (start.net, "k3e2")))
    order = nearest.project.weight.abs().sum((0, 2, 3)).argsort(descending=True)
    assert torch.equal(near.depthwise.weight[:16], nearest.depthwise.weight[order])


def test_other_activations_and_paddings_are_noted() -> None:
    start = from_block(B(3, 3, activation="relu"), stride=2)
    space = candidates(B(3, 3, activation="relu6", padding="same"), stride=2)
    table = start.load(union(space, only(space))).table.set_index("source")
    note = "activation relu to relu6, other padding"
    assert table.loc["nodes.1_k3e3.depthwise.weight", "note"] == note
    assert table.loc["nodes.1_k3e3.expand.weight", "note"] == "activation relu to relu6"


def test_heads_are_taken_if_the_classes_are_the_same_in_the_same_order() -> None:
    space = candidates(B(3, 2))
    start = start_of(space, dict.fromkeys("ab", space.parse("")))
    net = union(space, dict.fromkeys("ab", space.parse("")))
    table = start.load(net, {"a": CLASSES["a"], "b": CLASSES["b"][::-1]}).table.set_index("source")
    assert table.loc["heads.of_a.weight", "how"] == "taken"
    assert table.loc["heads.of_b.weight", "note"] == "heads start at random"


def test_searched_widths_have_the_most_important_channels_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.shrink_factored(monkeypatch)
    space = mk.FactoredSpace("small", tiny.SIZE)
    path = space.extremes(mk.MultiplyAdds().price)[1]
    start = start_of(space, {"a": path})
    net = mk.MultiPathNet.supernet(space, tiny.tasks(COUNTS), "per_domain", 1, collapse=True)
    loaded = start.load(net, CLASSES)
    expected = logits(start.net.train(), "a", path)
    assert close(logits(net.train(), "a", path), expected, 1e-3)
    assert "output channels by importance" in set(loaded.table["note"])


@pytest.mark.parametrize("collapse", [False, True])
def test_the_own_network_of_searched_widths_gets_equal_tensors(
    collapse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow path uses the first channels, so their order must not change."""
    tiny.shrink_factored(monkeypatch)
    space = mk.FactoredSpace("small", tiny.SIZE)
    paths = dict(zip("ab", space.extremes(mk.MultiplyAdds().price), strict=True))
    start = start_of(space, paths, collapse=collapse)
    net = union(space, paths, collapse=collapse)
    start.load(net, CLASSES)
    same_tensors(net, start.net)


def test_weights_of_a_collapsed_supernet_can_be_taken() -> None:
    space = tiny.space()
    paths = {"a": space.parse("k3e2 k3e3"), "b": space.parse("k3e2 k5e3")}
    supernet = mk.MultiPathNet.supernet(space, tiny.tasks(COUNTS), "per_domain", 0, collapse=True)
    start = mk.Start.of(randomise(supernet), paths)
    net = union(space, paths)
    loaded = start.load(net)
    assert set(loaded.table["source"]) == set(supernet.state_dict())
    net.heads.load_state_dict(supernet.heads.state_dict())
    for domain, path in paths.items():
        expected = logits(supernet.train(), domain, path)
        assert close(logits(net.train(), domain, path), expected, 1e-3)


# Around a known network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def around() -> mk.BackboneSpace:
    block = B(3, 6, activation="relu6", padding="same")
    rows = (
        mk.Row("stem", 2, 8, mk.Conv(3, "relu6", padding="same")),
        mk.Row("1", 1, 8, replace(block, expansion=1), (3, 5), (1,)),
        mk.Row("2", 2, 12, block, (3, 5), (3, 6)),
        mk.Row("3", 1, 12, replace(block, se=True), (3, 5), (3, 6)),
        mk.Row("head", 1, 16, mk.Conv(1, "relu6")),
    )
    return mk.BackboneSpace("around", rows, tiny.SIZE)


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("marks", ["~", "*", "~*", "*~"])
def test_private_copies_get_the_weights_of_the_shared_block(
    around: mk.BackboneSpace, marks: str, collapse: bool
) -> None:
    """Copies and private depthwise convolutions have the function of the original network."""
    original = around.original
    start = start_of(around, {"a": original})
    words = original.arch.split()
    own = {
        domain: around.parse(" ".join(f"{word}{mark}" for word in words))
        for domain, mark in zip("ab", (marks * 2)[:2], strict=True)
    }
    net = union(around, own, collapse=collapse).eval()
    loaded = start.load(net)
    assert "left" not in set(loaded.table.loc[loaded.table["source"].str[:5] != "heads", "how"])
    net.heads["of_a"].load_state_dict(start.net.heads["of_a"].state_dict())
    assert close(logits(net, "a", own["a"]), logits(start.net, "a", original))
    parameters = {n for n, _ in net.named_parameters() if not n.startswith("heads")}
    assert loaded.names == parameters


@pytest.mark.parametrize("collapse", [False, True])
def test_the_own_network_of_private_copies_gets_equal_tensors(
    around: mk.BackboneSpace, collapse: bool
) -> None:
    archs = ("k3e1~ k3e6~ k5e3se*", "k3e1 k5e3~ k3e6se")
    paths = {domain: around.parse(arch) for domain, arch in zip("ab", archs, strict=True)}
    start = start_of(around, paths, collapse=collapse)
    net = union(around, paths, collapse=collapse)
    start.load(net, CLASSES)
    same_tensors(net, start.net)


@pytest.mark.parametrize("collapse", [False, True])
def test_all_candidates_around_a_network_start_from_its_weights(
    around: mk.BackboneSpace, collapse: bool
) -> None:
    start = start_of(around, {"a": around.original})
    net = mk.MultiPathNet.supernet(around, tiny.tasks(COUNTS), "per_domain", 1, collapse=collapse)
    loaded = start.load(net, CLASSES)
    expected = logits(start.net.train(), "a", around.original)
    for arch in ("k3e1 k3e6 k3e6se", "k3e1* k5e6~ k5e6se*", "k5e1~ k3e6~ k3e6se~"):
        assert close(logits(net.train(), "a", around.parse(arch)), expected, 1e-3), arch
    left = {n for n, _ in net.named_parameters()} - loaded.names
    assert left == {"heads.of_b.weight", "heads.of_b.bias"}


def test_mobilenet_v3_large_is_a_path_of_the_space_around_it() -> None:
    large, around = mk.mobilenet_v3_large(32), mk.mobilenet_v3_large_like(32)
    start = start_of(large, only(large))
    net = union(around, {"a": around.original}).eval()
    start.load(net, CLASSES)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (ours,) = net([mk.Flow("a", images, around.original)])
        (theirs,) = start.net([mk.Flow("a", images, start.paths["a"])])
    assert torch.equal(ours, theirs)


# Blocks of one's own ------------------------------------------------------------------------------


class Foreign:
    """A block of another library: its module is not known to the kit."""

    name = "foreign"

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1),
            norm(out_channels),
            nn.BatchNorm2d(out_channels),
        )


def test_a_module_that_is_not_known_is_copied_as_a_whole_or_left() -> None:
    start = from_block(Foreign(), 8)
    space = candidates(Foreign())
    net = union(space, only(space))
    start.load(net, CLASSES)
    same_tensors(net, start.net)
    wide = candidates(Foreign(), width=12)
    table = start.load(union(wide, only(wide))).table.set_index("source")
    assert table.loc["nodes.1_foreign.0.weight", "how"] == "left"
    assert table.loc["nodes.0_conv3.convolution.weight", "how"] == "taken"


def test_wrong_arguments_are_named() -> None:
    space = candidates(B(3, 2))
    start = start_of(space, only(space))
    for call, message in (
        (lambda: start.load(3), "net must be a MultiPathNet"),  # type: ignore[arg-type]
        (lambda: mk.Start.of(3, {}), "net must be a MultiPathNet"),  # type: ignore[arg-type]
        (lambda: mk.Start.of(start.net, {}), "domain 'a' of the network has no path"),
        (lambda: mk.Start.of(start.net, {"a": "k3"}), "must be a Path"),  # type: ignore[dict-item]
    ):
        with pytest.raises(mk.MpnasError, match=message):
            call()
