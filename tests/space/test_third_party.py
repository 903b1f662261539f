"""A block and a space of a third party, in a few lines: they can be searched and trained."""

from dataclasses import dataclass

import counter
import pytest
import tiny
from torch import nn

from mpnas_kit.errors import MpnasError
from mpnas_kit.search.stage import search
from mpnas_kit.space.block import Block, NormFactory
from mpnas_kit.space.blocks import Conv
from mpnas_kit.space.layers import Layer
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.training.stage import train


@dataclass(frozen=True)
class Grouped(Block):
    """A 3x3 convolution in groups."""

    groups: int
    name: str = "grouped"  # type: ignore[assignment]

    def build(
        self, in_channels: int, out_channels: int, stride: int, norm: NormFactory
    ) -> nn.Module:
        """Return a new module."""
        kernel = nn.Conv2d(in_channels, out_channels, 3, stride, 1, groups=self.groups, bias=False)
        return nn.Sequential(kernel, norm(out_channels), nn.ReLU())


def space(*names: str) -> LayerwiseSpace:
    blocks = [Grouped(2**i, name) for i, name in enumerate(names)]
    layers = [
        Layer("stem", 2, (8,), (Conv(3),)),
        Layer("mine", 1, (8,), (*blocks, None)),
        Layer("head", 1, (16,), (Conv(1),)),
    ]
    return LayerwiseSpace("mine", layers, tiny.SIZE)


@pytest.mark.parametrize("names", [("g1", "g2"), ("width0.5", "width1.5")])
def test_a_block_of_a_few_lines_is_searched_and_trained(names: tuple[str, str]) -> None:
    suite, mine = tiny.suite(), space(*names)
    found = search(suite, mine, tiny.search_config())
    assert set(found.paths) == {"a", "b"} and found.costs.keys() == found.paths.keys()
    paths = tiny.paths(mine, names)
    result = train(suite, mine, paths, tiny.train_config())
    assert [str(p) for p in result.paths.values()] == list(names)
    assert result.history["loss"].notna().all()


def test_the_cost_of_a_new_block_is_counted_from_its_module() -> None:
    mine = space("g1", "g2")
    for arch in ("g1", "g2", "zero"):
        tally, _ = counter.counted(mine, mine.parse(arch))
        assert tuple(mine.cost(mine.parse(arch))) == (
            tally.multiply_adds,
            tally.parameters,
            tally.norm_parameters,
        )


@pytest.mark.parametrize("name", ["two words", "zero", ""])
def test_a_block_whose_name_breaks_arch_strings_is_refused(name: str) -> None:
    with pytest.raises(MpnasError, match="mine"):
        space("plain", name)
