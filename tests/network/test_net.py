"""One network for many domains: what is shared, what is private, and that flows do not mix."""

import itertools

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.network import maps
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm, Norm, member
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.factored import FactoredSpace, mobilenet_v3_like
from mpnas_kit.space.spaces import mobilenet_v3_large

CLASSES = {"a": 3, "b": 4, "c": 2}
ARCHS = ("k3e1 k5e3", "k3e1 k3e1", "zero k5e3")


def union(norm: Norm = "per_domain", seed: int = 0, **paths: str) -> MultiPathNet:
    """The network of `ARCHS`, or of these paths."""
    space = tiny.space()
    archs = paths or dict(zip("abc", ARCHS, strict=True))
    parsed = {d: space.parse(arch) for d, arch in archs.items()}
    classes = {d: CLASSES[d] for d in parsed}
    return MultiPathNet.of_paths(space, parsed, tiny.tasks(classes), norm, seed)


def flow(domain: str, arch: str, count: int = 6, seed: int = 0, shift: float = 0.0) -> Flow:
    return Flow(domain, tiny.images(count, seed, shift), tiny.space().parse(arch))


def three(net_batches: tuple[int, int, int] = (6, 4, 5)) -> list[Flow]:
    """One flow per domain, of different sizes and statistics."""
    return [
        flow(d, arch, count, seed=i, shift=float(i))
        for i, (d, arch, count) in enumerate(zip("abc", ARCHS, net_batches, strict=True))
    ]


def unlike_norms(net: MultiPathNet) -> None:
    """Give every batch norm scales, shifts and statistics that differ from domain to domain."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in (m for m in net.modules() if isinstance(m, DomainNorm)):
            for tensor in [*module.parameters(), *module.buffers()]:
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))


# Many flows at once -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "training"),
    [
        ("per_domain", False),
        ("mixed", False),
        ("naive", False),
        ("per_domain", True),
        ("naive", True),
    ],
)
def test_many_flows_together_equal_each_flow_alone(norm: Norm, training: bool) -> None:
    net = union(norm)
    unlike_norms(net)
    net.train(training)
    again = flow("a", ARCHS[0], 3, seed=9, shift=-1.0)  # a domain may come twice
    flows = [*three(), again]
    together = net(flows)
    for one, logits in zip(flows, together, strict=True):
        torch.testing.assert_close(net([one])[0], logits, atol=1e-4, rtol=1e-4)


def test_the_order_of_the_flows_does_not_matter() -> None:
    net = union().train()
    for order in itertools.permutations(range(3)):
        flows = three()
        expected = net(flows)
        for i, logits in zip(order, net([flows[i] for i in order]), strict=True):
            torch.testing.assert_close(logits, expected[i], atol=1e-4, rtol=1e-4)


def test_a_supernet_runs_every_mixture_of_paths() -> None:
    space = tiny.space()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    paths = list(tiny.all_paths(space))
    flows = [Flow("abc"[i % 3], tiny.images(4, seed=i), path) for i, path in enumerate(paths)]
    for one, logits in zip(flows, net(flows), strict=True):
        assert logits.shape == (4, CLASSES[one.domain])
        torch.testing.assert_close(net([one])[0], logits, atol=1e-4, rtol=1e-4)


def test_different_paths_give_different_logits() -> None:
    space = tiny.space()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    x = tiny.images(4)
    outputs = net([Flow("a", x, path) for path in tiny.all_paths(space)])
    for first, second in itertools.combinations(outputs, 2):
        assert not torch.allclose(first, second, atol=1e-5)


def test_in_mixed_batches_all_images_of_a_node_are_one_batch() -> None:
    net = union("mixed").train()
    flows = three()
    alone, together = net([flows[0]])[0], net(flows)[0]
    assert not torch.allclose(alone, together, atol=1e-3)


def test_flows_of_the_same_images_run_once_while_their_paths_are_equal() -> None:
    space = tiny.space()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    paths = [space.parse(a) for a in ("k3e1 k5e3", "k3e1 k3e1", "zero k3e1", "k3e1 k5e3")]
    x, images = tiny.images(4), {}
    handles = [
        tiny.node(net, layer, block).register_forward_pre_hook(
            lambda _, given, key=(layer, block): images.setdefault(key, []).append(len(given[0]))
        )
        for layer, block in ((0, "conv3"), (1, "k3e1"), (2, "k5e3"), (2, "k3e1"))
    ]
    flows = [Flow("a", x, p) for p in paths] + [Flow("a", x.clone(), paths[0])]
    together = net(flows)
    for handle in handles:
        handle.remove()
    assert {key: sum(counts) for key, counts in images.items()} == {
        (0, "conv3"): 8,  # the last flow has images of its own
        (1, "k3e1"): 8,
        (2, "k5e3"): 8,
        (2, "k3e1"): 8,  # with two different inputs
    }
    for one, logits in zip(flows, together, strict=True):
        torch.testing.assert_close(net([one])[0], logits, atol=1e-5, rtol=1e-5)


def test_the_maps_per_call_of_a_node_do_not_change_the_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = union().train()
    flows = [*three(), flow("b", ARCHS[1], 5, seed=8)]
    calls: list[int] = []
    net.module_of(next(iter(net.users))).register_forward_hook(
        lambda _, x, __: calls.append(len(x[0]))
    )
    outcomes = []
    for most, expected in ((1, [6, 4, 5, 5]), (1 << 30, [20])):
        monkeypatch.setattr(maps, "CHUNK", most)
        calls.clear()
        outcomes.append(net(flows))
        assert calls == expected
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


# Batch norm ---------------------------------------------------------------------------------------


def test_every_domain_has_its_own_batch_norm() -> None:
    """Fails if any domain is normalised with the statistics, scale or shift of another."""
    net = union(a="k3e1 k5e3", b="k3e1 k5e3", c="k3e1 k5e3").eval()
    flows = [flow(d, "k3e1 k5e3") for d in "abc"]
    with torch.no_grad():
        for d in "abc":  # one classifier for all, so that logits depend on features alone
            net.heads[member(d)] = nn.Linear(16, 5)
            net.head_of(d).load_state_dict(net.head_of("a").state_dict())
    for changed in ("weight", "bias", "mean", "var"):
        for domain in "abc":
            before = net(flows)
            saved = {n: t.clone() for n, t in net.state_dict().items()}
            with torch.no_grad():
                for module in (m for m in net.modules() if isinstance(m, DomainNorm)):
                    own = (
                        module.get_buffer(f"{changed}_{member(domain)}")
                        if changed in ("mean", "var")
                        else getattr(module, changed)[member(domain)]
                    )
                    own.add_(1.5)
            after = net(flows)
            for d, old, new in zip("abc", before, after, strict=True):
                assert torch.equal(old, new) is (d != domain), (changed, domain, d)
            net.load_state_dict(saved)


def test_measuring_moves_the_statistics_of_the_domains_that_came_and_no_others() -> None:
    net = union().train()
    with net.measure():
        net([flow("b", ARCHS[1], shift=3.0)])
    for name, buffer in net.named_buffers():
        fresh = torch.zeros_like(buffer) if "mean_" in name else torch.ones_like(buffer)
        moved = not torch.equal(buffer, fresh)
        assert moved is name.endswith("_of_b"), name


def test_evaluation_does_not_depend_on_the_rest_of_the_batch() -> None:
    net = union().train()
    for _ in range(3):
        net(three())
    net.eval()
    whole = flow("a", ARCHS[0], 6, shift=2.0)
    one = whole._replace(images=whole.images[2:3])
    torch.testing.assert_close(net([one])[0][0], net([whole])[0][2], atol=1e-5, rtol=1e-5)


# What is shared -----------------------------------------------------------------------------------


def test_a_shared_node_has_one_set_of_weights() -> None:
    net = union()
    assert list(net.nodes) == ["0_conv3", "1_k3e1", "2_k3e1", "2_k5e3", "3_conv1"]
    users = {f"{n.layer}_{n.block}": d for n, d in net.users.items()}
    assert users == {
        "0_conv3": ("a", "b", "c"),
        "1_k3e1": ("a", "b"),
        "2_k3e1": ("b",),
        "2_k5e3": ("a", "c"),
        "3_conv1": ("a", "b", "c"),
    }
    assert len({id(p) for p in net.parameters()}) == len(list(net.parameters()))


def test_a_step_on_one_domain_changes_what_another_sees_of_a_shared_node() -> None:
    net = union().eval()
    shared, private = flow("a", ARCHS[0]), flow("b", ARCHS[1])
    before = net([shared, private])
    with torch.no_grad():
        next(tiny.node(net, 2, "k5e3").parameters()).add_(1.0)
    after = net([shared, private])
    assert not torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])


def test_private_nodes_norms_and_heads_get_gradient_from_their_domain_alone() -> None:
    net = union().train()
    for i, domain in enumerate("abc"):
        net.zero_grad(set_to_none=True)
        logits = net(three())[i]
        F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64)).backward()
        for node, domains in net.users.items():
            module = net.module_of(node)
            kernels = [p for p in module.parameters() if p.ndim == 4]
            reached = [p.grad is not None and bool(p.grad.any()) for p in kernels]
            assert all(reached) if domain in domains else not any(reached), (domain, node)
            for norm in (m for m in module.modules() if isinstance(m, DomainNorm)):
                gradients = {n: p.grad for n, p in norm.weight.items()}
                with_gradient = {n for n, g in gradients.items() if g is not None and g.any()}
                assert with_gradient <= {member(domain)}
        pairs = [(d, net.head_of(d).weight.grad) for d in "abc"]
        assert {d: g is not None and bool(g.any()) for d, g in pairs} == {
            d: d == domain for d in "abc"
        }


def test_the_gradient_of_a_shared_node_is_the_sum_over_its_domains() -> None:
    net = union().train()
    kernel = next(p for p in tiny.node(net, 1, "k3e1").parameters() if p.ndim == 4)

    def gradient(which: tuple[int, ...]) -> Tensor:
        net.zero_grad(set_to_none=True)
        outputs = net(three())
        torch.stack([outputs[i].square().sum() for i in which]).sum().backward()
        assert kernel.grad is not None
        return kernel.grad.clone()

    both = gradient((0, 1))
    torch.testing.assert_close(both, gradient((0,)) + gradient((1,)), atol=1e-5, rtol=1e-4)
    assert gradient((0,)).any() and gradient((1,)).any()


def test_a_domain_without_a_path_is_named() -> None:
    space = tiny.space()
    with pytest.raises(MpnasError, match="'b'"):
        MultiPathNet.of_paths(space, {"a": space.parse(ARCHS[0])}, tiny.tasks(CLASSES), "mixed", 0)


# Initialisation -----------------------------------------------------------------------------------


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = union(seed=3).state_dict()
    torch.manual_seed(2)
    second, other = union(seed=3).state_dict(), union(seed=4).state_dict()
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert not torch.equal(first["heads.of_a.weight"], other["heads.of_a.weight"])


def test_the_global_generator_does_not_change() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    union()
    MultiPathNet.supernet(tiny.space(), tiny.tasks(CLASSES), "mixed", seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_kernels_start_as_kaiming_normal_and_classifiers_small() -> None:
    net = MultiPathNet.supernet(mobilenet_v3_large(32), tiny.tasks({"a": 200}), "mixed", seed=0)
    kernel = next(p for n, p in net.named_parameters() if p.shape == (960, 160, 1, 1))
    assert float(kernel.detach().std()) == pytest.approx((2 / 960) ** 0.5, rel=0.02)
    head = net.head_of("a").weight.detach()
    assert float(head.std()) == pytest.approx(0.01, rel=0.02) and not net.head_of("a").bias.any()


# Blends -------------------------------------------------------------------------------------------


def test_a_blended_layer_gives_the_mean_of_its_candidates_and_of_its_input() -> None:
    space = tiny.space()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    path = space.parse("k3e1 k5e3")
    uses = space.uses(path)
    blended = (space.use(1, 1, 8, 8), None, space.use(1, 3, 8, 8))
    layers = (uses[:1], blended, uses[2:3], uses[3:])
    maps: dict[str, Tensor] = {}
    handles = [
        tiny.node(net, 0, "conv3").register_forward_hook(lambda _, __, y: maps.update(stem=y)),
        tiny.node(net, 1, "k3e1").register_forward_hook(lambda _, __, y: maps.update(small=y)),
        tiny.node(net, 1, "k5e2se").register_forward_hook(lambda _, __, y: maps.update(large=y)),
        tiny.node(net, 2, "k5e3").register_forward_pre_hook(lambda _, x: maps.update(after=x[0])),
    ]
    net([Flow("a", tiny.images(4), Blend(layers))])
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(maps["after"], (maps["stem"] + maps["small"] + maps["large"]) / 3)


def test_a_blend_of_one_candidate_per_layer_is_the_path() -> None:
    space = tiny.space()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    path = space.parse("zero k3e3")
    blend = Blend(tuple((use,) for use in space.uses(path)))
    x = tiny.images(4)
    first, second = net([Flow("a", x, path), Flow("a", x, blend)])
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


def test_blends_and_paths_of_several_domains_do_not_mix() -> None:
    space = tiny.space()
    net = MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0)
    uses = space.uses(space.parse("k3e1 k5e3"))
    both = tuple(space.use(1, pick, 8, 8) for pick in (0, 1, 2))
    blend = Blend((uses[:1], both, uses[2:3], uses[3:]))
    flows = [
        Flow("a", tiny.images(4, 0), blend),
        Flow("b", tiny.images(6, 1), space.parse("k3e1 k5e3")),
        Flow("c", tiny.images(5, 2), blend),
    ]
    for one, logits in zip(flows, net(flows), strict=True):
        torch.testing.assert_close(net([one])[0], logits, atol=1e-4, rtol=1e-4)


# Searched widths ----------------------------------------------------------------------------------


def test_slices_of_a_wide_network_equal_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE)
    narrow = space.parse("conv3 sep3 x0.5 k5e2se k3e2 x0.5 k3e1 k3e2se")
    wide = space.widest(narrow)
    classes = {"a": 3, "b": 2}
    large = MultiPathNet.of_paths(
        space, {"a": narrow, "b": wide}, tiny.tasks(classes), "per_domain", 0
    )
    small = MultiPathNet.of_paths(space, {"a": narrow}, tiny.tasks({"a": 3}), "per_domain", 1)
    unlike_norms(large)
    with torch.no_grad():
        for name, tensor in small.state_dict(keep_vars=True).items():
            source = large.state_dict()[name]
            tensor.copy_(source[tuple(slice(n) for n in tensor.shape)])
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in large.parameters())
    x = tiny.images(4)
    for training in (True, False):
        large.train(training), small.train(training)
        flows = [Flow("a", x, narrow), Flow("b", tiny.images(3, 1), wide)]
        expected = small([Flow("a", x, narrow)])[0]
        torch.testing.assert_close(large(flows)[0], expected, atol=1e-4, rtol=1e-4)


def test_the_full_space_runs_paths_of_different_widths_in_one_network() -> None:
    space = mobilenet_v3_like(32)
    smallest = space.extremes(MultiplyAdds().price)[0]
    words = smallest.arch.split()
    wider = space.parse(" ".join("x0.625" if w == "x0.5" else w for w in words))
    paths = {"a": smallest, "b": wider}
    net = MultiPathNet.of_paths(space, paths, tiny.tasks({"a": 3, "b": 4}), "per_domain", 0).eval()
    flows = [Flow(d, torch.randn(2, 3, 32, 32), p) for d, p in paths.items()]
    for one, logits in zip(flows, net(flows), strict=True):
        torch.testing.assert_close(net([one])[0], logits, atol=1e-5, rtol=1e-5)
    assert set(net.nodes) == {f"{n.layer}_{n.block}" for n in space.nodes(wider, all_layers=True)}
