"""Paths measured on a frozen supernet: always the same images, whatever is asked together."""

import pytest
import tiny
import torch

from mpnas_kit.engine.compute import Compute
from mpnas_kit.network.net import Flow, MultiPathNet
from mpnas_kit.search import scoring
from mpnas_kit.search.data import divide
from mpnas_kit.search.quality import Quality
from mpnas_kit.search.scoring import Scorer

SUITE, SPACE = tiny.three(), tiny.space()
PARTS = divide(SUITE, 0.5, seed=0)
PATHS = list(tiny.all_paths(SPACE))


def scorer(quality: Quality = "task", images: int = 100, seed: int = 0) -> Scorer:
    net = MultiPathNet.supernet(SPACE, SUITE.tasks, "per_domain", seed=0)
    sources = {d: part.reward for d, part in PARTS.items()}
    return Scorer(net, sources, quality, images, seed, Compute())


def test_a_path_has_one_quality_whatever_is_asked_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    together = scorer().quality("b", PATHS)
    assert together.dtype == torch.float64 and together.shape == (len(PATHS),)
    alone = torch.cat([scorer().quality("b", [path]) for path in PATHS])
    assert torch.equal(alone, together)
    monkeypatch.setattr(scoring, "_AT_ONCE", 5)
    assert torch.equal(scorer().quality("b", PATHS), together)


def test_the_quality_is_that_of_the_whole_reward_part() -> None:
    source, measured = PARTS["a"].reward, scorer()
    index = torch.arange(len(source.split))
    images, labels = source.standard(source.split.take(index)), source.split.labels
    with torch.no_grad():
        (logits,) = measured.net([Flow("a", images, PATHS[3])])
    right = (logits.argmax(1) == labels).double().mean()
    assert float(measured.quality("a", [PATHS[3]])) == pytest.approx(float(right))
    likely = logits.softmax(1).gather(1, labels[:, None]).double().mean()
    assert float(scorer("probability").quality("a", [PATHS[3]])) == pytest.approx(
        float(likely), rel=1e-5
    )


def test_a_limit_takes_other_images_with_another_seed() -> None:
    few = [scorer("probability", images=4, seed=seed).quality("a", PATHS) for seed in (0, 0, 1)]
    assert torch.equal(few[0], few[1]) and not torch.equal(few[0], few[2])
