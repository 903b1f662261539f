"""What goes into a domain's network and what comes out: all that a prediction needs of a domain."""

from dataclasses import dataclass
from typing import Any

import torch

from mpnas_kit.domains.batches import Standard
from mpnas_kit.domains.decoding import Fit, How
from mpnas_kit.domains.domain import Domain


@dataclass(frozen=True)
class Signature:
    """Images that a domain's network takes, and classes that it tells apart.

    classes: names of the classes, in the order of the logits.
    channels: channels of the training images, 1 (grey) or 3 (RGB). Networks take three channels:
    grey images are repeated.
    resolution: height and width of the training images, in pixels.
    mean: means of the three input channels, 0 to 1, where a pixel value of 255 counts as 1.
    deviation: standard deviations of the three input channels, at least 0.001.
    how: how an image of another shape becomes square (see `Fit`).

    Means and deviations are float32 values, so that they give the same network input everywhere.

    >>> signature = mk.Signature.of(suite["planted0"])
    >>> signature.channels, signature.resolution, len(signature.classes)
    (1, 16, 16)
    """

    classes: tuple[str, ...]
    channels: int
    resolution: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    how: How = "crop"

    @classmethod
    def of(cls, domain: Domain, standard: Standard | None = None) -> "Signature":
        """Return the signature of a domain.

        standard: its conversion to network input; None: it is computed from the training images.
        """
        standard = Standard.of(domain) if standard is None else standard
        mean, deviation = (x.flatten().tolist() for x in (standard.mean, standard.deviation))
        return cls(
            domain.classes,
            domain.channels,
            domain.resolution,
            tuple(mean),
            tuple(deviation),
            domain.how,
        )

    @property
    def fit(self) -> Fit:
        """Size and channels that an image gets before it goes into the network."""
        return Fit(self.resolution, self.how, 1 if self.channels == 1 else 3)

    @property
    def standard(self) -> Standard:
        """Conversion of images to network input."""
        return Standard(
            *(
                torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
                for values in (self.mean, self.deviation)
            )
        )

    def record(self) -> dict[str, Any]:
        """Return all but the classes as JSON values. `engine.records.DomainInput` reads them."""
        return {
            "channels": self.channels,
            "resolution": self.resolution,
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "how": self.how,
        }
