"""Latency files: CSV files of measured times, one row per distinct unit of work.

    # device: Pixel 8
    # runtime: onnxruntime 1.32.0
    # threads: 1
    # batch: 1
    block,in_channels,out_channels,stride,resolution,milliseconds,spread
    call,3,10,1,32,0.0093,0.0004
    conv,3,8,2,32,0.0036,0.0002
    "inverted_bottleneck(kernel=5, activation='hardswish')",8,8,1,16,0.0051,0.0003

| column         | content                                                          |
|----------------|------------------------------------------------------------------|
| `block`        | text form of the block (see `block_words`), or `call`            |
| `in_channels`  | width of its input; 3 for `call`                                 |
| `out_channels` | width of its output; the number of classes for `call`            |
| `stride`       | its stride; 1 for `call`                                         |
| `resolution`   | height and width of its input map; of the images for `call`      |
| `milliseconds` | time for one image; empty: not measured yet                      |
| `spread`       | optional: median over the measurements, less the smallest one    |

A row `call` is what every call of a network costs besides its blocks: the call itself,
normalisation, global pooling and classifier. There is one per resolution of images.

Lines before the header that begin with `#` are notes, `name: text`. A file may have rows for
several resolutions, and for several spaces.
"""

import csv
import io
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple

from mpnas_kit import files
from mpnas_kit.errors import MpnasError, reason, short, unknown
from mpnas_kit.space.block import Block, Width
from mpnas_kit.space.layers import Stride, Use
from mpnas_kit.space.space import Resolution
from mpnas_kit.space.texts import block_text
from mpnas_kit.values import Range, convert_plain

Milliseconds = Annotated[float, Range(0, 1e9)]
CALL = "call"  # block of the rows for what every call costs
_SIZES = {
    "in_channels": Width,
    "out_channels": Width,
    "stride": Stride,
    "resolution": Resolution,
}
_NEEDED, _MORE = ("block", *_SIZES, "milliseconds"), "spread"
_LARGEST = 100 << 20  # bytes of a file


class Unit(NamedTuple):
    """A unit of work, of which a table has one row.

    block: text form of the block without its module, or `call`.
    in_channels, out_channels: widths of input and output, channels.
    stride: stride.
    resolution: height and width of the input map, pixels.
    """

    block: str
    in_channels: int
    out_channels: int
    stride: int
    resolution: int

    @classmethod
    def of(cls, use: Use) -> "Unit":
        """Return the unit of work of a block as a path uses it."""
        words = block_words(use.block)
        return cls(words, use.in_channels, use.out_channels, use.stride, use.size)

    def row(self) -> str:
        """Return the unit as it begins its row in the file.

        >>> Unit("conv(kernel=5)", 3, 8, 2, 32).row()
        'conv(kernel=5),3,8,2,32'
        """
        return csv_line(self)


class Time(NamedTuple):
    """A measured time for one image.

    milliseconds: the smallest of the measurements.
    spread: their median, less the smallest one, milliseconds; None: not known.
    """

    milliseconds: float
    spread: float | None = None


@dataclass(frozen=True)
class LatencyFile:
    """The content of a latency file.

    notes: device, runtime and other notes, by name.
    times: measured time of every unit, in the order of the rows; None: not measured yet.
    """

    notes: Mapping[str, str]
    times: Mapping[Unit, Time | None]

    def text(self) -> str:
        """Return the text of the file."""
        notes = [f"# {name}: {words}" for name, words in self.notes.items()]
        rows = [csv_line((*_NEEDED, _MORE))]
        for unit, time in self.times.items():
            figures = ("", "") if time is None else (_figure(time[0]), _figure(time[1]))
            rows.append(csv_line((*unit, *figures)))
        return "\n".join([*notes, *rows]) + "\n"


def block_words(block: Block) -> str:
    """Return the text form of a block, without the module or file of a block of your own.

    So a table is the same on every machine. A block without a text form is shown by its name.

    >>> block_words(mk.InvertedBottleneck(kernel=5, se=True))
    'inverted_bottleneck(kernel=5, se=True)'
    """
    try:
        return _block_words(block)  # type: ignore[arg-type] # else it raises
    except TypeError:  # it cannot be hashed
        return _block_words.__wrapped__(block)


@cache
def _block_words(block: Block) -> str:
    try:
        head, bracket, rest = block_text(block).partition("(")
    except MpnasError:
        return block.name
    return head.rpartition(":")[2] + bracket + rest


def read_latency_file(path: pathlib.Path) -> LatencyFile:
    """Return the content of a latency file. Raises `MpnasError` as `parse_latency` does."""
    return parse_latency(files.read_bytes(path), path)


def parse_latency(content: bytes, path: pathlib.Path) -> LatencyFile:
    """Return the content of a latency file that was read.

    content: the file: UTF-8, with commas or semicolons.
    path: where it is, for an error.

    Raises `MpnasError` if it is not a table, a column is missing or unknown, or it has no rows. The
    error names the line of a wrong number, of a negative time and of a repeated row.
    """
    notes, rows = noted_rows(content, path, _NEEDED, (_MORE,))
    times: dict[Unit, Time | None] = {}
    first: dict[Unit, str] = {}
    for where, fields in rows:
        unit, time = _unit(fields, where), _time(fields, where)
        if unit in times:
            raise MpnasError(f"{where} repeats the row of {first[unit].rpartition(', ')[2]}.")
        first[unit] = where
        times[unit] = time
    _one_call_per_resolution(first)
    if not times:
        raise MpnasError(f"{path} has no rows: expected one per unit of work.")
    return LatencyFile(notes, times)


def noted_rows(
    content: bytes, path: pathlib.Path, needed: Sequence[str], more: Sequence[str] = ()
) -> tuple[dict[str, str], Iterator[tuple[str, dict[str, str]]]]:
    """Return the notes of a CSV file, and its rows: the place of a row, and its fields by column.

    content: the file: UTF-8, with commas or semicolons.
    path: where it is, for an error.
    needed, more: columns that it must have, and that it may have.

    Raises `MpnasError` if it is not a table, or a column is missing or unknown.
    """
    if len(content) > _LARGEST:
        raise MpnasError(f"{path} has more than 100 MB: expected a table of measured times.")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise MpnasError(f"{path} is not UTF-8 text: save it as CSV in UTF-8.") from None
    notes: dict[str, str] = {}
    begin = 0  # the line of the header
    while begin < len(lines) and (not lines[begin].strip() or lines[begin].startswith("#")):
        line = lines[begin]
        begin += 1
        name, colon, words = line.lstrip("# ").partition(":")
        if colon:
            notes[name.strip()] = words.strip()
    return notes, _rows(lines, begin, path, needed, more)


def _rows(
    lines: list[str], begin: int, path: pathlib.Path, needed: Sequence[str], more: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    head = lines[begin] if begin < len(lines) else ""
    sign = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader((f"{line}\n" for line in lines[begin:]), delimiter=sign, strict=True)
    columns: list[str] | None = None
    try:
        for fields in reader:
            where = f"{path}, line {begin + reader.line_num}"
            if not any(field.strip() for field in fields):
                continue
            if columns is None:
                columns = [field.strip() for field in fields]
                _require_columns(columns, path, needed, more)
            elif len(fields) != len(columns):
                raise MpnasError(
                    f"{where} has {len(fields)} fields: expected {len(columns)}, as in the header. "
                    "Put text with commas in quotes."
                )
            else:
                yield where, dict(zip(columns, map(str.strip, fields), strict=True))
    except csv.Error as error:
        line = begin + reader.line_num
        raise MpnasError(f"{path}, line {line} cannot be read: {reason(error)}.") from None


def _require_columns(
    names: list[str], path: pathlib.Path, needed: Sequence[str], more: Sequence[str]
) -> None:
    for name in names:
        if name not in (*needed, *more):
            raise unknown(f"column of {path}", name, (*needed, *more))
        if names.count(name) > 1:
            raise MpnasError(f"{path} has the column {name!r} twice.")
    for name in needed:
        if name not in names:
            raise MpnasError(f"{path} has no column {name!r}: expected {', '.join(needed)}.")


def _unit(fields: Mapping[str, str], where: str) -> Unit:
    block = fields["block"]
    if not block.isprintable() or not 0 < len(block) <= 1000:
        raise MpnasError(
            f"{where}: block {short(block)} is none: expected the text form of a block, or {CALL}."
        )
    sizes = (convert_plain(fields[n], hint, f"{where}: {n}") for n, hint in _SIZES.items())
    return Unit(block, *sizes)


def _time(fields: Mapping[str, str], where: str) -> Time | None:
    given = fields["milliseconds"]
    if not given:
        return None
    spread = fields.get(_MORE) or None
    return Time(
        convert_plain(given, Milliseconds, f"{where}: milliseconds"),
        spread and convert_plain(spread, Milliseconds, f"{where}: {_MORE}"),
    )


def _one_call_per_resolution(first: Mapping[Unit, str]) -> None:
    """Raise `MpnasError` if two rows `call` have the same resolution."""
    seen: set[int] = set()
    for unit, where in first.items():
        if unit.block == CALL:
            if unit.resolution in seen:
                raise MpnasError(
                    f"{where} is another row {CALL!r} for {unit.resolution} px: expected one per "
                    "resolution."
                )
            seen.add(unit.resolution)


def csv_line(fields: Iterable[object]) -> str:
    """Return fields as a line of a CSV file, without its end."""
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(fields)
    return written.getvalue()


def _figure(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.6g}"
