"""Domains of characters: letters, scripts, and scene (digits on photographs)."""

import string
import unicodedata
from pathlib import Path

import numpy as np
from fonts import FAMILIES, at_weight, faces, glyph
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from numpy.random import Generator
from numpy.typing import NDArray
from photos import scene_photos
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont
from tiles import SIZE, Images, Tiles, generator, make_tiles, package_file, split_groups

SCRIPTS = (
    "Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek",
    "Gujarati", "Gurmukhi", "Hebrew", "Kannada", "Khmer", "Lao", "Latin", "Malayalam", "Myanmar",
    "Oriya", "Sinhala", "Tamil", "Telugu", "Thai",
)  # fmt: skip
IN_NOTO_SANS = ("Cyrillic", "Greek", "Latin")
LEFT_OUT = ("MATHEMATICAL", "LIGATURE")
CHARACTERS_PER_SCRIPT = 70
SCRIPT_WEIGHTS = (0.0, 0.375, 0.7, 1.0)
SCENE_SIZES = (3600, 1200, 1200)


def jittered(font: FreeTypeFont, character: str, rng: Generator) -> Images | None:
    """A glyph 20 to 28 pixels large, moved by at most one pixel each way."""
    box, across, down = rng.integers((20, -1, -1), (29, 2, 2)).tolist()
    return glyph(font, character, box, (across, down))


def letters() -> Tiles:
    """The 26 letters, upper and lower case in one class, split by font family."""
    rng = generator("letters")
    images, labels, splits = [], [], []
    for family in FAMILIES.values():
        for font in faces(family, size=64):
            for label, letter in enumerate(string.ascii_uppercase):
                for character in (letter, letter.lower()):
                    image = jittered(font, character, rng)
                    if image is not None:
                        images.append(image)
                        labels.append(label)
                        splits.append(family.split)
    return make_tiles(string.ascii_uppercase, images, labels, splits)


def script_font(script: str) -> Path:
    """The Noto Sans file that covers a script."""
    name = "NotoSans[wght].ttf" if script in IN_NOTO_SANS else f"NotoSans{script}[wght].ttf"
    return package_file("manimgx_fonts", name)


def characters_of(script: str) -> list[str]:
    """Letters and decimal digits that Unicode names after the script and its font contains."""
    found = []
    for point in sorted(TTFont(script_font(script)).getBestCmap()):
        character = chr(point)
        name = unicodedata.name(character, "")
        named = name.startswith(script.upper() + " ") and not any(w in name for w in LEFT_OUT)
        if named and unicodedata.category(character) in ("Lo", "Lu", "Ll", "Nd"):
            found.append(character)
    return found


def distinct_characters() -> dict[str, list[str]]:
    """The characters of every script, less those that look the same as another.

    Characters drawn alike in two scripts (Latin A, Greek Alpha) cannot be told apart and are
    dropped from both; of those drawn alike within one script the first stays.
    """
    drawings: dict[bytes, list[tuple[str, str]]] = {}
    for script in SCRIPTS:
        font = at_weight(script_font(script), 64, share=0.375)
        for character in characters_of(script):
            image = glyph(font, character)
            if image is not None:
                drawings.setdefault(image.tobytes(), []).append((script, character))
    distinct: dict[str, list[str]] = {script: [] for script in SCRIPTS}
    for owners in drawings.values():
        if len({script for script, _ in owners}) == 1:
            script, character = owners[0]
            distinct[script].append(character)
    return distinct


def scripts() -> Tiles:
    """At most 70 characters of each of 22 scripts in four weights, split by character."""
    rng = generator("scripts")
    images, labels, groups = [], [], []
    for label, (script, characters) in enumerate(distinct_characters().items()):
        fonts = [at_weight(script_font(script), 64, share) for share in SCRIPT_WEIGHTS]
        for index in np.sort(rng.permutation(len(characters))[:CHARACTERS_PER_SCRIPT]).tolist():
            for font in fonts:
                image = jittered(font, characters[index], rng)
                if image is not None:
                    images.append(image)
                    labels.append(label)
                    groups.append(ord(characters[index]))
    return make_tiles(SCRIPTS, images, labels, split_groups(labels, groups, rng))


def digit_mask(digit: int, font: FreeTypeFont, rng: Generator) -> NDArray[np.float64]:
    """A digit, each neighbour present half of the time, tilted, scaled and shifted.

    Returns the coverage in [0, 1], float64 (64, 64, 1), with the digit near the centre.
    """
    before, after = (str(rng.integers(10)) if rng.random() < 0.5 else "" for _ in range(2))
    width = font.getlength(str(digit))
    start = 80 - width / 2
    mask = Image.new("L", (160, 96), 0)
    draw = ImageDraw.Draw(mask)
    for text, left in (
        (before, start - font.getlength(before) - 2),
        (str(digit), start),
        (after, start + width + 2),
    ):
        draw.text((left, 48), text, font=font, fill=255, anchor="lm")
    scale = rng.uniform(0.85, 1.25)
    mask = mask.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, center=(80, 48))
    mask = mask.resize((int(160 * scale), int(96 * scale)), Image.Resampling.BILINEAR)
    across, down = (rng.integers(-5, 6, 2) + (mask.width // 2, mask.height // 2)).tolist()
    view = mask.crop((across - 32, down - 32, across + 32, down + 32))
    return np.asarray(view, np.float64)[..., None] / 255


def background(photo: Images, rng: Generator) -> NDArray[np.float64]:
    """A random square of 32 to 96 pixels of a photo, resized to float64 (64, 64, 3)."""
    side = int(rng.integers(32, 97))
    top, left = (int(rng.integers(extent - side + 1)) for extent in photo.shape[:2])
    view = Image.fromarray(photo[top : top + side, left : left + side])
    return np.asarray(view.resize((64, 64), Image.Resampling.BILINEAR), np.float64)


def contrasting(ground: NDArray[np.float64], rng: Generator) -> NDArray[np.int64]:
    """A random colour (3,) whose mean differs from that of the background by more than 55."""
    while True:
        colour = rng.integers(0, 256, 3)
        if abs(colour.mean() - ground.mean()) > 55:
            return colour


def composed(digit: int, font: FreeTypeFont, photo: Images, rng: Generator) -> Images:
    """A digit painted on a photo, blurred, halved in size and given noise: uint8 (32, 32, 3)."""
    ground = background(photo, rng)
    cover = digit_mask(digit, font, rng) * rng.uniform(0.75, 1)
    painted = ground * (1 - cover) + contrasting(ground, rng) * cover
    picture = Image.fromarray(painted.clip(0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.6)))
    small = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    noise = rng.normal(0, rng.uniform(0, 6), small.shape)
    return (small + noise).clip(0, 255).astype(np.uint8)


def scene() -> Tiles:
    """Digits on photographs with neighbours, like house numbers; split by font and by photo."""
    rng = generator("scene")
    images, labels, splits = [], [], []
    for split, (count, photos) in enumerate(zip(SCENE_SIZES, scene_photos(), strict=True)):
        families = [faces(f, size=48) for f in FAMILIES.values() if f.split == split]
        for index in range(count):
            family = families[rng.integers(len(families))]
            font = family[rng.integers(len(family))]
            photo = photos[rng.integers(len(photos))]
            images.append(composed(index % 10, font, photo, rng))
            labels.append(index % 10)
            splits.append(split)
    return make_tiles(string.digits, images, labels, splits)
