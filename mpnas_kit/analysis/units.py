"""Counts and times as text for people."""

import math


def amount(value: float) -> str:
    """Return a count as text with three digits and a unit: k, M, G or T.

    value: the count, of any size. nan is "–".

    >>> mk.analysis.amount(1_234_000), mk.analysis.amount(45_600), mk.analysis.amount(789)
    ('1.23 M', '45.6 k', '789')
    """
    if math.isnan(value):
        return "–"
    for limit, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


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
