"""Suites of domains from text: those of the kit by name, others by module, folder or file."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpnas_kit import files
from mpnas_kit.domains.cache import was_given
from mpnas_kit.domains.cached_suite import DEFAULT_RESOLUTION
from mpnas_kit.domains.decathlon_files import is_decathlon
from mpnas_kit.domains.decathlon_suite import DECATHLON_RESOLUTION, decathlon
from mpnas_kit.domains.domain import DomainSuite
from mpnas_kit.domains.hub_listing import holds_data_sets, is_data_set
from mpnas_kit.domains.manifests import MANIFESTS
from mpnas_kit.domains.own_images import folders, hub, source_text, table
from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.domains.planted_sharing import planted_sharing_suite
from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.domains.suite_files import suite_file
from mpnas_kit.errors import MpnasError, short, unknown
from mpnas_kit.parts import Kind, Missing, absolute, approve_text, read_call
from mpnas_kit.values import convert_list, require_type

_FROM_FILES: dict[str, Callable[..., DomainSuite]] = {
    "folders": folders,
    "table": table,
    "hub": hub,
    "decathlon": decathlon,
    "suite_file": suite_file,
}
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_-]+)=(?P<path>.+)", re.DOTALL)


def _lacks(value: Any) -> str | None:
    return None if isinstance(value, DomainSuite) else "domains (it is not a DomainSuite)"


SUITE = Kind(
    "suite of domains",
    {
        "pocket": pocket,
        "planted": planted_suite,
        "planted_sharing": planted_sharing_suite,
        **_FROM_FILES,
    },
    _lacks,
    frozenset(_FROM_FILES),
)


def suite_text(
    given: str | list[str], default_resolution: int | None = None, **options: Any
) -> str:
    """Return the text form of the suite that a person gave, which means the same everywhere.

    given: text form of a suite; or path of a folder of domains, of data sets of Hugging Face or of
    the Decathlon, of a manifest (`.csv`, `.tsv`, `.jsonl`, `.parquet`) or of a suite file
    (`.toml`); or `name=path` for the folder of one domain, and then perhaps several of them. A name
    that is also the name of a suite of the kit means that suite: write `./pocket` for a folder of
    this name.
    default_resolution: size of images that are given by a path, unless `options` has another. None:
    the default of the reader.
    options: options that all readers of paths have, such as `resolution`. None counts as not given.

    Raises `MpnasError` if there is no such folder or file, or an option does not fit.

    >>> suite_text("pocket")
    'pocket'
    """
    texts = given if isinstance(given, list) else [given]
    for text in texts:
        require_type(text, str, "data")
    chosen = {name: value for name, value in options.items() if value is not None}
    of_paths = _of_paths(texts, chosen, default_resolution)
    if of_paths is not None:
        return of_paths
    if len(texts) > 1:
        raise MpnasError(
            f"data is given {len(texts)} times: expected name=path each time, such as "
            "--data pets=photos/pets --data signs=photos/signs."
        )
    if chosen:
        raise MpnasError(
            f"{' and '.join(chosen)} cannot be used with data {short(texts[0])}: expected a folder "
            "or a table of images."
        )
    return _absolute(texts[0])


def _of_paths(
    texts: Sequence[str], options: Mapping[str, Any], default_resolution: int | None
) -> str | None:
    """Return the text form of data that is given by paths, or None if it is given otherwise."""
    named = [_NAMED.fullmatch(text) for text in texts]
    if all(named):
        found: dict[str, str] = {}
        for match in filter(None, named):
            if match["name"] in found:
                raise MpnasError(f"data names the domain {match['name']!r} twice.")
            found[match["name"]] = match["path"]
        return _of_folders(found, options, default_resolution)
    (text, *others) = texts
    head = text.partition("(")[0].strip()
    if others or head in SUITE.known:
        return None
    end = os.path.splitext(text)[1].lower()
    if end in MANIFESTS:
        resolution = default_resolution or DEFAULT_RESOLUTION
        return source_text("table", text, {"resolution": resolution, **options})
    if end == ".toml":
        return None if options else source_text("suite_file", text, {})
    has_colon = ":" in head
    if not has_colon and (os.sep in text or text in (".", "..", "~") or _is_there(text)):
        return _of_folders(text, options, default_resolution)
    if not has_colon and head == text.strip() != "":
        raise MpnasError(
            f"{unknown('suite of domains', head, SUITE.known)} There is no folder of this name."
        )
    return None


def _of_folders(
    paths: str | dict[str, str], options: Mapping[str, Any], default_resolution: int | None
) -> str:
    """Return the text form of data in a folder, or in several: what is in them decides who reads.

    Whether the folders can be used is found out when they are read.
    """
    if isinstance(paths, str):
        folder = files.as_path(paths)
        if folder.is_dir() and is_decathlon(folder):
            resolution = default_resolution or DECATHLON_RESOLUTION
            return source_text("decathlon", paths, {"resolution": resolution, **options})
        are_sets = {paths: folder.is_dir() and holds_data_sets(str(folder))}
    else:
        each = {path: files.as_path(path) for path in paths.values()}
        are_sets = {p: folder.is_dir() and is_data_set(str(folder)) for p, folder in each.items()}
    if len(set(are_sets.values())) > 1:
        one, other = (next(p for p, is_set in are_sets.items() if is_set == x) for x in (1, 0))
        raise MpnasError(
            f"{one} is a data set of Hugging Face, and {other} is not: describe both in a suite "
            "file (.toml)."
        )
    name = "hub" if any(are_sets.values()) else "folders"
    resolution = default_resolution or DEFAULT_RESOLUTION
    return source_text(name, paths, {"resolution": resolution, **options})


def _is_there(text: str) -> bool:
    try:
        return files.exists(files.as_path(text))
    except MpnasError:
        return False


def _absolute(text: str) -> str:
    """Return a text form with absolute paths."""
    head = text.partition("(")[0].strip()
    if head not in _FROM_FILES:
        return absolute(text)
    name, options = read_call(text, "data")
    path = options.pop("path", None)
    if path is None:
        raise MpnasError(f"data {short(text)} has no path: expected {name}(path='...').")
    if name != "suite_file":
        default = DECATHLON_RESOLUTION if name == "decathlon" else DEFAULT_RESOLUTION
        options.setdefault("resolution", default)
    return source_text(name, path, options)


def suite_from_text(text: str, domains: Sequence[str] | None = None) -> DomainSuite:
    """Return the suite written as `text`, which a person gave. Its module is imported.

    text: a suite of the kit, such as `pocket` or `pocket(full=True)`; a suite of your own, such as
    `my_data.py:suite` or `my_pkg.data:make(root='photos')`; or the path of a folder, a table or a
    suite file (see `folders`, `table`, `suite_file`).
    domains: names of the domains to return, in order; None: all. A function with an option
    `domains` gets these names, so that it need not load the other domains.

    Raises `MpnasError` if the text cannot be read or a domain is unknown.

    >>> mk.suite_from_text("pocket", ["digits", "letters"]).names
    ('digits', 'letters')
    """
    text = suite_text(text)
    if domains is not None:
        domains = convert_list(domains, "domains", "names")
    supply = {} if domains is None else {"domains": domains}
    suite: DomainSuite = SUITE.parse(text, "data", supply)
    if domains is not None:
        suite = suite.select(domains)
    return replace(suite, source=text)


def read_suite(text: str, domains: Sequence[str], trust: bool) -> DomainSuite:
    """Return the suite that a run folder names.

    text: text form of the suite in the run folder.
    domains: names of the domains to return, in order.
    trust: whether its module may be imported, and files outside of the run folder may be read.

    A text with paths is also followed if this person gave it before on this machine (see
    `was_given`).

    Raises `Unavailable` if that is needed and the run is not trusted.
    """
    if text.partition("(")[0] in _FROM_FILES and was_given(text):
        approve_text(text)
    found = SUITE.read(text, trust, {"domains": tuple(domains)})
    if isinstance(found, Missing):
        raise found.error()
    suite: DomainSuite = found.select(domains)
    return replace(suite, source=text)
