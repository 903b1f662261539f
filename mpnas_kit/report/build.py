"""The report: the notebooks run on one run folder, as HTML pages with an index.

Each notebook runs with the same run folder. Notebooks exchange data through this folder only. A
page needs no network: its styles, its script and its pictures are part of the page. It can be read
without the script, which sorts tables, shows values and saves tables and figures.
"""

import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mpnas_kit.analysis.units import duration
from mpnas_kit.errors import MpnasError, suggestion
from mpnas_kit.files import exists, write_text
from mpnas_kit.notebook.files import find_notebook, names_of
from mpnas_kit.report import pages as report_pages
from mpnas_kit.report.beside import runs_beside
from mpnas_kit.report.execution import Source, execute
from mpnas_kit.report.origin import OPTIONS
from mpnas_kit.report.outputs import Outputs
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
    beside: Sequence[str | pathlib.Path] = (),
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
    beside: folders of other finished runs, which the first page compares with this run.
    tell: called with one line of text per notebook.

    If a notebook needs something that this machine cannot get, such as images that existed in
    memory only, its page ends there with a sentence. Raises `MpnasError` if a notebook or a
    parameter is unknown, if a notebook cannot be read, if the report would replace a file that is
    not of a report, or if a notebook fails. Then the pages of the notebooks before it are written.
    """
    names = [str(name) for name in notebooks or PIPELINE]
    sources = [Source.read(find_notebook(name)) for name in names]
    about = Run(run, profile=profile, data=data, space=space, trust=trust)
    common = _given(
        run=str(about.folder), profile=profile, data=data, space=space, trust=trust or None
    )
    given = _distributed(common, parameters or {}, sources)
    outputs = Outputs.check(out, [s.name for s in sources], [s.file for s in sources], about.folder)
    runs_beside(about, beside)  # a wrong one ends the report before a notebook runs
    outputs.create()
    if not exists(about.folder / "run.json"):
        tell(f"{about.folder} is new: a run of {', '.join(about.domains)} begins there.")
    pages: list[report_pages.Page] = []
    failure = None
    for name, source in zip(names, sources, strict=True):
        try:
            executed = execute(source, outputs.copy(source.name), given[source.name])
        except MpnasError as error:
            failure = error
            break
        pages.append(report_pages.Page(source.name, executed, name))
        tell(f"{source.name}: {pages[-1].missing or duration(pages[-1].seconds)}")
    if failure is not None and not pages:
        raise failure
    if exists(about.folder / "run.json"):  # the first notebook may have begun the run
        about = Run.read(about.folder, trust=trust)
    for page in pages:
        write_text(outputs.page(page.name), report_pages.notebook_page(page, pages, about))
    compared = runs_beside(about, beside)
    index = write_text(outputs.index, report_pages.index_page(pages, about, compared))
    if failure is not None:
        raise MpnasError(f"{failure} The pages of the notebooks before it are in {index}.")
    return index


def build_cells_report(
    run: Run,
    *,
    notebook: str | pathlib.Path = "03_train",
    out: str | pathlib.Path = "reports/cells",
    beside: Sequence[str | pathlib.Path] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Run one notebook on a run and on each of its finished cells, and return the index page.

    run: a run with a finished training, or with such cells.
    notebook: name or file.
    out: folder of the pages, one per run; the executed notebooks are in its folder `notebooks`.
    beside: folders of other finished runs, which the first page compares with these.
    tell: called with one line of text per page.

    Raises `MpnasError` if no training is finished, if the notebook is unknown or cannot be read, if
    two runs have the same name, if the report would replace a file that is not of a report, or if
    the notebook fails. Then the pages of the runs before are written.
    """
    source = Source.read(find_notebook(notebook))
    runs = finished_runs(run)
    if not runs:
        raise MpnasError(
            f"{run.folder} and its cells have no finished training: run `mpnas train` first."
        )
    compared = runs_beside(run, beside)
    names = [os.path.basename(os.path.abspath(one.folder)) for one in runs]
    outputs = Outputs.check(out, names, [source.file], run.folder)
    outputs.create()
    pages: list[report_pages.Page] = []
    failure = None
    for name, one in zip(names, runs, strict=True):
        common = _given(run=str(one.folder), trust=one.trust or None)
        parameters = _distributed(common, {}, [source])[source.name]
        try:
            executed = execute(source, outputs.copy(name), parameters)
            page = report_pages.Page(name, executed, str(notebook))
        except MpnasError as error:
            failure = error
            break
        write_text(outputs.page(name), report_pages.notebook_page(page, [], one))
        pages.append(page)
        tell(f"{len(pages)} of {len(runs)}, {name}: {page.missing or duration(page.seconds)}")
    if failure is not None and not pages:
        raise failure
    first = report_pages.cells_page(pages, runs[: len(pages)], compared)
    index = write_text(outputs.index, first)
    if failure is not None:
        raise MpnasError(f"{failure} The pages of the runs before it are in {index}.")
    return index


def _distributed(
    common: Mapping[str, Any], single: Mapping[str, Any], sources: Sequence[Source]
) -> dict[str, dict[str, Any]]:
    """Return the parameters of every notebook, by its name. A notebook gets those it declares.

    common: values that every notebook gets.
    single: values by `NAME` or `NOTEBOOK.NAME`; at least one notebook must declare each. The value
    for one notebook counts more than that for all.
    """
    known = {source.name: set(source.parameters()) for source in sources}
    given = {
        own: {n: _passed(n, v) for n, v in common.items() if n in names}
        for own, names in known.items()
    }
    every = sorted({name for names in known.values() for name in names} - set(OPTIONS))
    single_first = sorted(single.items(), key=lambda item: "." in str(item[0]))
    seen = set()
    for key, value in single_first:
        notebook, _, name = str(key).rpartition(".")
        if name in OPTIONS:
            raise MpnasError(
                f"parameter {key!r} is the same for the whole report: expected it as --{name}."
            )
        declaring = [
            own
            for own, names in known.items()
            if name in names and notebook in ("", *names_of(own))
        ]
        if not declaring:
            raise MpnasError(
                f"no notebook of this report has a parameter {key!r}: {suggestion(name, every)}"
                f"Known are {', '.join(every) or 'none'}."
            )
        for own in declaring:
            if notebook and (own, name) in seen:
                raise MpnasError(f"parameter {name!r} of notebook {own} is given twice.")
            if notebook:
                seen.add((own, name))
            given[own][name] = _passed(key, value)
    return given


def _passed(name: str, value: Any) -> Any:
    """Return a value as a notebook gets it. Raises `MpnasError` if it cannot get it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return json.loads(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise MpnasError(
            f"parameter {name!r} cannot be passed to a notebook: expected text, a finite number, "
            f"true, false, none, or lists and dictionaries of these, not {ascii(value)[:80]}."
        ) from None


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
