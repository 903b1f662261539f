"""The planted spaces and suites: what is planted is there, and costs are as the docstrings say."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mpnas_kit as mk
from mpnas_kit.domains.planted import DIRECTIONS, SIZE
from mpnas_kit.domains.planted_sharing import BITS, WIDTH
from mpnas_kit.space.planted import EvenBlock, Reaching
from mpnas_kit.space.planted_sharing import SumBlock


@pytest.mark.parametrize("space", [mk.planted_space(True), mk.planted_sharing_space()])
@pytest.mark.parametrize("model", [mk.MultiplyAdds(), mk.Parameters()])
def test_where_only_quality_tells_paths_apart_all_paths_cost_the_same(
    space: mk.LayerwiseSpace, model: mk.MultiplyAdds | mk.Parameters
) -> None:
    low, high = mk.cost_bounds(model, space, domains=1)
    assert low == high > 0


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_block_of_equal_cost_convolves_along_its_direction(direction: str) -> None:
    block = EvenBlock(direction, 0).build(3, 3, 1, nn.BatchNorm2d)  # type: ignore[arg-type]
    assert isinstance(block, Reaching)
    x, taps = torch.randn(2, 6, SIZE, SIZE), block.reach.weight[:, 0, 0]
    kernels = {
        "row": taps[:, None, None, :],
        "column": taps[:, None, :, None],
        "diagonal": torch.diag_embed(taps)[:, None],
    }
    kernel = kernels[direction]
    pad = kernel.shape[2] // 2, kernel.shape[3] // 2
    torch.testing.assert_close(block.reached(x), F.conv2d(x, kernel, padding=pad, groups=6))


@pytest.mark.parametrize("kind", [EvenBlock("row", 1), SumBlock(1)])
def test_a_block_changes_its_own_quarter_and_sees_no_other(kind: EvenBlock | SumBlock) -> None:
    block = kind.build(3, 3, 1, nn.BatchNorm2d).eval()
    x = torch.randn(1, 3, 2 * SIZE, 2 * SIZE)
    changed = (block(x) != x).any(1)[0]
    assert changed[:SIZE, SIZE:].any() and not changed[SIZE:].any() and not changed[:, :SIZE].any()
    other = x.clone()
    other[:, :, SIZE:] += 1
    assert torch.equal(block(other)[:, :, :SIZE], block(x)[:, :, :SIZE])


def test_rows_and_columns_of_an_image_have_the_bits_of_its_two_classes() -> None:
    suite = mk.planted_sharing_suite(train=400, test=8)
    rows, other, columns = (suite[d].train for d in ("rows0", "rows1", "columns"))
    index = torch.arange(400)
    assert torch.equal(rows.take(index), columns.take(index))
    assert not torch.equal(rows.take(index), other.take(index))
    assert not torch.equal(rows.labels, columns.labels)
    image = rows.take(index)[:, 0].float() - 128
    stripes = 1 - 2.0 * (torch.arange(SIZE) // WIDTH % 2)
    for quarter in range(BITS):
        part = image[:, :SIZE, SIZE * quarter : SIZE * (quarter + 1)]
        contrasts = part.mean(2) @ stripes, part.mean(1) @ stripes
        for split, own, foreign in ((rows, *contrasts), (columns, *reversed(contrasts))):
            bit = split.labels >> quarter & 1
            assert ((own < 0) == (bit == 1)).float().mean() > 0.9
            assert 0.4 < ((foreign < 0) == (bit == 1)).float().mean() < 0.6


def test_sharing_as_planted_trains_better_than_not_sharing_and_sharing_with_the_third_worse() -> (
    None
):
    space, suite = mk.planted_sharing_space(), mk.planted_sharing_suite()
    right = mk.planted_sharing_paths(space)
    shared, private = right["rows0"], right["columns"]
    ways = [right, dict.fromkeys(right, private), {**right, "rows1": private, "columns": shared}]
    config = mk.TrainConfig(
        steps=120,
        batch_size=60,
        learning_rate=0.1,
        weight_decay=0.01,
        shift=0,
        average=0.95,
        prioritization=mk.Uniform(),
        threads=1,
    )
    means = [mk.train(suite, space, paths, config).accuracy("test").mean() for paths in ways]
    assert means[0] > means[1] > means[2] + 0.1


@pytest.mark.parametrize("text", ["planted", "planted(equal_cost=True)", "planted_sharing"])
def test_a_planted_space_is_made_again_from_its_text(text: str) -> None:
    space = mk.space_from_text(text, 16)
    assert space.source == text and space.name == text.partition("(")[0]
