"""A tiny network, its paths and a batch per domain, ready for one step."""

import tiny
import torch
from torch import Tensor

from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.space.layers import Path

CLASSES = {"a": 3, "b": 40}
ARCHS = ["k3e1 k5e3", "k3e1 k3e1"]
Batches = dict[str, tuple[Tensor, Tensor]]


def setup() -> tuple[MultiPathNet, dict[str, Path], Batches]:
    space = tiny.space()
    paths = tiny.paths(space, ARCHS)
    net = MultiPathNet.of_paths(space, paths, tiny.tasks(CLASSES), "per_domain", seed=0)
    batches = {
        d: (tiny.images(8, seed=i), torch.arange(8) % n) for i, (d, n) in enumerate(CLASSES.items())
    }
    return net, paths, batches
