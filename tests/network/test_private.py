"""Private copies in networks, and unions whose nodes share one set of weights."""

import pytest
import torch

import mpnas_kit as mk
from mpnas_kit.kernels.library import find_library
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space.backbone import BackboneSpace, Row
from mpnas_kit.space.private_layers import PrivateLayers

TASKS = {"a": mk.Classification(3), "b": mk.Classification(2), "c": mk.Classification(4)}


def around() -> BackboneSpace:
    """A small space with all kinds of layers."""
    block = mk.InvertedBottleneck(3, 4, se=True, activation="relu6", padding="same")
    kernels, expansions = (3, 5), (2, 4)
    return BackboneSpace(
        "small",
        [
            Row("stem", 2, 8, mk.Conv(3, "relu6", padding="same")),
            Row("1", 1, 8, mk.InvertedBottleneck(3, 1, activation="relu6"), kernels, (1,)),
            Row("2", 2, 12, block, kernels, expansions),
            Row("3", 1, 12, block, kernels, expansions),
            Row("head", 1, 16, mk.Conv(1, "relu6")),
        ],
        16,
    )


def images(domains: str = "abc") -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {d: torch.randn(4, 3, 16, 16, generator=generator) for d in domains}


def union(*archs: str, collapse: bool = False) -> tuple[MultiPathNet, dict[str, mk.Path]]:
    space = around()
    paths = {d: space.parse(arch) for d, arch in zip("abc", archs, strict=False)}
    tasks = {d: TASKS[d] for d in paths}
    return MultiPathNet.of_paths(space, paths, tasks, "per_domain", 0, collapse=collapse), paths


def outputs(net: MultiPathNet, paths: dict[str, mk.Path]) -> dict[str, torch.Tensor]:
    x = images("".join(paths))
    return dict(zip(paths, net([Flow(d, x[d], p) for d, p in paths.items()]), strict=True))


def weights(net: MultiPathNet) -> int:
    """Number of parameters without batch norms and heads."""
    named = net.named_parameters()
    return sum(p.numel() for n, p in named if "norm" not in n and not n.startswith("heads"))


def test_only_the_domain_of_a_private_copy_changes_with_it() -> None:
    net, paths = union("k3e1 k3e4se k3e4se*", "k3e1 k3e4se k3e4se", "k3e1 k3e4se k3e4se~")
    before = outputs(net, paths)
    with torch.no_grad():
        net.nodes["3_k3e4se@a"].depthwise.weight.add_(0.5)
    after = outputs(net, paths)
    changed = {d for d in paths if not torch.equal(before[d], after[d])}
    assert changed == {"a"}
    with torch.no_grad():
        net.nodes["3_k3e4se~@c"].depthwise.weight.add_(0.5)
    assert torch.equal(outputs(net, paths)["b"], before["b"])
    assert not torch.equal(outputs(net, paths)["c"], before["c"])


def test_private_depthwise_copies_share_their_1x1_convolutions() -> None:
    net, paths = union("k3e1 k3e4se k3e4se", "k3e1 k3e4se k3e4se~", "k3e1 k3e4se k3e4se~")
    shared = net.nodes["3_k3e4se"]
    before = outputs(net, paths)
    with torch.no_grad():
        shared.project.weight.mul_(-1)
    after = outputs(net, paths)
    assert not any(torch.equal(before[d], after[d]) for d in paths)
    with torch.no_grad():
        shared.depthwise.weight.mul_(-1)
    last = outputs(net, paths)
    assert not torch.equal(last["a"], after["a"])
    assert torch.equal(last["b"], after["b"]) and torch.equal(last["c"], after["c"])


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize(
    "archs",
    [
        ("k3e1 k3e4se k3e4se", "k3e1 k3e2se k5e2se", "k5e1 k5e4se zero"),
        ("k3e1 k3e4se~ k3e4se~", "k3e1 k3e4se~ k5e2se~", "k5e1* k5e4se* k5e4se~"),
        ("k3e1~ k3e4se k3e4se*", "k3e1~ k3e4se k3e4se*", "k3e1 k3e2se~ k3e4se"),
    ],
)
def test_parameters_of_a_union_are_counted_once(archs: tuple[str, ...], collapse: bool) -> None:
    net, paths = union(*archs, collapse=collapse)
    sizes = mk.analysis.account(net, paths)
    assert sizes.parameters() == sum(p.numel() for p in net.parameters())
    assert sizes.parameters(batch_norm=False, heads=False) == weights(net)
    uncollapsed = net.space.union_cost(paths.values()).parameters
    if not collapse:
        assert weights(net) == uncollapsed
    else:
        assert weights(net) <= uncollapsed
    for row in sizes.domains.itertuples():
        assert row.shared + row.private == net.space.cost(paths[row.domain]).parameters
    sum(x.square().sum() for x in outputs(net, paths).values()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_private_parameters_of_the_account_are_what_no_other_domain_uses() -> None:
    net, paths = union("k3e1 k3e4se k3e4se*", "k3e1 k3e4se k3e4se~", "k3e1 k3e4se k3e4se")
    table = mk.analysis.account(net, paths).domains.set_index("domain")
    space = net.space
    for domain in "ab":
        own = sum(u.private_parameters for u in space.uses(paths[domain]) if u)
        assert table.loc[domain, "private"] == own > 0


def test_a_collapsed_union_uses_slices_of_one_set_of_weights() -> None:
    net, paths = union("k3e1 k5e4se k5e4se", "k3e1 k3e2se k3e2se", collapse=True)
    wide = net.nodes["2_k5e4se"], net.nodes["3_k5e4se"]
    narrow = net.nodes["2_k3e2se"], net.nodes["3_k3e2se"]
    for large, small in zip(wide, narrow, strict=True):
        hidden = small.depthwise.out_channels
        assert torch.equal(
            small.depthwise.plain(hidden, hidden).weight,
            large.depthwise.plain(hidden * 2, hidden * 2).weight[:hidden, :, 1:-1, 1:-1],
        )
    assert weights(net) < weights(union("k3e1 k5e4se k5e4se", "k3e1 k3e2se k3e2se")[0])
    # each domain has statistics of its own
    with net.measure(), torch.no_grad():
        outputs(net, paths)
    net.eval()
    assert all(torch.isfinite(x).all() for x in outputs(net, paths).values())


@pytest.mark.skipif(find_library() is None, reason="there are no native kernels here")
@pytest.mark.parametrize("collapse", [False, True])
def test_native_kernels_compute_the_same(collapse: bool) -> None:
    archs = ("k3e1~ k3e4se~ k3e4se*", "k3e1 k3e4se k5e2se~", "k5e1 k5e2se* zero")
    net, paths = union(*archs, collapse=collapse)
    found = {}
    for kernels in (None, find_library()):
        net.kernels = kernels
        net.zero_grad()
        logits = outputs(net, paths)
        sum(x.square().sum() for x in logits.values()).backward()
        gradients = {n: p.grad.clone() for n, p in net.named_parameters()}
        found[kernels is None] = {d: x.detach() for d, x in logits.items()}, gradients
    for eager, native in zip(found[True], found[False], strict=True):
        for name, value in eager.items():
            torch.testing.assert_close(native[name], value, rtol=1e-3, atol=1e-4)


def test_every_private_candidate_of_a_supernet_has_one_module_per_domain() -> None:
    space = around()
    for collapse in (False, True):
        net = MultiPathNet.supernet(space, TASKS, "per_domain", 0, collapse=collapse)
        owners = {d: {n.block for n in net.uses if n.layer == 3 and n.owner == d} for d in TASKS}
        assert set(map(frozenset, owners.values())) == {
            frozenset(f"k{k}e{e}se{s}" for k in (3, 5) for e in (2, 4) for s in ("", "~"))
        }
        x = images()
        generator = torch.Generator().manual_seed(0)
        for _ in range(20):
            flows = [Flow(d, x[d], space.sample(generator)) for d in TASKS]
            assert all(torch.isfinite(y).all() for y in net(flows))


def test_a_bundle_of_private_paths_shares_nothing() -> None:
    space = around()
    paths = dict.fromkeys("ab", space.parse("k3e1~ k3e4se~ k3e4se"))
    tasks, alone = {d: TASKS[d] for d in paths}, PrivateLayers(since=0)
    net = MultiPathNet.of_paths(space, paths, tasks, "per_domain", 0, private=alone)
    assert weights(net) == 2 * space.cost(paths["a"]).parameters
    table = mk.analysis.account(net, paths).domains
    assert (table["shared"] == 0).all()
    assert space.union_cost(paths.values(), private=alone).parameters == weights(net)
    shared = MultiPathNet.of_paths(space, paths, tasks, "per_domain", 0)
    assert space.union_cost(paths.values()).parameters == weights(shared)


@pytest.mark.parametrize("collapse", [False, True])
def test_the_deploy_form_of_a_private_path_is_the_path(collapse: bool) -> None:
    from mpnas_kit.deploy.form import deploy_form, folded

    archs = ("k3e1~ k3e4se~ k3e4se*", "k3e1 k3e2se k5e2se~", "k5e1 k5e4se zero")
    net, paths = union(*archs, collapse=collapse)
    with net.measure(), torch.no_grad():
        outputs(net, paths)
    net.eval()
    standard = ((0.5,) * 3, (0.25,) * 3)
    pixels = torch.rand(3, 3, 16, 16)
    for domain, path in paths.items():
        classes = tuple(map(str, range(net.tasks[domain].outputs)))
        signature = mk.Signature(classes, 3, 16, *standard)
        form = deploy_form(net, domain, path, signature)
        with torch.no_grad():
            (expected,) = net([Flow(domain, (pixels - 0.5) / 0.25, path)])
            for made in (form, folded(form)):
                torch.testing.assert_close(made(pixels), expected, rtol=1e-4, atol=1e-5)
