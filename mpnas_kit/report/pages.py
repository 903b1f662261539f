"""The HTML of a report: a page for every executed notebook, and the first page with the summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from mpnas_kit import __version__
from mpnas_kit.analysis.comparison import compare
from mpnas_kit.engine.stage_folder import environment
from mpnas_kit.notebook import show, tables
from mpnas_kit.report.summary import Summary
from mpnas_kit.runs.run import STAGES, Pipeline
from mpnas_kit.runs.sweep import outcome

TEMPLATES = Path(__file__).parent / "template"
SHOWN = ["text/html", "image/svg+xml", "image/png", "text/markdown", "image/jpeg", "text/plain"]
WIDGET = "application/vnd.jupyter.widget-view+json"


class Heading(NamedTuple):
    """A heading of a page, and the id it is reached by."""

    text: str
    anchor: str


class Picture(NamedTuple):
    """A figure of a notebook, as an `<svg>` element, and what stands below it."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Page:
    """An executed notebook on its way to a page."""

    name: str
    notebook: nbformat.NotebookNode

    @cached_property
    def _words(self) -> list[str]:
        cells = self.notebook.cells
        return [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()]

    @property
    def title(self) -> str:
        """The first heading."""
        return next((line[2:].strip() for line in self._words if line.startswith("# ")), self.name)

    @property
    def short(self) -> str:
        """The title up to its colon, for the navigation."""
        return self.title.split(":")[0]

    @property
    def about(self) -> str:
        """The first paragraph below the title."""
        after = iter(self._words)
        next((line for line in after if line.startswith("# ")), None)
        return next((line for line in after if line.strip() and not line.startswith("#")), "")

    @property
    def headings(self) -> list[Heading]:
        """The headings of the second level."""
        texts = [line[3:].strip() for line in self._words if line.startswith("## ")]
        return [Heading(text, text.replace(" ", "-")) for text in texts]

    @property
    def seconds(self) -> float:
        """How long the notebook ran."""
        return float(self.notebook.metadata.get("papermill", {}).get("duration") or 0.0)

    @property
    def pictures(self) -> list[Picture]:
        """The figures that are for the first page too (`show.figure(headline=True)`)."""
        outputs = [o for c in self.notebook.cells for o in c.get("outputs", ()) if "metadata" in o]
        about = [(o, o.metadata.get(show.SVG, {})) for o in outputs]
        return [
            Picture(o.data[show.SVG], m.get("caption", ""))
            for o, m in about
            if m.get(show.HEADLINE)
        ]


def notebook_page(page: Page, pages: Sequence[Page], pipeline: Pipeline) -> str:
    """The page of a notebook: its words, tables and figures, no code."""
    notebook = nbformat.from_dict({**page.notebook, "cells": _without_widgets(page.notebook)})
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
    body, _ = exporter.from_notebook_node(notebook, {"mpnas": _frame(page, pages, pipeline)})
    return str(body)


def index_page(pages: Sequence[Page], pipeline: Pipeline) -> str:
    """The first page: what came out, for which domains, how it was made."""
    return _rendered(
        "overview.html.j2",
        mpnas=_frame(None, pages, pipeline),
        summary=Summary.of(pipeline),
        made=_made(pages, pipeline),
    )


def cells_page(pages: Sequence[Page], runs: Sequence[Pipeline]) -> str:
    """The first page of a batch: the results table, a row and a link for every run."""
    rows = [
        {
            "page": page.name,
            **tables.written(
                tables.comparison_table(compare([outcome(run)])), tables.COMPARISON_FORMATS
            )
            .iloc[0]
            .to_dict(),
            "seed": run.train_config().seed,
        }
        for page, run in zip(pages, runs, strict=True)
    ]
    frame = _frame(None, [], runs[0])
    return _rendered("cells.html.j2", mpnas=frame, title=pages[0].short, rows=rows)


def _rendered(template: str, **values: Any) -> str:
    """A page of its own, that no notebook is."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return str(templates.get_template(template).render(**values))


def _frame(page: Page | None, pages: Sequence[Page], pipeline: Pipeline) -> dict[str, Any]:
    """What every page has around its content."""
    return {
        "style": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "page": page,
        "pages": pages,
        "quick": not pipeline.profile.is_result,
        "profile": pipeline.setup.profile,
        "domains": len(pipeline.setup.domains),
        "run": str(pipeline.folder),
        "version": __version__,
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "duration": tables.duration,
    }


def _without_widgets(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells without views of widgets, which would load their code from elsewhere.

    Where a view has a static twin, that stands in its place.
    """
    cells = []
    for cell in notebook.cells:
        cell = nbformat.from_dict(cell)
        if cell.cell_type == "code":
            for output in (o for o in cell.outputs if WIDGET in o.get("data", {})):
                del output["data"][WIDGET]
                if show.SVG not in output["data"]:
                    output["data"] = {}
            cell.outputs = [o for o in cell.outputs if o.get("data", True)]
        cells.append(cell)
    return cells


def _made(pages: Sequence[Page], pipeline: Pipeline) -> list[tuple[str, dict[str, str]]]:
    """How the run was made, in groups of facts."""
    setup, now = pipeline.setup, environment()
    run = {
        "profile": setup.profile,
        "run folder": str(pipeline.folder),
        "suite": f"{setup.suite}: {', '.join(setup.domains)}",
        "space": setup.space,
    }
    groups = [("The run", run)]
    for stage in STAGES:
        if not pipeline.finished(stage):
            continue
        config, about = pipeline.config(stage), pipeline.about(stage)
        changed = ", ".join(f"{n}={getattr(config, n)}" for n in pipeline.changes(config))
        commit = f"{(about['git_commit'] or 'unknown')[:12]}{' + changes' * about['git_dirty']}"
        facts = {
            "steps": f"{config.steps:,} in {tables.duration(about['seconds'])}",
            "seed": str(config.seed),
            "changed from the profile": changed or "nothing",
            "commit": commit,
            "threads": str(about["threads"]),
        }
        groups.append((f"{stage.title()} stage", facts))
    made_with = {
        "python": now["python"],
        **now["versions"],
        "mpnas-kit": __version__,
        "platform": now["platform"],
        "processors": str(now["processors"]),
        "commit": f"{(now['git_commit'] or 'unknown')[:12]}{' + changes' * now['git_dirty']}",
        "notebooks ran": tables.duration(sum(page.seconds for page in pages)),
    }
    return [*groups, ("This report", made_with)]
