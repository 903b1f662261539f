"""Warm-up of the shared weights: how likely, how many candidates, which widths."""

from collections import Counter

import pytest
import tiny
import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import Blend, Flow, MultiPathNet
from mpnas_kit.search.warmup import warm, warmup_probability
from mpnas_kit.space.factored import FactoredSpace


def test_the_probability_falls_linearly_from_one_to_zero() -> None:
    falling = [warmup_probability(step, 40, 0.25) for step in range(40)]
    assert falling[:11] == pytest.approx([1 - i / 10 for i in range(11)])
    assert not any(falling[10:])
    assert warmup_probability(0, 40, 0.0) == 0.0


def blends(probability: float, candidates: int, count: int = 200) -> list[Blend]:
    space, generator = tiny.space(), torch.Generator().manual_seed(0)
    path = space.parse("k3e1 k3e1")
    made = warm(space, [path] * count, probability, candidates, generator)
    return [b for b in made if isinstance(b, Blend)]


@pytest.mark.parametrize("candidates", [2, 3, 4])
def test_at_most_so_many_candidates_are_averaged_and_any_may_be_among_them(candidates: int) -> None:
    made = blends(1.0, candidates)
    assert len(made) == 200
    for layer, size in ((1, 4), (2, 3)):
        averaged = [b.layers[layer] for b in made]
        assert {len(uses) for uses in averaged} == {min(candidates, size)}
        names = [[u and u.node.block for u in uses] for uses in averaged]
        assert all(len(set(n)) == len(n) for n in names)
        counts = Counter(name for n in names for name in n)
        assert len(counts) == size
        expected = 200 * min(candidates, size) / size
        assert all(abs(c - expected) <= 40 for c in counts.values())


def test_layers_without_a_choice_are_never_averaged() -> None:
    for blend in blends(1.0, 4, 20):
        assert [len(blend.layers[i]) for i in (0, 3)] == [1, 1]


def test_each_layer_is_averaged_with_the_probability() -> None:
    made = blends(0.3, 4, 1000)
    for layer in (1, 2):
        share = sum(len(b.layers[layer]) > 1 for b in made) / 1000
        assert share == pytest.approx(0.3, abs=0.05)
    single = [b.layers[1][0] for b in made if len(b.layers[1]) == 1]
    assert {u and u.node.block for u in single} == {"k3e1"}  # the others are as sampled


def test_without_warmup_the_path_is_the_sampled_one() -> None:
    space, generator = tiny.space(), torch.Generator().manual_seed(0)
    path = space.parse("zero k5e3")
    state = generator.get_state()
    assert warm(space, [path], 0.0, 4, generator) == [path]
    assert torch.equal(generator.get_state(), state)


def test_searched_widths_are_at_their_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.shrink_factored(monkeypatch)
    space, generator = FactoredSpace("small", tiny.SIZE), torch.Generator().manual_seed(0)
    path = space.parse("conv3 zero x0.5 k3e1 zero x0.5 k3e1 k5e2")
    (blend,) = warm(space, [path], 1.0, 3, generator)
    assert isinstance(blend, Blend)
    widths = [{u.out_channels for u in layer if u} for layer in blend.layers]
    assert widths[2] == {8} and widths[4] == {16}
    net = MultiPathNet.supernet(space, tiny.tasks({"a": 3}), "per_domain", seed=0)
    for probability in (1.0, 0.5):
        for mixed in warm(space, [path] * 5, probability, 3, generator):
            assert net([Flow("a", tiny.images(2), mixed)])[0].shape == (2, 3)


def test_a_warmup_longer_than_the_delay_of_the_controllers_is_refused() -> None:
    with pytest.raises(MpnasError, match=r"warmup_share \(0.5\) must not exceed controller_delay"):
        tiny.search_config(warmup_share=0.5, controller_delay=0.4)
    assert tiny.search_config(warmup_share=0.4, controller_delay=0.4).warmup_share == 0.4
