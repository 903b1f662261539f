"""Measure where the time of a search in a large space goes, on one core.

    python benchmarks/large.py [--space mobilenet_v3_like] [--resolution 32]      # one minute

Ten domains of noise, 32 images each, 4 paths each, in a step after the warm-up. All times are CPU
time: to build the stage, a step with both kinds of kernels, the multiply-adds of a step at the
speed of a large matrix product (paths of random choices, nothing counted once for several paths),
and the optimiser on all parameters. Then the shares of a step with native kernels.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import argparse
import statistics
import time
from collections.abc import Callable

import torch
from device import noise
from floor import shares_of

from mpnas_kit.engine.loop import compute_for, space_for
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.engine.step import _step
from mpnas_kit.kernels.library import Kernels
from mpnas_kit.search.config import resolve_targets
from mpnas_kit.search.data import divide
from mpnas_kit.search.stage import _Search
from mpnas_kit.space.texts import space_from_text

DOMAINS, IMAGES, MATRIX = 10, 200, 1024


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def stage(text: str, resolution: int, kernels: Kernels) -> _Search:
    """Return a search after its warm-up."""
    suite = noise([IMAGES] * DOMAINS, resolution)
    space = space_for(suite, space_from_text(text, resolution))
    config = mk.SearchConfig(kernels=kernels, threads=1, device="cpu")
    targets = resolve_targets(space, config, suite.names)
    parts = divide(suite, config.reward_share, config.seed)
    compute = compute_for(config, DOMAINS, None)
    found = _Search(parts, space, config, targets, None, None, None, compute)
    found.step = config.steps // 2
    return found


def step(search: _Search) -> None:
    """Do one step."""
    search.advance()
    search.step += 1


def arithmetic(search: _Search) -> float:
    """Return the seconds of the multiply-adds of a step."""
    config, space, generator = search.config, search.space, torch.Generator().manual_seed(0)
    costs = [space.cost(space.sample(generator)).multiply_adds for _ in range(256)]
    passes = 3 * config.batch_size + config.paths_per_step * config.reward_batch
    matrix = torch.randn(MATRIX, MATRIX)
    product = min(seconds(lambda: torch.mm(matrix, matrix)) for _ in range(10))
    return DOMAINS * passes * statistics.mean(costs) / MATRIX**3 * product


def optimiser(search: _Search) -> float:
    """Return the seconds of an optimiser step on all parameters."""
    for parameter in search.net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return statistics.median(seconds(lambda: _step(search.optimiser)) for _ in range(3))


def measure(text: str, resolution: int, repeats: int = 5) -> dict[str, float]:
    """Return the figures: seconds, and shares of a step with native kernels."""
    found: dict[str, float] = {}
    for kernels in ("eager", "native"):
        with reproducible(1, resolution, kernels == "native"):
            began = time.process_time()
            search = stage(text, resolution, kernels)
            found["build"] = time.process_time() - began
            step(search)
            times = [seconds(lambda: step(search)) for _ in range(repeats)]  # noqa: B023
            found[f"step, {kernels}"] = statistics.median(times)
    with reproducible(1, resolution, native=True):
        found["arithmetic"] = arithmetic(search)
        shares = shares_of(lambda: step(search))
        found["optimiser"] = optimiser(search)
    return found | {f"share: {name}": share for name, share in shares.items() if share >= 0.01}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="mobilenet_v3_like", help="search space")
    parser.add_argument("--resolution", type=int, default=32, help="pixels per side")
    given = parser.parse_args()
    for name, value in measure(given.space, given.resolution).items():
        print(f"{name:<35} {value:.3f}")


if __name__ == "__main__":
    main()
