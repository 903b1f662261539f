"""Manifests: tables that list images, one row per image.

| column   | content                                                                   |
|----------|---------------------------------------------------------------------------|
| `path`   | file, relative to the folder of the manifest, or absolute                 |
| `label`  | name of the class                                                         |
| `domain` | name of the domain; default: all rows are one domain, named as the file   |
| `split`  | `train`, `val` or `test`; empty: the kit decides                          |
| `group`  | images of one group stay in one split, such as those of one patient       |

Other columns are ignored. The form follows the end of the name: `.csv`, `.tsv`, `.jsonl` (one JSON
object per line) or `.parquet`.
"""

import csv
import io
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpnas_kit import files
from mpnas_kit.domains.listing import SPLIT_NAMES, Listed, Listing, domain_name, natural
from mpnas_kit.domains.sources import Source
from mpnas_kit.errors import MpnasError, reason, short, unknown

MANIFESTS = (".csv", ".tsv", ".jsonl", ".parquet")
_NEEDED, _MORE = ("path", "label"), ("domain", "split", "group")
Row = tuple[str, Mapping[str, Any]]  # where it is, for an error; its fields


def read_manifest(path: pathlib.Path, domains: Sequence[str] | None = None) -> list[Listing]:
    """Return the images that a manifest lists, by domain.

    path: the manifest.
    domains: names of the domains to return, in order; None: all, in natural order.

    Raises `MpnasError` if it cannot be read, a column is missing, or a domain is unknown. The
    error names the line of an empty field, a wrong split or a repeated image.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise MpnasError(f"{path} is no manifest: expected a name that ends in {_ends()}.")
    only = domain_name(path.stem, path)
    found: dict[str, list[Listed]] = {}
    seen: dict[tuple[str, Source], str] = {}
    names: dict[str, str] = {}
    for where, row in reader(path):
        given = _text(row, "domain", where) or only
        if given not in names:
            names[given] = domain_name(given, where)
        domain = names[given]
        image = _image(path, row, where)
        first = seen.setdefault((domain, image.source), where)
        if first != where:
            raise MpnasError(f"{where} repeats the image {short(image.name)} of {first}.")
        found.setdefault(domain, []).append(image)
    if not found:
        raise MpnasError(f"{path} has no rows: expected one per image.")
    for domain in domains or ():
        if domain not in found:
            raise unknown(f"domain in {path}", domain, found)
    return [Listing.of(domain, found[domain]) for domain in domains or sorted(found, key=natural)]


def _image(path: pathlib.Path, row: Mapping[str, Any], where: str) -> Listed:
    for name in _NEEDED:
        if not _text(row, name, where):
            raise MpnasError(f"{where}: {name} is empty: expected a value in every row.")
    file, split = _text(row, "path", where), _text(row, "split", where)
    if not _can_be_path(file):
        raise MpnasError(f"{where}: path {short(file)} cannot be the path of a file.")
    if split and split.lower() not in SPLIT_NAMES:
        raise unknown(f"split in {where},", split, ("train", "val", "test"))
    return Listed(
        os.path.normpath(path.parent / file),
        file,
        _text(row, "label", where),
        SPLIT_NAMES[split.lower()] if split else None,
        _text(row, "group", where) or None,
    )


def _can_be_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a field as text; empty if there is none."""
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise MpnasError(f"{where}: {name} must be text or a whole number, not {short(value)}.")


def _require(columns: Sequence[str], path: pathlib.Path) -> None:
    for name in _NEEDED:
        if name not in columns:
            listed = ", ".join(map(str, columns)) or "none"
            raise MpnasError(
                f"{path} has no column {name!r}: its columns are {short(listed)[1:-1]}. Expected "
                f"{', '.join(_NEEDED)}, and perhaps {', '.join(_MORE)}."
            )


def _csv(path: pathlib.Path) -> Iterator[Row]:
    content = files.read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MpnasError(f"{path}, line {line}: it is not UTF-8 text: save it as UTF-8.") from None
    head = text.partition("\n")[0]
    sign = (
        "\t" if path.suffix.lower() == ".tsv" else ";" if head.count(";") > head.count(",") else ","
    )
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    columns: list[str] | None = None
    try:
        for fields in lines:
            where = f"{path}, line {lines.line_num}"
            if not any(field.strip() for field in fields):
                continue
            if columns is None:
                columns = [field.strip().lower() for field in fields]
                _require(columns, path)
                for name in (*_NEEDED, *_MORE):
                    if columns.count(name) > 1:
                        raise MpnasError(f"{path} has the column {name!r} twice.")
            elif len(fields) != len(columns):
                raise MpnasError(
                    f"{where} has {len(fields)} fields: expected {len(columns)}, as in the first "
                    "line. Put a field with commas in quotes."
                )
            else:
                yield where, dict(zip(columns, fields, strict=True))
    except csv.Error as error:
        where = f"{path}, line {lines.line_num}"
        raise MpnasError(f"{where} cannot be read: {reason(error)}.") from None


def _jsonl(path: pathlib.Path) -> Iterator[Row]:
    content = files.read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            where = f"{path}, line {number}"
            row = files.parse_json(line, dict[str, Any], where)
            for name in _NEEDED:
                if name not in row:
                    raise MpnasError(f"{where} has no {name!r}: its keys are {', '.join(row)}.")
            yield where, row


def _parquet(path: pathlib.Path) -> Iterator[Row]:
    import pandas as pd

    content = io.BytesIO(files.read_bytes(path))
    try:
        table = pd.read_parquet(content, engine="pyarrow", dtype_backend="pyarrow")
    except ImportError:
        raise MpnasError(
            f"{path} needs a library that is not installed: pip install 'mpnas-kit[parquet]'."
        ) from None
    except Exception as error:  # pyarrow has many classes of errors
        raise MpnasError(f"{path} cannot be read: {reason(error)}.") from None
    _require(list(table.columns), path)
    used = [name for name in (*_NEEDED, *_MORE) if name in table.columns]
    columns = [table[name].astype(object).where(table[name].notna(), None) for name in used]
    for number, fields in enumerate(zip(*columns, strict=True), 1):
        yield f"{path}, row {number}", dict(zip(used, fields, strict=True))


def _ends() -> str:
    return f"{', '.join(MANIFESTS[:-1])} or {MANIFESTS[-1]}"
