"""Domains whose images differ in size: costs, targets, networks, and a whole run."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

import mpnas_kit as mk
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.engine.loop import space_for
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search.config import SearchConfig, resolve_target, resolve_targets
from mpnas_kit.space.costs import UnionShare, path_costs
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.texts import describe_space, read_space


def halved(domain: Domain) -> Domain:
    """The domain with every second row and column only."""
    splits = {
        s: (tiny.pixels(domain.split(s))[:, :, ::2, ::2], domain.split(s).labels)
        for s in ("train", "val", "test")
    }
    return replace(domain, **splits)


def suite() -> DomainSuite:
    """Domain `a` of 16 pixels, domain `b` of 8."""
    a, b = tiny.suite()
    return DomainSuite((a, halved(b)), "mixed")


def space() -> SearchSpace:
    return space_for(suite(), tiny.space())


def run(folder: Path, **settings: object) -> mk.Run:
    return mk.Run(folder, domains=suite(), space=tiny.space(), **settings)  # type: ignore[arg-type]


# Space and costs ----------------------------------------------------------------------------------


def test_a_suite_names_the_size_of_every_domain() -> None:
    assert suite().resolutions == {"a": 16, "b": 8} and suite().resolution == 16
    assert repr(suite()) == "DomainSuite('mixed', 2 domains, 8 and 16 px)"


def test_a_path_costs_what_it_costs_in_a_space_of_the_domains_size() -> None:
    mixed = space()
    for path in tiny.all_paths(mixed):
        for domain, size in (("a", 16), ("b", 8), ("unknown", 16)):
            assert mixed.of(domain).cost(path) == tiny.space(size).cost(path)
        costs = path_costs(mk.MultiplyAdds(), mixed, {"a": path, "b": path})
        assert costs["a"] > 3 * costs["b"]
        share = UnionShare().costs(mixed, {"a": path, "b": path})
        assert share["a"] == share["b"] == mixed.cost(path).parameters / 2


def test_a_suite_of_one_size_leaves_the_space_as_it_is() -> None:
    plain = tiny.space()
    assert space_for(tiny.suite(), plain) is plain
    assert plain.of("a") is plain
    assert space().fingerprint() != plain.fingerprint()
    assert space_for(suite(), space()).fingerprint() == space().fingerprint()
    assert space().with_resolutions({"a": 16, "b": 16}).fingerprint() == plain.fingerprint()


def test_the_text_of_a_space_keeps_the_sizes() -> None:
    found = read_space(describe_space(space()), trust=False)
    assert found.resolutions == {"a": 16, "b": 8}
    assert found.fingerprint() == space().fingerprint()
    assert "resolutions" not in describe_space(tiny.space())


def test_images_that_a_space_does_not_expect_are_named() -> None:
    with pytest.raises(MpnasError, match="domain 'b' have 16 pixels per side.*expects 8 for this"):
        space_for(tiny.suite(), space())
    with pytest.raises(MpnasError, match="have 16 pixels per side, but space 'tiny' expects 32"):
        space_for(suite(), tiny.space(32))
    with pytest.raises(MpnasError, match="'x' have 32 pixels per side.*at most 16"):
        tiny.space().with_resolutions({"x": 32})
    with pytest.raises(MpnasError, match="resolution of domain 'x' must be a whole number from 1"):
        tiny.space().with_resolutions({"x": 0})


# Targets ------------------------------------------------------------------------------------------


def test_the_planted_space_needs_its_own_size_in_every_domain() -> None:
    space = mk.planted_space().with_resolutions({"a": 16, "b": 8})
    with pytest.raises(MpnasError, match="take images of 16 pixels, not 8"):
        path_costs(mk.MultiplyAdds(), space.of("b"), {"b": mk.planted_path(mk.planted_space(), 0)})


@pytest.mark.parametrize("level", [0.5, 1.0])
def test_every_size_has_the_target_that_it_would_have_alone(level: float) -> None:
    config = tiny.search_config(cost_level=level)
    alone = {size: resolve_target(tiny.space(size), config, 2) for size in (16, 8)}
    assert resolve_targets(space(), config, ["a", "b"]) == {"a": alone[16], "b": alone[8]}


def test_a_target_that_one_domain_cannot_reach_names_the_size() -> None:
    most = max(tiny.space(8).cost(p).multiply_adds for p in tiny.all_paths(space()))
    config = tiny.search_config(cost_target=most + 1.0)
    with pytest.raises(MpnasError, match=f"to {most:g} multiply-adds for images of 8 pixels"):
        resolve_targets(space(), config, ["a", "b"])
    joint = replace(config, cost_scope="joint")
    assert resolve_targets(space(), joint, ["a", "b"]) == {"a": most + 1.0, "b": most + 1.0}
    with pytest.raises(MpnasError, match="the mean cost of the domains' paths is"):
        resolve_targets(space(), replace(joint, cost_target=10.0 * most), ["a", "b"])


@pytest.mark.parametrize("scope", ["domain", "joint"])
def test_a_strong_reward_brings_every_domain_near_the_target_of_its_size(scope: str) -> None:
    config = tiny.search_config(
        steps=60, reward=mk.Absolute(-10.0), cost_scope=scope, controller_spread=10.0
    )
    found = mk.search(suite(), tiny.space(), config)
    targets = resolve_targets(space(), config, ["a", "b"])
    assert found.cost_targets == targets and targets["a"] > 3 * targets["b"]
    for domain, target in targets.items():
        costs = {
            p: float(space().of(domain).cost(p).multiply_adds) for p in tiny.all_paths(space())
        }
        assert found.costs[domain] == costs[found.paths[domain]]
        if scope == "domain":
            distances = sorted(abs(c - target) for c in costs.values())
            assert abs(found.costs[domain] - target) <= distances[3]


def test_random_controls_cost_what_the_target_of_a_domain_says() -> None:
    context = mk.Context(
        mk.pocket_space(64).with_resolutions({"a": 64, "b": 32}), ("a", "b"), SearchConfig()
    )
    paths = mk.EvenPaths().plan(context).paths
    assert paths is not None
    for domain, path in paths.items():
        cost = context.space.of(domain).cost(path).multiply_adds
        assert cost == pytest.approx(context.targets[domain], rel=0.05)
    assert context.target == pytest.approx(sum(context.targets.values()) / 2)


# Networks -----------------------------------------------------------------------------------------


def test_a_network_computes_images_of_two_sizes_as_each_alone() -> None:
    path = space().parse("k3e2 k5e3")
    tasks = tiny.tasks({"a": 3, "b": 4})
    net = MultiPathNet.of_paths(space(), {"a": path, "b": path}, tasks, "per_domain", 0).eval()
    generator = torch.Generator().manual_seed(0)
    flows = [
        Flow(d, torch.randn(5, 3, n, n, generator=generator), path)
        for d, n in (("a", 16), ("b", 8))
    ]
    together = net(flows)
    for flow, logits in zip(flows, together, strict=True):
        torch.testing.assert_close(net([flow])[0], logits)
    sizes = mk.analysis.account(net, {"a": path, "b": path})
    each = sizes.domains.set_index("domain")["multiply_adds"]
    heads = {"a": 16 * 3, "b": 16 * 4}
    for domain, size in (("a", 16), ("b", 8)):
        assert each[domain] == tiny.space(size).cost(path).multiply_adds + heads[domain]
    readings = sizes.multiply_adds.set_index("reading")["multiply_adds"]
    assert readings["union"] == each["a"] + heads["b"]


def test_the_norm_of_all_images_together_needs_one_size() -> None:
    with pytest.raises(MpnasError, match="norm 'mixed'.*not a 16, b 8 pixels"):
        mk.search(suite(), tiny.space(), tiny.search_config(norm="mixed"))


# A whole run --------------------------------------------------------------------------------------


def test_a_run_keeps_the_sizes_from_search_to_prediction(tmp_path: Path) -> None:
    began = run(tmp_path / "r")
    found = began.search(tiny.search_config())
    trained = began.train(tiny.train_config())
    again = mk.Run.read(tmp_path / "r")
    assert again.description.resolutions == {"a": 16, "b": 8}
    assert again.search_result().cost_targets == found.cost_targets
    assert again.train_result().net.space.resolutions == {"a": 16, "b": 8}
    assert run(tmp_path / "r", approach="mpnas").search(tiny.search_config()).paths == found.paths
    model = mk.load(tmp_path / "r")
    assert [model.signature(d).resolution for d in ("a", "b")] == [16, 8]
    scores = model.evaluate(suite()).domains.set_index("domain")
    accuracy = trained.accuracy("test")
    for domain in ("a", "b"):
        pixels = tiny.pixels(suite()[domain].test)
        labels = suite()[domain].test.labels
        classes = model.predict(pixels, domain=domain).probabilities.argmax(1)
        share = float((torch.from_numpy(classes) == labels).float().mean())
        assert share == pytest.approx(accuracy[domain])
        assert scores["accuracy"][domain] == pytest.approx(share)


def test_a_run_of_two_sizes_refuses_the_same_images_in_one_size(tmp_path: Path) -> None:
    run(tmp_path / "r").search(tiny.search_config())
    with pytest.raises(MpnasError, match="other images"):
        mk.Run(tmp_path / "r", domains=tiny.suite()).train(tiny.train_config())


@pytest.mark.parametrize("approach", ["bundle", "multi_head", "single_path"])
def test_every_approach_takes_domains_of_two_sizes(approach: str, tmp_path: Path) -> None:
    trained = run(tmp_path / "r", approach=approach)
    if trained.searches:
        trained.search(tiny.search_config())
    assert len(trained.train(tiny.train_config()).accuracy("test")) == 2


def test_a_domain_of_smaller_images_is_added_to_a_trained_run(tmp_path: Path) -> None:
    a, b = suite()
    old = mk.Run(tmp_path / "old", domains=DomainSuite((a,), "a"), space=tiny.space())
    old.search(tiny.search_config())
    old.train(tiny.train_config())
    new = old.grow(tmp_path / "new", data=DomainSuite((b,), "b"))
    assert new.space.resolutions == {"a": 16, "b": 8}
    found = new.search(steps=6, batch_size=8, reward_batch=8, threads=1)
    trained = new.train(steps=6, batch_size=8, threads=1)
    model = mk.load(tmp_path / "new")
    assert [model.signature(d).resolution for d in ("a", "b")] == [16, 8]
    frozen = old.train_result().net.state_dict()
    assert all(torch.equal(trained.net.state_dict()[name], t) for name, t in frozen.items())
    sizes = mk.analysis.account(trained.net, trained.paths).domains.set_index("domain")
    own = tiny.space(8).cost(tiny.space(8).parse(found.paths["b"].arch.partition(" own:")[0]))
    assert sizes["multiply_adds"]["b"] == own.multiply_adds + 16 * 4
    with pytest.raises(MpnasError, match="'a' have 16 pixels per side.*at most 8"):
        small = mk.Run(tmp_path / "s", domains=DomainSuite((b,), "b"), space=tiny.space(8))
        small.search(tiny.search_config())
        small.train(tiny.train_config())
        small.grow(tmp_path / "s2", data=DomainSuite((a,), "a"))


@pytest.mark.parametrize("format", ["onnx", "pte"])
def test_a_file_of_domains_of_two_sizes_predicts_as_the_run(format: str, tmp_path: Path) -> None:
    began = run(tmp_path / "r")
    began.search(tiny.search_config())
    began.train(tiny.train_config())
    model = mk.load(tmp_path / "r")
    out = tmp_path / f"both.{format}"
    mk.export(model, out, format=format)  # type: ignore[arg-type]
    exported = mk.load(out)
    for domain in ("a", "b"):
        pixels = tiny.pixels(suite()[domain].test)
        found = exported.predict(pixels, domain=domain).probabilities
        expected = model.predict(pixels, domain=domain).probabilities
        torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=1e-4, rtol=0)
    card = Path(f"{out}.card.md").read_text()
    names = ["`images_16`", "`images_8`"] if format == "onnx" else ["`a`", "`b`"]
    assert all(
        f"{name}: uint8 (batch, 3, {n}, {n})" in card
        for name, n in zip(names, (16, 8), strict=True)
    )
