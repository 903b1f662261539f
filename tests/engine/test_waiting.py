"""How often a step waits for its device.

The stages run on the meta device of torch, which has no data: to read a value there is an error.
The one place that reads gets ones instead, and is counted.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.memory import MemoryBudget
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.prioritization.scalarizers import FAMO
from mpnas_kit.search.data import divide
from mpnas_kit.search.stage import _Search
from mpnas_kit.training.evaluation import measure
from mpnas_kit.training.stage import _Training

META = torch.device("meta")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of the tensors that are read from the device, in order."""
    shapes: list[tuple[int, ...]] = []

    plain = Tensor.cpu

    def read(self: Tensor) -> Tensor:
        if self.device != META:
            return plain(self)
        shapes.append(tuple(self.shape))
        return torch.ones(self.shape, dtype=self.dtype)

    monkeypatch.setattr(Tensor, "cpu", read)
    yield shapes


def test_a_value_on_the_device_cannot_be_read_in_another_way(reads: Any) -> None:
    for how in (float, bool, Tensor.tolist, Tensor.item):
        with pytest.raises((RuntimeError, NotImplementedError)):
            how(torch.ones(1, device=META))
    assert not reads


@pytest.mark.parametrize("setting", [ABDP(), Uniform()], ids=["abdp", "uniform"])
@pytest.mark.parametrize("budget", [None, 2])
@pytest.mark.parametrize("step", [0, 5])
def test_a_search_step_waits_for_its_losses_and_for_its_qualities(
    step: int, budget: int | None, setting: Any, reads: list[tuple[int, ...]]
) -> None:
    """Step 0 averages layers and does not reward; step 5 rewards. Three domains, two paths each."""
    config = tiny.search_config(prioritization=setting, batch_size=12)
    parts = divide(tiny.suite(3), 0.3, 0)
    compute = Compute(META, memory=MemoryBudget(budget))
    targets = dict.fromkeys(parts, 3e4)
    stage = _Search(parts, tiny.space(), config, targets, None, None, None, compute)
    stage.step = step
    figures = stage.advance()
    assert reads == ([(3, 2)] if step == 0 else [(3, 2), (3, 2)])
    assert {row["loss"] for row in figures.values()} == {1.0}


@pytest.mark.parametrize(("setting", "count"), [(ABDP(), 1), (Uniform(), 1), (FAMO(), 2)])
def test_a_training_step_waits_once_and_twice_if_losses_after_it_are_needed(
    setting: Any, count: int, reads: list[tuple[int, ...]]
) -> None:
    suite, space = tiny.suite(3), tiny.space()
    paths = tiny.paths(space, ["k3e1 k5e3"] * 3)
    config, compute = tiny.train_config(prioritization=setting), Compute(META, micro_batches=2)
    stage = _Training(suite, space, paths, config, None, None, None, compute)
    stage.advance()
    assert reads == [(6, 2)] * count  # loss and quality of two micro-batches per domain


def test_an_evaluation_waits_once_per_domain(reads: list[tuple[int, ...]]) -> None:
    suite, space = tiny.suite(2), tiny.space()
    paths = tiny.paths(space, ["k3e1 k5e3"] * 2)
    config, compute = tiny.train_config(), Compute(META)
    stage = _Training(suite, space, paths, config, None, None, None, compute)
    measured = measure(stage.net, suite, paths, "test")
    assert reads == [(13,), (13,)]  # quality of 12 images, and the loss of one chunk
    assert [m.accuracy for m in measured] == [1.0, 1.0]
