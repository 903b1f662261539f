"""The domains of characters: letters and scripts."""

import string
import unicodedata
from pathlib import Path

import numpy as np
from fonts import FAMILIES, at_weight, faces, glyph
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from numpy.random import Generator
from PIL.ImageFont import FreeTypeFont
from tiles import TEST, TRAIN, VAL, Images, Tiles, generator, make_tiles, package_file, split_groups

SCRIPTS = (
    "Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek",
    "Gujarati", "Gurmukhi", "Hebrew", "Kannada", "Khmer", "Lao", "Latin", "Malayalam", "Myanmar",
    "Oriya", "Sinhala", "Tamil", "Telugu", "Thai",
)  # fmt: skip
IN_NOTO_SANS = ("Cyrillic", "Greek", "Latin")
LEFT_OUT = ("MATHEMATICAL", "LIGATURE")
LETTER_VAL = ("Computer Modern", "Computer Modern Typewriter", "Noto Sans")
LETTER_TEST = ("DejaVu Serif", "Source Serif", "Audiowide", "Roboto", "Roboto Mono")
CHARACTERS_PER_SCRIPT = 70
SCRIPT_WEIGHTS = (0.0, 0.375, 0.7, 1.0)


def jittered(font: FreeTypeFont, character: str, rng: Generator) -> Images | None:
    """Return a glyph of random size, 20 to 28 pixels, shifted by at most one pixel each way."""
    box, across, down = rng.integers((20, -1, -1), (29, 2, 2)).tolist()
    return glyph(font, character, box, (across, down))


def letters() -> Tiles:
    """Return the 26 letters, split by font family. Upper and lower case are one class."""
    rng = generator("letters")
    images, labels, splits = [], [], []
    for name, family in FAMILIES.items():
        split = VAL if name in LETTER_VAL else TEST if name in LETTER_TEST else TRAIN
        for font in faces(family, size=64):
            for label, letter in enumerate(string.ascii_uppercase):
                for character in (letter, letter.lower()):
                    image = jittered(font, character, rng)
                    if image is not None:
                        images.append(image)
                        labels.append(label)
                        splits.append(split)
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
