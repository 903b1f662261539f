"""Suites of a person's own images, from folders or from a manifest."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.domains.cache import CachedImages, prepare
from mpnas_kit.domains.decoding import Fit
from mpnas_kit.domains.domain import SPLITS, Domain, DomainSuite
from mpnas_kit.domains.listing import Listed, Listing, domain_name, list_domain, list_folders
from mpnas_kit.domains.manifests import MANIFESTS, read_manifest
from mpnas_kit.domains.splitting import SHARES, checked_shares, file_groups, split_images
from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.parts import approve_text
from mpnas_kit.settings import check
from mpnas_kit.values import SEED, Range, checked, convert_list, convert_text

Bad = Literal["stop", "skip"]
_SHOWN = 3  # files that a message names
DEFAULT_RESOLUTION = 64


@dataclass(frozen=True)
class Treatment:
    """How the images of a domain are prepared.

    resolution, how, channels: size and mode (see `Fit`).
    shares, group, seed: how missing splits are made (see `split_images`).
    flip: whether a mirrored image keeps its label.
    """

    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION
    how: Literal["crop", "pad", "stretch"] = "crop"
    channels: Literal[1, 3] | None = None
    shares: tuple[float, float, float] = SHARES
    group: str | None = None
    seed: Annotated[int, SEED] = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check(self, "images")
        object.__setattr__(self, "shares", checked_shares(self.shares))
        file_groups((), self.group)

    @property
    def fit(self) -> Fit:
        """Size and mode of the images."""
        return Fit(self.resolution, self.how, self.channels)


class CachedSplit:
    """A split whose images are in the cache. They are read when they are taken.

    images: images of the domain in the cache.
    positions: positions of the split's images among them, int64 (n,).
    labels: class of every image, int64 (n,).
    """

    def __init__(
        self, images: CachedImages, positions: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> None:
        self._images, self._positions = images, positions
        self._labels = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def labels(self) -> Tensor:
        """Class of every image: int64 (n,)."""
        return self._labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self._images.shape[1:]

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64 (k,)) in that order: uint8 (k, C, H, W)."""
        return torch.from_numpy(self._images.pixels[self._positions[index.numpy()]])

    def fingerprint(self) -> str:
        """Return a short hash over the hashes of all images, and the labels. No pixel is read."""
        digest = sha256(repr((self.shape, len(self))).encode())
        digest.update(self._images.index["digest"][self._positions].tobytes())
        digest.update(self._labels.numpy().tobytes())
        return digest.hexdigest()[:16]


@checked("folders")
def folders(
    path: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    domains: Sequence[str] | None = None,
    *,
    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION,
    how: Literal["crop", "pad", "stretch"] = "crop",
    channels: Literal[1, 3] | None = None,
    shares: Sequence[float] = SHARES,
    group: str | None = None,
    seed: Annotated[int, SEED] = 0,
    bad: Bad = "stop",
    flip: bool = False,
) -> DomainSuite:
    """Return the images in a folder of domains, in the folder of one domain, or in several.

    A domain has class folders, or the folders `train`, `val` (or `valid`, `validation`) and `test`
    with class folders in them. Classes are in natural order over all splits. Splits that are
    missing are made: stratified by class, with duplicates in the same split. The images are decoded
    once, into the cache (see `cache_folder`).

    path: the folder; or the folder of each domain, by name.
    domains: names of the domains to return, in order; None: all.
    resolution: height and width of the images, pixels, 1 to 4096.
    how: how an image becomes square. `crop` keeps the middle, `pad` adds black at two sides,
    `stretch` changes the proportions.
    channels: 1 (grey) or 3 (RGB); None: 1 for domains whose images are all grey, otherwise 3.
    shares: shares of train, val and test where splits are missing. Their sum is 1.
    group: regular expression. Images whose file names match with the same text stay in one split.
    seed: seed of the random split, 0 to 2**32 - 1.
    bad: what happens if images cannot be read: `stop` raises an error with their number, `skip`
    leaves them out and lists them in `left_out` of the suite.
    flip: whether a mirrored image keeps its label.

    Raises `MpnasError` if a folder has another layout or a value is wrong.

    >>> suite = mk.folders("photos", resolution=32)  # doctest: +SKIP
    """
    given = dict(resolution=resolution, how=how, channels=channels, shares=shares, group=group)
    treatment = Treatment(**given, seed=seed, flip=flip)  # type: ignore[arg-type]
    options = {**vars(treatment), "bad": bad}
    source = source_text("folders", path, options)
    names = None if domains is None else _names(domains)
    if isinstance(path, Mapping):
        named = {domain_name(name, "path"): require_folder(folder) for name, folder in path.items()}
        for name in names or ():
            if name not in named:
                raise unknown("domain", name, named)
        listings = [list_domain(str(named[name]), name) for name in names or named]
        title = "folders"
    else:
        folder = require_folder(path)
        listings, title = list_folders(folder, names), folder.name
    return suite_of([(each, treatment) for each in listings], title, source, bad)


@checked("table")
def table(
    path: str | os.PathLike[str],
    domains: Sequence[str] | None = None,
    *,
    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION,
    how: Literal["crop", "pad", "stretch"] = "crop",
    channels: Literal[1, 3] | None = None,
    shares: Sequence[float] = SHARES,
    group: str | None = None,
    seed: Annotated[int, SEED] = 0,
    bad: Bad = "stop",
    flip: bool = False,
) -> DomainSuite:
    """Return the images that a CSV, TSV, JSONL or Parquet file lists.

    It has the columns `path` and `label`, and perhaps `domain`, `split` and `group`. Paths are
    relative to the file. Parquet needs the extra `parquet` of the package.

    path: the file.
    domains: names of the domains to return, in order; None: all, by their first row.
    resolution, how, channels, shares, seed, bad, flip: see `folders`.
    group: regular expression on file names (see `folders`), for rows without a value in `group`.

    Raises `MpnasError` that names the line if the file cannot be read or a value is wrong.

    >>> suite = mk.table("photos.csv", resolution=32)  # doctest: +SKIP
    """
    given = dict(resolution=resolution, how=how, channels=channels, shares=shares, group=group)
    treatment = Treatment(**given, seed=seed, flip=flip)  # type: ignore[arg-type]
    source = source_text("table", path, {**vars(treatment), "bad": bad})
    names = None if domains is None else _names(domains)
    file = _absolute(path)
    listings = read_manifest(file, names)
    return suite_of([(each, treatment) for each in listings], file.stem, source, bad)


def source_text(
    name: str, path: str | os.PathLike[str] | Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    """Return the text that creates a suite again. Paths are absolute; `resolution` is always there.

    name: `folders`, `table` or `suite_file`.
    path: path, or paths by name of the domain.
    options: options by name. Those that have their default are omitted.
    """
    if isinstance(path, Mapping):
        where: Any = {str(domain): str(_absolute(each)) for domain, each in path.items()}
    else:
        where = str(_absolute(path))
    defaults = {**vars(Treatment()), "bad": "stop", "resolution": None}
    shown = {k: v for k, v in options.items() if not (k in defaults and _same(v, defaults[k]))}
    inside = ", ".join(f"{key}={value!r}" for key, value in {"path": where, **shown}.items())
    return f"{name}({inside})"


def _same(value: Any, default: Any) -> bool:
    return tuple(value) == default if isinstance(default, tuple) else bool(value == default)


def _absolute(path: Any) -> pathlib.Path:
    return pathlib.Path(os.path.abspath(files.as_path(path, "path of the images")))


def require_folder(path: Any) -> pathlib.Path:
    """Return the absolute path of a folder. Raises `MpnasError` if it is none."""
    folder = _absolute(path)
    if not files.exists(folder):
        raise MpnasError(f"there is no folder {folder}: expected a folder of images.")
    if not folder.is_dir():
        kinds = ", ".join(MANIFESTS)
        raise MpnasError(f"{folder} is a file: expected a folder, or a file of {kinds} or .toml.")
    return folder


def _names(domains: Any) -> tuple[str, ...]:
    given = (domains,) if isinstance(domains, str) else convert_list(domains, "domains", "names")
    return tuple(convert_text(name, "a name in domains") for name in given)


# Building -----------------------------------------------------------------------------------------


def suite_of(
    parts: Sequence[tuple[Listing, Treatment]], title: str, source: str, bad: Bad
) -> DomainSuite:
    """Return the suite of listed images. What the cache lacks is decoded.

    parts: images of every domain, and how they are prepared.
    title: name of the suite.
    source: text that creates it again. A person gave it: `read` follows it from now on.
    bad: what happens if images cannot be read (see `folders`).

    Raises `MpnasError` if images cannot be read and `bad` is `stop`.
    """
    cached = [
        prepare([i.path for i in listing.images], how.fit, f"domain {listing.domain!r}")
        for listing, how in parts
    ]
    left_out = tuple(
        f"{listing.domain}: {listing.images[position].name}: {why}"
        for (listing, _), images in zip(parts, cached, strict=True)
        for position, why in images.bad.items()
    )
    if left_out and bad == "stop":
        total = sum(len(listing.images) for listing, _ in parts)
        raise MpnasError(
            f"{len(left_out):,} of {total:,} images cannot be read: {_some(left_out)}. Mend or "
            "remove them, or leave them out (--bad skip, bad='skip')."
        )
    domains: list[Domain] = []
    notices: list[str] = []
    for (listing, how), images in zip(parts, cached, strict=True):
        domain, about = _domain(listing, how, images)
        domains.append(domain)
        notices += [*listing.notices, *about]
    if left_out:
        word = "image is" if len(left_out) == 1 else "images are"
        notices.append(f"{len(left_out):,} {word} left out: {_some(left_out)}.")
    approve_text(source)
    name = title if title.strip() and title.isprintable() else "images"
    return DomainSuite(tuple(domains), name, source, tuple(notices), left_out)


def _some(items: Sequence[str]) -> str:
    """Return the first items in words, each shortened."""
    shown = [item if len(item) <= 120 else f"{item[:50]}...{item[-60:]}" for item in items[:_SHOWN]]
    shown = [item if item.isprintable() else ascii(item) for item in shown]
    rest = len(items) - len(shown)
    return "; ".join([*shown, f"and {rest:,} more"] if rest else shown)


def _domain(listing: Listing, how: Treatment, images: CachedImages) -> tuple[Domain, list[str]]:
    """Return a domain of the images that can be read, and notices about it."""
    good = np.flatnonzero(~images.index["bad"])
    left = Listing(listing.domain, tuple(listing.images[i] for i in good.tolist()))
    _, first, inverse = np.unique(
        images.index["group"][good], return_index=True, return_inverse=True
    )
    duplicates = first[inverse]
    number = {label: i for i, label in enumerate(listing.classes)}
    labels = np.array([number[image.label] for image in left.images], dtype=np.int64)
    splits = split_images(left, duplicates, shares=how.shares, group=how.group, seed=how.seed)
    for i, name in enumerate(SPLITS):
        if not (splits == i).any():
            raise MpnasError(
                f"domain {listing.domain!r} has no image for {name}: expected images of the split "
                "that can be read, or at least 3 different images in a class."
            )
    train, val, test = (
        CachedSplit(images, good[splits == i], labels[splits == i]) for i in range(len(SPLITS))
    )
    domain = Domain(listing.domain, listing.classes, train, val, test, how.flip)
    return domain, [
        f"domain {listing.domain!r}: {sentence}"
        for sentence in (
            *_missing_classes(domain),
            *_duplicates(left.images, labels, splits, duplicates),
        )
    ]


def _missing_classes(domain: Domain) -> list[str]:
    """Return a sentence per split in which classes have no image."""
    sentences = []
    for name in SPLITS:
        counts = torch.bincount(domain.split(name).labels, minlength=len(domain.classes))
        absent = [c for c, count in zip(domain.classes, counts.tolist(), strict=True) if not count]
        if absent:
            sentences.append(
                f"{len(absent)} of {len(domain.classes)} classes have no image in {name}: "
                f"{_some([short(label) for label in absent])}."
            )
    return sentences


def _duplicates(
    images: Sequence[Listed],
    labels: NDArray[np.int64],
    splits: NDArray[np.int64],
    duplicates: NDArray[np.int64],
) -> list[str]:
    """Return sentences about images that show the same: their number, splits and labels."""
    copies = np.flatnonzero(duplicates != np.arange(len(duplicates)))
    if not len(copies):
        return []

    def example(found: NDArray[np.int64]) -> str:
        copy = int(found[0])
        return _some([f"{images[copy].name} and {images[int(duplicates[copy])].name}"])

    apart = copies[splits[copies] != splits[duplicates[copies]]]
    unlike = copies[labels[copies] != labels[duplicates[copies]]]
    sentences = [
        f"{len(copies):,} of {len(images):,} images are exact or near duplicates of others, such "
        f"as {example(copies)}."
    ]
    if len(apart):
        sentences.append(
            f"{len(apart):,} duplicates are in different splits, so test results may be too good, "
            f"such as {example(apart)}."
        )
    if len(unlike):
        sentences.append(
            f"{len(unlike):,} duplicates have different classes, such as {example(unlike)}."
        )
    return sentences
