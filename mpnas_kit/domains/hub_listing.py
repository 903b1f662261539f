"""Listing of Hugging Face data sets: which images a data set on this machine holds.

SET/dataset_dict.json, SET/train/...        what `DatasetDict.save_to_disk` writes
SET/state.json, SET/data-00000-of-00001.arrow    what `Dataset.save_to_disk` writes
SET/train-00000-of-00002.parquet            Parquet files, also in SET/data or in SET/train
ROOT/SET/...                                a folder of data sets: each is a domain
"""

import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mpnas_kit import files
from mpnas_kit.domains.listing import SPLIT_NAMES, Listed, Listing, domain_name, natural
from mpnas_kit.domains.shards import (
    Held,
    ImageColumn,
    Shard,
    class_names,
    is_binary,
    is_image,
    is_text,
    is_whole,
    open_shard,
)
from mpnas_kit.domains.sources import Row, Source
from mpnas_kit.errors import MpnasError, short, unknown

_DICT, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"
_NUMBERED = re.compile(r"(?P<start>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.(arrow|parquet)")
_SHOWN = 5  # names that a message shows


class Columns(NamedTuple):
    """Names of the columns that are used. None: found by their types and names.

    image: bytes or paths of images.
    label: classes.
    group: rows with one value stay in one split.
    """

    image: str | None = None
    label: str | None = None
    group: str | None = None


class _Dict(msgspec.Struct):
    """The file dataset_dict.json."""

    splits: list[str]


class _File(msgspec.Struct):
    filename: str


class _State(msgspec.Struct):
    """The file state.json."""

    files: list[_File] = msgspec.field(name="_data_files")


def is_data_set(folder: str) -> bool:
    """Return whether a folder is a data set beyond doubt: it is not one of class folders.

    It is what the library saved, or has Parquet files, and every folder in it has nothing else: a
    table of images may be a Parquet file beside their folders.
    """
    inside = (f"{folder}/{name}" for name in _folders(folder))
    return _is_saved(folder) or (_has_parquet(folder) and all(map(_has_only_parquet, inside)))


def holds_data_sets(folder: str) -> bool:
    """Return whether a folder is a data set, or has data sets in it (see `is_data_set`)."""
    return is_data_set(folder) or any(is_data_set(f"{folder}/{name}") for name in _folders(folder))


def _can_be_data_set(folder: str) -> bool:
    return _is_saved(folder) or _has_parquet(folder)


def _is_saved(folder: str) -> bool:
    names = {entry.name for entry in _entries(folder)}
    return _DICT in names or {_STATE, _INFO} <= names


def _has_parquet(folder: str) -> bool:
    return bool(_parquet_files(folder))


def _has_only_parquet(folder: str) -> bool:
    entries = _entries(folder)
    return bool(entries) and all(entry.name.endswith(".parquet") for entry in entries)


def list_data_sets(folder: str, domains: Sequence[str] | None, columns: Columns) -> list[Listing]:
    """Return the images of a data set, or of a folder of data sets.

    folder: absolute path.
    domains: names of the domains to list, in order; None: all, in natural order.
    columns: the columns that are used.

    Raises `MpnasError` if there is no data set, a domain is unknown, or a data set cannot be used.
    """
    named: dict[str, str] = {}
    inside = [f"{folder}/{name}" for name in _folders(folder)]
    for path in [folder] if _can_be_data_set(folder) else filter(_can_be_data_set, inside):
        name = domain_name(os.path.basename(path), path)
        if name in named:
            raise MpnasError(
                f"{named[name]} and {path} would both be the domain {name!r}: rename one of them."
            )
        named[name] = path
    if not named:
        _refuse_script(folder)
        raise MpnasError(
            f"{folder} has no data set: expected what `save_to_disk` writes, Parquet files such as "
            "train-00000-of-00001.parquet, or folders of these."
        )
    for name in domains or ():
        if name not in named:
            raise unknown("domain", name, named)
    return [list_data_set(named[name], name, columns) for name in domains or named]


def list_data_set(folder: str, domain: str, columns: Columns) -> Listing:
    """Return the images of one data set. None of them is decoded.

    folder: absolute path.
    domain: name of the domain.
    columns: the columns that are used.

    Raises `MpnasError` that names the file, and the row if it is one, if a file or a column cannot
    be used, a label is missing, or the data set has a loading script.
    """
    _refuse_script(folder)
    held = Held()
    notices: list[str] = []
    images: list[Listed] = []
    names: dict[str, None] = {}  # of all classes that the files name
    for split, shards in _splits(folder, domain, notices).items():
        opened = [open_shard(f"{folder}/{name}", name, held) for name in shards]
        used = [_used(shard, columns) for shard in opened]
        labels = [_labels(shard, each.label) for shard, each in zip(opened, used, strict=True)]
        if split is not None and not any(label for own in labels for label in own):
            notices.append(f"domain {domain!r}: split {split} has no labels and is left out.")
            continue
        for shard, each, own in zip(opened, used, labels, strict=True):
            own_names = class_names(shard.features[each.label]) or ()
            names |= dict.fromkeys(name.strip() for name in own_names)
            images += _rows(folder, shard, each, own, split)
    labelled = {image.label for image in images}
    without = [name for name in names if name not in labelled]
    if without:
        shown = ", ".join(short(name) for name in without[:_SHOWN])
        more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        notices.append(
            f"domain {domain!r}: {len(without)} of {len(names)} named classes have no image: "
            f"{shown}{more}."
        )
    return Listing.of(domain, images, notices)


# Files --------------------------------------------------------------------------------------------


def _splits(folder: str, domain: str, notices: list[str]) -> dict[str | None, list[str]]:
    """Return the files of every split, relative to the folder. None: the kit decides the splits."""
    inside = {entry.name for entry in _entries(folder)}
    if _DICT in inside:
        file = f"{folder}/{_DICT}"
        names = files.read_json(pathlib.Path(file), _Dict).splits
        for name in names:
            _require_plain(name, file)
        return _by_split({n: _saved(folder, f"{n}/") for n in names}, folder, domain, notices)
    if {_STATE, _INFO} <= inside:
        return {None: _saved(folder, "")}
    found: dict[str, list[str]] = {}
    for name in _parquet_files(folder):
        found.setdefault(_word(name), []).append(name)
    for shards in found.values():
        _require_all(folder, shards)
    if not any(word.lower() in SPLIT_NAMES for word in found):
        return {None: [name for shards in found.values() for name in shards]}
    return _by_split(found, folder, domain, notices)


def _by_split(
    found: Mapping[str, list[str]], folder: str, domain: str, notices: list[str]
) -> dict[str | None, list[str]]:
    """Return the files of train, val and test. Other splits become a notice."""
    splits: dict[str | None, str] = {}
    for name in found:
        split = SPLIT_NAMES.get(name.lower())
        if split is None:
            notices.append(
                f"domain {domain!r}: split {short(name)} is not used: expected train, val or test."
            )
        elif split in splits:
            raise MpnasError(
                f"{folder} has the splits {splits[split]!r} and {name!r}, which both mean the "
                f"{split} split: expected one of them."
            )
        else:
            splits[split] = name
    if "train" not in splits:
        raise MpnasError(f"{folder} has no split 'train', but {', '.join(found) or 'none'}.")
    return {split: found[name] for split, name in splits.items()}


def _saved(folder: str, above: str) -> list[str]:
    """Return the files that state.json names, as `save_to_disk` writes them."""
    file = f"{folder}/{above}{_STATE}"
    names = [each.filename for each in files.read_json(pathlib.Path(file), _State).files]
    for name in names:
        _require_plain(name, file)
    if not names:
        raise MpnasError(f"{file} names no files: expected Arrow files.")
    return [above + name for name in names]


def _require_plain(name: str, where: str) -> None:
    """Raise `MpnasError` unless a name is that of a file or folder beside the one that has it."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise MpnasError(f"{where} names {short(name)}: expected a name in the same folder.")


def _parquet_files(folder: str) -> list[str]:
    """Return the Parquet files of a data set, relative to it, in natural order.

    They are in the folder, in its folder `data`, or in folders that are named as splits.
    """
    here = [name for name in _folders(folder) if name == "data" or name.lower() in SPLIT_NAMES]
    places = ["", *(f"{name}/" for name in here)]
    found = [
        above + entry.name
        for above in places
        for entry in _entries(f"{folder}/{above}")
        if entry.kind == "file" and entry.name.endswith(".parquet")
    ]
    return sorted(found, key=natural)


def _word(name: str) -> str:
    """Return the split that the name of a Parquet file begins with, or that of its folder."""
    above, _, own = name.rpartition("/")
    match = re.match(r"[A-Za-z]+", own)
    if match is not None and match[0].lower() in SPLIT_NAMES:
        return match[0]
    if above.lower() in SPLIT_NAMES:
        return above
    numbered = _NUMBERED.fullmatch(own)
    return numbered["start"] if numbered else own.removesuffix(".parquet")


def _require_all(folder: str, shards: Sequence[str]) -> None:
    """Raise `MpnasError` if a file is missing of those that were written together."""
    for name in shards:
        above, slash, own = name.rpartition("/")
        match = _NUMBERED.fullmatch(own)
        for number in range(int(match["count"])) if match else ():
            other = f"{match['start']}-{number:05d}-of-{match['count']}.{match[4]}"  # type: ignore[index]
            if above + slash + other not in shards:
                raise MpnasError(f"{folder}/{above}{slash}{other} is missing beside {own}.")


def _refuse_script(folder: str) -> None:
    """Raise `MpnasError` if a folder has Python files: no loading script is executed."""
    scripts = [e.name for e in _entries(folder) if e.kind == "file" and e.name.endswith(".py")]
    if scripts:
        raise MpnasError(
            f"{folder} has the Python file {scripts[0]!r}, which may be a loading script, and the "
            "kit executes none: expected Parquet files or what `save_to_disk` writes, and no "
            "Python files beside them."
        )


def _folders(folder: str) -> list[str]:
    """Return the names of the folders in a folder, in natural order."""
    return sorted((e.name for e in _entries(folder) if e.kind == "folder"), key=natural)


def _entries(folder: str) -> list[files.Entry]:
    return [entry for entry in files.entries_in(folder) if not entry.name.startswith(".")]


# Rows ---------------------------------------------------------------------------------------------


class _Used(NamedTuple):
    """The columns of a shard that are used (see `Columns`)."""

    image: str
    label: str
    group: str | None


def _used(shard: Shard, columns: Columns) -> _Used:
    features = shard.features
    for name in filter(None, columns):
        if name not in features:
            raise unknown(f"column of {shard.path}", name, features)
    image = columns.image or _only(shard, "image", [_having(features, is_image), _binary(features)])
    named = _having(features, lambda feature: class_names(feature) is not None)
    plain = [name for name in features if name in ("label", "labels")]
    label = columns.label or _only(shard, "label", [plain, named])
    group = columns.group or ("group" if "group" in features else None)
    if not (is_image(features[image]) or is_binary(features[image]) or is_text(features[image])):
        raise _wrong(shard, image, "images, bytes or paths")
    for name in filter(None, (label, group)):
        is_named = class_names(features[name]) is not None
        if not (is_named or is_text(features[name]) or is_whole(features[name])):
            raise _wrong(shard, name, "ClassLabel, text or whole numbers")
    return _Used(image, label, group)


def _having(features: Mapping[str, Any], kind: Callable[[Any], bool]) -> list[str]:
    return [name for name, feature in features.items() if kind(feature)]


def _binary(features: Mapping[str, Any]) -> list[str]:
    return _having(features, is_binary)


def _only(shard: Shard, option: str, found: Iterable[list[str]]) -> str:
    """Return the name in the first list that has one. Raises `MpnasError` if it has several."""
    names: list[str] = next(filter(None, found), [])
    if len(names) == 1:
        return names[0]
    listed = ", ".join(names or shard.features)
    why = "several columns" if names else "no column"
    raise MpnasError(
        f"{shard.path} has {why} that may be the {option}: {listed[:200]}. Name it with "
        f"{option}='...'."
    )


def _wrong(shard: Shard, column: str, expected: str) -> MpnasError:
    return MpnasError(
        f"{shard.path}: column {column!r} has {short(str(shard.features[column]))}: expected "
        f"{expected}."
    )


def _labels(shard: Shard, column: str) -> list[str | None]:
    """Return the class of every row; None: it has none."""
    names, values = class_names(shard.features[column]), shard.values(column)
    if names is None:
        return [None if value is None else str(value).strip() or None for value in values]
    found: list[str | None] = []
    for row, value in enumerate(values):
        if value is not None and not -1 <= value < len(names):
            raise MpnasError(
                f"{shard.path}, row {row}: {column} {value} is no class: expected 0 to "
                f"{len(names) - 1}."
            )
        found.append(None if value in (None, -1) else names[value].strip())
    return found


def _rows(
    folder: str, shard: Shard, used: _Used, labels: Sequence[str | None], split: str | None
) -> list[Listed]:
    """Return the images of a shard."""
    images = ImageColumn(shard, used.image)
    outside = images.paths()
    groups = shard.values(used.group) if used.group is not None else [None] * len(labels)
    found = []
    for row, (label, group) in enumerate(zip(labels, groups, strict=True)):
        if label is None:
            raise MpnasError(
                f"{shard.path}, row {row}: {used.label} is missing: expected a class in every row."
            )
        source: Source = Row(images, row)
        path = outside.get(row)
        if path is not None and "://" not in path and "\0" not in path:  # never from a network
            source = os.path.normpath(os.path.join(folder, path))
        text = None if group is None else str(group).strip() or None
        found.append(Listed(source, f"{shard.name} row {row}", label, split, text))
    return found
