"""Suites of a person's own images, from folders, a manifest or data sets of Hugging Face."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from mpnas_kit import files
from mpnas_kit.domains.cached_suite import DEFAULT_RESOLUTION, Bad, Parts, Treatment, suite_of
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.hub_listing import Columns, list_data_set, list_data_sets
from mpnas_kit.domains.known_suites import Origin
from mpnas_kit.domains.listing import domain_name, list_domain, list_folders
from mpnas_kit.domains.manifests import MANIFESTS, read_manifest
from mpnas_kit.domains.splitting import SHARES
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.values import SEED, Range, checked, convert_list, convert_text

_DEFAULTS = {  # of options that `Treatment` lacks; the resolution is never omitted
    "resolution": None,
    "bad": "stop",
    "image": None,
    "label": None,
    "official_val": "test",
}


@checked("folders")
def folders(
    path: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    domains: Sequence[str] | None = None,
    *,
    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION,
    how: Literal["crop", "pad", "stretch"] = "crop",
    channels: Literal[1, 3] | None = None,
    shares: Sequence[Any] = SHARES,
    group: str | None = None,
    seed: Annotated[int, SEED] = 0,
    bad: Bad = "stop",
    flip: bool = False,
    turn: bool = False,
) -> DomainSuite:
    """Return the images in a folder of domains, in the folder of one domain, or in several.

    A domain has class folders, or the folders `train`, `val` (or `valid`, `validation`) and `test`
    with class folders in them. Classes are in natural order over all splits. Splits that are
    missing are made: stratified by class, with duplicates in the same split. The images are decoded
    once, into the cache (see `files.cache_folder`).

    path: the folder; or the folder of each domain, by name.
    domains: names of the domains to return, in order; None: all.
    resolution: height and width of the images, pixels, 1 to 4096.
    how: how an image becomes square. `crop` keeps the middle, `pad` adds black at two sides,
    `stretch` changes the proportions.
    channels: 1 (grey) or 3 (RGB); None: 1 for domains whose images are all grey, otherwise 3.
    shares: shares of train, val and test where splits are missing. Their sum is 1.
    group: regular expression. Images whose file names match with the same text stay in one split.
    seed: seed of the random split, 0 to 2**32 - 1.
    bad: what happens if images cannot be read: `stop` raises an error with their number, `skip`
    leaves them out and lists them in `left_out` of the suite.
    flip: whether a mirrored image keeps its label.
    turn: whether an image that is turned by 90 degrees or mirrored keeps its label.

    Raises `MpnasError` if a folder has another layout or a value is wrong.

    >>> suite = mk.folders("photos", resolution=32)  # doctest: +SKIP
    """
    given = dict(resolution=resolution, how=how, channels=channels, shares=shares, group=group)
    treatment = Treatment(**given, seed=seed, flip=flip, turn=turn)  # type: ignore[arg-type]
    options = {**vars(treatment), "bad": bad}
    source = source_text("folders", path, options)
    names = None if domains is None else domain_list(domains)
    if isinstance(path, Mapping):
        named = _named_folders(path)
        for name in names or ():
            if name not in named:
                raise unknown("domain", name, named)
        chosen, title = [str(named[name]) for name in names or named], "folders"
    else:
        folder = require_folder(path)
        chosen, title = [str(folder)], folder.name

    def parts() -> Parts:
        if isinstance(path, Mapping):
            each = zip(names or named, chosen, strict=True)
            listings = [list_domain(inside, name) for name, inside in each]
        else:
            listings = list_folders(folder, names)
        return [(listing, treatment) for listing in listings]

    return suite_of(Origin(source, names, folders=tuple(chosen)), parts, title, bad)


@checked("table")
def table(
    path: str | os.PathLike[str],
    domains: Sequence[str] | None = None,
    *,
    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION,
    how: Literal["crop", "pad", "stretch"] = "crop",
    channels: Literal[1, 3] | None = None,
    shares: Sequence[Any] = SHARES,
    group: str | None = None,
    seed: Annotated[int, SEED] = 0,
    bad: Bad = "stop",
    flip: bool = False,
    turn: bool = False,
) -> DomainSuite:
    """Return the images that a CSV, TSV, JSONL or Parquet file lists.

    It has the columns `path` and `label`, and perhaps `domain`, `split` and `group`. Paths are
    relative to the file. Parquet needs the extra `parquet` of the package.

    path: the file.
    domains: names of the domains to return, in order; None: all, in natural order.
    resolution, how, channels, shares, seed, bad, flip, turn: see `folders`.
    group: regular expression on file names (see `folders`), for rows without a value in `group`.

    Raises `MpnasError` that names the line if the file cannot be read or a value is wrong.

    >>> suite = mk.table("photos.csv", resolution=32)  # doctest: +SKIP
    """
    given = dict(resolution=resolution, how=how, channels=channels, shares=shares, group=group)
    treatment = Treatment(**given, seed=seed, flip=flip, turn=turn)  # type: ignore[arg-type]
    source = source_text("table", path, {**vars(treatment), "bad": bad})
    names = None if domains is None else domain_list(domains)
    file = _absolute(path)

    def parts() -> Parts:
        return [(listing, treatment) for listing in read_manifest(file, names)]

    return suite_of(Origin(source, names, tables=(str(file),)), parts, file.stem, bad)


@checked("hub")
def hub(
    path: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    domains: Sequence[str] | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    resolution: Annotated[int, Range(1, 4096)] = DEFAULT_RESOLUTION,
    how: Literal["crop", "pad", "stretch"] = "crop",
    channels: Literal[1, 3] | None = None,
    shares: Sequence[Any] = SHARES,
    seed: Annotated[int, SEED] = 0,
    bad: Bad = "stop",
    flip: bool = False,
    turn: bool = False,
) -> DomainSuite:
    """Return the images of Hugging Face data sets that are on this machine.

    A data set is a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, or a
    folder of Parquet files whose names begin with their split, such as
    `train-00000-of-00002.parquet`, also in its folder `data`. Each is a domain. Nothing is
    downloaded, and no loading script is executed. It needs the extra `hf` of the package.

    Images are of the feature `Image`, with bytes or a path (relative to the data set), or bytes.
    Labels are `ClassLabel`, text or whole numbers. A split without labels is left out.

    path: a data set, or a folder of data sets; or the data set of each domain, by name.
    domains: names of the domains to return, in order; None: all, in natural order.
    image: column of the images; None: the only column that has images.
    label: column of the classes; None: `label` or `labels`, or the only `ClassLabel`.
    group: column whose equal values stay in one split; None: `group` if there is one.
    resolution, how, channels, shares, seed, bad, flip, turn: see `folders`.

    Raises `MpnasError` that names the file, and the row from 0, if a data set cannot be used.

    >>> suite = mk.hub("sets/birds", resolution=32)  # doctest: +SKIP
    """
    treatment = Treatment(resolution, how, channels, shares, seed=seed, flip=flip, turn=turn)  # type: ignore[arg-type]
    for name, column in (("image", image), ("label", label), ("group", group)):
        if column is not None:
            convert_text(column, name)
    columns = Columns(image, label, group)
    source = source_text("hub", path, {**vars(treatment), "bad": bad, **columns._asdict()})
    names = None if domains is None else domain_list(domains)
    if isinstance(path, Mapping):
        sets = _named_folders(path)
        for name in names or ():
            if name not in sets:
                raise unknown("domain", name, sets)
        chosen, title = [str(sets[name]) for name in names or sets], "hub"
    else:
        folder = require_folder(path)
        chosen, title = [str(folder)], folder.name

    def parts() -> Parts:
        if isinstance(path, Mapping):
            each = zip(chosen, names or sets, strict=True)
            listings = [list_data_set(inside, name, columns) for inside, name in each]
        else:
            listings = list_data_sets(str(folder), names, columns)
        return [(listing, treatment) for listing in listings]

    origin = Origin(source, names, folders=tuple(chosen), tables=tuple(chosen))
    return suite_of(origin, parts, title, bad)


def source_text(
    name: str,
    path: str | os.PathLike[str] | Mapping[str, Any],
    options: Mapping[str, Any],
) -> str:
    """Return the text that creates a suite again. Paths are absolute; `resolution` is always there.

    name: `folders`, `table`, `hub`, `decathlon` or `suite_file`.
    path: path, or paths by name of the domain.
    options: options by name. Those that have their default are omitted.
    """
    if isinstance(path, Mapping):
        where: Any = {str(domain): str(_absolute(each)) for domain, each in path.items()}
    else:
        where = str(_absolute(path))
    defaults = {**vars(Treatment()), **_DEFAULTS}
    if name == "decathlon":
        defaults["flip"] = None  # each domain has its own
    shown = {k: v for k, v in options.items() if not (k in defaults and _same(v, defaults[k]))}
    inside = ", ".join(f"{key}={value!r}" for key, value in {"path": where, **shown}.items())
    return f"{name}({inside})"


def _named_folders(path: Mapping[Any, Any]) -> dict[str, pathlib.Path]:
    """Return the absolute path of every domain's folder. Names of domains are distinct text."""
    named: dict[str, pathlib.Path] = {}
    for given, folder in path.items():
        name = domain_name(convert_text(given, "a name in path"), "path")
        if name in named:
            raise MpnasError(
                f"path names two folders for the domain {name!r}: expected names that differ in "
                "letters, digits, - and _."
            )
        named[name] = require_folder(folder)
    return named


def _same(value: Any, default: Any) -> bool:
    return tuple(value) == default if isinstance(default, tuple) else bool(value == default)


def _absolute(path: Any) -> pathlib.Path:
    return pathlib.Path(os.path.abspath(files.as_path(path, "path of the images")))


def require_folder(path: Any) -> pathlib.Path:
    """Return the absolute path of a folder. Raises `MpnasError` if it is none."""
    folder = _absolute(path)
    if not files.exists(folder):
        raise MpnasError(f"there is no folder {folder}: expected a folder of images.")
    if not folder.is_dir():
        kinds = ", ".join(MANIFESTS)
        raise MpnasError(f"{folder} is a file: expected a folder, or a file of {kinds} or .toml.")
    return folder


def domain_list(domains: Any) -> tuple[str, ...]:
    """Return the names of domains that a person gave: a list of them, or one."""
    given = (domains,) if isinstance(domains, str) else convert_list(domains, "domains", "names")
    if not given:
        raise MpnasError("domains has no names: expected at least one, or None for all.")
    return tuple(convert_text(name, "a name in domains") for name in given)
