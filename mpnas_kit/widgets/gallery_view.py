"""View of images: pages of small ones, and one of them enlarged."""

import io
import math

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray
from PIL import Image

from mpnas_kit.widgets.view import STYLE, script

THUMB = 96  # pixels of a small image at most
_ACROSS = 12  # images beside each other in the picture of a page


class Gallery(anywidget.AnyWidget):
    """Images page by page, and one of them enlarged.

    content: `total` (number of images), `first` (index of the first one of the page), `items` (of
    the page, each with `alt`, `lines` and `right`) and `grid` (columns and rows of `sprite`).
    sprite: PNG with all images of the page, from `sprite`.
    capacity: number of images per page. The browser sets it to what fits the width.
    first: index of the first image that the page should have. The browser sets it.
    opened: index of the image that is enlarged; -1: none.
    details: facts of that image: `index`, `total`, `title`, `facts`, `alt` and `top` (classes with
    `name`, `share` and `is`, whether it is the class of the image).
    large: PNG of that image.
    """

    _esm = script("gallery.js")
    _css = STYLE
    content = traitlets.Dict().tag(sync=True)
    sprite = traitlets.Bytes(b"").tag(sync=True)
    capacity = traitlets.Int(24).tag(sync=True)
    first = traitlets.Int(0).tag(sync=True)
    opened = traitlets.Int(-1).tag(sync=True)
    details = traitlets.Dict().tag(sync=True)
    large = traitlets.Bytes(b"").tag(sync=True)


def sprite(images: NDArray[np.uint8]) -> tuple[bytes, list[int]]:
    """Return images beside and below each other as one PNG, and its numbers of columns and rows.

    images: uint8 (k, channels, height, width), k at least 1. Large ones become smaller.
    """
    images = images.transpose(0, 2, 3, 1)
    if max(images.shape[1:3]) > THUMB:
        images = np.stack([_reduced(image) for image in images])
    count, height, width, channels = images.shape
    across = min(_ACROSS, count)
    down = math.ceil(count / across)
    whole = np.zeros((down * across, height, width, channels), dtype=np.uint8)
    whole[:count] = images
    rows = whole.reshape(down, across, height, width, channels).transpose(0, 2, 1, 3, 4)
    return _png(rows.reshape(down * height, across * width, channels)), [across, down]


def png(image: NDArray[np.uint8]) -> bytes:
    """Return an image, uint8 (channels, height, width), as PNG."""
    return _png(image.transpose(1, 2, 0))


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = _picture(image)
    small.thumbnail((THUMB, THUMB))
    return np.asarray(small).reshape(small.height, small.width, -1)


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    _picture(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()
