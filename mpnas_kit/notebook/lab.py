"""JupyterLab on a run: `notebooks/explore.ipynb`, with the run filled in."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from mpnas_kit.errors import MpnasError
from mpnas_kit.report.build import NOTEBOOKS

NAME = "explore.ipynb"


def notebook(run: Path) -> Path:
    """RUN/explore.ipynb, made if it is not there: a copy with `run` as its parameter.

    One that is there stays as it is, but for the parameter where the run was moved. Raises
    `MpnasError` where it cannot be read or written.
    """
    place, parameters = run / NAME, {"run": str(run.absolute())}
    try:
        source = load_notebook_node(str(place if place.exists() else NOTEBOOKS / NAME))
    except (OSError, ValueError, AttributeError, nbformat.ValidationError):
        raise MpnasError(f"{place} is no notebook: remove it, and it is made anew.") from None
    told = source.metadata.papermill.parameters
    if place.exists() and told == parameters:
        return place
    filled = parameterize_notebook(source, parameters)
    beside = place.with_suffix(".tmp")
    try:
        nbformat.write(filled, beside)
        beside.replace(place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MpnasError(f"cannot write {place}: {reason}.") from None
    return place


def lab(run: Path, options: Sequence[str] = ()) -> int:
    """Start JupyterLab on the notebook of a run; returns its exit status when it ends."""
    command = [sys.executable, "-m", "jupyterlab", str(notebook(run)), *options]
    return subprocess.run(command).returncode
