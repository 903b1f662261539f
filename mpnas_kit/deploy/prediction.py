"""The result of a prediction: classes and probabilities of images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Classes and probabilities of images of one domain. Returned by `Model.predict`.

    domain: name of the domain.
    classes: names of its classes.
    images: name of every image: its path, or "image N" with its position from 0.
    probabilities: softmax of the logits, float32 (images, classes), 0 to 1. They are not
    calibrated.
    top: number of classes per image in `table`.

    >>> prediction = mk.Model.of(trained).predict(np.zeros((16, 16), np.uint8), domain="planted0")
    >>> len(prediction), prediction.table.columns.tolist()
    (1, ['image', 'rank', 'label', 'probability'])
    """

    domain: str
    classes: tuple[str, ...]
    images: tuple[str, ...]
    probabilities: NDArray[np.float32]
    top: int = 1

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> tuple[str, ...]:
        """Most probable class of every image."""
        return tuple(self.classes[i] for i in self.probabilities.argmax(1))

    @property
    def table(self) -> pd.DataFrame:
        """One row per image and rank. Columns image, rank (from 1), label, probability (0 to 1)."""
        top = min(self.top, len(self.classes))
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :top]
        return pd.DataFrame(
            {
                "image": np.repeat(np.array(self.images, object), top),
                "rank": np.tile(np.arange(1, top + 1), len(self)),
                "label": np.array(self.classes, object)[order].ravel(),
                "probability": np.take_along_axis(self.probabilities, order, 1).ravel(),
            }
        )

    def by_image(self) -> list[pd.DataFrame]:
        """Return the rows of `table` of every image, in order."""
        table, top = self.table, min(self.top, len(self.classes))
        return [table.iloc[i * top : (i + 1) * top] for i in range(len(self))]

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False, formatters={"probability": "{:.1%}".format}))

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:3])
        more = ", ..." if len(self) > 3 else ""
        return f"Prediction({self.domain!r}, {len(self)} images: {shown}{more})"


@dataclass(frozen=True, eq=False, repr=False)
class AutoPrediction:
    """Classes of images whose domains were chosen. Returned by `Model.predict` with `auto`.

    images: name of every image, as in `Prediction`.
    domains: domain that was chosen for every image.
    parts: the predictions by domain, each of the images of this domain, in order.

    >>> found = mk.Model.of(trained).predict(np.zeros((3, 16, 16, 1), np.uint8), domain="auto")
    >>> len(found), found.table.columns.tolist()
    (3, ['image', 'domain', 'rank', 'label', 'probability'])
    """

    images: tuple[str, ...]
    domains: tuple[str, ...]
    parts: Mapping[str, Prediction]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> tuple[str, ...]:
        """Most probable class of every image, in its domain."""
        labels = {domain: iter(part.labels) for domain, part in self.parts.items()}
        return tuple(next(labels[domain]) for domain in self.domains)

    @property
    def table(self) -> pd.DataFrame:
        """One row per image and rank, as `Prediction.table`, with one more column, domain."""
        return pd.concat(self.by_image(), ignore_index=True)

    def by_image(self) -> list[pd.DataFrame]:
        """Return the rows of `table` of every image, in order."""
        rows = {domain: iter(part.by_image()) for domain, part in self.parts.items()}
        tables = [next(rows[domain]) for domain in self.domains]
        for table, domain in zip(tables, self.domains, strict=True):
            table.insert(1, "domain", domain)
        return tables

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False, formatters={"probability": "{:.1%}".format}))

    def __repr__(self) -> str:
        counts = ", ".join(f"{domain} {len(part)}" for domain, part in self.parts.items())
        return f"AutoPrediction({len(self)} images: {counts})"
