"""The approaches: what each of them searches, with which controllers, and what it shares."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Literal
from zlib import crc32

import pytest
import tiny
import torch
from torch import nn

from mpnas_kit.approaches.approach import Approach, Context, label
from mpnas_kit.approaches.fixed import (
    Backbone,
    PrivatePaths,
    SharedTrunk,
    SinglePath,
    given_or_uniform_path,
)
from mpnas_kit.approaches.methods import APPROACH
from mpnas_kit.approaches.random_draws import EvenPaths, RandomPaths
from mpnas_kit.approaches.searched import MPNAS, Bundle, MultiHead
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Blend, MultiPathNet
from mpnas_kit.prioritization.abdp import ABDP, Uniform
from mpnas_kit.runs.run import Run
from mpnas_kit.search import stage as search_module
from mpnas_kit.search.config import SearchConfig, resolve_target, resolve_targets
from mpnas_kit.search.controller import Controllers
from mpnas_kit.search.stage import search
from mpnas_kit.space.costs import Parameters, UnionShare, Unshared
from mpnas_kit.space.factored import mobilenet_v3_like
from mpnas_kit.space.layers import Path
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.space.spaces import mobilenet_v3_large, pocket_space, pocket_strided
from mpnas_kit.starts.source import Start
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.stage import train

DOMAINS = ("a", "b", "c")
APPROACHES: tuple[Approach, ...] = (
    MPNAS(),
    Bundle(),
    MultiHead(),
    SinglePath(),
    SinglePath(frozen=True),
    SinglePath(match="size"),
    RandomPaths(),
    RandomPaths(match="size"),
    RandomPaths(shared=False),
    EvenPaths(),
    SharedTrunk(),
    SharedTrunk(private_from=3),
    PrivatePaths(),
)


def like() -> dict[str, Path]:
    """Three paths of an MPNAS run in the pocket space. Their costs differ much."""
    space = pocket_space()
    return {
        "a": space.parse("zero k3e1 zero k3e2 k3e1 zero k3e1 k3e1 zero k3e2"),
        "b": space.parse("k5e2 k3e4 k5e2 k7e2 k3e2 k5e2 k3e2se k5e4 k3e2 k5e2"),
        "c": space.parse("k3e2 k3e2 zero zero k3e2 zero k3e2 k3e2 k3e2 k3e1"),
    }


def context(**search: Any) -> Context:
    return Context(pocket_space(), DOMAINS, SearchConfig(**search), like())


def configs(approach: Approach) -> tuple[SearchConfig, TrainConfig]:
    """The tiny configs, with the fields that the approach sets."""
    plan = approach.plan(Context(tiny.space(), DOMAINS, tiny.search_config(), tiny_like()))
    return tiny.search_config(**plan.search), tiny.train_config(**plan.train)


def tiny_like() -> dict[str, Path]:
    return tiny.paths(tiny.space(), ["k3e1 k3e1", "k3e2 k5e3", "k3e2 k3e3"])


# Budgets ------------------------------------------------------------------------------------------

BUDGET = ("steps", "batch_size", "shift", "learning_rate", "momentum", "weight_decay", "seed")
SEARCH_BUDGET = (*BUDGET, "paths_per_step", "reward_batch", "reward_share", "cost", "cost_target")
SEARCH_BUDGET += ("cost_level",)


@pytest.mark.parametrize("approach", APPROACHES, ids=label)
def test_no_approach_has_another_budget(approach: Approach) -> None:
    plan = approach.plan(context())
    assert not set(plan.search) & set(SEARCH_BUDGET) and not set(plan.train) & set(BUDGET)


@pytest.mark.parametrize("approach", [MPNAS(), Bundle(), MultiHead()], ids=label)
def test_every_search_sees_as_many_images(
    approach: Approach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number of training and reward images per domain, counted with a stub for the network."""
    seen: dict[str, int] = dict.fromkeys(DOMAINS, 0)
    plain = MultiPathNet.forward

    def counting(net: MultiPathNet, flows: Any, *more: Any) -> Any:
        for flow in flows:
            seen[flow.domain] += len(flow.images)
        return plain(net, flows, *more)

    monkeypatch.setattr(MultiPathNet, "forward", counting)
    config, _ = configs(approach)
    search(tiny.suite(3), tiny.space(), config)
    learning = 5  # of the six steps, those in which controllers learn
    batch = {"a": 8, "b": 8, "c": 8}
    reward = {"a": 8, "b": 8, "c": 6}  # c has six reward images
    assert seen == {d: 6 * batch[d] + learning * 2 * reward[d] for d in DOMAINS}


# Controllers --------------------------------------------------------------------------------------


def sampled(config: SearchConfig, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Path | Blend]]:
    """The paths that a search trains, step by step."""
    paths: list[dict[str, Path | Blend]] = []
    plain = search_module.weighted_step

    def watched(net: Any, optimiser: Any, batches: Any, given: Any, *rest: Any) -> Any:
        paths.append(dict(given))
        return plain(net, optimiser, batches, given, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(search_module, "weighted_step", watched)
        search(tiny.suite(3), tiny.space(), config)
    return paths


def test_mpnas_has_a_controller_a_domain_and_multi_head_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = {a: sampled(configs(a)[0], monkeypatch) for a in (MPNAS(), MultiHead())}
    alike = {a: [len(set(map(id, s.values()))) == 1 for s in steps[a]] for a in steps}
    assert all(alike[MultiHead()]) and not any(alike[MPNAS()])


def test_multi_head_is_rewarded_for_the_mean_over_domains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[Mapping[str, Any]] = []
    events: list[StepEvent] = []

    def watched(self: Any, step: int, paths: Any, rewards: Any, exact: Any) -> None:
        received.append(rewards)

    monkeypatch.setattr(Controllers, "update", watched)
    config, _ = configs(MultiHead())
    found = search(tiny.suite(3), tiny.space(), config, callbacks=[events.append])
    rows = [e.rows for e in events if "reward" in e.rows["a"]]
    assert len(received) == len(rows) > 0
    for rewards, row in zip(received, rows, strict=True):
        (values,) = rewards.values()
        mean = sum(row[d]["reward"] for d in DOMAINS) / 3
        assert len(values) == config.paths_per_step
        assert float(values.mean()) == pytest.approx(mean)
    assert len(set(found.paths.values())) == 1 and tuple(found.paths) == DOMAINS


# What is shared -----------------------------------------------------------------------------------


def touched(net: MultiPathNet, domain: str) -> set[str]:
    """The parameters with a gradient of one domain's loss, without classifiers and batch norms."""
    net.zero_grad(set_to_none=True)
    paths = tiny_like()
    from mpnas_kit.network.net import Flow

    (logits,) = net([Flow(domain, tiny.images(4), paths[domain])])
    logits.square().sum().backward()
    return {n for n, p in net.nodes.named_parameters() if p.grad is not None and p.ndim == 4}


@pytest.mark.parametrize(
    ("private", "shared"),
    [
        (PrivateLayers(), {0, 1, 2, 3}),
        (PrivateLayers(since=2), {0, 1}),
        (PrivateLayers(since=0), set()),
        (PrivateLayers(until=1), {1, 2, 3}),
        (PrivateLayers(until=1, since=3), {1, 2}),
        (PrivateLayers(until=2, since=2), set()),
    ],
)
def test_domains_share_weights_in_all_but_private_layers(
    private: PrivateLayers, shared: set[int]
) -> None:
    """Paths of b and c meet in the stem (0), layer 1 and the head (3); a meets both at the ends."""
    suite, space = tiny.suite(3), tiny.space()
    net = MultiPathNet.of_paths(space, tiny_like(), suite.tasks, "per_domain", 0, private).train()
    meet = touched(net, "b") & touched(net, "c")
    assert {int(name.partition("_")[0]) for name in meet} == shared & {0, 1, 3}
    everyone = meet & touched(net, "a")
    assert {int(name.partition("_")[0]) for name in everyone} == shared & {0, 3}


def test_the_bundle_shares_no_node_and_has_uniform_weights() -> None:
    search_config, train_config = configs(Bundle())
    for config in (search_config, train_config):
        assert config.private_from == 0 and config.prioritization == Uniform()
    paths = tiny_like()
    suite, space = tiny.suite(3), tiny.space()
    trained = train(suite, space, paths, train_config)
    assert all(len(domains) == 1 for domains in trained.net.users.values())
    supernet = MultiPathNet.supernet(space, suite.tasks, "per_domain", 0, PrivateLayers(since=0))
    assert all(len(domains) == 1 for domains in supernet.users.values())
    nodes = sum(len(layer.candidates) - (None in layer.candidates) for layer in space.layers)
    assert len(supernet.users) == 3 * nodes


def by_name(net: nn.Module) -> None:
    """Initialise every weight from its name alone, whatever else the network holds."""
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            generator = torch.Generator().manual_seed(crc32(name.encode()))
            nn.init.normal_(parameter, std=0.2, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def test_a_domain_of_the_bundle_learns_what_it_would_learn_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the same weights and batches: the others do not touch it."""
    monkeypatch.setattr("mpnas_kit.network.net._initialise", by_name)
    suite, space, paths = tiny.suite(3), tiny.space(), tiny_like()
    _, config = configs(Bundle())
    together = train(suite, space, paths, config)
    alone = train(suite.select(["a"]), space, {"a": paths["a"]}, config)
    own = alone.net.state_dict()
    assert own and all(torch.equal(together.net.state_dict()[n], w) for n, w in own.items())


def test_the_single_path_is_taken_over_from_the_largest_domain_and_can_be_frozen() -> None:
    suite, space = tiny.suite(3), tiny.space()
    path = space.parse("k3e2 k5e3")
    alone = train(suite.select(["a"]), space, {"a": path}, tiny.train_config()).net
    start, paths = Start.of(alone, {"a": path}), dict.fromkeys(DOMAINS, path)
    frozen, tuned = (
        train(suite, space, paths, tiny.train_config(frozen=f), start=start).net
        for f in (True, False)
    )
    kernels = {n: p for n, p in alone.nodes.named_parameters() if p.ndim == 4}
    assert kernels
    for name, kernel in kernels.items():
        assert torch.equal(frozen.nodes.get_parameter(name), kernel)
        assert not torch.equal(tuned.nodes.get_parameter(name), kernel)
    scale = "1_k3e2.project_norm.weight.of_"
    learned = alone.nodes.get_parameter(f"{scale}a")
    for domain in DOMAINS:
        assert torch.equal(frozen.nodes.get_parameter(f"{scale}{domain}"), learned)
    fresh = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", 0)
    before, after = (n.head_of("b").get_parameter("weight") for n in (fresh, frozen))
    assert not torch.equal(before, after)


# The practitioner's backbones ---------------------------------------------------------------------

UNIFORM = "k3e1 " * 10


@pytest.mark.parametrize(
    ("text", "weighs", "settings"),
    [
        ("backbone", True, {"frozen": False}),
        ("backbone(shared=False)", False, {"private_from": 0}),
        ("backbone(tuned='norms')", False, {"frozen": True, "frozen_norms": "tuned"}),
        ("backbone(tuned='heads')", False, {"frozen": True, "frozen_norms": "start"}),
    ],
)
def test_a_backbone_says_what_is_tuned(text: str, weighs: bool, settings: dict[str, Any]) -> None:
    approach = APPROACH.parse(text)
    assert label(approach) == text and not approach.searches
    assert approach.weighs == weighs
    given = replace(approach, path=UNIFORM)
    plan = given.plan(replace(context(), started=True))
    assert plan.paths is not None and set(plan.paths) == set(DOMAINS)
    assert {path.arch for path in plan.paths.values()} == {UNIFORM.strip()}
    own = {} if weighs else {"prioritization": Uniform()}
    assert plan.train == {**settings, **own} and not plan.search


@pytest.mark.parametrize("tuned", ["norms", "heads"])
def test_a_backbone_that_stays_needs_a_start(tuned: Literal["norms", "heads"]) -> None:
    with pytest.raises(MpnasError, match="keeps the weights of a start, and the run has none"):
        Backbone(tuned, path=UNIFORM).plan(context())
    assert Backbone(path=UNIFORM).plan(context()).paths


def test_a_backbone_needs_a_path() -> None:
    with pytest.raises(
        MpnasError, match=r"'pocket' is not built around an original network.*path="
    ):
        Backbone().plan(context())
    with pytest.raises(MpnasError, match="shared=False and tuned='heads' do not go together"):
        Backbone("heads", shared=False)


def test_a_pretrained_single_path_has_the_full_rate_unless_the_run_has_a_start() -> None:
    own = SinglePath(path=UNIFORM, pretrained=True)
    assert own.plan(context()).train["loaded_rate"] == 1
    assert "loaded_rate" not in own.plan(replace(context(), started=True)).train


@pytest.mark.parametrize(
    ("text", "pretrained"),
    [
        ("single_path", False),
        ("single_path(frozen=True)", True),
        ("single_path(pretrained=True)", True),
        ("single_path(frozen=True, pretrained=False)", False),
    ],
)
def test_only_a_frozen_single_path_is_trained_twice_unless_asked(
    text: str, pretrained: bool
) -> None:
    approach = APPROACH.parse(text)
    assert label(approach) == text and approach.plan(context()).pretrained == pretrained


# Paths by hand and by chance ----------------------------------------------------------------------


def test_the_path_by_hand_has_one_block_and_is_nearest_to_the_target() -> None:
    space = pocket_space()
    costs = {p.arch.split()[0]: space.cost(p).multiply_adds for p in space.uniform_paths()}
    assert len(costs) == 8 and all(len(set(p.arch.split())) == 1 for p in space.uniform_paths())
    for block, cost in costs.items():
        if list(costs.values()).count(cost) == 1:
            path = given_or_uniform_path(context(cost_target=cost * 0.999), None)
            assert path.arch == " ".join([block] * 10)
    assert given_or_uniform_path(context(), "k3e1 " * 10) == space.parse("k3e1 " * 10)


def test_a_space_of_one_path_has_it_by_hand() -> None:
    space = mobilenet_v3_large(32)
    assert space.uniform_paths() == (space.parse(""),)


def test_the_full_space_has_paths_by_hand_too() -> None:
    space = mobilenet_v3_like()
    paths = space.uniform_paths()
    assert len(paths) == 3 * 6 * 2
    words = paths[0].arch.split()
    assert words.count("k3e1") == 20 and words.count("x1") == 5 and "zero" not in words


@pytest.mark.parametrize("draw", [0, 1, 2])
def test_random_paths_cost_what_the_searched_ones_cost(draw: int) -> None:
    space, wanted = pocket_space(), like()
    plan = RandomPaths(draw).plan(context())
    assert plan.paths is not None and tuple(plan.paths) == DOMAINS
    for domain, path in plan.paths.items():
        cost, target = (space.cost(p).multiply_adds for p in (path, wanted[domain]))
        assert abs(cost / target - 1) <= 0.05
        assert path != wanted[domain]


def test_random_paths_differ_by_draw_and_are_the_same_again() -> None:
    first, again, other = (RandomPaths(d).plan(context()).paths for d in (0, 0, 1))
    assert first == again != other


def test_even_paths_cost_the_target_whatever_the_searched_ones_cost() -> None:
    paths = EvenPaths(draw=1).plan(context(cost_target=500_000.0)).paths
    assert paths is not None and len(set(paths.values())) > 1
    for path in paths.values():
        assert abs(pocket_space().cost(path).multiply_adds / 500_000 - 1) <= 0.05
    assert paths != EvenPaths().plan(context(cost_target=500_000.0)).paths


def test_every_seed_of_a_study_has_random_paths_of_its_own() -> None:
    first, second = (context(cost_target=500_000.0, seed=seed) for seed in (0, 1))
    for approach in (RandomPaths(), RandomPaths(match="size"), EvenPaths()):
        plans = [approach.plan(replace(c, matched=first.matched)).paths for c in (first, second)]
        assert plans[0] != plans[1]


def test_even_paths_use_the_cost_model_of_the_search() -> None:
    paths = EvenPaths().plan(context(cost=Parameters(), cost_target=20_000.0)).paths
    assert paths is not None
    for path in paths.values():
        assert abs(pocket_space().cost(path).parameters / 20_000 - 1) <= 0.05
    for joint, name in ((UnionShare(), "union_share"), (Unshared(), "unshared")):
        with pytest.raises(MpnasError, match=f"even_paths .* the cost {name}.* of all domains"):
            EvenPaths().plan(context(cost=joint))


def test_separate_models_on_random_paths_have_the_paths_of_the_shared_ones() -> None:
    for given in (context(), replace(context(), matched=None)):
        shared, apart = RandomPaths().plan(given), RandomPaths(shared=False).plan(given)
        assert apart.paths == shared.paths and not shared.train
        assert apart.train == PrivatePaths().plan(context()).train
    assert RandomPaths().weighs and not RandomPaths(shared=False).weighs


def test_random_paths_without_a_run_to_match_cost_what_the_target_says() -> None:
    alone = Context(pocket_space(), DOMAINS, SearchConfig(cost_target=500_000.0))
    paths = RandomPaths().plan(alone).paths
    assert paths is not None
    costs = [pocket_space().cost(p).multiply_adds for p in paths.values()]
    assert all(abs(c / 500_000 - 1) <= 0.05 for c in costs)


def size(paths: Mapping[str, Path] | None) -> int:
    """Parameters of the union of paths."""
    assert paths is not None
    return pocket_space().union_cost(paths.values()).parameters


@pytest.mark.parametrize("draw", [0, 1])
def test_random_paths_of_the_same_size_have_the_costs_and_the_size_of_the_searched_ones(
    draw: int,
) -> None:
    space, wanted = pocket_space(), like()
    paths = RandomPaths(draw, match="size").plan(context()).paths
    assert abs(size(paths) / size(wanted) - 1) <= 0.05
    assert paths is not None and paths != RandomPaths(draw).plan(context()).paths
    for domain, path in paths.items():
        cost, target = (space.cost(p).multiply_adds for p in (path, wanted[domain]))
        assert abs(cost / target - 1) <= 0.05
    assert paths == RandomPaths(draw, match="size").plan(context()).paths


def test_random_paths_reach_the_size_of_a_union_that_is_one_small_path() -> None:
    """A walk that is never worse ends at one path for all that is too large."""
    space = pocket_strided()
    small = space.parse("3.1+4.1 k5e4 k7e2 k5e2 k3e2se k5e1 k3e1 k5e1 k3e1 k5e1 k5e1")
    matched = dict.fromkeys("abcdef", small)
    alone = Context(space, tuple(matched), SearchConfig(), matched)
    paths = RandomPaths(match="size").plan(alone).paths
    assert paths is not None and small not in paths.values()
    assert abs(space.union_cost(paths.values()).parameters / 15_816 - 1) <= 0.05


def test_random_paths_of_a_size_that_cannot_be_reached_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One domain has one path: its size follows from the cost. No try changes a size enough."""
    monkeypatch.setattr("mpnas_kit.approaches.same_size.TRIES", 1)
    monkeypatch.setattr("mpnas_kit.approaches.same_size.WALKS", 1)
    small, large = pocket_space().extremes(Parameters().price)
    matched = {"a": small, "b": small, "c": large}
    with pytest.raises(MpnasError, match="have a union of .* the nearest of 1 tries has .* draw"):
        RandomPaths(match="size").plan(replace(context(), matched=matched))


def test_a_single_path_can_have_the_size_of_the_searched_union() -> None:
    paths = SinglePath(match="size").plan(context()).paths
    assert paths is not None and len(set(paths.values())) == 1
    assert abs(size(paths) / size(like()) - 1) <= 0.05


def test_a_single_path_cannot_be_larger_than_the_space_allows() -> None:
    space = tiny.space()
    every = dict(zip("abcdefghijkl", tiny.all_paths(space), strict=True))
    large = Context(space, tuple(every), SearchConfig(), every)
    with pytest.raises(MpnasError, match="no path of .* parameters, the size of the MPNAS union"):
        SinglePath(match="size").plan(large)


def test_private_paths_are_those_of_the_run_and_share_nothing() -> None:
    plan = PrivatePaths().plan(context())
    assert plan.paths == like()
    assert plan.train == {"private_from": 0, "prioritization": Uniform()}
    assert not PrivatePaths().searches and not PrivatePaths().weighs


@pytest.mark.parametrize("level", [{"cost_target": 500_000.0}, {"cost_level": 0.4}])
def test_smaller_paths_have_a_part_of_the_cost_target(
    level: dict[str, float],
) -> None:
    assert MPNAS(scale=0.5).plan(context()).search == {"cost_scale": 0.5}
    plan = Bundle(scale=0.5).plan(context())
    space, plain = pocket_space(), SearchConfig(**level)
    narrow = replace(plain, **plan.search)
    assert narrow.private_from == 0 and "cost_scale" not in Bundle().plan(context()).search
    assert resolve_target(space, narrow, 3) == pytest.approx(resolve_target(space, plain, 3) / 2)
    mixed = space.with_resolutions({"a": 32, "b": 16, "c": 16})
    whole = resolve_targets(mixed, SearchConfig(cost_level=0.6), DOMAINS)
    part = resolve_targets(mixed, SearchConfig(cost_level=0.6, cost_scale=0.5), DOMAINS)
    assert part == {d: pytest.approx(target / 2) for d, target in whole.items()}
    with pytest.raises(MpnasError, match="cost_target .* times cost_scale 0.001 .* be reached"):
        resolve_target(space, replace(plain, cost_scale=0.001), 3)


def test_private_first_layers_change_the_training_only() -> None:
    plan = MPNAS(private_until=2).plan(context())
    assert plan.search == {} and plan.train == {"private_until": 2}
    assert MPNAS().plan(context()).train == {}
    with pytest.raises(MpnasError, match="private_until must be 0 to 11, not 12: .* has 12 layers"):
        MPNAS(private_until=12).plan(context())


def test_first_layers_that_a_space_lacks_are_refused_before_anything_is_written(
    tmp_path: FilePath,
) -> None:
    run = Run(tmp_path / "run", data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    with pytest.raises(MpnasError, match="private_until must be 0 to 3, not 4: the space has 4"):
        run.search(tiny.search_config(cost_target=60_000.0, private_until=4))
    assert not run.folder.exists()


@pytest.mark.parametrize("depth", [0, 3, 12])
def test_a_shared_trunk_can_end_at_every_depth(depth: int) -> None:
    alone = Context(pocket_space(), DOMAINS, SearchConfig())
    assert SharedTrunk(private_from=depth).plan(alone).train == {"private_from": depth}
    with pytest.raises(MpnasError, match="private_from must be 0 to 12, not 13"):
        SharedTrunk(private_from=13).plan(alone)


def test_the_shared_trunk_comes_nearest_to_the_size_of_mpnas() -> None:
    space = pocket_space()
    plan = SharedTrunk().plan(context())
    assert plan.paths is not None and len(set(plan.paths.values())) == 1
    used = plan.paths.values()
    depths = range(len(space.layers) + 1)
    sizes = [space.union_cost(used, private=PrivateLayers(since=i)).parameters for i in depths]
    assert sizes == sorted(sizes, reverse=True)
    wanted = space.union_cost(like().values()).parameters
    chosen = sizes[plan.train["private_from"]]
    assert abs(torch.tensor(chosen / wanted).log()) == min(
        abs(torch.tensor(s / wanted).log()) for s in sizes
    )


def test_the_union_of_a_trunk_and_tails_is_counted_as_the_network_has_it() -> None:
    space, classes = pocket_space(), dict.fromkeys(DOMAINS, 4)
    paths = dict.fromkeys(DOMAINS, space.uniform_paths()[1])
    for private in (
        *(PrivateLayers(since=depth) for depth in (0, 4, len(space.layers))),
        PrivateLayers(until=2),
    ):
        net = MultiPathNet.of_paths(space, paths, tiny.tasks(classes), "per_domain", 0, private)
        kernels = sum(p.numel() for n, p in net.nodes.named_parameters() if "norm" not in n)
        assert space.union_cost(paths.values(), private=private).parameters == kernels


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approach", APPROACHES, ids=label)
def test_an_approach_is_read_as_it_is_written(approach: Approach) -> None:
    assert APPROACH.parse(label(approach)) == approach


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: APPROACH.parse("mpans"), "unknown approach 'mpans'.*did you mean 'mpnas'"),
        (
            lambda: RandomPaths(-1),
            "random_paths: draw must be a whole number from 0 to 4,294,967,295",
        ),
        (
            lambda: SharedTrunk().plan(Context(pocket_space(), DOMAINS, SearchConfig())),
            "matched_to",
        ),
        (lambda: SinglePath(path="k3e1").plan(context()), "has 1 words"),
        (lambda: SinglePath(path="k3e1", match="size"), "path or match='size', not both"),
        (
            lambda: SinglePath(match="size").plan(replace(context(), matched=None)),
            "single_path.match='size'. needs an MPNAS run to match its size",
        ),
        (
            lambda: RandomPaths(match="size", shared=False),
            "random_paths: separate models have no union",
        ),
        (
            lambda: RandomPaths(match="size").plan(replace(context(), matched=None)),
            "needs an MPNAS run to match its size",
        ),
        (
            lambda: PrivatePaths().plan(replace(context(), matched=None)),
            "private_paths needs an MPNAS run to match its paths",
        ),
        (lambda: Bundle(scale=0), "bundle: scale must be a number above 0 and up to 1,000"),
        (
            lambda: tiny.train_config(private_from=-1),
            "private_from must be a whole number from 0 to 10,000, or None, not -1",
        ),
        (
            lambda: tiny.search_config(private_from=-1),
            "private_from must be a whole number from 0 to 10,000, or None, not -1",
        ),
        (lambda: tiny.search_config(controllers="two"), "controllers must be"),
    ],
)
def test_what_is_wrong_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MpnasError, match=message):
        make()


def test_abdp_is_the_default_of_both_stages() -> None:
    search_config, train_config = configs(MPNAS())
    assert search_config.prioritization == train_config.prioritization == ABDP()
