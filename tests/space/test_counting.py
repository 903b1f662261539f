"""Costs that blocks compute, against the counter that runs their modules."""

from dataclasses import dataclass
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.space.block import Block, Cost
from mpnas_kit.space.blocks import Conv, InvertedBottleneck, PooledConv, SeparableConv
from mpnas_kit.space.counting import count, count_module
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.texts import SPACE, space_from_text

KERNELS = st.sampled_from((1, 3, 5, 7, 9))
WIDTHS = st.integers(1, 40)
BOTTLENECKS = st.builds(
    InvertedBottleneck,
    kernel=KERNELS,
    expansion=st.integers(1, 6),
    se=st.booleans(),
    activation=st.sampled_from(("relu", "hardswish", "identity")),
    hidden=st.none() | WIDTHS,
)
BLOCKS = st.one_of(
    BOTTLENECKS,
    st.builds(Conv, kernel=KERNELS),
    st.builds(SeparableConv, kernel=KERNELS),
    st.just(PooledConv()),
)


@settings(max_examples=80, deadline=None)
@given(BLOCKS, WIDTHS, WIDTHS, st.integers(1, 5), st.integers(1, 33))
def test_blocks_compute_what_the_counter_counts(
    block: Block, in_channels: int, out_channels: int, stride: int, size: int
) -> None:
    sizes = (in_channels, out_channels, stride, size)
    assert block.cost(*sizes) == count_module(block, *sizes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", tuple(n for n in SPACE.known if not n.startswith("planted")))
def test_every_block_of_the_spaces_computes_its_cost(name: str) -> None:
    """Each block once, in the first layer that has it; at an odd size, so that strides round."""
    uses = {use.block: use for use in space_from_text(name, 45).widest_uses()}
    for block, use in uses.items():
        sizes = (use.in_channels, use.out_channels, use.stride, use.size)
        assert block.cost(*sizes) == count_module(block, *sizes)  # type: ignore[attr-defined]


def test_no_module_is_built_to_cost_the_large_space(monkeypatch: pytest.MonkeyPatch) -> None:
    space = space_from_text("mobilenet_v3_like", 47)

    def refuse(self: Any, *sizes: Any) -> Any:
        raise AssertionError(f"{self.name} is built")

    for kind in (InvertedBottleneck, Conv, SeparableConv, PooledConv):
        monkeypatch.setattr(kind, "build", refuse)
    assert all(use.cost.parameters > 0 for use in space.all_uses())


# Blocks of others --------------------------------------------------------------------------------


class Doubled(InvertedBottleneck):
    """It builds two modules of its base class, and inherits `cost` from it."""

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        first = super().build(in_channels, out_channels, stride, norm)
        return nn.Sequential(first, super().build(out_channels, out_channels, 1, norm))


class Tripled(Doubled):
    """It overrides neither."""


class Stated(Doubled):
    """It says what its base class builds."""

    def cost(self, in_channels: int, out_channels: int, stride: int, size: int) -> Cost:
        return Cost(7, 5, 3)


class Renamed(InvertedBottleneck):
    """It builds what its base class builds."""

    name = "renamed"  # type: ignore[assignment]


@dataclass(frozen=True)
class Dear:
    """A block with a field `cost` that means something else."""

    cost: float = 3.0
    name: str = "dear"

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


@pytest.mark.parametrize("kind", [Doubled, Tripled])
def test_a_subclass_that_builds_otherwise_is_counted(kind: type[InvertedBottleneck]) -> None:
    plain, own = InvertedBottleneck(3, 2), kind(3, 2)
    expected = count(plain, 8, 12, 2, 9) + count(plain, 12, 12, 1, 5)
    assert count(own, 8, 12, 2, 9) == count_module(own, 8, 12, 2, 9) == expected


def test_a_block_with_a_build_in_the_object_is_counted() -> None:
    own = InvertedBottleneck(3, 2)
    object.__setattr__(own, "build", Conv(1).build)
    assert count.__wrapped__(own, 8, 12, 2, 9) == count(Conv(1), 8, 12, 2, 9)


def test_a_subclass_is_asked_if_its_cost_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpnas_kit.space.counting.count_module", None)
    assert count(Stated(3, 2), 8, 12, 2, 9) == Cost(7, 5, 3)
    assert count(Renamed(3, 2), 8, 12, 2, 9) == InvertedBottleneck(3, 2).cost(8, 12, 2, 9)


def test_a_field_called_cost_is_no_method() -> None:
    assert count(Dear(), 8, 12, 2, 9) == Cost(8 * 12 * 25, 8 * 12, 0)


@pytest.mark.parametrize(
    "answer", [None, 5, (1, 2), (1, 2, -3), (1.0, 2, 3), (True, 2, 3), [1, 2, 3]]
)
def test_what_a_block_computes_is_checked(answer: Any) -> None:
    class Wrong(Stated):
        def cost(self, *sizes: int) -> Any:
            return answer

    layers = [Layer("only", 1, (8,), (Wrong(3, 2), Conv(1)))]
    space = LayerwiseSpace("mine", layers, tiny.SIZE)
    with pytest.raises(MpnasError, match=r"cost of block 'k3e2' returns .*: expected a Cost"):
        space.cost(space.parse("k3e2"))


def test_an_error_of_a_block_s_own_cost_stays_and_names_the_block() -> None:
    class Broken(Stated):
        def cost(self, *sizes: int) -> Cost:
            raise KeyError("phone")

    with pytest.raises(KeyError) as raised:
        count(Broken(3, 2), 8, 12, 2, 9)
    assert "cost of block 'k3e2'" in raised.value.__notes__[0]
