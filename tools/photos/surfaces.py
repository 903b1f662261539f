"""The domains of surfaces: materials of buildings and nature, land from above, and solar cells."""

import io
import re
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from photos import LANDCOVER_CLASSES, land_map, land_patches, split_blocks
from pictures import SIDE, Domain, Packages, Picture, Source, flat, pictures_of, split
from PIL import Image
from tiles import generator, package_file

MATERIALS_FILE = "usr/share/games/ufoai/base/0textures.pk3"
MATERIALS = {
    "brick": r"(wall_|trak4_)?bricks?",
    "carpet": r"(jap_)?carpet",
    "concrete": r"(trak4_)?concrete|e8crete",
    "grass": r"grass(?!003_way)",
    "metal": r"metall?|mtl|e8_mtlwall",
    "rock": r"rock|stone",
    "roof": r"roof",
    "soil": r"dirt|desert|(wall_)?ground",
    "street": r"street",
    "tile": r"tiles?",
    "wallpaper": r"wallpaper",
    "wood": r"(s_|wall_|floor_)?wood",
}
NO_SURFACE = re.compile(r"_(nm|sm|gm|rm|em|fx|fnce|duct|window|cover|midwrn|l)\d*(_|$|\.)")
MATERIAL_SCALES = (1.0, 0.5)
PATCHES_PER_MATERIAL = 6
FLAT = 3.0  # standard deviation of grey values below which a patch shows nothing

LAND_SIDE = 64
LAND_STEP = 16
LAND_BLOCK = 192
LAND_CAPS = (180, 60, 60)
LAND_RARE = ("evergreen needleleaf forest", "deciduous forest")  # too few patches of this size

SOLAR_LEVELS = {"0.0": "sound", "0.3333333333333333": "doubtful", "0.6666666666666666": "doubtful"}
SOLAR_DEFECTIVE = "defective"
SOLAR_CLASSES = tuple(
    f"{kind} {level}" for kind in ("mono", "poly") for level in ("sound", "doubtful", "defective")
)
CELLS_PER_BLOCK = 24


def material_sources(packages: Packages) -> Iterator[Source]:
    """Yield the textures of UFO: Alien Invasion whose name says what they show.

    A group is a folder and a name without its last letters: `brick03` and `brick03a` are one.
    """
    file = packages.file("ufoai-textures", MATERIALS_FILE)
    with zipfile.ZipFile(file) as archive:
        for name in sorted(archive.namelist()):
            folder, _, base = name.rpartition("/")
            stem, _, ending = base.rpartition(".")
            if ending not in ("jpg", "png") or NO_SURFACE.search(stem):
                continue
            for label, pattern in enumerate(MATERIALS.values()):
                if re.match(rf"({pattern})(_|\d|$)", stem):
                    with Image.open(io.BytesIO(archive.read(name))) as image:
                        if min(image.size) >= SIDE:
                            group = f"{folder}/{stem.rstrip('abcdefgh')}"
                            yield Source(label, group, flat(image))


def material_sets(packages: Packages) -> list[tuple[Source, int]]:
    """Return the materials, each with its split."""
    return split(list(material_sources(packages)), generator("photos, materials"))


def patch_of(image: Image.Image, rng: Generator) -> Image.Image:
    """Return a random patch of 96 x 96 pixels, at full or at half scale if the image allows it."""
    scale = MATERIAL_SCALES[rng.integers(len(MATERIAL_SCALES))]
    scale = scale if min(image.size) * scale >= SIDE else 1.0
    side = round(SIDE / scale)
    left, top = (int(rng.integers(extent - side + 1)) for extent in image.size)
    patch = image.crop((left, top, left + side, top + side))
    return patch if scale == 1 else patch.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def materials(packages: Packages) -> Domain:
    """Return patches of 12 materials, most of them photographs, split by texture."""
    rng = generator("photos, patches of materials")

    def draw(source: Source, _: int) -> Image.Image | None:
        patch = patch_of(source.image, rng)
        return patch if np.asarray(patch.convert("L"), np.float64).std() >= FLAT else None

    sources = material_sets(packages)
    return Domain(tuple(MATERIALS), list(pictures_of(sources, PATCHES_PER_MATERIAL, draw)))


def land(_: Packages) -> Domain:
    """Return patches of NASA's Blue Marble at 64 x 64 pixels, labelled by MODIS land cover.

    Patches at a distance of 16 pixels overlap, but only inside of one map block of 192 x 192
    pixels, and blocks are split.
    """
    rng = generator("photos, land")
    photo, classes = land_map()
    patches = np.array(land_patches(photo, classes, LAND_SIDE, LAND_STEP, LAND_BLOCK))
    labels, blocks = patches[:, 2], patches[:, 3]
    splits = split_blocks(labels, blocks, rng)
    names = tuple(name for name in LANDCOVER_CLASSES if name not in LAND_RARE)
    pictures = []
    for name in names:
        label = LANDCOVER_CLASSES.index(name)
        for part, cap in enumerate(LAND_CAPS):
            available = np.flatnonzero((labels == label) & (splits == part))
            for at in rng.permutation(available)[:cap].tolist():
                row, column = patches[at, :2].tolist()
                pixels = photo[row : row + LAND_SIDE, column : column + LAND_SIDE]
                pictures.append(Picture(names.index(name), part, Image.fromarray(pixels)))
    return Domain(names, pictures)


def solar(_: Packages) -> Domain:
    """Return electroluminescence photographs of solar cells, 300 pixels shrunk to 96.

    Classes are the kind of cell and how surely it has a defect. The cells are numbered module by
    module, so blocks of 24 consecutive cells are split.
    """
    folder = package_file("elpv_dataset", "data")
    pictures, blocks = [], []
    for row, line in enumerate((folder / "labels.csv").read_text("utf-8").splitlines()):
        file, probability, kind = line.split()
        name = f"{kind} {SOLAR_LEVELS.get(probability, SOLAR_DEFECTIVE)}"
        with Image.open(folder / file) as image:
            grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        pictures.append((SOLAR_CLASSES.index(name), grey))
        blocks.append(row // CELLS_PER_BLOCK)
    labels = np.array([label for label, _ in pictures])
    splits = split_blocks(labels, np.array(blocks), generator("photos, solar")).tolist()
    drawn = zip(pictures, splits, strict=True)
    return Domain(SOLAR_CLASSES, [Picture(label, part, image) for (label, image), part in drawn])
