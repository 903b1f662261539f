"""A zoo of image files: odd ones that must be read right, and bad ones that must be refused.

Odd files show one colour, or a red left and a blue right half, so what they must become is known.
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

RED, BLUE, GREY = (200, 40, 40), (40, 40, 200), (120, 120, 120)
WHITE = (255, 255, 255)
Pixel = tuple[int, int, int]


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The content of a file."""
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def one_colour(colour: Any = RED, size: tuple[int, int] = (48, 32), mode: str = "RGB") -> Any:
    return Image.new(mode, size, colour)


def halves(size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = one_colour(RED, size)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def turned(orientation: int) -> bytes:
    """A JPEG file that is upright (red on the left) only if its EXIF entry is followed."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return encoded(halves().transpose(back), "JPEG", quality=95, exif=exif)


def png(kind: int, depth: int, rows: bytes, size: tuple[int, int], *more: bytes) -> bytes:
    """A PNG file of raw rows, each with its filter byte. more: chunks before the pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    extra = b"".join(chunk(m[:4], m[4:]) for m in more)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + head + extra + pixels + chunk(b"IEND", b"")


def rows(pixel: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    return (b"\0" + pixel * size[0]) * size[1]


def palette(transparent: bool) -> bytes:
    """A palette image whose left half is red, and whose right half is blue or clear."""
    image = halves().quantize(4)
    right = image.getpixel((63, 0))
    return encoded(image, "PNG", transparency=right) if transparent else encoded(image, "PNG")


def animation(form: str) -> bytes:
    """Three frames, of which the first is red."""
    frames = [one_colour(c, (32, 32)) for c in (RED, BLUE, GREY)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=40)


def array(values: Any, form: str, **options: Any) -> bytes:
    return encoded(Image.fromarray(np.asarray(values)), form, **options)


def bomb(size: int = 50_000) -> bytes:
    """A small file with a header of a huge image."""
    return png(0, 8, b"\0" * 1000, (size, size))


RGB16 = png(2, 16, rows(struct.pack(">HHH", *(256 * c + 7 for c in RED))), (8, 8))
GREY16 = png(0, 16, rows(struct.pack(">H", 120 * 256 + 7)), (8, 8))
TRNS_GREY = png(0, 8, rows(b"\x78"), (8, 8), b"tRNS" + struct.pack(">H", 0x78))

# What an odd file shows on the left and on the right; its name; how it is made.
READ: dict[str, tuple[Callable[[], bytes], Pixel, Pixel]] = {
    "plain.jpg": (lambda: encoded(one_colour(), "JPEG", quality=95), RED, RED),
    "plain.png": (lambda: encoded(one_colour(), "PNG"), RED, RED),
    "plain.bmp": (lambda: encoded(one_colour(), "BMP"), RED, RED),
    "plain.gif": (lambda: encoded(one_colour(), "GIF"), RED, RED),
    "plain.webp": (lambda: encoded(one_colour(), "WEBP", lossless=True), RED, RED),
    "plain.tif": (lambda: encoded(one_colour(), "TIFF"), RED, RED),
    "plain.ppm": (lambda: encoded(one_colour(), "PPM"), RED, RED),
    "halves.png": (lambda: encoded(halves(), "PNG"), RED, BLUE),
    "huge.jpg": (lambda: encoded(halves((2400, 1800)), "JPEG", quality=90), RED, BLUE),
    "progressive.jpg": (lambda: encoded(halves(), "JPEG", progressive=True, quality=95), RED, BLUE),
    "cmyk.jpg": (lambda: encoded(one_colour().convert("CMYK"), "JPEG", quality=95), RED, RED),
    "cmyk.tif": (lambda: encoded(one_colour().convert("CMYK"), "TIFF"), RED, RED),
    "grey.jpg": (lambda: encoded(one_colour(120, mode="L"), "JPEG"), GREY, GREY),
    "grey_alpha.png": (lambda: encoded(one_colour((120, 255), mode="LA"), "PNG"), GREY, GREY),
    "clear_grey.png": (lambda: encoded(one_colour((120, 0), mode="LA"), "PNG"), WHITE, WHITE),
    "grey_key.png": (lambda: TRNS_GREY, WHITE, WHITE),
    "one_bit.png": (lambda: encoded(one_colour(1, mode="1"), "PNG"), WHITE, WHITE),
    "one_bit.tif": (
        lambda: encoded(one_colour(1, mode="1"), "TIFF", compression="group4"),
        WHITE,
        WHITE,
    ),
    "rgba.png": (lambda: encoded(one_colour((*RED, 255), mode="RGBA"), "PNG"), RED, RED),
    "clear.png": (lambda: encoded(one_colour((*RED, 0), mode="RGBA"), "PNG"), WHITE, WHITE),
    "half_clear.png": (
        lambda: encoded(one_colour((0, 0, 0, 128), mode="RGBA"), "PNG"),
        (127,) * 3,  # type: ignore[dict-item]
        (127,) * 3,  # type: ignore[dict-item]
    ),
    "palette.png": (lambda: palette(False), RED, BLUE),
    "palette_clear.png": (lambda: palette(True), RED, WHITE),
    "grey16.png": (lambda: GREY16, GREY, GREY),
    "grey16.tif": (lambda: array(np.full((8, 8), 120 * 256, np.uint16), "TIFF"), GREY, GREY),
    "grey32.tif": (lambda: array(np.full((8, 8), 120 * 256, np.int32), "TIFF"), GREY, GREY),
    "rgb16.png": (lambda: RGB16, RED, RED),
    "float.tif": (lambda: array(np.full((8, 8), 120 / 255, np.float32), "TIFF"), GREY, GREY),
    "animated.gif": (lambda: animation("GIF"), RED, RED),
    "animated.png": (lambda: animation("PNG"), RED, RED),
    "animated.webp": (lambda: animation("WEBP"), RED, RED),
    "pages.tif": (lambda: animation("TIFF"), RED, RED),
    **{f"exif{n}.jpg": (lambda n=n: turned(n), RED, BLUE) for n in range(2, 9)},  # type: ignore[misc]
    "exif_broken.jpg": (
        lambda: encoded(halves(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\0\0\xff\xff"),
        RED,
        BLUE,
    ),
    "wrong_extension.jpg": (lambda: encoded(halves(), "PNG"), RED, BLUE),
    "no_extension": (lambda: encoded(halves(), "PNG"), RED, BLUE),
    "tiny.png": (lambda: encoded(one_colour(RED, (1, 1)), "PNG"), RED, RED),
    "needle.png": (lambda: encoded(one_colour(RED, (1, 900)), "PNG"), RED, RED),
    "ünïcödé 写真 🐈.png": (lambda: encoded(halves(), "PNG"), RED, BLUE),
    f"{'long' * 60}.png": (lambda: encoded(halves(), "PNG"), RED, BLUE),
}

# What is refused: words of the reason; its name; how it is made.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (lambda: b"", "it is empty"),
    "zeros.jpg": (lambda: b"\0" * 4096, "it is no image"),
    "words.jpg": (lambda: b"This is no picture.\n" * 30, "it is no image"),
    "page.png": (lambda: b"<!DOCTYPE html><html><body>404</body></html>", "it is no image"),
    "drawing.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is no image"),
    "script.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is no image"),
    "phone.heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    "cut.jpg": (lambda: encoded(halves((400, 400)), "JPEG")[:2500], "it is cut short"),
    "cut.png": (lambda: array(NOISE, "PNG")[:5000], "it is cut short"),
    "cut.gif": (lambda: array(NOISE[..., 0], "GIF")[:3000], "it is cut short"),
    "cut.webp": (lambda: array(NOISE, "WEBP")[:3000], "it "),
    "cut.tif": (lambda: array(NOISE, "TIFF")[:3000], "it "),
    "head_only.jpg": (lambda: encoded(halves(), "JPEG")[:20], "it "),
    "flipped.png": (lambda: flipped(array(NOISE, "PNG")), "it cannot be decoded"),
    "bomb.png": (bomb, "more than 150 million pixels"),
    "small_bomb.png": (lambda: bomb(13_000), "more than 150 million pixels"),
    "range.tif": (lambda: array(np.full((8, 8), 70_000, np.int32), "TIFF"), "outside of 0 to"),
    "float_range.tif": (lambda: array(np.full((8, 8), 3.5, np.float32), "TIFF"), "outside of 0 to"),
    "nan.tif": (lambda: array(np.full((8, 8), np.nan, np.float32), "TIFF"), "outside of 0 to"),
    "notes.txt": (lambda: b"cat: 3\n", "it is no image"),
}
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def flipped(content: bytes) -> bytes:
    """A file with one wrong byte in its pixels."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
