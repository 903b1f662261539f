"""The command `mpnas cache`: what is in the cache, and how some of it is removed."""

import re
import time
from collections.abc import Sequence
from typing import Annotated

import pandas as pd

from mpnas_kit import files
from mpnas_kit.analysis.units import duration
from mpnas_kit.cli.parsers import Parser
from mpnas_kit.cli.table_text import text_of
from mpnas_kit.domains.cache_content import (
    CacheEntry,
    cache_entries,
    remove_beyond,
    unused_for,
)
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.settings import convert
from mpnas_kit.values import Range

DAYS = Annotated[float, Range(0, 36_500)]
UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_CHANNELS = {1: "grey", 3: "RGB"}


def cache_parser() -> Parser:
    """Return the parser of `mpnas cache`."""
    parser = Parser(
        prog="mpnas cache",
        description="Print what is in the cache of decoded images, or remove some of it. Nothing "
        "is removed by itself, and nothing that a process uses. What is removed is decoded again "
        "when it is needed. The environment variable MPNAS_CACHE names another cache.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--limit",
        metavar="SIZE",
        help="remove what was unused for longest, until at most this size is left, such as 20GB",
    )
    parser.add_argument(
        "--unused-days", metavar="N", help="remove what was not used for this number of days"
    )
    parser.add_argument("--all", action="store_true", help="remove everything")
    return parser


def manage_cache(arguments: Sequence[str]) -> None:
    """Run `mpnas cache`."""
    given = cache_parser().parse(arguments)
    ways = {"--limit": given.limit, "--unused-days": given.unused_days, "--all": given.all or None}
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise MpnasError(f"{' and '.join(chosen)} are given: expected one of them.")
    limit = None if given.limit is None else size_of(given.limit)
    days = None if given.unused_days is None else convert(given.unused_days, DAYS, "--unused-days")
    entries = cache_entries()
    if not chosen:
        print(_table(entries) if entries else f"the cache {files.cache_folder()} is empty.")
        return
    if limit is not None:
        kept = remove_beyond(entries, limit)
    else:
        selected = entries if days is None else unused_for(entries, days)
        kept = [entry for entry in selected if not entry.remove()]
    left = sum(entry.bytes for entry in cache_entries())
    removed = max(0, sum(entry.bytes for entry in entries) - left)
    print(f"removed {size_text(removed)}; {size_text(left)} are left in {files.cache_folder()}.")
    for entry in kept:
        print(f"{entry.what} ({size_text(entry.bytes)}) stays: a process uses it.")


def size_of(text: str) -> float:
    """Return a size that a person gave, in bytes.

    >>> size_of("20GB"), size_of("1.5 mb")
    (20000000000.0, 1500000.0)
    """
    found = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([kKmMgGtT]?[bB])\s*", text)
    if found is None:
        raise MpnasError(
            f"--limit must be a number and a unit (B, kB, MB, GB, TB), such as 20GB, not "
            f"{short(text)}."
        )
    return float(found[1]) * UNITS[found[2].upper()]


def size_text(size: float) -> str:
    """Return a size as text, in a decimal unit.

    >>> size_text(12_321_000_000), size_text(0)
    ('12.3 GB', '0 B')
    """
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.3g} {unit.replace('K', 'k')}"
    return f"{size:.0f} B"


def _table(entries: Sequence[CacheEntry]) -> str:
    images = [entry for entry in entries if entry.state != "list"]
    rows = [_row(entry) for entry in images]
    lists = [entry for entry in entries if entry.state == "list"]
    if lists:
        size = sum(entry.bytes for entry in lists)
        used = max(entry.used for entry in lists)
        rows.append(_row(CacheEntry(lists[0].folder, "lists of files", None, "list", size, used)))
    total = sum(entry.bytes for entry in entries)
    return f"{text_of(pd.DataFrame(rows))}\n\ntotal: {size_text(total)} in {files.cache_folder()}"


def _row(entry: CacheEntry) -> dict[str, str]:
    usual = entry.state in ("ready", "list")
    count, channels, side = (entry.shape or (0, 0, 0))[:3]
    return {
        "entry": entry.what if usual else f"{entry.what} ({entry.state})",
        "images": f"{count:,}" if entry.shape else "",
        "form": f"{side} px {_CHANNELS.get(channels, '')}" if entry.shape else "",
        "size": size_text(entry.bytes),
        "unused for": duration(max(0.0, time.time() - entry.used)),
    }
