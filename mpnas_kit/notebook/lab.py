"""JupyterLab for one run: a copy of `notebooks/explore.ipynb` with the run as its parameter."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import nbformat
from papermill.parameterize import parameterize_notebook

from mpnas_kit.errors import MpnasError
from mpnas_kit.files import exists, require_writable, write_text
from mpnas_kit.notebook.files import notebooks_folder, read_notebook
from mpnas_kit.notebook.lab_server import LabServer, has_display, require_possible
from mpnas_kit.parts import approved
from mpnas_kit.runs.description import working_folder
from mpnas_kit.runs.run import Run
from mpnas_kit.settings import require
from mpnas_kit.values import Range, checked

NAME = "explore.ipynb"


def explore_notebook(run: Run) -> pathlib.Path:
    """Return the notebook RUN/explore.ipynb. If it does not exist, it is written.

    The new notebook is a copy of the kit's `explore.ipynb` with the run folder as its parameter. An
    existing notebook keeps its cells; its parameters are updated if the run was moved. If the run
    folder cannot be written, the notebook is NAME_explore.ipynb in the working folder, where NAME
    is that of the run folder.

    run: run to explore; its folder is written if it is new.

    Raises `MpnasError` if the notebook cannot be read or written.
    """
    own = run.begin() / NAME
    file, after = own, ""
    try:
        require_writable(run.folder)
    except MpnasError as error:
        file = working_folder() / f"{run.folder.absolute().name}_{NAME}"
        after = f"It was to stand here because of this: {error} Use a folder that can be written."
    parameters: dict[str, Any] = {"run": str(run.folder.absolute())}
    if run.trust:
        parameters["trust"] = True
    elif run.description.data in approved():  # a text with paths, which a kernel would not follow
        parameters["data"] = run.description.data
    begun = exists(file)
    source = next((one for one in (file, own) if exists(one)), notebooks_folder() / NAME)
    try:
        notebook = read_notebook(source)
    except MpnasError as error:
        remedy = " Remove it, and `mpnas explore` writes a new one."
        raise MpnasError(f"{error}{remedy if source in (file, own) else ''}") from None
    executed = notebook.metadata.get("papermill")
    if not isinstance(executed, dict):
        executed = notebook.metadata["papermill"] = nbformat.from_dict({})
    if begun and executed.get("parameters") == parameters:
        return file
    filled = parameterize_notebook(notebook, parameters, kernel_name="python3", language="python")
    return write_text(file, nbformat.writes(filled) + "\n", after)


@checked("open_lab")
def open_lab(
    run: Run,
    options: Sequence[str] = (),
    *,
    ip: str | None = None,
    port: Annotated[int | None, Range(1, 65535)] = None,
    base_url: str = "/",
    browser: bool = True,
    tell: Callable[[str], None] = print,
) -> None:
    """Run JupyterLab on the notebook of a run, until it is ended.

    Kernels also find modules in the current folder. When the server answers, the address that opens
    the notebook is told, with its token. If this function is interrupted, the server and its
    kernels end.

    run: run to explore.
    options: further options of the command `jupyter lab`.
    ip: address of this machine on which the server listens. None: that of the user's Jupyter
    configuration, by default `localhost`. `0.0.0.0`: all.
    port: port of the server. None: that of the configuration (8888), or the next free one.
    base_url: path of the server's pages, as a proxy in front of it expects it, such as `/mine/`.
    With one, the server also answers requests for the proxy's name.
    browser: whether a browser is opened, if there is a display.
    tell: called with lines of text for a person.

    Raises `MpnasError` as `explore_notebook` does, if JupyterLab is missing or does not start, if
    it cannot listen on `ip` and `port`, or if `base_url` is no path.

    >>> mk.notebook.open_lab(run, port=8899, browser=False)  # doctest: +SKIP
    """
    path = f"/{base_url.strip('/')}/".replace("//", "/")
    require(
        base_url.startswith("/") and quote(path, safe="/%@:~") == path and "//" not in base_url,
        f"base_url must be a path such as '/mine/', not {base_url!r}.",
    )
    require_possible("localhost" if ip is None else ip, port or 0)
    notebook = explore_notebook(run)
    if notebook.parent != run.folder:
        tell(f"{run.folder} cannot be written, so the notebook is {notebook}.")
    arguments = [*options]
    if ip is not None:
        arguments.append(f"--ServerApp.ip={ip}")
    if port is not None:
        arguments += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if path != "/":
        arguments += [f"--ServerApp.base_url={path}", "--ServerApp.allow_remote_access=True"]
    if not (browser and has_display()):
        arguments.append("--no-browser")
    folders = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
    with LabServer(notebook, arguments, {"PYTHONPATH": os.pathsep.join(folders)}) as server:
        tell(f"JupyterLab runs. This address opens the notebook:\n\n    {server.url}\n")
        if server.is_open:
            tell(
                "The server listens on all addresses of this machine. From another machine, put "
                "its name or address in place of this one. A container must publish the port."
            )
        if path != "/":
            tell("Through a proxy, put its address in front of the path of this one.")
        tell("Ctrl-C ends JupyterLab and its kernels.")
        server.wait()
