"""The HTML of a report: one page per executed notebook, and the first page with the summary."""

import base64
import hashlib
import json
import pathlib
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import jinja2
import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from traitlets.config import Config

from mpnas_kit import __version__
from mpnas_kit.analysis.comparison import compare
from mpnas_kit.analysis.units import amount, amounts, duration
from mpnas_kit.engine.environment import current_environment
from mpnas_kit.notebook import show, tables
from mpnas_kit.notebook.html_table import table_html
from mpnas_kit.plots.style import palette_css
from mpnas_kit.report.beside import Beside
from mpnas_kit.report.origin import commit, data_of, page_origin, space_of
from mpnas_kit.report.summary import Summary
from mpnas_kit.runs.run import STAGES, Run
from mpnas_kit.runs.sweep import outcome

TEMPLATES = pathlib.Path(__file__).parent / "template"
SHOWN = ["text/html", "image/svg+xml", "image/png", "text/markdown", "image/jpeg", "text/plain"]
WIDGET = "application/vnd.jupyter.widget-view+json"
_DOMAIN_COLORS = palette_css(":root", "@media screen and (prefers-color-scheme: dark)")
INSTRUCTIONS = "instructions"  # tag of cells for the user of a notebook; a page is without them


class Heading(NamedTuple):
    """A heading of a page.

    text: words of the heading.
    anchor: id of the element, for links.
    """

    text: str
    anchor: str


class Picture(NamedTuple):
    """A figure of a notebook.

    svg: the `<svg>` element.
    caption: text below the figure; may be empty.
    """

    svg: str
    caption: str


@dataclass(frozen=True)
class Page:
    """An executed notebook that becomes a page.

    name: file name of the page, without suffix.
    notebook: the executed notebook.
    given: name or file of the notebook, as a person gave it; empty: the name of the page.
    """

    name: str
    notebook: nbformat.NotebookNode
    given: str = ""

    @property
    def cells(self) -> list[nbformat.NotebookNode]:
        """Cells of the page: those of the notebook without instructions for its user."""
        cells = self.notebook.cells
        return [c for c in cells if INSTRUCTIONS not in c.metadata.get("tags", ())]

    @cached_property
    def _words(self) -> list[str]:
        return [
            line
            for cell in self.cells
            if cell.cell_type == "markdown"
            for line in cell.source.splitlines()
        ]

    @property
    def title(self) -> str:
        """First heading of the notebook; its name if there is none."""
        return next((line[2:].strip() for line in self._words if line.startswith("# ")), self.name)

    @property
    def short(self) -> str:
        """Title up to its colon, for the navigation."""
        return self.title.split(":")[0]

    @property
    def about(self) -> str:
        """First sentence below the title; empty if there is none."""
        after = iter(self._words)
        next((line for line in after if line.startswith("# ")), None)
        words = next((line for line in after if line.strip() and not line.startswith("#")), "")
        sentence, stop, _ = words.partition(". ")
        return f"{sentence}{stop.strip()}"

    @property
    def headings(self) -> list[Heading]:
        """Headings of the second level, in order."""
        texts = [line[3:].strip() for line in self._words if line.startswith("## ")]
        return [Heading(text, text.replace(" ", "-")) for text in texts]

    @property
    def seconds(self) -> float:
        """Time that the notebook ran, in seconds."""
        return float(self._execution.get("duration") or 0.0)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that the notebook was given, by name."""
        return dict(self._execution.get("parameters", {}))

    @property
    def copy(self) -> str:
        """File of the executed notebook; empty if it is not known."""
        return str(self._execution.get("output_path") or "")

    @property
    def _execution(self) -> dict[str, Any]:
        return dict(self.notebook.metadata.get("papermill", {}))

    @property
    def missing(self) -> str:
        """Sentence that says why the page ends early; empty if it is complete."""
        return str(self.notebook.metadata.get("mpnas_missing", ""))

    @property
    def pictures(self) -> list[Picture]:
        """Figures that the first page shows too (`show.figure(headline=True)`)."""
        outputs = [o for c in self.notebook.cells for o in c.get("outputs", ()) if "metadata" in o]
        about = [(o, o.metadata.get(show.SVG, {})) for o in outputs]
        return [
            Picture(o.data[show.SVG], m.get("caption", ""))
            for o, m in about
            if m.get(show.HEADLINE)
        ]


def notebook_page(page: Page, pages: Sequence[Page], run: Run) -> str:
    """Return the HTML page of a notebook: its words, tables and figures, without code.

    page: the notebook.
    pages: all pages of the report, for the navigation.
    run: run of the report.
    """
    notebook = nbformat.from_dict({**page.notebook, "cells": _without_widgets(page.cells)})
    notebook.metadata.pop("widgets", None)
    notebook.metadata["title"] = f"{page.title} | MPNAS Kit"
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": SHOWN}}),
        extra_template_basedirs=[str(TEMPLATES.parent)],
        template_name=TEMPLATES.name,
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    frame = _frame(page, pages, run)
    date, given = frame["date"], page.given or page.name
    frame["origin"] = page_origin(run, given, page.parameters, page.seconds, page.copy, date)
    body, _ = exporter.from_notebook_node(notebook, {"mpnas": frame})
    return str(body)


def index_page(pages: Sequence[Page], run: Run, compared: Sequence[Run] = ()) -> str:
    """Return the first HTML page: results, domains, pages, and how the run was made.

    pages: pages of the report.
    run: run of the report.
    compared: runs that the page compares; those without a finished training are left out.
    """
    return _rendered(
        "overview.html.j2",
        mpnas=_frame(None, pages, run),
        summary=Summary.of(run),
        made=_made(pages, run),
        beside=Beside.of(compared),
    )


def cells_page(pages: Sequence[Page], runs: Sequence[Run], compared: Sequence[Run] = ()) -> str:
    """Return the first HTML page for the cells of a sweep: a table with one row per run.

    pages: pages of the runs, at least one.
    runs: the runs, in the same order.
    compared: runs that the page compares; those without a finished training are left out.
    """
    frame = _frame(None, [], runs[0])
    return _rendered(
        "cells.html.j2",
        mpnas=frame,
        title=f"{pages[0].short} of {len(pages)} runs",
        table=_cells_table(pages, runs),
        beside=Beside.of(compared),
    )


def _cells_table(pages: Sequence[Page], runs: Sequence[Run]) -> str:
    """Return the results of runs as an HTML table, which leads to their pages."""
    rows = pd.concat([tables.comparison_table(compare([outcome(run)])) for run in runs])
    rows["seed"] = [f"seed {run.train_config().seed}" for run in runs]
    same = [n for n in ("prioritization", "norm", "seed") if rows[n].nunique() == 1]
    named = [n for n in ("approach", "prioritization", "norm", "seed") if n not in same]
    rows["run"] = rows[named].agg(", ".join, axis=1)
    of_all = f" All runs: {', '.join(rows[n].iloc[0] for n in same)}." if same else ""
    sizes = ["params", "all_params", "image", "union"]
    return table_html(
        rows[["run", "test", "macro", "val", *sizes]],
        "Test, val: top-1 accuracy of this seed, mean over domains. Macro: mean recall over "
        "classes, on test. Params: parameters without batch norms and classifiers. All params: all "
        "parameters. Image: multiply-adds of one image, mean over domains. Union: multiply-adds of "
        f"every distinct node once.{of_all}",
        {**tables.COMPARISON_FORMATS, **{size: amounts(rows[size]) for size in sizes}},
        links=[f"{urllib.parse.quote(page.name)}.html" for page in pages],
    )


def _rendered(template: str, **values: Any) -> str:
    """Return the HTML of a template."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    templates.filters["in_script"] = _in_script
    return str(templates.get_template(template).render(**values))


def _frame(page: Page | None, pages: Sequence[Page], run: Run) -> dict[str, Any]:
    """Return the values that the frame of every page uses (frame.html.j2)."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return {
        "style": (TEMPLATES / "style.css").read_text(encoding="utf-8") + _DOMAIN_COLORS,
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "page": page,
        "pages": pages,
        "quick": not run.profile.is_result,
        "profile": run.profile.name,
        "run": str(run.folder),
        "version": __version__,
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "amount": amount,
        "duration": duration,
    }


def _in_script(value: object) -> str:
    """Return a value as JSON for an element `script`, which no text in it can end."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _without_widgets(shown: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the cells without views of widgets, because views load code from the network.

    A static picture of a widget stays.
    """
    cells = []
    for cell in shown:
        cell = nbformat.from_dict(cell)
        if cell.cell_type == "code":
            for output in (o for o in cell.outputs if WIDGET in o.get("data", {})):
                del output["data"][WIDGET]
                if show.SVG not in output["data"]:
                    output["data"] = {}
            cell.outputs = [o for o in cell.outputs if o.get("data", True)]
        cells.append(cell)
    return cells


def _made(pages: Sequence[Page], run: Run) -> list[tuple[str, dict[str, str]]]:
    """Return facts about how the run was made, in groups."""
    about_run, now = run.description, current_environment()
    facts = {
        "profile": about_run.profile,
        "run folder": str(run.folder),
        "data": data_of(run),
        "domains": ", ".join(run.domains),
        "space": space_of(run),
    }
    if about_run.start is not None:
        facts["begins with the weights of"] = about_run.start.text or "a start in memory"
    groups = [("The run", facts)]
    for stage in STAGES:
        if not run.finished(stage):
            continue
        config, about = run.config(stage), run.about(stage)
        changed = ", ".join(f"{n}={getattr(config, n)}" for n in run.changes(config))
        facts = {
            "steps": f"{config.steps:,} in {duration(about['seconds'])}",
            "seed": str(config.seed),
            "changed from the profile": changed or "nothing",
            "commit": commit(about),
            "threads": str(about["threads"]),
            "kernels": about["kernels"],
        }
        if stage == "train":
            facts["domains"] = ", ".join(run.train_result().paths)
        groups.append((f"{stage.title()} stage", facts))
    made_with = {
        "python": now["python"],
        **now["versions"],
        "mpnas-kit": __version__,
        "platform": now["platform"],
        "processors": str(now["processors"]),
        "commit": commit(now),
        "notebooks ran": duration(sum(page.seconds for page in pages)),
    }
    return [*groups, ("This report", made_with)]
