"""Originals: what the files of a domain's images were before they were decoded.

They are recorded when images are decoded, beside them in the cache:

    originals.bin    one record per image: width, height, mode, format
    paths.json       path of every file at that time
"""

import pathlib
from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from mpnas_kit import files
from mpnas_kit.errors import MpnasError

ORIGINALS, PATHS = "originals.bin", "paths.json"
ORIGINAL = np.dtype([("width", "<u4"), ("height", "<u4"), ("mode", "S8"), ("format", "S12")])
"""What is recorded per image (see `decoding.Original`). The width is 0 if it cannot be read."""


def write_paths(folder: pathlib.Path, paths: Sequence[str]) -> None:
    """Write the paths of all images of a folder in the cache."""
    texts = [path.encode("utf-8", "replace").decode() for path in paths]
    files.write_bytes(folder / PATHS, msgspec.json.encode(texts))


def read_originals(folder: pathlib.Path, count: int) -> pd.DataFrame | None:
    """Return what the files of all images in a folder of the cache were: one row per image.

    Columns path (when it was decoded), width and height (pixels, upright), mode (of Pillow), format
    (such as `JPEG`). The width is 0 if the image cannot be read.

    folder: the folder. count: number of its images.

    Returns None if an earlier version of the kit, which recorded nothing, decoded the images, or if
    the records are damaged.
    """
    if not (files.exists(folder / ORIGINALS) and files.exists(folder / PATHS)):
        return None
    content = files.read_bytes(folder / ORIGINALS)
    try:
        paths = files.read_json(folder / PATHS, list[str])
    except MpnasError:
        return None
    if len(content) != count * ORIGINAL.itemsize or len(paths) != count:
        return None
    records = np.frombuffer(content, ORIGINAL)
    return pd.DataFrame(
        {
            "path": paths,
            "width": records["width"].astype(np.int64),
            "height": records["height"].astype(np.int64),
            "mode": np.char.decode(records["mode"], "ascii", "replace"),
            "format": np.char.decode(records["format"], "ascii", "replace"),
        }
    )
