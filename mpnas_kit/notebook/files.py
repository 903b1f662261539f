"""Notebook files: where the kit's own ones are, and how a notebook is read.

The kit's notebooks are beside the package in a checkout, and inside it in a wheel. A notebook of a
user may have any content, so `read_notebook` checks it once. All other code gets a valid notebook.
"""

import json
import logging
import pathlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
from nbformat.validator import normalize

from mpnas_kit.errors import MpnasError, reason, suggestion
from mpnas_kit.files import as_path, exists, names_in, read_bytes

SUFFIX = ".ipynb"
_PACKAGE = pathlib.Path(__file__).parents[1]
_OF_EXECUTION = ("papermill", "widgets")  # metadata that an execution writes


def notebooks_folder() -> pathlib.Path:
    """Return the folder of the kit's notebooks.

    Raises `MpnasError` if the installation has no notebooks.
    """
    for folder in (_PACKAGE / "notebooks", _PACKAGE.parent / "notebooks"):
        if any(name.endswith(SUFFIX) for name in names_in(folder)):
            return folder
    raise MpnasError(f"there are no notebooks in {_PACKAGE}: install the package again.")


def find_notebook(name: str | pathlib.Path) -> pathlib.Path:
    """Return the file of a notebook.

    name: a file (`mine.ipynb`), a name (`01_search`), or a name without its number (`search`).

    Raises `MpnasError` if the file does not exist or the name is unknown.
    """
    file = as_path(name, "notebook")
    if file.suffix == SUFFIX:
        if not exists(file):
            raise MpnasError(f"notebook {file} does not exist: expected a file or a known name.")
        return file
    folder = notebooks_folder()
    known = [f.removesuffix(SUFFIX) for f in names_in(folder) if f.endswith(SUFFIX)]
    for stem in known:
        if str(name) in names_of(stem):
            return folder / f"{stem}{SUFFIX}"
    hint = suggestion(name, [n for stem in known for n in names_of(stem)])
    raise MpnasError(f"unknown notebook {str(name)!r}: {hint}Known are {', '.join(known)}.")


def names_of(stem: str) -> list[str]:
    """Return the names of a notebook: that of its file, and the same without its number.

    >>> names_of("01_search")
    ['01_search', 'search']
    """
    number, _, rest = stem.partition("_")
    return [stem, rest] if number.isdigit() and rest else [stem]


def read_notebook(file: pathlib.Path, *, outputs: bool = True) -> nbformat.NotebookNode:
    """Return the notebook in a file, in the present format (4).

    file: a notebook of format 3 or 4.
    outputs: whether to keep what an earlier execution wrote: outputs, and states of widgets.

    Raises `MpnasError` if the file cannot be read, is not a notebook, or is not in Python.
    """
    content = read_bytes(file)
    with _quiet():
        try:
            node = nbformat.reader.reads(content.decode("utf-8-sig"))
            notebook: nbformat.NotebookNode = nbformat.convert(node, 4)
            if not outputs:
                _forget(notebook)
            _, notebook = normalize(notebook)
            nbformat.validate(notebook)
            nbformat.writes(notebook).encode()  # lone surrogates cannot be sent to a kernel
        except Exception as error:  # a file may hold anything, and nbformat checks too little
            raise MpnasError(f"{file} cannot be read as a notebook: {_why(error)}.") from None
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    _require_python(notebook, file)
    return notebook


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep nbformat from logging and warning about files that are then mended or refused."""
    logger = logging.getLogger("traitlets")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _forget(notebook: nbformat.NotebookNode) -> None:
    """Remove what an earlier execution wrote, which may be damaged."""
    for name in _OF_EXECUTION:
        notebook.metadata.pop(name, None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _why(error: Exception) -> str:
    """Return why a notebook cannot be read, in a few words."""
    if isinstance(error, nbformat.reader.NotJSONError):
        cause = error.__context__
        known = isinstance(cause, json.JSONDecodeError)
        return reason(cause) if known and cause is not None else "it is not valid JSON"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, nbformat.ValidationError):
        place = "/".join(str(part) for part in getattr(error, "absolute_path", ()))
        return f"its content is not valid{f' at {place}' if place else ''}"
    return "its content is not that of a notebook"


def _require_python(notebook: nbformat.NotebookNode, file: pathlib.Path) -> None:
    about = notebook.metadata.get("language_info") or notebook.metadata.get("kernelspec") or {}
    language = str(about.get("name" if "language_info" in notebook.metadata else "language", ""))
    if language and language.lower() not in ("python", "python3", "ipython"):
        raise MpnasError(
            f"{file} is a notebook in {language}: expected one in Python, which the kit can run."
        )
