"""Parameters of a notebook: unknown names and wrong types are refused in the notebook itself."""

from typing import Any

import pytest

from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.parameters import check_parameters
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.settings import field_docs, options
from mpnas_kit.training.config import TrainConfig

OWN = """# Parameters. None: the profile's.
from typing import Optional

run: str = "runs/quick"
verbose: bool = False
steps: Optional[int] = None
reward: Optional[str] = None
"""


def kernel(*cells: str) -> dict[str, Any]:
    """Return the namespace of a kernel that has run these cells."""
    namespace: dict[str, Any] = {"In": ["", *cells]}
    for cell in cells:
        exec(cell, namespace)
    return namespace


def injected(line: str) -> str:
    """Return the cell that papermill injects after the notebook's own."""
    return f"# Parameters\n{line}\n"


def test_values_are_returned_with_the_types_of_the_config() -> None:
    namespace = kernel(OWN, injected('steps = "12"\nreward = "mnas(beta=-0.2)"\nverbose = "true"'))
    settings = check_parameters(namespace, SearchConfig)
    assert settings["steps"] == 12
    assert settings["reward"].beta == -0.2
    assert set(settings) == {"steps", "reward"}
    assert namespace["verbose"] is True


def test_without_papermill_nothing_is_injected() -> None:
    assert check_parameters(kernel(OWN), SearchConfig) == {"steps": None, "reward": None}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stepz = 5", ["unknown parameter 'stepz'", "did you mean 'steps'?"]),
        ("batch_size = 5", ["unknown parameter 'batch_size'"]),
        ('steps = "five"', ["steps", "a whole number", "'five'"]),
        ("steps = True", ["steps", "a whole number", "True"]),
        ('verbose = "yes"', ["verbose", "true or false", "'yes'"]),
        ("verbose = 1", ["verbose", "true or false"]),
        ("run = 5", ["run", "text", "5"]),
        ('reward = "mnass"', ["reward", "did you mean 'mnas'?"]),
    ],
)
def test_a_wrong_parameter_is_named(line: str, words: list[str]) -> None:
    with pytest.raises(MpnasError) as raised:
        check_parameters(kernel(OWN, injected(line)), SearchConfig)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_a_corrected_mistake_is_forgotten() -> None:
    namespace = kernel(OWN, injected("stepz = 5"), "table = 3", OWN)
    assert check_parameters(namespace, SearchConfig)["steps"] is None


def test_variables_of_other_cells_are_not_parameters() -> None:
    check_parameters(kernel(OWN, "stepz = 5"), SearchConfig)


def test_a_missing_parameters_cell_is_an_error() -> None:
    with pytest.raises(MpnasError, match="the parameters cell was not run"):
        check_parameters(kernel("steps = 5"), SearchConfig)


@pytest.mark.parametrize("config", [SearchConfig, TrainConfig])
def test_every_field_of_a_config_is_documented(config: type) -> None:
    docs = field_docs(config)
    for name, (_, doc, _) in options(config).items():
        assert doc == docs[name]
        assert doc.endswith("."), f"{config.__name__}.{name} has no sentence below it"
