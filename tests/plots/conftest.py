"""Plots are drawn without a display, from invented results of a tiny space."""

import mpnas_kit  # noqa: F401, I001  (before torch: it sets how OpenMP waits)

from collections.abc import Iterator

import matplotlib
import numpy as np
import pandas as pd
import pytest
import tiny

from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.costs import path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.result import TrainResult


@pytest.fixture(autouse=True)
def without_display() -> Iterator[None]:
    """Open no window, close all figures, and check that no setting of matplotlib changed."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


@pytest.fixture
def space() -> LayerwiseSpace:
    return tiny.two_searched_layers()


@pytest.fixture
def paths(space: LayerwiseSpace) -> dict[str, Path]:
    return {
        "a": space.parse("conv1 zero"),
        "b": space.parse("conv1 conv3"),
        "c": space.parse("conv1 zero"),
    }


@pytest.fixture
def found(space: LayerwiseSpace, paths: dict[str, Path]) -> SearchResult:
    """A search of 50 steps. Controllers learn from step 11 on; domain b did not decide 1.2."""
    policy = np.zeros((2, 3, 2, 3), np.float32)
    policy[0, :, 0, :2], policy[0, :, 1] = 1 / 2, 1 / 3
    policy[1, :, 0, :2] = 0.95, 0.05
    policy[1, [0, 2], 1] = 0.98, 0.01, 0.01
    policy[1, 1, 1] = 0.2, 0.3, 0.5
    rows = [
        {
            "step": step,
            "domain": domain,
            "loss": 2.0 / step + i,
            "reward": 0.5 + 0.1 * i if step > 10 else np.nan,
            "cost": 1000.0 * step if step > 10 else np.nan,
            "entropy": 1.0,
            "accuracy": 0.5,
        }
        for step in range(1, 51)
        for i, domain in enumerate(paths)
    ]
    config = SearchConfig(steps=50, policy_snapshots=2)
    costs = path_costs(config.cost, space, paths)
    targets = dict.fromkeys(paths, 10_000.0)
    return SearchResult(
        space, config, paths, costs, targets, config.cost.unit, pd.DataFrame(rows), policy
    )


@pytest.fixture
def trained(found: SearchResult) -> TrainResult:
    classes = {"a": 3, "b": 4, "c": 5}
    net = MultiPathNet.of_paths(found.space, found.paths, tiny.tasks(classes), "per_domain", seed=0)
    evaluation = pd.DataFrame(
        [
            {"domain": d, "split": split, "images": 100, "accuracy": 0.9 - 0.2 * i, "loss": 1.0}
            for split in ("val", "test")
            for i, d in enumerate("abc")
        ]
    )
    history = found.history[["step", "domain", "loss", "accuracy"]].copy()
    history["val_accuracy"] = np.where(history["step"] % 25 == 0, 0.4, np.nan)
    return TrainResult(net, found.paths, TrainConfig(), evaluation, history)
