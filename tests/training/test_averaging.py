"""The moving average of weights: by hand, its state, and the statistics that it leaves alone."""

import pytest
import tiny
import torch

from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.training.averaging import Averaged

CLASSES = {"a": 3}


def network() -> MultiPathNet:
    space = tiny.space()
    paths = tiny.paths(space, ["k3e1 k5e3"])
    return MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)


def fill(net: MultiPathNet, value: float) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)


def values(averaged: Averaged) -> set[float]:
    return {round(v, 5) for p in averaged.net.parameters() for v in p.flatten().tolist()}


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.9])
def test_averages_by_hand(decay: float) -> None:
    """The first weights are copied; then the decay is 2/11, 3/12, ... up to the largest."""
    net = network()
    averaged, expected = Averaged(net, decay), 1.0
    for count, value in enumerate((1.0, 3.0, -2.0, 5.0)):
        fill(net, value)
        averaged.update()
        factor = min(decay, (1 + count) / (10 + count)) if count else 0.0
        expected = factor * expected + (1 - factor) * value
        assert values(averaged) == {round(expected, 5)}
    assert averaged.count == 4


def test_an_average_continues_from_its_state() -> None:
    net = network()
    whole, resumed = Averaged(net, 0.9), Averaged(net, 0.9)
    for value in (1.0, 3.0):
        fill(net, value)
        whole.update()
    resumed.load_state_dict(whole.state_dict())
    fill(net, 7.0)
    whole.update()
    resumed.update()
    assert values(whole) == values(resumed) and whole.count == resumed.count == 3


def test_statistics_of_batch_norms_are_not_averaged() -> None:
    net = network()
    averaged = Averaged(net, 0.9)
    before = [b.clone() for b in averaged.net.buffers()]
    for buffer in net.buffers():
        buffer.fill_(9.0)
    averaged.update()
    assert all(torch.equal(x, y) for x, y in zip(before, averaged.net.buffers(), strict=True))
