"""Build the pocket data: `python tools/pocket/build.py [--out DIR] [domain ...]`.

The result depends only on the packages of requirements.txt and on two Debian packages (README.md).
Two builds give the same bytes.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from glyphs import letters, scripts
from photos import landcover, textures
from pictograms import emoji, icons
from scans import digits, fashion, watch
from scenes import scene
from sheets import as_read, write_checksums, write_domain
from tiles import Tiles, coarse, distinct, generator, in_file_order


@dataclass(frozen=True)
class Recipe:
    """How the tiles of a domain are made and stored.

    make: function that returns the tiles.
    levels: number of values that a channel may take; below 256 only if the tiles are drawn here.
    quality: JPEG quality; None: PNG.
    """

    make: Callable[[], Tiles]
    levels: int = 256
    quality: int | None = None


RECIPES = {
    "fashion": Recipe(fashion),
    "landcover": Recipe(landcover, quality=85),
    "scripts": Recipe(scripts, levels=16),
    "scene": Recipe(scene, quality=80),
    "textures": Recipe(textures, quality=85),
    "icons": Recipe(icons, levels=16),
    "watch": Recipe(watch, levels=32),
    "letters": Recipe(letters, levels=16),
    "digits": Recipe(digits),
    "emoji": Recipe(emoji, levels=16),
}
DATA = Path(__file__).parents[2] / "mpnas_kit" / "domains" / "pocket_data"


def drawn(name: str) -> Tiles:
    """Return the tiles of a domain in file order, before storage changes their pixels."""
    return in_file_order(RECIPES[name].make(), generator(f"{name}, file order"))


def stored(name: str, tiles: Tiles) -> tuple[Tiles, Tiles]:
    """Return the tiles that go into the file: as drawn, and as a reader of the file sees them.

    Duplicates are dropped as a reader sees them, so tiles that storage makes equal are dropped too.
    The position of a tile in a sheet does not change its pixels, so no new duplicates arise.
    """
    recipe = RECIPES[name]
    read = as_read(coarse(tiles, recipe.levels), recipe.quality)
    index = distinct(read)
    return tiles.take(index), read.take(index)


def main() -> None:
    """Read the command line, build the domains, write the checksums."""
    parser = argparse.ArgumentParser(description="Build the pocket data.")
    parser.add_argument("domains", nargs="*", metavar="domain", help="default: all ten")
    parser.add_argument("--out", type=Path, default=DATA, help="default: the folder of the package")
    arguments = parser.parse_args()
    for name in arguments.domains:
        if name not in RECIPES:
            parser.error(f"unknown domain {name}: expected one of {', '.join(RECIPES)}.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.domains or RECIPES:
        recipe = RECIPES[name]
        tiles, _ = stored(name, drawn(name))
        write_domain(arguments.out, name, coarse(tiles, recipe.levels), recipe.quality)
        share = np.bincount(tiles.labels).max() / len(tiles)
        print(f"{name:10} {len(tiles.classes):3} classes {tiles.counts()} largest {share:.2f}")
    write_checksums(arguments.out)


if __name__ == "__main__":
    main()
