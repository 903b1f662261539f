"""Stages that begin with pretrained weights."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
import torch
import whole
from torch import Tensor, nn

import mpnas_kit as mk
from mpnas_kit.domains.batches import Standard
from mpnas_kit.engine.compute import Compute
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.network.norms import DomainNorm
from mpnas_kit.search.data import divide
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.starts.source import Start
from mpnas_kit.training import stage as stage_module
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train

ARCH = "k3e2 k5e3"
OTHER = "k3e1 k5e3"  # shares the second layer with it
PIXELS = Standard(torch.full((1, 3, 1, 1), 0.25), torch.full((1, 3, 1, 1), 0.125))


@cache
def start(seed: int = 0) -> Start:
    """A network of one domain that was trained for a few steps."""
    space, config = tiny.space(), tiny.train_config(seed=seed)
    pretrained = train(tiny.suite(1), space, {"a": space.parse(ARCH)}, config)
    return Start.of(pretrained.net, pretrained.paths)


def run(
    stage: str,
    folder: Path | None = None,
    *callbacks: Any,
    start: Start | None,
    archs: tuple[str, str] = (ARCH, ARCH),
    **settings: Any,
) -> Any:
    """A tiny stage of two domains that begins with a start."""
    suite, space = tiny.suite(), tiny.space()
    if stage == "search":
        config = tiny.search_config(**settings)
        return search(suite, space, config, start=start, folder=folder, callbacks=callbacks)
    paths = tiny.paths(space, archs)
    return train(
        suite,
        space,
        paths,
        tiny.train_config(**settings),
        start=start,
        folder=folder,
        callbacks=callbacks,
    )


def weights(net: MultiPathNet) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in net.named_parameters()}


def before(net: MultiPathNet, given: Start) -> tuple[dict[str, Tensor], frozenset[str]]:
    """The weights with which a training of this network began, and those that the start gave."""
    paths = {d: net.space.parse(ARCH) for d in net.tasks}
    fresh = MultiPathNet.of_paths(net.space, paths, net.tasks, net.norm, 0, net.private)
    loaded = given.load(fresh)
    return weights(fresh), loaded.names


# The folder ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", whole.STAGES)
def test_a_killed_stage_ends_with_the_same_bytes(stage: str, tmp_path: Path) -> None:
    run(stage, tmp_path / "whole", start=start())
    with pytest.raises(tiny.Stopped):
        run(stage, tmp_path / "killed", tiny.stop_at(3), start=start())
    run(stage, tmp_path / "killed", start=start())
    whole.assert_same_run(stage, tmp_path / "whole", tmp_path / "killed")
    tables = [(tmp_path / name / "start.csv").read_bytes() for name in ("whole", "killed")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("stage", whole.STAGES)
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (0, 1, "was made with another start"),
        (0, None, "was made with a start"),
        (None, 0, "was made with no start"),
    ],
)
def test_a_folder_with_another_start_is_refused(
    stage: str, first: int | None, second: int | None, words: str, tmp_path: Path
) -> None:
    def of(seed: int | None) -> Start | None:
        return None if seed is None else start(seed)

    with pytest.raises(tiny.Stopped):
        run(stage, tmp_path, tiny.stop_at(3), start=of(first))
    with pytest.raises(MpnasError, match=words):
        run(stage, tmp_path, start=of(second))


@pytest.mark.parametrize("stage", whole.STAGES)
def test_what_the_start_gave_is_read_back(stage: str, tmp_path: Path) -> None:
    result = run(stage, tmp_path, start=start())
    loaded = {"search": SearchResult, "train": TrainResult}[stage].load(tmp_path)
    pd.testing.assert_frame_equal(loaded.start_table, result.start_table)
    assert set(result.start_table["how"]) >= {"taken"}
    assert run(stage, start=None).start_table is None
    with (tmp_path / "start.csv").open("a") as file:
        file.write("more\n")
    with pytest.raises(MpnasError, match=r"start\.csv is not the file that the results belong to"):
        type(result).load(tmp_path)


# Rates --------------------------------------------------------------------------------------------


def test_loaded_weights_stay_at_rate_0_and_all_others_learn() -> None:
    net = run("train", start=start(), archs=(ARCH, OTHER), loaded_rate=0).net
    fresh = MultiPathNet.of_paths(
        net.space, tiny.paths(net.space, (ARCH, OTHER)), net.tasks, "per_domain", 0
    )
    names = start().load(fresh).names
    assert names and names < set(weights(net))
    for name, tensor in weights(fresh).items():
        assert torch.equal(weights(net)[name], tensor) == (name in names), name


def test_loaded_weights_have_their_share_of_the_rate() -> None:
    steps = {}
    for rate in (1.0, 0.25):
        net = run("train", start=start(), steps=1, average=0, loaded_rate=rate).net
        first, names = before(net, start())
        steps[rate] = {n: w - first[n] for n, w in weights(net).items()}
    for name, step in steps[1.0].items():
        share = 0.25 if name in names else 1.0
        torch.testing.assert_close(steps[0.25][name], share * step, rtol=1e-3, atol=1e-7)
    assert any(name not in names for name in steps[1.0])


def test_without_a_start_the_rate_of_loaded_weights_has_no_effect() -> None:
    first, second = (run("train", start=None, loaded_rate=rate).net for rate in (0.1, 1.0))
    assert first.fingerprint() == second.fingerprint()


def test_a_search_leaves_loaded_weights_at_rate_0(tmp_path: Path) -> None:
    run("search", tmp_path, start=start(), loaded_rate=0)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["net"]
    fresh = MultiPathNet.supernet(tiny.space(), tiny.suite().tasks, "per_domain", 0, collapse=True)
    names = start().load(fresh).names
    assert names
    changed = {n for n, p in weights(fresh).items() if not torch.equal(state[n], p)}
    assert not changed & names and any(n.startswith("heads.") for n in changed)


# What is trained ----------------------------------------------------------------------------------


def test_only_norms_and_heads_are_tuned() -> None:
    net = run("train", start=start(), frozen=True, frozen_norms="tuned").net
    first, _ = before(net, start())
    changed = {n for n, tensor in weights(net).items() if not torch.equal(tensor, first[n])}
    norms = [n for n, m in net.named_modules() if isinstance(m, DomainNorm)]
    assert norms
    for norm in norms:
        for domain in ("a", "b"):
            own = {f"{norm}.weight.of_{domain}", f"{norm}.bias.of_{domain}"}
            assert own & changed, norm
            changed -= own
    assert {n.partition(".")[0] for n in changed} == {"heads"}


def test_with_norms_of_the_start_only_heads_change() -> None:
    given = start()
    net = run("train", start=given, frozen=True, frozen_norms="start").net
    first, _ = before(net, given)
    changed = {n for n, tensor in weights(net).items() if not torch.equal(tensor, first[n])}
    assert {n.partition(".")[0] for n in changed} == {"heads"}
    images = tiny.images(5)
    own, source = copy.deepcopy(net).eval(), copy.deepcopy(given.net).eval()
    for one in (own, source):
        for name in one.heads:
            one.heads[name] = nn.Identity()
    path = net.space.parse(ARCH)
    with torch.no_grad():
        (expected,) = source([Flow("a", images, path)])
        for domain in ("a", "b"):
            (features,) = own([Flow(domain, images, path)])
            assert torch.equal(features, expected), domain


@pytest.mark.parametrize("kernels", ["native", "eager"])
def test_frozen_features_are_computed_once_and_are_those_of_every_step(
    kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Domain b has mirrored images. Both ways draw the same images, and give the same heads."""
    given, found = start(), []
    passes: list[int] = []
    real = MultiPathNet.features

    def counted(net: MultiPathNet, flows: Any, recompute: bool = False) -> list[Tensor]:
        if net.training:
            passes.append(sum(len(flow.images) for flow in flows))
        return real(net, flows, recompute)

    monkeypatch.setattr(MultiPathNet, "features", counted)
    same: dict[str, Any] = {"frozen": True, "frozen_norms": "start", "shift": 0, "steps": 12}
    for limit in (0, stage_module.LIMIT):
        monkeypatch.setattr(stage_module, "LIMIT", limit)
        found.append(run("train", start=given, kernels=kernels, micro_batches=2, **same))
        passes.append(-1)
    assert passes == [16] * 12 + [-1] + [36, 28, 28] + [-1]
    losses = [one.history["loss"].to_numpy() for one in found]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for name, tensor in weights(found[0].net).items():
        torch.testing.assert_close(weights(found[1].net)[name], tensor, rtol=1e-4, atol=1e-6)


def test_features_are_computed_in_every_step_if_they_change() -> None:
    frozen = {"frozen": True, "frozen_norms": "start", "shift": 0}
    constant = stage_module._Training._is_constant
    assert constant(tiny.train_config(**frozen), Compute())
    for other in ({"shift": 1}, {"frozen_norms": "tuned"}, {"frozen_norms": "measured"}):
        assert not constant(tiny.train_config(**{**frozen, **other}), Compute())
    assert not constant(tiny.train_config(**frozen), Compute(precision="bfloat16"))


def test_a_training_on_known_features_resumes_to_the_bit(tmp_path: Path) -> None:
    same: dict[str, Any] = {"frozen": True, "frozen_norms": "start", "shift": 0, "steps": 6}

    def stop(event: mk.StepEvent) -> None:
        if event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("train", tmp_path, stop, start=start(), **same)
    continued = run("train", tmp_path, start=start(), **same)
    assert continued.net.fingerprint() == run("train", start=start(), **same).net.fingerprint()


def test_features_of_the_start_do_not_depend_on_the_batch() -> None:
    """Parts of a batch are normalised alone, so with batch statistics losses would differ."""
    losses = [
        run("train", start=start(), frozen=True, frozen_norms=norms, micro_batches=parts)
        .history["loss"]
        .to_numpy()
        for norms in ("start", "measured")
        for parts in (1, 4)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[2] != pytest.approx(losses[3], rel=1e-3)


# Network input ------------------------------------------------------------------------------------


def test_all_domains_have_the_network_input_of_the_start(tmp_path: Path) -> None:
    """Statistics, evaluation, recorded inputs and predictions agree, also after a reload."""
    given, suite = replace(start(), standard=PIXELS), tiny.suite()
    result = run("train", tmp_path, start=given)
    loaded = TrainResult.load(tmp_path)
    for one in (result, loaded):
        assert one.signatures is not None
        for signature in one.signatures.values():
            assert (set(signature.mean), set(signature.deviation)) == ({0.25}, {0.125})
        table = mk.evaluate(one.net, suite, one.paths, "test").set_index("domain")
        reached = one.evaluation[one.evaluation["split"] == "test"].set_index("domain")
        pd.testing.assert_series_equal(table["loss"], reached["loss"])
        for domain in suite:
            right = mk.analysis.predictions(one, domain)["right"].mean()
            assert right == pytest.approx(one.accuracy()[domain.name])
    other = run("train", start=start()).evaluation["loss"]
    assert not other.equals(result.evaluation["loss"])


def untracked() -> Start:
    """A supernet as a start."""
    net = MultiPathNet.supernet(tiny.space(), tiny.tasks({"a": 3}), "per_domain", seed=0)
    return Start.of(net, {"a": tiny.space().parse(ARCH)})


def test_both_parts_of_a_search_have_the_network_input_of_the_start() -> None:
    for part in divide(tiny.suite(), 0.3, 0, PIXELS).values():
        assert part.weights.standard is part.reward.standard is PIXELS
    own = run("search", start=start()).history["loss"]
    given = run("search", start=replace(start(), standard=PIXELS)).history["loss"]
    assert not own.equals(given)


# Wrong inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run("train", start=start().net), "start must be a Start, not MultiPathNet"),  # type: ignore[arg-type]
        (lambda: run("search", start="lite0"), "start must be a Start, not 'lite0'"),  # type: ignore[arg-type]
        (
            lambda: run("train", start=None, frozen=True, frozen_norms="start"),
            "frozen_norms 'start' takes the batch norms of a start, and there is none",
        ),
        (
            lambda: run("train", start=untracked(), frozen=True, frozen_norms="start"),
            "the batch-norm statistics of the start, and a supernet has none",
        ),
        (
            lambda: tiny.train_config(frozen_norms="tuned"),
            "frozen_norms 'tuned' is for frozen weights: expected frozen=True",
        ),
        (
            lambda: tiny.train_config(loaded_rate=-1),
            "loaded_rate must be a number from 0 to 1,000, not -1",
        ),
    ],
)
def test_a_wrong_start_is_one_sentence(call: Callable[[], object], words: str) -> None:
    with pytest.raises(MpnasError, match=words):
        call()


def test_a_search_has_a_start_or_frozen_nodes() -> None:
    trained = run("train", start=None)
    suite = mk.DomainSuite([tiny.domain("c")], "more")
    with pytest.raises(MpnasError, match="start and frozen are both given"):
        search(suite, tiny.space(), tiny.search_config(), start=start(), frozen=trained)
