"""Tile sheets: one image file a domain, its labels beside it, and the checksums of all."""

import hashlib
import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tiles import SIZE, SPLITS, Images, Tiles

COLUMNS = 64


def sheet(images: Images) -> Images:
    """Lay tiles (n, 32, 32[, 3]) out row by row, 64 a row; unused places at the end stay black."""
    rows = -(-len(images) // COLUMNS)
    padded = np.zeros((rows * COLUMNS, *images.shape[1:]), np.uint8)
    padded[: len(images)] = images
    grid = padded.reshape(rows, COLUMNS, *images.shape[1:]).swapaxes(1, 2)
    return grid.reshape(rows * SIZE, COLUMNS * SIZE, *images.shape[3:])


def cut(picture: Images, count: int) -> Images:
    """The first `count` tiles of a sheet: the inverse of `sheet`."""
    rows = len(picture) // SIZE
    grid = picture.reshape(rows, SIZE, COLUMNS, SIZE, *picture.shape[2:]).swapaxes(1, 2)
    return grid.reshape(rows * COLUMNS, SIZE, SIZE, *picture.shape[2:])[:count]


def encode(images: Images, quality: int | None) -> bytes:
    """A sheet as PNG, or with a `quality` as JPEG without colour subsampling.

    32 is a multiple of the JPEG block (8), so no block crosses a tile and a tile decodes to the
    same pixels wherever it stands.
    """
    buffer = io.BytesIO()
    picture = Image.fromarray(sheet(images))
    if quality is None:
        picture.save(buffer, "PNG", compress_level=9, compress_type=zlib.Z_FILTERED)
    else:
        picture.save(buffer, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    return buffer.getvalue()


def as_read(tiles: Tiles, quality: int | None) -> Tiles:
    """The tiles as a reader of the file sees them."""
    with Image.open(io.BytesIO(encode(tiles.images, quality))) as picture:
        images = cut(np.asarray(picture), len(tiles))
    return Tiles(tiles.classes, images, tiles.labels, tiles.splits)


def write_domain(folder: Path, name: str, tiles: Tiles, quality: int | None) -> None:
    """Write `<name>.png` or `.jpg` and `<name>.json`; tiles must be in file order."""
    file = f"{name}.{'png' if quality is None else 'jpg'}"
    (folder / file).write_bytes(encode(tiles.images, quality))
    about = {
        "file": file,
        "tile": SIZE,
        "columns": COLUMNS,
        "classes": list(tiles.classes),
        "splits": dict(zip(SPLITS, tiles.counts(), strict=True)),
        "labels": tiles.labels.tolist(),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in about.items()]
    (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_checksums(folder: Path) -> None:
    """Write `checksums.json`: the SHA-256 of every sheet and label file in the folder."""
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in (".png", ".jpg", ".json") and path.name != "checksums.json"
    )
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / "checksums.json").write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")
