"""Re-ranking: which paths are candidates, and that the best one of them is found."""

from pathlib import Path as File

import pytest
import tiny
import torch

from mpnas_kit.approaches.approach import Context
from mpnas_kit.approaches.searched import RandomSearch
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.errors import MpnasError
from mpnas_kit.kernels.library import usable
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.search import reranking
from mpnas_kit.search.controller import Controllers, ControllerSchedule
from mpnas_kit.search.data import divide
from mpnas_kit.search.reranking import candidates, near
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.scoring import Scorer
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import MultiplyAdds, path_costs

SUITE, SPACE = tiny.three(), tiny.space()
COSTS = {p: path_costs(MultiplyAdds(), SPACE, {"": p})[""] for p in tiny.all_paths(SPACE)}
TARGET = sorted(COSTS.values())[len(COSTS) // 2]


def uniform() -> Controllers:
    return Controllers(SPACE, ["a"], ControllerSchedule(0.25, 10.0, 1.5), steps=8)


def test_candidates_fit_and_are_distinct_and_begin_with_the_likeliest() -> None:
    fitting = {path for path in COSTS if path.choices[1] < 2}
    generator = torch.Generator().manual_seed(0)
    found = candidates(uniform(), "a", fitting.__contains__, 100, generator)
    assert set(found) == fitting and len(found) == len(fitting)
    assert found[0] == uniform().best()["a"]
    few = candidates(uniform(), "a", fitting.__contains__, 3, torch.Generator().manual_seed(0))
    assert few == found[:3]


def test_the_likeliest_path_stays_if_no_path_fits() -> None:
    generator = torch.Generator().manual_seed(0)
    found = candidates(uniform(), "a", lambda path: False, 5, generator)
    assert found == [uniform().best()["a"]]


@pytest.mark.parametrize("controllers", ["domain", "one"])
def test_the_best_path_of_the_cost_is_found(
    tmp_path: File, controllers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All paths near the target are candidates, so the best one of them is the result."""
    monkeypatch.setattr(reranking, "TOLERANCE", 0.5)
    config = tiny.search_config(
        controller_spread=0.0, rerank=1000, cost_target=TARGET, controllers=controllers
    )
    found = search(SUITE, SPACE, config, folder=tmp_path)
    net = MultiPathNet.supernet(SPACE, SUITE.tasks, "per_domain", config.seed, collapse=True)
    StageFolder.read(tmp_path).load_weights("supernet.safetensors", net)
    net.kernels = usable(config.kernels)
    sources = {d: p.reward for d, p in divide(SUITE, config.reward_share, config.seed).items()}
    scorer = Scorer(net, sources, "task", 10**6, 2 * config.seed + 1, Compute())
    fitting = [path for path, cost in COSTS.items() if near(cost, TARGET)]
    assert len(fitting) > 3
    table = {d: scorer.quality(d, fitting) for d in SUITE.names}
    if controllers == "one":
        table = dict.fromkeys(table, torch.stack(list(table.values())).mean(0))
    for domain, path in found.paths.items():
        assert path in fitting
        own = table[domain][fitting.index(path)]
        assert float(own) == pytest.approx(float(table[domain].max()))
    again = SearchResult.load(tmp_path, space=SPACE)
    assert again.paths == found.paths


def test_random_search_is_a_search_whose_policy_does_not_learn() -> None:
    config = tiny.search_config(cost_target=TARGET)
    plan = RandomSearch(candidates=4).plan(Context(SPACE, SUITE.names, config))
    found = search(SUITE, SPACE, tiny.search_config(cost_target=TARGET, **plan.search))
    exists = torch.from_numpy(found.policy[-1]) > 0
    uniform_rows = exists / exists.sum(2, keepdim=True)
    assert torch.allclose(torch.from_numpy(found.policy[-1]), uniform_rows.float())


def test_a_cost_that_depends_on_other_paths_is_refused() -> None:
    with pytest.raises(MpnasError, match="rerank compares paths of one cost"):
        tiny.search_config(rerank=4, cost="union_share")
