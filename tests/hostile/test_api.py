"""Wrong calls of the Python API and wrong texts of options: each gives one sentence that helps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from torch import nn

import mpnas_kit as mk
from mpnas_kit.analysis.spread import read_path_spread
from mpnas_kit.approaches.approach import plan_of
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.domains.batches import Augment
from mpnas_kit.prioritization.methods import PRIORITIZATION
from mpnas_kit.search.rewards import REWARD
from mpnas_kit.settings import from_dict
from mpnas_kit.space.block import lend
from mpnas_kit.space.blocks import SeparableConv
from mpnas_kit.space.planted import DirectedBlock, EvenBlock
from mpnas_kit.space.planted_sharing import SumBlock

IMAGES = torch.arange(6 * 64, dtype=torch.int64).reshape(6, 1, 8, 8) % 256
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])
CLASSES = ("cat", "dog")
LONG = "9" * 5000
COMPARED = mk.analysis.Comparison(
    pd.DataFrame(columns=["approach", "prioritization", "norm", "seed"]), pd.DataFrame()
)


def split(images: Any = IMAGES, labels: Any = LABELS) -> mk.TensorSplit:
    return mk.TensorSplit(images, labels)


def domain(name: Any = "pets", classes: Any = CLASSES, **more: Any) -> mk.Domain:
    return mk.Domain(name, classes, **{**dict.fromkeys(("train", "val", "test"), split()), **more})


def layer(**more: Any) -> mk.Layer:
    values = {"name": "body", "stride": 1, "widths": (8,), "candidates": (mk.Conv(3), mk.Conv(5))}
    return mk.Layer(**{**values, **more})


def space(*layers: Any, **more: Any) -> mk.LayerwiseSpace:
    given = {"name": "own", "layers": layers or (layer(),), "resolution": 8}
    return mk.LayerwiseSpace(**{**given, **more})


def run(**more: Any) -> Any:
    return mk.search(tiny.suite(), tiny.space(), tiny.search_config(steps=2, **more))


@dataclass(frozen=True)
class Strange:
    """A block whose `build` returns `module`, or the module of a convolution with its output."""

    module: Any = None
    name: Any = "strange"

    def build(self, in_channels: int, out_channels: int, stride: int, norm: Any) -> Any:
        return self.module


class Constant(nn.Module):
    """A module that returns the same for every input."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: torch.Tensor) -> Any:
        return self.output


def with_block(block: Any) -> mk.LayerwiseSpace:
    stem = mk.Layer("stem", 2, (8,), (mk.Conv(3),))
    return space(stem, layer(candidates=(block, mk.Conv(5))), resolution=16)


def cost_of(block: Any) -> Any:
    own = with_block(block)
    return own.cost(own.parse(block.name))


def weights(answer: Any) -> Any:
    """A prioritization whose weights are always `answer`."""

    class Mine(mk.DomainWeights):
        def weights(self, batches: Any, progress: float) -> Any:
            return answer

    class Setting:
        def begin(self, tasks: Any, seed: int = 0) -> Any:
            return Mine()

    return Setting()


class BeginsWith:
    """A prioritization whose `begin` returns `answer`."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def begin(self, tasks: Any, seed: int = 0) -> Any:
        return self.answer


class Plans:
    """An approach whose plan is `answer`."""

    searches = weighs = True

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def plan(self, context: Any) -> Any:
        return self.answer


def reward(answer: Any) -> Callable[..., Any]:
    return lambda quality, cost, target: answer(quality) if callable(answer) else answer


TABLE = pd.DataFrame([[1.0, 0.5], [0.2, 1.0]])
PATH, OTHER = (tiny.space().parse(arch) for arch in ("k3e1 k3e1", "k3e2 k3e1"))


def net(norm: Any = "per_domain", seed: Any = 0) -> mk.MultiPathNet:
    paths = dict.fromkeys("ab", PATH)
    return mk.MultiPathNet.of_paths(tiny.space(), paths, tiny.suite().tasks, norm, seed)


def context(**more: Any) -> mk.Context:
    return mk.Context(tiny.space(), ("a", "b"), mk.SearchConfig(), **more)


ROWS = pd.DataFrame(  # of landmarks: four sets
    {"set": [0, 0, 1, 1, 2, 2, 3, 3], "domain": ["a", "b"] * 4, "arch": "k3e1 k3e1", "score": -1.0}
).assign(accuracy=0.5)


CALLS: list[tuple[Callable[[], Any], str]] = [
    # Splits
    (lambda: split("photos"), "images must be a tensor, an array or a list of numbers"),
    (lambda: split(None), "images must be a tensor, an array or a list of numbers, not None"),
    (lambda: split({1: 2}), "images must be a tensor"),
    (lambda: split([[1], [2, 3]]), "images must be a tensor"),
    (lambda: split(torch.full((6, 1, 8, 8), 256)), "pixel values from 256 to 256"),
    (lambda: split(torch.full((6, 1, 8, 8), -1)), "pixel values from -1 to -1"),
    (lambda: split(labels="cats"), "labels must be a tensor"),
    (lambda: split(labels=[None, 1]), "labels must be a tensor"),
    (lambda: split(torch.zeros(6, 1, 8, 8, device="meta")), "images must be a tensor"),
    (lambda: mk.Subset("photos", [0]), "a subset's split got 'photos'"),
    (lambda: mk.Subset(mk.TensorSplit, [0]), "a subset's split got <class"),
    (lambda: mk.Subset(split(), [6]), "whole numbers from 0 to 5"),
    (lambda: mk.Subset(split(), [-1]), "whole numbers from 0 to 5"),
    (lambda: mk.Subset(split(), [0.5]), "whole numbers from 0 to 5"),
    (lambda: mk.Subset(split(), LABELS == 0), "whole numbers from 0 to 5"),
    (lambda: mk.Subset(split(), 3), "whole numbers from 0 to 5, not 3"),
    (lambda: mk.Subset(split(), "all"), "the index of a subset must be a tensor"),
    # Domains
    (lambda: domain(None), "the name of a domain must be text"),
    (lambda: domain(3), "the name of a domain must be text"),
    (lambda: domain(""), "the name of a domain must be text"),
    (lambda: domain("a\nb"), "the name of a domain must be text"),
    (lambda: domain("a b"), "domain name 'a b' may have letters"),
    (lambda: domain("a" * 5000), "the name of a domain must be text"),
    (lambda: domain(classes="ab"), "domain 'pets': classes must be a list of names, not 'ab'"),
    (lambda: domain(classes=2), "classes must be a list of names, not 2"),
    (lambda: domain(classes={"a", "b"}), "classes must be a list of names"),
    (lambda: domain(classes=("a",)), "needs at least 2 classes"),
    (lambda: domain(classes=("a", "a")), "names the class 'a' twice"),
    (lambda: domain(classes=("a", None)), "a class name must be text .* not None"),
    (lambda: domain(classes=("a", " ")), "a class name must be text .* not ' '"),
    (lambda: domain(classes=("a", "b\x00")), "a class name must be text"),
    (lambda: domain(classes=("a", 1.5)), "a class name must be text .* not 1.5"),
    (lambda: domain(classes=(True, False)), "a class name must be text .* not True"),
    (lambda: domain(flip="perhaps"), "flip must be true or false, not 'perhaps'"),
    (lambda: domain(turn="left"), "turn must be true or false, not 'left'"),
    (lambda: domain(flip=1), "flip must be true or false, not 1"),
    (lambda: domain(task="classify"), "task got 'classify', which has no attribute 'outputs'"),
    (lambda: domain(task=mk.Classification), "task got <class"),
    (lambda: domain(task=mk.Classification(3)), "has 2 classes, but its task has 3"),
    (lambda: domain(train=None), "split 'train' got None, which has no attribute 'labels'"),
    (lambda: domain(train=IMAGES), "split 'train' got tensor"),
    (lambda: domain(val=(IMAGES.float(), LABELS)), "split 'val': images must be uint8"),
    (lambda: domain(test=(IMAGES, LABELS == 0)), "split 'test': labels must be int64"),
    (lambda: domain(test=(IMAGES, LABELS / 1)), "split 'test': labels must be int64"),
    (lambda: domain(test=(IMAGES, LABELS[:5])), r"one per image \(6\)"),
    (lambda: domain(test=(IMAGES, LABELS + 1)), "label 2 is out of range: expected 0 to 1"),
    (lambda: domain(test=(IMAGES[:0], LABELS[:0])), "split 'test' is empty"),
    (lambda: domain(test=([], [])), "split 'test' is empty"),
    (lambda: domain(test=(IMAGES[:, :, :0, :0], LABELS)), "images must be uint8 of shape"),
    (lambda: mk.DomainSuite("pets"), "domains must be a list of domains, not 'pets'"),
    (lambda: mk.DomainSuite(("pets",)), "a domain must be a Domain, not 'pets'"),
    (lambda: mk.DomainSuite(domain()), "domains must be a list of domains"),
    (lambda: mk.DomainSuite((domain(),), name=None), "the name of a suite must be text"),
    (lambda: mk.DomainSuite((domain(),), source=3), "source of a suite must be text or None"),
    (lambda: tiny.suite().select("a"), "the domains to select must be a list of names, not 'a'"),
    (lambda: tiny.suite()[3], "unknown domain '3'"),
    (lambda: mk.Classification(1), "classes must be a whole number from 2 to 1,000,000, not 1"),
    (lambda: mk.Classification(2.5), "classes must be a whole number"),
    (lambda: mk.Classification(int(LONG[:400])), "not a whole number of about 400 digits"),
    (lambda: Augment(-1), "augment: shift must be a whole number from 0 to 1,024, not -1"),
    (lambda: mk.pocket("digts"), "unknown pocket domain 'digts': did you mean 'digits'"),
    (lambda: mk.pocket(5), "domains must be a list of names, not 5"),
    (lambda: mk.pocket([None]), "unknown pocket domain 'None'"),
    (lambda: mk.pocket(["digits", "digits"]), "names a domain twice"),
    (lambda: mk.pocket([]), "has no domains"),
    (lambda: mk.pocket("digits", full="all"), "pocket: full must be true or false, not 'all'"),
    (lambda: mk.planted_suite(0), "planted: count must be a whole number from 1 to 1,000, not 0"),
    (lambda: mk.planted_suite(1, train=1), "train must be a whole number from 2"),
    (lambda: mk.planted_suite(1, test=math.nan), "test must be a whole number .* not nan"),
    (
        lambda: mk.planted_suite(1, seed=2**32),
        "seed must be a whole number from 0 to 4,294,967,295",
    ),
    (lambda: mk.planted_suite(True), "count must be a whole number"),
    (lambda: mk.planted_sharing_suite(1), "planted_sharing: train must be a whole number from 2"),
    (lambda: mk.planted_sharing_suite(test=None), "test must be a whole number .* not None"),
    (lambda: mk.planted_sharing_suite(seed=-1), "seed must be a whole number from 0"),
    (lambda: mk.planted_space(equal_cost="yes"), "planted: equal_cost must be true or false"),
    (lambda: mk.planted_sharing_paths(mk.planted_space()), "has 2 words: space .planted. needs 4"),
    (lambda: EvenBlock("up", 0), "direction must be .*row.*, not 'up'"),
    (lambda: SumBlock(2), "quarter must be a whole number from 0 to 1, not 2"),
    # Spaces and paths
    (lambda: layer(name=None), "the name of a layer must be text"),
    (lambda: layer(name="a\tb"), "the name of a layer must be text"),
    (lambda: layer(stride=0), "stride must be a whole number from 1 to 64, not 0"),
    (lambda: layer(stride=1.5), "stride must be a whole number from 1 to 64, not 1.5"),
    (lambda: layer(stride=None), "stride must be a whole number from 1 to 64, not None"),
    (lambda: layer(widths=8), "widths must be a list of whole numbers, not 8"),
    (lambda: layer(widths=()), "needs ascending widths, at least one"),
    (lambda: layer(widths=(16, 8)), r"needs ascending widths, at least one, not \[16, 8\]"),
    (lambda: layer(widths=(-8,)), "a width must be a whole number from 1 to 100,000, not -8"),
    (lambda: layer(widths="8"), "widths must be a list"),
    (lambda: layer(candidates=mk.Conv(3)), "candidates must be a list of blocks"),
    (lambda: layer(candidates=("conv3",)), "candidates got 'conv3', which has no attribute 'name'"),
    (lambda: layer(candidates=(mk.Conv,)), "candidates got <class"),
    (lambda: layer(candidates=()), "needs distinct candidates, at least one"),
    (lambda: layer(candidates=(mk.Conv(3), mk.Conv(3))), "needs distinct candidates"),
    (lambda: layer(candidates=(Strange(name="a b"),)), "a block cannot be called 'a b'"),
    (lambda: layer(candidates=(Strange(name=None),)), "a block cannot be called None"),
    (lambda: layer(candidates=(Strange(name="zero"),)), "a block cannot be called 'zero'"),
    (lambda: layer(candidates=(Strange(name="\x07"),)), "the name of a block must be text"),
    (lambda: layer(counts="often"), "counts must be true or false, not 'often'"),
    (lambda: layer(stride=2, candidates=(None, mk.Conv(3))), "cannot be skipped"),
    (lambda: space(layer(), layer()), "needs layers with distinct names"),
    (lambda: space(layers=()), "needs layers with distinct names, at least one"),
    (lambda: space(layers="abc"), "layers must be a list of layers"),
    (lambda: space("body"), "a layer must be a Layer, not 'body'"),
    (lambda: space(name=""), "the name of a space must be text"),
    (lambda: space(resolution=0), "resolution must be a whole number from 1 to 4,096, not 0"),
    (lambda: space(resolution="big"), "resolution must be a whole number"),
    (lambda: space(source=3), "source must be text or None, not 3"),
    (lambda: mk.pocket_space(-1), "resolution must be a whole number from 1 to 4,096, not -1"),
    (lambda: mk.mobilenet_v3_like(1e300), "resolution must be a whole number from 1 to 4,096"),
    (lambda: mk.mobilenet_v3_large(math.inf), "resolution must be a whole number"),
    (lambda: tiny.space().parse(None), "an arch string must be text, not None"),
    (lambda: tiny.space().parse(LONG), "has 1 words: space 'tiny' needs 2"),
    (lambda: tiny.space().parse("k3e1 k4e1"), "unknown choice in layer 'two' 'k4e1'"),
    (lambda: mk.mobilenet_v3_like().parse(3), "an arch string must be text, not 3"),
    (lambda: tiny.space().path("00"), "the choices of a path must be a list"),
    (lambda: tiny.space().path([0]), "has 2 choices, not 1"),
    (lambda: tiny.space().path([0, 0.5]), "has choices 0 to 2, not 0.5"),
    (lambda: tiny.space().path([0, None]), "has choices 0 to 2, not None"),
    (lambda: tiny.space().path([True, 0]), "has choices 0 to 3, not True"),
    (lambda: tiny.space().path([0, 3]), "has choices 0 to 2, not 3"),
    (lambda: tiny.space().cost("k3e1 k3e1"), "must be a Path, not 'k3e1 k3e1'"),
    (lambda: tiny.space().cost(mk.Path((9, 9), "far")), "the path 'far' does not lead through"),
    (lambda: mk.path_costs(None, tiny.space(), {}), "cost model got None, which has no attribute"),
    (lambda: mk.cost_bounds(mk.Parameters(), tiny.space(), 0), "domains must be a whole number"),
    (lambda: mk.sample_at_cost(tiny.space(), mk.Parameters(), 0, 0, None), "target must be a num"),
    (lambda: mk.suite_from_text(None), "data must be text, not None"),
    (lambda: mk.suite_from_text("pocket", "digits"), "domains must be a list of names"),
    (lambda: mk.start_from_text(None), "start must be text, not None"),
    (lambda: mk.start_from_text("lite0()(", trust=True), "cannot be read"),
    (lambda: mk.start_from_text("\0.pth"), "path of a file or folder"),
    (lambda: mk.start_from_text(f"{LONG}.pth"), "file name too long"),
    (lambda: mk.space_from_text("pocket", 0), "resolution must be a whole number"),
    (lambda: mk.space_from_text(3, 32), "space must be text, not 3"),
    # Networks
    (lambda: net().head_of("c"), "unknown domain of this network 'c'"),
    (lambda: net()([mk.Flow("c", torch.zeros(2, 3, 16, 16), PATH)]), "of this network 'c'"),
    (lambda: net()([mk.Flow("a", torch.zeros(2, 1, 16, 16), PATH)]), r"not \(2, 1, 16, 16\)"),
    (lambda: net()([mk.Flow("a", "photo", PATH)]), "must have the shape .* not 'photo'"),
    (lambda: net()([mk.Flow("a", torch.zeros(2, 3, 16, 16), OTHER)]), "'k3e2' in layer 'one' is"),
    (lambda: net(seed=2**70), "seed must be a whole number from 0 to 4,294,967,295"),
    (lambda: net(norm="group"), "norm must be one of .* not 'group'"),
    (lambda: mk.evaluate(None, tiny.suite(), {}, "test"), "net must be a MultiPathNet, not None"),
    (lambda: mk.evaluate(net(), tiny.suite(), {"c": PATH}, "test"), "of this network 'c'"),
    (lambda: mk.evaluate(net(), tiny.suite(), {"a": PATH}, "tset"), "did you mean 'test'"),
    # Blocks
    (lambda: mk.Conv(4), "conv: kernel must be a whole number from 1 to 63, odd, not 4"),
    (lambda: mk.Conv(-3), "kernel must be a whole number from 1 to 63, odd, not -3"),
    (
        lambda: mk.Conv(3, "swish"),
        "activation must be 'relu' or 'relu6' or 'hardswish' or 'identity'",
    ),
    (lambda: SeparableConv(2), "separable_conv: kernel must be"),
    (lambda: mk.InvertedBottleneck(3, 0), "expansion must be a whole number from 1 to 1,000"),
    (lambda: mk.InvertedBottleneck(3, 1, "no"), "se must be true or false, not 'no'"),
    (lambda: mk.InvertedBottleneck(hidden=0), "hidden must be a whole number from 1 to 100,000"),
    (lambda: mk.InvertedBottleneck(None), "kernel must be a whole number .* not None"),
    (lambda: DirectedBlock("up", 0), "direction must be 'row' or 'column' or 'diagonal'"),
    (lambda: cost_of(Strange(None)), "build of block 'strange' returns None: expected a new torch"),
    (lambda: cost_of(Strange(3)), "build of block 'strange' returns 3"),
    (lambda: cost_of(Strange(nn.Flatten())), r"returns torch.float32 of shape \(1, 512\)"),
    (lambda: cost_of(Strange(nn.Conv2d(8, 9, 1))), r"expected a feature map of shape \(1, 8,"),
    (lambda: cost_of(Strange(Constant("map"))), "the module of block 'strange' returns 'map'"),
    (lambda: cost_of(Strange([])), "cannot be hashed"),
    (lambda: lend(None, mk.Conv(3).build(3, 8, 1, nn.BatchNorm2d)), "has no part that could lend"),
    (lambda: lend(nn.Identity(), nn.Identity()), "Identity has no method `borrow`"),
    # Settings and parts
    (lambda: mk.SearchConfig(steps=0), "search: steps must be a whole number from 1 to 10,000,000"),
    (lambda: mk.SearchConfig(seed=-1), "seed must be a whole number from 0 to 4,294,967,295"),
    (lambda: mk.SearchConfig(seed=10**30), "not 1000000000000000000000000000000"),
    (lambda: mk.SearchConfig(seed=LONG), r"not '9+\.\.\.9+' \(5002 characters\)"),
    (lambda: mk.SearchConfig(learning_rate=math.nan), "learning_rate must be a number above 0"),
    (lambda: mk.SearchConfig(learning_rate="1e300"), "up to 1,000,000, not '1e300'"),
    (lambda: mk.SearchConfig(threads=100_000), "threads must be a whole number from 1 to 1,024"),
    (lambda: mk.SearchConfig(reward_share=1), "reward_share must be a number above 0 and below 1"),
    (lambda: mk.SearchConfig(cost_target=-0.0), "cost_target must be a number above 0"),
    (lambda: mk.SearchConfig(cost_target=math.inf), "cost_target must be a number above 0"),
    (lambda: mk.SearchConfig(collapse=1), "collapse must be true or false, not 1"),
    (lambda: mk.SearchConfig(momentum=True), "momentum must be a number from 0 to below 1, not T"),
    (lambda: mk.SearchConfig(momentum=np.ones(2)), "momentum must be a number"),
    (lambda: mk.SearchConfig(momentum=torch.tensor(True)), "momentum must be a number"),
    (lambda: mk.SearchConfig(reward=mk.Absolute), "got the class Absolute: expected an object"),
    (lambda: mk.SearchConfig(reward=3), "reward got 3, which has no method __call__"),
    (lambda: mk.SearchConfig(cost=3), "cost got 3, which has no attribute 'unit'"),
    (lambda: mk.SearchConfig(prioritization=3), "got 3, which has no method begin"),
    (lambda: mk.SearchConfig(memory_budget=0), "memory_budget must be a whole number from 1 to"),
    (lambda: mk.TrainConfig(memory_budget="all"), "memory_budget must be a whole number from 1"),
    (lambda: mk.TrainConfig(memory_budget=9, norm="mixed"), "norm 'mixed' normalises all images"),
    (lambda: mk.SearchConfig(micro_batches=17), "micro_batches must be at most 16, not 17"),
    (lambda: mk.SearchConfig(warmup_share=0.5), "must not exceed controller_delay"),
    (lambda: mk.SearchConfig(two_phases=True, steps=3), "expected at least one step"),
    (
        lambda: mk.search(
            tiny.suite(), tiny.space(), tiny.search_config(exact_cost=True, reward="mnas")
        ),
        "exact_cost needs a reward that is the quality plus a function of the cost, not mnas",
    ),
    (lambda: mk.SearchConfig(landmarks=3), "landmarks must be 0 or at least 4 sets, not 3"),
    (lambda: mk.SearchConfig(landmarks=101), "landmarks must be a whole number from 0 to 100"),
    (lambda: mk.SearchConfig(landmark_weight=1.5), "landmark_weight must be a number from 0 to 1"),
    (lambda: run(landmarks=4), "setting landmarks is 4, and 0 sets of landmarks are given"),
    (lambda: mk.Landmarks([1]), "landmarks: rows must be a DataFrame"),
    (lambda: mk.Landmarks(ROWS.drop(columns="arch")), "rows have no column 'arch'"),
    (lambda: mk.Landmarks(ROWS.assign(score=math.nan)), "'score' needs a finite number"),
    (lambda: mk.Landmarks(ROWS.assign(accuracy="high")), "'accuracy' needs a finite number"),
    (lambda: mk.Landmarks(ROWS.assign(set=0)), "exactly one row for every set and domain"),
    (lambda: mk.Landmarks(ROWS[:5]), "exactly one row for every set and domain"),
    (lambda: mk.Landmarks(ROWS[:0]), "at least one row"),
    (lambda: mk.Landmarks(ROWS[:6]).fit(tiny.space()), "have 3 sets: expected at least 4"),
    (lambda: mk.Landmarks(ROWS).fit("pocket"), "landmarks: space must be a SearchSpace"),
    (lambda: mk.Landmarks(ROWS).fit(mk.planted_space()), "has 2 words"),
    (lambda: mk.Landmarks(ROWS.assign(arch=7)).fit(tiny.space()), "arch string must be text"),
    (lambda: mk.Landmarks(ROWS).fit(tiny.space()).value("z", PATH), "domain with landmarks 'z'"),
    (lambda: mk.Landmarks(ROWS).fit(tiny.space()).value("a", "k3e1"), "must be a Path"),
    (lambda: plan_of(mk.BestLandmarks(), context()), "with the setting landmarks above 0"),
    (lambda: plan_of(mk.BestLandmarks(), context(landmarks=3)), "landmarks must be a Landmarks"),
    (
        lambda: plan_of(mk.BestLandmarks(), context(landmarks=mk.Landmarks(ROWS[::2]))),
        "has no path for domain 'b'",
    ),
    (lambda: mk.TrainConfig(average=1), "average must be a number from 0 to below 1, not 1"),
    (lambda: mk.TrainConfig(evaluate_every=-1), "evaluate_every must be a whole number"),
    (lambda: mk.Absolute(0.1), "absolute: beta must be a number from -10 to 0, not 0.1"),
    (lambda: mk.Mnas("hard"), "mnas: beta must be a number from -10 to 0, not 'hard'"),
    (lambda: mk.MnasHard(-math.inf), "beta must be a number from -10 to 0, not -inf"),
    (lambda: mk.Linear(0.1), "linear: beta must be a number from -10 to 0, not 0.1"),
    (lambda: mk.ABDP(start=1e-300), "start must be a number from 1e-06 to 1e.06, or infinity"),
    (lambda: mk.ABDP(end=-math.inf), "end must be a number from 1e-06"),
    (lambda: mk.DWA(epoch=0), "dwa: epoch must be a whole number from 1"),
    (lambda: mk.FAMO(rate=None), "famo: rate must be a number above 0 and up to 100, not None"),
    (lambda: mk.SinglePath(frozen=2), "single_path: frozen must be true or false, not 2"),
    (lambda: mk.SinglePath(path=3), "single_path: path must be text or None, not 3"),
    (lambda: mk.Backbone(tuned="some"), "backbone: tuned must be 'all' or 'norms' or 'heads'"),
    (lambda: mk.Backbone(shared="no"), "backbone: shared must be true or false, not 'no'"),
    (lambda: mk.Backbone(path=3), "backbone: path must be text or None, not 3"),
    (lambda: mk.Run("never made", start=3), "start must be a Start, not 3"),
    (lambda: mk.SharedTrunk(path=[]), "shared_trunk: path must be text or None"),
    (lambda: mk.PrivateLayers(-1), "private layers: until must be a whole number"),
    (lambda: mk.PrivateLayers(since=1.5), "private layers: since must be a whole number"),
    (lambda: mk.MPNAS(private_until=-1), "mpnas: private_until must be a whole number"),
    (lambda: mk.SharedTrunk(private_from=-1), "shared_trunk: private_from must be a whole number"),
    (lambda: mk.Bundle(scale=-1), "bundle: scale must be a number above 0"),
    (lambda: mk.Bundle(scale=True), "bundle: scale must be a number above 0"),
    (lambda: mk.SearchConfig(cost_scale=0), "cost_scale must be a number above 0"),
    (lambda: mk.RandomPaths(match="cheap"), "random_paths: match must be 'cost' or 'size'"),
    (lambda: mk.SinglePath(match=1), "single_path: match must be 'cost' or 'size'"),
    (lambda: mk.SinglePath(pretrained=2), "single_path: pretrained must be true or false or None"),
    (lambda: mk.RandomPaths(-1), "random_paths: draw must be a whole number from 0"),
    (lambda: mk.TrainConfig(kernels="fast"), "kernels must be 'auto' or 'native' or 'eager'"),
    (lambda: mk.device_named("meta"), "device 'meta' cannot be used here"),
    (lambda: mk.device_named("cuda:99"), "device 'cuda:99' cannot be used here"),
    (lambda: mk.device_named("hpu", "bfloat16"), "device 'hpu' cannot be used here with precision"),
    (lambda: mk.device_named(3), "device must be text or None, not 3"),
    # What code of a person returns
    (lambda: run(reward=reward(1.0)), "step 1: the reward .* returns 1.0: expected a tensor"),
    (lambda: run(reward=reward(lambda q: q.sum())), "expected a tensor with a finite number"),
    (lambda: run(reward=reward(lambda q: q * math.nan)), "returns .*nan"),
    (lambda: run(reward=reward(lambda q: q * 1e300 + 1e300)), "at most 1e15"),
    (lambda: run(reward=reward(lambda q: q > 0)), "expected a tensor with a finite number"),
    (lambda: run(reward=reward(None)), "returns None"),
    (lambda: run(prioritization=weights(None)), r"the prioritization \(Mine\) returns None"),
    (lambda: run(prioritization=weights({"a": 1.0})), "gives domain 'b' the weight None"),
    (lambda: run(prioritization=weights({"a": 1.0, "b": math.nan})), "'b' the weight nan"),
    (lambda: run(prioritization=weights({"a": -1.0, "b": 1.0})), "'a' the weight -1.0"),
    (lambda: run(prioritization=weights({"a": "1", "b": 1.0})), "'a' the weight '1'"),
    (lambda: run(prioritization=BeginsWith(None)), "returns None, which has no method weights"),
    (lambda: run(prioritization=BeginsWith(mk.DomainWeights)), "which has no state"),
    (lambda: mk.search(tiny.suite(), with_block(Strange()), tiny.search_config()), "returns None"),
    (lambda: plan_of(Plans(None), context()), "returns None: expected a Plan"),
    (lambda: plan_of(Plans(mk.Plan({})), context()), "has no path for domain 'a'"),
    (lambda: mk.Plan({"a": "k3e1 k3e1"}), "the path of domain 'a' must be a Path"),
    (lambda: mk.Plan(pretrained="yes"), "plan: pretrained must be true or false"),
    # Calls
    (lambda: mk.search("pocket", tiny.space()), "suite must be a DomainSuite, not 'pocket'"),
    (lambda: mk.search(tiny.suite(), "pocket"), "space must be a SearchSpace, not 'pocket'"),
    (lambda: mk.search(tiny.suite(), tiny.space(), {"steps": 3}), "config must be a SearchConfig"),
    (lambda: mk.search(tiny.suite(), tiny.space(), mk.TrainConfig()), "must be a SearchConfig"),
    (lambda: mk.train(tiny.suite(), tiny.space(), ["k3e1 k3e1"]), "paths must be a dict"),
    (lambda: mk.train(tiny.suite(), tiny.space(), {"a": "k3e1 k3e1"}), "must be a Path"),
    (lambda: mk.train(tiny.suite(), tiny.space(), {}), "has no domains"),
    (lambda: mk.Context(tiny.space(), ("a",), None), "context: search must be a SearchConfig"),
    (lambda: mk.analysis.architecture_graph(tiny.space(), {"a": "x"}), "must be a Path, not 'x'"),
    (lambda: mk.analysis.work_of(tiny.space(), 0, mk.TrainConfig()), "domains must be a whole"),
    (lambda: mk.analysis.work_of(tiny.space(), 1, None), "config must be a StageConfig"),
    (
        lambda: mk.analysis.Answer.of("runs/mine"),
        "comparison must be a Comparison, not 'runs/mine'",
    ),
    (lambda: mk.analysis.check_claims("runs/mine"), "comparison must be a Comparison, not 'runs/m"),
    (lambda: mk.analysis.check_claims(COMPARED), "the comparison has no runs: expected at least"),
    (lambda: mk.analysis.check_claims(COMPARED, run=""), "check_claims: run must be text"),
    (lambda: mk.analysis.Side(norm="none"), "side: norm must be 'per_domain'"),
    (lambda: mk.analysis.Side("random_paths(draw"), "cannot be read: expected name"),
    (lambda: mk.analysis.Claim(""), "claim: sentence must be text"),
    (lambda: mk.analysis.Claim("x", expected="about 3"), "expected must be a relation and a numb"),
    (lambda: mk.analysis.Claim("x", expected="> nan"), "expected must be a relation and a number"),
    (lambda: mk.analysis.Claim("x", second="bundle"), "claim: second must be a Side, not 'bundle'"),
    (lambda: mk.analysis.Claim("x", measure="speed"), "claim: measure must be 'accuracy' or"),
    (lambda: mk.analysis.Claim("x", only="scene"), "claim: only must be a list of names of domain"),
    (
        lambda: mk.analysis.Claim("x", measure="bytes", without=("scene",)),
        "bytes is that of a whole network",
    ),
    (lambda: mk.analysis.Answer.of(COMPARED, 3), "Answer.of: approach must be text"),
    (lambda: mk.analysis.Answer.of(COMPARED, "mpnsa"), "no run of mpnsa: it has no runs"),
    (lambda: mk.plots.size_and_accuracy(COMPARED, "mpnas"), "answer must be a Answer, not 'mpnas'"),
    (lambda: mk.analysis.estimate([], [0], 1, 1), "a number of devices must be a whole number"),
    (lambda: mk.analysis.estimate([], [1], 0, 1), "speed must be a number from 0.001"),
    (lambda: mk.analysis.random_paths(tiny.space(), -1), "count must be a whole number"),
    (lambda: mk.analysis.jaccard_matrix(tiny.space(), {"a": PATH}, pairs=0), "pairs must be"),
    (lambda: mk.analysis.matched_matrix(tiny.space(), {}), "got no paths"),
    (lambda: mk.analysis.matched_matrix(tiny.space(), {"a": PATH}, draws=0), "draws must be"),
    (lambda: mk.analysis.mantel("x", "x"), "mantel: a matrix must be a DataFrame"),
    (lambda: mk.analysis.mantel(TABLE, TABLE, most=3), "most must be a whole number from 100"),
    (lambda: mk.analysis.mantel(TABLE, TABLE.T * 2), "one number per pair"),
    (lambda: mk.analysis.relate("x", TABLE, TABLE), "transfer must be a Transfer, not 'x'"),
    (lambda: mk.analysis.Transfer(TABLE, "k3e1", 3), "no column 'domain'"),
    (lambda: mk.analysis.move(tiny.space(), "k3e1 k3e1", 1, "k3e2"), "must be a Path, not 'k3e1"),
    (lambda: mk.analysis.move(tiny.space(), PATH, 1.0, "k3e2"), "layer must be the index of a la"),
    (lambda: mk.analysis.move(tiny.space(), PATH, 1, None), "unknown block in layer 'one'"),
    (lambda: mk.analysis.path_sizes(tiny.space(), [PATH]), "paths must be a dict"),
    (lambda: mk.analysis.path_sizes(tiny.space(), {"a": "x"}), "must be a Path, not 'x'"),
    (lambda: mk.analysis.path_sizes(tiny.space(), {"a": PATH}, 3), "cost model got 3"),
    (
        lambda: mk.analysis.path_sizes(tiny.space(), {"a": PATH}, private=2),
        "private must be a PrivateLayers",
    ),
    (
        lambda: mk.analysis.layer_policies(tiny.space(), np.zeros((1, 2, 3))),
        r"policy must have the shape \(snapshots, domains, 2, 4\)",
    ),
    (lambda: mk.widgets.PathExplorer(tiny.space(), []), "one snapshot per step, at least one"),
    (lambda: mk.widgets.PathExplorer.of("runs/x"), "found must be a SearchResult"),
    (lambda: mk.analysis.images_at(domain(), "test", [9]), "whole numbers from 0 to 5"),
    (lambda: mk.analysis.accuracy_front(COMPARED), "the comparison has no runs"),
    (lambda: mk.plots.pareto(COMPARED, bars="sd"), "the comparison has no runs"),
    (lambda: mk.Merged(share="half"), "merged: share must be a number"),
    (
        lambda: mk.Front((mk.FrontPoint({"a": PATH}, 5, 0.5),), 1).at("many"),
        "front.at: parameters must be a number",
    ),
    (lambda: mk.analysis.ranking("runs/mine"), "comparison must be a Comparison, not 'runs/mine'"),
    (lambda: mk.analysis.ranking(COMPARED), "the comparison has no runs: expected at least one"),
    (lambda: mk.analysis.of_domain(COMPARED, "digits"), "unknown domain of this comparison"),
    (lambda: mk.widgets.ResultsExplorer(COMPARED), "the comparison has no runs"),
    (lambda: mk.widgets.ResultsExplorer(None), "comparison must be a Comparison, not None"),
    (lambda: mk.widgets.SimilarityExplorer("runs/mine"), "found must be a SearchResult"),
    (lambda: mk.widgets.SearchMonitor.of("runs/x"), "found must be a SearchResult, not 'runs/x'"),
    (lambda: mk.widgets.TrainMonitor.of(None), "trained must be a TrainResult, not None"),
    (lambda: mk.widgets.TrainMonitor(["a", "a"]), "domains must be distinct"),
    (lambda: mk.widgets.PrioritizationExplorer("runs/x"), "trained must be a TrainResult, not 'ru"),
    (lambda: mk.widgets.watch("/none"), "expected a run folder"),
    (lambda: mk.widgets.watch(3), "must be"),
    (lambda: mk.widgets.watch("/none", "serch"), "unknown stage 'serch'.* did you mean 'search'"),
    (lambda: mk.widgets.DomainBrowser("digits"), "suite must be a DomainSuite, not 'digits'"),
    (lambda: mk.plots.path_spread(read_path_spread(), "digts"), "did you mean 'digits'"),
    (lambda: mk.plots.path_spreads(read_path_spread(), columns=0), "at least one column, not 0"),
    (lambda: mk.hub(3), "path of the images must be text or a path"),
    (lambda: mk.hub("/none"), "there is no folder /none"),
    (lambda: mk.hub({"x": None}), "must be text or a path"),
    (lambda: mk.hub("/none", label=3), "hub: label must be text or None, not 3"),
    (lambda: mk.hub("/none", image=""), "image must be text without line breaks"),
    (lambda: mk.hub("/", domains=[]), "domains has no names: expected at least one"),
    (lambda: mk.folders("/", domains=()), "domains has no names: expected at least one"),
    (lambda: mk.hub("/none", channels=2), "hub: channels must be 1 or 3 or None"),
    (lambda: mk.decathlon("/none"), "there is no folder /none"),
    (lambda: mk.decathlon("/none", official_val=3), "official_val must be 'test' or 'val' or"),
    (lambda: mk.submit("runs/mine", "/none", "x.zip"), "model must be a Model, not 'runs/mine'"),
    (lambda: mk.analysis.decathlon_score("dtd"), "accuracies must be a dict"),
    (lambda: mk.analysis.decathlon_score({"dtd": 2}), "accuracy of 'dtd' must be a number from 0"),
    # trackers and tables
    (lambda: mk.Joblib(jobs=0), "joblib: jobs must be a whole number from 1 to 1,024"),
    (lambda: mk.Dask(scheduler=8786), "dask: scheduler must be text"),
    (lambda: mk.Slurm(mem_gb=0), "slurm: mem_gb must be a number above 0"),
    (lambda: mk.Slurm(options={"account": None}), "options must be a dict of options of sbatch"),
    (lambda: mk.TensorBoard(folder=3), "tensorboard: folder must be text"),
    (lambda: mk.TensorBoard(pictures_every=0), "pictures_every must be .* from 1 to"),
    (lambda: mk.MLflow(uri=3), "mlflow: uri must be text"),
    (lambda: mk.MLflow(experiment=""), "mlflow: experiment must be text"),
]


@pytest.mark.parametrize("index", range(len(CALLS)))
def test_a_wrong_call_gives_one_sentence(index: int) -> None:
    call, words = CALLS[index]
    with pytest.raises(mk.MpnasError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 900


TEXTS: list[tuple[Any, str, str]] = [
    (REWARD, "", "unknown reward ''"),
    (REWARD, "  ", "unknown reward '  '"),
    (REWARD, "absolute(", "cannot be read"),
    (REWARD, "absolute)", r"unknown reward 'absolute\)'"),
    (REWARD, "absolute()()", "cannot be read"),
    (REWARD, "absolute().beta", "cannot be read"),
    (REWARD, "absolute(-0.1)", "cannot be read"),
    (REWARD, "absolute(**{'beta': 1})", "cannot be read"),
    (REWARD, "absolute(beta=)", "cannot be read"),
    (REWARD, "absolute(beta=-0.1, beta=-0.2)", "gives the option 'beta' twice"),
    (REWARD, "absolute(bate=-0.1)", "unknown option of absolute 'bate': did you mean 'beta'"),
    (REWARD, "absolute(beta=[1])", r"beta must be a number from -10 to 0, not \[1\]"),
    (REWARD, "absolute(beta={[]: 1})", "cannot be read"),
    (REWARD, "absolute(beta={'a': 1})", "beta must be a number"),
    (REWARD, "absolute(beta=True)", "beta must be a number from -10 to 0, not True"),
    (REWARD, "absolute(beta=None)", "beta must be a number from -10 to 0, not None"),
    (REWARD, "absolute(beta=1e999)", "beta must be a number from -10 to 0, not inf"),
    (REWARD, "absolute(beta=-inf)", "beta must be a number from -10 to 0, not -inf"),
    (REWARD, "absolute(beta=nan)", "cannot be read"),
    (REWARD, f"absolute(beta={LONG})", "cannot be read"),
    (REWARD, f"absolute(beta={'(' * 500}1{')' * 500})", "cannot be read"),
    (REWARD, f"absolute(beta={'-' * 5000}1)", "cannot be read"),
    (REWARD, f"absolute(beta={'[' * 90}{']' * 90})", "beta must be a number"),
    (REWARD, "absolute(beta=-1\x00)", "cannot be read"),
    (REWARD, "äbsolute", "unknown reward 'äbsolute'"),
    (REWARD, "abs\x1b[31molute", r"unknown reward 'abs\\x1b\[31molute'"),
    (REWARD, "absolute(beta=__import__('os'))", "cannot be read"),
    (REWARD, "x" * 5000, r"\(5002 characters\)"),
    (REWARD, "a\x00b.py:reward", "must be text without line breaks and control characters"),
    (REWARD, "no_such_module:reward", "there is no module 'no_such_module'"),
    (REWARD, ".relative:reward", "cannot be imported"),
    (REWARD, f"{'x' * 300}.py:reward", "does not exist"),
    (REWARD, "~nobody_at_all/own.py:reward", "does not exist"),
    (REWARD, "math:no_such_name", "unknown name in math 'no_such_name'"),
    (REWARD, "math:pi", "has no method __call__"),
    (PRIORITIZATION, "abdp(", "cannot be read"),
    (PRIORITIZATION, "abdp(schedule=['linear'])", "schedule must be 'exponential' or 'linear'"),
    (PRIORITIZATION, "abdp(start=0)", "abdp: start must be a number from 1e-06"),
    (PRIORITIZATION, "boosted(normalise='no')", "normalise must be true or false, not 'no'"),
    (PRIORITIZATION, "dwa(epoch=2.5)", "epoch must be a whole number"),
    (APPROACH, "random_paths(draw=-1)", "draw must be a whole number from 0"),
    (APPROACH, "single_path(path=[])", "path must be text or None"),
]


@pytest.mark.parametrize("index", range(len(TEXTS)))
def test_a_wrong_text_gives_one_sentence(index: int) -> None:
    kind, text, words = TEXTS[index]
    with pytest.raises(mk.MpnasError, match=words) as refused:
        kind.parse(text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 900
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": "1" * 5000}, "steps must be a whole number"),
        ({"steps": ""}, "steps must be a whole number"),
        ({"steps": b"3"}, "steps must be a whole number"),
        ({"steps": [3]}, "steps must be a whole number"),
        ({"reward": b"absolute"}, "reward got b'absolute'"),
        ({"stepz\n": 3}, "unknown parameter"),
        ({"x" * 5000: 3}, "unknown parameter"),
    ],
)
def test_a_wrong_value_of_a_config_gives_one_sentence(values: Any, words: str) -> None:
    with pytest.raises(mk.MpnasError, match=words) as refused:
        from_dict(mk.SearchConfig, values)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 900
