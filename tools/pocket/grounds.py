"""The photographs behind the digits of scene."""

import io
from pathlib import Path

import numpy as np
import OpenEXR
from PIL import Image
from PySide6.QtCore import QResource
from tiles import Images, debian_file, package_file

PACKAGED = {
    "skimage": (
        "data/astronaut.png", "data/brick.png", "data/camera.png", "data/cell.png",
        "data/chelsea.png", "data/coffee.png", "data/grass.png", "data/gravel.png",
        "data/hubble_deep_field.jpg", "data/retina.jpg", "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}  # fmt: skip
PANORAMAS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
PANORAMA_FOLDER = "usr/share/blender/datafiles/studiolights/world"
# Photographs of gcompris-qt-data that GCompris states to be in the public domain or CC0. Its Debian
# file `copyright` describes older images: see SOURCES.md beside the data.
GCOMPRIS_FOLDER = "usr/share/gcompris-qt/rcc"
GCOMPRIS = {
    "categorization": (
        "images/fishes/fish25", "images/fishes/fish4", "images/fishes/fish8",
        "images/monuments/greatWall", "images/monuments/leMusee",
        "images/monuments/leaningTowerOfPisa", "images/monuments/zimniPalace",
        "images/others/bucket", "images/others/buffetset", "images/others/igloo",
        "images/others/pan", "images/renewable/dam2", "images/renewable/solar1",
        "images/renewable/solar2", "images/renewable/windmill", "images/renewable/windmill12",
        "images/tools/nailCutter", "images/tools/screwDriver", "images/tools/sideCutter1",
        "images/tools/wrench1",
    ),
    "explore_world_animals": ("animals/crocodile", "animals/moose", "animals/panda"),
}  # fmt: skip


def packaged(package: str, file: str) -> Images:
    """Return a photograph that is a file of a Python package."""
    with Image.open(package_file(package, *file.split("/"))) as image:
        return np.asarray(image.convert("RGB"))


def panorama(name: str) -> Images:
    """Return a panorama of Blender. Light above 1 is white; values get the gamma of screens."""
    file = debian_file("blender-data", f"{PANORAMA_FOLDER}/{name}.exr")
    with OpenEXR.File(str(file)) as exr:
        light = exr.channels()["RGB"].pixels.astype(np.float64)
    return (255 * light.clip(0, 1) ** (1 / 2.2)).round().astype(np.uint8)


def resource(activity: str, name: str) -> Images:
    """Return a photograph of an activity of GCompris. It lies in a resource file of Qt."""
    file = debian_file("gcompris-qt-data", f"{GCOMPRIS_FOLDER}/{activity}.rcc")
    QResource.registerResource(str(file))
    path = f":/gcompris/src/activities/{activity}/resource/{name}.webp"
    with Image.open(io.BytesIO(bytes(QResource(path).uncompressedData()))) as image:
        return np.asarray(image.convert("RGB"))


def grounds() -> dict[str, Images]:
    """Return all photographs by name: uint8 (rows, columns, 3)."""
    found = {}
    for package, files in PACKAGED.items():
        found |= {Path(file).stem: packaged(package, file) for file in files}
    found |= {name: panorama(name) for name in PANORAMAS}
    for activity, names in GCOMPRIS.items():
        found |= {Path(name).name: resource(activity, name) for name in names}
    return found
