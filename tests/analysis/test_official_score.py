"""The Decathlon score: hand-computed points, the published total, and its bounds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mpnas_kit as mk
from mpnas_kit.analysis.official_score import FINE_TUNED
from mpnas_kit.domains.decathlon_files import DECATHLON
from mpnas_kit.errors import MpnasError

score = mk.analysis.decathlon_score


def test_the_baseline_of_the_article_has_its_mean_and_its_score() -> None:
    assert tuple(FINE_TUNED) == DECATHLON
    assert round(100 * sum(FINE_TUNED.values()) / 10, 2) == 76.51
    assert score(FINE_TUNED).points == pytest.approx(2500)
    assert score(dict.fromkeys(DECATHLON, 1.0)).points == pytest.approx(10_000)


def test_points_are_those_worked_out_by_hand() -> None:
    found = score({"svhn": 0.9, "dtd": 0.6}, {"dtd": 0.75, "svhn": 0.9, "ucf101": 0.5})
    # dtd: error .4, most .5: 1000 (.1 / .5)^2 = 40; svhn: error .1, most .2: 1000 (.1 / .2)^2 = 250
    assert found.table["domain"].tolist() == ["dtd", "svhn"]
    assert found.table["most_error"].tolist() == pytest.approx([0.5, 0.2])
    assert found.table["points"].tolist() == pytest.approx([40, 250])
    assert found.points == pytest.approx(290) and found.missing == ("ucf101",)
    assert repr(found) == "DecathlonScore(290.0 points, 2 of 3 domains)"
    assert score({"dtd": 0.6}, {"dtd": 0.75}, exponent=1).points == pytest.approx(200)
    assert score({"dtd": 0.5}, {"dtd": 0.75}).points == 0 == score({"dtd": 0}, {"dtd": 0.75}).points


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.99))
def test_more_accuracy_never_costs_points(one: float, two: float, baseline: float) -> None:
    low, high = (score({"dtd": x}, {"dtd": baseline}).points for x in sorted((one, two)))
    assert 0 <= low <= high <= 1000


@pytest.mark.parametrize(
    ("accuracies", "options", "words"),
    [
        ({}, {}, "accuracies is empty"),
        ([0.5], {}, "accuracies must be a dict"),
        ({"flowers": 0.5}, {}, "unknown domain of the baseline 'flowers'"),
        ({"dtd": 55.53}, {}, "accuracy of 'dtd' must be a number from 0 to 1, not 55.53"),
        ({"dtd": "x"}, {}, "accuracy of 'dtd' must be a number"),
        ({"dtd": float("nan")}, {}, "accuracy of 'dtd' must be a number"),
        ({"dtd": 0.5}, {"baseline": {"dtd": 1}}, "baseline of 'dtd' must be a number from 0 to b"),
        ({"dtd": 0.5}, {"exponent": 0}, "exponent must be a number from 1"),
    ],
)
def test_wrong_numbers_are_refused(accuracies: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(MpnasError) as caught:
        score(accuracies, **options)
    assert words in str(caught.value)
