"""Known suites: suites of images that were made before, and are made again without listing them.

A million images are listed, sorted, grouped and split in some 20 seconds and 400 MB. What comes out
is 9 bytes per image. It is kept in the cache, with a census of all files that it was made of. As
long as the census is the same, the suite is the same.

A census is a hash over the names and stamps (size and times) of files. It reads no file.
"""

import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from mpnas_kit import files
from mpnas_kit.domains.cache import open_images
from mpnas_kit.domains.cached_images import FORMAT, CachedSplit
from mpnas_kit.domains.decoding import DECODER, How
from mpnas_kit.domains.domain import SPLITS, Domain
from mpnas_kit.domains.listing import is_visible
from mpnas_kit.errors import MpnasError

_FORM = 1  # changes if listing, splitting or notices change, so that a suite is made again
NO_SPLIT = len(SPLITS)  # stands for the split of an image that cannot be read


@dataclass(frozen=True)
class Origin:
    """What a suite is made of.

    source: text that creates the suite again. A person gave it.
    names: domains that are chosen, in order; None: all.
    more: what else the suite depends on, besides files, as text.
    folders: folders whose content it depends on.
    tables: files, or folders of data sets, that list other files.
    """

    source: str
    names: tuple[str, ...] | None = None
    more: str = ""
    folders: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name of the suite in the cache."""
        about = (_FORM, FORMAT, DECODER, self.source, self.names, self.more)
        return hashlib.sha256(repr(about).encode("utf-8", "surrogatepass")).hexdigest()[:40]


class KnownDomain(msgspec.Struct):
    """One domain of a known suite.

    images: key of its images in the cache.
    order: position in the cache of every image, int32 (n,). Empty: they are in order.
    splits: split of every image, or `NO_SPLIT`, uint8 (n,).
    labels: class of every image, int32 (n,).
    fingerprints: of the splits.
    """

    name: str
    classes: tuple[str, ...]
    flip: bool
    turn: bool
    how: How
    images: str
    order: bytes
    splits: bytes
    labels: bytes
    fingerprints: tuple[str, str, str]

    @classmethod
    def of(
        cls,
        domain: Domain,
        images: str,
        order: NDArray[np.int64],
        splits: NDArray[np.int64],
        labels: NDArray[np.int64],
    ) -> "KnownDomain":
        """Return what is kept of a domain.

        images: key of its images in the cache.
        order, splits, labels: of all of them, (n,).
        """
        is_ordered = bool((order == np.arange(len(order))).all())
        return cls(
            domain.name,
            domain.classes,
            domain.flip,
            domain.turn,
            domain.how,
            images,
            b"" if is_ordered else order.astype(np.int32).tobytes(),
            splits.astype(np.uint8).tobytes(),
            labels.astype(np.int32).tobytes(),
            tuple(domain.split(name).fingerprint() for name in SPLITS),  # type: ignore[arg-type]
        )

    def domain(self) -> Domain | None:
        """Return the domain, or None if its images are not in the cache."""
        images = open_images(self.images)
        splits, labels = np.frombuffer(self.splits, np.uint8), np.frombuffer(self.labels, np.int32)
        if images is None or not len(splits) == len(labels) == images.shape[0]:
            return None
        order = np.frombuffer(self.order, np.int32).astype(np.int64) if self.order else None
        positions = [np.flatnonzero(splits == i) for i in range(len(SPLITS))]
        train, val, test = (
            CachedSplit(
                images,
                own if order is None else order[own],
                labels[own].astype(np.int64),
                fingerprint,
            )
            for own, fingerprint in zip(positions, self.fingerprints, strict=True)
        )
        return Domain(
            self.name, self.classes, train, val, test, self.flip, how=self.how, turn=self.turn
        )


class KnownSuite(msgspec.Struct):
    """What the cache has of a suite.

    listed: paths of the images that tables list, compressed.
    census: of all files that it was made of.
    domains, notices, left_out: see `DomainSuite`.
    """

    listed: bytes
    census: bytes
    domains: tuple[KnownDomain, ...]
    notices: tuple[str, ...]
    left_out: tuple[str, ...]


def find(origin: Origin) -> tuple[KnownSuite, tuple[Domain, ...]] | None:
    """Return a known suite and its domains; None if there is none, or a file has changed."""
    file = files.cache_folder() / "suites" / origin.key
    content = files.read_checked(file)
    if content is None:
        return None
    try:
        known = msgspec.msgpack.decode(content, type=KnownSuite)
    except msgspec.MsgspecError:
        return None
    paths = zlib.decompress(known.listed).split(b"\0") if known.listed else []
    if whole_census(census(origin), map(os.fsdecode, paths)) != known.census:
        return None
    domains = tuple(filter(None, (each.domain() for each in known.domains)))
    if len(domains) < len(known.domains):
        return None
    files.touch(file)
    return known, domains


def keep(
    origin: Origin,
    census: bytes,
    paths: Sequence[str],
    domains: Iterable[KnownDomain],
    notices: Iterable[str],
    left_out: Iterable[str],
) -> None:
    """Note a suite in the cache, unless the cache can only be read.

    If all domains were chosen, it is also found by their names: a run folder names its domains.

    census: of all its files, from before they were read.
    paths: paths of the images that its tables list.
    """
    known = KnownSuite(
        zlib.compress(b"\0".join(map(os.fsencode, paths)), 1) if paths else b"",
        census,
        tuple(domains),
        tuple(notices),
        tuple(left_out),
    )
    content = files.with_checksum(msgspec.msgpack.encode(known))
    named = replace(origin, names=tuple(domain.name for domain in known.domains))
    with contextlib.suppress(MpnasError):
        folder = files.make_folder(files.cache_folder() / "suites")
        for key in {named.key, origin.key}:
            files.write_bytes(folder / key, content)


# Census -------------------------------------------------------------------------------------------


def census(origin: Origin) -> bytes:
    """Return the census of all that is in the folders of an origin, and of its tables."""
    digest = hashlib.sha256()
    for folder in origin.folders:
        for line in _lines(folder, ()):
            digest.update(line)
    return whole_census(digest.digest(), origin.tables)


def whole_census(census: bytes, paths: Iterable[str]) -> bytes:
    """Return a census to which some files are added."""
    digest = hashlib.sha256(census)
    for path in paths:
        digest.update(_line(path, files.stamp(path)))
    return digest.digest()


def _lines(folder: str, above: tuple[str, ...]) -> Iterator[bytes]:
    """Yield what is in a folder and the folders in it, sorted.

    above: the folders that it is in, with all links followed. A link to one of them is not
    followed.
    """
    here = files.resolved(folder)
    if here in above:
        return
    lines, inside = [], []
    for name, is_folder, stamp in files.stamps_in(folder):
        if is_visible(name):
            lines.append(_line(name, stamp))
            inside += [name] if is_folder else []
    yield from sorted(lines)
    for name in sorted(inside):
        yield b"%b\0begins\n" % os.fsencode(name)
        yield from _lines(f"{folder}/{name}", (*above, here))
        yield b"\0ends\n"


def _line(name: str, stamp: files.Stamp | None) -> bytes:
    return b"%b\0%d %d %d\n" % (os.fsencode(name), *(stamp or (-1, 0, 0)))
