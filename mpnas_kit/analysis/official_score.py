"""The score of the Visual Domain Decathlon, which counts large errors less than small ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import pandas as pd

from mpnas_kit.domains.decathlon_files import DECATHLON
from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.values import Range, checked, number, require_type

FINE_TUNED = {
    "aircraft": 0.6034,
    "cifar100": 0.8212,
    "daimlerpedcls": 0.9282,
    "dtd": 0.5553,
    "gtsrb": 0.9753,
    "imagenet12": 0.5987,
    "omniglot": 0.8769,
    "svhn": 0.9655,
    "ucf101": 0.5120,
    "vgg-flowers": 0.8141,
}
"""Test accuracy (top-1) of ten fully fine-tuned networks, one per domain: the row "Finetune" in the
results of arXiv 1705.08045. Their mean is 76.51 %, and their score is 2,500."""

POINTS = 1000.0  # of a domain without errors


@dataclass(frozen=True, eq=False, repr=False)
class DecathlonScore:
    """The score of accuracies on the Decathlon. Returned by `decathlon_score`.

    table: one row per domain that counts. Columns domain, accuracy, error, most_error (from which
    on there are no points), points (0 to 1,000).
    missing: domains without an accuracy, which have no points.

    >>> mk.analysis.decathlon_score({"dtd": 1.0})
    DecathlonScore(1000.0 points, 1 of 10 domains)
    """

    table: pd.DataFrame
    missing: tuple[str, ...]

    @property
    def points(self) -> float:
        """Sum over the domains: 0 to 1,000 for each."""
        return float(self.table["points"].sum())

    def _repr_html_(self) -> str:
        return f"<p>{self.points:.1f} points</p>{self.table.to_html(index=False)}"

    def __repr__(self) -> str:
        count, every = len(self.table), len(self.table) + len(self.missing)
        return f"DecathlonScore({self.points:.1f} points, {count} of {every} domains)"


@checked("decathlon_score")
def decathlon_score(
    accuracies: Mapping[str, float],
    baseline: Mapping[str, float] | None = None,
    exponent: Annotated[float, Range(1, 10)] = 2.0,
) -> DecathlonScore:
    """Return the score of the Decathlon (Rebuffi et al., NIPS 2017, arXiv 1705.08045).

        S = sum over d of alpha_d * max(0, Emax_d - E_d) ^ exponent
        Emax_d = 2 * error of the baseline, alpha_d = 1000 / Emax_d ^ exponent

    A perfect domain has 1,000 points, the baseline 250, twice its error none. Scores of papers are
    of the official test images, which only the organisers can score. An accuracy on the official
    val images gives a number that cannot be compared with them.

    accuracies: top-1 accuracy by domain, 0 to 1. A domain that is missing has no points.
    baseline: top-1 accuracy of the baseline by domain, 0 to below 1; None: that of the article, ten
    fully fine-tuned networks.
    exponent: how much more small errors count; the article has 2.

    Raises `MpnasError` if there is no accuracy, a domain is not one of the baseline, or a number is
    out of its range.

    >>> mk.analysis.decathlon_score({"dtd": 0.5553, "svhn": 1.0}).table["points"].tolist()
    [250.0, 1000.0]
    """
    require_type(accuracies, Mapping, "accuracies")
    if baseline is None:
        baseline = FINE_TUNED
    require_type(baseline, Mapping, "baseline")
    if not accuracies:
        raise MpnasError("accuracies is empty: expected an accuracy of at least one domain.")
    for name in accuracies:
        if name not in baseline:
            raise unknown("domain of the baseline", name, baseline)
    rows = []
    for name in sorted(accuracies, key=_place):
        accuracy = _share(accuracies[name], Range(0, 1), f"accuracy of {name!r}")
        best = _share(baseline[name], Range(0, 1, below=True), f"baseline of {name!r}")
        error, most = 1 - accuracy, 2 * (1 - best)
        points = POINTS * (max(0.0, most - error) / most) ** exponent
        rows.append((name, accuracy, error, most, points))
    columns = ["domain", "accuracy", "error", "most_error", "points"]
    missing = tuple(name for name in baseline if name not in accuracies)
    return DecathlonScore(pd.DataFrame(rows, columns=columns), missing)


def _place(name: str) -> tuple[int, str]:
    """Return the sort key of a domain: the order of the organisers, then others by name."""
    return DECATHLON.index(name) if name in DECATHLON else len(DECATHLON), name


def _share(value: object, allowed: Range, what: str) -> float:
    found = number(value, allowed)
    if found is None:
        raise MpnasError(f"{what} must be a number {allowed}, not {short(value)}.")
    return found
