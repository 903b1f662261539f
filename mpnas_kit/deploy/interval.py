"""The interval of an accuracy that was measured on some images."""

import math

Z = 1.959964  # standard normal quantile of a two-sided interval of 95 %


def wilson(accuracy: float, images: int) -> tuple[float, float]:
    """Return the Wilson score interval of an accuracy, at 95 % (Wilson 1927).

    With n images, accuracy p and z = 1.96, centre and half width are

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    It says how far chance in the choice of the images may move the accuracy. It says nothing about
    other seeds.

    accuracy: share of images that are classified correctly, 0 to 1.
    images: their number, at least 1.

    >>> [round(x, 3) for x in wilson(0.9, 100)]
    [0.826, 0.945]
    """
    stretch = 1 + Z**2 / images
    centre = (accuracy + Z**2 / (2 * images)) / stretch
    variance = accuracy * (1 - accuracy) / images + Z**2 / (4 * images**2)
    half = Z / stretch * math.sqrt(variance)
    return max(0.0, centre - half), min(1.0, centre + half)


def in_words(accuracy: float, images: int) -> str:
    """Return an accuracy with its interval and the number of images.

    >>> in_words(0.9, 100)
    '90.0% (82.6% to 94.5%; 100)'
    """
    low, high = wilson(accuracy, images)
    return f"{accuracy:.1%} ({low:.1%} to {high:.1%}; {images:,})"
