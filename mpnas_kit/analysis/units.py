"""Counts, differences and times as text for people."""

import math
from collections.abc import Callable, Iterable

_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_WORDS |= {7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}
_UNITS = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def amount(value: float) -> str:
    """Return a count as text with three digits and a unit: k, M, G or T.

    value: the count, of any size. nan is "–".

    >>> mk.analysis.amount(1_234_000), mk.analysis.amount(45_600), mk.analysis.amount(789)
    ('1.23 M', '45.6 k', '789')
    """
    if math.isnan(value):
        return "–"
    for limit, unit in _UNITS:
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def amounts(values: Iterable[float]) -> Callable[[float], str]:
    """Return a format for counts of one column: all have the same unit and equal decimals.

    values: the counts. The smallest one, 0 and nan aside, has three significant digits, but no
    count has more than three decimals.

    >>> form = mk.analysis.amounts([73_400, 1_230_000])
    >>> form(73_400), form(1_230_000), form(float("nan"))
    ('73.4 k', '1,230.0 k', '–')
    """
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    small, large = (min(sizes), max(sizes)) if sizes else (1.0, 1.0)
    of = small if large < 1e4 * small else large / 1e3
    limit, unit = next((known for known in _UNITS if of >= known[0]), (1.0, ""))
    decimals = 0 if not unit else max(0, min(3, 2 - math.floor(math.log10(small / limit))))

    def written(value: float) -> str:
        return "–" if math.isnan(value) else f"{value / limit:,.{decimals}f}{unit}"

    return written


def signed(share: float) -> str:
    """Return a share as percentage points with one decimal and a sign: `+0.8`, `−1.2`, `0.0`."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\N{MINUS SIGN}")


def count(number: int) -> str:
    """Return a number in words up to twelve, otherwise in figures."""
    return _WORDS.get(number, f"{number:,}")


def duration(seconds: float) -> str:
    """Return a time as text in seconds, minutes or hours.

    seconds: time in seconds, at least 0. nan and infinity are "–".

    >>> mk.analysis.duration(42), mk.analysis.duration(190), mk.analysis.duration(7500)
    ('42 s', '3 min 10 s', '2 h 5 min')
    """
    if not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
