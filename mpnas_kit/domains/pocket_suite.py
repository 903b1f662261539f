"""The pocket suite: ten small real domains of 32x32 images that ship with the package.

=========  =======================================  ==================================
domain     shows                                    source
=========  =======================================  ==================================
fashion    clothes, grey photographs                Fashion-MNIST
landcover  land from space, RGB                     NASA Blue Marble, MODIS land cover
scripts    characters of 22 scripts, grey           Noto Sans fonts
scene      digits among digits on photographs, RGB  fonts; scikit-image, GCompris, Blender
textures   surfaces at equal contrast, grey         scikit-image, scikit-learn
icons      interface icons, grey                    icon fonts of QtAwesome
watch      smartwatch motion drawn as images, RGB   seglearn
letters    letters of many fonts, grey              fonts
digits     handwritten digits, grey scans           MNIST
emoji      emoji by their Unicode group, RGB        OpenMoji
=========  =======================================  ==================================

`pocket_data/SOURCES.md` names every source with its version, licence and attribution.
"""

import hashlib
import json
import pathlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mpnas_kit import files
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import TensorSplit, by_class
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.values import checked, convert_list

POCKET_DATA = pathlib.Path(__file__).parent / "pocket_data"

POCKET_DOMAINS: tuple[str, ...] = (
    "fashion",
    "landcover",
    "scripts",
    "scene",
    "textures",
    "icons",
    "watch",
    "letters",
    "digits",
    "emoji",
)
"""Names of the domains of the pocket suite, in its order."""

TRAIN_LIMITS = {"digits": 300, "icons": 660, "emoji": 400}
MAY_FLIP = frozenset({"landcover", "textures", "fashion", "emoji"})
MAY_TURN = frozenset({"textures"})


@checked("pocket")
def pocket(domains: Sequence[str] | None = None, *, full: bool = False) -> DomainSuite:
    """Return the pocket suite: ten small real domains of 32x32 images, or some of them (ours).

    Images are uint8 (n, C, 32, 32), C = 1 (grey) or 3 (RGB). Labels are int64 (n,). The result is
    the same every time.

    domains: names of the domains to return, in order; None: all of `POCKET_DOMAINS`.
    full: whether to return all training images. By default three domains have few of them, because
    sharing can help most there: 300 for digits, 660 for icons, 400 for emoji. Every class keeps its
    share.

    Raises `MpnasError` if a domain is unknown or a data file is missing or damaged.

    >>> mk.pocket(["digits", "letters"])
    DomainSuite('pocket', 2 domains, 32 px)
    """
    if isinstance(domains, str):
        domains = (domains,)
    names = POCKET_DOMAINS if domains is None else convert_list(domains, "domains", "names")
    for name in names:
        if name not in POCKET_DOMAINS:
            raise unknown("pocket domain", name, POCKET_DOMAINS)
    checksums = _checksums()
    source = "pocket(full=True)" if full else "pocket"
    return DomainSuite(tuple(_domain(name, checksums, full) for name in names), "pocket", source)


def _domain(name: str, checksums: dict[str, str], full: bool) -> Domain:
    about = json.loads(_verified(f"{name}.json", checksums))
    labels = torch.tensor(about["labels"])
    images = _tiles(about, checksums)  # (n, C, 32, 32)
    splits = {}
    start = 0
    for split, count in about["splits"].items():
        part = slice(start, start + count)
        splits[split] = TensorSplit(images[part].clone(), labels[part].clone())
        start += count
    train = splits["train"]
    limit = TRAIN_LIMITS.get(name)
    if limit is not None and not full:
        index = _stratified(train.labels, limit)
        train = TensorSplit(train.images[index], train.labels[index])
    return Domain(
        name,
        tuple(about["classes"]),
        train,
        splits["val"],
        splits["test"],
        flip=name in MAY_FLIP,
        turn=name in MAY_TURN,
    )


def _tiles(about: dict[str, Any], checksums: dict[str, str]) -> Tensor:
    """Return the tiles of a sheet that was filled row by row: uint8 (n, C, size, size)."""
    size, columns = about["tile"], about["columns"]
    with Image.open(BytesIO(_verified(about["file"], checksums))) as picture:
        sheet = np.array(picture)
    rows = sheet.shape[0] // size
    grid = sheet.reshape(rows, size, columns, size, -1)  # (rows, y, columns, x, C)
    tiles = torch.from_numpy(grid).permute(0, 2, 4, 1, 3)  # (rows, columns, C, y, x)
    return tiles.reshape(rows * columns, -1, size, size)[: len(about["labels"])].contiguous()


def _stratified(labels: Tensor, limit: int) -> Tensor:
    """Return indices of at most `limit` images, in file order. Every class keeps its share.

    The images of a split are in random order in the file, so the first ones of a class are a random
    sample. Image number `rank` of the `count` images of its class has the quantile
    `(rank + 0.5) / count`. The images with the lowest quantiles are chosen.
    """
    quantiles = torch.empty(len(labels), dtype=torch.float64)
    for own in by_class(labels).values():
        quantiles[own] = (torch.arange(len(own), dtype=torch.float64) + 0.5) / len(own)
    return quantiles.argsort(stable=True)[:limit].sort().values


def _checksums() -> dict[str, str]:
    """Return the SHA-256 checksum of every data file, in hexadecimal, by file name."""
    try:
        checksums = json.loads(_read("checksums.json"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        checksums = None
    if not isinstance(checksums, dict):
        raise _damaged("checksums.json", "it is not a JSON object")
    return checksums


def _verified(file: str, checksums: dict[str, str]) -> bytes:
    """Return the bytes of a data file. Raise an error if its checksum is wrong."""
    content = _read(file)
    if hashlib.sha256(content).hexdigest() != checksums.get(file):
        raise _damaged(file, "its checksum is not the one in checksums.json")
    return content


def _read(file: str) -> bytes:
    if not files.exists(POCKET_DATA / file):
        raise MpnasError(
            f"pocket data file {POCKET_DATA / file} is missing: reinstall the package."
        )
    return files.read_bytes(POCKET_DATA / file)


def _damaged(file: str, how: str) -> MpnasError:
    return MpnasError(
        f"pocket data file {POCKET_DATA / file} is damaged ({how}): reinstall the package."
    )
