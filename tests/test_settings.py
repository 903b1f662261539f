"""The text form of settings: what is written is read back, and what is wrong is named."""

import math
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

import pytest

from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import Kind, to_text
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.rewards import REWARD, Absolute, Mnas, MnasHard, Reward
from mpnas_kit.settings import convert, describe, from_dict, to_dict
from mpnas_kit.training.config import TrainConfig


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


@pytest.mark.parametrize("cls", [SearchConfig, TrainConfig])
def test_every_field_has_a_type_that_text_can_be_read_as(cls: type) -> None:
    for name in (f.name for f in fields(cls)):
        value = to_dict(cls())[name]
        assert value is None or isinstance(value, (int, float, str)), name
