"""Figures of transfer draw the numbers of their results, and mark what is noise."""

import math
from itertools import combinations, permutations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mpnas_kit import plots
from mpnas_kit.analysis.gradients import COLUMNS, GradientAgreement
from mpnas_kit.analysis.relatedness import Relatedness, relate
from mpnas_kit.analysis.transfer import Transfer
from mpnas_kit.errors import MpnasError


def transfer(names: str = "abcd", seeds: int = 2) -> Transfer:
    """Domain a gains 2 points from each next partner more, others nothing; noise is 0.2 points."""
    rows = [
        {
            "domain": a,
            "partner": b,
            "seed": seed,
            "alone": 0.5,
            "joint": 0.5 + 0.02 * names.index(b) * (a == "a") + 0.002 * (-1) ** seed,
        }
        for seed in range(seeds)
        for a, b in permutations(names, 2)
    ]
    return Transfer(pd.DataFrame(rows), "k3e3", 100)


def agreement(names: str = "abcd") -> GradientAgreement:
    """Cosine 0.1 in layer one and 0.3 in layer two, 0.1 more for the first pair."""
    rows = [
        (layer, "k3e1", a, b, base + 0.1 * ((a, b) == ("a", "b")), 0.05, 0.6, 4)
        for layer, base in (("one", 0.1), ("two", 0.3))
        for a, b in combinations(names, 2)
    ]
    return GradientAgreement(
        pd.DataFrame(rows, columns=list(COLUMNS)), tuple(names), ("one", "two")
    )


def related(names: str = "abcd") -> Relatedness:
    places = np.arange(len(names))
    values = 1 / (1 + np.abs(places[:, None] - places))
    similarity = pd.DataFrame(values, index=list(names), columns=list(names))
    return relate(transfer(names), similarity, similarity * 0 + 0.2, agreement(names))


def test_a_matrix_has_every_gain_and_brackets_what_is_noise() -> None:
    ax = plots.transfer_matrix(transfer())
    texts = {(t.get_position()[1] - 0.5, t.get_position()[0] - 0.5): t.get_text() for t in ax.texts}
    assert len(texts) == 12, "the diagonal is empty"
    assert texts[0, 1] == "+2.0" and texts[0, 3] == "+6.0"
    assert texts[1, 0] == "(0.0)"
    assert [t.get_text() for t in ax.get_yticklabels()] == list("abcd")
    assert ax.get_xlabel() == "trained together with"
    faces = ax.collections[0].get_facecolor().reshape(4, 4, 4)
    assert (faces[0, 0] == 0).all() and faces[0, 3].max() > 0
    one_seed = plots.transfer_matrix(transfer(seeds=1))
    assert all(t.get_text().startswith("(") for t in one_seed.texts)


def test_a_large_matrix_has_dots_for_what_is_clear() -> None:
    names = "abcdefghijklmnopqrstuvw"
    ax = plots.transfer_matrix(transfer(names))
    assert {t.get_text() for t in ax.texts} == {"\N{BULLET}"}
    assert len(ax.texts) == len(names) - 1, "those of domain a"


def test_a_scatter_has_one_dot_per_pair_beside_chance() -> None:
    shown = related()
    ax = plots.transfer_scatter(shown)
    cross, dots = ax.lines[:2]
    assert np.allclose(dots.get_xdata(), shown.pairs["similarity"])
    assert np.allclose(dots.get_ydata(), shown.pairs["transfer"])
    assert np.allclose(cross.get_xdata(), 0.2)
    assert f"{shown.tests['rho'].iloc[0]:.2f}" in ax.get_title() and "6 pairs" in ax.get_title()
    assert [t.get_text() for t in ax.texts][0] == "a, b"
    cosines = plots.transfer_scatter(shown, measure="agreement").lines[1]
    assert np.allclose(cosines.get_ydata(), shown.pairs["agreement"])
    with pytest.raises(MpnasError, match="measure must be transfer or agreement"):
        plots.transfer_scatter(shown, measure="p")


def test_layers_have_mean_range_and_ceiling() -> None:
    ax = plots.agreement_by_layer(agreement())
    mean, ceiling = ax.lines[:2]
    assert np.allclose(mean.get_ydata(), [0.1 + 0.1 / 6, 0.3 + 0.1 / 6])
    assert np.allclose(ceiling.get_ydata(), 0.6)
    low, high = ax.collections[0].get_segments()[0][:, 1]
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.2))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["one", "two"]
    empty = GradientAgreement(agreement().rows.head(0), ("a", "b"), ("one",))
    with pytest.raises(MpnasError, match="no two domains use the same node"):
        plots.agreement_by_layer(empty)


def test_figures_take_axes_and_have_values_on_hover() -> None:
    from mpnas_kit.notebook.picture import PAGE, svg

    drawn = {
        "a with b: +2.0 points": lambda ax: plots.transfer_matrix(transfer(), ax),
        "a and b: transfer +1.00 points": lambda ax: plots.transfer_scatter(related(), ax),
        "one: cosine 0.12 (0.10 to 0.20)": lambda ax: plots.agreement_by_layer(agreement(), ax),
    }
    for text, draw in drawn.items():
        with plt.rc_context(PAGE):
            figure, ax = plt.subplots()
            assert draw(ax) is ax and ax.get_title()
            assert text in svg(figure, "a figure")
        plt.close(figure)
    assert math.isfinite(related().tests["rho"].iloc[0])
