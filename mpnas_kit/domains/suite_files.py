"""Suite files: a TOML file that says where the images of every domain are.

resolution = 64

[pets]
folder = "photos/pets"
flip = true

[signs]
table = "signs.csv"
how = "pad"

[birds]
hub = "sets/birds"
label = "species"
"""

import os
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mpnas_kit import files
from mpnas_kit.domains.cached_suite import Bad, Parts, Treatment, suite_of
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.hub_listing import Columns, list_data_set
from mpnas_kit.domains.known_suites import Origin
from mpnas_kit.domains.listing import Listing, domain_name, list_domain
from mpnas_kit.domains.manifests import read_manifest
from mpnas_kit.domains.own_images import require_folder, source_text
from mpnas_kit.errors import MpnasError, reason, short, unknown
from mpnas_kit.values import checked, convert_list, convert_plain, convert_text

_WHOLE = ("resolution", "seed", "bad")  # of all domains
_KINDS = ("folder", "table", "hub")
_TREATMENT = ("resolution", "how", "channels", "shares", "group", "flip", "turn")
_OF_DOMAIN = (*_KINDS, "image", "label", *_TREATMENT)


@checked("suite_file")
def suite_file(path: str | os.PathLike[str], domains: Sequence[str] | None = None) -> DomainSuite:
    """Return the images that a suite file (TOML) describes.

    At its top it has `resolution`, `seed` and `bad`, all optional. Then it has a table per domain,
    with one of `folder` (the folder of the domain), `table` (a CSV, TSV, JSONL or Parquet file) and
    `hub` (the folder of a data set of Hugging Face), and perhaps `resolution`, `how`, `channels`,
    `shares`, `group`, `flip` and `turn`. They mean the same as for `folders`. The `resolution` of a
    domain counts before that of the file. With `hub`, `group` is a column, and `image` and `label`
    may name the others (see `hub`). Paths are relative to the file. If a table has a column
    `domain`, only the rows of this domain count.

    path: the file.
    domains: names of the domains to return, in order; None: all, in the order of the file.

    Raises `MpnasError` if the file cannot be read, or a key or value is wrong.

    >>> suite = mk.suite_file("suite.toml")  # doctest: +SKIP
    """
    file = pathlib.Path(os.path.abspath(files.as_path(path, "path of the suite file")))
    whole, described = _read(file)
    for name in described:
        if domain_name(name, file) != name:
            raise MpnasError(f"{file}: [{name}] must have letters, digits, - and _ only.")
    chosen = described if domains is None else convert_list(domains, "domains", "names")
    for name in chosen:
        if name not in described:
            raise unknown(f"domain in {file}", name, described)
    bad = convert_plain(whole.pop("bad", "stop"), Bad, f"{file}: bad")
    images = [_images(file, name, whole, described[name]) for name in chosen]
    origin = Origin(
        source_text("suite_file", file, {}),
        more=repr([bad, *((name, described[name]) for name in chosen), whole]),
        folders=tuple(str(each.path) for each in images if each.kind != "table"),
        tables=tuple(str(each.path) for each in images if each.kind != "folder"),
    )

    def parts() -> Parts:
        return [(each.listing(), each.treatment) for each in images]

    return suite_of(origin, parts, file.stem, bad)


def _read(file: pathlib.Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the values at the top of a suite file, and its tables by name."""
    try:
        content = tomllib.loads(files.read_bytes(file).decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MpnasError(f"{file} is no valid TOML: {reason(error)}.") from None
    described = {k: v for k, v in content.items() if isinstance(v, dict)}
    whole = {k: v for k, v in content.items() if k not in described}
    for key in whole:
        if key not in _WHOLE:
            raise unknown(f"key in {file}", key, _WHOLE)
    if not described:
        raise MpnasError(f"{file} has no domains: expected a table per domain, such as [pets].")
    return whole, described


class _Images(NamedTuple):
    """Where the images of a domain are.

    domain: its name.
    kind: `folder`, `table` or `hub`.
    path: absolute path.
    columns: columns of a data set of Hugging Face.
    treatment: how the images are prepared.
    """

    domain: str
    kind: str
    path: pathlib.Path
    columns: Columns
    treatment: Treatment

    def listing(self) -> Listing:
        """Return the images."""
        if self.kind == "table":
            return _rows(self.path, self.domain)
        if self.kind == "hub":
            return list_data_set(str(self.path), self.domain, self.columns)
        return list_domain(str(self.path), self.domain)


def _images(
    file: pathlib.Path, name: str, whole: Mapping[str, Any], options: Mapping[str, Any]
) -> "_Images":
    """Return where the images of one domain are, and how they are prepared."""
    where = f"{file}: [{name}]"
    for key in options:
        if key not in _OF_DOMAIN:
            raise unknown(f"key in {where}", key, _OF_DOMAIN)
    given = [key for key in _KINDS if key in options]
    if len(given) != 1:
        raise MpnasError(f"{where} must have one of folder, table and hub.")
    (kind,) = given
    columns = _columns(options, kind, where)
    others = {k: v for k, v in options.items() if k not in (kind, *columns)}
    try:
        treatment = Treatment(**{**whole, **others})
    except MpnasError as error:
        raise MpnasError(f"{where}: {error}") from None
    inside = options[kind]
    if not isinstance(inside, str):
        raise MpnasError(f"{where}: {kind} must be a path, not {short(inside)}.")
    path = file.parent / files.as_path(inside, f"{where}: {kind}")
    if kind != "table":
        path = require_folder(path)
    return _Images(name, kind, path, Columns(**columns), treatment)


def _columns(options: Mapping[str, Any], kind: str, where: str) -> dict[str, str]:
    """Return the options that name columns of a data set of Hugging Face."""
    given = [key for key in Columns._fields if key in options]
    if kind != "hub":
        for key in {"image", "label"}.intersection(given):
            raise MpnasError(f"{where}: {key} names a column of a data set: expected hub too.")
        return {}
    return {key: convert_text(options[key], f"{where}: {key}") for key in given}


def _rows(path: pathlib.Path, name: str) -> Listing:
    """Return the rows of a manifest that are of a domain: all, if it names none."""
    listings = read_manifest(path)
    own = [listing for listing in listings if listing.domain == name]
    if not own and len(listings) == 1 and listings[0].domain == domain_name(path.stem, path):
        own = [Listing(name, listings[0].images)]
    if not own:
        raise unknown(f"domain in {path}", name, [listing.domain for listing in listings])
    return own[0]
