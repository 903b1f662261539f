"""A search finds a planted path, and finds none in noise (benchmarks/planted.py is longer)."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.domains.planted_sharing import planted_sharing_suite
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.calibration import reward_only
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.rewards import Absolute, Linear
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import MultiplyAdds, UnionShare, path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.space.planted import planted_path, planted_space
from mpnas_kit.space.planted_sharing import planted_sharing_paths, planted_sharing_space
from mpnas_kit.space.spaces import pocket_space


def agreement(path: Path, truth: Path) -> int:
    return sum(a == b for a, b in zip(path.choices, truth.choices, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_controllers_find_every_layer_of_a_planted_path(seed: int) -> None:
    space, generator = pocket_space(), torch.Generator().manual_seed(seed)
    truth = {d: space.sample(generator) for d in ("a", "b")}
    controllers = Controllers(space, list(truth), ControllerSchedule(0.25, 10, 1.5), steps=600)

    def reward(sampled: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        right = {d: [agreement(p, truth[d]) for p in paths] for d, paths in sampled.items()}
        return {
            d: torch.tensor(r) / 30 + 0.05 * torch.randn(len(r), generator=generator)
            for d, r in right.items()
        }

    assert reward_only(controllers, reward, 4, generator) == truth


def test_pure_noise_leaves_the_controllers_undecided() -> None:
    space, generator = pocket_space(), torch.Generator().manual_seed(0)
    controllers = Controllers(space, ["a"], ControllerSchedule(0.25, 10, 1.5), steps=400)

    def noise(sampled: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        return {"a": torch.randn(len(sampled["a"]), generator=generator)}

    reward_only(controllers, noise, 4, generator)
    assert float(controllers.indecision().mean()) > 0.5


@pytest.mark.parametrize("target", [0.5e6, 1.2e6])
def test_a_strong_beta_brings_the_cost_to_its_target(target: float) -> None:
    space, generator = pocket_space(), torch.Generator().manual_seed(1)
    controllers = Controllers(space, ["a"], ControllerSchedule(0.25, 10, 1.5), steps=1500)
    function, model = Absolute(beta=-1.0), MultiplyAdds()

    def reward(sampled: Mapping[str, Sequence[Path]]) -> dict[str, Tensor]:
        cost = torch.tensor([path_costs(model, space, {"a": p})["a"] for p in sampled["a"]])
        quality = 0.1 * torch.rand(len(cost), generator=generator)
        return {"a": function(quality, cost, target)}

    found = reward_only(controllers, reward, 4, generator)["a"]
    assert space.cost(found).multiply_adds == pytest.approx(target, rel=0.05)


class Shuffled:
    """A reward that gives its values to the wrong paths of the same domain."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, quality: Tensor, cost: Tensor, target: float) -> Tensor:
        order = torch.rand(quality.shape, generator=self.generator).argsort(1)
        return quality.gather(1, order)


def planted_search(space: LayerwiseSpace, reward: Shuffled | None = None) -> SearchResult:
    config = SearchConfig(
        steps=260,
        batch_size=24,
        reward_batch=24,
        learning_rate=0.1,
        shift=0,
        prioritization=Uniform(),
        reward=reward or Absolute(beta=0.0),
    )
    return search(planted_suite(), space, config)


@pytest.mark.parametrize("equal_cost", [False, True])
def test_a_search_finds_the_planted_path_of_every_domain_from_data_alone(equal_cost: bool) -> None:
    space = planted_space(equal_cost)
    found = planted_search(space)
    right = [agreement(p, planted_path(space, i)) for i, p in enumerate(found.paths.values())]
    assert sum(right) >= 0.9 * 4 * len(right)
    assert len(set(found.paths.values())) == 3


def test_shuffled_rewards_find_nothing() -> None:
    space = planted_space()
    found = planted_search(space, Shuffled())
    right = [agreement(p, planted_path(space, i)) for i, p in enumerate(found.paths.values())]
    assert sum(right) <= 8  # of 12 with three choices each: chance is 4


def test_a_search_shares_nodes_between_the_planted_partners_only() -> None:
    space = planted_sharing_space()
    config = SearchConfig(
        steps=400,
        batch_size=120,
        learning_rate=0.1,
        weight_decay=0.01,
        shift=0,
        prioritization=Uniform(),
        sampling="fair",
        two_phases=True,
        controller_delay=0.5,
        warmup_share=0.0,
        paths_per_step=8,
        quality="probability",
        reward_share=0.5,
        reward_batch=120,
        reward=Linear(beta=-0.4),
        cost=UnionShare(),
        threads=1,
    )
    found = search(planted_sharing_suite(train=240), space, config)
    assert found.paths == planted_sharing_paths(space)
