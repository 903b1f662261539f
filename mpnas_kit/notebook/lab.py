"""JupyterLab for one run: a copy of `notebooks/explore.ipynb` with the run as its parameter."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import nbformat
from papermill.parameterize import parameterize_notebook

from mpnas_kit.errors import MpnasError
from mpnas_kit.files import exists, write_text
from mpnas_kit.notebook.files import notebooks_folder, read_notebook
from mpnas_kit.runs.run import Run

NAME = "explore.ipynb"


def explore_notebook(run: Run) -> pathlib.Path:
    """Return the notebook RUN/explore.ipynb. If it does not exist, it is written.

    The new notebook is a copy of the kit's `explore.ipynb` with the run folder as its parameter. An
    existing notebook keeps its cells; its parameters are updated if the run was moved.

    run: run to explore; its folder is written if it is new.

    Raises `MpnasError` if the notebook cannot be read or written.
    """
    file = run.begin() / NAME
    parameters: dict[str, Any] = {"run": str(run.folder.absolute())}
    if run.trust:
        parameters["trust"] = True
    begun = exists(file)
    try:
        notebook = read_notebook(file if begun else notebooks_folder() / NAME)
    except MpnasError as error:
        after = " Remove it, and `mpnas explore` writes a new one." if begun else ""
        raise MpnasError(f"{error}{after}") from None
    executed = notebook.metadata.get("papermill")
    if not isinstance(executed, dict):
        executed = notebook.metadata["papermill"] = nbformat.from_dict({})
    if begun and executed.get("parameters") == parameters:
        return file
    filled = parameterize_notebook(notebook, parameters, kernel_name="python3", language="python")
    return write_text(file, nbformat.writes(filled) + "\n")


def open_lab(run: Run, options: Sequence[str] = ()) -> int:
    """Start JupyterLab on the notebook of a run. Return its exit status when it ends.

    Kernels also find modules in the current folder.

    run: run to explore.
    options: options of the command `jupyter lab`.

    Raises `MpnasError` as `explore_notebook` does.
    """
    command = [sys.executable, "-m", "jupyterlab", str(explore_notebook(run)), *options]
    if os.geteuid() == 0:  # as in many containers
        command.append("--allow-root")
    folders = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    return subprocess.run(command, env=environment).returncode
