"""The files of the Visual Domain Decathlon, as its organisers lay them out.

    decathlon-1.0/annotations/DOMAIN_train.json, DOMAIN_val.json    images, labels, categories
    decathlon-1.0/annotations/DOMAIN_test_stripped.json             images without labels
    decathlon-1.0/data/DOMAIN/...                                   the images, by `file_name`

Annotations have the form of COCO. Their order is not that of the images: both are joined by the id
of the image. Classes are those of `categories`, by name. Names of folders have no meaning.

Rebuffi, Bilen, Vedaldi: "Learning multiple visual domains with residual adapters", NIPS 2017, arXiv
1705.08045.
"""

import pathlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from mpnas_kit import files
from mpnas_kit.domains.listing import Listed, Listing
from mpnas_kit.errors import MpnasError, short, unknown

DECATHLON = (
    "aircraft",
    "cifar100",
    "daimlerpedcls",
    "dtd",
    "gtsrb",
    "imagenet12",
    "omniglot",
    "svhn",
    "ucf101",
    "vgg-flowers",
)
"""Names of the domains in the order of the organisers: the number of a domain, from 1, begins the
ids of its images and classes."""

NOT_MIRRORED = frozenset({"gtsrb", "omniglot", "svhn"})
"""Domains with characters and signs: a mirrored one may have another meaning."""

TEST_IMAGES = dict(
    zip(
        DECATHLON,
        (3333, 10000, 19600, 1880, 12630, 48238, 8115, 26032, 3783, 6149),
        strict=True,
    )
)
"""Number of official test images of every domain."""

PER_DOMAIN = 10_000_000  # ids of domain number d begin at d times this

OfficialVal = Literal["test", "val", "train"]


class _Image(msgspec.Struct):
    id: int
    file_name: str


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int


class _Category(msgspec.Struct):
    id: int
    name: str | int


class _Labelled(msgspec.Struct):
    """A file DOMAIN_train.json or DOMAIN_val.json."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class _Stripped(msgspec.Struct):
    """A file DOMAIN_test_stripped.json."""

    images: list[_Image]


class Unlabelled(NamedTuple):
    """An official test image. id: number of the organisers. path: absolute path of its file."""

    id: int
    path: str


def is_decathlon(folder: pathlib.Path) -> bool:
    """Return whether a folder has the layout of the Decathlon, with any of its domains."""
    return any(files.exists(_annotations(folder, name, "train")) for name in DECATHLON)


def domains_in(folder: pathlib.Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the domains that are whole, and those that have annotations but no images.

    folder: absolute path of decathlon-1.0.

    Raises `MpnasError` if no domain is whole.
    """
    known = [name for name in DECATHLON if files.exists(_annotations(folder, name, "train"))]
    whole = tuple(name for name in known if files.exists(folder / "data" / name))
    if not whole:
        raise MpnasError(
            f"{folder} has no domain of the Decathlon: expected annotations/DOMAIN_train.json and "
            f"data/DOMAIN, with a DOMAIN such as {DECATHLON[0]}."
        )
    return whole, tuple(name for name in known if name not in whole)


def require_domains(folder: pathlib.Path, names: Sequence[str]) -> None:
    """Raise `MpnasError` if a name is not that of a domain, or its files are missing."""
    for name in names:
        if name not in DECATHLON:
            raise unknown("domain of the Decathlon", name, DECATHLON)
        for needed in (_annotations(folder, name, "train"), folder / "data" / name):
            if not files.exists(needed):
                raise MpnasError(f"domain {name!r} cannot be read: {needed} is missing.")


def list_official(folder: pathlib.Path, domain: str, official_val: OfficialVal) -> Listing:
    """Return the labelled images of a domain.

    folder: absolute path of decathlon-1.0.
    domain: its name.
    official_val: the split in which the images of the official val split are.

    Raises `MpnasError` that names the file and the id if something is wrong.
    """
    images: list[Listed] = []
    for split, own in (("train", "train"), ("val", official_val)):
        file = _annotations(folder, domain, split)
        content = files.read_large_json(file, _Labelled)
        names = {number: name for name, number in _by_name(content, file).items()}
        labels: dict[int, str] = {}
        for each in content.annotations:
            if each.image_id in labels:
                raise MpnasError(f"{file}: image {each.image_id} has several annotations.")
            if each.category_id not in names:
                raise MpnasError(
                    f"{file}: image {each.image_id} has the category {each.category_id}, which is "
                    "not among its categories."
                )
            labels[each.image_id] = names[each.category_id]
        for image in _images(content.images, file):
            if image.id not in labels:
                raise MpnasError(f"{file}: image {image.id} has no annotation.")
            path = _path(folder, image, file)
            images.append(Listed(path, image.file_name, labels[image.id], own))
    return Listing.of(domain, images)


def category_ids(folder: pathlib.Path, domain: str) -> dict[str, int]:
    """Return the number of every class of a domain by its name, as the organisers number them."""
    file = _annotations(folder, domain, "train")
    return _by_name(files.read_large_json(file, _Labelled), file)


def unlabelled_images(folder: pathlib.Path, domain: str) -> list[Unlabelled]:
    """Return the official test images of a domain, which have no labels, in order of their ids.

    Raises `MpnasError` if there are none, two have one id, or an id is not one of the domain.
    """
    file = _annotations(folder, domain, "test_stripped")
    content = files.read_large_json(file, _Stripped)
    first = PER_DOMAIN * (DECATHLON.index(domain) + 1)
    found = []
    for image in _images(content.images, file):
        if not first <= image.id < first + PER_DOMAIN:
            raise MpnasError(
                f"{file}: image id {image.id} is not one of {domain}: expected {first} to "
                f"{first + PER_DOMAIN - 1}."
            )
        found.append(Unlabelled(image.id, _path(folder, image, file)))
    if not found:
        raise MpnasError(f"{file} has no images: expected the official test images.")
    return sorted(found)


def annotation_files(folder: pathlib.Path, domain: str) -> tuple[pathlib.Path, ...]:
    """Return the files that list the labelled images of a domain."""
    return tuple(_annotations(folder, domain, split) for split in ("train", "val"))


def _annotations(folder: pathlib.Path, domain: str, split: str) -> pathlib.Path:
    return folder / "annotations" / f"{domain}_{split}.json"


def _by_name(content: _Labelled, file: pathlib.Path) -> dict[str, int]:
    """Return the number of every category by its name. Names and numbers are distinct."""
    numbers = {str(each.name): each.id for each in content.categories}
    if not len(numbers) == len(content.categories) == len(set(numbers.values())):
        raise MpnasError(f"{file}: two categories have one name or one id: expected distinct ones.")
    return numbers


def _images(images: Sequence[_Image], file: pathlib.Path) -> Sequence[_Image]:
    seen: set[int] = set()
    for image in images:
        if image.id in seen:
            raise MpnasError(f"{file}: two images have the id {image.id}.")
        seen.add(image.id)
    return images


def _path(folder: pathlib.Path, image: _Image, file: pathlib.Path) -> str:
    """Return the path of an image. A name that leads out of the folder is refused."""
    parts = image.file_name.split("/")
    if parts[0] != "data" or len(parts) < 2 or {"", ".", ".."} & set(parts) or "\0" in parts[-1]:
        raise MpnasError(
            f"{file}: image {image.id} has the file_name {short(image.file_name)}: expected a path "
            "in this folder, such as data/DOMAIN/train/CLASS/000001.jpg."
        )
    return f"{folder}/{image.file_name}"
