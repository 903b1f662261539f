"""Measure whether the search finds what is planted. Long form of tests/search/test_planted.py.

    python benchmarks/planted.py --out runs/planted     # about two hours on one core
    python benchmarks/planted.py --only sharing --set paths_per_step=8 --out runs/planted8

The parts, each for some seeds:

- controllers: controllers of two domains on the pocket space, without a network. The reward is the
  share of layers that are right, times 1/3, plus noise of standard deviation 0.05. A seed is right
  if every layer of both domains is.
- cost: the same with beta = -1, for targets over the cost range. The figure is the cost of the path
  found, divided by the target.
- planted: the planted suite, searched through the network, from data alone. Twelve choices.
- bfloat16: the same in bfloat16.
- equal_cost: the same in a space in which all paths have the same cost.
- sharing: the suite of which two domains should share and a third one should not. Six choices. The
  cost is the share of a path in the union, so sharing pays where it does no harm. The suite has 240
  training images per domain: the search needs half of them for rewards.
- truth: no search. Trainings of fixed paths show that the planted sharing is right: mean test
  accuracy if domains share as planted, if none shares, and if `rows0` shares with `columns`. The
  suite has 60 training images per domain.

Every searched part also runs with rewards shuffled among the paths of a step. What is then right
is compared with chance by a binomial test, two-sided.

A finished seed is never run again, so a killed benchmark continues where it stopped.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor

from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.domains.planted_sharing import planted_sharing_suite
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import make_folder, read_json, write_json
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.calibration import reward_only
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.rewards import Absolute, Linear, Reward
from mpnas_kit.search.stage import search
from mpnas_kit.settings import from_dict
from mpnas_kit.space.costs import MultiplyAdds, path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.planted import planted_path, planted_space
from mpnas_kit.space.planted_sharing import planted_sharing_paths, planted_sharing_space
from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

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


@dataclass(frozen=True)
class Shuffled:
    """A reward that gives the rewards of paths to other paths of the same domain.

    reward: the reward. seed: seed of the order.
    """

    reward: Reward
    seed: int
    generator: torch.Generator = field(default_factory=torch.Generator, compare=False)

    def __post_init__(self) -> None:
        self.generator.manual_seed(self.seed)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        """Return the rewards, shuffled within every row."""
        order = torch.rand(quality.shape, generator=self.generator).argsort(1)
        return self.reward(quality, cost, target).gather(1, order)


def directions(space: LayerwiseSpace, suite: DomainSuite) -> dict[str, Path]:
    """Return the right path of every planted domain."""
    return {name: planted_path(space, i) for i, name in enumerate(suite.names)}


def sharing(space: LayerwiseSpace, _: DomainSuite) -> dict[str, Path]:
    """Return the right path of every domain of the sharing suite."""
    return planted_sharing_paths(space)


@dataclass(frozen=True)
class Plant:
    """A suite and a space with a planted answer.

    suite: function from a seed to the suite. space: function that returns the space.
    truth: function from both to the right path of every domain.
    chance: probability that a choice is right if all are equally likely.
    settings: settings of the search.
    """

    suite: Callable[[int], DomainSuite]
    space: Callable[[], LayerwiseSpace]
    truth: Callable[[LayerwiseSpace, DomainSuite], Mapping[str, Path]]
    chance: float
    settings: Mapping[str, Any]


COMMON: dict[str, Any] = {
    "steps": 400,
    "learning_rate": 0.1,
    "shift": 0,
    "prioritization": Uniform(),
    "threads": 1,
}
BY_QUALITY = {**COMMON, "reward": Absolute(beta=0.0)}
BY_SHARE = {
    **COMMON,
    "batch_size": 120,  # all images of the weight part: without noise, no node stays at chance
    "learning_rate": 0.1,
    "weight_decay": 0.01,
    "sampling": "fair",
    "two_phases": True,
    "controller_delay": 0.5,
    "warmup_share": 0.0,
    "paths_per_step": 8,
    "quality": "probability",
    "reward_share": 0.5,
    "reward_batch": 120,
    "reward": Linear(beta=-0.4),
    "cost": "union_share",
}
PLANTS = {
    "planted": Plant(
        lambda seed: planted_suite(seed=seed), planted_space, directions, 1 / 3, BY_QUALITY
    ),
    "bfloat16": Plant(
        lambda seed: planted_suite(seed=seed),
        planted_space,
        directions,
        1 / 3,
        {**BY_QUALITY, "precision": "bfloat16"},
    ),
    "equal_cost": Plant(
        lambda seed: planted_suite(seed=seed),
        lambda: planted_space(equal_cost=True),
        directions,
        1 / 3,
        BY_QUALITY,
    ),
    "sharing": Plant(
        lambda seed: planted_sharing_suite(train=240, seed=seed),
        planted_sharing_space,
        sharing,
        1 / 2,
        BY_SHARE,
    ),
}


def searched(plant: Plant, seed: int, more: Mapping[str, Any], shuffled: bool) -> list[bool]:
    """Return for every choice of every domain whether a search of a planted suite gets it right.

    more: settings that differ from those of the plant.
    """
    settings = {**plant.settings, **more, "seed": seed}
    config = from_dict(SearchConfig, settings)
    if shuffled:
        config = replace(config, reward=Shuffled(config.reward, seed))
    space, suite = plant.space(), plant.suite(seed)
    found, truth = search(suite, space, config).paths, plant.truth(space, suite)
    pairs = [zip(found[d].choices, truth[d].choices, strict=True) for d in suite.names]
    return [a == b for own in pairs for a, b in own]


WAYS = ("as planted", "none", "wrong")  # to share


def trained(seed: int) -> dict[str, list[float]]:
    """Return test accuracies (%) of the domains of the sharing suite, by how they share."""
    space, suite = planted_sharing_space(), planted_sharing_suite(seed=seed)
    config = TrainConfig(
        steps=120,
        batch_size=60,
        learning_rate=0.1,
        weight_decay=0.01,
        shift=0,
        average=0.95,
        prioritization=Uniform(),
        seed=seed,
        threads=1,
    )
    right = planted_sharing_paths(space)
    shared, private = right["rows0"], right["columns"]
    none = dict.fromkeys(right, private)
    paths = dict(
        zip(WAYS, (right, none, {**none, "rows0": shared, "columns": shared}), strict=True)
    )
    return {
        way: (100 * train(suite, space, own, config).accuracy("test")).tolist()
        for way, own in paths.items()
    }


Cell = Callable[[], Any]
KINDS = ("rewards", "shuffled")


def cells(name: str, seeds: Sequence[int], more: Mapping[str, Any]) -> dict[str, Cell]:
    """Return what a part runs, by name: one cell per seed, and per target or order of rewards."""
    found: dict[str, Cell] = {}
    for seed in seeds:
        if name == "controllers":
            found[f"seed{seed}"] = partial(reward_only_run, seed, 600)
        elif name == "cost":
            for t in TARGETS:
                found[f"{t:g}-seed{seed}"] = partial(cost_run, seed, t, 1500)
        elif name == "truth":
            found[f"seed{seed}"] = partial(trained, seed)
        else:
            for kind in KINDS:
                shuffled = kind == "shuffled"
                found[f"{kind}-seed{seed}"] = partial(searched, PLANTS[name], seed, more, shuffled)
    return found


def summary(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a part from the values of its cells."""
    if name == "controllers":
        return {"all right": sum(values.values()), "seeds": len(values)}
    if name == "cost":
        return {
            f"{t:g}": [round(v, 3) for k, v in values.items() if k.startswith(f"{t:g}-")]
            for t in TARGETS
        }
    if name == "truth":
        means = {way: torch.tensor([v[way] for v in values.values()]).mean(1) for way in WAYS}
        gains = {
            "as planted - none": means["as planted"] - means["none"],
            "none - wrong": means["none"] - means["wrong"],
        }
        return {
            **{f"{way} (%)": round(float(mean.mean()), 2) for way, mean in means.items()},
            **{k: [round(g, 2) for g in gain.tolist()] for k, gain in gains.items()},
        }
    figures: dict[str, Any] = {}
    for kind in KINDS:
        right = [v for k, v in values.items() if k.startswith(kind)]
        flat = [r for own in right for r in own]
        figures[kind] = {
            "all right": sum(map(all, right)),
            "seeds": len(right),
            "right": sum(flat),
            "of": len(flat),
            "by chance": round(PLANTS[name].chance * len(flat), 1),
            "p": round(binomtest(sum(flat), len(flat), PLANTS[name].chance).pvalue, 4),
        }
    return figures


PARTS = ("controllers", "cost", "truth", *PLANTS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cells that are not finished, and print the figures of each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=FilePath, default=FilePath("runs/planted"))
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the searches"
    )
    given = parser.parse_args(arguments)
    names, seeds = given.only.split(","), range(given.first, given.first + given.seeds)
    more = dict(text.partition("=")[::2] for text in given.set)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: expected some of {', '.join(PARTS)}")
    torch.set_num_threads(1)
    try:
        from_dict(SearchConfig, more)
        figures = {}
        for name in names:
            figures[name] = run_part(given.out / name, name, seeds, more)
            print(json.dumps({name: figures[name]}), flush=True)
        write_json(given.out / "figures.json", {"settings": more, **figures})
    except MpnasError as error:
        raise SystemExit(f"{error}") from None


def run_part(
    folder: FilePath, name: str, seeds: Sequence[int], more: Mapping[str, str]
) -> dict[str, Any]:
    """Run the cells of a part that are not finished, and return its figures.

    Raises `MpnasError` if the folder has cells with other settings.
    """
    make_folder(folder)
    values = {}
    for cell, run in cells(name, seeds, more).items():
        file = folder / f"{cell}.json"
        if not file.exists():
            write_json(file, {"settings": more, "value": run()})
        known = read_json(file, dict)
        if known["settings"] != more:
            raise MpnasError(
                f"{file} has the settings {known['settings']}, not {more}: expected another --out."
            )
        values[cell] = known["value"]
    return summary(name, values)


if __name__ == "__main__":
    main()
