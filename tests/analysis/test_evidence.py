"""Claims against tables worked out by hand, and planted differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mpnas_kit.analysis.claims import CLAIMS, Claim, Side
from mpnas_kit.analysis.comparison import NO_PRIORITIZATION, Comparison
from mpnas_kit.analysis.evidence import (
    Evidence,
    bootstrap_interval,
    check_claims,
    sign_flip_p,
)
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.tables import claims_table
from mpnas_kit.runs.sweep import Prioritizations

NAMES = ("scene", "digits")
Kind = tuple[str, str, str]  # approach, prioritization, norm
MPNAS: Kind = ("mpnas", "abdp", "per_domain")
BUNDLE: Kind = ("bundle", NO_PRIORITIZATION, "per_domain")
FIVE = (1.0, 2.0, 3.0, 4.0, 5.0)


def table(
    points: Mapping[Kind, Sequence[Sequence[float]]],
    sizes: Mapping[Kind, Sequence[float]] | None = None,
    names: Sequence[str] = NAMES,
) -> Comparison:
    """Runs with these test accuracies: per kind a row per seed, in points; sizes: one per seed."""
    cells, domains = [], []
    for kind, seeds in points.items():
        for seed, values in enumerate(seeds):
            key = dict(zip(("approach", "prioritization", "norm"), kind, strict=True))
            size = sizes[kind][seed] if sizes else 100.0
            counts = ("parameters", "parameters_all", "per_image", "union", "n_images", "bytes")
            cells.append({**key, "seed": seed, **dict.fromkeys(counts, size), "models": 1})
            for split, more in (("val", 10.0), ("test", 0.0)):
                domains += [
                    {**key, "seed": seed, "domain": name, "split": split, "images": 100}
                    | {"accuracy": (value + more) / 100}
                    for name, value in zip(names, values, strict=True)
                ]
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


def ahead(differences: Sequence[float]) -> Comparison:
    """MPNAS is ahead of the bundle by these points, in the mean over two domains."""
    own = [(60 + d - 3, 60 + d + 3) for d in differences]
    return table({MPNAS: own, BUNDLE: [(60.0, 60.0)] * len(own)})


def only(comparison: Comparison, claim: Claim) -> pd.Series:
    """The one row of a claim."""
    (row,) = check_claims(comparison, [claim]).table.to_dict("records")
    return pd.Series(row)


def test_a_difference_has_its_interval_and_its_test() -> None:
    """1 to 5 points: mean 3, standard error sqrt(2.5 / 5), t of four degrees of freedom 2.776."""
    row = only(ahead(FIVE), Claim("ahead"))
    half = 2.7764451 * math.sqrt(0.5)
    assert (row["seeds"], row["unit"], row["lacks"]) == (5, "points", "")
    assert [row[c] for c in ("difference", "low", "high")] == pytest.approx([3, 3 - half, 3 + half])
    assert 1 <= row["bootstrap_low"] < row["bootstrap_high"] <= 5
    assert row["p"] == 2 / 2**5 and row["verdict"] == "holds"


@pytest.mark.parametrize(
    ("expected", "verdict"),
    [
        ("> 0", "holds"),
        (">= 1.0", "holds"),
        ("> 3", "not distinguishable"),
        ("> 6", "does not hold"),
        ("< 6", "holds"),
        ("<= 0.5", "does not hold"),
        ("< 2", "not distinguishable"),
    ],
)
def test_a_verdict_is_that_of_the_whole_interval(expected: str, verdict: str) -> None:
    """The interval is 1.04 to 4.96."""
    assert only(ahead(FIVE), Claim("ahead", expected=expected))["verdict"] == verdict


def test_a_difference_that_is_always_the_same_is_compared_as_a_number() -> None:
    sizes = {MPNAS: [22.0] * 3, BUNDLE: [100.0] * 3}
    same = table({MPNAS: [(1.0, 1.0)] * 3, BUNDLE: [(1.0, 1.0)] * 3}, sizes)
    for expected, verdict in (("<= -77", "holds"), ("<= -79", "does not hold")):
        row = only(same, Claim("smaller", expected=expected, measure="parameters"))
        assert row["difference"] == pytest.approx(-78) and row["unit"] == "%"
        assert row["verdict"] == verdict
    level = only(same, Claim("ahead"))
    assert (level["difference"], level["p"], level["verdict"]) == (0, 1, "does not hold")
    assert only(same, Claim("level", expected=">= 0"))["verdict"] == "holds"


def test_the_test_is_about_the_threshold() -> None:
    """1 to 5 against 3: half of all signs give a mean at least as far away."""
    assert only(ahead(FIVE), Claim("ahead", expected="> 3"))["p"] == 1
    assert sign_flip_p(np.array(FIVE) - 1) == 4 / 2**5  # the sign of 0 does not matter


def test_domains_can_be_chosen() -> None:
    """Scene is three points lower than the mean of both."""
    values = {
        claim: only(ahead(FIVE), claim)["difference"]
        for claim in (Claim("a", without=("scene",)), Claim("b", only=("scene",)))
    }
    assert list(values.values()) == pytest.approx([6, 0])
    assert only(ahead(FIVE), Claim("val", split="val"))["difference"] == pytest.approx(3)


def test_draws_of_random_paths_count_as_one_and_those_of_a_size_apart() -> None:
    draws = {
        ("random_paths", "abdp", "per_domain"): 50.0,
        ("random_paths(draw=1)", "abdp", "per_domain"): 54.0,
        ("random_paths(match='size')", "abdp", "per_domain"): 40.0,
        ("random_paths(draw=1, match='size')", "abdp", "per_domain"): 42.0,
        ("random_paths(shared=False)", "abdp", "per_domain"): 57.0,
    }
    points = {MPNAS: 60.0, **draws}
    comparison = table({kind: [(value, value)] * 2 for kind, value in points.items()})
    expected = {
        "random_paths": 8,
        "random_paths(match='size')": 19,
        "random_paths(shared=False)": 3,
    }
    for approach, difference in expected.items():
        row = only(comparison, Claim("ahead", second=Side(approach)))
        assert row["difference"] == pytest.approx(difference) and row["seeds"] == 2


def test_seeds_are_paired_and_sides_have_their_prioritization_and_norm() -> None:
    uniform: Kind = ("mpnas", "uniform", "per_domain")
    mixed: Kind = ("mpnas", "abdp", "mixed")
    points = {MPNAS: [70.0, 72.0, 74.0], uniform: [69.0, 70.0], mixed: [60.0, 61.0, 62.0]}
    comparison = table({k: [(v, v) for v in values] for k, values in points.items()})
    row = only(comparison, Claim("ABDP", second=Side(prioritization="uniform")))
    assert (row["seeds"], row["difference"]) == (2, pytest.approx(1.5))
    row = only(comparison, Claim("norm", second=Side(norm="mixed")))
    assert (row["seeds"], row["difference"]) == (3, pytest.approx(11))


def test_a_claim_without_runs_says_what_to_run() -> None:
    comparison = table({MPNAS: [(60.0, 60.0)] * 2})
    evidence = check_claims(comparison, run="runs/mine")
    assert set(evidence.table["verdict"]) == {"not measured"} and evidence.measured.empty
    lacks = dict(zip(evidence.missing["claim"], evidence.missing["lacks"], strict=True))
    assert len(lacks) == len(CLAIMS)
    assert lacks["ABDP in the search makes MPNAS more accurate"] == (
        "no runs of mpnas with uniform > abdp: mpnas sweep --run runs/mine --approaches "
        '"mpnas" --prioritizations "uniform > abdp" --seeds "0, 1"'
    )
    one = only(ahead([1.0]), Claim("ahead"))
    assert one["verdict"] == "not distinguishable" and math.isnan(one["low"])
    assert one["lacks"].startswith("fewer than two seeds that both have: mpnas sweep --run RUN ")
    assert one["lacks"].endswith('--approaches "mpnas, bundle" --seeds "0, 1, 2, 3, 4"')
    absent = only(ahead(FIVE), Claim("ahead", without=("letters",)))
    assert absent["verdict"] == "not measured"
    assert absent["lacks"] == "the runs have no domain letters."
    nothing = only(ahead(FIVE), Claim("ahead", without=NAMES))
    assert (nothing["seeds"], nothing["lacks"]) == (0, "the claim leaves no domain.")
    nan = {MPNAS: [math.nan] * 2, BUNDLE: [math.nan] * 2}
    unknown = table({MPNAS: [(1.0, 1.0)] * 2, BUNDLE: [(1.0, 1.0)] * 2}, nan)
    assert "module that was not imported" in only(unknown, Claim("x", measure="union"))["lacks"]


def test_claims_about_a_domain_that_no_run_has_are_left_out_unless_given() -> None:
    comparison = table({MPNAS: [(1.0, 1.0)]}, names=("letters", "digits"))
    about_scene = [c for c in CLAIMS if c.without]
    assert about_scene and len(check_claims(comparison).table) == len(CLAIMS) - len(about_scene)
    assert len(check_claims(comparison, about_scene).table) == len(about_scene)


def test_every_claim_of_the_kit_names_runs_that_a_sweep_can_make() -> None:
    assert len({claim.sentence for claim in CLAIMS}) == len(CLAIMS)
    for side in (side for claim in CLAIMS for side in (claim.first, claim.second)):
        assert APPROACH.parse(side.approach)
        assert Prioritizations.parse(side.prioritization).label == side.prioritization


def test_the_note_says_what_five_seeds_can_show() -> None:
    note = check_claims(ahead(FIVE)).note
    assert "p is at least 0.062. An interval of 5 seeds is rough." in note
    assert "A seed is one search and one training, anew" in note
    assert "One seed has no interval" in check_claims(ahead([1.0])).note
    assert isinstance(check_claims(ahead(FIVE)), Evidence)


def test_an_outlier_on_which_the_intervals_disagree_decides_nothing() -> None:
    """Of a skewed sample the bootstrap interval may leave out a threshold that t does not."""
    skewed = ahead([0.2, 0.2, 0.2, 0.2, 9.0])
    row = only(skewed, Claim("ahead"))
    assert row["low"] < 0 < row["bootstrap_low"]
    assert (row["agree"], row["verdict"]) == (False, "not distinguishable")
    evidence = check_claims(skewed, [Claim("ahead", source="others")])
    (shown,) = claims_table(evidence).to_dict("records")
    assert shown["claim"] == "ahead (others)" and shown["interval"].endswith("\N{DAGGER}")
    assert (
        f"ahead ({evidence.interval(row['bootstrap_low'], row['bootstrap_high'])})."
        in evidence.note
    )
    assert "\N{DAGGER}" not in check_claims(ahead(FIVE)).note


def test_both_intervals_cover_a_planted_difference_as_often_as_they_say() -> None:
    """200 tables of five seeds, normal differences: 95 % plus or minus three errors for t.

    The expanded bootstrap has a little less. The plain percentile interval would have 83 %.
    """
    generator = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(200):
        row = only(ahead(generator.normal(1.5, 2.0, 5).tolist()), Claim("ahead"))
        ends = [(row["low"], row["high"]), (row["bootstrap_low"], row["bootstrap_high"])]
        covered += [low <= 1.5 <= high for low, high in ends]
    t, resampled = covered / 200
    assert 0.90 <= t <= 0.99 and 0.87 <= resampled <= 0.98


@pytest.mark.parametrize("function", [bootstrap_interval, sign_flip_p])
def test_one_number_has_no_interval_and_no_test(function: object) -> None:
    assert np.isnan(function([1.0])).all()  # type: ignore[operator]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(MpnasError, match="a claim must be a Claim, not 'ahead'"):
        check_claims(ahead(FIVE), ["ahead"])  # type: ignore[list-item]
    with pytest.raises(MpnasError, match="expected must be a relation and a number"):
        replace(CLAIMS[0], expected="0")
