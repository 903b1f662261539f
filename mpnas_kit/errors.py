"""Errors that users see, and the sentences that several packages share."""

import errno
import json
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from types import TracebackType


class MpnasError(ValueError):
    """A wrong input. The message says what is wrong, what was expected and what to do.

    Base class of all errors that this package raises on purpose. It is a `ValueError`.

    >>> mk.pocket(["digts"])
    Traceback (most recent call last):
    mpnas_kit.errors.MpnasError: unknown pocket domain 'digts': did you mean 'digits'? Known are ...
    """


class Unavailable(MpnasError):
    """An error: a run needs something that this process cannot get, such as its images.

    Everything that does not need it still works.
    """


def unknown(kind: str, given: object, known: Iterable[str]) -> MpnasError:
    """Return the error for a name that is not among `known`. It suggests the nearest known name.

    kind: what the name stands for, in words.
    given: the unknown name.
    known: all valid names. If there are more than 20 and one is near, only that one is named.

    >>> print(unknown("domain", "digts", ["digits", "letters"]))
    unknown domain 'digts': did you mean 'digits'? Known are digits, letters.
    """
    names = sorted(known)
    near = suggestion(given, names)
    listed = "" if near and len(names) > 20 else f"Known are {', '.join(names)}."
    text = short(given if isinstance(given, str) else short(given))
    return MpnasError(f"unknown {kind} {text}: {near}{listed}".rstrip())


def short(value: object) -> str:
    """Return a value as a message shows it: its `repr` in one line, shortened to 90 characters.

    >>> short("ab" * 2500)
    "'abababababababababababababababababababa...abababababababababab' (5002 characters)"
    """
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of about {round(value.bit_length() * 0.30103)} digits"
    try:
        text = repr(value)
    except Exception:  # of foreign code
        return f"an object of class {type(value).__name__}"
    if not isinstance(value, str):
        text = re.sub(r" at 0x\w+", "", " ".join(text.split()))
    return text if len(text) <= 80 else f"{text[:40]}...{text[-21:]} ({len(text)} characters)"


class RaisedBy:
    """A context that notes in an error of foreign code what raised it.

    The error keeps its type and its traceback. If contexts are nested, the innermost one notes. An
    `MpnasError` gets no note, since its sentence says what is wrong.

    who: what runs inside, such as "callback log in step 3 of search", or a function that returns
    it.
    """

    __slots__ = ("who",)

    def __init__(self, who: str | Callable[[], str]) -> None:
        self.who = who

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, MpnasError):
            return
        if not any(note.startswith("raised by ") for note in getattr(error, "__notes__", ())):
            error.add_note(f"raised by {self.who if isinstance(self.who, str) else self.who()}")


def suggestion(given: object, known: Iterable[str]) -> str:
    """Return "did you mean 'NAME'? " with the nearest known name, or "" if no name is near."""
    near = get_close_matches(short(given).strip("'"), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


def reason(error: BaseException) -> str:
    """Return why something failed, in a few words and without a full stop.

    >>> reason(FileNotFoundError(2, "No such file or directory"))
    'no such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        many = error.errno in (errno.EMFILE, errno.ENFILE)
        words = error.strerror[:1].lower() + error.strerror[1:]  # it may have a path behind it
        return f"{words}{' in this process (see `ulimit -n`)' if many else ''}"
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON from line {error.lineno} on"
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def one_line(error: BaseException) -> str:
    """Return an error of foreign code in one line: its class and its reason, without a full stop.

    >>> one_line(TypeError("price() takes 1 argument."))
    'TypeError: price() takes 1 argument'
    """
    name, why = type(error).__name__, reason(error)
    return name if why == name else f"{name}: {why}"
