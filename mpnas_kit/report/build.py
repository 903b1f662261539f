"""The report: the notebooks run on one run folder, as HTML pages with an index.

Each notebook is run by papermill with the same run folder, so they hand over only what stands in
it. Pages are complete in themselves: no script, no font and no picture is loaded from anywhere.
"""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import nbformat

import mpnas_kit
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.tables import duration
from mpnas_kit.report import pages as report_pages
from mpnas_kit.runs.run import Pipeline
from mpnas_kit.runs.sweep import finished_runs

NOTEBOOKS = Path(mpnas_kit.__file__).parents[1] / "notebooks"
PIPELINE = (  # what a report is made of, unless it is told
    "00_domains",
    "01_search",
    "02_paths",
    "03_train",
    "04_compare",
    "05_abdp",
)


def report(
    notebooks: Sequence[str | Path] = (),
    *,
    run: str | Path,
    profile: str | None = None,
    out: str | Path = "reports",
    parameters: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Run notebooks on the run folder `run` and write their pages and an index into `out`.

    notebooks: names of notebooks of the project (`01_search`, or `search`) or files; none: those
    of `PIPELINE`.
    profile: `quick` or `full`, for a run that is new. parameters: name -> value for every notebook
    that has a parameter of that name; `01_search.steps` for one notebook. tell: called with a line
    for every notebook.

    Returns the index page. Raises `MpnasError` for an unknown notebook or parameter, and for a
    notebook that fails; its executed copy stays in `out`/notebooks, as all of them do.
    """
    files = [_find(name) for name in notebooks or PIPELINE]
    given = _share_out({"run": str(run), **_some(profile=profile)}, parameters or {}, files)
    pipeline = Pipeline.open(run, profile=profile)
    place = Path(out)
    copies = _make(place / "notebooks")
    pages = []
    for file in files:
        executed = execute(file, copies / file.name, given[file.stem])
        pages.append(report_pages.Page(file.stem, executed))
        tell(f"{file.stem}: {duration(pages[-1].seconds)}")
    pipeline = Pipeline.read(run) if (pipeline.folder / "run.json").exists() else pipeline
    for page in pages:
        _write(place / f"{page.name}.html", report_pages.notebook_page(page, pages, pipeline))
    return _write(place / "index.html", report_pages.index_page(pages, pipeline))


def batch(
    run: str | Path,
    *,
    notebook: str | Path = "03_train",
    out: str | Path = "reports/cells",
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Run one notebook on a run and on every finished cell around it: a page each, and an index.

    The executed copies stay in `out`/notebooks, named as the cells. Returns the index page. Raises
    `MpnasError` where no training is finished, and for a notebook that fails, as `report`.
    """
    file, place = _find(notebook), Path(out)
    runs = finished_runs(Path(run))
    if not runs:
        raise MpnasError(f"{run} has no finished training, nor a cell that has: nothing to report.")
    copies = _make(place / "notebooks")
    pages = []
    for number, pipeline in enumerate(runs, start=1):
        name = pipeline.folder.name
        parameters = _share_out({"run": str(pipeline.folder)}, {}, [file])[file.stem]
        page = report_pages.Page(name, execute(file, copies / f"{name}.ipynb", parameters))
        _write(place / f"{name}.html", report_pages.notebook_page(page, [], pipeline))
        pages.append(page)
        tell(f"{number} of {len(runs)}, {name}: {duration(page.seconds)}")
    return _write(place / "index.html", report_pages.cells_page(pages, runs))


def execute(file: Path, copy: Path, parameters: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Run a notebook through papermill into `copy`; returns it executed.

    Raises `MpnasError`, naming notebook and cell, where a cell fails, the kernel dies, or a
    callback of a widget has failed (which neither papermill nor the kernel calls an error).
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
        raise _failed(file, copy, error.cell_index, f"{error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise MpnasError(
            f"notebook {file.name}: the kernel died, most likely out of memory; the cells that ran "
            f"are in {copy}."
        ) from None
    executed: nbformat.NotebookNode = nbformat.read(copy, as_version=4)
    for told in widget_errors(executed):
        raise MpnasError(f"notebook {file.name}: a widget's callback failed ({told}); see {copy}.")
    return executed


def widget_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """The errors that callbacks of widgets left behind: only the saved widget states have them."""
    states = notebook.metadata.get("widgets", {})
    models = [m for kind in states.values() for m in kind.get("state", {}).values()]
    outputs = [o for model in models for o in model.get("state", {}).get("outputs", ())]
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o.get("output_type") == "error"]


def _failed(file: Path, copy: Path, index: int, why: str) -> MpnasError:
    """The error of a failed cell; `index` counts as papermill does, with its injected cell."""
    told = "papermill-error-cell-tag"  # papermill marks the failed cell in the copy
    cells = [
        c for c in nbformat.read(copy, as_version=4).cells if told not in c.metadata.get("tags", ())
    ]
    before = [c for c in cells[:index] if "injected-parameters" not in c.metadata.get("tags", ())]
    words = [line for c in before if c.cell_type == "markdown" for line in c.source.splitlines()]
    headings = [line.lstrip("# ") for line in words if line.startswith("#")]
    under = f" under {headings[-1]!r}" if headings else ""
    return MpnasError(
        f"notebook {file.name} failed in cell {len(before) + 1}{under}: {why.removesuffix('.')}. "
        f"The executed copy is {copy}."
    )


def _find(name: str | Path) -> Path:
    """A notebook by file, by name, or by name without its number."""
    path = Path(name)
    if path.suffix == ".ipynb":
        if not path.exists():
            raise MpnasError(f"notebook {path} does not exist.")
        return path
    there = {file.stem: file for file in _all()}
    for stem, file in there.items():
        if str(name) in (stem, stem.partition("_")[2]):
            return file
    near = get_close_matches(str(name), [*there, *(s.partition("_")[2] for s in there)], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise MpnasError(f"unknown notebook {str(name)!r}: {hint}Known are {', '.join(there)}.")


def _all() -> list[Path]:
    files = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not files:
        raise MpnasError(
            f"there are no notebooks in {NOTEBOOKS}: the report needs a checkout of the project, "
            "installed with `pip install --editable .`"
        )
    return files


def _share_out(
    all_of_them: Mapping[str, Any], asked: Mapping[str, Any], files: Sequence[Path]
) -> dict[str, dict[str, Any]]:
    """The parameters of every notebook, by its stem. Only names that a notebook declares."""
    import papermill

    known = {file.stem: set(papermill.inspect_notebook(file)) for file in files}
    given = {stem: {n: v for n, v in all_of_them.items() if n in known[stem]} for stem in known}
    every = sorted({name for names in known.values() for name in names})
    for key, value in asked.items():
        notebook, _, name = key.rpartition(".")
        stems = [s for s in known if notebook in ("", s, s.partition("_")[2])]
        takers = [s for s in stems if name in known[s]]
        if not takers:
            near = get_close_matches(name, every, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise MpnasError(
                f"no notebook of this report has a parameter {key!r}: {hint}"
                f"Known are {', '.join(every)}."
            )
        for stem in takers:
            given[stem][name] = value
    return given


def _some(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _write(file: Path, text: str) -> Path:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MpnasError(f"cannot write {file}: {reason}.") from None
    return file


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MpnasError(f"cannot make the folder {folder}: {reason}.") from None
    if shutil.disk_usage(folder).free < 50_000_000:
        raise MpnasError(f"less than 50 MB are free where {folder} is: too little for a report.")
    return folder
