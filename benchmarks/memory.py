"""Measure the memory of a training step with and without a memory budget.

    python benchmarks/memory.py [--budget 1000] [--resolution 128] [--space lite0]   # three minutes

The step is that of four domains on the original network of a space, 32 images each. In the last
line the budget is the least that holds, so the backward pass computes the maps inside of layers
again. Every line is a process of its own, because the peak of a process never falls: growth of its
peak memory over the steps, in MB, the feature maps that the kit expects, and the CPU time of a step
over that without a budget.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import torch

from mpnas_kit.domains.batches import Drawn, Source, Standard
from mpnas_kit.domains.split import TensorSplit
from mpnas_kit.domains.task import Classification
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.memory import MB, MemoryBudget, maps_per_image, step_maps
from mpnas_kit.engine.step import optimiser_of, set_rate, weighted_step
from mpnas_kit.kernels.library import Kernels, usable
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.space.layers import Path as SpacePath
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import space_from_text
from mpnas_kit.training.config import TrainConfig

DOMAINS, IMAGES, STEPS = 4, 32, 4


def peak() -> int:
    """Return the peak memory of this process so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def network(text: str, resolution: int) -> tuple[SearchSpace, SpacePath]:
    """Return a space and the path of its original network."""
    space = space_from_text(text, resolution)
    return space, space.original or space.parse("")


def flow(text: str, resolution: int) -> Flow:
    """Return a batch without data."""
    images = torch.empty(IMAGES, 3, resolution, resolution, device="meta")
    return Flow("domain0", images, network(text, resolution)[1])


def least_budget(text: str, resolution: int) -> int:
    """Return the smallest budget that holds, in MB."""
    space, _ = network(text, resolution)
    return math.ceil(4 * step_maps(space, [flow(text, resolution)]).least / MB)


def measure(
    budget: int | None, text: str, resolution: int, prioritization: Any, kernels: Kernels
) -> dict[str, float]:
    """Return the growth of the peak memory, the expected maps (MB), and the seconds of a step."""
    torch.set_num_threads(1)
    space, path = network(text, resolution)
    tasks = {f"domain{i}": Classification(10) for i in range(DOMAINS)}
    net = MultiPathNet.of_paths(space, dict.fromkeys(tasks, path), tasks, "per_domain", seed=0)
    net.kernels = usable(kernels)
    pixels = torch.randint(0, 256, (IMAGES, 3, resolution, resolution), dtype=torch.uint8)
    split = TensorSplit(pixels, torch.arange(IMAGES) % 10)
    half = torch.full((1, 3, 1, 1), 0.5)
    batches = dict.fromkeys(
        tasks, Drawn(Source(split, Standard(half, half)), torch.arange(IMAGES), None)
    )
    compute = Compute(memory=MemoryBudget(budget))
    weights, optimiser = prioritization.begin(tasks), optimiser_of(net, TrainConfig())
    set_rate(optimiser, 0.01)
    before, taken = peak(), []
    for _ in range(STEPS):
        began = time.process_time()
        paths = dict.fromkeys(tasks, path)
        weighted_step(net, optimiser, batches, paths, weights, 0.1, 0.0, compute)
        taken.append(time.process_time() - began)
    kept = maps_per_image(space, flow(text, resolution)).kept
    expected = DOMAINS * IMAGES * 4 * kept / MB
    return {"grown": (peak() - before) / MB, "maps": expected, "s": statistics.median(taken[1:])}


def main() -> None:
    """Measure each line in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=1000, help="memory budget, in MB")
    parser.add_argument("--resolution", type=int, default=128, help="pixels per side")
    parser.add_argument("--space", default="mobilenet_v3_large", help="search space")
    parser.add_argument("--kernels", choices=get_args(Kernels), default="auto")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    least = least_budget(options.space, options.resolution)
    lines = {
        "no budget": (None, ABDP()),
        f"{options.budget} MB, weights need losses (abdp)": (options.budget, ABDP()),
        f"{options.budget} MB, weights do not (uniform)": (options.budget, Uniform()),
        f"{least} MB, recomputed (uniform)": (least, Uniform()),
    }
    if options.one is not None:
        budget, prioritization = lines[options.one]
        size = options.resolution
        print(json.dumps(measure(budget, options.space, size, prioritization, options.kernels)))
        return
    print(f"{'step':<45} {'peak grows by':>14} {'all maps':>9} {'CPU time':>9}")
    plain = None
    for name in lines:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--one", name],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        found = json.loads(done.stdout)
        plain = plain or found["s"]
        ratio = found["s"] / plain
        print(f"{name:<45} {found['grown']:>11,.0f} MB {found['maps']:>6,.0f} MB {ratio:>9.2f}")


if __name__ == "__main__":
    main()
