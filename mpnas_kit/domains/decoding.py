"""Decoding: how the content of an image file becomes pixels of one size.

Every file becomes uint8 (C, size, size), whatever its format, mode and size are:

- The format is recognised by the content, not by the name of the file. Of an animation, the first
  frame counts. Rotation by EXIF is applied. Colour profiles are ignored.
- Transparent pixels are drawn on white.
- Grey values of 16 bits are divided by 256. Numbers with a fraction must be 0 to 1.
- Sizes are changed by antialiased bicubic interpolation. Large JPEG files are shrunk while they are
  decoded.
"""

import contextlib
import ctypes
import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import PIL
import torch
from PIL import Image, _imaging
from torch import Tensor

from mpnas_kit.errors import MpnasError, one_line
from mpnas_kit.settings import check
from mpnas_kit.values import Range

DECODER = f"pillow {PIL.__version__}, form 1"  # changes if the same file could give other pixels
MOST_PIXELS = 150_000_000  # of one image
MANY_PIXELS = 25_000_000  # images above are decoded one at a time, to limit memory
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO")
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")
_ORIENTATION = 0x0112  # EXIF tag
_HAS_EXIF = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # keys of Pillow
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ACROSS = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]  # width and height change places

How = Literal["crop", "pad", "stretch"]


class BadImage(MpnasError):
    """An error: a file is no image, or it is damaged. The message is the reason in a few words."""


@dataclass(frozen=True)
class Fit:
    """How an image of any size and mode becomes one of a fixed size.

    resolution: height and width of the result, pixels, 1 to 4096.
    how: `crop` keeps the square in the middle. `pad` keeps the whole image and adds black at two
    sides. `stretch` keeps the whole image and changes its proportions.
    channels: 1 (grey) or 3 (RGB). None: 1 if all images of a domain are grey, otherwise 3.

    >>> Fit(32, "pad")
    Fit(resolution=32, how='pad', channels=None)
    """

    resolution: Annotated[int, Range(1, 4096)] = 64
    how: How = "crop"
    channels: Literal[1, 3] | None = None

    def __post_init__(self) -> None:
        check(self, "images")


class Original(NamedTuple):
    """What an image was before it was decoded.

    width, height: pixels, after rotation by EXIF.
    mode: mode of Pillow, such as `RGB`, `L` (grey), `P` (palette), `RGBA` (with transparency).
    format: such as `JPEG`; empty: it was no file.
    """

    width: int
    height: int
    mode: str
    format: str


def is_grey(content: bytes) -> bool:
    """Return whether an image has grey values only, by the mode that its header states.

    content: content of the file.

    Raises `BadImage` if it is no image.
    """
    with _errors(), _opened(content) as image:
        return image.mode in _GREY


def decode(content: bytes, fit: Fit) -> Tensor:
    """Return the pixels of an image file: uint8 (C, resolution, resolution).

    content: content of the file.
    fit: size and channels of the result. Channels None: 1 if the image is grey, otherwise 3.

    Raises `BadImage` if it is no image, is damaged, has more than `MOST_PIXELS` pixels, or has
    pixels whose range is unknown.

    >>> decode(b"", Fit())
    Traceback (most recent call last):
    mpnas_kit.domains.decoding.BadImage: it is empty
    """
    return decode_with_original(content, fit)[0]


def decode_with_original(content: bytes, fit: Fit) -> tuple[Tensor, Original]:
    """Return the pixels of an image file, and what it was before (see `decode`)."""
    with _errors(), _opened(content) as image:
        turn = _TURNS.get(_orientation(image))
        size = image.size[::-1] if turn in _ACROSS else image.size
        original = Original(*size, image.mode, image.format or "")
        return _pixels(image, fit), original


def of_picture(picture: Image.Image, fit: Fit) -> Tensor:
    """Return the pixels of a picture of Pillow: uint8 (C, resolution, resolution).

    picture: the picture. It is not changed, but its pixels are loaded.
    fit: size and channels of the result (see `decode`).

    Raises `BadImage` as `decode` does, and if the picture has no pixels.
    """
    with _errors():
        if 0 in picture.size:
            raise BadImage("it has no pixels")
        return _pixels(picture, fit)


def _pixels(image: Image.Image, fit: Fit) -> Tensor:
    channels = fit.channels or (1 if image.mode in _GREY else 3)
    with _one_large if math.prod(image.size) > MANY_PIXELS else contextlib.nullcontext():
        image.draft(image.mode, _least_size(image.size, fit))
        image.load()
        turn = _TURNS.get(_orientation(image))
        plain = _plain(image)
        upright = plain if turn is None else plain.transpose(turn)
        mode = "L" if channels == 1 else "RGB"
        fitted = _fitted(upright if upright.mode == mode else upright.convert(mode), fit)
        pixels = np.asarray(fitted).reshape(fit.resolution, fit.resolution, channels)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy(order="C"))


_one_large = threading.Lock()


def _setter_of_tiff_errors() -> Any:
    """Return the function of libtiff that says who prints its errors, and returns who did before.

    Pillow turns these errors into exceptions, but libtiff prints them to stderr too. A Pillow that
    does not load libtiff as a library has no such function.
    """
    try:
        setter = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):
        return lambda handler: None
    setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    return setter


class _Quiet:
    """A context in which decoders print nothing. Several threads may be in it at once."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before = warnings.catch_warnings()
        self._set_tiff_errors, self._tiff_errors = _setter_of_tiff_errors(), None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
                self._tiff_errors = self._set_tiff_errors(None)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._set_tiff_errors(self._tiff_errors)
                self._before.__exit__(None, None, None)


quiet = _Quiet()


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn every error of a decoder into `BadImage`, and suppress its warnings."""
    try:
        with quiet:
            yield
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise _too_large() from None
    except PIL.UnidentifiedImageError:
        raise BadImage("it is no image, or in a format that is not supported") from None
    except MemoryError:
        raise BadImage("memory ran out") from None
    except Exception as error:  # decoders raise errors of any class
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        why = "it is cut short" if cut else f"it cannot be decoded ({one_line(error)})"
        raise BadImage(why) from None


def _opened(content: bytes) -> Image.Image:
    """Return an image whose header is read and whose pixels are not."""
    if not content:
        raise BadImage("it is empty")
    if content[4:12] in _HEIC:
        raise BadImage("it is a HEIC file, which is not supported: convert it to JPEG")
    image = Image.open(BytesIO(content), formats=FORMATS)
    if math.prod(image.size) > MOST_PIXELS:
        raise _too_large()
    return image


def _too_large() -> BadImage:
    return BadImage(f"it has more than {MOST_PIXELS // 1_000_000} million pixels")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8. A damaged entry counts as 1, upright."""
    if image.format != "TIFF" and not _HAS_EXIF & image.info.keys():
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data of any kind of damage
        return 1


def _plain(image: Image.Image) -> Image.Image:
    """Return an image in mode L or RGB, without transparency."""
    if image.mode.startswith("I"):
        return _from_numbers(np.asarray(image), 65535, 256)
    if image.mode == "F":
        return _from_numbers(np.asarray(image), 1, 1 / 255)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        drawn = Image.new("RGB", clear.size, "white")
        drawn.paste(clear, mask=clear.getchannel("A"))
        return drawn.convert("L") if image.mode in _GREY else drawn
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_numbers(values: np.ndarray, most: int, unit: float) -> Image.Image:
    """Return a grey image of numbers from 0 to `most`, divided by `unit`."""
    if not (values.min() >= 0 and values.max() <= most):  # also not a number
        raise BadImage(f"it has pixel values outside of 0 to {most:,}")
    scaled = values // unit if unit > 1 else np.round(values / unit)
    return Image.fromarray(scaled.astype(np.uint8))


def _least_size(size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the size to which a decoder may shrink an image: twice what is needed."""
    width, height = size
    side = max(size) if fit.how == "pad" else min(size)
    scale = 2 * fit.resolution / max(side, 1)
    if fit.how == "stretch":  # the longer side may shrink more, but decoders keep proportions
        scale = 2 * fit.resolution / max(min(size), 1)
    return max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))


def _fitted(image: Image.Image, fit: Fit) -> Image.Image:
    """Return a square image of the resolution."""
    size, (width, height) = fit.resolution, image.size
    if fit.how == "stretch":
        return _resized(image, (size, size), (0, 0, width, height))
    if fit.how == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return _resized(image, (size, size), (left, top, left + side, top + side))
    side = max(width, height)
    inner = (max(1, round(size * width / side)), max(1, round(size * height / side)))
    square = Image.new(image.mode, (size, size))
    place = ((size - inner[0]) // 2, (size - inner[1]) // 2)
    square.paste(_resized(image, inner, (0, 0, width, height)), place)
    return square


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]
) -> Image.Image:
    """Return the pixels in a box (left, top, right, bottom) in another size."""
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
