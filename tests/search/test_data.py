"""The division of training images into a weight part and a reward part."""

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.domains.split import Subset, TensorSplit, by_class
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.data import divide, require_divisible


def suite_of(labels: Tensor, classes: int) -> DomainSuite:
    """One domain with these training labels; images of one pixel."""
    images = torch.arange(len(labels)).remainder(256).to(torch.uint8).reshape(-1, 1, 1, 1)
    train = TensorSplit(images, labels)
    names = tuple(f"class{i}" for i in range(classes))
    return DomainSuite([Domain("a", names, train, train, train)])


def indices(suite: DomainSuite, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions of the images in the weight part and in the reward part."""
    part = divide(suite, share, seed)["a"]
    assert isinstance(part.weights.split, Subset) and isinstance(part.reward.split, Subset)
    return part.weights.split.index.tolist(), part.reward.split.index.tolist()


def class_by_class(
    labels: Tensor, classes: int, share: float, seed: int
) -> tuple[list[int], list[int]]:
    """The same with a loop over the classes: each is shuffled, and its first images reward."""
    generator = torch.Generator().manual_seed(derived_seed(seed, 0))
    weights, reward = [], []
    for label in range(classes):
        own = [i for i, other in enumerate(labels.tolist()) if other == label]
        order = torch.randperm(len(own), generator=generator).tolist()
        count = min(len(own) - 1, max(1, round(share * len(own)))) if own else 0
        reward += [own[i] for i in order[:count]]
        weights += [own[i] for i in order[count:]]
    return weights, reward


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=8, max_size=60),
    st.sampled_from((0.1, 0.25, 0.5, 0.9)),
    st.integers(0, 9),
)
def test_classes_are_divided_one_by_one(labels: list[int], share: float, seed: int) -> None:
    """Some classes have no image or a single one. The order of the images counts too."""
    suite = suite_of(torch.tensor(labels), 9)
    expected = class_by_class(torch.tensor(labels), 9, share, seed)
    if min(map(len, expected)) < 2:
        with pytest.raises(MpnasError, match="too few to divide"):
            divide(suite, share, seed)
    else:
        assert indices(suite, share, seed) == expected


def test_positions_of_classes_ascend() -> None:
    found = by_class(torch.tensor([5, 0, 5, 2, 0, 5]))
    assert {c: p.tolist() for c, p in found.items()} == {0: [1, 4], 2: [3], 5: [0, 2, 5]}
    assert list(found) == [0, 2, 5] and by_class(torch.empty(0, dtype=torch.int64)) == {}


def test_many_classes_take_no_more_time_than_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every class compared with every image would be 20,000 x 60,000 comparisons."""
    compared: list[int] = []
    equal = Tensor.__eq__

    def counted(self: Tensor, other: object) -> Tensor:
        compared.append(self.numel())
        return equal(self, other)

    labels = torch.arange(60_000) % 20_000
    suite = suite_of(labels, 20_000)
    monkeypatch.setattr(Tensor, "__eq__", counted)
    weights, reward = indices(suite, 1 / 3, seed=0)
    monkeypatch.undo()
    assert sum(compared) < len(labels)
    assert sorted(weights + reward) == list(range(60_000))
    assert torch.equal(labels[reward].sort().values, torch.arange(20_000))


def test_too_few_images_are_refused_for_both_parts() -> None:
    suite = tiny.suite()
    require_divisible(suite, 0.5, micro_batches=6)
    with pytest.raises(MpnasError, match=r"28 training images: too few .* at least 14 images"):
        require_divisible(suite, 0.5, micro_batches=7)
