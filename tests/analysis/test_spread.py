"""Accuracy over paths against accuracy over seeds, by hand."""

import pandas as pd
import pytest

from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.spaces import pocket_space

ARCHS = (
    "zero k3e1 zero zero k3e1 zero zero k3e1 zero zero",
    "k3e1 k3e1 k3e1 zero k3e1 zero zero k3e1 zero zero",
    "k3e4 k3e4 k3e4 k3e4 k3e4 k3e4 k3e4 k3e4 k3e4 k3e4",
)


def rows(accuracies: dict[tuple[int, int], float]) -> pd.DataFrame:
    space = pocket_space()
    return pd.DataFrame(
        [
            {
                "path": path,
                "seed": seed,
                "domain": "a",
                "arch": ARCHS[path],
                "multiply_adds": space.cost(space.parse(ARCHS[path])).multiply_adds,
                "accuracy": value,
            }
            for (path, seed), value in accuracies.items()
        ]
    )


def test_deviations_over_paths_and_over_seeds_by_hand() -> None:
    spread = PathSpread(rows({(0, 0): 0.5, (1, 0): 0.6, (2, 0): 0.7, (1, 1): 0.62}), pocket_space())
    row = spread.table().iloc[0]
    assert row["over_paths"] == pytest.approx(0.1)  # of 0.5, 0.6, 0.7
    assert row["over_seeds"] == pytest.approx(0.02 / 2**0.5)  # of 0.60, 0.62
    assert row["ratio"] == pytest.approx(0.1 / (0.02 / 2**0.5))


def test_accuracy_that_rises_with_cost_is_explained_by_cost_and_layers() -> None:
    spread = PathSpread(rows({(0, 0): 0.5, (1, 0): 0.6, (2, 0): 0.7, (2, 1): 0.7}), pocket_space())
    explained = spread.explained_by().set_index("domain").loc["a"]
    assert explained["multiply_adds"] == pytest.approx(1)
    assert explained["layers"] == pytest.approx(1)


def test_one_seed_alone_is_refused() -> None:
    with pytest.raises(MpnasError, match="at least two seeds"):
        PathSpread(rows({(0, 0): 0.5, (1, 0): 0.6}), pocket_space())
