"""The domain scene: digits on photographs, like house numbers."""

import string
from collections.abc import Sequence

import numpy as np
from fonts import FAMILIES, Family, debian, faces
from grounds import grounds
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont
from tiles import SIZE, Images, Tiles, generator, make_tiles, split_in_blocks

SCENE_SIZES = (3600, 1500, 1500)

SANS, SERIF, MONO = range(3)
SCENE_FAMILIES: dict[str, tuple[int, tuple[Family, ...]]] = {
    "Andika": (SANS, (debian("fonts-sil-andika", "truetype/andika", "Andika-*.ttf"),)),
    "Audiowide": (SANS, (FAMILIES["Audiowide"],)),
    "B612": (SANS, (debian("fonts-b612", "opentype/b612", "B612*.otf"),)),
    "Bebas Neue": (
        SANS,
        (debian("fonts-bebas-neue", "opentype/bebas-neue", "BebasNeue-[BR]*.otf"),),
    ),
    "Cabin": (SANS, (debian("fonts-cabin", "opentype/cabin", "Cabin-*.otf"),)),
    "Cantarell": (SANS, (debian("fonts-cantarell", "opentype/cantarell", "Cantarell-[BER]*.otf"),)),
    "Comfortaa": (SANS, (debian("fonts-comfortaa", "truetype/comfortaa", "Comfortaa-[BR]*.ttf"),)),
    "Computer Modern Sans": (SANS, (FAMILIES["Computer Modern Sans"],)),
    "DejaVu Sans": (SANS, (FAMILIES["DejaVu Sans"], FAMILIES["DejaVu Sans Mono"])),
    "DM Sans": (SANS, (FAMILIES["DM Sans"],)),
    "Dosis": (
        SANS,
        (debian("fonts-dosis", "opentype/dosis", "Dosis-[BMRS]*.otf", "Dosis-ExtraBold.otf"),),
    ),
    "Go": (SANS, (debian("fonts-go", "fonts-go", "Go-[BMIR]*.ttf"),)),
    "Inter": (SANS, (FAMILIES["Inter"],)),
    "Junction": (SANS, (debian("fonts-junction", "opentype/junction", "Junction.otf"),)),
    "Karla": (
        SANS,
        (debian("fonts-karla", "truetype/karla", "Karla-[BMIR]*.otf", "Karla-ExtraBold*.otf"),),
    ),
    "Lato": (SANS, (debian("fonts-lato", "truetype/lato", "Lato-[BMRS]*.ttf", "Lato-Light.ttf"),)),
    "Liberation Sans": (
        SANS,
        (debian("fonts-liberation2", "truetype/liberation2", "LiberationSans-*.ttf"),),
    ),
    "National Park": (
        SANS,
        (debian("fonts-national-park", "opentype/national-park", "NationalPark-[HR]*.otf"),),
    ),
    "Noto Sans": (SANS, (FAMILIES["Noto Sans"], FAMILIES["Noto Sans Mono"])),
    "Play": (SANS, (debian("fonts-play", "truetype/play", "Play-*.ttf"),)),
    "Quicksand": (SANS, (debian("fonts-quicksand", "truetype/quicksand", "Quicksand-[BMR]*.ttf"),)),
    "Roboto": (SANS, (FAMILIES["Roboto"], FAMILIES["Roboto Mono"])),
    "Yanone Kaffeesatz": (
        SANS,
        (
            debian(
                "fonts-yanone-kaffeesatz",
                "opentype/yanone-kaffeesatz",
                "YanoneKaffeesatz-[BMRS]*.otf",
            ),
        ),
    ),
    "Caladea": (SERIF, (debian("fonts-crosextra-caladea", "truetype/crosextra", "Caladea-*.ttf"),)),
    "Cardo": (SERIF, (debian("fonts-cardo", "truetype/cardo", "Cardo*.ttf"),)),
    "Charis": (SERIF, (debian("fonts-sil-charis", "truetype/charis", "CharisSIL-*.ttf"),)),
    "Computer Modern": (SERIF, (FAMILIES["Computer Modern"],)),
    "DejaVu Serif": (SERIF, (FAMILIES["DejaVu Serif"],)),
    "EB Garamond": (
        SERIF,
        (debian("fonts-ebgaramond", "opentype/ebgaramond", "EBGaramond12-*.otf"),),
    ),
    "Fanwood": (SERIF, (debian("fonts-fanwood", "truetype/fanwood", "Fanwood*.otf"),)),
    "Gentium": (SERIF, (debian("fonts-sil-gentium-basic", "truetype/gentium-basic", "GenB*.ttf"),)),
    "Goudy Bookletter 1911": (
        SERIF,
        (debian("fonts-goudybookletter", "opentype/sortsmill", "GoudyBookletter1911.otf"),),
    ),
    "Linux Libertine": (
        SERIF,
        (debian("fonts-linuxlibertine", "opentype/linux-libertine", "LinLibertine_R*.otf"),),
    ),
    "Lobster Two": (
        SERIF,
        (debian("fonts-lobstertwo", "opentype/lobstertwo", "LobsterTwo-*.otf"),),
    ),
    "Noto Serif": (SERIF, (FAMILIES["Noto Serif"],)),
    "Source Serif": (SERIF, (FAMILIES["Source Serif"],)),
    "STIX": (SERIF, (FAMILIES["STIX"],)),
    "Vollkorn": (SERIF, (debian("fonts-vollkorn", "truetype/vollkorn", "Vollkorn-*.ttf"),)),
    "Anonymous Pro": (
        MONO,
        (debian("fonts-anonymous-pro", "truetype/anonymous-pro", "Anonymous Pro*.ttf"),),
    ),
    "Computer Modern Typewriter": (MONO, (FAMILIES["Computer Modern Typewriter"],)),
    "Courier Prime": (
        MONO,
        (debian("fonts-courier-prime", "opentype/courier-prime", "Courier Prime*.otf"),),
    ),
    "Fira Code": (MONO, (debian("fonts-firacode", "truetype/firacode", "FiraCode-*.ttf"),)),
    "Inconsolata": (
        MONO,
        (debian("fonts-inconsolata", "truetype/inconsolata", "Inconsolata.otf"),),
    ),
    "JetBrains Mono": (MONO, (FAMILIES["JetBrains Mono"],)),
    "mononoki": (MONO, (debian("fonts-mononoki", "truetype/mononoki", "mononoki-*.ttf"),)),
}


def busyness(photo: Images) -> float:
    """Return the mean over tiles of 64 pixels of the standard deviation of their grey values."""
    grey = photo.mean(2)
    rows, columns = (range(0, extent - 63, 64) for extent in grey.shape)
    return float(np.mean([grey[r : r + 64, c : c + 64].std() for r in rows for c in columns]))


def ink(family: Sequence[FreeTypeFont]) -> float:
    """Return the mean coverage of the digits in their boxes, over the faces of a family."""
    masks = [np.frombuffer(bytes(font.getmask(string.digits)), np.uint8) for font in family]
    return float(np.mean([mask.mean() for mask in masks])) / 255


def evenly(count: int, things: int, rng: Generator) -> list[int]:
    """Return `count` indices of things in random order. Each occurs equally often, up to one."""
    return rng.permutation(np.arange(count) % things).tolist()


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
    """Return digits with neighbours on photographs, split by font family and by photograph.

    Families of a kind are ordered by ink, photographs by busyness, and every nine neighbours in
    these orders are split 5 to 2 to 2. So val and test are equally hard. In each split, every
    photograph and every family occur equally often.
    """
    rng = generator("scene")
    photos = list(grounds().values())
    families = [
        (kind, [font for part in parts for font in faces(part, size=48)])
        for kind, parts in SCENE_FAMILIES.values()
    ]
    split_of_photo = split_in_blocks([busyness(photo) for photo in photos], rng)
    split_of_family = split_in_blocks([(kind, ink(fonts)) for kind, fonts in families], rng)
    images, labels, splits = [], [], []
    for split, count in enumerate(SCENE_SIZES):
        own_photos = np.flatnonzero(split_of_photo == split)
        own_families = np.flatnonzero(split_of_family == split)
        drawn = zip(
            evenly(count, len(own_photos), rng), evenly(count, len(own_families), rng), strict=True
        )
        for index, (photo, family) in enumerate(drawn):
            _, fonts = families[own_families[family]]
            font = fonts[rng.integers(len(fonts))]
            images.append(composed(index % 10, font, photos[own_photos[photo]], rng))
            labels.append(index % 10)
            splits.append(split)
    return make_tiles(string.digits, images, labels, splits)
