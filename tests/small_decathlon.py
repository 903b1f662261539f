"""A miniature of the Visual Domain Decathlon, laid out exactly as its organisers do.

Ids follow their rules: class k of domain number d is d * 10^7 + k, from k = 1, in the order of the
names as text; image n is d * 10^7 + n, plus 100,000 in val and 200,000 in test. Annotations are in
another order than images, and folders of classes do not have the names of classes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mpnas_kit.domains.decathlon_files import DECATHLON

START = {"train": 0, "val": 100_000, "test": 200_000}
GREY = ("daimlerpedcls", "omniglot")
COUNTS = {"train": 8, "val": 3, "test": 2}  # images per class
CLASSES = {
    "aircraft": ["A320", "747-400", "DC-10"],
    "daimlerpedcls": ["pedestrian", "non-pedestrian"],
    "omniglot": ["char 10", "char 2", "char 1"],
    "vgg-flowers": ["rose", "lily"],
}


def picture(kind: int, seed: int, grey: bool) -> Image.Image:
    """An image whose shorter side is 72, with a bright band that tells its class."""
    rng = np.random.default_rng(seed)
    height, width = (144, 72) if grey else (72, int(rng.integers(72, 100)))
    values = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
    top = 30 * kind % (height - 24)
    values[top : top + 24] += np.uint8(150)
    return Image.fromarray(values).convert("L" if grey else "RGB")


def write(
    root: Path,
    domains: Mapping[str, Sequence[str]] = CLASSES,
    counts: Mapping[str, int] = COUNTS,
) -> Path:
    """Write the folder decathlon-1.0 with some domains, and return it.

    domains: names of the classes of each domain.
    counts: images per class in each split.
    """
    folder = root / "decathlon-1.0"
    (folder / "annotations").mkdir(parents=True)
    for domain, names in domains.items():
        for split, count in counts.items():
            content = _split(folder, domain, sorted(names), split, count)
            end = "_stripped" if split == "test" else ""
            file = folder / "annotations" / f"{domain}_{split}{end}.json"
            file.write_text(json.dumps(content), encoding="utf-8")
    return folder


def _split(
    folder: Path, domain: str, names: Sequence[str], split: str, count: int
) -> dict[str, Any]:
    first = 10_000_000 * (DECATHLON.index(domain) + 1)
    images, annotations = [], []
    for n in range(1, count * len(names) + 1):
        kind = (n - 1) % len(names)
        own = picture(kind, first + START[split] + n, domain in GREY)
        place = f"data/{domain}/{split}"
        name = f"{place}/{n:06d}.jpg" if split == "test" else f"{place}/{kind + 1:04d}/{n:06d}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        own.save(folder / name, quality=90)
        number = first + START[split] + n
        width, height = own.size
        images.append({"id": number, "width": width, "height": height, "file_name": name})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": first + kind + 1,
                "segmentation": [],
                "area": width * height,
                "bbox": [0, 0, width, height],
                "iscrowd": 0,
            }
        )
    content: dict[str, Any] = {"info": {"description": domain}, "images": images, "licenses": []}
    if split != "test":
        content["annotations"] = annotations[::-1]
        content["categories"] = [
            {"id": first + k, "name": name, "supercategory": domain}
            for k, name in enumerate(names, 1)
        ]
    return content


def change(file: Path, **changes: Any) -> None:
    """Change a JSON file: each option is a function of what the key of its name holds."""
    content = json.loads(file.read_text(encoding="utf-8"))
    for key, make in changes.items():
        content[key] = make(content[key])
    file.write_text(json.dumps(content), encoding="utf-8")
