"""The yardstick of the engine's benchmark does what the engine does, to rounding."""

import sys
from pathlib import Path

import pytest
import tiny
import torch

from mpnas_kit.engine.step import set_rate, sgd
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform

CLASSES = {"a": 3, "b": 4}
ARCHS = ["k3e1 k5e3", "k3e1 k3e1"]


def test_the_obvious_loop_makes_the_step_and_the_rewards_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from obvious import obvious_step

    space = tiny.space()
    paths = tiny.paths(space, ARCHS)
    batches, rewards = (
        {
            d: (tiny.images(8, seed=first + i), torch.arange(8) % n)
            for i, (d, n) in enumerate(CLASSES.items())
        }
        for first in (0, 10)
    )
    sampled = {d: list(tiny.all_paths(space))[:3] for d in CLASSES}
    nets = [
        MultiPathNet.supernet(space, tiny.tasks(CLASSES), "per_domain", seed=0, collapse=True)
        for _ in "eo"
    ]
    optimisers = [sgd(net, 0.9, 1e-3) for net in nets]
    for optimiser in optimisers:
        set_rate(optimiser, 0.1)
    tiny.step(
        nets[0], optimisers[0], batches, paths, Uniform().begin(tiny.tasks(CLASSES)), 0.1, 0.0
    )
    with torch.no_grad():
        flows = [Flow(d, rewards[d][0], path) for d in CLASSES for path in sampled[d]]
        logits = nets[0](flows)
    expected = [
        tiny.tasks(CLASSES)[f.domain].quality(x, rewards[f.domain][1])
        for f, x in zip(flows, logits, strict=True)
    ]
    qualities = obvious_step(nets[1], optimisers[1], batches, paths, rewards, sampled, 0.1)
    assert [q for d in CLASSES for q in qualities[d]] == pytest.approx(expected)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    sys.modules.pop("obvious")
