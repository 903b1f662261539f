"""Data sets of Hugging Face as the tests write them, and folders of the same images."""

import contextlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets


def data_set(
    rows: Iterable[tuple[Path, str]],
    *,
    named: bool = True,
    embedded: bool = True,
    order: Iterable[str] | None = None,
    more: Mapping[str, list[Any]] | None = None,
) -> "datasets.Dataset":
    """A data set of image files and their classes.

    named: whether labels are a `ClassLabel`, otherwise text.
    embedded: whether rows have the bytes of the files, otherwise their paths.
    order: names of a `ClassLabel`, in its order; None: as they are first seen.
    more: other columns.
    """
    files, labels = zip(*rows, strict=True)
    names = list(order or dict.fromkeys(labels))
    images = [
        {"bytes": file.read_bytes(), "path": file.name}
        if embedded
        else {"bytes": None, "path": str(file)}
        for file in files
    ]
    label = datasets.ClassLabel(names=names) if named else datasets.Value("string")
    columns = {"image": images, "label": [names.index(x) if named else x for x in labels]}
    kinds = {"image": datasets.Image(decode=False), "label": label}
    found = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    for name, values in (more or {}).items():
        found = found.add_column(name, values)
    return found


def save(data: Any, folder: Path, **options: Any) -> Path:
    """Write a data set as `save_to_disk` does, without its progress bars."""
    with contextlib.redirect_stderr(io.StringIO()):
        data.save_to_disk(folder, **options)
    return folder


def save_parquet(data: "datasets.Dataset", folder: Path, split: str, count: int = 1) -> Path:
    """Write a data set as Parquet files, as the Hub names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        name = f"{split}-{i:05d}-of-{count:05d}.parquet"
        with contextlib.redirect_stderr(io.StringIO()):
            part = data.shard(count, i, contiguous=True)
            part.to_parquet(folder / name, batch_size=3)  # several row groups
    return folder
