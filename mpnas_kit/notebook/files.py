"""The kit's notebooks: beside the package in a checkout, inside it in a wheel."""

import pathlib

from mpnas_kit.errors import MpnasError, suggestion

_PACKAGE = pathlib.Path(__file__).parents[1]


def notebooks_folder() -> pathlib.Path:
    """Return the folder of the kit's notebooks.

    Raises `MpnasError` if the installation has no notebooks.
    """
    for folder in (_PACKAGE / "notebooks", _PACKAGE.parent / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise MpnasError(f"there are no notebooks in {_PACKAGE}: install the package again.")


def find_notebook(name: str | pathlib.Path) -> pathlib.Path:
    """Return the file of a notebook.

    name: a file (`mine.ipynb`), a name (`01_search`), or a name without its number (`search`).

    Raises `MpnasError` if the file does not exist or the name is unknown.
    """
    file = pathlib.Path(name)
    if file.suffix == ".ipynb":
        if not file.exists():
            raise MpnasError(f"notebook {file} does not exist: expected a file or a known name.")
        return file
    known = {file.stem: file for file in sorted(notebooks_folder().glob("*.ipynb"))}
    for stem, file in known.items():
        if str(name) in (stem, stem.partition("_")[2]):
            return file
    hint = suggestion(name, [*known, *(stem.partition("_")[2] for stem in known)])
    raise MpnasError(f"unknown notebook {str(name)!r}: {hint}Known are {', '.join(known)}.")
