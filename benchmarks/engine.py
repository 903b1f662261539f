"""Measure the speed of the engine and where its time goes: ratios of times, as table and JSON.

    python benchmarks/engine.py [--repeats 7] [--json FILE]      # about seven minutes

Each line is a ratio A / B of two times that are measured in turn, `repeats` times. Printed are the
median, smallest and largest ratio. Search steps are those of the ten pocket domains after the
warm-up: 32 images per domain, 4 sampled paths of 32 reward images, random paths, one thread. Below,
"A over B" names the two times.

- step: the obvious loop (`obvious.py`, with torch's own depthwise gradients) over a step of the
  engine. step channels-last: the same, with maps and kernels of the loop channels-last too.
- depthwise: a training step of MobileNetV3-Large at 32 pixels with torch's own depthwise gradients
  over one with those of the kit. The narrow blocks of the pocket space gain no time from them.
- pages: a training step of ten domains on a path with 5 x 5 kernels if glibc gives large blocks of
  memory back at once, over one if it keeps them.
- threads: that step with two threads over one thread. threads 128, threads 224: the same for a
  training step of MobileNetV3-Large on 8 images of 128 or 224 pixels.
- busy: that step while another process keeps a core busy, over one without it.
- floor: a search step over the sum of its convolutions, batch norms and activations. Each of them
  is measured alone, with the shapes it has in the step; its best time of ten counts.
- pieces: a search step in which a node processes four times as many bytes at once, over one as it
  is.
- compiled: a training step of one block with `torch.compile` over one without. It needs a C++
  compiler.
- input: time to draw and augment batches, as a share of a search step.
- checkpoint: time of one checkpoint every 100 steps, as a share of those steps.
- domains: time per domain of a training step with 80 domains on one path, over that with 10.
- candidates: a search step with 64 equal candidates per layer over one with 4. candidates met: the
  same, if policies choose only 4 of the 64, so that as many flows meet in a node. candidates
  memory: growth of the peak memory of the process over growth of weights, momenta and gradients.
- inference 1, inference 64: the path of a domain in a union of ten over the same path alone, with
  batches of 1 and 64 images.

After the table: shares of the time of a search step, and the values that `step` and `floor` would
have if everything except calls into torch took no time.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import cProfile
import json
import os
import pstats
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import torch
import torch.nn.functional as F
from obvious import obvious_step
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.engine.step import set_rate
from mpnas_kit.network import maps
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.data import divide
from mpnas_kit.search.stage import _Search
from mpnas_kit.space import strips
from mpnas_kit.space.blocks import InvertedBottleneck
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.space import LayerwiseSpace, Path, SearchSpace
from mpnas_kit.space.spaces import mobilenet_v3_large, pocket_space

DOMAINS: dict[str, Task] = {f"domain{i}": Classification(10) for i in range(10)}
MANY: dict[str, Task] = {f"domain{i}": Classification(10) for i in range(80)}
ARCH = "k5e2 k5e2 k5e2 zero k5e4 k5e2 k5e2 k5e4 k5e2 k5e2"
COUNTED = ("conv", "batch_norm", "hardswish", "relu", "hardsigmoid")
KINDS = {
    "convolutions forward": ("method torch.conv2d",),
    "backward": ("run_backward", "convolution_backward"),
    "batch norms forward": ("method torch.batch_norm",),
    "activations forward": ("hardswish", "method relu", "hardsigmoid"),
    "copies": ("method torch.cat", "contiguous", "copy_", "pad}"),
}
GOALS = {
    "step": ("at least", 2.5),
    "busy": ("at most", 3.0),
    "floor": ("at most", 1.4),
    "input": ("at most", 0.05),
    "checkpoint": ("at most", 0.03),
    "domains": ("at most", 1.05),
    "candidates": ("at most", 1.10),
    "inference 1": ("at most", 1.03),
    "inference 64": ("at most", 1.03),
}


def seconds(action: Callable[[], Any], times: int = 3) -> float:
    """Return the median time of an action in seconds, after one run that does not count."""
    action()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


class Steps:
    """A search on the pocket domains after its warm-up: steps of the engine and of the loop."""

    def __init__(self, space: SearchSpace | None = None) -> None:
        suite, space = pocket(), space or pocket_space()
        self.config = SearchConfig(steps=100, cost_target=0.45e6, prioritization=Uniform())
        parts = divide(suite, self.config.reward_share, 0)
        self.stage = _Search(
            parts, space, self.config, dict.fromkeys(parts, 0.45e6), None, None, Compute()
        )
        self.stage.step = 60

    def engine(self) -> None:
        """Run a step of the engine."""
        self.stage.advance()

    def loop(self, memory_format: torch.memory_format) -> None:
        """Run a step of the obvious loop. The controllers are updated as in the engine."""
        stage, count = self.stage, self.config.paths_per_step

        def batches(streams: Any) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
            drawn = {d: streams[d].next().take() for d in stage.domains}
            return {
                d: (x.contiguous(memory_format=memory_format), y) for d, (x, y) in drawn.items()
            }

        own = stage.controllers.sample(stage.domains, 1, stage.generator)
        paths = {d: paths[0] for d, paths in own.items()}
        sampled = stage.controllers.sample(stage.domains, count, stage.generator)
        set_rate(stage.optimiser, 0.01)
        qualities = obvious_step(
            stage.net,
            stage.optimiser,
            batches(stage.streams),
            paths,
            batches(stage.reward_streams),
            sampled,
            self.config.label_smoothing,
        )
        rewards = {d: torch.tensor(q, dtype=torch.float64) for d, q in qualities.items()}
        stage.controllers.update(stage.step, sampled, rewards)

    @contextmanager
    def stock(self, memory_format: torch.memory_format) -> Iterator[None]:
        """Inside, kernels have this format, and depthwise convolutions use torch's gradients."""
        strip = strips._STRIP
        strips._STRIP = 1 << 30
        self._kernels(memory_format)
        yield
        strips._STRIP = strip
        self._kernels(torch.channels_last)

    def _kernels(self, memory_format: torch.memory_format) -> None:
        for parameter in (p for p in self.stage.net.parameters() if p.ndim == 4):
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
        self.stage.optimiser.state.clear()


@dataclass(frozen=True)
class Twin(InvertedBottleneck):
    """A block that differs from its twins in the name only.

    twin: number of the twin.
    """

    twin: int = 0

    @property
    def name(self) -> str:
        """Name of the block and number of the twin."""
        return f"{super().name}t{self.twin}"


def twins(candidates: int) -> SearchSpace:
    """Return the pocket space with `candidates` twins of one block in every searched layer."""
    blocks = tuple(Twin(5, 2, twin=i) for i in range(candidates))
    layers = [
        layer if len(layer.candidates) == 1 else replace(layer, candidates=blocks)
        for layer in pocket_space().layers
    ]
    return LayerwiseSpace(f"twins{candidates}", layers, 32)


def memory_of_twins(candidates: int) -> tuple[int, int]:
    """Return the peak memory after some steps, and that of weights, momenta and gradients; bytes.

    Each call needs a new process, because the peak of a process never falls.
    """
    steps = Steps(twins(candidates))
    for _ in range(8):
        steps.engine()
    weights = sum(p.numel() * p.element_size() for p in steps.stage.net.parameters())
    peak = re.search(r"VmHWM:\s+(\d+) kB", FilePath("/proc/self/status").read_text())
    assert peak is not None
    return 1024 * int(peak[1]), 3 * weights


class Record(TorchDispatchMode):
    """Record the calls that count for the floor: one per kind and shapes, and their number."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[Any, list[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in func._schema.name for name in COUNTED):
            shapes = [
                (tuple(x.shape), x.stride()) if isinstance(x, torch.Tensor) else x
                for x in tree_leaves((args, kwargs or {}))
            ]
            entry = self.calls.setdefault((func, str(shapes)), [0, args, kwargs or {}])
            entry[0] += 1
        return func(*args, **(kwargs or {}))


def floor_seconds(step: Callable[[], None]) -> float:
    """Return the sum of the best times of the counted calls of a step, each measured alone."""
    record = Record()
    with record:
        step()
    total = 0.0
    with torch.no_grad():
        for (func, _), (count, args, kwargs) in record.calls.items():
            args, kwargs = tree_map(
                lambda x: x.detach() if isinstance(x, torch.Tensor) else x, (args, kwargs)
            )
            best = min(seconds(lambda f=func, a=args, k=kwargs: f(*a, **k), 1) for _ in range(10))
            total += count * best
    return total


def shares(step: Callable[[], None], steps: int = 8) -> dict[str, float]:
    """Return the shares of the time of a step by kind of call.

    Python's profiler measures them; it makes a step a few percent slower.
    """
    step()
    profiler = cProfile.Profile()
    profiler.runcall(lambda: [step() for _ in range(steps)])
    stats: Any = pstats.Stats(profiler)
    found = dict.fromkeys([*KINDS, "other calls into torch", "Python"], 0.0)
    for (file, _, name), (_, _, own, _, _) in stats.stats.items():
        default = "other calls into torch" if file == "~" else "Python"
        kinds = (kind for kind, names in KINDS.items() if any(n in name for n in names))
        found[next(kinds, default)] += own
    return {kind: taken / sum(found.values()) for kind, taken in found.items()}


def training_step(domains: dict[str, Task] = DOMAINS) -> Callable[[], None]:
    """Return a step: forward and backward pass of these domains on a path with 5 x 5 kernels."""
    space = pocket_space()
    return _training_step(space, space.parse(ARCH), domains)


def large_step(resolution: int = 32, batch: int = 32) -> Callable[[], None]:
    """Return the same step for two domains on MobileNetV3-Large."""
    space, two = mobilenet_v3_large(resolution), {"first": 10, "second": 10}
    return _training_step(space, space.extremes(MultiplyAdds().price)[0], two, batch)


def _training_step(
    space: SearchSpace, path: Path, domains: dict[str, int], batch: int = 32
) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    net = MultiPathNet.of_paths(space, dict.fromkeys(domains, path), domains, "per_domain", 0)
    size = space.resolution
    images = torch.randn(batch, 3, size, size, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), generator=generator)

    def step() -> None:
        logits = net([Flow(d, images, path) for d in domains])
        torch.autograd.backward(torch.stack([F.cross_entropy(x, labels) for x in logits]).sum())

    return step


def pieces_ratio(step: Callable[[], None]) -> float:
    """Return the time with pieces of four times the size over the time with those of the kit."""
    ours, maps.CHUNK = seconds(step), 4 * maps.CHUNK
    larger = seconds(step)
    maps.CHUNK //= 4
    return larger / ours


def compiled_ratio() -> float:
    """Return the time of a training step of a 5 x 5 block, compiled over eager.

    The block is one from the middle of the pocket space.
    """
    block = InvertedBottleneck(5, 4, activation="hardswish")
    module = block.build(16, 16, 1, torch.nn.BatchNorm2d).to(memory_format=torch.channels_last)
    x = torch.randn(32, 16, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    eager, compiled = (
        seconds(lambda f=f: f(x).sum().backward(), 100) for f in (module, torch.compile(module))
    )
    return compiled / eager


def in_a_process(what: str, **environment: str) -> Any:
    """Run this file in a new process, and return what it prints.

    what: an option. environment: environment variables.
    """
    done = subprocess.run(
        [sys.executable, __file__, what],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def memory_ratio() -> float:
    """Return the growth of memory from 4 to 64 candidates over that of weights and their state."""
    (few, own), (many, theirs) = (
        in_a_process(f"--twins={n}", MALLOC_TOP_PAD_="131072") for n in (4, 64)
    )
    return float((many - few) / (theirs - own))


def inference(batch: int) -> float:
    """Return the time of a path in a union of ten over its time alone."""
    space, generator = pocket_space(), torch.Generator().manual_seed(1)
    paths = {d: space.sample(generator) for d in DOMAINS}
    first = next(iter(paths))
    nets = [
        MultiPathNet.of_paths(
            space, chosen, dict.fromkeys(chosen, Classification(10)), "per_domain", 0
        ).eval()
        for chosen in (paths, {first: paths[first]})
    ]
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    taken: list[list[float]] = [[], []]
    with torch.no_grad():
        for _ in range(40):  # in turn, because the speed of the machine changes within 0.1 s
            for net, times in zip(nets, taken, strict=True):
                times.append(seconds(lambda n=net: n([Flow(first, images, paths[first])]), 3))
    union, alone = map(statistics.median, taken)
    return union / alone


def checkpoint_seconds(steps: Steps) -> float:
    """Return the time to write one checkpoint of the search, in seconds."""
    with tempfile.TemporaryDirectory() as place:
        folder = StageFolder.open(FilePath(place) / "run", {})
        taken = seconds(lambda: steps.stage.checkpoint(folder))
        folder.close()
    return taken


def busy_ratio(step: Callable[[], None]) -> float:
    """Return the time of a step while another process keeps a core busy, over one without it."""
    alone = seconds(step)
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        return seconds(step) / alone
    finally:
        other.kill()
        other.wait()


def threads_ratio(step: Callable[[], None]) -> float:
    """Return the time of a step with two threads over one thread."""
    one = seconds(step)
    torch.set_num_threads(2)
    two = seconds(step)
    torch.set_num_threads(1)
    return two / one


def depthwise_ratio(step: Callable[[], None]) -> float:
    """Return the time of a step with torch's depthwise gradients over those of the kit."""
    ours, strip = seconds(step), strips._STRIP
    strips._STRIP = 1 << 30
    stock = seconds(step)
    strips._STRIP = strip
    return stock / ours


def measure(repeats: int) -> dict[str, list[float]]:
    """Return the ratios of every line, one per repeat."""
    ratios: dict[str, list[float]] = {}

    def note(**found: float) -> None:
        for name, value in found.items():
            ratios.setdefault(name.replace("_", " "), []).append(value)

    steps, large = Steps(), large_step()
    some, lots, met = Steps(twins(4)), Steps(twins(64)), Steps(twins(64))
    for policy in map(met.stage.controllers.__getitem__, met.stage.domains):
        policy.logits.data[:, 4:] = -1e4
    training, many = training_step(), training_step(MANY)
    for warm in (some, lots, met):
        seconds(warm.engine, 8)  # after these steps nearly all nodes have their momenta
    for _ in range(repeats):
        engine = seconds(steps.engine)
        with steps.stock(torch.contiguous_format):
            obvious = seconds(lambda: steps.loop(torch.contiguous_format))
        with steps.stock(torch.channels_last):
            last = seconds(lambda: steps.loop(torch.channels_last))
        note(**{"step": obvious / engine, "step channels-last": last / engine})
        note(depthwise=depthwise_ratio(large))
        # glibc's default; because it is set, the kit does not set others
        step = "--training-step"
        note(pages=in_a_process(step, MALLOC_TOP_PAD_="131072") / in_a_process(step))
        note(threads=threads_ratio(training), busy=busy_ratio(training))
        for size in (128, 224):
            note(**{f"threads {size}": threads_ratio(large_step(size, 8))})
        note(domains=seconds(many) / len(MANY) / (seconds(training) / len(DOMAINS)))
        few = seconds(some.engine, 7)
        note(candidates=seconds(lots.engine, 7) / few)
        note(candidates_met=seconds(met.engine, 7) / few)
        note(candidates_memory=memory_ratio())
        note(floor=engine / floor_seconds(steps.engine))
        note(pieces=pieces_ratio(steps.engine), compiled=compiled_ratio())
        streams = (*steps.stage.streams.values(), *steps.stage.reward_streams.values())
        note(input=seconds(lambda s=streams: [x.next().take() for x in s]) / engine)
        note(checkpoint=checkpoint_seconds(steps) / (100 * engine))
        note(inference_1=inference(1), inference_64=inference(64))
    return ratios


def main() -> None:
    """Measure and print the table; with --json also write the ratios and shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--training-step", action="store_true", help="print only its seconds")
    parser.add_argument("--twins", type=int, help="print only memory, with so many candidates")
    given = parser.parse_args()
    with reproducible(1, 32):
        if given.training_step:
            print(seconds(training_step(), 5))
            return
        if given.twins:
            print(json.dumps(memory_of_twins(given.twins)))
            return
        ratios, where = measure(given.repeats), shares(Steps().engine)
    print(f"{'line':20} {'median':>8} {'least':>8} {'most':>8}  goal")
    for name, values in ratios.items():
        figures = (statistics.median(values), min(values), max(values))
        goal = f"{GOALS[name][0]} {GOALS[name][1]:g}" if name in GOALS else ""
        print(f"{name:20} {figures[0]:8.3f} {figures[1]:8.3f} {figures[2]:8.3f}  {goal}".rstrip())
    print("\nwhere a search step spends its time")
    for kind, share in where.items():
        print(f"{kind:22} {share:6.1%}")
    in_torch = 1 - where["Python"]
    step, floor = (statistics.median(ratios[name]) for name in ("step", "floor"))
    print(f"without Python: step {step / in_torch:.2f}, floor {floor * in_torch:.2f}")
    if given.json:
        content = {"ratios": ratios, "shares": where}
        FilePath(given.json).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
