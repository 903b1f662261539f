"""The report: the notebooks run on one run folder, as HTML pages with an index.

Papermill runs each notebook with the same run folder. Notebooks exchange data through this folder
only. A page needs no network and no script: its styles and pictures are part of the page.
"""

import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nbformat

from mpnas_kit.analysis.units import duration
from mpnas_kit.errors import MpnasError, suggestion
from mpnas_kit.files import make_folder, write_text
from mpnas_kit.notebook.files import find_notebook
from mpnas_kit.report import pages as report_pages
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import finished_runs

PIPELINE = (  # default notebooks of a report
    "00_domains",
    "01_search",
    "02_paths",
    "03_train",
    "04_compare",
    "05_abdp",
)
_ERROR_CELL = "papermill-error-cell-tag"  # on cells that papermill adds to a copy that failed


def build_report(
    notebooks: Sequence[str | pathlib.Path] = (),
    *,
    run: str | pathlib.Path,
    profile: str | None = None,
    data: str | None = None,
    space: str | None = None,
    trust: bool = False,
    out: str | pathlib.Path = "reports",
    parameters: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Run notebooks on a run folder, write their pages and an index, and return the index page.

    notebooks: names (`01_search` or `search`) or files; empty: those of `PIPELINE`.
    run: path of the run folder.
    profile, data, space: values for a new run; an existing run must have the same (see `Run`).
    trust: whether modules that the run folder names are imported.
    out: folder of the pages; the executed notebooks are in its folder `notebooks`.
    parameters: values by name, for every notebook that has such a parameter. A name such as
    `01_search.steps` is for one notebook.
    tell: called with one line of text per notebook.

    If a notebook needs something that this machine cannot get, such as images that existed in
    memory only, its page ends there with a sentence. Raises `MpnasError` if a notebook or a
    parameter is unknown, or if a notebook fails. Then the pages of the notebooks before it are
    written.
    """
    files = [find_notebook(name) for name in notebooks or PIPELINE]
    common = _given(run=str(run), profile=profile, data=data, space=space, trust=trust or None)
    given = _distributed(common, parameters or {}, files)
    about = Run(run, profile=profile, data=data, space=space, trust=trust)
    folder = pathlib.Path(out)
    copies = _create(folder / "notebooks")
    if not (about.folder / "run.json").exists():
        tell(f"{about.folder} is new: a run of {', '.join(about.domains)} begins there.")
    pages: list[report_pages.Page] = []
    failure = None
    for file in files:
        try:
            executed = execute(file, copies / file.name, given[file.stem])
        except MpnasError as error:
            failure = error
            break
        pages.append(report_pages.Page(file.stem, executed))
        tell(f"{file.stem}: {pages[-1].missing or duration(pages[-1].seconds)}")
    if (about.folder / "run.json").exists():  # the first notebook may have begun the run
        about = Run.read(run, trust=trust)
    if failure is not None and not pages:
        raise failure
    for page in pages:
        write_text(folder / f"{page.name}.html", report_pages.notebook_page(page, pages, about))
    index = write_text(folder / "index.html", report_pages.index_page(pages, about))
    if failure is not None:
        raise MpnasError(f"{failure} The pages of the notebooks before it are in {index}.")
    return index


def build_cells_report(
    run: Run,
    *,
    notebook: str | pathlib.Path = "03_train",
    out: str | pathlib.Path = "reports/cells",
    tell: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Run one notebook on a run and on each of its finished cells, and return the index page.

    run: a run with a finished training, or with such cells.
    notebook: name or file.
    out: folder of the pages, one per run; the executed notebooks are in its folder `notebooks`.
    tell: called with one line of text per page.

    Raises `MpnasError` if no training is finished, if the notebook is unknown, or if it fails.
    """
    file, folder = find_notebook(notebook), pathlib.Path(out)
    runs = finished_runs(run)
    if not runs:
        raise MpnasError(
            f"{run.folder} and its cells have no finished training: run `mpnas train` first."
        )
    copies = _create(folder / "notebooks")
    pages = []
    for number, one in enumerate(runs, start=1):
        name = one.folder.name
        common = _given(run=str(one.folder), trust=one.trust or None)
        parameters = _distributed(common, {}, [file])[file.stem]
        page = report_pages.Page(name, execute(file, copies / f"{name}.ipynb", parameters))
        write_text(folder / f"{name}.html", report_pages.notebook_page(page, [], one))
        pages.append(page)
        tell(f"{number} of {len(runs)}, {name}: {page.missing or duration(page.seconds)}")
    return write_text(folder / "index.html", report_pages.cells_page(pages, runs))


def execute(
    file: pathlib.Path, copy: pathlib.Path, parameters: Mapping[str, Any]
) -> nbformat.NotebookNode:
    """Run a notebook through papermill, and return the executed notebook.

    file: the notebook.
    copy: file for the executed notebook.
    parameters: values by name.

    If a cell needs something that this machine cannot get (`Unavailable`), the notebook ends with
    that cell, and its metadata has the sentence as `mpnas_missing`. Raises `MpnasError` if another
    cell fails, if the kernel dies, or if a callback of a widget fails. Papermill and the kernel do
    not report failed callbacks, so the saved widget states are searched for them.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            file,
            copy,
            parameters=dict(parameters),
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],
            progress_bar={"desc": file.stem, "leave": False} if sys.stderr.isatty() else False,
        )
    except PapermillExecutionError as error:
        if error.ename == "Unavailable":
            return _cut_short(nbformat.read(copy, as_version=4), error.cell_index, error.evalue)
        raise _failed(file, copy, error.cell_index, f"{error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise MpnasError(
            f"notebook {file.name}: the kernel died, probably because memory ran out. The cells "
            f"that ran are in {copy}."
        ) from None
    executed: nbformat.NotebookNode = nbformat.read(copy, as_version=4)
    for message in widget_errors(executed):
        raise MpnasError(
            f"notebook {file.name}: a callback of a widget failed ({message}). The executed copy "
            f"is {copy}."
        )
    return executed


def _own_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells, without those that papermill adds to a notebook that failed."""
    return [c for c in notebook.cells if _ERROR_CELL not in c.metadata.get("tags", ())]


def _cut_short(notebook: nbformat.NotebookNode, index: int, sentence: str) -> nbformat.NotebookNode:
    """Return the notebook up to the cell that could not run, with the reason in its metadata."""
    cells = _own_cells(notebook)[: index + 1]
    cells[-1].outputs = [o for o in cells[-1].outputs if o.output_type != "error"]
    notebook.cells = cells
    notebook.metadata["mpnas_missing"] = sentence
    return notebook


def widget_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the errors of widget callbacks; only the saved widget states have them."""
    states = notebook.metadata.get("widgets", {})
    models = [m for kind in states.values() for m in kind.get("state", {}).values()]
    outputs = [o for model in models for o in model.get("state", {}).get("outputs", ())]
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o.get("output_type") == "error"]


def _failed(file: pathlib.Path, copy: pathlib.Path, index: int, why: str) -> MpnasError:
    """Return the error of a failed cell.

    index: index of the cell as papermill counts, with the cell of parameters that it injects.
    """
    cells = _own_cells(nbformat.read(copy, as_version=4))
    before = [c for c in cells[:index] if "injected-parameters" not in c.metadata.get("tags", ())]
    words = [line for c in before if c.cell_type == "markdown" for line in c.source.splitlines()]
    headings = [line.lstrip("# ") for line in words if line.startswith("#")]
    under = f" under {headings[-1]!r}" if headings else ""
    return MpnasError(
        f"notebook {file.name} failed in cell {len(before) + 1}{under}: {why.removesuffix('.')}. "
        f"The executed copy is {copy}."
    )


def _distributed(
    common: Mapping[str, Any], single: Mapping[str, Any], files: Sequence[pathlib.Path]
) -> dict[str, dict[str, Any]]:
    """Return the parameters of every notebook, by its stem. A notebook gets those it declares.

    common: values that every notebook gets.
    single: values by `NAME` or `NOTEBOOK.NAME`; at least one notebook must declare each.
    """
    import papermill

    known = {file.stem: set(papermill.inspect_notebook(file)) for file in files}
    given = {stem: {n: v for n, v in common.items() if n in known[stem]} for stem in known}
    every = sorted({name for names in known.values() for name in names})
    for key, value in single.items():
        notebook, _, name = key.rpartition(".")
        stems = [s for s in known if notebook in ("", s, s.partition("_")[2])]
        declaring = [s for s in stems if name in known[s]]
        if not declaring:
            raise MpnasError(
                f"no notebook of this report has a parameter {key!r}: {suggestion(name, every)}"
                f"Known are {', '.join(every)}."
            )
        for stem in declaring:
            given[stem][name] = value
    return given


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _create(folder: pathlib.Path) -> pathlib.Path:
    make_folder(folder)
    if shutil.disk_usage(folder).free < 50_000_000:
        raise MpnasError(f"{folder} has less than 50 MB of free space: a report needs more.")
    return folder
