"""Shards: the Arrow and Parquet files of a Hugging Face data set on this machine.

The library `datasets` says what the columns are, and maps Arrow files into memory. Of a Parquet
file, every thread holds one row group at a time. Image columns are never decoded by the library:
`content` gives the bytes of an image as they are. Nothing is downloaded, unpickled or executed.
"""

import bisect
import importlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mpnas_kit import files
from mpnas_kit.domains.decoding import BadImage
from mpnas_kit.errors import MpnasError, one_line

_END = b"\xff\xff\xff\xff\0\0\0\0"  # of every whole Arrow file; pyarrow reads cut ones in silence


class Held(threading.local):
    """What a thread holds of Parquet files: the images of the row group that it read last.

    of: file, position of the row group, and column.
    images: its images (see `Shard.images`).
    """

    of: tuple[str, int, str] | None = None
    images: Any = None


class Shard:
    """A file of a data set. `open_shard` returns one.

    path: its absolute path.
    name: its path inside of the data set.
    stamp: its stamp when it was opened.
    held: what threads hold (see `open_shard`).
    features: type of every column, by name, as `datasets` describes it.
    starts: first row of every row group, and at last the number of all rows.
    """

    features: dict[str, Any]
    starts: list[int]

    def __init__(self, path: str, name: str, held: Held) -> None:
        self.path, self.name, self.stamp = path, name, files.stamp(path)
        self.held = held

    def values(self, column: str) -> list[Any]:
        """Return the values of a column that has no images."""
        raise NotImplementedError

    def images(self, group: int, column: str) -> Any:
        """Return the images of a row group, as an Arrow array of {bytes, path}."""
        raise NotImplementedError

    def may_lack_bytes(self, group: int, column: str) -> bool:
        """Return whether an image of a row group may have no bytes, as far as is known."""
        raise NotImplementedError


class ImageColumn:
    """The images in a column of a shard (see `Rows`).

    shard: the file.
    column: name of the column.
    """

    def __init__(self, shard: Shard, column: str) -> None:
        self._shard, self._column = shard, column
        self.path, self.stamp = shard.path, shard.stamp

    def content(self, row: int) -> bytes:
        """Return the content of the image in a row, from 0. Raises `BadImage` with the reason."""
        group = bisect.bisect_right(self._shard.starts, row) - 1
        try:
            images = self._shard.images(group, self._column)
            content = images[row - self._shard.starts[group]]["bytes"].as_py()
        except Exception as error:  # pyarrow has many classes of errors
            raise BadImage(f"its file cannot be read ({one_line(error)[:120]})") from None
        if content is None:
            raise BadImage("it has no bytes, and no path of a file on this machine")
        return bytes(content)

    def paths(self) -> dict[int, str | None]:
        """Return the path of every image that has no bytes, by its row. Bytes are not loaded."""
        (pc,) = _libraries("pyarrow.compute")
        found: dict[int, str | None] = {}
        with shard_errors(self._shard.path):
            for group, start in enumerate(self._shard.starts[:-1]):
                if not self._shard.may_lack_bytes(group, self._column):
                    continue
                images = self._shard.images(group, self._column)
                lacks = pc.is_null(pc.struct_field(images, "bytes")).to_numpy().nonzero()[0]
                paths = pc.struct_field(images, "path").take(lacks).to_pylist()
                found |= dict(zip((start + lacks).tolist(), paths, strict=True))
        return found


def open_shard(path: str, name: str, held: Held) -> Shard:
    """Return a shard whose columns are known and whose images are not read yet.

    path: absolute path of an Arrow or Parquet file.
    name: its path inside of the data set, for messages.
    held: what threads hold, one object for all shards of a domain.

    Raises `MpnasError` if the file cannot be read, or `datasets` is not installed.
    """
    make = _ParquetShard if path.endswith(".parquet") else _ArrowShard
    with shard_errors(path), _offline():
        return make(path, name, held)


class _ArrowShard(Shard):
    """An Arrow file, mapped into memory. All of it is one group."""

    def __init__(self, path: str, name: str, held: Held) -> None:
        super().__init__(path, name, held)
        datasets, pyarrow = _libraries("datasets", "pyarrow")
        with pyarrow.memory_map(path) as file:
            file.seek(max(0, file.size() - len(_END)))
            if file.read() != _END:
                raise MpnasError(f"{path} is cut short: copy it again.")
        dataset = datasets.Dataset.from_file(path)
        self.features, self._table = dict(dataset.features), dataset.data.table
        self.starts = [0, dataset.num_rows] if dataset.num_rows else [0]
        self._images: dict[str, Any] = {}

    def values(self, column: str) -> list[Any]:
        with shard_errors(self.path):
            values: list[Any] = self._table.column(column).to_pylist()
            return values

    def images(self, group: int, column: str) -> Any:
        if column not in self._images:
            self._images[column] = _as_images(self._table.column(column))
        return self._images[column]

    def may_lack_bytes(self, group: int, column: str) -> bool:
        return True


class _ParquetShard(Shard):
    """A Parquet file. Row groups are read when they are needed."""

    def __init__(self, path: str, name: str, held: Held) -> None:
        super().__init__(path, name, held)
        datasets, self._parquet = _libraries("datasets", "pyarrow.parquet")
        with self._parquet.ParquetFile(path) as file:
            self._metadata = file.metadata
            self.features = dict(datasets.Features.from_arrow_schema(file.schema_arrow))
        sizes = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        self.starts = [0, *itertools.accumulate(sizes)]

    def _file(self) -> Any:
        """Open the file. Several threads cannot share one that is open."""
        return self._parquet.ParquetFile(self.path, metadata=self._metadata)

    def values(self, column: str) -> list[Any]:
        with shard_errors(self.path), self._file() as file:
            values: list[Any] = file.read([column], use_threads=False).column(column).to_pylist()
            return values

    def images(self, group: int, column: str) -> Any:
        of = (self.path, group, column)
        if self.held.of != of:
            self.held.of, self.held.images = None, None  # two groups need twice the memory
            with self._file() as file:
                part = file.read_row_group(group, [column], use_threads=False).column(column)
            self.held.images, self.held.of = _as_images(part), of
        return self.held.images

    def may_lack_bytes(self, group: int, column: str) -> bool:
        if is_text(self.features[column]):  # of paths
            return True
        about = self._metadata.row_group(group)
        for i in range(about.num_columns):
            part = about.column(i)
            if part.path_in_schema in (column, f"{column}.bytes"):
                known = part.is_stats_set and part.statistics.has_null_count
                return not known or part.statistics.null_count > 0
        return True


def _as_images(column: Any) -> Any:
    """Return a column of images in any form that `datasets` knows as an array of {bytes, path}."""
    pyarrow, datasets = _libraries("pyarrow", "datasets")
    image = datasets.Image(decode=False)
    parts = [image.cast_storage(part) for part in column.chunks]
    return pyarrow.chunked_array(parts, image.pa_type)


def is_text(feature: Any) -> bool:
    """Return whether a column has text."""
    return getattr(feature, "dtype", None) in ("string", "large_string")


def is_image(feature: Any) -> bool:
    """Return whether a column has images: the feature `Image`, or a struct that it is stored as."""
    is_stored = isinstance(feature, dict) and {"bytes"} <= feature.keys() <= {"bytes", "path"}
    return type(feature).__name__ == "Image" or is_stored


def is_binary(feature: Any) -> bool:
    """Return whether a column has bytes."""
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def is_whole(feature: Any) -> bool:
    """Return whether a column has whole numbers, but no names for them."""
    is_value = type(feature).__name__ == "Value"
    return is_value and feature.dtype.startswith(("int", "uint"))


def class_names(feature: Any) -> list[str] | None:
    """Return the names of the classes of a column `ClassLabel`, otherwise None."""
    return list(feature.names) if type(feature).__name__ == "ClassLabel" else None


def _libraries(*names: str) -> list[Any]:
    """Return modules of the extra `hf`. Raises `MpnasError` if one is not installed."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError:
        raise MpnasError(
            "data sets of Hugging Face need packages that are not installed: pip install "
            "'mpnas-kit[hf]'."
        ) from None


@contextmanager
def _offline() -> Iterator[None]:
    """Inside, the libraries of Hugging Face refuse to use the network. Later all is as before."""
    modules = _libraries("datasets.config", "huggingface_hub.constants")
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


@contextmanager
def shard_errors(path: str) -> Iterator[None]:
    """Turn every error of pyarrow and `datasets` into one sentence that names the file."""
    try:
        yield
    except MpnasError:
        raise
    except Exception as error:  # both have many classes of errors
        raise MpnasError(f"{path} cannot be read: {one_line(error)[:160]}.") from None
