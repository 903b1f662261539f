"""Domains that are added to a trained network: nothing that was there changes, to the bit."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import whole

from mpnas_kit.deploy.model import Model
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.space.layerwise import LayerwiseSpace
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train

ARCHS = ["k3e1 k5e3", "k3e1 k3e1"]
GROWTH: dict[str, Any] = {"reward": "linear", "cost": "added_parameters"}


@pytest.fixture(scope="module")
def old() -> TrainResult:
    """A training of the domains a and b."""
    space = tiny.space()
    return train(tiny.suite(), space, tiny.paths(space, ARCHS), tiny.train_config())


def third() -> DomainSuite:
    """The domain c alone."""
    return tiny.suite(3).select(["c"])


def grown(old: TrainResult, arch: str = "k3e2 k5e3 own:0", **options: Any) -> TrainResult:
    """A training that adds domain c."""
    space, config = tiny.space(), options.pop("config", tiny.train_config(evaluate_every=2))
    return train(third(), space, {"c": space.read(arch)}, config, frozen=old, **options)


def test_old_domains_have_the_same_outputs_to_the_bit(old: TrainResult) -> None:
    new = grown(old)
    assert list(new.paths) == list(new.net.tasks) == ["a", "b", "c"]
    before, after = old.net.state_dict(), new.net.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    x = tiny.images(5)
    for domain, path in old.paths.items():
        with torch.no_grad():  # as in predictions; with gradients, other kernels may compute
            logits = [r.net([Flow(domain, x, path)])[0] for r in (old, new)]
        assert torch.equal(*logits)
    rows = new.evaluation[new.evaluation["domain"] != "c"]
    assert rows.to_dict("records") == old.evaluation.to_dict("records")


def test_growth_of_collapsed_weights_is_refused(old: TrainResult) -> None:
    with pytest.raises(MpnasError, match="expected collapse=False"):
        grown(old, config=tiny.train_config(collapse=True))
    space = tiny.space()
    paths = tiny.paths(space, ["k3e1 k5e3", "k3e2 k3e3"])
    collapsed = train(tiny.suite(), space, paths, tiny.train_config(collapse=True))
    assert collapsed.net.lenders
    with pytest.raises(MpnasError, match="weights in common"):
        grown(collapsed)


def test_only_what_is_new_is_trained(old: TrainResult) -> None:
    first, later = (grown(old, config=tiny.train_config(steps=n)).net for n in (1, 6))
    names = set(old.net.state_dict())
    for name, parameter in later.named_parameters():
        assert parameter.requires_grad == (name not in names), name
        changed = not torch.equal(parameter, first.get_parameter(name))
        assert changed == (name not in names), name
    new = {name.rpartition(".")[0] for name in later.state_dict() if name not in names}
    assert "heads.of_c" in new and any(name.startswith("nodes.0_conv3@c") for name in new)
    assert any(name.startswith("nodes.1_k3e2") for name in new)
    shared = {n for n in new if n.startswith("nodes.2_k5e3.")}
    assert shared and all("norm" in name for name in shared)


def test_a_search_in_two_phases_with_exact_costs_adds_a_domain(old: TrainResult) -> None:
    """Layers with a choice between a frozen and a new node count in the expected cost too."""
    settings: dict[str, Any] = {"two_phases": True, "sampling": "fair", "exact_cost": True}
    config = tiny.search_config(**GROWTH, **settings, cost_target=1000.0)
    found = search(third(), tiny.space(), config, frozen=old)
    assert list(found.paths) == ["c"] and found.history["cost"].dropna().gt(0).all()


def test_a_search_trains_and_samples_beside_frozen_nodes(old: TrainResult) -> None:
    from mpnas_kit.search import stage

    seen = []

    class Watched(stage._Search):
        def advance(self) -> Any:
            seen.append(self.net)
            return super().advance()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_Search", Watched)
        found = search(third(), tiny.space(), tiny.search_config(**GROWTH), frozen=old)
    (net,) = set(seen)
    copied = old.net.state_dict()
    frozen = [n for n, p in net.named_parameters() if not p.requires_grad]
    assert {n.split(".")[1] for n in frozen} == {
        "0_conv3",
        "1_k3e1",
        "2_k3e1",
        "2_k5e3",
        "3_conv1",
    }
    assert all(torch.equal(net.get_parameter(n), copied[n]) for n in frozen)
    norms = [m for m in net.modules() if isinstance(m, DomainNorm)]
    assert {name for norm in norms for name in norm.names} == {"of_c"}
    assert list(found.paths) == ["c"] and found.cost_unit == "added parameters"
    trained = train(third(), tiny.space(), found.paths, tiny.train_config(), frozen=old)
    assert trained.paths["c"].arch == found.paths["c"].arch


def test_a_high_price_leads_to_frozen_nodes_only(old: TrainResult) -> None:
    config = tiny.search_config(
        **{**GROWTH, "reward": "linear(beta=-10)"}, steps=60, controller_spread=20.0
    )
    found = search(third(), tiny.space(), config, frozen=old)
    assert found.costs == {"c": 0.0}


@pytest.mark.parametrize("stage", ["search", "train"])
def test_a_killed_growth_ends_with_the_same_bytes(
    old: TrainResult, stage: str, tmp_path: Path
) -> None:
    def run(folder: Path, *callbacks: Any) -> Any:
        options: dict[str, Any] = {"folder": folder, "callbacks": callbacks}
        if stage == "train":
            return grown(old, **options)
        config = tiny.search_config(**GROWTH)
        return search(third(), tiny.space(), config, frozen=old, **options)

    run(tmp_path / "whole")
    with pytest.raises(tiny.Stopped):
        run(tmp_path / "killed", tiny.stop_at(5))
    run(tmp_path / "killed")
    whole.assert_same_run(stage, tmp_path / "whole", tmp_path / "killed")


def test_a_growth_is_read_from_its_folders(old: TrainResult, tmp_path: Path) -> None:
    space = tiny.space()
    found = search(
        third(), space, tiny.search_config(**GROWTH), frozen=old, folder=tmp_path / "search"
    )
    read = SearchResult.load(tmp_path / "search", space=space)
    assert read.paths == found.paths and read.space.decisions == found.space.decisions
    trained = grown(old, folder=tmp_path / "train")
    again = TrainResult.load(tmp_path / "train", space=space)
    assert again.paths == trained.paths and again.net.fingerprint() == trained.net.fingerprint()
    assert Model.of(again).domains == ("a", "b", "c")
    with pytest.raises(MpnasError, match="start"):
        other = train(tiny.suite(), space, old.paths, tiny.train_config(seed=1))
        grown(other, folder=tmp_path / "train")


def test_two_domains_added_together_share_what_is_new(old: TrainResult) -> None:
    space = tiny.space()
    suite = DomainSuite((tiny.domain("c", 2), tiny.domain("d", 3, seed=9)))
    paths = tiny.paths(space, ["k3e2 k3e1", "k3e2 k3e1"], "cd")
    config = tiny.train_config()
    net = train(suite, space, paths, config, frozen=old).net
    (new,) = [node for node in net.users if node.block == "k3e2"]
    assert net.users[new] == ("c", "d")
    one = train(suite.select(["c"]), space, {"c": paths["c"]}, config, frozen=old)
    two = train(suite.select(["d"]), space, {"d": paths["d"]}, config, frozen=one)
    first, second = one.net.state_dict(), two.net.state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert two.net.users[new] == ("c", "d") and list(two.paths) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"norm": "mixed"}, "only with norm 'per_domain', but the setting is norm 'mixed'"),
        ({"frozen": True}, "expected frozen=False"),
        (
            {"private_from": 1},
            "None, not space 'tiny' and private_until 0, private_from 1",
        ),
        ({"private_until": 1}, "private_until 0, .* not space 'tiny' and private_until 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    old: TrainResult, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(MpnasError, match=words):
        grown(old, config=tiny.train_config(**settings))


def test_a_network_that_does_not_fit_is_named(old: TrainResult) -> None:
    space, config = tiny.space(), tiny.train_config()
    paths = tiny.paths(space, ARCHS)
    mixed = train(tiny.suite(), space, paths, tiny.train_config(norm="mixed"))
    with pytest.raises(MpnasError, match="the frozen network has norm 'mixed'"):
        grown(mixed)
    with pytest.raises(MpnasError, match="has a domain 'a' already"):
        train(tiny.suite(), space, paths, config, frozen=old)
    other = LayerwiseSpace("other", tiny.layers(), tiny.SIZE)
    with pytest.raises(MpnasError, match="frozen network has space 'tiny' .* not space 'other'"):
        search(third(), other, tiny.search_config(), frozen=old)
    for wrong in (old.net, "runs/mine"):
        with pytest.raises(MpnasError, match="expected"):
            search(third(), space, tiny.search_config(), frozen=wrong)  # type: ignore[arg-type]
        with pytest.raises(MpnasError, match="frozen"):
            grown(wrong)  # type: ignore[arg-type]
