"""Streams of batches, how often a domain is drawn, augmentation and standardisation."""

from typing import Any

import pytest
import torch
from tiny import domain, suite

from mpnas_kit.domains.batches import (
    Augment,
    DomainStream,
    DrawSchedule,
    Moves,
    Source,
    Standard,
    streams,
)
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.split import TensorSplit
from mpnas_kit.errors import MpnasError

IDENTITY = Standard(torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 1 / 255))  # pixel values


def numbered(count: int) -> Source:
    """A source whose labels are the numbers of its images."""
    return Source(
        TensorSplit(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), torch.arange(count)), IDENTITY
    )


def drawn(stream: DomainStream, batches: int) -> list[list[int]]:
    """Return the labels of the next batches."""
    return [stream.next().take()[1].tolist() for _ in range(batches)]


def test_every_image_comes_once_per_shuffle_and_the_stream_never_ends() -> None:
    stream = DomainStream(numbered(12), batch_size=4, seed=0)
    epochs = [sum(drawn(stream, 3), []) for _ in range(20)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 20


def test_a_batch_never_holds_an_image_twice_and_is_never_short() -> None:
    for labels in drawn(DomainStream(numbered(11), batch_size=4, seed=1), 30):
        assert len(set(labels)) == 4


def test_a_batch_is_capped_at_the_size_of_the_split() -> None:
    assert [sorted(b) for b in drawn(DomainStream(numbered(3), 8, seed=0), 3)] == [[0, 1, 2]] * 3


def test_no_domain_disturbs_the_batches_of_another() -> None:
    sources = {d.name: Source(d.train, Standard.of(d), d.flip) for d in suite(2)}
    together = streams(sources, 8, seed=5, augment=Augment(2))
    alone = streams(sources, 8, seed=5, augment=Augment(2))
    for _ in range(7):
        together["b"].next()
        for mixed, single in zip(
            together["a"].next().take(), alone["a"].next().take(), strict=True
        ):
            torch.testing.assert_close(mixed, single, rtol=0, atol=0)


def test_streams_of_two_domains_and_of_two_seeds_differ() -> None:
    sources = {"a": numbered(40), "b": numbered(40)}
    first, other = streams(sources, 8, seed=0), streams(sources, 8, seed=1)
    batches = [drawn(s, 1)[0] for s in (first["a"], first["b"], other["a"], other["b"])]
    assert len({tuple(b) for b in batches}) == 4


def test_a_stream_continues_from_its_state() -> None:
    a = domain("a", flip=True)
    source = Source(a.train, Standard.of(a), True)
    whole = DomainStream(source, 8, seed=3, augment=Augment(2))
    for _ in range(6):
        whole.next()
    state = whole.state_dict()
    rest = [whole.next().take() for _ in range(6)]
    resumed = DomainStream(source, 8, seed=99, augment=Augment(2))
    resumed.load_state_dict(state)
    for images, labels in rest:
        again = resumed.next().take()
        assert torch.equal(images, again[0]) and torch.equal(labels, again[1])


def test_batches_are_float_rgb_in_channels_last() -> None:
    a = domain("a", channels=1)
    images, labels = DomainStream(Source(a.train, Standard.of(a)), 8, seed=0).next().take()
    assert images.shape == (8, 3, 16, 16) and images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64


def test_the_parts_of_a_batch_are_the_batch() -> None:
    """Several processes that take one part each have the batch of one process."""
    a = domain("a", flip=True)
    batch = DomainStream(Source(a.train, Standard.of(a), True), 8, 3, Augment(2)).next()
    parts = [batch.take(part) for part in torch.arange(8).tensor_split(3)]
    for whole, pieces in zip(batch.take(), zip(*parts, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(pieces))


# How often a domain is drawn ------------------------------------------------------------------


def share(sizes: dict[str, int], temperature: float, steps: int = 1000) -> dict[str, float]:
    schedule = DrawSchedule(sizes, temperature)
    counts = dict.fromkeys(sizes, 0)
    for step in range(steps):
        for name in schedule.drawn(step):
            counts[name] += 1
    return {d: n / steps for d, n in counts.items()}


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.0, (1.0, 1.0, 1.0)), (1.0, (1.0, 0.25, 0.04)), (0.5, (1.0, 0.5, 0.2))],
)
def test_domains_are_drawn_uniformly_in_proportion_or_tempered(
    temperature: float, expected: tuple[float, ...]
) -> None:
    shares = share({"large": 400, "middle": 100, "small": 16}, temperature)
    assert tuple(shares.values()) == pytest.approx(expected, abs=0.0021)


def test_a_small_domain_comes_at_even_intervals_so_none_starves() -> None:
    schedule = DrawSchedule({"large": 1000, "small": 100}, 1.0)
    steps = [s for s in range(500) if "small" in schedule.drawn(s)]
    gaps = {b - a for a, b in zip(steps[1:], steps[2:], strict=False)}
    assert len(steps) >= 50 and gaps <= {9, 10, 11}


def test_all_domains_take_part_in_the_first_step() -> None:
    assert DrawSchedule({"large": 1000, "small": 3}, 1.0).drawn(0) == ("large", "small")


# Augmentation ---------------------------------------------------------------------------------


def ramp(count: int = 64, size: int = 8) -> torch.Tensor:
    """Images (count, 1, size, size) in which pixel (r, c) has the value 10 r + c."""
    rows = torch.arange(size)
    return (10 * rows[:, None] + rows).to(torch.uint8).expand(count, 1, size, size).contiguous()


def shifted(image: torch.Tensor, down: int, right: int, mirrored: bool) -> torch.Tensor:
    size = image.shape[-1]
    at = torch.arange(size)
    rows, columns = (at + down).clamp(0, size - 1), (at + right).clamp(0, size - 1)
    columns = columns.flip(0) if mirrored else columns
    return image[:, rows][:, :, columns]


def augmented(
    shift: int, images: torch.Tensor, flip: bool, generator: torch.Generator
) -> torch.Tensor:
    augment, size = Augment(shift), (images.shape[2], images.shape[3])
    moved = IDENTITY(images, augment.draw(len(images), size, flip, generator))
    return moved.round().to(torch.uint8)[:, : images.shape[1]]


def seen(images: torch.Tensor, reach: int, flip: bool) -> set[tuple[int, int, bool]]:
    """Return the shifts and mirrorings of augmented ramps. Fail if an image has none of them."""
    original, found = ramp(1)[0], set()
    moves = range(-reach, reach + 1)
    for image in images:
        fits = [
            (down, right, mirrored)
            for down in moves
            for right in moves
            for mirrored in ((False, True) if flip else (False,))
            if torch.equal(image, shifted(original, down, right, mirrored))
        ]
        assert len(fits) == 1
        found.add(fits[0])
    return found


def test_images_are_shifted_by_up_to_the_allowed_pixels_and_no_more() -> None:
    found = seen(augmented(1, ramp(400), False, torch.Generator().manual_seed(0)), 1, flip=False)
    assert len(found) == 9


def test_images_are_mirrored_only_if_the_domain_allows_it() -> None:
    generator = torch.Generator().manual_seed(0)
    found = seen(augmented(0, ramp(64), True, generator), 0, flip=True)
    assert found == {(0, 0, False), (0, 0, True)}
    still = augmented(0, ramp(64), False, generator)
    assert torch.equal(still, ramp(64))


def test_a_stream_mirrors_as_its_source_says() -> None:
    split = TensorSplit(ramp(32), torch.zeros(32, dtype=torch.int64))
    for flip in (False, True):
        stream = DomainStream(Source(split, IDENTITY, flip), 32, 0, Augment(0))
        images = stream.next().take()[0].round().to(torch.uint8)[:, :1]
        assert (seen(images, 0, flip=True) == {(0, 0, False)}) is not flip


def test_images_are_turned_in_all_eight_ways_and_in_no_other() -> None:
    square = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(400, -1, -1, -1)
    split = TensorSplit(square.clone(), torch.zeros(400, dtype=torch.int64))
    stream = DomainStream(Source(split, IDENTITY, turn=True), 400, 0, Augment(0))
    images = stream.next().take()[0].round().to(torch.uint8)[:, 0]
    ways = [
        other.rot90(quarters)
        for other in (square[0, 0], square[0, 0].flip(1))
        for quarters in range(4)
    ]
    counts = [int((images == way).all(dim=(1, 2)).sum()) for way in ways]
    assert sum(counts) == 400 and min(counts) > 25


def test_a_turned_batch_taken_in_parts_is_the_whole_one() -> None:
    images = torch.randint(0, 256, (10, 3, 6, 6), dtype=torch.uint8)
    split = TensorSplit(images, torch.arange(10))
    drawn = DomainStream(Source(split, IDENTITY, turn=True), 10, 3, Augment(1)).next()
    whole, labels = drawn.take()
    for part in (torch.tensor([0, 3, 4]), torch.tensor([9])):
        some, own = drawn.take(part)
        assert torch.equal(some, whole[part]) and torch.equal(own, labels[part])


def test_augmentation_keeps_shape_and_type_and_repeats_with_the_generator() -> None:
    colour = torch.randint(0, 256, (9, 3, 16, 16), dtype=torch.uint8)
    before = colour.clone()
    first = augmented(2, colour, True, torch.Generator().manual_seed(4))
    again = augmented(2, colour, True, torch.Generator().manual_seed(4))
    other = augmented(2, colour, True, torch.Generator().manual_seed(5))
    assert first.shape == colour.shape and first.dtype == torch.uint8
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(colour, before)


def test_channels_of_an_image_move_together() -> None:
    colour = ramp(32).expand(-1, 3, -1, -1).clone()
    moved = augmented(2, colour, True, torch.Generator().manual_seed(0))
    assert torch.equal(moved[:, 0], moved[:, 1]) and torch.equal(moved[:, 0], moved[:, 2])


def test_a_negative_shift_is_refused() -> None:
    with pytest.raises(
        MpnasError, match="augment: shift must be a whole number from 0 to 1,024, not -1"
    ):
        Augment(-1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 9)])
def test_moved_and_normalised_values_by_hand(channels: int, height: int, width: int) -> None:
    """Each value, looked up pixel by pixel, is (value / 255 - mean) / deviation."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, channels, height, width), generator=generator).byte()
    mean, deviation = torch.tensor([0.2, 0.5, 0.7]), torch.tensor([0.1, 0.25, 1.0])
    moves = Augment(3).draw(4, (height, width), True, generator)
    rows, columns = moves.rows, moves.columns
    standard = Standard(mean.view(1, 3, 1, 1), deviation.view(1, 3, 1, 1))
    found = standard(images, moves)
    assert found.is_contiguous(memory_format=torch.channels_last)
    expected = torch.empty(4, 3, height, width, dtype=torch.float64)
    for b, c, r, w in torch.cartesian_prod(*map(torch.arange, expected.shape)).tolist():
        value = images[b, c if channels == 3 else 0, rows[b, r], columns[b, w]]
        expected[b, c, r, w] = (value.double() / 255 - mean[c]) / deviation[c]
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    everything = Moves(torch.arange(height).expand(4, -1), torch.arange(width).expand(4, -1))
    assert torch.equal(standard(images), standard(images, everything))


def test_a_batch_is_moved_and_normalised_on_its_device() -> None:
    """The meta device refuses tensors of another one, as a GPU does. It gets uint8 images."""
    a = domain("a", flip=True)
    sent: list[torch.dtype] = []

    class Watched(Standard):
        def __call__(self, images: torch.Tensor, moves: Any = None) -> torch.Tensor:
            sent.append(images.dtype)
            return super().__call__(images, moves)

    standard = Standard.of(a)
    source = Source(a.train, Watched(standard.mean, standard.deviation), True)
    images, labels = DomainStream(source, 8, 3, Augment(2)).next().take(device=torch.device("meta"))
    assert images.device.type == labels.device.type == "meta" and sent == [torch.uint8]
    assert images.shape == (8, 3, 16, 16) and images.dtype == torch.float32


# Standardisation ------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_training_images_have_zero_mean_and_unit_deviation_per_channel(channels: int) -> None:
    a = domain("a", channels=channels, train=50)
    x = Standard.of(a)(a.train.images)
    assert x.shape == (50, 3, 16, 16)
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


def test_the_standard_comes_from_the_training_split_alone() -> None:
    a, b = domain("a", seed=0), domain("a", seed=1)
    mixed = type(a)(a.name, a.classes, a.train, b.val, b.test)
    torch.testing.assert_close(Standard.of(mixed).mean, Standard.of(a).mean, rtol=0, atol=0)
    assert DomainSuite((mixed,)).resolution == 16


def test_constant_images_do_not_divide_by_zero() -> None:
    grey = TensorSplit(torch.full((4, 1, 16, 16), 7, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    flat = type(domain("a"))("flat", ("x", "y"), grey, grey, grey)
    assert torch.isfinite(Standard.of(flat)(grey.images)).all()
