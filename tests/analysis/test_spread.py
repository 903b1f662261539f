"""Accuracy over paths of equal cost against accuracy over seeds, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from mpnas_kit import analysis
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
    assert row["sigma"] == pytest.approx(math.sqrt(0.01 - 0.0002))
    assert row["gain"] == pytest.approx(row["sigma"] * 2.82, rel=1e-2)


def test_paths_that_differ_by_no_more_than_seeds_have_no_sigma() -> None:
    spread = PathSpread(rows({(0, 0): 0.5, (1, 0): 0.51, (1, 1): 0.61}), pocket_space())
    assert spread.table()[["sigma", "tau", "gain"]].iloc[0].tolist() == [0, 0, 0]


def test_the_ceiling_of_tau_is_that_of_a_perfect_predictor() -> None:
    random = np.random.default_rng(0)
    true = random.normal(0, 0.02, 4000)
    seen = [true + random.normal(0, 0.015, 4000) for _ in range(2)]
    frame = pd.DataFrame({"path": range(4000), "domain": "a", "arch": ARCHS[0], "multiply_adds": 1})
    table = pd.concat([frame.assign(seed=i, accuracy=0.5 + s) for i, s in enumerate(seen)])
    row = PathSpread(table, pocket_space()).table().iloc[0]
    assert row["tau"] == pytest.approx(kendalltau(true, seen[0]).statistic, abs=0.02)
    assert row["sigma"] == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("count", "expected"), [(1, 0.0), (2, 1 / math.sqrt(math.pi))])
def test_the_expected_maximum_by_hand(count: int, expected: float) -> None:
    assert analysis.expected_maximum(count) == pytest.approx(expected, abs=1e-9)


def test_accuracy_that_rises_with_cost_is_explained_by_cost_and_layers() -> None:
    spread = PathSpread(rows({(0, 0): 0.5, (1, 0): 0.6, (2, 0): 0.7, (2, 1): 0.7}), pocket_space())
    explained = spread.explained_by().set_index("domain").loc["a"]
    assert explained["multiply_adds"] == pytest.approx(1)
    assert explained["layers"] == pytest.approx(1)


@pytest.mark.parametrize("seen", [{(0, 0): 0.5, (1, 0): 0.6}, {(0, 0): 0.5, (0, 1): 0.6}])
def test_too_few_paths_or_seeds_are_refused(seen: dict[tuple[int, int], float]) -> None:
    with pytest.raises(MpnasError, match="expected two paths, and a path with two seeds"):
        PathSpread(rows(seen), pocket_space())
