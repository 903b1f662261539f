"""How long a run takes: the stages, their steps, and that nothing is written."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny

import mpnas_kit as mk
from mpnas_kit.runs.timing import suggested_steps


def test_a_suite_has_an_expected_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite, space = tiny.suite(2), tiny.space()
    found = mk.expected_time(suite, space, search_steps=400, train_steps=600, measured=8)
    assert found.stages["stage"].tolist() == ["search", "train"]
    assert found.stages["steps"].tolist() == [400, 600]
    row = found.stages.set_index("stage")
    assert (row["seconds_per_step"] > 0).all()
    searching = 400 * row.loc["search", "seconds_per_step"] / 60
    assert row.loc["search", "minutes"] == pytest.approx(searching)
    training = 600 * row.loc["train", "seconds_per_step"] / 60
    assert row.loc["train", "minutes"] > training, "evaluations count too"
    assert found.minutes == pytest.approx(row["minutes"].sum())
    assert "400 steps" in found.sentence and "estimate from 8 steps" in found.sentence
    assert found.as_dict()["stages"][1]["steps"] == 600
    assert not list(tmp_path.iterdir()), "no file is written"


def test_steps_follow_the_domain_of_median_size() -> None:
    assert suggested_steps(tiny.suite(3)) == {"search": 1300, "train": 1000}
    middle = tiny.domain("m", 3, train=4000)
    large = tiny.domain("l", 3, train=6000)
    suite = mk.DomainSuite((tiny.domain("s"), middle, large))
    assert suggested_steps(suite) == {"search": 2700, "train": 2000}
    assert suggested_steps(replace(suite, domains=(large,)), batch_size=2)["train"] == 20_000


def test_wrong_calls_are_one_sentence() -> None:
    suite = tiny.suite(1)
    for options, words in (
        ({"measured": 2}, "measured must be a whole number from 8"),
        ({"profile": "fulll"}, "did you mean 'full'"),
        ({"train_steps": 0}, "train_steps"),
        ({"space": tiny.space(32)}, "16 pixels"),
    ):
        with pytest.raises(mk.MpnasError, match=words):
            mk.expected_time(suite, **{"space": tiny.space(), **options})  # type: ignore[arg-type]
