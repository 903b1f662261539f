"""Measure whether the search finds the planted paths. Long form of tests/search/test_planted.py.

    python benchmarks/planted.py            # a few minutes on one core

1. Reward only: controllers of two domains on the pocket space. The reward is the share of layers
   that are right, times 1/3, plus noise of standard deviation 0.05. The figure is the number of
   seeds in which every layer of both domains is right.
2. Data only: the planted suite, searched through the network. The figure is the number of right
   layers, of 12 per seed. The same in bfloat16, and with rewards shuffled among the paths of a step
   (chance: 4).
3. Cost: reward only with beta = -1, for targets over the cost range. The figure is the cost of the
   path found, divided by the target.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath

import torch
from torch import Tensor

from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.engine.compute import Precision
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.calibration import reward_only
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.rewards import Absolute, Reward
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import MultiplyAdds, path_costs
from mpnas_kit.space.planted import planted_path, planted_space
from mpnas_kit.space.space import Path
from mpnas_kit.space.spaces import pocket_space

SCHEDULE = ControllerSchedule(delay=0.25, growth=10, spread=1.5)
TARGETS = (0.2e6, 0.5e6, 0.8e6, 1.2e6, 1.6e6)


def agreement(path: Path, truth: Path) -> int:
    """Return the number of choices in which a path agrees with the true one."""
    return sum(a == b for a, b in zip(path.choices, truth.choices, strict=True))


def reward_only_run(seed: int, steps: int) -> bool:
    """Return whether a search with a known reward gets every layer of both domains right."""
    space, generator = pocket_space(), torch.Generator().manual_seed(seed)
    truth = {d: space.sample(generator) for d in ("a", "b")}

    def reward(sampled: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        result = {}
        for domain, paths in sampled.items():
            right = torch.tensor([agreement(p, truth[domain]) for p in paths])
            noise = torch.randn(len(paths), generator=generator)
            result[domain] = right / len(space.decisions) / 3 + 0.05 * noise
        return result

    return (
        reward_only(Controllers(space, list(truth), SCHEDULE, steps), reward, 4, generator) == truth
    )


def cost_run(seed: int, target: float, steps: int) -> float:
    """Return the cost of the path found, divided by its target."""
    space, generator = pocket_space(), torch.Generator().manual_seed(seed)
    truth, function, model = space.sample(generator), Absolute(beta=-1.0), MultiplyAdds()

    def reward(sampled: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        paths = sampled["a"]
        right = torch.tensor([agreement(p, truth) for p in paths])
        quality = right / len(space.decisions) / 3 + 0.05 * torch.randn(4, generator=generator)
        cost = torch.tensor([path_costs(model, space, {"a": p})["a"] for p in paths])
        return {"a": function(quality, cost, target)}

    found = reward_only(Controllers(space, ["a"], SCHEDULE, steps), reward, 4, generator)["a"]
    return space.cost(found).multiply_adds / target


class Shuffled:
    """A reward that gives the values of paths to other paths of the same domain."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return the qualities, shuffled within every row."""
        order = torch.rand(quality.shape, generator=self.generator).argsort(1)
        return quality.gather(1, order)


def data_only_run(
    seed: int, steps: int, reward: Reward | None, precision: Precision = "float32"
) -> int:
    """Return the number of right layers, of 12, after a search through the network."""
    space = planted_space()
    config = SearchConfig(
        steps=steps,
        learning_rate=0.1,
        shift=0,
        prioritization=Uniform(),
        reward=reward or Absolute(beta=0.0),
        seed=seed,
        threads=1,
        precision=precision,
    )
    found = search(planted_suite(seed=seed), space, config)
    return sum(agreement(p, planted_path(space, i)) for i, p in enumerate(found.paths.values()))


def main() -> None:
    """Run all three parts and print the figures; with --json also write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the reward-only runs")
    parser.add_argument("--data-seeds", type=int, default=5, help="seeds of the data-only runs")
    parser.add_argument("--json", type=FilePath, help="write the figures to this file too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = {
        "reward_only_all_right": sum(reward_only_run(s, 600) for s in range(arguments.seeds)),
        "reward_only_seeds": arguments.seeds,
        "data_only_right_of_12": [data_only_run(s, 400, None) for s in range(arguments.data_seeds)],
        "bfloat16_right_of_12": [
            data_only_run(s, 400, None, "bfloat16") for s in range(arguments.data_seeds)
        ],
        "shuffled_right_of_12": [
            data_only_run(s, 400, Shuffled(s)) for s in range(arguments.data_seeds)
        ],
        "cost_over_target": {
            f"{t:g}": [round(cost_run(s, t, 1500), 3) for s in range(5)] for t in TARGETS
        },
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
