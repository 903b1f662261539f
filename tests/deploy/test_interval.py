"""The interval of an accuracy."""

import pytest

from mpnas_kit.deploy.interval import wilson


def test_wilson_intervals_are_those_of_scipy() -> None:
    from scipy.stats import binomtest

    for right, images in [(0, 5), (5, 5), (7, 12), (900, 1000)]:
        expected = binomtest(right, images).proportion_ci(0.95, "wilson")
        assert wilson(right / images, images) == pytest.approx(tuple(expected), abs=1e-6)
