"""Errors in the user's words."""

from collections.abc import Iterable
from difflib import get_close_matches


class MpnasError(ValueError):
    """A wrong input: one sentence that names what is wrong and what was expected."""


def unknown(kind: str, given: object, known: Iterable[str]) -> MpnasError:
    """The error for a name that is not among `known`, with the nearest name where one is near."""
    names = sorted(known)
    near = get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return MpnasError(f"unknown {kind} {str(given)!r}: {hint}Known are {', '.join(names)}.")
