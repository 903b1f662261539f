"""Execution of a notebook, in a kernel of the Python that runs the report.

Kernels that a person installed elsewhere are not considered: an installed kernel named `python3`
may have another Python, without the kit. If this process is interrupted or terminated, the kernel
ends with it.
"""

import contextlib
import logging
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import nbformat
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.execute import remove_error_markers
from papermill.parameterize import parameterize_notebook
from papermill.translators import PythonTranslator
from traitlets.config import Config

from mpnas_kit.engine.signals import stopped_by_signals
from mpnas_kit.errors import MpnasError, one_line
from mpnas_kit.files import file_errors, write_text
from mpnas_kit.notebook.files import read_notebook

_KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
_START = 300  # seconds until a kernel must answer; a busy machine needs many


class Source(NamedTuple):
    """A notebook to run.

    file: its file.
    notebook: its content.
    """

    file: pathlib.Path
    notebook: nbformat.NotebookNode

    @classmethod
    def read(cls, file: pathlib.Path) -> "Source":
        """Return the notebook in a file. Raises `MpnasError` as `read_notebook` does."""
        return cls(file, read_notebook(file, outputs=False))

    @property
    def name(self) -> str:
        """Name of the file, without suffix."""
        return self.file.stem

    def parameters(self) -> list[str]:
        """Return the names of the parameters that the notebook declares."""
        tagged = [c for c in self.notebook.cells if "parameters" in c.metadata.tags]
        return [p.name for p in PythonTranslator.inspect(tagged[0])] if tagged else []


def execute(
    source: Source, copy: pathlib.Path, parameters: Mapping[str, Any]
) -> nbformat.NotebookNode:
    """Run a notebook, write the executed notebook, and return it.

    source: the notebook.
    copy: file for the executed notebook. It is written when the notebook has ended or failed.
    parameters: values by name.

    If a cell needs something that this machine cannot get (`Unavailable`), the notebook ends with
    that cell, and its metadata has the sentence as `mpnas_missing`. Raises `MpnasError` if another
    cell fails, if the kernel dies or does not start, or if a callback of a widget fails. The kernel
    does not report failed callbacks, so the saved widget states are searched for them.
    """
    name = source.file.name
    notebook = _prepared(source, copy, parameters)
    try:
        with _scratch(copy.parent) as folder, stopped_by_signals():
            _run(notebook, source.name, folder)
    except DeadKernelError:
        write_text(copy, nbformat.writes(notebook))
        raise MpnasError(
            f"notebook {name}: the kernel died, probably because memory ran out. The cells that "
            f"ran are in {copy}."
        ) from None
    except (RuntimeError, TimeoutError) as error:
        raise MpnasError(
            f"notebook {name}: the kernel did not start or did not answer ({one_line(error)}). "
            f"Expected that `{sys.executable} -m ipykernel_launcher` starts."
        ) from None
    write_text(copy, nbformat.writes(notebook))
    failure = _failure(notebook)
    if failure is not None:
        index, ename, evalue = failure
        if ename == "Unavailable":
            return _cut_short(notebook, index, evalue)
        raise _failed(name, notebook, copy, index, f"{ename}: {evalue}")
    for message in widget_errors(notebook):
        raise MpnasError(
            f"notebook {name}: a callback of a widget failed ({message}). The executed copy is "
            f"{copy}."
        )
    return notebook


def _prepared(
    source: Source, copy: pathlib.Path, parameters: Mapping[str, Any]
) -> nbformat.NotebookNode:
    """Return a copy of the notebook with its parameters, as papermill would begin it."""
    notebook: nbformat.NotebookNode = remove_error_markers(nbformat.from_dict(source.notebook))
    notebook.metadata["kernelspec"] = nbformat.from_dict(_KERNEL)
    notebook.metadata["papermill"] = nbformat.from_dict(
        {"input_path": str(source.file), "output_path": str(copy), "parameters": {}}
    )
    if parameters:
        notebook = parameterize_notebook(notebook, dict(parameters), language="python")
    return notebook


# The kernel ---------------------------------------------------------------------------------------


class _OwnKernel(KernelSpecManager):
    """Finds one kernel: that of this Python, with variables of its own."""

    variables: dict[str, str] = {}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict(), env=self.variables)


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Ends the kernel in every case, also if an interrupt arrives while it starts."""

    variables: dict[str, str] = {}

    @contextmanager
    def setup_kernel(self, **kwargs: Any) -> Iterator[None]:
        manager = self.create_kernel_manager()
        manager.kernel_spec_manager = _OwnKernel()
        manager.kernel_spec_manager.variables = self.variables
        try:
            self.start_new_kernel(**kwargs)
            self.start_new_kernel_client()
            yield
        except BaseException:
            self.shutdown_kernel = "immediate"
            raise
        finally:
            group = getattr(manager.provisioner, "pgid", None)
            if self.km is not None:
                self._cleanup_kernel()
            if group is not None:  # processes that cells started
                with contextlib.suppress(OSError):
                    os.killpg(group, signal.SIGKILL)


def _run(notebook: nbformat.NotebookNode, name: str, folder: pathlib.Path) -> None:
    """Run the cells, until one fails. The outputs are added to the notebook."""
    log = logging.Logger(__name__)
    log.addHandler(logging.NullHandler())
    bar = {"desc": name, "leave": False} if sys.stderr.isatty() else False
    manager = NotebookExecutionManager(notebook, progress_bar=bar)
    manager.notebook_start()
    client = _Client(
        manager,
        kernel_name=_KERNEL["name"],
        kernel_manager_class=AsyncKernelManager,
        extra_arguments=["--log-level=CRITICAL"],
        startup_timeout=_START,
        timeout=None,
        log=log,
        config=Config({"AsyncKernelManager": {"connection_file": str(folder / "kernel.json")}}),
    )
    client.variables = _variables(folder)
    try:
        client.execute()
    finally:
        manager.notebook_complete()


@contextmanager
def _scratch(other: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a folder for temporary files, which is removed in the end.

    other: folder in which it is made if the system's folder for temporary files cannot be used.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="mpnas-", ignore_cleanup_errors=True)
    except OSError:
        with file_errors("create a folder for temporary files in", other):
            folder = tempfile.TemporaryDirectory(
                prefix=".mpnas-", dir=other.absolute(), ignore_cleanup_errors=True
            )
    with folder as path:
        yield pathlib.Path(path)


def _variables(folder: pathlib.Path) -> dict[str, str]:
    """Return environment variables of the kernel.

    A folder in which a library keeps its settings or caches is replaced by one in `folder`, if it
    cannot be written. The libraries would warn on the page, or fail.
    """
    home, set_to = os.path.expanduser("~"), os.environ.get
    config, cache = (set_to(f"XDG_{n}_HOME", f"{home}/.{n.lower()}") for n in ("CONFIG", "CACHE"))
    usual = {
        "HOME": [home],
        "IPYTHONDIR": [f"{home}/.ipython"],
        "MPLCONFIGDIR": [f"{config}/matplotlib", f"{cache}/matplotlib"],
        "JUPYTER_CONFIG_DIR": [f"{home}/.jupyter"],
        "TMPDIR": [str(folder.parent)],
    }
    variables = {"JUPYTER_RUNTIME_DIR": str(folder)}
    for name, places in usual.items():
        given = set_to(name)
        if not all(_can_write(place) for place in ([given] if given else places)):
            variables[name] = str(folder)
    return variables


def _can_write(folder: str) -> bool:
    """Return whether a folder can be written, or created."""
    path = pathlib.Path(folder)
    if not path.is_absolute():  # such as ~ if nobody knows the home folder
        return False
    try:
        with tempfile.TemporaryFile(dir=next(p for p in (path, *path.parents) if p.exists())):
            return True
    except OSError:
        return False


# Failures -----------------------------------------------------------------------------------------


def _failure(notebook: nbformat.NotebookNode) -> tuple[int, str, str] | None:
    """Return the index of the cell that failed, and the name and the words of its error.

    None: no cell failed. `sys.exit()` is not a failure: it ends a notebook early.
    """
    for index, cell in enumerate(notebook.cells):
        if not cell.metadata.papermill.get("exception"):
            continue
        errors = [o for o in cell.get("outputs", ()) if o.output_type == "error"]
        if not errors:
            return index, "Error", "the cell failed without a message"
        if (errors[-1].ename, errors[-1].evalue) in (("SystemExit", ""), ("SystemExit", "0")):
            return None
        return index, errors[-1].ename, errors[-1].evalue
    return None


def _cut_short(notebook: nbformat.NotebookNode, index: int, sentence: str) -> nbformat.NotebookNode:
    """Return the notebook up to the cell that could not run, with the reason in its metadata."""
    notebook.cells = notebook.cells[: index + 1]
    last = notebook.cells[-1]
    last.outputs = [o for o in last.outputs if o.output_type != "error"]
    notebook.metadata["mpnas_missing"] = sentence
    return notebook


def widget_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the errors of widget callbacks; only the saved widget states have them."""
    states = notebook.metadata.get("widgets", {})
    models = [m for kind in states.values() for m in kind.get("state", {}).values()]
    outputs = [o for model in models for o in model.get("state", {}).get("outputs", ())]
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o.get("output_type") == "error"]


def _failed(
    name: str, notebook: nbformat.NotebookNode, copy: pathlib.Path, index: int, why: str
) -> MpnasError:
    """Return the error of a failed cell.

    index: index of the cell, with the cell of parameters that papermill injects.
    """
    cells = notebook.cells[:index]
    before = [c for c in cells if "injected-parameters" not in c.metadata.get("tags", ())]
    words = [line for c in before if c.cell_type == "markdown" for line in c.source.splitlines()]
    headings = [line.lstrip("# ") for line in words if line.startswith("#")]
    under = f" under {headings[-1]!r}" if headings else ""
    first = next(iter(why.strip().splitlines())).removesuffix(".")
    return MpnasError(
        f"notebook {name} failed in cell {len(before) + 1}{under}: {first}. The executed copy is "
        f"{copy}."
    )
