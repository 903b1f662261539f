"""Domains and suites. A domain has its own images, classes and splits; a suite has domains."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from mpnas_kit.domains.decoding import How
from mpnas_kit.domains.split import CHUNK, Split, TensorSplit, pixel_histogram, read, require_split
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.errors import MpnasError, RaisedBy, short, unknown
from mpnas_kit.parts import lacks_attributes
from mpnas_kit.values import convert_list, convert_plain, convert_text, require_type

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain: images with a label set of their own, in three splits.

    name: letters, digits, `-` and `_` only.
    classes: names of the classes, in the order of the labels, at least 2, distinct. Whole numbers
    become text. A class need not have images.
    train: training split, or a tuple of images and labels (see `TensorSplit`). A search reads only
    this one.
    val: validation split.
    test: test split.
    flip: whether a mirrored image keeps its label, so that augmentation may mirror images.
    turn: whether an image keeps its label if it is turned by 90 degrees or mirrored, so that
    augmentation may do both.
    task: what a network must predict; None: classification into `classes`.
    how: how an image of another shape becomes square in a prediction (see `Fit`).

    Raises `MpnasError` if the name is not valid, there are fewer than 2 classes or two of one name,
    a split is empty, a label is out of range, or images are not uint8, square and of one shape.

    >>> images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    >>> split = mk.TensorSplit(images, torch.tensor([0, 1, 0, 1]))
    >>> mk.Domain("pets", ("cat", "dog"), train=split, val=split, test=split)
    Domain('pets', 2 classes, 4/4/4 images)
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    flip: bool = False
    task: Task = None  # type: ignore[assignment] # set below, never None afterwards
    how: How = "crop"
    turn: bool = False

    def __post_init__(self) -> None:
        convert_text(self.name, "the name of a domain")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise MpnasError(
                f"domain name {short(self.name)} may have letters, digits, - and _ only."
            )
        where = f"domain {self.name!r}"
        object.__setattr__(self, "classes", _class_names(self.classes, where))
        for name in ("flip", "turn"):
            value = convert_plain(getattr(self, name), bool, f"{where}: {name}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "how", convert_plain(self.how, How, f"{where}: how"))
        if self.task is None:
            object.__setattr__(self, "task", Classification(len(self.classes)))
        _check_task(self.task, len(self.classes), where)
        for name in SPLITS:
            split = getattr(self, name)
            if isinstance(split, (tuple, list)) and len(split) == 2:
                split = TensorSplit(*split)
                object.__setattr__(self, name, split)
            _check(split, f"{where}, split {name!r}", len(self.classes))
        shapes = {s: tuple(self.split(s).shape) for s in SPLITS}
        if len(set(shapes.values())) > 1:
            each = ", ".join(f"{s} {shape}" for s, shape in shapes.items())
            raise MpnasError(
                f"domain {self.name!r}: the splits differ in image shape (C, H, W): {each}. "
                "Expected one shape for all."
            )

    def split(self, name: str) -> Split:
        """Return a split by its name. Raises `MpnasError` if the name is unknown.

        name: `train`, `val` or `test`.
        """
        if name not in SPLITS:
            raise unknown("split", name, SPLITS)
        split: Split = getattr(self, name)
        return split

    @property
    def channels(self) -> int:
        """Channels of the images: 1 (grey) or 3 (RGB)."""
        return self.train.shape[0]

    @property
    def resolution(self) -> int:
        """Height and width of the images, in pixels."""
        return self.train.shape[-1]

    @cached_property
    def pixel_counts(self) -> Tensor:
        """How often each pixel value occurs in each channel of the training images: int64 (C, 256).

        They are counted when they are first needed, and kept.
        """
        return pixel_histogram(self.train)

    def __repr__(self) -> str:
        sizes = "/".join(str(len(self.split(s))) for s in SPLITS)
        return f"Domain({self.name!r}, {len(self.classes)} classes, {sizes} images)"


def _class_names(classes: Any, where: str) -> tuple[str, ...]:
    """Return the names of classes as text. Whole numbers are names too."""
    names = []
    for item in convert_list(classes, f"{where}: classes", "names"):
        is_number = hasattr(item, "__index__") and type(item).__name__ not in ("bool", "bool_")
        names.append(convert_text(str(item) if is_number else item, f"{where}: a class name"))
    if len(names) < 2:
        raise MpnasError(f"{where} needs at least 2 classes, not {short(tuple(names))}.")
    if len(set(names)) < len(names):
        name = next(n for n in names if names.count(n) > 1)
        raise MpnasError(f"{where} names the class {short(name)} twice: give it once.")
    return tuple(names)


def _check_task(task: Any, classes: int, where: str) -> None:
    lacking = lacks_attributes(
        task,
        "outputs",
        "chance_loss",
        "chance_quality",
        "head(features)",
        "loss(outputs, labels)",
        "quality(outputs, labels)",
    )
    if lacking is not None or isinstance(task, type):
        raise MpnasError(
            f"{where}: task got {short(task)}, which has no {lacking or 'number of classes'}: "
            "expected a task such as Classification(10)."
        )
    if isinstance(task, Classification) and task.classes != classes:
        raise MpnasError(f"{where} has {classes} classes, but its task has {task.classes}.")


def _check(split: Split, where: str, classes: int) -> None:
    with RaisedBy(where):
        require_split(split, where)
        _check_content(split, where, classes)


def _check_content(split: Split, where: str, classes: int) -> None:
    labels, shape = split.labels, tuple(split.shape)
    if len(split) == 0:
        raise MpnasError(f"{where} is empty: it needs at least one image.")
    square = len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2] and shape[1] > 0
    first = split.take(torch.zeros(1, dtype=torch.int64))
    is_fitting = isinstance(first, Tensor) and first.dtype == torch.uint8
    if not square or not is_fitting or first.shape != (1, *shape):
        found = (
            f"{first.dtype} {(len(split), *first.shape[1:])}"
            if isinstance(first, Tensor)
            else short(first)
        )
        raise MpnasError(
            f"{where}: images must be uint8 of shape (n, 1 or 3, size, size), not {found}."
        )
    if not isinstance(labels, Tensor):
        raise MpnasError(f"{where}: labels must be a tensor of int64, not {short(labels)}.")
    if labels.dtype != torch.int64 or labels.shape != (len(split),):
        raise MpnasError(
            f"{where}: labels must be int64, one per image ({len(split)}), "
            f"not {labels.dtype} {tuple(labels.shape)}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        bad = low if low < 0 else high
        raise MpnasError(f"{where}: label {bad} is out of range: expected 0 to {classes - 1}.")


@dataclass(frozen=True, eq=False)
class DomainSuite:
    """Several domains, in a fixed order. `suite[name]` is one domain.

    Domains may differ in resolution: a network pools its last feature map over all positions, so it
    takes images of any size. A domain with smaller images costs less.

    domains: at least one, with distinct names.
    name: short name for tables and errors.
    source: text form that creates the suite again, such as `pocket(full=True)` or
    `my_data.py:suite`; None: no text creates it, so it exists only in this process.
    notices: what a person should know about the images, one sentence each.
    left_out: files that could not be read and are left out, each with the reason.

    Raises `MpnasError` if there is no domain, or a name occurs twice.

    >>> suite.names, suite.resolution, len(suite["planted0"].train)
    (('planted0', 'planted1'), 16, 64)
    """

    domains: tuple[Domain, ...]
    name: str = "custom"
    source: str | None = None
    notices: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        convert_text(self.name, "the name of a suite")
        convert_plain(self.source, str | None, "source of a suite")
        domains = convert_list(self.domains, f"suite {self.name!r}: domains", "domains")
        object.__setattr__(self, "domains", domains)
        for domain in domains:
            require_type(domain, Domain, f"suite {self.name!r}: a domain")
        if not self.domains:
            raise MpnasError(f"suite {self.name!r} has no domains: it needs at least one.")
        names = [d.name for d in self.domains]
        if len(set(names)) < len(names):
            raise MpnasError(f"suite {self.name!r} names a domain twice: {', '.join(names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, in the order of the suite."""
        return tuple(d.name for d in self.domains)

    @property
    def resolution(self) -> int:
        """Height and width of the largest images, in pixels."""
        return max(self.resolutions.values())

    @property
    def resolutions(self) -> dict[str, int]:
        """Height and width of the images of every domain, in pixels, by domain."""
        return {d.name: d.resolution for d in self.domains}

    @property
    def tasks(self) -> dict[str, Task]:
        """Task of every domain, by name."""
        return {d.name: d.task for d in self.domains}

    def __iter__(self) -> Iterator[Domain]:
        return iter(self.domains)

    def __len__(self) -> int:
        return len(self.domains)

    def __getitem__(self, name: str) -> Domain:
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise unknown("domain", name, self.names)

    def select(self, names: Sequence[str]) -> "DomainSuite":
        """Return a suite of the named domains only, in the given order.

        Raises `MpnasError` if a name is unknown or no name is given.
        """
        chosen = convert_list(names, "the domains to select", "names")
        return replace(self, domains=tuple(self[n] for n in chosen))

    def fingerprint(self, splits: Sequence[str] = SPLITS) -> str:
        """Return a short hash over domain names, classes, `flip`, `turn`, images and labels.

        splits: the splits whose images and labels count; default: all three.
        """
        digest = sha256()
        for domain in self.domains:
            turn = (True,) if domain.turn else ()
            digest.update(repr((domain.name, domain.classes, domain.flip, *turn)).encode())
            for name in splits:
                digest.update(domain.split(name).fingerprint().encode())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        sizes = " and ".join(str(size) for size in sorted(set(self.resolutions.values())))
        return f"DomainSuite({self.name!r}, {len(self)} domains, {sizes} px)"


def require_trainable(suite: DomainSuite, micro_batches: int) -> None:
    """Raise `MpnasError` if the training split of a domain is too small, or teaches nothing.

    It needs at least 2 images for each micro-batch, because batch norm needs two. Its images must
    not be all equal.

    suite: domains with their images.
    micro_batches: parts of a batch.
    """
    for domain in suite:
        least = 2 * micro_batches
        if len(domain.train) < least:
            raise MpnasError(
                f"domain {domain.name!r} has {len(domain.train)} training images: expected at "
                f"least {least}, 2 for each of {micro_batches} micro-batches."
            )
        if _all_equal(domain.train):
            raise MpnasError(
                f"all training images of domain {domain.name!r} are equal: expected images that "
                "differ."
            )


def _all_equal(split: Split) -> bool:
    """Return whether all images are equal. Images are read only until two differ."""
    first = read(split, torch.zeros(1, dtype=torch.int64))
    parts = [torch.arange(min(2, len(split))), *torch.arange(2, len(split)).split(CHUNK)]
    return all(bool((read(split, index) == first).all()) for index in parts if len(index))
