"""Measure how images come in: ratios of times, and the start of a run from the cache.

    python benchmarks/data.py [--repeats 7] [--starts 10000] [--keep FOLDER] [--json FILE]

It takes about two minutes. `--starts 10000 100000 1000000` takes half an hour more and 17 GB in the
folder, most of it to make the images once. With `--keep`, later calls find them there.

Lines are ratios A / B of two times that are measured in turn, `repeats` times. Printed are the
median, smallest and largest ratio. Below, "A over B" names the two times. They are processor times,
except for `map cold` and `cores`.

- decode small: the bare decoder over the kit's reader, for JPEG files of 96 x 72 pixels. The bare
  decoder is Pillow: it opens, shrinks while decoding, crops, resizes and makes an array. decode
  large: the same for files of 1,600 x 1,200 pixels.
- cached: the kit's reader of small files over a read from the cache, in batches of 64.
- map 32, map 512: a batch by index from a file that is mapped into memory, over `CachedSplit.take`.
  All of the file is in the memory of the system.
- map cold: the same with batches of 64 by the clock, after the system has forgotten the file.
- input: taking and augmenting the batches of a training step, as a share of that step. The suite
  has four domains in the cache at 32 pixels, with 32 images per step each. The union of four random
  paths of the pocket space is trained, one thread.
- cores: preparing large files with one thread over one thread per core, by the clock.

Then, for each number of images in `--starts`, a process that begins from the cache with 64 pixels
RGB: seconds of processor and clock until the first batch, and the growth of its peak memory over
300 random batches of 64, above torch and the kit. `first` is the start that finds decoded images
only, `later` are all others.
"""

import mpnas_kit as mk  # (before torch: it sets how threads wait)

# isort: split
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from PIL import Image
from ratios import Ratio, ratio, seconds

from mpnas_kit.domains import preparation
from mpnas_kit.domains.batches import Augment, DomainStream, Source, Standard
from mpnas_kit.domains.cache import prepare
from mpnas_kit.domains.cached_images import CachedImages
from mpnas_kit.domains.decoding import Fit, decode
from mpnas_kit.engine.compute import Compute
from mpnas_kit.engine.runtime import reproducible
from mpnas_kit.training.stage import _Training

SIZE, SMALL, LARGE = 64, (96, 72), (1600, 1200)
GOALS = {"decode small": ("at least", 0.85), "decode large": ("at least", 0.85)}
GOALS |= {"cached": ("at least", 10.0), "input": ("at most", 0.05)}


def jpeg(values: np.ndarray, size: tuple[int, int]) -> bytes:
    """Return a JPEG file that shows the values, uint8 (H, W, 3), in another size."""
    buffer = BytesIO()
    image = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def blobs(count: int, size: tuple[int, int], cells: int) -> list[bytes]:
    """Return JPEG files of random blobs."""
    rng = np.random.default_rng(0)
    return [
        jpeg(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8), size) for _ in range(count)
    ]


def write_images(folder: FilePath, count: int) -> FilePath:
    """Write small images that all differ, unless they are there. Return their folder."""
    place, classes = folder / f"images-{count}", min(100, count // 10)
    if (place / "done").exists():
        return place / "d"
    rng = np.random.default_rng(0)
    for label in range(classes):
        (place / "d" / f"c{label:03d}").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        if i % 1000 == 0:
            small = rng.integers(0, 256, (1000, 8, 8, 3), dtype=np.uint8)
            small = small.repeat(2, 1).repeat(2, 2)
        buffer = BytesIO()
        Image.fromarray(small[i % 1000]).save(buffer, "JPEG", quality=80)
        (place / "d" / f"c{i % classes:03d}" / f"{i}.jpg").write_bytes(buffer.getvalue())
    (place / "done").touch()
    return place / "d"


# Decoding -----------------------------------------------------------------------------------------


def bare(content: bytes, size: int = SIZE) -> np.ndarray:
    """Return an image as Pillow alone decodes it: uint8 (3, size, size)."""
    image = Image.open(BytesIO(content))
    scale = 2 * size / min(image.size)
    image.draft("RGB", (int(image.width * scale), int(image.height * scale)))
    if image.mode != "RGB":
        image = image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def decoding(contents: list[bytes], repeats: int) -> Ratio:
    """Return times of the bare decoder divided by those of the kit's reader."""
    fit = Fit(SIZE)
    assert all((decode(each, fit).numpy() == bare(each)).all() for each in contents)

    def plain() -> None:
        for each in contents:
            bare(each)

    def ours() -> None:
        with preparation.quiet:  # as a preparation does
            for each in contents:
                decode(each, fit)

    return ratio(plain, ours, repeats)


# Reading and training -----------------------------------------------------------------------------


@contextmanager
def cache_in(folder: FilePath) -> Iterator[None]:
    """Inside, the cache is in a folder."""
    before = os.environ.get("MPNAS_CACHE")
    os.environ["MPNAS_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("MPNAS_CACHE")
        if before is not None:
            os.environ["MPNAS_CACHE"] = before


def mapped(images: CachedImages, batch: int, repeats: int) -> Ratio:
    """Return times of batches from a mapped file divided by those from the cache."""
    file = images.folder / "pixels.bin"
    file.read_bytes()
    pixels = np.memmap(file, np.uint8, "r", shape=images.shape)
    draw = np.random.default_rng(0)
    batches = [draw.integers(0, len(pixels), batch) for _ in range(64)]
    return ratio(
        lambda: [pixels[index] for index in batches],
        lambda: [images.take(index) for index in batches],
        repeats,
    )


def training(suite: mk.DomainSuite) -> _Training:
    """Return a training of random paths."""
    space, draw = mk.pocket_space(suite.resolution), torch.Generator().manual_seed(0)
    paths = {name: space.sample(draw) for name in suite.names}
    return _Training(
        suite, space, paths, mk.TrainConfig(steps=100_000), None, None, None, Compute()
    )


def mapped_cold(images: CachedImages, repeats: int) -> Ratio:
    """Return times of a batch as in `mapped`, by the clock, if its pages must be read from disk."""
    draw, found = np.random.default_rng(0), []
    for _ in range(repeats):
        index = draw.integers(0, images.shape[0], 64)
        taken = []
        for read in (_read_mapped, CachedImages.take):
            with (images.folder / "pixels.bin").open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            began = time.perf_counter()
            read(images, index)
            taken.append(time.perf_counter() - began)
        found.append(taken[0] / taken[1])
    return found


def _read_mapped(images: CachedImages, index: np.ndarray) -> np.ndarray:
    file = images.folder / "pixels.bin"
    return np.asarray(np.memmap(file, np.uint8, "r", shape=images.shape)[index])


def input_share(stage: _Training, repeats: int) -> Ratio:
    """Return the time of a step's batches divided by the time of the step."""

    def step() -> None:
        stage.advance()
        stage.step += 1

    def batches() -> list[Any]:
        return [stream.next().take() for stream in stage.streams.values()]

    seconds(step, 3)
    return ratio(batches, step, repeats)


def cores(folder: FilePath, contents: list[bytes], repeats: int) -> Ratio:
    """Return times of a preparation with one thread divided by those with one per core."""
    paths = []
    folder.mkdir()
    for i, content in enumerate(contents):
        (folder / f"{i}.jpg").write_bytes(content)
        paths.append(str(folder / f"{i}.jpg"))
    every, parts, found = preparation._cores, preparation._PART_IMAGES, []
    preparation._PART_IMAGES = 8

    def taken(threads: int) -> float:
        preparation._cores = lambda: threads
        with tempfile.TemporaryDirectory(dir=folder) as place, cache_in(FilePath(place)):
            began = time.perf_counter()
            prepare(paths, Fit(SIZE), "images", lambda _: None)
            return time.perf_counter() - began

    threads = every()
    for _ in range(repeats):
        found.append(taken(1) / taken(threads))
    preparation._cores, preparation._PART_IMAGES = every, parts
    return found


def measure(
    folder: FilePath, repeats: int, images: int = 2000, large: int = 96
) -> dict[str, Ratio]:
    """Return the ratios by name.

    folder: where files are written. images, large: numbers of small and large images.
    """
    small, big = blobs(64, SMALL, 32), blobs(large, LARGE, 64)
    found = {"decode small": decoding(small, repeats), "decode large": decoding(big[:8], repeats)}
    with cache_in(folder / "cache"):
        places = {f"domain{i}": write_images(folder, images + i) for i in range(4)}
        suite = mk.folders(places, resolution=32)
        cached = prepare(_paths(places["domain0"]), Fit(SIZE), "images")
        index = np.random.default_rng(0).integers(0, images, 64)
        found["cached"] = ratio(
            lambda: [decode(each, Fit(SIZE)) for each in small], lambda: cached.take(index), repeats
        )
        for batch in (32, 512):
            found[f"map {batch}"] = mapped(cached, batch, repeats)
        found["map cold"] = mapped_cold(cached, 3 * repeats)
        found["input"] = input_share(training(suite), repeats)
    found["cores"] = cores(folder / "large", big, repeats)
    return found


def _paths(folder: FilePath) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


# Starts -------------------------------------------------------------------------------------------


def start(folder: FilePath) -> dict[str, float]:
    """Begin with the images of a folder, and return seconds and megabytes."""
    _ = mk.folders, mk.Run, Source  # loads the kit
    base, began, clock = _peak(), time.process_time(), time.perf_counter()
    suite = mk.folders({"d": folder}, resolution=SIZE)
    suite.fingerprint()
    domain = suite["d"]
    stream = DomainStream(Source(domain.train, Standard.of(domain)), 64, 0, Augment())
    stream.next().take()
    found = {"cpu": time.process_time() - began, "clock": time.perf_counter() - clock}
    for _ in range(300):
        stream.next().take()
    return {**found, "megabytes": _peak() - base}


def _peak() -> float:
    """Return the peak resident memory of this process in megabytes (Linux only)."""
    status = FilePath("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def starts(folder: FilePath, counts: list[int]) -> dict[str, dict[str, float]]:
    """Return what starts need, by line. Each is a process of its own."""
    found = {}
    for count in counts:
        images = write_images(folder, count)
        with cache_in(folder / "cache"):
            paths = sorted(images.glob("*/*.jpg"), key=lambda p: (p.parent.name, int(p.stem)))
            prepare([str(path) for path in paths], Fit(SIZE), f"{count} images")
            for file in (folder / "cache" / "suites").glob("*"):
                file.unlink()
            command = [sys.executable, __file__, "--start", str(images)]
            for line in ("first", "later"):
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[f"{line} {count}"] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print the tables; with --json also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--starts", type=int, nargs="*", default=[10_000])
    parser.add_argument("--keep", type=FilePath, metavar="FOLDER")
    parser.add_argument("--json", type=FilePath, metavar="FILE")
    parser.add_argument("--start", type=FilePath, help="print only what one start needs")
    given = parser.parse_args()
    with reproducible(1, 32):
        if given.start is not None:
            print(json.dumps(start(given.start)))
            return
        with tempfile.TemporaryDirectory() as place:
            ratios = measure(FilePath(place), given.repeats)
            begun = starts(given.keep or FilePath(place), given.starts)
    print(f"{'A / B':15} {'median':>8} {'least':>8} {'most':>8}  goal")
    for name, values in ratios.items():
        figures = (statistics.median(values), min(values), max(values))
        goal = f"{GOALS[name][0]} {GOALS[name][1]:g}" if name in GOALS else ""
        print(f"{name:15} {figures[0]:8.3f} {figures[1]:8.3f} {figures[2]:8.3f}  {goal}".rstrip())
    print(f"\n{'start':15} {'cpu s':>8} {'clock s':>8} {'MB':>8}")
    for name, row in begun.items():
        print(f"{name:15} {row['cpu']:8.2f} {row['clock']:8.2f} {row['megabytes']:8.0f}")
    if given.json is not None:
        given.json.write_text(json.dumps({"ratios": ratios, "starts": begun}, indent=2))


if __name__ == "__main__":
    main()
