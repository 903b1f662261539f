"""The domains of things: stamps (photographs, cut out) and clipart (drawings)."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fonts import fitted
from numpy.random import Generator
from pictures import SIDE, WHITE, Domain, Packages, Source, pictures_of, split
from PIL import Image
from surfaces import MATERIALS, material_sets, patch_of
from tiles import generator

Image.MAX_IMAGE_PIXELS = None  # some drawings have 170 million, and the packages are known

STAMPS_FOLDER = "usr/share/tuxpaint/stamps"
STAMPS = {
    "bird": ("animals/birds",),
    "flower": ("plants/flowers",),
    "fruit": ("food/fruit", "food/nuts"),
    "hoofed animal": tuple(f"animals/mammals/{x}" for x in ("bovines", "camel", "deer", "equines")),
    "instrument": tuple(f"hobbies/music/{x}" for x in ("brass", "percussion", "string", "wind")),
    "other mammal": (
        "animals/mammals",
        *(f"animals/mammals/{x}" for x in ("apes", "bears", "cats", "dogs", "rodents")),
        "animals/marsupials",
    ),
    "sea animal": ("animals/fish", "animals/shellfish", "animals/mammals/aquatic"),
    "small animal": ("animals/amphibians", "animals/insects", "animals/lizards"),
    "sign": ("town/roadsigns",),
    "tool": (
        *(f"household/{x}" for x in ("arttools", "dishes", "dishes/utensils", "tools")),
        "household",
    ),
    "vegetable": ("food/spices", "food/vegetables", "plants/mushrooms"),
    "vehicle": (
        "vehicles",
        *(f"vehicles/{x}" for x in ("auto", "construction", "cycle", "emergency", "flight")),
        *(f"vehicles/{x}" for x in ("flight/planes", "masstransit", "race", "ship")),
        "military/vehicles",
    ),
}
STAMPS_PER_SOURCE = 7
STAMP_BOXES = (68, 92)  # least and greatest length of the longer side, in pixels
STAMP_TILT = 15.0
STAMP_GROUNDS = ("concrete", "grass", "rock", "soil", "street", "wood")

CLIPART_FOLDER = "usr/share/openclipart/png"
CLIPART = {
    "animal": (
        "animals/mammals",
        *(f"animals/mammals/{x}" for x in ("bears", "big_cats", "dogs", "horses", "housecats")),
    ),
    "bird": ("animals/birds",),
    "building": ("buildings", "buildings/homes"),
    "clothing": ("people/clothing", "people/clothing/hats"),
    "computer": ("computer/hardware",),
    "dessert": ("food/desserts",),
    "drink": ("food/beverages", "food/beverages/alcohol"),
    "flower": ("plants", "plants/flowers"),
    "fruit": ("food/fruit",),
    "insect": ("animals/bugs",),
    "music": ("recreation/music",),
    "tool": ("tools",),
    "vehicle": ("transportation/vehicles",),
}
CLIPART_PER_SOURCE = 2
CLIPART_BOXES = (72, 94)
CLIPART_TILT = 12.0
LEAST_INK = 64  # of the longer side of a source, in pixels; smaller sources are omitted
MOST_INK = 256  # larger sources are shrunk before they are placed


def cutouts(root: Path, folders_of: Mapping[str, tuple[str, ...]]) -> Iterator[Source]:
    """Yield the PNG files of the folders of every class, cropped to what is not transparent.

    Mirrored copies and small files are omitted. A group is the first word of a name, so that
    pictures of one series are in one split; if that word is the class, it is the whole name.
    """
    for label, (name, folders) in enumerate(folders_of.items()):
        for folder in folders:
            for file in sorted((root / folder).glob("*.png")):
                word = re.split(r"[-_\d]", file.stem.lower().strip("_"))[0]
                if file.stem.endswith("_mirror"):
                    continue
                with Image.open(file) as image:
                    layer = image.convert("RGBA")
                ink = layer.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox()
                if ink and max(ink[2] - ink[0], ink[3] - ink[1]) >= LEAST_INK:
                    group = file.stem if word in ("", name) else word
                    cutout = layer.crop(ink)
                    cutout.thumbnail((MOST_INK, MOST_INK), Image.Resampling.LANCZOS)
                    yield Source(label, group, cutout)


def placed(
    cutout: Image.Image, ground: Image.Image, boxes: tuple[int, int], tilt: float, rng: Generator
) -> Image.Image:
    """Return a cut-out on a ground of 96 x 96 pixels, tilted, scaled and shifted at random.

    boxes: least and greatest length of its longer side, in pixels. It is never enlarged.
    tilt: greatest angle, in degrees.
    """
    turned = cutout.rotate(rng.uniform(-tilt, tilt), Image.Resampling.BICUBIC, expand=True)
    turned = turned.crop(turned.getchannel("A").getbbox())
    box = min(int(rng.integers(boxes[0], boxes[1] + 1)), max(turned.size))
    small = turned.resize(fitted(turned, box), Image.Resampling.LANCZOS)
    left, top = (int(rng.integers(SIDE - extent + 1)) for extent in small.size)
    picture = ground.copy()
    picture.paste(small, (left, top), small)
    return picture


def stamps(packages: Packages) -> Domain:
    """Return photographs of things, cut out and placed on photographs of materials.

    They are split by photograph, and so are the materials under them.
    """
    rng = generator("photos, stamps")
    root = packages.file("tuxpaint-stamps-default", STAMPS_FOLDER)
    grounds: list[list[Source]] = [[], [], []]
    for source, part in material_sets(packages):
        if tuple(MATERIALS)[source.label] in STAMP_GROUNDS:
            grounds[part].append(source)

    def draw(source: Source, part: int) -> Image.Image:
        ground = grounds[part][rng.integers(len(grounds[part]))]
        return placed(source.image, patch_of(ground.image, rng), STAMP_BOXES, STAMP_TILT, rng)

    sources = split(list(cutouts(root, STAMPS)), rng)
    return Domain(tuple(STAMPS), list(pictures_of(sources, STAMPS_PER_SOURCE, draw)))


def clipart(packages: Packages) -> Domain:
    """Return drawings of things on white, two of each, split by drawing."""
    rng = generator("photos, clipart")
    root = packages.file("openclipart-png", CLIPART_FOLDER)
    white = Image.new("RGB", (SIDE, SIDE), WHITE)

    def draw(source: Source, _: int) -> Image.Image:
        return placed(source.image, white, CLIPART_BOXES, CLIPART_TILT, rng)

    sources = split(list(cutouts(root, CLIPART)), rng)
    return Domain(tuple(CLIPART), list(pictures_of(sources, CLIPART_PER_SOURCE, draw)))
