"""The pocket suite: ten small real domains of 32x32 images that ship with the package.

| domain    | shows                                    | source                              |
|-----------|------------------------------------------|-------------------------------------|
| fashion   | clothes, grey photographs                | Fashion-MNIST                       |
| landcover | land from space, RGB                     | NASA Blue Marble, MODIS land cover  |
| scripts   | characters of 22 scripts, grey           | Noto Sans fonts                     |
| scene     | digits among digits on photographs, RGB  | fonts; scikit-image, scikit-learn   |
| textures  | surfaces at equal contrast, grey         | scikit-image, scikit-learn          |
| icons     | interface icons, grey                    | icon fonts of QtAwesome             |
| watch     | smartwatch motion drawn as images, RGB   | seglearn                            |
| letters   | letters of many fonts, grey              | fonts                               |
| digits    | handwritten digits, grey scans           | MNIST                               |
| emoji     | emoji by their Unicode group, RGB        | OpenMoji                            |

`pocket_data/SOURCES.md` names every source with its version, licence and attribution.
"""

import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mpnas_kit.domains.domain import Domain, DomainSuite, Split
from mpnas_kit.errors import MpnasError, unknown

POCKET_DATA = Path(__file__).parent / "pocket_data"

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
TRAIN_LIMITS = {"digits": 300, "icons": 660, "emoji": 400}
MAY_FLIP = frozenset({"landcover", "textures", "fashion", "emoji"})


def pocket(domains: Sequence[str] | None = None, *, full: bool = False) -> DomainSuite:
    """The pocket suite, or the named domains of it in the order given.

    By default three domains are kept small, because it is there that sharing can help: at most
    300 training images for digits, 660 for icons, 400 for emoji, every class with its share.
    `full=True` keeps all training images. The result is always the same.

    Images are uint8 (n, C, 32, 32), C = 1 or 3; labels int64 (n,).

    Raises `MpnasError` for an unknown domain, and for a data file that is missing or damaged.
    """
    if isinstance(domains, str):
        domains = (domains,)
    names = POCKET_DOMAINS if domains is None else tuple(domains)
    for name in names:
        if name not in POCKET_DOMAINS:
            raise unknown("pocket domain", name, POCKET_DOMAINS)
    checksums = _checksums()
    return DomainSuite(tuple(_domain(name, checksums, full) for name in names), "pocket")


def _domain(name: str, checksums: dict[str, str], full: bool) -> Domain:
    about = json.loads(_verified(f"{name}.json", checksums))
    labels = torch.tensor(about["labels"])
    images = _tiles(about, checksums)  # (n, C, 32, 32)
    splits = {}
    start = 0
    for split, count in about["splits"].items():
        part = slice(start, start + count)
        splits[split] = Split(images[part].clone(), labels[part].clone())
        start += count
    train = splits["train"]
    limit = TRAIN_LIMITS.get(name)
    if limit is not None and not full:
        train = train[_stratified(train.labels, limit)]
    return Domain(
        name,
        tuple(about["classes"]),
        train,
        splits["val"],
        splits["test"],
        flip=name in MAY_FLIP,
    )


def _tiles(about: dict[str, Any], checksums: dict[str, str]) -> Tensor:
    """Cut a sheet of tiles, filled row by row, into uint8 (n, C, size, size)."""
    size, columns = about["tile"], about["columns"]
    with Image.open(BytesIO(_verified(about["file"], checksums))) as picture:
        sheet = np.array(picture)
    rows = sheet.shape[0] // size
    grid = sheet.reshape(rows, size, columns, size, -1)  # (rows, y, columns, x, C)
    tiles = torch.from_numpy(grid).permute(0, 2, 4, 1, 3)  # (rows, columns, C, y, x)
    return tiles.reshape(rows * columns, -1, size, size)[: len(about["labels"])].contiguous()


def _stratified(labels: Tensor, limit: int) -> Tensor:
    """Indices of at most `limit` images in which every class keeps its share.

    Images of a split stand in random order in the file, so the first of a class are a fair draw.
    An image that stands at `rank` of the `count` of its class has the quantile
    (rank + 0.5) / count; those of the lowest quantiles are kept, in file order.
    """
    quantiles = torch.empty(len(labels), dtype=torch.float64)
    for label in sorted(set(labels.tolist())):
        where = (labels == label).nonzero().flatten()
        quantiles[where] = (torch.arange(len(where), dtype=torch.float64) + 0.5) / len(where)
    return quantiles.argsort(stable=True)[:limit].sort().values


def _checksums() -> dict[str, str]:
    """SHA-256 in hexadecimal by file name."""
    try:
        checksums = json.loads(_read("checksums.json"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        checksums = None
    if not isinstance(checksums, dict):
        raise _damaged("checksums.json", "it is not a JSON table")
    return checksums


def _verified(file: str, checksums: dict[str, str]) -> bytes:
    """The bytes of a data file whose checksum is right."""
    content = _read(file)
    if hashlib.sha256(content).hexdigest() != checksums.get(file):
        raise _damaged(file, "its checksum is not the one in checksums.json")
    return content


def _read(file: str) -> bytes:
    try:
        return (POCKET_DATA / file).read_bytes()
    except OSError:
        raise MpnasError(
            f"pocket data file {POCKET_DATA / file} is missing; reinstall the package."
        ) from None


def _damaged(file: str, how: str) -> MpnasError:
    return MpnasError(
        f"pocket data file {POCKET_DATA / file} is damaged ({how}); reinstall the package."
    )
