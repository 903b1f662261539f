"""The answer of a run: its sentence is true for winning, losing and undistinguishable runs."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import pytest

from mpnas_kit.analysis.answer import Answer, approach_in_words, change, compared
from mpnas_kit.analysis.comparison import NO_PRIORITIZATION, Comparison
from mpnas_kit.analysis.units import count, signed
from mpnas_kit.errors import MpnasError

Seeds = Sequence[Sequence[float]]  # accuracies of the domains, by seed
NAMES = ("scene", "digits", "icons")
SIZES = {"mpnas": 73_000.0, "bundle": 146_000.0, "random_paths": 90_000.0}
OWN: Seeds = [(0.7, 0.8, 0.6), (0.7, 0.8, 0.6), (0.7, 0.8, 0.6)]


def comparison(
    accuracies: Mapping[str, Seeds],
    names: Sequence[str] = NAMES,
    sizes: Mapping[str, float] = SIZES,
    images: int = 1000,
) -> Comparison:
    """Runs with these test accuracies; validation is 0.5 everywhere."""
    cells, domains = [], []
    for approach, seeds in accuracies.items():
        alone = approach == "bundle"
        for seed, values in enumerate(seeds):
            key = {
                "approach": approach,
                "prioritization": NO_PRIORITIZATION if alone else "abdp",
                "norm": "per_domain",
                "seed": seed,
            }
            size = sizes.get(approach, 20_000.0)
            cells.append(
                {
                    **key,
                    "parameters": size,
                    "parameters_all": size,
                    **dict.fromkeys(("per_image", "union", "n_images"), 10 * size),
                    "bytes": 4 * size,
                    "models": len(names) if alone else 1,
                    "val": 0.5,
                    "test": sum(values) / len(values),
                    "test_macro": 0.5,
                }
            )
            for name, value in zip(names, values, strict=True):
                row = {**key, "domain": name, "images": images}
                domains += [
                    {**row, "split": "test", "accuracy": value},
                    {**row, "split": "val", "accuracy": 0.5},
                ]
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


def moved(by: Sequence[Sequence[float]]) -> Seeds:
    """The accuracies of the run, each moved by so many points."""
    return [
        tuple(a + p / 100 for a, p in zip(own, points, strict=True))
        for own, points in zip(OWN, by, strict=True)
    ]


def sentence(**accuracies: Seeds) -> str:
    return Answer.of(comparison({"mpnas": OWN, **accuracies})).sentence


def test_a_winning_run_is_smaller_and_more_accurate() -> None:
    """Differences over seeds: 1.9, 2.0, 2.1 points: mean 2.0, half width 4.303 * 0.1 / sqrt(3)."""
    bundle = moved([(-1.9, -1.9, -1.9), (-2, -2, -2), (-2.1, -2.1, -2.1)])
    random = moved([(-1.0, -1.0, -1.0), (-1.1, -1.1, -1.1), (-1.2, -1.2, -1.2)])
    found = Answer.of(comparison({"mpnas": OWN, "bundle": bundle, "random_paths": random}))
    assert found.sentence == (
        "One model of 73 k parameters serves three domains: 50% smaller than three separate models "
        "and 2.0 points (1.8 to 2.2) more accurate; random paths of the same cost are 1.1 points "
        "(0.9 to 1.3) behind; the largest gain is scene (+2.0)."
    )
    assert found.note == "Intervals: 95%, from paired differences over three seeds."
    assert found.bundle is not None and found.bundle.difference.low == pytest.approx(
        0.02 - 4.30265 * 0.001 / math.sqrt(3), abs=1e-6
    )


def test_a_losing_run_says_so_and_where() -> None:
    bundle = moved([(0.1, 0.1, 3.1), (0.1, 0.1, 3.2), (0.1, 0.1, 3.3)])
    random = moved([(0.5, 0.5, 0.5), (0.6, 0.6, 0.6), (0.7, 0.7, 0.7)])
    assert sentence(bundle=bundle, random_paths=random) == (
        "One model of 73 k parameters serves three domains: 50% smaller than three separate models "
        "but 1.1 points (1.1 to 1.2) less accurate; random paths of the same cost are 0.6 points "
        "(0.4 to 0.8) ahead; most of the loss is icons."
    )


def test_an_undistinguishable_run_claims_neither() -> None:
    """Differences 1, 0, -1: mean 0, half width 4.303 * 1 / sqrt(3) = 2.5."""
    bundle = moved([(-1, -1, -1), (0, 0, 0), (1, 1, 1)])
    text = sentence(bundle=bundle, random_paths=bundle)
    assert text == (
        "One model of 73 k parameters serves three domains: 50% smaller than three separate "
        "models, with no clear difference in accuracy (0.0 points, \N{MINUS SIGN}2.5 to +2.5); no "
        "clear difference to random paths of the same cost (0.0 points, \N{MINUS SIGN}2.5 to +2.5)."
    )


def test_the_domain_that_alone_makes_the_difference_is_named() -> None:
    gain = moved([(-9.0, 1, 1), (-9.1, 1, 1), (-9.2, 1, 1)])  # without scene it would lose
    assert sentence(bundle=gain).endswith("; all of the gain is scene.")
    loss = moved([(9.0, -1, -1), (9.1, -1, -1), (9.2, -1, -1)])
    assert sentence(bundle=loss).endswith("; all of the loss is scene.")
    hidden = moved([(-3, 1.0, 1.0), (0, 1.0, 1.1), (3, 1.0, 1.2)])  # unclear, but icons loses
    assert sentence(bundle=hidden).endswith("; the largest loss is icons (\N{MINUS SIGN}1.1).")
    noise = moved([(-1, -3, 1), (-1, 4, 1), (-1, 2, 1)])  # digits is not clear
    assert "the largest loss is icons" in sentence(bundle=noise)


def test_one_seed_has_the_interval_of_its_test_images() -> None:
    """p = 0.5, 998 images: variance of a domain 0.25 / 1000, of the difference of means 2 / 3."""
    half = [(0.5, 0.5, 0.5)]
    found = Answer.of(comparison({"mpnas": half, "bundle": half}, images=998))
    assert found.bundle is not None
    assert found.bundle.difference.high == pytest.approx(1.959964 * math.sqrt(2 * 0.25 / 3000))
    assert found.bundle.difference.pairs == 1
    assert "test images alone" in found.note and "Another seed may differ" in found.note
    assert found.sentence.endswith("; all with one seed.")


def test_seeds_without_a_partner_are_compared_as_one() -> None:
    both = comparison({"mpnas": OWN[:1], "bundle": moved([(-5, -5, -5)] * 3)})
    later = Comparison(
        both.cells.assign(seed=both.cells["seed"] + (both.cells["approach"] == "bundle")),
        both.domains.assign(seed=both.domains["seed"] + (both.domains["approach"] == "bundle")),
    )
    found = Answer.of(later)
    assert found.bundle is not None and found.bundle.difference.pairs == 0
    assert found.bundle.difference.value == pytest.approx(0.05)
    assert "test images alone" in found.note


def test_accuracies_of_0_and_1_still_have_an_interval() -> None:
    sure = {"mpnas": [(1.0, 1.0, 1.0)], "bundle": [(0.0, 0.0, 1.0)]}
    found = Answer.of(comparison(sure, images=8))
    assert found.bundle is not None
    assert found.bundle.difference.low < found.bundle.difference.value < 1


def test_without_a_reference_the_sentence_gives_the_accuracy() -> None:
    assert sentence() == (
        "One model of 73 k parameters serves three domains: mean test accuracy 70.0%."
    )
    assert Answer.of(comparison({"mpnas": OWN})).note == ""
    only_random = sentence(random_paths=moved([(-1, -1, -1), (-1.1, -1, -1), (-1.2, -1, -1)]))
    assert "mean test accuracy 70.0%; random paths of the same cost are 1.0 points" in only_random


def test_sizes_may_be_larger_equal_or_unknown() -> None:
    worse = moved([(-1.9, -2, -2), (-2, -2, -2), (-2.1, -2, -2)])

    def sized(own: float, bundle: float) -> str:
        made = comparison({"mpnas": OWN, "bundle": worse}, sizes={"mpnas": own, "bundle": bundle})
        return Answer.of(made).sentence

    assert "20% larger than three separate models but 2.0 points" in sized(120.0, 100.0)
    assert "as large as three separate models and 2.0 points" in sized(100.0, 100.0)
    assert sized(math.nan, math.nan).startswith(
        "One model serves three domains: 2.0 points (1.9 to 2.1) more accurate than three separate "
    )
    same = comparison({"mpnas": OWN, "bundle": OWN[:1]}, sizes=dict.fromkeys(SIZES, math.nan))
    assert "no clear difference in accuracy to three separate models (0.0" in (
        Answer.of(same).sentence
    )


def test_one_domain_and_separate_models_are_called_what_they_are() -> None:
    one = {"mpnas": [(0.7,), (0.7,)], "bundle": [(0.6,), (0.6001,)]}
    assert Answer.of(comparison(one, names=("digits",))).sentence.startswith(
        "One model of 73 k parameters serves digits: 50% smaller than a separate model and 10.0 "
    )
    many = comparison({"bundle": OWN, "mpnas": OWN})
    assert Answer.of(many, "bundle").sentence == (
        "Three separate models of 146 k parameters together serve three domains: mean test "
        "accuracy 70.0%."
    )


def test_draws_of_random_paths_are_one_approach() -> None:
    """Draws 1 and 3 points behind at every seed: 2 points in the mean, for every seed."""
    draws = {
        "random_paths": moved([(-1, -1, -1)] * 3),
        "random_paths(draw=1)": moved([(-3, -3, -3), (-3.1, -3.1, -3.1), (-3.2, -3.2, -3.2)]),
    }
    found = Answer.of(comparison({"mpnas": OWN, **draws}))
    assert list(found.peers) == ["random_paths"] and found.random is not None
    assert found.random.difference.value == pytest.approx(0.0205)
    assert found.random.difference.pairs == 3
    other = Answer.of(comparison({"single_path": OWN, **draws}))
    assert other.random is None, "random paths cost what MPNAS costs, not what a single path costs"
    for name in draws:
        one = Answer.of(comparison({"mpnas": OWN, **draws}), name)
        assert list(one.peers) == ["mpnas"]


def test_an_approach_is_compared_with_itself_under_other_options() -> None:
    half = comparison({"bundle(scale=0.5)": OWN, "bundle": OWN, "random_paths": OWN})
    assert list(Answer.of(half, "bundle(scale=0.5)").peers) == ["bundle", "random_paths"]


def test_only_runs_of_the_same_prioritization_and_norm_are_compared() -> None:
    made = comparison({"mpnas": OWN, "bundle": OWN, "random_paths": OWN})
    others = made.cells["approach"] == "random_paths"
    cells = made.cells.assign(norm=made.cells["norm"].mask(others, "naive"))
    assert list(Answer.of(Comparison(cells, made.domains)).peers) == ["bundle"]
    with pytest.raises(MpnasError, match="no run of mpnas with uniform: it has mpnas, bundle"):
        Answer.of(made, prioritization="uniform")
    with pytest.raises(MpnasError, match="no run of mpnas: it has no runs"):
        Answer.of(made.where(seed=99))


def test_numbers_in_words() -> None:
    assert [signed(x) for x in (0.008, -0.012, 0.0004, -0.0004)] == [
        "+0.8",
        "\N{MINUS SIGN}1.2",
        "0.0",
        "0.0",
    ]
    assert [count(n) for n in (1, 12, 13, 1200)] == ["one", "twelve", "13", "1,200"]
    assert [change(*pair) for pair in ((41, 100), (120, 100), (math.nan, 1), (1, 0))] == [
        -59,
        20,
        None,
        None,
    ]
    assert compared(0, "fewer", "more", "as many") == "as many as"
    assert [approach_in_words(a) for a in ("mpnas", "bundle", "single_path(frozen=True)")] == [
        "MPNAS",
        "separate models",
        "single path (frozen=True)",
    ]
