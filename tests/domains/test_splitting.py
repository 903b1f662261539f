"""Splitting and duplicates: worked out by hand, and properties that hold for any data."""

from typing import Any

import numpy as np
import pytest
import torch
import zoo  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mpnas_kit.domains.decoding import Fit, decode
from mpnas_kit.domains.duplicates import difference_hashes, duplicate_groups
from mpnas_kit.domains.listing import Listed, Listing
from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.domains.splitting import (
    checked_shares,
    divide,
    file_groups,
    require_usable,
    split_images,
)
from mpnas_kit.errors import MpnasError

BOTH = {1: 0.15, 2: 0.15}


def counts(labels: Any, splits: Any) -> list[list[int]]:
    """Images per class in train, val and test."""
    return [
        [int(((labels == label) & (splits == s)).sum()) for s in range(3)]
        for label in range(labels.max() + 1)
    ]


def test_shares_of_classes_worked_out_by_hand() -> None:
    labels = np.repeat(np.arange(5), [20, 10, 3, 2, 1])
    splits = divide(labels, np.arange(36), BOTH, seed=0)
    # 20 * .15 = 3; 10 * .15 = 1.5, rounded up; of three images each split has one; of two, none
    assert counts(labels, splits) == [[14, 3, 3], [6, 2, 2], [1, 1, 1], [2, 0, 0], [1, 0, 0]]


def test_groups_are_placed_where_they_fit() -> None:
    labels = np.zeros(12, dtype=np.int64)
    groups = np.array([0] * 10 + [1, 2])  # quotas 8, 2, 2: ten together can only train
    assert counts(labels, divide(labels, groups, BOTH, seed=3)) == [[10, 1, 1]]
    labels = np.repeat([0, 1], 10)
    groups = np.repeat(np.arange(10), 2)  # five pairs per class; quotas 6, 2, 2
    assert counts(labels, divide(labels, groups, BOTH, seed=3)) == [[6, 2, 2], [6, 2, 2]]


def test_one_seed_gives_one_split() -> None:
    labels = np.arange(300) % 7
    first, again, other = (divide(labels, np.arange(300), BOTH, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=1, max_size=60),
    st.sampled_from([{1: 0.15, 2: 0.15}, {2: 0.3}, {1: 0.45, 2: 0.45}]),
    st.integers(0, 3),
)
def test_any_division_keeps_groups_together_and_trains_every_class(
    items: list[tuple[int, int]], wanted: dict[int, float], seed: int
) -> None:
    labels = np.unique([label for label, _ in items], return_inverse=True)[1]
    groups = np.array([group for _, group in items])
    splits = divide(labels, groups, wanted, seed)
    for group in set(groups.tolist()):
        assert len(set(splits[groups == group].tolist())) == 1
    for label, row in enumerate(counts(labels, splits)):
        assert row[0] >= 1
        own = groups[labels == label]
        alone = all((groups == group).sum() == 1 for group in own)
        if alone and len(own) > len(wanted):
            assert all(row[split] >= 1 for split in wanted), "each split has an image"


def listing(*images: tuple[str, str, str | None, str | None]) -> Listing:
    return Listing.of("x", [Listed(n, n, label, s, g) for n, label, s, g in images])


def test_only_missing_splits_are_made_out_of_the_training_images() -> None:
    given_ = [(f"{i:02d}", "a", "train", None) for i in range(20)]
    given_ += [(f"t{i}", "a", "test", None) for i in range(5)]
    splits = split_images(listing(*given_), np.arange(25))
    # val is 0.15 of 0.7 + 0.15: 20 * 0.176 = 3.5, rounded up
    assert np.bincount(splits).tolist() == [16, 4, 5] and (splits[20:] == 2).all()
    whole = [*given_, ("v", "a", "val", None)]
    assert np.bincount(split_images(listing(*whole), np.arange(26))).tolist() == [20, 1, 5]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([("1", "a", "train"), ("2", "b", None)], "1 of 2 images have no split, such as '2'"),
        ([("1", "a", "val"), ("2", "b", "test")], "has no images in train, but in other splits"),
        ([("1", "a", None), ("2", "a", None)], "has only the class 'a': expected at least 2"),
    ],
)
def test_what_cannot_be_split_is_refused_before_images_are_read(
    images: list[tuple[str, str, str | None]], words: str
) -> None:
    with pytest.raises(MpnasError) as caught:
        require_usable(listing(*[(*image, None) for image in images]))
    assert words in str(caught.value)


def test_groups_come_from_columns_from_file_names_and_from_duplicates() -> None:
    names = ["a/p1_1", "a/p1_2", "b/p2_1", "b/free", "b/own"]
    images = [Listed(n, n, "a", None, "p2" if n == "b/own" else None) for n in names]
    assert file_groups(images, r"^(p\d)_") == ["p1", "p1", "p2", None, "p2"]
    assert file_groups(images, r"^p\d") == ["p1", "p1", "p2", None, "p2"]
    assert file_groups(images, None) == [None, None, None, None, "p2"]
    with pytest.raises(MpnasError, match="is no regular expression"):
        file_groups(images, "(")
    with pytest.raises(MpnasError, match="group '.p9' matches no file name, such as 'p1_1'"):
        file_groups(images[:3], "^p9")
    many = [Listed(str(i), f"p{i // 2}_{i}", "a") for i in range(40)]
    duplicates = np.arange(40)
    duplicates[39] = 0  # p19 and p0 belong together
    splits = split_images(Listing.of("x", many), duplicates, group=r"^(p\d+)_")
    order = [int(i.source) for i in Listing.of("x", many).images]
    by_number = splits[np.argsort(order)]
    assert (by_number[0::2] == by_number[1::2]).all() and by_number[39] == by_number[0]


@pytest.mark.parametrize("wrong", [(0.5, 0.5), (0.5, 0.5, 0.5), (1, 0, 0), "abc", ("a", 0.5, 0.2)])
def test_wrong_shares_are_refused(wrong: Any) -> None:
    with pytest.raises(MpnasError, match="shares must be"):
        checked_shares(wrong)
    assert checked_shares([0.6, 0.2, 0.2]) == (0.6, 0.2, 0.2)


# Duplicates ---------------------------------------------------------------------------------------


def groups_of(images: np.ndarray) -> list[int]:
    digests = np.array([image.tobytes() for image in images]).view(f"V{images[0].nbytes}")
    found = duplicate_groups(digests, difference_hashes(images), lambda index: images[index])
    return list(found.tolist())


def test_the_hash_says_which_neighbour_is_brighter() -> None:
    ramp = np.broadcast_to(np.arange(9, dtype=np.uint8) * 20, (1, 1, 8, 9))
    assert difference_hashes(ramp.copy()).tolist() == [2**64 - 1]
    assert difference_hashes(ramp[..., ::-1].copy()).tolist() == [0]
    assert difference_hashes(np.full((1, 3, 16, 16), 9, np.uint8)).tolist() == [0]


def test_exact_and_near_duplicates_are_found_and_others_are_not() -> None:
    suite = pocket(["scene", "fashion"])
    originals = suite["scene"].train.take(torch.arange(12))
    contents, labels = [], []
    for i, image in enumerate(originals):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((200, 200))
        forms = [
            zoo.encoded(picture, "PNG"),
            zoo.encoded(picture, "BMP"),  # the same pixels
            zoo.encoded(picture, "JPEG", quality=75),
            zoo.encoded(picture.resize((150, 150)), "PNG"),
        ]
        contents += forms
        labels += [4 * i] * len(forms)
    images = np.stack([decode(content, Fit(64)).numpy() for content in contents])
    assert groups_of(images) == labels
    others = suite["fashion"].test.take(torch.arange(300)).numpy()
    assert groups_of(others) == list(range(300)), "different photographs of shirts"


def test_even_images_are_duplicates_only_if_they_have_one_colour() -> None:
    even = np.zeros((4, 3, 16, 16), np.uint8)
    even[1, 0], even[2, 2], even[3, 0] = 200, 200, 200
    assert groups_of(even) == [0, 1, 2, 1]
