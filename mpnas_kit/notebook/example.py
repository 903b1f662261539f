"""A small folder of images, for a first try without images of one's own."""

import io
import pathlib
from typing import Annotated

import torch
from PIL import Image

from mpnas_kit import files
from mpnas_kit.domains.domain import SPLITS, Domain
from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.domains.split import Subset, read
from mpnas_kit.runs.description import place
from mpnas_kit.values import Range, checked

_DOMAINS = ("digits", "landcover")  # grey and colours
_SIZES = (32, 40, 48, 64)  # pixels, in turn


@checked("example_folder")
def example_folder(folder: str | pathlib.Path, images: Annotated[int, Range(4, 200)] = 40) -> str:
    """Return a folder of image files. If it does not exist, it is made from two pocket domains.

    It has the layout that `folders` reads: a folder per domain, a folder per class in it, PNG files
    of several sizes. A folder that exists stays as it is.

    folder: path of the folder.
    images: images per class at most, 4 to 200.

    Raises `MpnasError` if the folder cannot be written.

    >>> mk.notebook.example_folder("photos")  # doctest: +SKIP
    'photos'
    """
    root = place(folder, "folder")
    if not files.exists(root):
        for domain in pocket(_DOMAINS):
            _write(domain, root / domain.name, images)
    return str(root)


def _write(domain: Domain, folder: pathlib.Path, most: int) -> None:
    for label, name in enumerate(domain.classes):
        inside = files.make_folder(folder / name)
        count = 0
        for split in map(domain.split, SPLITS):
            (own,) = torch.nonzero(split.labels == label, as_tuple=True)
            chosen = Subset(split, own[: most - count])
            for image in read(chosen, torch.arange(len(chosen))).numpy():
                pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
                size = _SIZES[count % len(_SIZES)]
                content = io.BytesIO()
                picture = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
                picture.save(content, "PNG")
                files.write_bytes(inside / f"{count + 1:03d}.png", content.getvalue())
                count += 1
