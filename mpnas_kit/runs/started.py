"""The start of a run: how run.json names it, and when a run folder may lead to its files."""

import os
import pathlib
from dataclasses import replace

from mpnas_kit import files
from mpnas_kit.errors import MpnasError, Unavailable
from mpnas_kit.parts import Missing, absolute, approve_text, approved, read_call
from mpnas_kit.runs.description import RUN, StartSource, nearby, place, relative
from mpnas_kit.runs.starting import start_from_text
from mpnas_kit.starts.source import Start
from mpnas_kit.starts.texts import START
from mpnas_kit.values import require_type


def given_start(start: Start | str, trust: bool) -> Start:
    """Return the start that a person gave, as an object or as text.

    A run folder that names the same files is followed from now on.

    trust: whether modules that a run folder among its files names are imported.

    Raises `MpnasError` if it cannot be read.
    """
    if isinstance(start, str):
        start = start_from_text(_in_every_folder(start), trust)
    require_type(start, Start, "start")
    if _is_path(start.text):
        approve_text(_with_path(start.text))
    elif "(" in start.text:
        approve_text(start.text)
    return start


def source_of(start: Start, folder: pathlib.Path) -> StartSource:
    """Return how run.json in `folder` names a start. A path begins with a dot."""
    text = start.text
    if _is_path(text):
        text = relative(text, folder, "start")
        text = text if text.startswith("..") else os.path.join(".", text)
    return StartSource(text or None, start.checksum)


def read_start(source: StartSource, folder: pathlib.Path, trust: bool) -> Start:
    """Return the start that run.json in `folder` names.

    Files are read only if a person gave the same ones, trusts the run, or has them as a run beside
    this one: a run folder from elsewhere can name any path.

    Raises `Unavailable` if they may not be read, or the start existed in memory only, and
    `MpnasError` if they cannot be read, or are not those that the run was begun with.
    """
    text = source.text
    if text is None:
        raise Unavailable(
            f"the start of {folder} existed in memory only and is not in its folder: give it "
            "again, as Run(folder, start=...)."
        )
    if text.startswith("."):
        there = pathlib.Path(os.path.normpath(folder / text))
        beside = nearby(folder, there) and files.exists(there / RUN)
        if not (trust or beside or _with_path(there) in approved()):
            raise Unavailable(
                f"the start of {folder} is {there}, and a run folder cannot ask for files outside "
                "of it by itself: give it again (--start), or trust the run (--trust, trust=True)."
            )
        if not files.exists(there):
            raise MpnasError(
                f"the start of {folder} is not at {there} any more: give it where it is now "
                "(--start)."
            )
        start = start_from_text(str(there), trust)
    else:
        part: Start | Missing = START.read(text, trust)
        if isinstance(part, Missing):
            raise part.error()
        start = replace(part, text=text)
    refuse_other_start(source, start, folder)
    return start


def refuse_other_start(source: StartSource | None, start: Start, folder: pathlib.Path) -> None:
    """Raise `MpnasError` unless `start` has the weights that the run in `folder` was begun with.

    source: what run.json says; None: the run has no start.
    """
    if source is None:
        raise MpnasError(
            f"{folder} was begun without a start, not with {_words(start.text)}: use another run "
            "folder, or no start."
        )
    if source.sha256 != start.checksum:
        raise MpnasError(
            f"{folder} was begun with {words_of(source, folder)}, and {_words(start.text)} has "
            "other weights now: use the same start, or another run folder."
        )


def _is_path(text: str) -> bool:
    """Return whether the text of a start is a path, and not a name or a part of one's own."""
    head = text.partition("(")[0].strip()
    return bool(text) and head not in START.known and (":" not in head or files.exists(text))


def _in_every_folder(text: str) -> str:
    """Return the text of a start that means the same in every working folder."""
    if _is_path(text):
        return str(place(text, "start"))
    if text.partition("(")[0].strip() not in START.known:
        return absolute(text)
    name, options = read_call(text, "start")
    if isinstance(options.get("file"), str):
        options["file"] = os.path.abspath(place(options["file"], "start: file"))
    inside = ", ".join(f"{option}={value!r}" for option, value in options.items())
    return f"{name}({inside})" if inside else name


def words_of(source: StartSource, folder: pathlib.Path) -> str:
    """Return the start that run.json in `folder` names in words. A path is as seen from here."""
    text = source.text
    if text is not None and text.startswith("."):
        text = os.path.normpath(folder / text)
    return _words(text)


def _words(text: str | None) -> str:
    return f"start {text!r}" if text else "a start in memory"


def _with_path(there: str | pathlib.Path) -> str:
    """Return the text under which the path of a start is approved (see `approve_text`)."""
    return f"start(path={os.path.abspath(place(there))!r})"
