"""Tables in notebooks and pages: numbers can be compared by eye, and exact ones are in the page."""

import re
from html import unescape

import pandas as pd
import pytest

from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.html_table import table_html


def column(html: str, name: str, *, seen: bool = True) -> list[str]:
    """Texts of the cells of a column, with or without what only screen readers get."""
    heads = re.findall(r'data-name="([^"]*)"', html)
    texts = []
    body = re.search(r"<tbody>(.*)</tbody>", html, re.DOTALL)
    assert body is not None
    for row in re.findall(r"<tr>(.*?)</tr>", body[1], re.DOTALL):
        cell = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)[heads.index(name)]
        if seen:
            cell = re.sub(r'<span class="unseen".*?</span>', "", cell)
        texts.append(unescape(re.sub(r"<[^>]+>", "", cell)))
    return texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, 20_000], ["1", "20,000"]),
        ([0.5, 0.123456], ["0.500", "0.123"]),
        ([12.5, 0.04], ["12.5", "0.0"]),
        ([1234.5, 1.0], ["1,234", "1"]),
        ([0.00012, 0.0], ["0.000120", "0.000000"]),
        ([float("nan"), 1.0], ["–", "1.00"]),
    ],
)
def test_numbers_of_a_column_have_equal_decimals(values: list[float], texts: list[str]) -> None:
    assert column(table_html(pd.DataFrame({"x": values})), "x") == texts


def test_numbers_are_on_the_right_and_exact_values_in_the_page() -> None:
    frame = pd.DataFrame({"name": ["<a>", "b"], "x": [1 / 3, float("nan")], "n": [7, 8]})
    html = table_html(frame, 'A "caption".', {"x": "{:.1%}"})
    assert column(html, "name") == ["<a>", "b"] and "<a>" not in html
    assert column(html, "x") == ["33.3%", "–"]
    assert re.findall(r'data-value="([^"]*)"', html) == [repr(1 / 3), "7", "", "8"]
    assert html.count('class="number"') == 2 + 4, "two headings and four cells"
    assert '<th scope="row"' in html


def test_texts_that_are_numbers_are_on_the_right() -> None:
    html = table_html(pd.DataFrame({"a": ["1,234", "–"], "b": ["12", "k3e1"]}))
    assert html.count('class="number"') == 3


def test_the_best_value_and_those_that_look_the_same_are_marked() -> None:
    frame = pd.DataFrame({"test": [0.9001, 0.9004, 0.8], "size": [3, 1, 2]})
    html = table_html(frame, "", {"test": "{:.1%}"}, best={"test": "max", "size": "min"})
    seen = column(html, "test", seen=False)
    assert seen == ["90.0% (as good as the best)", "90.0% (best)", "80.0%"]
    assert column(html, "size", seen=False) == ["3", "1 (best)", "2"]
    assert "Bold: best" in html


def test_values_within_the_spread_are_as_good() -> None:
    frame = pd.DataFrame(
        {"test": [0.90, 0.89, 0.87, float("nan")], "sd": [0.005, 0.012, 0.02, 0.1]}
    )
    html = table_html(frame, "", {"test": "{:.0%}"}, best={"test": "max"}, spread={"test": "sd"})
    marks = [re.findall(r"\((.*?)\)", text) for text in column(html, "test", seen=False)]
    assert marks == [["best"], ["as good as the best"], [], []]
    assert 'data-name="sd"' not in html, "a spread is no column of its own"
    assert re.findall(r'data-spread="([^"]*)"', html) == ["0.005", "0.012", "0.02", "0.1"]
    assert [text for text in column(html, "test") if "±" in text][1] == "89% ± 1%"


def test_if_all_are_as_good_none_is_marked() -> None:
    html = table_html(pd.DataFrame({"x": [1, 1]}), "", best={"x": "max"})
    assert "best" not in html


def test_intervals_have_one_scale() -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0], "sd": [0.5, 0.25]})
    html = table_html(frame, spread={"x": "sd"})
    ends = [(float(a), float(b)) for a, b in re.findall(r'd="M([\d.]+) 6H([\d.]+)"', html)]
    centres = [float(x) for x in re.findall(r'cx="([\d.]+)"', html)]
    assert len(ends) == 2
    scale = centres[1] - centres[0]
    assert ends[0][1] - ends[0][0] == pytest.approx(scale, abs=0.2)
    assert ends[1][1] - ends[1][0] == pytest.approx(scale / 2, abs=0.2)
    assert all(0 <= low < high <= 64 for low, high in ends)


def test_groups_are_headings_above_their_columns() -> None:
    frame = pd.DataFrame({"a": ["x"], "b": [1], "c": [2], "d": [3]})
    html = table_html(frame, groups={"two": ["b", "c"]})
    over = re.search(r'<tr class="groups-of-columns">(.*?)</tr>', html)
    assert over is not None
    spans = [int(n) for n in re.findall(r'colspan="(\d+)"', over[1])]
    assert spans == [1, 2, 1] and over[1].count("<th") == 1


def test_too_many_columns_continue_in_further_tables() -> None:
    names = [f"approach number {i}" for i in range(20)]
    frame = pd.DataFrame({"domain": ["a", "b"], **{n: [0.5, 0.25] for n in names}})
    html = table_html(frame, "Test accuracy. Mean over seeds.")
    parts = [re.findall(r'data-name="([^"]*)"', part) for part in html.split("<table>")[1:]]
    assert len(parts) > 1 and all(part[0] == "domain" for part in parts)
    assert [name for part in parts for name in part[1:]] == names, "no column is lost"
    assert html.count("Continued: Test accuracy.") == len(parts) - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"best": {"tset": "max"}}, "unknown column of the table 'tset': did you mean 'test'"),
        ({"best": {"test": "most"}}, "best of column 'test' is 'most': expected 'max' or 'min'"),
        ({"spread": {"test": "sd"}}, "unknown column of the table 'sd'"),
        ({"groups": {"x": ["other"]}}, "unknown column of the table 'other'"),
    ],
)
def test_a_wrong_column_is_named(options: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(MpnasError, match=re.escape(words)):
        table_html(pd.DataFrame({"test": [1.0]}), **options)  # type: ignore[arg-type]


def test_an_empty_frame_is_an_empty_table() -> None:
    html = table_html(pd.DataFrame({"a": [], "b": []}), best={"a": "max"})
    assert html.count("<th ") == 2 and "<tbody></tbody>" in html


def test_the_first_cells_are_links() -> None:
    html = table_html(pd.DataFrame({"a": ["<x>"], "b": [1]}), links=['y".html'])
    assert '<a href="y&quot;.html">&lt;x&gt;</a></th>' in html and html.count("<a ") == 1
