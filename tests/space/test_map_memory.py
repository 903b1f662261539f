"""Feature maps that blocks keep: closed forms against what torch saves, and blocks of your own."""

from dataclasses import dataclass
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from mpnas_kit.engine.memory import maps_per_image
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.space.block import Block
from mpnas_kit.space.blocks import Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.layers import Node, Use
from mpnas_kit.space.map_memory import _measured, maps_of
from mpnas_kit.space.spaces import mobilenet_v3_large, pocket_space

ACTIVATIONS = ("relu", "hardswish", "identity")
BLOCKS = [
    *(Conv(k, a) for k in (1, 5) for a in ACTIVATIONS),
    *(SeparableConv(3, a) for a in ACTIVATIONS),
    *(
        InvertedBottleneck(3, expansion, se, activation, hidden)
        for expansion, hidden in ((1, None), (4, None), (1, 40))
        for se in (False, True)
        for activation in ACTIVATIONS
    ),
    PooledConv(),
]


def use(block: Block, sizes: tuple[int, int, int, int] = (16, 24, 1, 8)) -> Use:
    width, out, stride, size = sizes
    return Use(Node(0, block.name), block, width, out, stride, size)


@pytest.mark.parametrize("sizes", [(16, 16, 1, 32), (16, 24, 2, 31), (8, 40, 1, 9)])
@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_closed_forms_count_what_torch_saves(
    block: Block, sizes: tuple[int, int, int, int]
) -> None:
    """Within 1 %, and two values per channel for the statistics of every norm."""
    (saved, largest), found = _measured(block, *sizes), maps_of(use(block, sizes))
    hidden = getattr(block, "hidden", None) or getattr(block, "expansion", 1) * sizes[0]
    assert 0 <= saved - found.kept <= 0.01 * saved + 6 * (hidden + sizes[1])
    assert found.largest == largest


@dataclass(frozen=True)
class Own:
    """Two convolutions of which no form is known."""

    name = "own"

    def build(self, width: int, out: int, stride: int, norm: Any) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(width, out, 3, stride, 1), nn.Tanh(), nn.Conv2d(out, out, 1), nn.ReLU()
        )


def test_a_block_of_your_own_is_measured() -> None:
    """The input, the output of tanh and nothing else: the output of ReLU is the next input."""
    assert maps_of(use(Own(), (3, 5, 2, 8))) == (3 * 64 + 5 * 16, 3 * 64)


def test_a_block_that_cannot_be_hashed_is_refused() -> None:
    @dataclass
    class Open:
        name = "open"

        def build(self, *sizes: Any) -> nn.Module:
            return nn.Identity()

    with pytest.raises(MpnasError, match="block 'open' cannot be hashed, so its feature maps"):
        maps_of(use(Open()))


def saved_bytes(net: nn.Module, flows: list[Flow]) -> int:
    """Bytes that a forward pass saves, without parameters, each storage once."""
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = net(flows)
    for parameter in net.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    assert logits
    return sum(t.untyped_storage().nbytes() for t in kept.values())


@pytest.mark.parametrize("norm", ["per_domain", "naive"])
@pytest.mark.parametrize(
    "space", [tiny.space(), pocket_space(), mobilenet_v3_large(64)], ids=lambda s: s.name
)
def test_a_step_saves_what_its_flows_are_expected_to(space: Any, norm: Any) -> None:
    """Two paths that share nodes: within a factor of 1.15, so a budget holds about what it says."""
    generator = torch.Generator().manual_seed(0)
    paths = {d: space.sample(generator) for d in "ab"}
    net = MultiPathNet.of_paths(space, paths, tiny.tasks({"a": 3, "b": 4}), norm, seed=0)
    size = space.resolution
    images = {d: torch.randn(4, 3, size, size, generator=generator) for d in paths}
    images = {d: x.contiguous(memory_format=torch.channels_last) for d, x in images.items()}
    flows = [Flow(d, images[d], path) for d, path in paths.items()]
    expected = 4 * sum(4 * maps_per_image(space, flow).kept for flow in flows)
    assert 1 / 1.15 < saved_bytes(net, flows) / expected < 1.15


def test_an_averaged_layer_keeps_the_maps_of_its_candidates() -> None:
    space = tiny.space()
    first, second = (space.uses(space.parse(arch)) for arch in ("k3e1 k5e3", "k3e2 k5e3"))
    blend = Blend(tuple(dict.fromkeys((a, b)) for a, b in zip(first, second, strict=True)))
    images = torch.empty(2, 3, tiny.SIZE, tiny.SIZE)
    expected = sum(maps_of(u).kept for u in first if u) + maps_of(second[1]).kept  # type: ignore[arg-type]
    blended = Blend(tuple(tuple(uses) for uses in blend.layers))
    assert maps_per_image(space, Flow("a", images, blended)).kept == expected


def test_smaller_images_keep_smaller_maps() -> None:
    space, path = tiny.space(), tiny.space().parse("k3e1 k5e3")
    large, small = (
        maps_per_image(space, Flow("a", torch.empty(2, 3, size, size), path)) for size in (16, 8)
    )
    assert large == (4 * small.kept, 4 * small.largest)
