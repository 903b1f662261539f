"""How far the supernet and retraining put paths in one order."""

from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch

from mpnas_kit.analysis.trust import Trust
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.trust import supernet_quality, supernet_trust


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trust") / "run"
    opened = Run(folder, data="tiny:suite(count=3)", domains="a,b", space="tiny:space")
    opened.search(tiny.search_config())
    opened.train(tiny.train_config())
    return opened


def rows(supernet: list[float], retrained: list[float], cost: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"supernet": supernet, "retrained": retrained, "multiply_adds": cost})


def test_tau_by_hand() -> None:
    """Four paths, six pairs: one in the other order, so (5 - 1) / 6."""
    trust = Trust("a", rows([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.8, 0.7], [4, 3, 2, 1]))
    assert trust.tau()[0] == pytest.approx(4 / 6)
    assert trust.tau("multiply_adds")[0] == pytest.approx(-4 / 6)


def test_paths_are_measured_and_retrained_and_only_read_the_second_time(run: Run) -> None:
    lines: list[str] = []
    trust = supernet_trust(run, "a", paths=4, steps=2, tell=lines.append)
    assert len(trust.rows) == len(lines) == 4
    folders = sorted((run.folder / "trust" / "a").iterdir())
    assert [f.name for f in folders] == ["2_00", "2_01", "2_02", "2_03"]
    before = [(f / "results.json").stat().st_mtime_ns for f in folders]
    again = supernet_trust(run, "a", paths=4, steps=2)
    assert again.rows.equals(trust.rows)
    assert [(f / "results.json").stat().st_mtime_ns for f in folders] == before
    costs = [run.space.cost(run.space.parse(a)).multiply_adds for a in trust.rows["arch"]]
    assert list(trust.rows["multiply_adds"]) == costs


def test_the_quality_is_that_of_the_search_s_own_weights_on_reward_images(run: Run) -> None:
    """Domain a: 36 training images, 0.3 of each class for rewards: 12, in one batch."""
    path = run.space.parse("k3e2 k3e3")
    (quality,) = supernet_quality(run, "a", [path])
    config = run.search_config()
    net = MultiPathNet.supernet(run.space, run.tasks, config.norm, config.seed, collapse=True)
    saved = torch.load(run.folder / "search" / "checkpoint.pt", weights_only=True)["state"]["net"]
    net.load_state_dict(saved)
    from mpnas_kit.search.data import divide

    part = divide(run.suite, config.reward_share, config.seed)["a"].reward
    assert len(part.split) == 12
    with torch.no_grad():
        (logits,) = net([Flow("a", part.standard(part.split.take(torch.arange(12))), path)])
    assert quality == pytest.approx(run.tasks["a"].quality(logits, part.split.labels))


def test_what_is_wrong_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MpnasError, match="at least 3 paths, not 2"):
        supernet_trust(run, "a", paths=2)
    with pytest.raises(MpnasError, match="unknown domain 'z'"):
        supernet_trust(run, "z", paths=3)
    weights = run.folder / "search" / "supernet.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:100])
        with pytest.raises(MpnasError, match="supernet.safetensors is not the file"):
            supernet_quality(run, "a", [run.space.parse("k3e2 k3e3")])
    finally:
        weights.write_bytes(whole)
