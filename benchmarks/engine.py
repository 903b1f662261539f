"""What the engine's two CPU measures save, as ratios of training steps taken in one run.

    python benchmarks/engine.py             # about two minutes on one core

- depthwise: a step with stock gradients of depthwise kernels over one with `space.depthwise`, on a
  path of 5 x 5 kernels, ten domains of 32 images.
- pages: the same step where glibc gives large blocks back to the system at once, over one where it
  keeps them (`runtime`); a process each, in turn.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.space import depthwise
from mpnas_kit.space.spaces import pocket_space

DOMAINS = {f"domain{i}": 10 for i in range(10)}
ARCH = "k5e2 k5e2 k5e2 zero k5e4 k5e2 k5e2 k5e4 k5e2 k5e2"


def step_seconds(repeats: int) -> float:
    """The median time of forward and backward pass of one training step."""
    torch.set_num_threads(1)
    space, generator = pocket_space(), torch.Generator().manual_seed(0)
    path = space.parse(ARCH)
    net = MultiPathNet.of_paths(space, dict.fromkeys(DOMAINS, path), DOMAINS, "per_domain", 0)
    images = torch.randn(32, 3, 32, 32, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (32,), generator=generator)
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        logits = net([Flow(d, images, path) for d in DOMAINS])
        torch.autograd.backward(torch.stack([F.cross_entropy(x, labels) for x in logits]).sum())
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def in_a_process(**environment: str) -> float:
    """`step_seconds` of a new process with this environment."""
    command = [sys.executable, __file__, "--step"]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Print the ratios as JSON: median, least and most of five pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", action="store_true", help="only print the seconds of a step")
    if parser.parse_args().step:
        print(step_seconds(5))
        return
    largest, ratios = depthwise.LARGEST_MAP, {"depthwise": [], "pages": []}
    for _ in range(5):
        pair = []
        for limit in (0, largest):
            depthwise.LARGEST_MAP = limit
            pair.append(step_seconds(3))
        ratios["depthwise"].append(pair[0] / pair[1])
        returned = in_a_process(
            MALLOC_TOP_PAD_="131072"
        )  # its default, so that runtime sets nothing
        ratios["pages"].append(returned / in_a_process())
    summary = {
        name: {"median": statistics.median(r), "least": min(r), "most": max(r)}
        for name, r in ratios.items()
    }
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
