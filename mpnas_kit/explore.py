"""JupyterLab on a run: `notebooks/explore.ipynb`, with the run filled in."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from mpnas_kit.errors import MpnasError
from mpnas_kit.report import NOTEBOOKS

NAME = "explore.ipynb"


def notebook(run: Path) -> Path:
    """RUN/explore.ipynb, made if it is not there: a copy with `run` as its parameter.

    Raises `MpnasError` where it cannot be written.
    """
    place = run / NAME
    if place.exists():
        return place
    source = load_notebook_node(str(NOTEBOOKS / NAME))
    filled = parameterize_notebook(source, {"run": str(run.absolute())})
    try:
        nbformat.write(filled, place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MpnasError(f"cannot write {place}: {reason}.") from None
    return place


def lab(run: Path, options: Sequence[str] = ()) -> int:
    """Start JupyterLab on the notebook of a run; returns its exit status when it ends."""
    command = [sys.executable, "-m", "jupyterlab", str(notebook(run)), *options]
    return subprocess.run(command).returncode
