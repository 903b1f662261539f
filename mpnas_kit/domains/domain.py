"""Domains and suites. A domain has its own images, classes and splits; a suite has domains."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import torch

from mpnas_kit.domains.split import Split
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.parts import lacks_attributes

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain: images with a label set of their own, in three splits.

    name: letters, digits, `-` and `_` only.
    classes: names of the classes, in the order of the labels, at least 2.
    train: training split. A search reads only this one.
    val: validation split.
    test: test split.
    flip: whether a mirrored image keeps its label, so that augmentation may mirror images.
    task: what a network must predict; None: classification into `classes`.

    Raises `MpnasError` if the name is not valid, there are fewer than 2 classes, a split is empty,
    a label is out of range, or images are not uint8, square and of one shape.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise MpnasError(f"domain name {self.name!r} may have letters, digits, - and _ only.")
        if len(self.classes) < 2:
            raise MpnasError(f"domain {self.name!r} needs at least 2 classes, not {self.classes}.")
        if self.task is None:
            object.__setattr__(self, "task", Classification(len(self.classes)))
        for name in SPLITS:
            _check(getattr(self, name), f"domain {self.name!r}, split {name!r}", len(self.classes))
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

    def __repr__(self) -> str:
        sizes = "/".join(str(len(self.split(s))) for s in SPLITS)
        return f"Domain({self.name!r}, {len(self.classes)} classes, {sizes} images)"


def _check(split: Split, where: str, classes: int) -> None:
    lacking = lacks_attributes(
        split, "labels", "shape", "take(index)", "fingerprint()", "__len__()"
    )
    if lacking is not None:
        raise MpnasError(f"{where} has no {lacking}: expected a split such as TensorSplit.")
    labels, shape = split.labels, tuple(split.shape)
    if len(split) == 0:
        raise MpnasError(f"{where} is empty: it needs at least one image.")
    square = len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2]
    first = split.take(torch.zeros(1, dtype=torch.int64))
    if not square or first.dtype != torch.uint8 or first.shape != (1, *shape):
        raise MpnasError(
            f"{where}: images must be uint8 of shape (n, 1 or 3, size, size), "
            f"not {first.dtype} {(len(split), *first.shape[1:])}."
        )
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
    """Several domains of one resolution, in a fixed order. `suite[name]` is one domain.

    domains: at least one, with distinct names.
    name: short name for tables and errors.
    source: text form that creates the suite again, such as `pocket(full=True)` or
    `my_data.py:suite`; None: no text creates it, so it exists only in this process.

    Raises `MpnasError` if there is no domain, a name occurs twice, or resolutions differ.

    >>> suite.names, suite.resolution, len(suite["planted0"].train)
    (('planted0', 'planted1'), 16, 64)
    """

    domains: tuple[Domain, ...]
    name: str = "custom"
    source: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))
        if not self.domains:
            raise MpnasError(f"suite {self.name!r} has no domains: it needs at least one.")
        names = [d.name for d in self.domains]
        if len(set(names)) < len(names):
            raise MpnasError(f"suite {self.name!r} names a domain twice: {', '.join(names)}.")
        sizes = {d.name: d.resolution for d in self.domains}
        if len(set(sizes.values())) > 1:
            raise MpnasError(f"suite {self.name!r}: domains differ in resolution: {sizes}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, in the order of the suite."""
        return tuple(d.name for d in self.domains)

    @property
    def resolution(self) -> int:
        """Height and width of all images, in pixels."""
        return self.domains[0].resolution

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
        return replace(self, domains=tuple(self[n] for n in names))

    def fingerprint(self, splits: Sequence[str] = SPLITS) -> str:
        """Return a short hash over domain names, classes, `flip`, images and labels.

        splits: the splits whose images and labels count; default: all three.
        """
        digest = sha256()
        for domain in self.domains:
            digest.update(repr((domain.name, domain.classes, domain.flip)).encode())
            for name in splits:
                digest.update(domain.split(name).fingerprint().encode())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"DomainSuite({self.name!r}, {len(self)} domains, {self.resolution} px)"
