"""The examples in docstrings run, and public names have what a reader needs."""

import doctest
import importlib
import pkgutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import mpnas_kit as mk

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(mk.__path__, "mpnas_kit.")
    if not m.name.endswith("__main__")
)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What an example may use without making it."""
    suite, space = mk.planted_suite(2, train=64, test=16), mk.planted_space()
    small: dict[str, Any] = {"steps": 4, "batch_size": 8, "threads": 1}
    found = mk.search(suite, space, mk.SearchConfig(reward_batch=8, **small))
    trained = mk.train(suite, space, found.paths, mk.TrainConfig(**small))
    made = {"mk": mk, "torch": torch, "np": np, "pd": pd, "suite": suite, "space": space}
    return {**made, "paths": found.paths, "found": found, "trained": trained}


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, names: dict[str, Any]) -> None:
    loaded = importlib.import_module(module)
    result = doctest.testmod(
        loaded, extraglobs=names, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert result.failed == 0
