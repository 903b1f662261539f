"""Listing: which images a folder of domains holds, with their classes and splits.

    ROOT/DOMAIN/train/CLASS/...   a folder of domains with splits; also val and test
    ROOT/DOMAIN/CLASS/...         a folder of domains without splits
    DOMAIN/train/CLASS/...        the folder of one domain, with splits or without

`val` may also be `valid` or `validation`. Folders inside of a class folder belong to the class.
Hidden files and folders, and those that systems leave behind, are skipped.
"""

import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mpnas_kit import files
from mpnas_kit.domains.sources import Source
from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.values import convert_text

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"}
_PICTURES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".ico", ".heic"),
}


class Listed(NamedTuple):
    """One image of a domain, before it is decoded.

    source: where its content is: the absolute path of a file, or a row of a file.
    name: path inside of the domain, for order and messages.
    label: name of the class.
    split: `train`, `val` or `test`; None: the kit decides.
    group: images of one group never end up in different splits; None: the image is alone.
    """

    source: Source
    name: str
    label: str
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """The images of one domain, in an order that depends on names only.

    domain: name of the domain.
    images: its images, by class and name, in natural order.
    notices: what a person should know, one sentence each.
    """

    domain: str
    images: tuple[Listed, ...]
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, domain: str, images: Iterable[Listed], notices: Iterable[str] = ()) -> "Listing":
        """Return the listing of images in any order. Raises `MpnasError` if there are none."""
        found = list(images)
        if not found:
            raise MpnasError(f"domain {domain!r} has no images: expected at least 2 classes.")
        order = {label: natural(label) for label in {image.label for image in found}}
        for label in order:
            convert_text(label, f"domain {domain!r}: a class name")
        found.sort(key=lambda image: (order[image.label], natural(image.name)))
        return cls(domain, tuple(found), tuple(notices))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes over all splits, in natural order."""
        return tuple(dict.fromkeys(image.label for image in self.images))


def natural(text: str) -> tuple[str, str]:
    """Return a sort key for natural order: case does not count, and numbers count as numbers.

    >>> sorted(["b", "img10", "img9", "A"], key=natural)
    ['A', 'b', 'img9', 'img10']
    """
    return re.sub(r"\d+", lambda match: match[0].zfill(20), text.casefold()), text


def domain_name(text: str, where: object) -> str:
    """Return a name of a folder or file as the name of a domain: letters, digits, - and _ only.

    text: the name. Other characters become `_`.
    where: the folder or file, for an error.

    Raises `MpnasError` if no letter and no digit is left.
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")
    if not re.search(r"[A-Za-z0-9]", name):
        raise MpnasError(
            f"{short(text)} ({where}) cannot be the name of a domain, which has letters from A to "
            "Z, digits, - and _ only: rename it, or give it as --data name=path."
        )
    return name


def list_folders(folder: pathlib.Path, domains: Sequence[str] | None = None) -> list[Listing]:
    """Return the images of a folder of domains, or of the folder of one domain.

    folder: the folder.
    domains: names of the domains to list, in order; None: all, in natural order.

    Raises `MpnasError` if the folder has another layout, or a domain is unknown.
    """
    if _is_domain(str(folder)):
        named = {domain_name(folder.resolve().name, folder): str(folder)}
    else:
        named = {}
        for inside in _folders(str(folder)):
            name = domain_name(inside, folder / inside)
            if name in named:
                raise MpnasError(
                    f"{named[name]} and {folder / inside} would both be the domain {name!r}: "
                    "rename one of them."
                )
            named[name] = str(folder / inside)
    if not named:
        raise MpnasError(
            f"{folder} has no folders: expected a folder per domain with a folder per class, such "
            f"as {folder}/DOMAIN/train/CLASS."
        )
    for name in domains or ():
        if name not in named:
            raise unknown("domain", name, named)
    return [list_domain(named[name], name) for name in domains or named]


def list_domain(folder: str, name: str) -> Listing:
    """Return the images in the folder of one domain.

    folder: its path.
    name: name of the domain.

    Raises `MpnasError` if the folder has another layout.
    """
    inside = _folders(folder)
    splits: dict[str, str] = {}
    for item in inside:
        split = SPLIT_NAMES.get(item.lower())
        if split in splits:
            raise MpnasError(
                f"{folder} has the folders {splits[split]!r} and {item!r}, which both mean the "
                f"{split} split: expected one of them."
            )
        if split is not None:
            splits[split] = item
    others = [item for item in inside if item not in splits.values()]
    if splits.keys() & {"train"} and others:
        raise MpnasError(
            f"{folder} has the folder {others[0]!r} beside {', '.join(splits.values())}: expected "
            "either splits or classes in it."
        )
    if splits and not others and "train" not in splits:
        place = f"{folder}/{next(iter(splits.values()))}"
        raise MpnasError(
            f"{folder} has no folder 'train', but {', '.join(splits.values())}: expected it. To "
            f"evaluate a model on them, give the folder that has the classes: {name}={place}."
        )
    images: list[Listed] = []
    notices: list[str] = []
    if "train" not in splits:
        images += _classes(folder, name, None, "", notices)
    else:
        _refuse_loose(folder)
        for split, item in splits.items():
            images += _classes(f"{folder}/{item}", name, split, f"{item}/", notices)
    if not images:
        raise MpnasError(
            f"{folder} has no images in folders: expected a folder per class, such as "
            f"{folder}/train/CLASS or {folder}/CLASS."
        )
    return Listing.of(name, images, notices)


def _classes(
    folder: str, domain: str, split: str | None, above: str, notices: list[str]
) -> Iterator[Listed]:
    """Yield the images in the class folders of a folder. Empty ones become notices."""
    _refuse_loose(folder)
    for label in _folders(folder):
        names = list(_files(f"{folder}/{label}", ()))
        if not names:
            notices.append(f"domain {domain!r}: class folder {short(above + label)} is empty.")
        elif all("/" in name for name in names):
            _refuse_domain(f"{folder}/{label}")
            notices.append(
                f"domain {domain!r}: class folder {short(above + label)} has images only in "
                f"folders inside of it, such as {short(names[0])}."
            )
        for name in names:
            inside = f"{above}{label}/{name}"
            yield Listed(f"{folder}/{label}/{name}", inside, label, split)


def _files(folder: str, above: tuple[str, ...]) -> Iterator[str]:
    """Yield the paths of all files in a folder and the folders in it, relative to it.

    above: the folders that it is in, with all links followed.
    """
    here = files.resolved(folder)
    if here in above:
        raise MpnasError(f"{folder} is a link to a folder that it is in: remove the link.")
    for name, kind in _visible(folder):
        if kind == "folder":
            yield from (f"{name}/{rest}" for rest in _files(f"{folder}/{name}", (*above, here)))
        else:
            yield name


def _is_domain(folder: str) -> bool:
    """Return whether a folder is one domain: it has a split, or a folder in it has images.

    Raises `MpnasError` if some folders in it look like classes, and some like domains.
    """
    inside = [f"{folder}/{item}" for item in _folders(folder)]
    if any(SPLIT_NAMES.get(item.rpartition("/")[2].lower()) == "train" for item in inside):
        return True
    classes = [item for item in inside if _pictures(item)]
    domains = [item for item in inside if any(_pictures(f"{item}/{x}") for x in _folders(item))]
    if classes and domains:
        raise MpnasError(
            f"{folder} is neither a domain nor a folder of domains: {short(classes[0])} has images "
            f"as a class has, and {short(domains[0])} has folders of images as a domain has. Move "
            "them, or give each domain as --data name=folder."
        )
    return bool(classes)


def _refuse_domain(folder: str) -> None:
    """Raise `MpnasError` if a class folder has splits in it: then it is the folder of a domain."""
    for name in _folders(folder):
        if SPLIT_NAMES.get(name.lower()) == "train":
            raise MpnasError(
                f"{folder} has a folder {name!r}, so it is a domain and not a class: give the "
                "folder that it is in as --data without a name, or this folder with one."
            )


def _refuse_loose(folder: str) -> None:
    loose = _pictures(folder)
    if loose:
        raise MpnasError(
            f"{folder} has {len(loose)} images outside of class folders, such as {loose[0]!r}: "
            "expected images in a folder per class."
        )


def _pictures(folder: str) -> list[str]:
    """Return the names of files in a folder that end as images do."""
    return [
        name
        for name, kind in _visible(folder)
        if kind == "file" and os.path.splitext(name)[1].lower() in _PICTURES
    ]


def _folders(folder: str) -> list[str]:
    """Return the names of the folders in a folder, in natural order."""
    return sorted((n for n, kind in _visible(folder) if kind == "folder"), key=natural)


def _visible(folder: str) -> list[files.Entry]:
    """Return what is in a folder, without what is hidden or left behind by a system."""
    return [entry for entry in files.entries_in(folder) if is_visible(entry.name)]


def is_visible(name: str) -> bool:
    """Return whether a file or folder of this name counts."""
    return not name.startswith(".") and name.lower() not in _LEFT_BEHIND
