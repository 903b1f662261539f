"""Gains of domains that are trained together: means, intervals and sentences."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from mpnas_kit.analysis.gradients import COLUMNS, GradientAgreement
from mpnas_kit.analysis.transfer import Transfer
from mpnas_kit.errors import MpnasError

ALONE = {"a": (0.50, 0.52), "b": (0.70, 0.70), "c": (0.30, 0.30)}
JOINT = {
    ("a", "b"): (0.60, 0.63),
    ("a", "c"): (0.50, 0.51),
    ("b", "a"): (0.70, 0.71),
    ("b", "c"): (0.69, 0.70),
    ("c", "a"): (0.20, 0.20),
    ("c", "b"): (0.30, 0.30),
}


def rows(seeds: int = 2) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"domain": a, "partner": b, "seed": s, "alone": ALONE[a][s], "joint": joint[s]}
            for s in range(seeds)
            for (a, b), joint in JOINT.items()
        ]
    )


def test_the_matrix_has_what_the_row_gains_from_the_column() -> None:
    transfer = Transfer(rows(), "k3e3", 100)
    matrix = transfer.matrix()
    assert matrix.loc["a", "b"] == pytest.approx((10 + 11) / 2)
    assert matrix.loc["c", "a"] == pytest.approx(-10)
    assert math.isnan(matrix.loc["a", "a"])
    assert transfer.symmetric().loc["a", "b"] == pytest.approx((10.5 + 0.5) / 2)
    assert (transfer.domains, transfer.seeds) == (("a", "b", "c"), (0, 1))


def test_intervals_pool_the_noise_of_a_domain_s_partners() -> None:
    """Gains of a: 10, 11 with b and 0, -1 with c. Both variances are 0.5, with 2 degrees."""
    table = Transfer(rows(), "k3e3", 100).table().set_index(["domain", "partner"])
    half = t.ppf(0.975, 2) * math.sqrt(0.5) / math.sqrt(2)
    own = table.loc[("a", "b")]
    assert own["spread"] == pytest.approx(math.sqrt(0.5))
    assert (own["low"], own["high"]) == (pytest.approx(10.5 - half), pytest.approx(10.5 + half))
    assert own["clear"] and not table.loc[("a", "c"), "clear"]
    assert table.loc[("c", "a"), "clear"], "without noise, any gain is clear"
    assert not table.loc[("c", "b"), "clear"], "0 is not"


def test_sentences_state_noise_and_ends() -> None:
    text = Transfer(rows(), "k3e3", 100).sentence()
    assert text.startswith("of 6 gains, 1 are above 0 and 1 below 0 beyond the noise of two seeds.")
    assert "Noise alone would give about 0.3." in text
    assert "From \N{MINUS SIGN}10.0 (c with a) to +10.5 (a with b)." in text
    one = Transfer(rows(1), "k3e3", 100)
    assert one.sentence().startswith("with one seed, no gain can be told from noise.")
    assert not one.table()["clear"].any() and one.table()["low"].isna().all()


def test_incomplete_rows_are_refused() -> None:
    with pytest.raises(MpnasError, match="no column 'joint'"):
        Transfer(rows().drop(columns="joint"), "k3e3", 100)
    for wrong in (rows().iloc[1:], pd.concat([rows(), rows().head(1)]), rows().head(0)):
        with pytest.raises(MpnasError, match="incomplete"):
            Transfer(wrong, "k3e3", 100)
    with pytest.raises(MpnasError, match="no matrix 'clear'"):
        Transfer(rows(), "k3e3", 100).matrix("clear")


def test_agreement_is_the_mean_over_nodes_by_pair_and_over_pairs_by_layer() -> None:
    values = [
        ("one", "k3e1", "a", "b", 0.4, 0.1, 0.8, 4),
        ("one", "k3e3", "a", "b", 0.2, 0.1, 0.6, 4),
        ("one", "k3e1", "a", "c", -0.1, 0.1, 0.5, 4),
        ("two", "k3e1", "a", "b", 0.0, 0.1, 0.4, 4),
    ]
    table = pd.DataFrame(values, columns=list(COLUMNS))
    agreement = GradientAgreement(table, ("a", "b", "c"), ("stem", "one", "two"))
    matrix = agreement.matrix()
    assert matrix.loc["a", "b"] == matrix.loc["b", "a"] == pytest.approx(0.2)
    assert math.isnan(matrix.loc["b", "c"]) and (np.diag(matrix) == 1).all()
    assert agreement.matrix("ceiling").loc["a", "b"] == pytest.approx(0.6)
    layers = agreement.by_layer().set_index("layer")
    assert list(layers.index) == ["one", "two"]
    assert layers.loc["one", "cosine"] == pytest.approx((0.3 - 0.1) / 2)
    assert tuple(layers.loc["one", ["low", "high"]]) == (pytest.approx(-0.1), pytest.approx(0.3))
    assert layers.loc["one", "pairs"] == 2
    assert "Of 2 pairs, 1 have a mean below 0." in agreement.sentence()
    nothing = GradientAgreement(table.head(0), ("a", "b"), ("one",))
    assert "no two domains use the same node" in nothing.sentence()
    with pytest.raises(MpnasError, match="no matrix 'spread'"):
        agreement.matrix("spread")
    with pytest.raises(MpnasError, match="no column 'ceiling'"):
        GradientAgreement(table.drop(columns="ceiling"), ("a", "b"), ("one",))
