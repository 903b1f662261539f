"""The text form of settings: what is written is read back, and what is wrong is named."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from inspect import signature
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch

from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.domains.suites import SUITE
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import Kind, to_text
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.runs.executors import EXECUTOR
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.rewards import REWARD, Absolute, Mnas, MnasHard, Reward
from mpnas_kit.settings import convert, describe, from_dict, option_table, to_dict
from mpnas_kit.space.costs import COST
from mpnas_kit.space.texts import BLOCK, SPACE
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.values import Range, type_hints


@dataclass(frozen=True)
class Config:
    """A config with every kind of field."""

    steps: int = 10
    rate: float = 0.1
    fast: bool = False
    norm: Literal["mixed", "naive"] = "mixed"
    target: float | None = None
    reward: Annotated[Reward, REWARD] = field(default_factory=Absolute)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (REWARD, Absolute()),
        (REWARD, Absolute(beta=-0.3)),
        (REWARD, Mnas()),
        (REWARD, MnasHard(beta=-1.0)),
        (PRIORITIZATION, Uniform()),
        (PRIORITIZATION, ABDP(end=math.inf)),
    ],
)
def test_a_part_is_read_back_from_its_text(kind: Kind, part: object) -> None:
    assert kind.parse(to_text(part)) == part
    assert kind.parse(to_text(part, defaults=False)) == part


@pytest.mark.parametrize("config", [SearchConfig(), TrainConfig(), Config(target=3.5)])
def test_a_config_is_read_back_from_its_dict(config: object) -> None:
    assert from_dict(type(config), to_dict(config)) == config


@pytest.mark.parametrize("config", [SearchConfig(), TrainConfig()])
def test_a_config_of_texts_only_is_read_as_on_a_command_line(config: object) -> None:
    texts = {name: str(value) for name, value in to_dict(config).items()}
    assert from_dict(type(config), texts) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"step": 3}, ["unknown", "'step'", "did you mean 'steps'?"]),
        ({"steps": "many"}, ["steps", "a whole number", "'many'"]),
        ({"steps": 2.5}, ["steps", "a whole number", "2.5"]),
        ({"steps": True}, ["steps", "a whole number", "True"]),
        ({"steps": None}, ["steps", "not None"]),
        ({"fast": "yes"}, ["fast", "true or false", "'yes'"]),
        ({"fast": 1}, ["fast", "true or false"]),
        ({"norm": "mixd"}, ["norm", "'mixed' or 'naive'", "'mixd'"]),
        ({"reward": "mnass"}, ["'mnass'", "did you mean 'mnas'?"]),
        ({"reward": "mnas(beta"}, ["cannot be read", "name(option=value)"]),
        ({"reward": "mnas(bet=1)"}, ["'bet'", "did you mean 'beta'?"]),
        ({"reward": "mnas(beta=2)"}, ["mnas: beta must be a number from -10 to 0, not 2"]),
        ({"reward": "__import__('os')"}, ["unknown reward", "__import__"]),
        ({"reward": "mnas(-1)"}, ["cannot be read"]),
        ({"reward": 3}, ["no method __call__", "absolute"]),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(MpnasError) as error:
        from_dict(Config, values)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("true", bool, True),
        ("False", bool, False),
        ("7", int, 7),
        (7.0, int, 7),
        ("1e-3", float, 1e-3),
        (3, float, 3.0),
        ("None", float | None, None),
        (None, int | None, None),
        ("5", str, "5"),
    ],
)
def test_text_is_read_as_the_type_that_is_expected(
    value: object, hint: object, expected: object
) -> None:
    got = convert(value, hint, "it")
    assert got == expected
    assert type(got) is type(expected)


def test_a_config_of_texts_in_python_has_the_values_they_say() -> None:
    config = SearchConfig(steps="300", collapse="false", reward="absolute(beta=-0.2)")  # type: ignore[arg-type]
    assert (config.steps, config.collapse, config.reward) == (300, False, Absolute(-0.2))
    assert ABDP(start="0.5").start == 0.5  # type: ignore[arg-type]


def test_types_are_described_in_words() -> None:
    assert describe(float | None) == "a number or None"
    assert describe(Literal["a", "b"]) == "'a' or 'b'"
    assert "absolute or mnas or mnas_hard" in describe(Annotated[Reward, REWARD])


KINDS = (REWARD, COST, PRIORITIZATION, APPROACH, BLOCK, SPACE, SUITE, EXECUTOR)
ALL = [SearchConfig, TrainConfig, *(part for kind in KINDS for part in kind.known.values())]


@pytest.mark.parametrize("thing", ALL, ids=lambda thing: thing.__name__)
def test_every_number_has_a_finite_range_which_its_default_is_in(thing: Any) -> None:
    for name, hint in type_hints(thing).items():
        if not re.search(r"\b(int|float)\b", str(hint)) or name not in signature(thing).parameters:
            continue
        (allowed,) = (m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range))
        default = signature(thing).parameters[name].default
        assert math.isfinite(allowed.low) and math.isfinite(allowed.high), name
        assert default is None or default in allowed, name
    for row in option_table([thing]):
        assert all(row) and "Annotated" not in row[2], row


def _bounds() -> Iterator[Any]:
    """The bounds of every number of every config and part: a value and whether it is allowed."""
    for thing in ALL:
        for name, hint in type_hints(thing).items():
            for allowed in (m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Range)):
                beyond = math.inf if "float" in str(hint) else 10**400
                small = 1 if "int" in str(hint) else max(abs(allowed.low), abs(allowed.high)) * 1e-9
                yield thing, name, hint, allowed.low, not allowed.above
                yield thing, name, hint, allowed.low - small, False
                yield thing, name, hint, allowed.high, not allowed.below
                yield thing, name, hint, allowed.high + small, False
                yield thing, name, hint, beyond, allowed.infinity and beyond == math.inf
                yield thing, name, hint, -beyond, False
                yield thing, name, hint, math.nan, False


def needed(thing: Any) -> dict[str, Any]:
    """The options that a part cannot be made without."""
    return {"path": "photos"} if "path" in signature(thing).parameters else {}


def test_every_range_is_checked_on_both_sides() -> None:
    cases = list(_bounds())
    assert len(cases) > 400
    for thing, name, hint, value, is_allowed in cases:
        if is_allowed:
            assert convert(value, hint, name) == value
            continue
        with pytest.raises(MpnasError, match=f"{name} must be .*number") as refused:
            thing(**{name: value}, **needed(thing))
        assert len(str(refused.value)) < 200 and "\n" not in str(refused.value)


def test_ranges_are_described_in_words() -> None:
    words = {
        "from 1 to 1,024": Range(1, 1024),
        "above 0 and below 1": Range(0, 1, above=True, below=True),
        "from 0 to below 1": Range(0, 1, below=True),
        "above 0 and up to 100": Range(0, 100, above=True),
        "from 1 to 63, odd": Range(1, 63, odd=True),
        "from 1e-06 to 1e+06, or infinity": Range(1e-6, 1e6, infinity=True),
    }
    assert {str(allowed): allowed for allowed in words.values()} == words


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (-0.0, Annotated[float, Range(0, 1)], 0.0),
        (np.float32(0.5), Annotated[float, Range(0, 1)], 0.5),
        (np.int64(3), Annotated[int, Range(1, 3)], 3),
        (np.bool_(True), bool, True),
        (torch.tensor(3), int, 3),
        ("None", Annotated[int | None, Range(1, 3)], None),
        ("2", Annotated[int | None, Range(1, 3)], 2),
        ("2", Annotated[int, Range(1, 3)] | None, 2),
    ],
)
def test_numbers_of_other_libraries_are_converted(value: Any, hint: Any, expected: Any) -> None:
    got = convert(value, hint, "it")
    assert (got, type(got)) == (expected, type(expected))
    assert math.copysign(1, got or 0) == 1


@dataclass(frozen=True)
class Late:
    """A reward of a person's own. Its options are converted by their types."""

    delay: float = 1.0
    mode: Literal["soft", "hard"] = "soft"
    table: str = "info.json"
    more: Any = None

    def __call__(self, quality: Any, cost: Any, target: float) -> Any:
        return quality


ORIGIN = f"{__file__}:Late"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("delay='slow'", "delay must be a number, not 'slow'"),
        ("delay=True", "delay must be a number, not True"),
        ("delay=[1]", "delay must be a number, not .1."),
        ("mode='mild'", "mode must be 'soft' or 'hard', not 'mild'"),
        ("table=3", "table must be text, not 3"),
        ("delay=1, delay=2", "gives the option 'delay' twice"),
        ("dely=1", "unknown option of .*'dely': did you mean 'delay'"),
    ],
)
def test_options_of_a_part_of_ones_own_are_checked_by_their_types(options: str, words: str) -> None:
    with pytest.raises(MpnasError, match=words):
        REWARD.parse(f"{ORIGIN}({options})")


@pytest.mark.parametrize(
    "part", [Late(), Late(delay=1), Late(2.5, "hard", "inf"), Late(math.inf, more=[1, {"inf": -1}])]
)
def test_a_part_of_ones_own_is_read_back_from_its_text(part: Late) -> None:
    text = to_text(part)
    assert REWARD.parse(text) == part and to_text(REWARD.parse(text)) == text


@pytest.mark.parametrize("cls", [SearchConfig, TrainConfig])
def test_every_field_has_a_type_that_text_can_be_read_as(cls: type) -> None:
    for name in (f.name for f in fields(cls)):
        value = to_dict(cls())[name]
        assert value is None or isinstance(value, (int, float, str)), name
