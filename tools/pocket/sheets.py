"""Tile sheets: one image file and one label file per domain, and the checksums of all files."""

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
    """Return tiles (n, 32, 32[, 3]) as one picture with 64 per row; unused tiles are black."""
    rows = -(-len(images) // COLUMNS)
    padded = np.zeros((rows * COLUMNS, *images.shape[1:]), np.uint8)
    padded[: len(images)] = images
    grid = padded.reshape(rows, COLUMNS, *images.shape[1:]).swapaxes(1, 2)
    return grid.reshape(rows * SIZE, COLUMNS * SIZE, *images.shape[3:])


def cut(picture: Images, count: int) -> Images:
    """Return the first `count` tiles of a sheet. The inverse of `sheet`."""
    rows = len(picture) // SIZE
    grid = picture.reshape(rows, SIZE, COLUMNS, SIZE, *picture.shape[2:]).swapaxes(1, 2)
    return grid.reshape(rows * COLUMNS, SIZE, SIZE, *picture.shape[2:])[:count]


def encode(images: Images, quality: int | None) -> bytes:
    """Return the file content of a sheet.

    quality: JPEG quality, without colour subsampling; None: PNG.

    32 is a multiple of the size of a JPEG block (8). So no block crosses the border of a tile, and
    the position of a tile does not change its pixels.
    """
    buffer = io.BytesIO()
    picture = Image.fromarray(sheet(images))
    if quality is None:
        picture.save(buffer, "PNG", compress_level=9, compress_type=zlib.Z_FILTERED)
    else:
        picture.save(buffer, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    return buffer.getvalue()


def as_read(tiles: Tiles, quality: int | None) -> Tiles:
    """Return the tiles as a reader of the file sees them."""
    with Image.open(io.BytesIO(encode(tiles.images, quality))) as picture:
        images = cut(np.asarray(picture), len(tiles))
    return Tiles(tiles.classes, images, tiles.labels, tiles.splits)


def write_domain(folder: Path, name: str, tiles: Tiles, quality: int | None) -> None:
    """Write `<name>.png` or `<name>.jpg`, and `<name>.json`. Tiles must be in file order."""
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
