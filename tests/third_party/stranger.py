"""What a stranger writes beside the kit: one part of every kind."""

from dataclasses import dataclass

import torch
from torch import nn

import mpnas_kit as mk


@dataclass(frozen=True)
class Grouped:  # a block
    groups: int
    name = property(lambda self: f"g{self.groups}")

    def build(self, inputs, outputs, stride, norm):
        kernel = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=self.groups, bias=False)
        return nn.Sequential(kernel, norm(outputs), nn.ReLU())


def space(width=8):  # a search space
    stem = mk.Layer("stem", 2, (width,), (mk.Conv(3),))
    one = mk.Layer("one", 1, (width,), (None, Grouped(2), Grouped(4)))
    return mk.LayerwiseSpace("mine", [stem, one], resolution=16)


def split(images, seed):
    noise = torch.randn(images, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    return mk.TensorSplit((128 + 40 * noise).to(torch.uint8), torch.arange(images) % 2)


domains = [mk.Domain(d, tuple("xy"), split(24, 1), split(8, 2), split(8, 3)) for d in ("a", "b")]
suite = mk.DomainSuite(domains, "noise")  # a suite of domains


@dataclass(frozen=True)
class Careful:  # a reward
    price: float = 0.1

    def __call__(self, quality, cost, target):
        return quality - self.price * (cost / target - 1).clamp_min(0)


@dataclass(frozen=True)
class Pixels:  # a cost model
    unit = "pixels"

    def price(self, use):
        return float(use.size**2)


@dataclass(frozen=True)
class HardFirst(mk.DomainWeights):  # a prioritization
    def begin(self, tasks, seed=0):
        return self

    def weights(self, batches, progress):
        mean = sum(seen.nll for seen in batches.values()) / len(batches)
        return {d: seen.nll / mean for d, seen in batches.items()}


def log(event):  # a callback
    with open("steps.log", "a") as file:
        file.write(f"{event.stage} {event.step}\n")
