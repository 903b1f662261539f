"""Measure the steps of controllers on a frozen supernet, and the noise of their updates.

    python benchmarks/controllers.py            # minutes on one core

1. Time: CPU time of a step of the second phase of a search, over that of the forward pass of its
   paths alone. And of a step that also trains the weights, over a step of the second phase.
2. Paths: share of the sampled paths that were run, because they were not measured before on the
   same images, in thirds of the second phase: with batches of 32 images, and with all images of the
   reward part in one. The reward depends on the path alone, and has no trend.
3. Noise: variance of an update of the logits with the cost of the sampled paths, over that with
   the expected cost. The quality is that of 32 images and depends on every choice a little.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import torch
from ratios import turns
from torch import Tensor

from mpnas_kit.domains.pocket_suite import POCKET_DOMAINS, pocket
from mpnas_kit.engine.compute import Compute
from mpnas_kit.kernels.library import find_library
from mpnas_kit.network.net import Flow
from mpnas_kit.runs.profiles import FULL, PLAIN
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.data import divide
from mpnas_kit.search.expected_cost import ExpectedCost
from mpnas_kit.search.rewards import Absolute
from mpnas_kit.search.stage import _Search
from mpnas_kit.space.costs import MultiplyAdds, path_costs
from mpnas_kit.space.spaces import pocket_space


@dataclass(frozen=True)
class Size:
    """How much is measured. Tests measure less.

    repeats: ratios of times.
    domains: names of pocket domains.
    steps: steps of the second phase in which measured paths are counted.
    updates: updates whose variance is taken.
    """

    repeats: int = 7
    domains: tuple[str, ...] = POCKET_DOMAINS
    steps: int = 200
    updates: int = 400


def stage_of(size: Size, **settings: Any) -> _Search:
    """Return a plain search at the full profile's cost before its first step, without a folder."""
    config = SearchConfig(**{**FULL.search, **PLAIN, **settings})
    suite, space = pocket(size.domains), pocket_space()
    parts = divide(suite, config.reward_share, config.seed)
    targets = resolve_targets(space, config, suite.names)
    stage = _Search(parts, space, config, targets, None, None, None, Compute())
    stage.net.kernels = find_library()
    return stage


def times(size: Size) -> dict[str, float]:
    """Return ratios of CPU times of steps."""
    frozen = stage_of(size, two_phases=True, controller_spread=1e-9)
    trained = stage_of(size, controller_spread=1e-9)
    frozen.step = trained.step = frozen.config.steps // 2
    streams, generator = frozen.reward_streams, torch.Generator().manual_seed(0)

    def forward() -> None:
        paths = frozen.controllers.sample(frozen.domains, frozen.config.paths_per_step, generator)
        flows = []
        for domain in frozen.domains:
            images, _ = streams[domain].next().take()
            flows += [Flow(domain, images, path) for path in paths[domain]]
        with torch.no_grad():
            frozen.net(flows)

    over_forward = turns(frozen.advance, forward, size.repeats)
    over_frozen = turns(trained.advance, frozen.advance, size.repeats)
    return {
        "step on frozen weights over its forward pass": _median(over_forward["cpu"]),
        "step that trains over step on frozen weights": _median(over_frozen["cpu"]),
    }


def _median(values: list[float]) -> float:
    return float(torch.tensor(values).median())


def _trendless(quality: Tensor, cost: Tensor, target: float) -> Tensor:
    """Return a function of the cost that has no trend."""
    return (cost * 12.9898).sin() * 0.5


def paths(size: Size) -> dict[str, float]:
    """Return the share of sampled paths that were run, in thirds of the second phase."""
    found = {}
    for name, images in (("32 images", 32), ("all images", 100_000)):
        shares, third = _shares(size, images), size.steps // 3
        for i, part in enumerate(("first", "second", "last")):
            own = shares[i * third : (i + 1) * third]
            found[f"paths that were run, {name}, {part} third"] = sum(own) / third
    return found


def _shares(size: Size, images: int) -> list[float]:
    """Return the share of sampled paths that were run, for every step of the second phase."""
    settings: dict[str, Any] = {"two_phases": True, "reward_batch": images}
    stage = stage_of(size, steps=size.steps * 4 // 3, reward=_trendless, **settings)
    stage.step = stage.weight_steps
    sampled = len(size.domains) * stage.config.paths_per_step
    shares: list[float] = []

    def count(_: Any, given: Any) -> None:
        shares[-1] += len(given[0]) / sampled

    hook = stage.net.register_forward_pre_hook(count)
    while stage.step < stage.config.steps:
        shares.append(0.0)
        stage.advance()
        stage.step += 1
    hook.remove()
    return shares


def variances(size: Size) -> dict[str, float]:
    """Return the variance of updates with sampled costs over that with expected costs."""
    space, model = pocket_space(), MultiplyAdds()
    config = SearchConfig(**FULL.search)
    target = resolve_targets(space, config, ["a"])["a"]
    found = {}
    for name, certainty in (("undecided", 0.0), ("half decided", 2.0)):
        own = Controllers(space, "a", ControllerSchedule(0.0, 1.0, 0.0), steps=10)
        with torch.no_grad():
            noise = torch.randn(own.logits.shape, generator=torch.Generator().manual_seed(0))
            own.logits.add_(certainty * noise)
        for beta in (-0.1, -1.0):
            sampled, expected = (
                _variance(own, Absolute(beta), model, target, exact, size.updates)
                for exact in (False, True)
            )
            found[f"variance of an update, {name}, beta {beta:g}"] = sampled / expected
    return found


def _variance(
    own: Controllers,
    reward: Absolute,
    model: MultiplyAdds,
    target: float,
    exact: bool,
    updates: int,
) -> float:
    """Return the variance of an update, summed over all logits. Paths are always the same."""
    space, expected = own.space, ExpectedCost(model, own.space)
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(updates):
        sampled = own.sample("a", 8, generator)
        chosen = torch.tensor([p.choices for p in sampled["a"]]).double()
        right = (0.5 + 0.02 * (chosen % 2).sum(1) / 10).expand(32, -1)
        quality = torch.bernoulli(right, generator=generator).mean(0)
        rewards, term = quality, None
        if exact:
            cost = expected(own.log_probabilities.exp())
            term = reward.cost_term(cost, target).sum()
        else:
            costs = [path_costs(model, space, {"": p})[""] for p in sampled["a"]]
            rewards = reward(quality, torch.tensor(costs, dtype=torch.float64), target)
        own.update(0, sampled, {"a": rewards}, term)
        assert own.logits.grad is not None
        found.append(own.logits.grad.flatten().clone())
    return float(torch.stack(found).var(0).sum())


def main() -> None:
    """Measure, print, and write a JSON file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--json", type=FilePath, help="file for the results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    size = Size()
    values = {**times(size), **paths(size), **variances(size)}
    for name, value in values.items():
        print(f"{name:50} {value:8.2f}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(values, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
