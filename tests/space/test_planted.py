"""The planted spaces and suites: what is planted is there, and costs are as the docstrings say."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mpnas_kit as mk
from mpnas_kit.domains.planted import DIRECTIONS, LAG, SIZE
from mpnas_kit.domains.planted_sharing import BITS
from mpnas_kit.space.planted import REACH, EvenBlock, OnQuarter
from mpnas_kit.space.space import Path


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
    assert isinstance(block, OnQuarter)
    x, taps = torch.randn(2, 6, SIZE, SIZE), block.reach.weight[:, 0, 0]
    kernels = {
        "row": taps[:, None, None, :],
        "column": taps[:, None, :, None],
        "diagonal": torch.diag_embed(taps)[:, None],
    }
    kernel = kernels[direction]
    pad = kernel.shape[2] // 2, kernel.shape[3] // 2
    torch.testing.assert_close(block.reached(x), F.conv2d(x, kernel, padding=pad, groups=6))


def test_a_block_changes_its_own_quarter_and_sees_no_other() -> None:
    block = OnQuarter(2, 3, 1, (REACH, REACH), nn.BatchNorm2d).eval()
    x = torch.randn(1, 3, 2 * SIZE, 2 * SIZE)
    changed = (block(x) != x).any(1)[0]
    assert changed[SIZE:, :SIZE].any() and not changed[:SIZE].any() and not changed[:, SIZE:].any()
    other = x.clone()
    other[:, :, :SIZE] += 1
    assert torch.equal(block(other)[:, :, SIZE:], block(x)[:, :, SIZE:])


def test_rows_and_columns_of_an_image_have_the_bits_of_its_two_classes() -> None:
    suite = mk.planted_sharing_suite(train=200, test=8)
    rows, other, columns = (suite[d].train for d in ("rows0", "rows1", "columns"))
    index = torch.arange(200)
    assert torch.equal(rows.take(index), columns.take(index))
    assert not torch.equal(rows.take(index), other.take(index))
    assert not torch.equal(rows.labels, columns.labels)
    image = rows.take(index)[:, 0].float() - 128
    for quarter in range(BITS):
        part = image[:, :SIZE, SIZE * quarter : SIZE * (quarter + 1)]
        right = (part[:, :, LAG:] * part[:, :, :-LAG]).mean((1, 2))
        below = (part[:, LAG:] * part[:, :-LAG]).mean((1, 2))
        for labels, repeats in ((rows.labels, right), (columns.labels, below)):
            bit = labels >> quarter & 1
            assert repeats[bit == 0].mean() > 100 and repeats[bit == 1].mean() < -100


def paths(*archs: str) -> dict[str, Path]:
    space = mk.planted_sharing_space()
    return dict(zip(("rows0", "rows1", "columns"), map(space.parse, archs), strict=True))


@pytest.mark.parametrize(
    ("rows0", "rows1", "columns", "right"),
    [
        ("first second", "first second", "second first", (True, True)),
        ("first second", "first second", "first third", (False, True)),
        ("third second", "first second", "second first", (False, True)),
        ("first second", "second first", "second first", (False, False)),
    ],
)
def test_sharing_is_right_where_the_rows_meet_and_the_columns_do_not(
    rows0: str, rows1: str, columns: str, right: tuple[bool, ...]
) -> None:
    assert mk.planted_meetings(paths(rows0, rows1, columns)) == right


def test_chance_of_right_sharing_is_two_ninths() -> None:
    archs = [f"{word} first" for word in ("first", "second", "third")]
    right = [mk.planted_meetings(paths(a, b, c))[0] for a in archs for b in archs for c in archs]
    assert sum(right) / len(right) == pytest.approx(2 / 9)


@pytest.mark.parametrize("text", ["planted", "planted(equal_cost=True)", "planted_sharing"])
def test_a_planted_space_is_made_again_from_its_text(text: str) -> None:
    space = mk.space_from_text(text, 16)
    assert space.source == text and space.name == text.partition("(")[0]
