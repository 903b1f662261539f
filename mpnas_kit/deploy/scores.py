"""Scores of a model on labelled images that it was not trained on. Classes are matched by name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.signature import Signature
from mpnas_kit.domains.split import read
from mpnas_kit.errors import MpnasError

ALL = "all"  # stands for the images of all splits


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """Accuracies of a model on the images of a suite. Returned by `Model.evaluate`.

    domains: one row per domain that model and suite have. Columns domain, images (their number),
    accuracy (top-1, 0 to 1), macro_accuracy (mean recall over the classes that have images).
    classes: one row per domain and class that has images. Columns domain, label, images, recall (0
    to 1).
    unmatched: what of model and suite has no partner, one sentence each.
    """

    domains: pd.DataFrame
    classes: pd.DataFrame
    unmatched: tuple[str, ...]

    def _repr_html_(self) -> str:
        return str(self.domains.to_html(index=False))

    def __repr__(self) -> str:
        mean = self.domains["accuracy"].mean()
        return f"Scores({len(self.domains)} domains, mean accuracy {mean:.1%})"


def score_suite(
    classify: Callable[[str, Tensor], Tensor],
    signatures: Mapping[str, Signature],
    suite: DomainSuite,
    split: str,
    batch_size: int,
) -> Scores:
    """Return the accuracies of a classifier on a split of a suite, or on all its images.

    Images of a class that the classifier does not know are left out.

    classify: function of a domain's name and images uint8 (n, C, H, W) that returns the index of
    the predicted class, int64 (n,).
    signatures: classes of every domain that it knows.
    suite: domains with labelled images.
    split: `train`, `val`, `test` or `all`.
    batch_size: images per call.

    Raises `MpnasError` if no domain or no class of the suite is known.
    """
    unmatched = _without_partner(suite.names, signatures)
    shared = [domain for domain in suite if domain.name in signatures]
    if not shared:
        raise MpnasError(
            f"the model and the data have no domain in common: the model has "
            f"{', '.join(signatures)}, the data {', '.join(suite.names)}."
        )
    rows, tables = [], []
    splits = SPLITS if split == ALL else (split,)
    for domain in shared:
        known = signatures[domain.name].classes
        unmatched += _classes_without_partner(domain, known, splits)
        table = _by_class(classify, domain, known, splits, batch_size)
        count, right = int(table["images"].sum()), int(table["right"].sum())
        if not count:
            raise MpnasError(
                f"domain {domain.name!r}: no image of {of_split(split)} has a class of the model: "
                f"expected classes such as {', '.join(known[:3])}."
            )
        table.insert(3, "recall", table.pop("right") / table["images"])
        macro = float(table["recall"].mean())
        rows.append((domain.name, count, right / count, macro))
        tables.append(table)
    columns = ["domain", "images", "accuracy", "macro_accuracy"]
    domains = pd.DataFrame(rows, columns=columns)
    return Scores(domains, pd.concat(tables, ignore_index=True), tuple(unmatched))


def _by_class(
    classify: Callable[[str, Tensor], Tensor],
    domain: Domain,
    known: tuple[str, ...],
    splits: tuple[str, ...],
    batch_size: int,
) -> pd.DataFrame:
    """Return for every known class with images their number and how many are right."""
    index_of = {name: i for i, name in enumerate(known)}
    classes = torch.tensor([index_of.get(name, -1) for name in domain.classes])
    total, right = torch.zeros(2, len(known), dtype=torch.int64)
    for images in map(domain.split, splits):
        target = classes[images.labels]
        (chosen,) = torch.nonzero(target >= 0, as_tuple=True)
        for index in chosen.split(batch_size) if len(chosen) else ():
            found = classify(domain.name, read(images, index))
            expected = target[index]
            total += torch.bincount(expected, minlength=len(known))
            right += torch.bincount(expected[found == expected], minlength=len(known))
    rows = [
        (domain.name, name, n, r)
        for name, n, r in zip(known, total.tolist(), right.tolist(), strict=True)
        if n
    ]
    return pd.DataFrame(rows, columns=["domain", "label", "images", "right"])


def _without_partner(names: tuple[str, ...], signatures: Mapping[str, Signature]) -> list[str]:
    pairs = [
        ([n for n in names if n not in signatures], "the data", "the model"),
        ([n for n in signatures if n not in names], "the model", "the data"),
    ]
    return [
        f"{_counted(missing, 'domain')} of {one} {_are(missing)} not in {other}: "
        f"{', '.join(missing)}."
        for missing, one, other in pairs
        if missing
    ]


def of_split(split: str) -> str:
    """Return a split in words, for a sentence."""
    return "any split" if split == ALL else f"split {split!r}"


def _classes_without_partner(
    domain: Domain, known: tuple[str, ...], splits: tuple[str, ...]
) -> Iterator[str]:
    labels = torch.cat([domain.split(name).labels for name in splits])
    counts = torch.bincount(labels, minlength=len(domain.classes)).tolist()
    by_name = dict(zip(domain.classes, counts, strict=True))
    ours = set(known)
    unknown = [name for name, count in by_name.items() if count and name not in ours]
    if unknown:
        images = sum(by_name[name] for name in unknown)
        yield (
            f"domain {domain.name!r}: {images} images of {_counted(unknown, 'class', 'classes')} "
            f"that the model does not have are left out: {_some(unknown)}."
        )
    without = [name for name in known if not by_name.get(name)]
    if without:
        yield (
            f"domain {domain.name!r}: {_counted(without, 'class', 'classes')} of the model "
            f"{'has' if len(without) == 1 else 'have'} no image: {_some(without)}."
        )


def _counted(names: list[str], one: str, many: str | None = None) -> str:
    return f"1 {one}" if len(names) == 1 else f"{len(names)} {many or one + 's'}"


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
