"""Path similarity: exact on cases worked out by hand."""

import numpy as np
import pytest
import tiny

from mpnas_kit.analysis.similarity import jaccard, jaccard_matrix
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.blocks import Conv
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.layers import Layer, Node
from mpnas_kit.space.layerwise import LayerwiseSpace


def space_of(layers: int, kernels: tuple[int, ...], *, zero: bool = False) -> LayerwiseSpace:
    """Stem, `layers` layers to choose a kernel in, head."""
    blocks = tuple(Conv(k) for k in kernels)
    candidates = (None, *blocks) if zero else blocks
    searched = [Layer(f"1.{i + 1}", 1, (8,), candidates) for i in range(layers)]
    return LayerwiseSpace(
        "tiny",
        [Layer("stem", 2, (8,), (Conv(3),)), *searched, Layer("head", 1, (8,), (Conv(1),))],
        8,
    )


def test_by_hand() -> None:
    space = space_of(3, (1, 3, 5), zero=True)
    paths = {
        "a": space.parse("conv1 conv3 conv5"),
        "b": space.parse("conv1 conv3 conv1"),  # 2 common, union 4
        "c": space.parse("conv1 zero zero"),  # 1 common, union 3; stem and head do not count
        "d": space.parse("zero zero zero"),
        "e": space.parse("zero zero zero"),
    }
    found = jaccard_matrix(space, paths, pairs=10)
    expected = np.array(
        [
            [1, 2 / 4, 1 / 3, 0, 0],
            [2 / 4, 1, 1 / 3, 0, 0],
            [1 / 3, 1 / 3, 1, 0, 0],
            [0, 0, 0, 1, 1],
            [0, 0, 0, 1, 1],
        ]
    )
    np.testing.assert_array_equal(found.matrix.to_numpy(), expected)
    assert list(found.matrix.index) == list(found.matrix.columns) == list(paths)
    table = found.table()
    assert len(table) == 10
    first = table.iloc[0]
    assert (first["first"], first["second"], first["similarity"]) == ("a", "b", 0.5)
    assert first["excess"] == pytest.approx(0.5 - found.matched_value)
    assert found.mean == pytest.approx((0.5 + 2 / 3 + 1) / 10)


def test_the_same_block_in_another_layer_is_another_node() -> None:
    assert jaccard(frozenset({Node(1, "k3")}), frozenset({Node(2, "k3")})) == 0
    assert jaccard(frozenset(), frozenset()) == 1


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("kernels", [(1, 3), (1, 3, 5, 7)])
def test_random_value_is_near_one_over_2k_minus_1(kernels: tuple[int, ...], zero: bool) -> None:
    space = space_of(12, kernels, zero=zero)
    found = jaccard_matrix(space, {"a": space.path([0] * 12)})
    k = len(kernels) + zero
    error = found.random_spread / np.sqrt(1000)
    assert found.random_value == pytest.approx(1 / (2 * k - 1), abs=4 * error + 0.02)
    assert 0 < found.random_spread < 0.5


def test_cheap_random_paths_share_more_nodes() -> None:
    """Two layers: the cheapest block of both is one node each, so paths of its cost are equal."""
    space = tiny.space()
    cheapest, most_expensive = space.extremes(MultiplyAdds().price)
    cheap = jaccard_matrix(space, {"a": cheapest, "b": cheapest})
    assert cheap.matched_value == 1.0 and cheap.matched_spread == 0.0
    apart = jaccard_matrix(space, {"a": cheapest, "b": most_expensive})
    assert apart.matched_value == 0.0
    assert cheap.random_value == apart.random_value


def test_random_value_depends_on_the_seed_only() -> None:
    space = space_of(3, (1, 3))
    paths = {"a": space.path([0, 0, 0])}
    first, again, other = (jaccard_matrix(space, paths, pairs=50, seed=s) for s in (1, 1, 2))
    assert first.random_value == again.random_value != other.random_value
    assert np.isnan(first.mean)


def test_wrong_inputs_are_named() -> None:
    space = space_of(1, (1, 3))
    with pytest.raises(MpnasError, match="no paths"):
        jaccard_matrix(space, {})
    with pytest.raises(MpnasError, match="pairs must be a whole number from 1 to 1,000,000, not 0"):
        jaccard_matrix(space, {"a": space.path([0])}, pairs=0)
