"""Counts as text: those of one column have one unit and equal decimals."""

import pytest

from mpnas_kit.analysis.units import amounts

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([73_400, 1_230_000], ["73.4 k", "1,230.0 k"]),
        ([456, 789], ["456", "789"]),
        ([1.23e6, 4.5e6, NAN], ["1.23 M", "4.50 M", "–"]),
        ([0, 2_500], ["0.00 k", "2.50 k"]),
        ([5, 2e6], ["0.005 k", "2,000.000 k"]),
        ([NAN], ["–"]),
        ([], []),
    ],
)
def test_amounts_of_a_column_can_be_compared_by_eye(values: list[float], texts: list[str]) -> None:
    form = amounts(values)
    assert [form(value) for value in values] == texts
    decimals = {len(text.split(" ")[0].partition(".")[2]) for text in texts if text != "–"}
    assert len(decimals) <= 1
