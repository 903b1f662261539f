"""The deploy form gives what the network gives, for every block, norm and width of the kit."""

from dataclasses import dataclass
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

import mpnas_kit as mk
from mpnas_kit.deploy.form import deploy_form, folded
from mpnas_kit.domains.signature import Signature
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import Norm
from mpnas_kit.space.block import NormFactory
from mpnas_kit.space.layers import Layer, Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.space.space import SearchSpace

TASKS = tiny.tasks({"a": 3, "b": 4})
PLAIN = {
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.Linear,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Sequential,
    nn.ReLU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Identity,
}


def signature(classes: int = 3) -> Signature:
    names = tuple(f"class{i}" for i in range(classes))
    return Signature(names, 3, 16, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


def disturbed(net: MultiPathNet) -> MultiPathNet:
    """The network in evaluation mode, with scales, shifts and statistics that differ everywhere."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            noise = torch.rand(tensor.shape, generator=generator)
            if ".var_" in name:
                tensor.copy_(0.5 + noise)
            elif tensor.ndim == 1:
                tensor.add_(0.2 * noise - 0.1)
    return net.eval()


def outputs(net: MultiPathNet, domain: str, path: Path, pixels: Tensor) -> Tensor:
    """What the network itself returns for pixels, uint8 (B, 3, H, W)."""
    with torch.no_grad():
        return net([Flow(domain, signature().standard(pixels), path)])[0]


def same(net: MultiPathNet, domain: str, path: Path, resolution: int = 16) -> nn.Sequential:
    """Compare the form of a path with the network on random pixels, and return the form."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, 3, resolution, resolution)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    form = deploy_form(net, domain, path, signature())
    expected = outputs(net, domain, path, pixels)
    torch.testing.assert_close(form(pixels), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(form(pixels.float() / 255), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(folded(form)(pixels), expected, atol=1e-4, rtol=1e-4)
    return form


def covering(space: SearchSpace) -> list[Path]:
    """Paths that together have every choice of every decision."""
    most = max((len(d.choices) for d in space.decisions), default=1)
    return [space.path([i % len(d.choices) for d in space.decisions]) for i in range(most)]


@pytest.mark.parametrize("norm", ["per_domain", "mixed", "naive"])
def test_every_path_of_a_union_equals_its_form(norm: Norm) -> None:
    space = tiny.space()
    for first in tiny.all_paths(space):
        paths = {"a": first, "b": space.parse("k5e2se k3e3")}
        net = disturbed(MultiPathNet.of_paths(space, paths, TASKS, norm, seed=0))
        for domain, path in paths.items():
            form = same(net, domain, path)
            assert {type(m) for m in form[1:].modules() if not list(m.children())} <= PLAIN
            kernels = [m.weight for m in form.modules() if isinstance(m, nn.Conv2d)]
            assert all(k.is_contiguous() for k in kernels)


@pytest.mark.parametrize("private", [PrivateLayers(since=0), PrivateLayers(1, since=2)])
def test_private_nodes_are_those_of_the_domain(private: PrivateLayers) -> None:
    space = tiny.space()
    paths = dict.fromkeys(TASKS, space.parse("k3e2 k5e3"))
    net = MultiPathNet.of_paths(space, paths, TASKS, "per_domain", 0, private)
    for domain in TASKS:
        same(disturbed(net), domain, paths[domain])


@pytest.mark.parametrize("resolution", [1, 7, 8, 15, 16])
def test_private_copies_and_uneven_padding_equal_their_form(resolution: int) -> None:
    """Maps of even and odd sizes: the padding of TensorFlow depends on them."""
    block = mk.InvertedBottleneck(5, 3, activation="relu6", padding="same")
    rows = [
        mk.Row("stem", 2, 8, mk.Conv(3, "relu6", padding="same")),
        mk.Row("1", 2, 12, block, (3, 5), (2, 3)),
        mk.Row("2", 1, 12, block, (3, 5), (2, 3)),
        mk.Row("head", 1, 16, mk.Conv(1, "relu6")),
    ]
    space = mk.BackboneSpace("around", rows, resolution)
    for first, second in (("k5e3 k3e2~", "k5e3~ k3e2"), ("k3e3* zero", "k3e3 k5e2*")):
        paths = {"a": space.parse(first), "b": space.parse(second)}
        for norm in ("per_domain", "naive"):
            for collapse in (False, True):
                net = MultiPathNet.of_paths(space, paths, TASKS, norm, 0, collapse=collapse)
                for domain, path in paths.items():
                    same(disturbed(net), domain, path, resolution)


@pytest.mark.parametrize(
    "make",
    [
        mk.pocket_space,
        lambda resolution: mk.mobilenet_v3_like(resolution=resolution),
        lambda resolution: mk.mobilenet_v3_large(resolution=resolution),
    ],
    ids=["pocket", "mobilenet_v3_like", "mobilenet_v3_large"],
)
def test_every_block_of_the_kit_s_spaces_equals_its_form(make: Any) -> None:
    space = make(32)
    for path in covering(space):
        tasks = tiny.tasks({"a": 3})
        net = disturbed(MultiPathNet.of_paths(space, {"a": path}, tasks, "per_domain", seed=0))
        same(net, "a", path, 32)


def test_a_narrow_path_has_the_first_channels_of_a_wide_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.shrink_factored(monkeypatch)
    space = mk.FactoredSpace("small", 16)
    wide, narrow = covering(space)[-1], covering(space)[0]
    net = MultiPathNet.of_paths(space, {"a": wide, "b": narrow}, TASKS, "per_domain", seed=0)
    sizes = [
        sum(p.numel() for p in same(disturbed(net), domain, path).parameters())
        for domain, path in {"a": wide, "b": narrow}.items()
    ]
    assert sizes[0] > sizes[1]


def test_collapsed_nodes_have_the_weights_that_they_borrow() -> None:
    space = tiny.space()
    whole = MultiPathNet.supernet(space, TASKS, "per_domain", seed=0, collapse=True)
    with pytest.raises(mk.MpnasError, match="no statistics"):
        deploy_form(whole, "a", space.parse("k3e2 k5e3"), signature())
    from mpnas_kit.network.net import _Extent

    extents = {node: _Extent(whole.uses[node], whole.users[node]) for node in whole.uses}
    net = MultiPathNet(space, extents, TASKS, "per_domain", True, 0, PrivateLayers(), collapse=True)
    for path in tiny.all_paths(space):
        same(disturbed(net), "a", path)


@dataclass(frozen=True)
class Shuffled:
    """A block that the kit does not know: its module takes widths as those of the kit do."""

    name: str = "shuffled"

    def build(self, inputs: int, outputs: int, stride: int, norm: NormFactory) -> nn.Module:
        return _Shuffled(inputs, outputs, norm)


class _Shuffled(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: NormFactory) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.norm = norm(outputs)

    def forward(self, x: Tensor, width: int | None = None) -> Tensor:
        kernel = self.kernel[:width, : x.shape[1]]
        return self.norm(nn.functional.conv2d(x, kernel)).flip(1)  # type: ignore[no-any-return]


def test_a_block_of_your_own_is_taken_over() -> None:
    stem = Layer("stem", 2, (8,), (mk.Conv(3),))
    space = LayerwiseSpace("mine", (stem, Layer("one", 1, (8,), (Shuffled(),))), 16)
    path = space.path([])
    net = MultiPathNet.of_paths(space, dict.fromkeys(TASKS, path), TASKS, "per_domain", seed=0)
    form = same(disturbed(net), "b", path)
    before = [p.clone() for p in net.parameters()]
    for parameter in form.parameters():
        parameter.add_(1)
    assert all(torch.equal(p, q) for p, q in zip(before, net.parameters(), strict=True))


def test_a_domain_that_the_network_lacks_is_refused() -> None:
    space = tiny.space()
    path = space.parse("k3e2 k5e3")
    net = MultiPathNet.of_paths(space, {"a": path}, tiny.tasks({"a": 3}), "mixed", seed=0)
    with pytest.raises(mk.MpnasError, match="domain of this network 'aa'"):
        deploy_form(net, "aa", path, signature())
