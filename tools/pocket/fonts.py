"""Font families, their faces, and images of single glyphs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont
from tiles import SIZE, Images, debian_file, package_file

LIGHT_TO_BLACK = (0.12, 0.4, 0.65, 1.0)

_MATPLOTLIB = ("matplotlib", "mpl-data/fonts/ttf")
_WESTERN = ("justmytype_western_core", "fonts/ofl")
_DECKR = ("deckr_fonts", "fonts")


@dataclass(frozen=True)
class Family:
    """A font family.

    package: the package with its files.
    folder: folder in the package, or from `/` in a Debian package.
    patterns: patterns of the file names.
    debian: whether the package is one of Debian; False: one of Python.
    """

    package: str
    folder: str
    patterns: tuple[str, ...]
    debian: bool = False

    def files(self) -> list[Path]:
        """Return the font files, sorted by name within each pattern."""
        if self.debian:
            folder = debian_file(self.package, self.folder)
        else:
            folder = package_file(self.package, *self.folder.split("/"))
        found = []
        for pattern in self.patterns:
            paths = sorted(folder.glob(pattern))
            if not paths:
                raise SystemExit(f"{folder} has no font {pattern}: see tools/pocket/README.md.")
            found += paths
        return found


def debian(package: str, folder: str, *patterns: str) -> Family:
    """Return a family of a Debian package. The folder is one of `/usr/share/fonts`."""
    return Family(package, f"usr/share/fonts/{folder}", patterns, debian=True)


FAMILIES = {
    "DejaVu Sans": Family(*_MATPLOTLIB, ("DejaVuSans.ttf", "DejaVuSans-*.ttf")),
    "DejaVu Sans Mono": Family(*_MATPLOTLIB, ("DejaVuSansMono*.ttf",)),
    "DejaVu Serif": Family(*_MATPLOTLIB, ("DejaVuSerif.ttf", "DejaVuSerif-*.ttf")),
    "STIX": Family(*_MATPLOTLIB, ("STIXGeneral*.ttf",)),
    "Computer Modern": Family(*_MATPLOTLIB, ("cmr10.ttf", "cmb10.ttf", "cmti10.ttf")),
    "Computer Modern Sans": Family(*_MATPLOTLIB, ("cmss10.ttf",)),
    "Computer Modern Typewriter": Family(*_MATPLOTLIB, ("cmtt10.ttf",)),
    "Inter": Family(*_WESTERN, ("inter/*.ttf",)),
    "JetBrains Mono": Family(*_WESTERN, ("jetbrainsmono/*.ttf",)),
    "Noto Sans": Family(*_WESTERN, ("notosans/*.ttf",)),
    "Noto Sans Mono": Family(*_WESTERN, ("notosansmono/*.ttf",)),
    "Noto Serif": Family(*_WESTERN, ("notoserif/*.ttf",)),
    "Source Serif": Family(*_WESTERN, ("sourceserif4/*.ttf",)),
    "Audiowide": Family(*_DECKR, ("Audiowide-*.ttf",)),
    "DM Sans": Family(*_DECKR, ("DMSans*.ttf",)),
    "Monofett": Family(*_DECKR, ("Monofett-*.ttf",)),
    "Roboto": Family(*_DECKR, ("Roboto[[]*.ttf", "Roboto-*.ttf")),
    "Roboto Mono": Family(*_DECKR, ("RobotoMono*.ttf",)),
}


def open_font(path: Path, size: int) -> FreeTypeFont:
    """Return a font at `size` pixels. The basic layout depends on FreeType only."""
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def weight_axis(font: FreeTypeFont) -> int | None:
    """Return the index of the weight axis of a variable font; None for a static font."""
    try:
        names = [axis["name"] for axis in font.get_variation_axes()]
    except OSError:
        return None
    return names.index(b"Weight")


def at_weight(path: Path, size: int, share: float) -> FreeTypeFont:
    """Return a variable font at a weight; its other axes have their default values.

    share: position in the range of weights: 0 the lightest, 1 the heaviest.
    """
    font = open_font(path, size)
    axes = font.get_variation_axes()
    values = [axis["default"] or 0 for axis in axes]
    weight = axes[weight_axis(font) or 0]
    low, high = weight["minimum"] or 0, weight["maximum"] or 0
    values[weight_axis(font) or 0] = round(low + share * (high - low))
    font.set_variation_by_axes([float(value) for value in values])
    return font


def faces(family: Family, size: int) -> list[FreeTypeFont]:
    """Return every face of a family: each static font, and four weights of each variable font."""
    found = []
    for path in family.files():
        font = open_font(path, size)
        if weight_axis(font) is None:
            found.append(font)
        else:
            found += [at_weight(path, size, share) for share in LIGHT_TO_BLACK]
    return found


def glyph(
    font: FreeTypeFont,
    character: str,
    box: int = 26,
    shift: tuple[int, int] = (0, 0),
    side: int = SIZE,
) -> Images | None:
    """Return one character, white on black, uint8 (side, side).

    box: length of the longer side of the character, in pixels.
    shift: shift from the centre (x, y), in pixels.

    Returns None for a blank or a dot: a character smaller than a quarter of the size of the font.
    """
    left, top, right, bottom = (round(edge) for edge in font.getbbox(character))
    if right - left <= 1 or bottom - top <= 1:
        return None
    canvas = Image.new("L", (right - left + 4, bottom - top + 4), 0)
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), character, font=font, fill=255)
    ink = canvas.getbbox()
    if ink is None:
        return None
    canvas = canvas.crop(ink)
    if max(canvas.size) < font.size / 4:
        return None
    size = fitted(canvas, box)
    tile = Image.new("L", (side, side), 0)
    corner = ((side - size[0]) // 2 + shift[0], (side - size[1]) // 2 + shift[1])
    tile.paste(canvas.resize(size, Image.Resampling.LANCZOS), corner)
    return np.asarray(tile)


def fitted(picture: Image.Image, box: int) -> tuple[int, int]:
    """Return the size (width, height) at which the longer side of a picture is `box` pixels."""
    scale = box / max(picture.size)
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
