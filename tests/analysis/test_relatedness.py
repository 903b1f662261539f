"""Rank correlation over pairs of domains, with p-values by permutation of domains."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import mpnas_kit as mk
from mpnas_kit.analysis.gradients import COLUMNS, GradientAgreement
from mpnas_kit.analysis.relatedness import mantel, relate
from mpnas_kit.analysis.transfer import Transfer
from mpnas_kit.errors import MpnasError


def symmetric(size: int, values: list[float]) -> pd.DataFrame:
    """A matrix with these values above and below the diagonal, row by row."""
    matrix = np.ones((size, size))
    matrix[np.triu_indices(size, 1)] = values
    matrix.T[np.triu_indices(size, 1)] = values
    names = list("abcdefgh")[:size]
    return pd.DataFrame(matrix, index=names, columns=names)


def pairs(matrix: pd.DataFrame) -> np.ndarray:
    return matrix.to_numpy()[np.triu_indices(len(matrix), 1)]


def transfer_of(gains: dict[str, dict[str, float]], seeds: tuple[int, ...] = (0, 1)) -> Transfer:
    """A transfer with these gains, in points, the same for every seed."""
    rows = [
        {"domain": a, "partner": b, "seed": s, "alone": 0.5, "joint": 0.5 + gain / 100}
        for s in seeds
        for a, row in gains.items()
        for b, gain in row.items()
    ]
    return Transfer(pd.DataFrame(rows), "k3e3", 100)


def test_p_of_two_groups_by_hand() -> None:
    """Of 24 permutations, 8 map the groups {a, b} and {c, d} onto themselves or each other."""
    groups = symmetric(4, [1, 0, 0, 0, 0, 1])
    test = mantel(groups, groups)
    assert test.rho == pytest.approx(1) and test.p == 8 / 24
    assert (test.domains, test.permutations, test.exact) == (4, 24, True)


def test_p_is_two_sided() -> None:
    """Three pairs have 6 orders. Only the observed one has rho 1, and only its reverse -1."""
    ascending = symmetric(3, [1, 2, 3])
    assert mantel(ascending, ascending).p == 2 / 6
    opposite = mantel(ascending, -ascending)
    assert opposite.rho == pytest.approx(-1) and opposite.p == 2 / 6


def test_exact_p_is_that_of_spearman_over_all_permutations() -> None:
    random = np.random.default_rng(3)
    x, y = (symmetric(5, list(random.integers(0, 6, 10))) for _ in range(2))
    found = mantel(x, y)
    rhos = [
        spearmanr(pairs(x.iloc[list(order), list(order)]), pairs(y)).statistic
        for order in permutations(range(5))
    ]
    assert found.rho == pytest.approx(rhos[0])
    assert found.p == np.mean(np.abs(rhos) >= abs(rhos[0]) - 1e-9)


def test_random_permutations_count_the_observed_order_and_depend_on_the_seed_alone() -> None:
    """Eight domains in a line: hardly any of 40,320 orders fits as well."""
    line = symmetric(8, [-abs(i - j) for i in range(8) for j in range(i + 1, 8)])
    found = mantel(line, line, most=199, seed=1)
    assert (found.permutations, found.exact) == (200, False)
    assert found.p == 1 / 200
    assert found == mantel(line, line, most=199, seed=1)


def test_partial_correlation_is_that_of_the_residuals_of_ranks() -> None:
    random = np.random.default_rng(0)
    x, y, z = (symmetric(5, list(random.permutation(10).astype(float))) for _ in range(3))
    ranks = [np.argsort(np.argsort(pairs(m))).astype(float) for m in (x, y, z)]
    design = np.column_stack([np.ones(10), ranks[2]])
    residuals = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2]]
    expected = np.corrcoef(*residuals)[0, 1]
    assert mantel(x, y, z).rho == pytest.approx(expected)
    assert mantel(x, y, symmetric(5, [2.0] * 10)) == mantel(x, y), "a constant explains nothing"
    assert math.isnan(mantel(x, y, y).rho), "the given matrix explains all"


def test_what_has_no_order_has_no_correlation() -> None:
    two, same = symmetric(2, [0.5]), symmetric(3, [1, 1, 1])
    assert math.isnan(mantel(two, two).rho) and math.isnan(mantel(two, two).p)
    ordered = symmetric(3, [1, 2, 3])
    assert math.isnan(mantel(same, ordered).rho)
    assert math.isnan(mantel(ordered, ordered, symmetric(3, [2, 1, 3])).rho), "always 1 or -1"


def test_matrices_that_do_not_fit_are_refused() -> None:
    three = symmetric(3, [1, 2, 3])
    renamed = three.rename(index={"a": "z"}, columns={"a": "z"})
    lopsided, lacking = three.copy(), three.copy()
    lopsided.loc["a", "b"] = 9
    lacking.loc["a", "b"] = lacking.loc["b", "a"] = math.nan
    for wrong, words in (
        (renamed, "differ in their domains"),
        (lopsided, "not symmetric"),
        (lacking, "lacks a value"),
        (three.astype(object).replace(2.0, "x"), "lacks a value"),
        ("x", "must be a DataFrame"),
    ):
        with pytest.raises(MpnasError, match=words):
            mantel(three, wrong)


GAINS = {
    "a": {"b": 3.0, "c": -1.0, "d": 0.5},
    "b": {"a": 5.0, "c": -2.0, "d": 0.0},
    "c": {"a": -1.0, "b": 0.0, "d": 1.0},
    "d": {"a": 0.5, "b": 1.0, "c": 2.0},
}


def test_pairs_have_the_mean_of_both_directions_beside_similarity_and_chance() -> None:
    similarity, chance = symmetric(4, [0.9, 0.1, 0.3, 0.2, 0.4, 0.5]), symmetric(4, [0.1] * 6)
    related = relate(transfer_of(GAINS), similarity, chance, searches=2)
    first = related.pairs.iloc[0]
    assert (first["first"], first["second"]) == ("a", "b")
    assert first["transfer"] == pytest.approx(4.0)
    assert (first["similarity"], first["chance"]) == (0.9, 0.1)
    assert math.isnan(first["agreement"])
    (test,) = related.tests.to_dict("records")
    expected = spearmanr(related.pairs["transfer"], related.pairs["similarity"]).statistic
    assert test["rho"] == pytest.approx(expected) == pytest.approx(test["partial"])
    result, limits = related.sentences()
    assert result.startswith("measured transfer and similarity of paths: Spearman's correlation is")
    assert "6 pairs of four domains" in limits and "two searches" in limits
    assert "24 permutations" in limits


def test_two_and_three_domains_say_what_cannot_be_found() -> None:
    two = {"a": {"b": 1.0}, "b": {"a": 2.0}}
    result, limits = relate(transfer_of(two), symmetric(2, [0.5]), symmetric(2, [0.1])).sentences()
    assert "nothing to permute" in result and limits.startswith("1 pair of two domains")
    three = {a: {b: g for b, g in row.items() if b != "d"} for a, row in GAINS.items() if a != "d"}
    related = relate(transfer_of(three), symmetric(3, [3, 1, 2]), symmetric(3, [1, 1, 1]))
    assert "p cannot be below 0.17" in related.sentences()[-1]
    constant = relate(transfer_of(three), symmetric(3, [1, 1, 1]), symmetric(3, [1, 1, 1]))
    assert "have no order" in constant.sentences()[0]


def agreement(values: dict[tuple[str, str], float]) -> GradientAgreement:
    rows = [("one", "k3e1", a, b, v, 0.1, 0.5, 4) for (a, b), v in values.items()]
    return GradientAgreement(pd.DataFrame(rows, columns=list(COLUMNS)), tuple("abc"), ("one",))


def test_gradients_are_tested_against_similarity_and_transfer() -> None:
    three = {a: {b: g for b, g in row.items() if b != "d"} for a, row in GAINS.items() if a != "d"}
    similarity, chance = symmetric(3, [3, 1, 2]), symmetric(3, [1, 2, 4])
    values = {("a", "b"): 0.3, ("a", "c"): 0.1, ("b", "c"): 0.2}
    related = relate(transfer_of(three), similarity, chance, agreement(values))
    tests = related.tests.set_index(["measure", "other"])
    assert list(tests.index) == [
        ("transfer", "similarity"),
        ("agreement", "similarity"),
        ("agreement", "transfer"),
    ]
    assert tests.loc[("agreement", "similarity"), "rho"] == pytest.approx(1)
    assert math.isnan(tests.loc[("agreement", "transfer"), "partial"])
    assert list(related.pairs["agreement"]) == [0.3, 0.1, 0.2]
    with pytest.raises(MpnasError, match="'b' and 'c' share no node"):
        relate(
            transfer_of(three),
            similarity,
            chance,
            agreement({k: v for k, v in values.items() if k != ("b", "c")}),
        )
    with pytest.raises(MpnasError, match="unknown domain in the matrix of similarity 'd'"):
        relate(transfer_of(GAINS), similarity, chance)


def test_public_names() -> None:
    assert mk.analysis.mantel is mantel and mk.analysis.relate is relate
