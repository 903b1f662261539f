"""Transfer between domains of a run: measured on planted relations, resumed, and checked."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from mpnas_kit.analysis.gradients import agreement_of
from mpnas_kit.analysis.relatedness import relate
from mpnas_kit.analysis.similarity import matched_matrix, matched_similarities, similarities
from mpnas_kit.domains.batches import DomainStream, Source, Standard
from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.runs.integrity import check_run
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.transfer import gradient_agreement, measured_transfer, searched_similarity
from mpnas_kit.space.backbone import lite0
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import OWN
from mpnas_kit.space.planted import planted_path, planted_space
from mpnas_kit.training.config import TrainConfig
from mpnas_kit.training.result import TrainResult

PATH = "k3e2 k3e3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return begun(tmp_path_factory.mktemp("transfer") / "run")


def begun(folder: Path) -> Run:
    """A run of three domains with a search and a training."""
    opened = Run(folder, data="tiny:suite(count=3)", space="tiny:space")
    opened.search(tiny.search_config())
    opened.train(tiny.train_config())
    return opened


def trainings(run: Run) -> dict[str, int]:
    files = sorted((run.folder / "transfer").glob("*/*/results.json"))
    return {f.parent.parent.name: f.stat().st_mtime_ns for f in files}


def test_every_domain_and_pair_is_trained_once_and_then_only_read(run: Run) -> None:
    lines: list[str] = []
    steps: list[int] = []

    def count(event: StepEvent) -> None:
        steps.append(event.step)

    transfer = measured_transfer(run, path=PATH, seeds=(0, 1), callbacks=[count], tell=lines.append)
    assert transfer.steps == 2, "a third of the steps of the training"
    assert len(lines) == 12 and lines[0].startswith("1 of 12: seed 0, a ")
    assert len(steps) == 12 * 2
    before = trainings(run)
    assert set(before) == {"a", "b", "c", "a+b", "a+c", "b+c"}
    again = measured_transfer(run, path=PATH, seeds=(0, 1), callbacks=[count])
    assert again.rows.equals(transfer.rows) and trainings(run) == before
    assert len(steps) == 12 * 2
    place = run.folder / "transfer"
    states = {c.state for c in check_run(run.folder) if place in c.folder.parents}
    assert states == {"finished"}


def test_a_gain_is_the_difference_of_two_trainings_of_equal_weights(run: Run) -> None:
    transfer = measured_transfer(run, path=PATH, seeds=(0, 1))
    (folder,) = (run.folder / "transfer" / "a+b").glob("*_0")
    joint = TrainResult.load(folder)
    assert [path.arch for path in joint.paths.values()] == [PATH, PATH]
    assert set(joint.history["weight"]) == {1.0}
    row = transfer.rows.query("domain == 'b' and partner == 'a' and seed == 0").iloc[0]
    assert row["joint"] == joint.accuracy("val")["b"]
    alone = TrainResult.load(next((run.folder / "transfer" / "b").glob("*_0")))
    assert row["alone"] == alone.accuracy("val")["b"]


def test_the_path_is_the_uniform_one_nearest_to_the_target_unless_given(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    transfer = measured_transfer(run, seeds=(0, 1), steps=1)
    assert transfer.arch == "k3e1 k3e1", "the only block that both layers offer"
    measured_transfer(run, path=PATH, seeds=(0, 1), steps=1)
    measured_transfer(run, seeds=(0, 1), steps=2)
    names = {folder.name for folder in (run.folder / "transfer" / "a").iterdir()}
    assert len(names) == 6, "other steps and another path have folders of their own"


def test_what_is_wrong_is_named(run: Run, tmp_path: Path) -> None:
    for wrong, words in (
        ({"seeds": (0,)}, "at least 2 different ones.*not 0"),
        ({"seeds": (1, 1)}, "at least 2 different ones.*not 1, 1"),
        ({"seeds": "0,1"}, "must be a list of whole numbers"),
        ({"seeds": (0, -1)}, "a seed must be a whole number from 0"),
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"path": "k9 k9"}, "k9"),
    ):
        with pytest.raises(MpnasError, match=words):
            measured_transfer(run, **wrong)  # type: ignore[arg-type]
    one = Run(tmp_path / "one", data="tiny:suite", domains="a", space="tiny:space")
    with pytest.raises(MpnasError, match="at least two domains"):
        measured_transfer(one)
    assert not (tmp_path / "one").exists(), "a refused measurement begins no run"
    with pytest.raises(MpnasError, match="search stage .* was not begun"):
        gradient_agreement(one, stage="search")
    with pytest.raises(MpnasError, match="batches must be a whole number from 2"):
        gradient_agreement(run, batches=1)
    with pytest.raises(MpnasError, match="stage must be 'train' or 'search'"):
        gradient_agreement(run, stage="both")  # type: ignore[arg-type]


def test_cosines_on_the_union_are_those_of_autograd(run: Run) -> None:
    """The head is shared by all paths. One batch has all images of a domain, in two halves."""
    agreement = gradient_agreement(run, batches=2)
    trained = run.train_result()
    shared = {
        (a, b): len(run.space.nodes(trained.paths[a]) & run.space.nodes(trained.paths[b])) + 2
        for a, b in (("a", "b"), ("a", "c"), ("b", "c"))
    }
    counts = agreement.rows.groupby(["first", "second"]).size().to_dict()
    assert counts == shared, "searched nodes, stem and head"
    assert agreement.rows["cosine"].between(-1, 1).all()
    assert agreement.rows["ceiling"].between(0, 1).all()
    assert set(agreement.rows["batches"]) == {2}
    assert not trained.net.training


def test_equal_networks_on_equal_batches_agree_as_their_halves_do() -> None:
    """Halves a1 = b1 and a2 = b2: the four cosines are 1, 1, r and r, and the ceiling is r."""
    first, space = tiny.domain("a", train=48), tiny.space()
    tasks = {"a": first.task, "b": first.task}
    paths = dict.fromkeys("ab", space.parse(PATH))
    net = MultiPathNet.of_paths(space, paths, tasks, "per_domain", seed=0)
    net.heads["of_b"].load_state_dict(net.heads["of_a"].state_dict())
    source = Source(first.train, Standard.of(first))
    streams = {name: DomainStream(source, 48, seed=3) for name in "ab"}
    before = net.fingerprint()
    rows = agreement_of(net, streams, [paths], label_smoothing=0.1).rows
    agreeing = rows[rows["ceiling"] > 0]
    assert len(rows) == 4 and len(agreeing) > 1
    assert np.allclose(agreeing["cosine"], (1 + agreeing["ceiling"]) / 2)
    assert net.fingerprint() == before


def test_on_the_supernet_all_domains_take_the_same_random_paths(run: Run) -> None:
    agreement = gradient_agreement(run, stage="search", batches=5)
    by_layer = agreement.rows.groupby(["layer", "first", "second"])["batches"].sum()
    assert (by_layer.loc[["stem", "two", "head"]] == 5).all()
    assert (by_layer.loc["one"] <= 5).all(), "a path may skip this layer"
    assert agreement.matrix().notna().all(axis=None)
    again = gradient_agreement(run, stage="search", batches=5)
    assert again.rows.equals(agreement.rows)


@pytest.mark.parametrize("kind", ["factored", "backbone"])
def test_gradients_are_compared_in_every_kind_of_space(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Widths are searched in one space. In the other one, domains may have private copies."""
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", tiny.SIZE) if kind == "factored" else lite0(32)
    generator = torch.Generator().manual_seed(0)
    paths = {name: space.sample(generator) for name in "ab"}
    suite = tiny.suite()
    net = MultiPathNet.of_paths(space, paths, suite.tasks, "per_domain", seed=0, collapse=True)
    streams = {d.name: DomainStream(Source(d.train, Standard.of(d)), 8, 0) for d in suite}
    rows = agreement_of(net, streams, [paths], 0.0).rows
    used = [{u.node for u in space.uses(p) if u and u.node.owner != OWN} for p in paths.values()]
    assert len(rows) == len(used[0] & used[1]) > 0
    assert np.isfinite(rows["cosine"]).all()


def test_chance_is_higher_for_cheap_paths() -> None:
    space = tiny.space()
    cheap, _ = space.extremes(lambda use: float(use.cost.multiply_adds))
    costly = space.parse("k5e2se k5e3")
    paths = {"a": cheap, "b": cheap, "c": costly}
    chance = matched_matrix(space, paths, draws=20)
    assert (np.diag(chance) == 1).all() and chance.equals(chance.T)
    assert chance.loc["a", "b"] == 1, "only one path is as cheap"
    values = matched_similarities(space, {"a": cheap, "b": cheap}, seed=0)
    assert (values == 1).all()


def test_similarity_is_the_mean_over_seeds_of_one_search(run: Run) -> None:
    own = searched_similarity(run)
    assert own.seeds == (run.search_config().seed,)
    other = run.sibling(run.folder / "cells" / "second", approach="mpnas")
    other.search(tiny.search_config(seed=5))
    changed = run.sibling(run.folder / "cells" / "third", approach="mpnas")
    changed.search(tiny.search_config(seed=6, learning_rate=0.05))
    both = searched_similarity(run)
    assert both.seeds == (own.seeds[0], 5), "other settings are another search"
    second = similarities(run.space, other.paths())
    assert np.allclose(both.matrix, (own.matrix + second) / 2)


def test_planted_relation_is_found(tmp_path: Path) -> None:
    """Planted domains 0 and 3 have the same directions, domain 1 has others. The path is theirs."""
    suite, space = planted_suite(4, train=1024, test=200), planted_space()
    related, stranger = ("planted0", "planted3"), "planted1"
    planted = Run(tmp_path / "run", domains=suite.select([*related, stranger]), space=space)
    planted.train_config = lambda **_: TrainConfig(  # type: ignore[method-assign]
        learning_rate=0.2, average=0.9, shift=0, threads=1
    )
    right = planted_path(space, 0)
    transfer = measured_transfer(planted, path=right.arch, seeds=(0, 1), steps=60)
    gains = transfer.symmetric()
    assert gains.loc[related] > 5
    assert gains.loc[related] > max(gains.loc[domain, stranger] for domain in related) + 5
    paths = {"planted0": right, "planted3": right, stranger: planted_path(space, 1)}
    similarity = similarities(space, paths)
    (test,) = relate(transfer, similarity, matched_matrix(space, paths, draws=5)).tests["rho"]
    assert test == pytest.approx(3**0.5 / 2), "only one of three pairs has similar paths"
