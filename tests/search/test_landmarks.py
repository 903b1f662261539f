"""Landmarks: what a few trained paths say of others, and how that rewards the controllers."""

from collections.abc import Callable, Sequence
from pathlib import Path as File
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from scipy.stats import spearmanr

from mpnas_kit.errors import MpnasError
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.landmarks import PENALTIES, Landmarks
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.space.backbone import lite0
from mpnas_kit.space.factored import FactoredSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.planted import planted_path, planted_space
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.spaces import pocket_space, pocket_strided

Truth = Callable[[str, Path], float]
WORTH = {"row": 1.0, "column": 0.3, "diagonal": -0.5}  # of a word, planted


def additive(domain: str, path: Path) -> float:
    return round(sum(WORTH[word] for word in path.arch.split()), 9)  # equal sums are ties


def landmarks(
    space: SearchSpace, truth: Truth, sets: int, domains: str = "ab", seed: int = 0
) -> Landmarks:
    """Random paths with scores of a known truth."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for number in range(sets):
        for domain in domains:
            path = space.sample(generator)
            score = truth(domain, path)
            row = {"set": number, "domain": domain, "arch": path.arch, "score": score}
            rows.append({**row, "accuracy": 0.5 + 0.01 * score})
    return Landmarks(pd.DataFrame(rows))


def noise(seed: int) -> Truth:
    random = np.random.default_rng(seed)
    return lambda domain, path: float(random.normal())


# The regression -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [True, False])
def test_a_planted_order_is_recovered(pooled: bool) -> None:
    space = planted_space()
    values = landmarks(space, additive, sets=12).fit(space, pooled)
    assert all(tau > 0.9 for tau in values.tau().values())
    paths = list(tiny.all_paths(space))
    for domain in "ab":
        predicted = [values.value(domain, p) for p in paths]
        assert spearmanr(predicted, [additive(domain, p) for p in paths]).statistic > 0.95
    best = max(paths, key=lambda p: values.value("a", p))
    assert best.arch == "row row row row"


def test_the_planted_paths_of_a_suite_are_better_than_others_by_their_words() -> None:
    """Planted domain 0 has rows in quarters 0 and 3, so its truth by words likes rows."""
    space = planted_space()
    words = planted_path(space, 0).arch.split()

    def truth(domain: str, path: Path) -> float:
        return -sum(abs(path.arch.split().count(w) - words.count(w)) for w in set(words))

    values = landmarks(space, truth, sets=16).fit(space)
    assert np.mean(list(values.tau().values())) > 0.3


@pytest.mark.parametrize("pooled", [True, False])
def test_pure_noise_is_worth_nothing(pooled: bool) -> None:
    """Leaving sets out is honest: over many draws the mean tau is 0, neither above nor below."""
    space = planted_space()
    taus = [
        np.nanmean(list(landmarks(space, noise(i), 8, seed=i).fit(space, pooled).tau().values()))
        for i in range(25)
    ]
    assert abs(np.mean(taus)) < 0.1


def test_domains_that_differ_are_told_apart_only_if_each_has_its_own_regression() -> None:
    space = planted_space()

    def opposite(domain: str, path: Path) -> float:
        return additive(domain, path) * (1 if domain == "a" else -1)

    made = landmarks(space, opposite, sets=12)
    alone, pooled = made.fit(space, pooled=False), made.fit(space)
    assert min(alone.tau().values()) > 0.9
    assert max(pooled.tau().values()) < 0.9


def test_the_regression_by_hand() -> None:
    """A word, centred at 1, once more or less: z = +-1 for scores +-1, so w = 1 / (1 + penalty)."""
    space = tiny.two_searched_layers()
    archs = ["conv1 conv1", "conv1 conv3", "conv1 conv1", "conv1 conv3"]
    rows = pd.DataFrame({"set": range(4), "domain": "a", "arch": archs})
    rows["score"] = [1.0, -1.0, 1.0, -1.0]
    rows["accuracy"] = [0.7, 0.5, 0.7, 0.5]
    values = Landmarks(rows).fit(space)
    # conv1 and conv3 are counted, both standardised to +-1: w1 = -w3 = 1 / (2 + penalty)
    expected = [2 / (2 + p) for p in PENALTIES]
    standardised = values.value("a", space.parse("conv1 conv1")) / np.std([0.7, 0.5] * 2, ddof=1)
    assert standardised == pytest.approx(expected[0])  # without noise the least penalty is best
    assert values.value("a", space.parse("conv1 conv3")) == pytest.approx(
        -values.value("a", space.parse("conv1 conv1"))
    )


@pytest.mark.parametrize(
    "space",
    [tiny.space(), pocket_space(), pocket_strided(), FactoredSpace("small", 32), lite0(32)],
    ids=lambda s: s.name,
)
def test_every_space_has_words(space: SearchSpace) -> None:
    """The truth is the number of words, of which a skipped layer has fewer in a factored space."""
    word = space.decisions[-1].choices[0]

    def truth(domain: str, path: Path) -> float:
        pairs = zip(space.decisions, path.choices, space.active(path.choices), strict=True)
        return float(sum(d.choices[c] == word for d, c, active in pairs if active))

    values = landmarks(space, truth, sets=16).fit(space)
    assert np.mean(list(values.tau().values())) > 0.6


def test_decisions_inside_a_skipped_layer_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space = FactoredSpace("small", 16)
    values = landmarks(space, noise(0), sets=6).fit(space)
    on = next(i for i, d in enumerate(space.decisions) if d.name.endswith("/on"))
    choices = [0] * len(space.decisions)
    choices[on] = space.decisions[on].choices.index("zero")
    skipped = space.path(choices)
    words = values.words.counts(skipped)
    assert words.sum() == sum(space.active(skipped.choices)) < len(space.decisions)


def test_the_scores_of_equal_paths_say_nothing() -> None:
    space = planted_space()
    values = landmarks(space, lambda domain, path: 1.0, sets=5).fit(space)
    assert values.value("a", space.parse("row row row row")) == 0
    assert all(np.isnan(tau) for tau in values.tau().values())
    assert "unknown" in repr(values)


# The reward ---------------------------------------------------------------------------------------


def test_qualities_are_mixed_by_hand() -> None:
    space = planted_space()
    values = landmarks(space, additive, sets=8).fit(space)
    paths = {d: [space.parse(f"{w} {w} row row") for w in WORTH] for d in "ba"}
    quality = torch.tensor([[0.2, 0.4, 0.6], [0.5, 0.5, 0.5]], dtype=torch.float64)
    told = [[values.value(d, p) for p in own] for d, own in paths.items()]
    mean = quality.mean(1, keepdim=True)
    expected = 0.75 * quality + 0.25 * (mean + torch.tensor(told, dtype=torch.float64))
    assert torch.allclose(values.mix(quality, paths, 0.25), expected)
    assert torch.equal(values.mix(quality, paths, 0.0), quality)
    mixed = values.mix(torch.full_like(quality, 0.999), paths, 1.0)
    assert float(mixed.max()) == 1


def test_a_frozen_supernet_and_landmarks_are_mixed_by_hand() -> None:
    space = planted_space()
    values = landmarks(space, additive, sets=8).fit(space)
    base, other = space.parse("row row row row"), space.parse("column row diagonal row")
    measured = {base: 0.6, other: 0.5}

    def quality(domain: str, paths: Sequence[Path]) -> torch.Tensor:
        return torch.tensor([measured[p] for p in paths], dtype=torch.float64)

    mixed = values.mixed(quality, {"a": base}, 0.25)
    told = values.value("a", other) - values.value("a", base)
    expected = torch.tensor([0.75 * 0.5 + 0.25 * (0.6 + told)], dtype=torch.float64)
    assert torch.allclose(mixed("a", [other]), expected)
    assert float(mixed("a", [base])) == pytest.approx(0.6)
    assert torch.equal(mixed("a", [base, other])[1:], mixed("a", [other]))


def test_a_standard_deviation_of_paths_counts_as_its_accuracy_does() -> None:
    """Without noise, values differ as accuracies do, but for the penalty."""
    space = planted_space()
    made = landmarks(space, additive, sets=40)
    values = made.fit(space, pooled=False)
    rows = made.rows[made.rows["domain"] == "a"]
    told = [values.value("a", space.parse(arch)) for arch in rows["arch"]]
    slope = np.polyfit(rows["accuracy"], told, 1)[0]
    assert slope == pytest.approx(1, abs=0.05)


# The search ---------------------------------------------------------------------------------------


def config(**settings: Any) -> SearchConfig:
    return tiny.search_config(**{"landmarks": 5, "landmark_weight": 1.0, **settings})


def word_is_good(word: str) -> Truth:
    return lambda domain, path: 10.0 * path.arch.split().count(word)


def test_a_search_follows_its_landmarks(tmp_path: File) -> None:
    """Their scores like k3e3 in the second layer, and the supernet does not count."""
    space = tiny.space()
    made = landmarks(space, word_is_good("k3e3"), sets=6)
    steps: dict[str, Any] = {"steps": 25, "reward": "absolute(beta=0.0)", "checkpoint_every": 50}
    settings = config(landmarks=6, controller_spread=10.0, policy_snapshots=1, **steps)
    folder = tmp_path / "search"
    found = search(tiny.suite(), space, settings, landmarks=made, folder=folder)
    assert all(path.arch.endswith("k3e3") for path in found.paths.values())
    assert found.landmark_tau == made.fit(space).tau()
    assert SearchResult.load(folder, space=space).landmark_tau == found.landmark_tau


def test_without_landmarks_nothing_changes(tmp_path: File) -> None:
    one, other = (
        search(tiny.suite(), tiny.space(), tiny.search_config(**more), folder=tmp_path / str(i))
        for i, more in enumerate(({}, {"landmark_weight": 0.9, "landmark_steps": 7}))
    )
    assert one.history.equals(other.history) and one.landmark_tau is None


def test_the_time_of_landmarks_counts_in_that_of_the_search(tmp_path: File) -> None:
    import json

    made = landmarks(tiny.space(), word_is_good("k3e3"), sets=5)
    slow = Landmarks(made.rows, seconds=1000.0)
    search(tiny.suite(), tiny.space(), config(), landmarks=slow, folder=tmp_path)
    timing = json.loads((tmp_path / "timing.json").read_text())
    assert timing["seconds"] == pytest.approx(1000 + 6 * timing["seconds_per_step"])


def test_other_landmarks_are_refused(tmp_path: File) -> None:
    space, suite = tiny.space(), tiny.suite()
    made, other = (landmarks(space, noise(i), 5, seed=0) for i in (0, 1))
    search(suite, space, config(), landmarks=made, folder=tmp_path)
    search(suite, space, config(), landmarks=made, folder=tmp_path)
    with pytest.raises(MpnasError, match="made with other scores of landmarks"):
        search(suite, space, config(), landmarks=other, folder=tmp_path)


def test_a_bundle_does_not_pool_its_landmarks() -> None:
    space = tiny.space()
    made = landmarks(space, word_is_good("k3e3"), sets=8)
    scores = made.rows["score"].where(made.rows["domain"] == "a", -made.rows["score"])
    opposite = Landmarks(made.rows.assign(score=scores))
    alone, together = (
        search(tiny.suite(), space, config(landmarks=8, private_from=private), landmarks=opposite)
        for private in (0, None)
    )
    assert alone.landmark_tau == opposite.fit(space, pooled=False).tau()
    assert together.landmark_tau == opposite.fit(space).tau() != alone.landmark_tau


def test_what_does_not_fit_is_named() -> None:
    space, suite = tiny.space(), tiny.suite()
    made = landmarks(space, noise(0), 5)
    with pytest.raises(MpnasError, match="setting landmarks is 5, and 0 sets"):
        search(suite, space, config())
    with pytest.raises(MpnasError, match="setting landmarks is 0, and 5 sets"):
        search(suite, space, config(landmarks=0), landmarks=made)
    with pytest.raises(MpnasError, match="domain 'c' has no landmarks"):
        search(tiny.suite(3), space, config(), landmarks=made)
    with pytest.raises(MpnasError, match="landmarks must be a Landmarks, not 'best'"):
        search(suite, space, config(), landmarks="best")  # type: ignore[arg-type]
    with pytest.raises(MpnasError, match="unknown domain with landmarks 'z'"):
        made.fit(space).value("z", space.parse("k3e1 k3e1"))
    with pytest.raises(MpnasError, match="2 words|unknown choice"):
        made.fit(planted_space())
