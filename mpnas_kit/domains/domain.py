"""What a domain is: its own images and its own label set, in three splits."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from mpnas_kit.errors import MpnasError, unknown

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Images of one split and their labels.

    images: uint8 (n, C, H, W), C = 1 (grey) or 3 (RGB), H = W.
    labels: int64 (n,), an index into the classes of the domain.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "Split":
        """The images at `index` (int64 (k,)), in that order."""
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True, eq=False)
class Domain:
    """One image-classification domain.

    `train`, `val`, `test`: the splits. A search reads `train` only.
    `flip`: whether a mirrored image keeps its label, so that augmentation may flip.
    Raises `MpnasError` for an empty split, a label out of range or images of a wrong shape.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    flip: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise MpnasError(f"domain name {self.name!r} may have letters, digits, - and _ only.")
        if len(self.classes) < 2:
            raise MpnasError(f"domain {self.name!r} needs at least 2 classes, not {self.classes}.")
        for name in SPLITS:
            _check(getattr(self, name), f"domain {self.name!r}, split {name!r}", len(self.classes))
        if len({tuple(getattr(self, s).images.shape[1:]) for s in SPLITS}) > 1:
            raise MpnasError(f"domain {self.name!r}: the splits differ in image shape.")

    @property
    def resolution(self) -> int:
        """Height and width of the images, pixels."""
        return int(self.train.images.shape[-1])

    def __repr__(self) -> str:
        sizes = "/".join(str(len(s)) for s in (self.train, self.val, self.test))
        return f"Domain({self.name!r}, {len(self.classes)} classes, {sizes} images)"


def _check(split: Split, where: str, classes: int) -> None:
    images, labels = split.images, split.labels
    if len(labels) == 0:
        raise MpnasError(f"{where} is empty: it needs at least one image.")
    square = images.ndim == 4 and images.shape[-1] == images.shape[-2]
    if images.dtype != torch.uint8 or not square or images.shape[1] not in (1, 3):
        raise MpnasError(
            f"{where}: images must be uint8 of shape (n, 1 or 3, size, size), "
            f"not {images.dtype} {tuple(images.shape)}."
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise MpnasError(
            f"{where}: labels must be int64, one an image ({len(images)}), "
            f"not {labels.dtype} {tuple(labels.shape)}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        bad = low if low < 0 else high
        raise MpnasError(f"{where}: label {bad} is out of range: expected 0 to {classes - 1}.")


@dataclass(frozen=True, eq=False)
class DomainSuite:
    """Several domains of one resolution, in a fixed order."""

    domains: tuple[Domain, ...]
    name: str = "custom"

    def __post_init__(self) -> None:
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
        """The names of the domains, in order."""
        return tuple(d.name for d in self.domains)

    @property
    def resolution(self) -> int:
        """Height and width of all images, pixels."""
        return self.domains[0].resolution

    @property
    def classes(self) -> dict[str, int]:
        """The number of classes of every domain."""
        return {d.name: len(d.classes) for d in self.domains}

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
        """The same suite with only the named domains, in the order given."""
        return DomainSuite(tuple(self[n] for n in names), self.name)

    def fingerprint(self) -> str:
        """A short hash over names, classes and the bytes of the training splits."""
        digest = sha256()
        for domain in self.domains:
            digest.update(repr((domain.name, domain.classes, domain.flip)).encode())
            digest.update(domain.train.images.numpy().tobytes())
            digest.update(domain.train.labels.numpy().tobytes())
        return digest.hexdigest()[:16]
