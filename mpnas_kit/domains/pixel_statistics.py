"""Which domain an image is from, by simple statistics of its pixels (ours).

A domain has the mean and the covariance of 28 statistics over some of its training images. The
domain of an image is the one whose normal distribution gives the statistics of the image the
highest density (quadratic discriminant analysis). Domains do not depend on each other, so one can
be added without images of the others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mpnas_kit.domains.domain import Domain
from mpnas_kit.domains.split import read

IMAGES = 500  # training images of a domain that are looked at
CELLS = 4  # per side
SHRINKAGE = 0.1  # share by which covariances are moved towards 0
GREY_LEVEL = 1 / 255  # standard deviation that is added to every statistic
COUNT = 3 + 3 + 2 + 4 + CELLS**2


def statistics_of_pixels(images: Tensor) -> Tensor:
    """Return statistics of images, float64 (n, 28).

    They are mean and standard deviation of red, green and blue (6), mean differences of red and
    green, and of green and blue (2), mean and standard deviation of differences between neighbours
    in a row, and in a column (4), and means of 4 x 4 cells (16). A value of 255 counts as 1.

    images: uint8 (n, 1 or 3, H, W). Grey is repeated in three channels.

    >>> statistics_of_pixels(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([5, 28])
    """
    colours = images.expand(-1, 3, -1, -1).double() / 255
    grey = colours.mean(1)
    red, green, blue = colours.unbind(1)
    rows = F.pad(grey, (0, 1, 0, 0), mode="replicate").diff(dim=2).abs()
    columns = F.pad(grey, (0, 0, 0, 1), mode="replicate").diff(dim=1).abs()
    edges = [
        part for d in (rows, columns) for part in (d.mean((1, 2)), d.std((1, 2), correction=0))
    ]
    parts = [
        colours.mean((2, 3)),
        colours.std((2, 3), correction=0),
        torch.stack([(red - green).abs().mean((1, 2)), (green - blue).abs().mean((1, 2))], 1),
        torch.stack(edges, 1),
        F.adaptive_avg_pool2d(grey[:, None], CELLS).flatten(1),
    ]
    return torch.cat(parts, 1)


@dataclass(frozen=True, eq=False)
class PixelStatistics:
    """Distribution of the pixel statistics of a domain: a normal distribution.

    mean: float64 (28,).
    covariance: float64 (28, 28), positive definite.

    >>> seen = PixelStatistics.of(suite["planted0"])
    >>> seen.log_density(suite["planted0"].test.images[:3]).shape
    torch.Size([3])
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, domain: Domain) -> "PixelStatistics":
        """Return the distribution over at most 500 training images of a domain."""
        count = len(domain.train)
        index = torch.linspace(0, count - 1, min(count, IMAGES)).long()
        values = statistics_of_pixels(read(domain.train, index))
        spread = torch.cov(values.T, correction=0)
        own = torch.diag(spread.diag() * SHRINKAGE + GREY_LEVEL**2)
        return cls(values.mean(0), (1 - SHRINKAGE) * spread + own)

    def log_density(self, images: Tensor) -> Tensor:
        """Return the logarithm of the density at every image, float64 (n,).

        images: uint8 (n, 1 or 3, H, W).
        """
        lower = torch.linalg.cholesky(self.covariance)
        away = (statistics_of_pixels(images) - self.mean).T
        squares = torch.linalg.solve_triangular(lower, away, upper=False).square().sum(0)
        scale = 2 * lower.diagonal().log().sum() + len(self.mean) * math.log(2 * math.pi)
        density: Tensor = -(squares + scale) / 2
        return density


def to_tensors(statistics: Mapping[str, PixelStatistics]) -> dict[str, Tensor]:
    """Return the tensors of several domains by name, for a file."""
    return {
        f"{name}.{domain}": getattr(one, name)
        for domain, one in statistics.items()
        for name in ("mean", "covariance")
    }


def from_tensors(tensors: Mapping[str, Tensor], domain: str) -> PixelStatistics | None:
    """Return the statistics of a domain from tensors of `to_tensors`; None: they do not fit."""
    mean, covariance = (tensors.get(f"{name}.{domain}") for name in ("mean", "covariance"))
    if mean is None or covariance is None:
        return None
    fits = mean.shape == (COUNT,) and covariance.shape == (COUNT, COUNT)
    if not fits or {mean.dtype, covariance.dtype} != {torch.float64}:
        return None
    if int(torch.linalg.cholesky_ex(covariance).info) or not bool(torch.isfinite(mean).all()):
        return None
    return PixelStatistics(mean, covariance)
