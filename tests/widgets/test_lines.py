"""The numbers of time charts, and what Python can set in them."""

import numpy as np
import pandas as pd
import pytest

from mpnas_kit.errors import MpnasError
from mpnas_kit.widgets.lines import Group, Lines, Panel
from mpnas_kit.widgets.means import POINTS, Means


def floats(content: bytes) -> list[float]:
    return np.frombuffer(content, "<f4").tolist()


def test_a_chart_sends_steps_and_values_as_bytes_and_gives_them_back_as_a_table() -> None:
    chart = Lines(["a", "b"])
    values = [[1.0, np.nan, 3.0], [4.0, 5.0, np.nan]]
    chart.show([Panel("cost", [2, 4, 9], [Group(values)], references={"target": 2})], "a note")
    (panel,) = chart.content["panels"]
    assert floats(panel["steps"]) == [2, 4, 9]
    sent = floats(panel["groups"][0]["values"])
    assert np.array_equal(sent, np.ravel(values), equal_nan=True)
    assert panel["references"] == [{"label": "target", "value": 2.0}]
    assert [line["name"] for line in chart.content["lines"]] == ["a", "b"]
    table = chart.table()
    assert table[["domain", "step", "value"]].values.tolist() == [
        ["a", 2, 1.0],
        ["a", 9, 3.0],
        ["b", 2, 4.0],
        ["b", 4, 5.0],
    ]
    assert set(table["panel"]) == {"cost"} and chart.content["note"] == "a note"
    assert Lines(["a"]).table().empty


def test_numbers_change_and_what_a_person_set_stays() -> None:
    chart = Lines(["a", "b"])
    chart.hidden, chart.zoom, chart.smoothing, chart.log = ["b"], [2, 4], 0.5, True
    chart.show([Panel("loss", [1], [Group([[1.0], [2.0]])])])
    assert (chart.hidden, chart.zoom, chart.smoothing, chart.log) == (["b"], [2, 4], 0.5, True)
    assert chart.code("x") == [
        "x.hidden = ['b']",
        "x.zoom = [2.0, 4.0]",
        "x.smoothing = 0.5",
        "x.log = True",
    ]
    other = Lines(["a", "b"])
    exec("\n".join(chart.code("x")), {"x": other})
    assert other.code("x") == chart.code("x")


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("hidden", ["c"], "unknown domain 'c'"),
        ("domain", "c", "unknown domain 'c'"),
        ("zoom", [3], "zoom must be the first and the last step to show"),
        ("zoom", [3, 3], "zoom must be the first and the last step to show"),
        ("smoothing", 1.0, "smoothing must be 0 to 0.99, not 1.0"),
    ],
)
def test_what_a_chart_cannot_show_is_refused(trait: str, value: object, message: str) -> None:
    chart = Lines(["a", "b"])
    before = getattr(chart, trait)
    with pytest.raises(MpnasError, match=message):
        setattr(chart, trait, value)
    assert getattr(chart, trait) == before


def test_short_histories_have_a_point_per_step_and_long_ones_means() -> None:
    means = Means(["loss"], ["a", "b"], 4)
    means.add(1, {"a": {"loss": 1.0, "other": 9.0}, "c": {"loss": 9.0}})
    means.add(3, {"a": {"loss": 3.0}, "b": {"loss": float("inf")}})
    steps, values = means.line("loss")
    assert steps.tolist() == [1, 3] and values[0].tolist() == [1.0, 3.0]
    assert np.isnan(values[1]).all()
    long = Means(["loss"], ["a"], 2 * POINTS + 1)
    for step in (1, 2, 3, 4):
        long.add(step, {"a": {"loss": float(step)}})
    steps, values = long.line("loss")
    assert long.width == 3 and steps.tolist() == [1, 4] and values.tolist() == [[2.0, 4.0]]


def test_a_whole_history_gives_the_lines_of_its_single_steps() -> None:
    rows = [
        (step, d, step + k) for step in range(1, 9) for k, d in enumerate("ab") if step % (k + 2)
    ]
    history = pd.DataFrame(rows, columns=["step", "domain", "loss"])
    whole, single = Means(["loss", "val"], list("ab"), 8), Means(["loss", "val"], list("ab"), 8)
    whole.add_table(history)
    for step, domain, loss in rows:
        single.add(step, {domain: {"loss": loss}})
    for one, other in zip(whole.line("loss"), single.line("loss"), strict=True):
        assert np.array_equal(one, other, equal_nan=True)
    assert whole.line("val")[0].size == 0
    whole.replace("loss", history.assign(other=7.0), "other")
    assert set(whole.line("loss")[1][~np.isnan(whole.line("loss")[1])]) == {7.0}
