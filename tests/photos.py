"""A folder of photo-like images, as a person would have one: three domains in given splits.

Shapes on uneven grounds, patterns, and letters on paper. Places, sizes, angles and colours are
random, so pixels tell little, and a network that knows photographs tells much. Test accuracy of a
linear classifier (shapes, surfaces, letters): on pixels .26, .10, .18; on features of
EfficientNet-Lite0 .88, .90, .90 with ImageNet weights, .18, .19, .17 with random ones.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 64
COUNTS = {"train": 32, "val": 12, "test": 12}  # images per class
_DRAWN = 2 * SIDE  # drawn at twice the size, so that edges are smooth

Paint = Callable[[Image.Image, Generator], Image.Image]


def ground(rng: Generator) -> Image.Image:
    """An uneven ground of random colour with smooth stains, "RGB"."""
    stains = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    stains = stains.resize((_DRAWN, _DRAWN), Image.Resampling.BICUBIC)
    colour = tuple(rng.integers(30, 226, 3).tolist())
    return Image.blend(Image.new("RGB", stains.size, colour), stains, 0.35)


def polygon(corners: int, inner: float = 1.0) -> Paint:
    """Paint a regular polygon of some colour.

    inner: distance of every second corner from the middle; below 1, the polygon is a star.
    """

    def paint(picture: Image.Image, rng: Generator) -> Image.Image:
        radius, start = rng.uniform(24, 44), rng.uniform(0, math.tau)
        middle = rng.uniform(radius, _DRAWN - radius, 2)
        angles = start + np.arange(corners) * math.tau / corners
        radii = radius * np.where(np.arange(corners) % 2, inner, 1.0)
        points = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        draw = ImageDraw.Draw(picture)
        draw.polygon([tuple(point) for point in points.tolist()], fill=_contrast(picture, rng))
        return picture

    return paint


def ring(picture: Image.Image, rng: Generator) -> Image.Image:
    """Paint a ring of some colour."""
    radius = rng.uniform(24, 44)
    x, y = rng.uniform(radius, _DRAWN - radius, 2).tolist()
    box = (x - radius, y - radius, x + radius, y + radius)
    colour = _contrast(picture, rng)
    ImageDraw.Draw(picture).ellipse(box, outline=colour, width=round(radius / 3))
    return picture


def surface(
    height: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]],
) -> Paint:
    """Paint a pattern in a second colour, turned and scaled at random.

    height: where the second colour is, from two coordinates in units of the pattern.
    """

    def paint(picture: Image.Image, rng: Generator) -> Image.Image:
        angle, unit = rng.uniform(0, math.tau), rng.uniform(12, 24)
        down, across = np.mgrid[:_DRAWN, :_DRAWN] / unit
        u = math.cos(angle) * across + math.sin(angle) * down + rng.uniform(0, 9)
        v = math.cos(angle) * down - math.sin(angle) * across + rng.uniform(0, 9)
        mask = Image.fromarray((255 * height(u, v)).astype(np.uint8))
        picture.paste(_contrast(picture, rng), (0, 0), mask)
        return picture

    return paint


def letter(character: str) -> Paint:
    """Paint a letter, turned by up to 20 degrees."""

    def paint(picture: Image.Image, rng: Generator) -> Image.Image:
        font = ImageFont.load_default(float(rng.integers(60, 100)))
        mask = Image.new("L", picture.size)
        place = tuple(rng.uniform(0.35 * _DRAWN, 0.65 * _DRAWN, 2).tolist())
        ImageDraw.Draw(mask).text(place, character, fill=255, font=font, anchor="mm")
        turned = mask.rotate(rng.uniform(-20, 20), Image.Resampling.BICUBIC)
        picture.paste(_contrast(picture, rng), (0, 0), turned)
        return picture

    return paint


DOMAINS: Mapping[str, Mapping[str, Paint]] = {
    "shapes": {
        "disc": polygon(48),
        "hexagon star": polygon(12, inner=0.5),
        "ring": ring,
        "square": polygon(4),
        "star": polygon(10, inner=0.4),
        "triangle": polygon(3),
    },
    "surfaces": {
        "bricks": surface(lambda u, v: ((u + np.floor(v) % 2 / 2) % 1 < 0.15) | (v % 1 < 0.15)),
        "checks": surface(lambda u, v: (np.floor(u) + np.floor(v)) % 2 == 0),
        "dots": surface(lambda u, v: np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.3),
        "nets": surface(lambda u, v: (u % 1 < 0.2) | (v % 1 < 0.2)),
        "stripes": surface(lambda u, _: u % 1 < 0.5),
        "waves": surface(lambda u, v: (u + 0.4 * np.sin(math.tau * v / 2)) % 1 < 0.5),
    },
    "letters": {character: letter(character) for character in "AEKMRSXZ"},
}
GREY = ("letters",)


def photo(domain: str, name: str, rng: Generator) -> Image.Image:
    """An image of a class: "L" or "RGB", 64 x 64 pixels, slightly blurred and with noise."""
    picture = DOMAINS[domain][name](ground(rng), rng)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5)))
    small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    noisy = small + rng.normal(0, rng.uniform(3, 12), small.shape)
    image = Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))
    return image.convert("L") if domain in GREY else image


def write(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> Path:
    """Write `photos/DOMAIN/SPLIT/CLASS/NUMBER` as JPEG, and as PNG if grey. Return `photos`.

    counts: images per class in each split.
    """
    rng = np.random.default_rng(seed)
    folder = root / "photos"
    for domain, classes in DOMAINS.items():
        for split, count in counts.items():
            for name in classes:
                inside = folder / domain / split / name
                inside.mkdir(parents=True)
                for number in range(count):
                    image = photo(domain, name, rng)
                    if domain in GREY:
                        image.save(inside / f"{number:03}.png")
                    else:
                        image.save(inside / f"{number:03}.jpg", quality=90)
    return folder


def _contrast(picture: Image.Image, rng: Generator) -> tuple[int, int, int]:
    """A random colour whose mean differs from that of the picture by more than 50."""
    mean = np.asarray(picture).mean()
    while True:
        red, green, blue = rng.integers(0, 256, 3).tolist()
        if abs((red + green + blue) / 3 - mean) > 50:
            return red, green, blue
