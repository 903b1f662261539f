"""The domains of characters: letters, scripts, and scene (digits on photographs)."""

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
    """Return a glyph of random size, 20 to 28 pixels, shifted by at most one pixel each way."""
    box, across, down = rng.integers((20, -1, -1), (29, 2, 2)).tolist()
    return glyph(font, character, box, (across, down))


def letters() -> Tiles:
    """Return the 26 letters, split by font family. Upper and lower case are one class."""
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
    """Return the Noto Sans file that contains a script."""
    name = "NotoSans[wght].ttf" if script in IN_NOTO_SANS else f"NotoSans{script}[wght].ttf"
    return package_file("manimgx_fonts", name)


def characters_of(script: str) -> list[str]:
    """Return the letters and decimal digits that have the script in their Unicode name.

    Only characters that the font contains are returned.
    """
    found = []
    for point in sorted(TTFont(script_font(script)).getBestCmap()):
        character = chr(point)
        name = unicodedata.name(character, "")
        named = name.startswith(script.upper() + " ") and not any(w in name for w in LEFT_OUT)
        if named and unicodedata.category(character) in ("Lo", "Lu", "Ll", "Nd"):
            found.append(character)
    return found


def distinct_characters() -> dict[str, list[str]]:
    """Return the characters of every script, without those that look the same as another one.

    Characters with the same picture in two scripts (Latin A, Greek Alpha) are dropped from both,
    because nobody can tell them apart. Of those with the same picture in one script, the first one
    stays.
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
    """Return characters of 22 scripts, split by character: at most 70 each, in four weights."""
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
    """Return the coverage of a digit that is tilted, scaled and shifted at random.

    Each of its two neighbours is present with probability 1/2. The coverage is float64 (64, 64, 1)
    in [0, 1], with the digit near the centre.
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
    """Return a random square of a photo, 32 to 96 pixels, resized to float64 (64, 64, 3)."""
    side = int(rng.integers(32, 97))
    top, left = (int(rng.integers(extent - side + 1)) for extent in photo.shape[:2])
    view = Image.fromarray(photo[top : top + side, left : left + side])
    return np.asarray(view.resize((64, 64), Image.Resampling.BILINEAR), np.float64)


def contrasting(ground: NDArray[np.float64], rng: Generator) -> NDArray[np.int64]:
    """Return a random colour (3,) whose mean differs from that of the ground by more than 55."""
    while True:
        colour = rng.integers(0, 256, 3)
        if abs(colour.mean() - ground.mean()) > 55:
            return colour


def composed(digit: int, font: FreeTypeFont, photo: Images, rng: Generator) -> Images:
    """Return a digit painted on a photo, blurred, halved and with noise: uint8 (32, 32, 3)."""
    ground = background(photo, rng)
    cover = digit_mask(digit, font, rng) * rng.uniform(0.75, 1)
    painted = ground * (1 - cover) + contrasting(ground, rng) * cover
    picture = Image.fromarray(painted.clip(0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.6)))
    small = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    noise = rng.normal(0, rng.uniform(0, 6), small.shape)
    return (small + noise).clip(0, 255).astype(np.uint8)


def scene() -> Tiles:
    """Return digits with neighbours on photographs, like house numbers.

    They are split by font and by photograph.
    """
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
