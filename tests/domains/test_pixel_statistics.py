"""Which domain an image is from: statistics of its pixels, and how near they are to a domain."""

import pytest
import tiny
import torch

from mpnas_kit.domains.pixel_statistics import (
    COUNT,
    PixelStatistics,
    from_tensors,
    statistics_of_pixels,
    to_tensors,
)


def test_statistics_of_a_picture_by_hand() -> None:
    left_black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    left_black[:, :, :, 4:] = torch.tensor([255, 255, 0], dtype=torch.uint8)[:, None, None]
    found = statistics_of_pixels(left_black)[0]
    assert found.shape == (COUNT,)
    assert found[:3].tolist() == pytest.approx([0.5, 0.5, 0])  # means of red, green, blue
    assert found[3:6].tolist() == pytest.approx([0.5, 0.5, 0])  # deviations
    assert found[6:8].tolist() == pytest.approx([0, 0.5])  # red - green, green - blue
    edge = 2 / 3  # one of 8 columns has the edge, none of the rows
    variance = edge**2 / 8 - (edge / 8) ** 2
    assert found[8:12].tolist() == pytest.approx([edge / 8, variance**0.5, 0, 0])
    cells = found[12:].reshape(4, 4)
    assert cells.flatten().tolist() == pytest.approx([0, 0, edge, edge] * 4)


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_grey_counts_as_three_equal_channels(size: int) -> None:
    grey = torch.randint(0, 256, (3, 1, size, size)).to(torch.uint8)
    found = statistics_of_pixels(grey)
    assert torch.equal(found, statistics_of_pixels(grey.expand(-1, 3, -1, -1)))
    assert bool(torch.isfinite(found).all())


def test_density_is_that_of_a_normal_distribution() -> None:
    domain = tiny.domain("a")
    seen = PixelStatistics.of(domain)
    normal = torch.distributions.MultivariateNormal(seen.mean, seen.covariance)
    images = tiny.pixels(domain.test)
    torch.testing.assert_close(
        seen.log_density(images),
        normal.log_prob(statistics_of_pixels(images)),
        rtol=1e-9,
        atol=1e-7,
    )


def test_domains_that_look_different_are_told_apart() -> None:
    suite = tiny.suite(2)  # a is grey, b has colours
    seen = [PixelStatistics.of(domain) for domain in suite]
    for index, domain in enumerate(suite):
        densities = torch.stack([s.log_density(tiny.pixels(domain.test)) for s in seen])
        assert (densities.argmax(0) == index).all()


def test_few_or_flat_images_have_a_distribution() -> None:
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    pixels[1] += 9
    split = (pixels, torch.tensor([0, 1]))
    domain = tiny.domain("a", 2, train=4)
    domain = type(domain)("flat", ("x", "y"), split, split, split)  # type: ignore[arg-type]
    assert bool(torch.isfinite(PixelStatistics.of(domain).log_density(pixels)).all())


def test_statistics_are_read_back_or_refused() -> None:
    seen = {d.name: PixelStatistics.of(d) for d in tiny.suite(2)}
    tensors = to_tensors(seen)
    for name, one in seen.items():
        again = from_tensors(tensors, name)
        assert again is not None
        assert torch.equal(again.mean, one.mean) and torch.equal(again.covariance, one.covariance)
    assert from_tensors(tensors, "c") is None
    for wrong in (
        {"covariance.a": -tensors["covariance.a"]},
        {"covariance.a": tensors["covariance.a"][:5, :5]},
        {"mean.a": tensors["mean.a"].float()},
        {"mean.a": tensors["mean.a"] * float("nan")},
    ):
        assert from_tensors({**tensors, **wrong}, "a") is None
