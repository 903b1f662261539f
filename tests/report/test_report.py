"""The report: what fails is named, pages stand alone, and the first page tells what came out."""

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pytest
import tiny
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mpnas_kit.analysis.units import signed
from mpnas_kit.approaches.random_draws import RandomPaths
from mpnas_kit.approaches.searched import MPNAS, Bundle
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook import files, show
from mpnas_kit.notebook.picture import PAGE, svg
from mpnas_kit.report import build as module
from mpnas_kit.report import pages as report_pages
from mpnas_kit.report.build import build_report
from mpnas_kit.report.execution import Source, execute, widget_errors
from mpnas_kit.report.pages import Page, index_page, notebook_page
from mpnas_kit.report.summary import Summary
from mpnas_kit.runs.profiles import PROFILES
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import Cell, Prioritizations, Sweep, cells, finished_runs

PARAMETERS = 'from typing import Optional\n\nrun: str = "run"\nsteps: Optional[int] = None'
CHECK = "from mpnas_kit.notebook.parameters import check_parameters\n\ncheck_parameters(globals())"


def write(file: Path, *cells: str) -> Path:
    """A notebook of code cells; a cell that begins with # is words; the second has parameters."""
    whole: list[Any] = [
        new_markdown_cell(c) if re.match("#+ ", c) and "\n" not in c else new_code_cell(c)
        for c in ("# Trial: a page", f"# Parameters.\n{PARAMETERS}", CHECK, *cells)
    ]
    whole[1].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=whole, metadata=kernel), file)
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run of the tiny suite, which needs no kernel."""
    run = tmp_path_factory.mktemp("report") / "run"
    opened = Run(run, data="tiny:suite", domains="a,b", space="tiny:space")
    opened.search(tiny.search_config())
    opened.train(tiny.train_config())
    return opened


# Running -----------------------------------------------------------------------------------------


def test_the_project_notebooks_run_into_a_report(tmp_path: Path) -> None:
    small = {
        "01_search.steps": 4,
        "03_train.steps": 3,
        "batch_size": 4,
        "paths_per_step": 2,
        "threads": 1,
        "approaches": "mpnas, random_paths",
        "prioritizations": "abdp, abdp > uniform, uniform",
        "search_steps": 3,
        "train_steps": 2,
        "trust_paths": 3,
        "trust_steps": 2,
    }
    Run(tmp_path / "run", domains="digits,icons").begin()
    lines: list[str] = []
    index = build_report(
        run=tmp_path / "run", out=tmp_path / "out", parameters=small, tell=lines.append
    )
    assert tuple(line.split(":")[0] for line in lines) == module.PIPELINE
    opened = Run.read(tmp_path / "run")
    html = index.read_text(encoding="utf-8")
    assert opened.search_result().verdict()[1:] in unescape(html)
    assert f"{opened.train_result().accuracy('test').mean():.1%}" in html
    for page in (index, *(tmp_path / "out" / f"{name}.html" for name in module.PIPELINE)):
        alone(page)
        text = page.read_text(encoding="utf-8")
        assert "Quick profile: not a result." in text
        assert len(alts(text)) >= 3 and all(alts(text))


def test_a_batch_has_a_page_and_an_executed_copy_for_every_cell(finished: Run) -> None:
    chosen = [Cell(RandomPaths(), Prioritizations.parse("uniform"))]
    Sweep(finished, chosen, {"steps": 2, "policy_snapshots": 1}, {"steps": 2}).run()
    out = finished.folder.parent / "cells"
    notebook = write(finished.folder.parent / "cell.ipynb", "print(run)")
    index = module.build_cells_report(finished, notebook=notebook, out=out)
    names = {p.folder.name for p in finished_runs(finished)}
    assert len(names) == 3
    assert {p.stem for p in (out / "notebooks").iterdir()} == names
    html = index.read_text(encoding="utf-8")
    for name in names:
        assert f'href="{name}.html"' in html
        alone(out / f"{name}.html")
    alone(index)
    empty = Run(finished.folder.parent / "empty", data="tiny:suite", space="tiny:space")
    with pytest.raises(MpnasError, match="no finished training"):
        module.build_cells_report(empty, notebook=notebook, out=out)


def test_a_failing_cell_is_named_and_the_copy_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "trial.ipynb", "kept = print('so far')", "## Much later", "1 / 0")
    with pytest.raises(MpnasError) as raised:
        execute(Source.read(file), tmp_path / "copy.ipynb", {"steps": 3})
    assert "trial.ipynb failed in cell 6" in str(raised.value)
    assert "'Much later': ZeroDivisionError: division by zero" in str(raised.value)
    assert "so far" in (tmp_path / "copy.ipynb").read_text()


def test_the_pages_before_a_failing_notebook_are_written(finished: Run, tmp_path: Path) -> None:
    good = write(tmp_path / "good.ipynb", "print('all is well')")
    bad = write(tmp_path / "bad.ipynb", "1 / 0")
    with pytest.raises(MpnasError, match=r"bad.ipynb failed in cell .* are in .*index\.html"):
        build_report([good, bad], run=finished.folder, out=tmp_path / "out")
    assert "all is well" in (tmp_path / "out" / "good.html").read_text(encoding="utf-8")
    assert 'href="good.html"' in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"stepz": 5}, ["unknown parameter 'stepz'", "did you mean 'steps'?"]),
        ({"steps": "true"}, ["parameter steps", "a whole number", "'true'"]),
    ],
)
def test_a_wrong_parameter_fails_in_the_notebook_itself(
    tmp_path: Path, parameters: dict[str, object], words: list[str]
) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    file = write(tmp_path / "trial.ipynb", "print('never')")
    with pytest.raises(PapermillExecutionError) as raised:
        papermill.execute_notebook(
            file, tmp_path / "copy.ipynb", parameters=parameters, progress_bar=False
        )
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert "File " not in str(raised.value), "one sentence, no traceback"
    assert '"never\\n"' not in (tmp_path / "copy.ipynb").read_text()


def test_an_error_in_a_widget_callback_is_found() -> None:
    notebook = new_notebook()
    assert widget_errors(notebook) == []
    failed = {"output_type": "error", "ename": "KeyError", "evalue": "'digit'", "traceback": []}
    state = {"m1": {"state": {"outputs": [failed]}}, "m2": {"state": {"value": 3}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    assert widget_errors(notebook) == ["KeyError: 'digit'"]


def test_names_are_checked_before_anything_runs(tmp_path: Path) -> None:
    file = write(tmp_path / "trial.ipynb")
    with pytest.raises(MpnasError, match=r"parameter 'stepz': did you mean 'steps'\?"):
        build_report([file], run=tmp_path / "run", out=tmp_path / "out", parameters={"stepz": 1})
    with pytest.raises(MpnasError, match=r"unknown notebook 'serch': did you mean 'search'\?"):
        build_report(["serch"], run=tmp_path / "run", out=tmp_path / "out")
    with pytest.raises(MpnasError, match=r"none.ipynb does not exist"):
        build_report([tmp_path / "none.ipynb"], run=tmp_path / "run", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_notebooks_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "none" / "mpnas_kit")
    with pytest.raises(MpnasError, match="there are no notebooks in"):
        build_report(run=tmp_path / "run", out=tmp_path / "out")


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    file = write(tmp_path / "trial.ipynb")
    with pytest.raises(MpnasError, match="cannot create the folder"):
        build_report([file], run=tmp_path / "run", out=tmp_path / "out")


# Pages -------------------------------------------------------------------------------------------


def page(*outputs: Any) -> Page:
    """A page of a heading, some words, and a cell with these outputs."""
    words = new_markdown_cell("# Trial: a page\n\nWhat it is about.\n\n## One & two\n\nText.")
    cell = new_code_cell("secret_code()", outputs=list(outputs))
    empty = new_code_cell("more_code()")
    return Page("trial", new_notebook(cells=[words, cell, empty]))


def picture(headline: bool) -> Any:
    with plt.rc_context(PAGE):
        whole, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, 1], [0, 1], "o")
    drawn = svg(whole, 'a "small" dot')
    plt.close(whole)
    return new_output(
        "display_data",
        {
            show.SVG: drawn,
            "image/png": "iVBORw0KGgo=",
            "text/plain": "a dot",
        },
        metadata={show.SVG: {"caption": "A dot.", show.HEADLINE: headline}},
    )


class Sources(HTMLParser):
    """Whatever a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.alts: list[str | None] = []
        self.kind: str | None = None

    def handle_data(self, data: str) -> None:
        if self.kind == "":
            assert data == (report_pages.TEMPLATES / "page.js").read_text(encoding="utf-8")
        elif self.kind is not None:
            assert self.kind == "application/json" and json.loads(data)
        self.kind = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        here = dict(attrs)
        if tag in ("img", "svg") and here.get("aria-hidden") != "true":
            self.alts.append(here.get("alt", here.get("aria-label")))
        if tag in ("iframe", "object", "embed"):
            self.found.append(f"<{tag}>")
        self.kind = str(here.get("type", "")) if tag == "script" else None
        for name in ("src", "srcset", "poster", "data"):
            if here.get(name) is not None and not str(here[name]).startswith("data:"):
                self.found.append(f"{tag} {name}={here[name]}")
        if tag == "link" and not str(here.get("href")).startswith("data:"):
            self.found.append(f"link {here.get('href')}")


def alts(text: str) -> list[str | None]:
    """What every picture of a page says to who cannot see it."""
    sources = Sources()
    sources.feed(text)
    return sources.alts


def alone(file: Path) -> None:
    """The page loads nothing and runs only its script; its links lead to files that are there."""
    text = file.read_text(encoding="utf-8")
    sources = Sources()
    sources.feed(text)
    assert sources.found == []
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in style and "@import" not in style
    text = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    names = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")  # not addresses
    assert set(re.findall(r"https?://[^\s\"]+", text)) <= set(names)
    for link in re.findall(r'href="([^"#:]+)"', text):
        assert (file.parent / link).exists(), link


def test_a_page_has_words_figures_and_no_code(finished: Run) -> None:
    trial = page(picture(False), new_output("stream", name="stdout", text="a line\n"))
    html = notebook_page(trial, [trial], finished)
    assert "secret_code" not in html and "more_code" not in html
    assert alts(html) == ['a "small" dot']
    stamp = '<span class="quick">Quick profile: not a result.</span>'
    assert f"<figcaption>A dot. {stamp}</figcaption>" in html
    assert "<title>Trial: a page | MPNAS Kit</title>" in html
    assert "a line" in html
    assert html.count("<html") == html.count("</html>") == 1


def test_the_contents_lead_to_headings(finished: Run) -> None:
    html = notebook_page(page(), [page()], finished)
    links = re.findall(r'<li><a href="#([^"]+)">', html)
    assert links
    for link in links:
        assert f'id="{link}"' in html


def test_views_of_widgets_are_left_out(finished: Run) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "HBox()"}
    trial = page(new_output("display_data", view))
    trial.notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    html = notebook_page(trial, [trial], finished)
    assert "HBox" not in html and html.count("<script") == 1
    assert "widgets" in trial.notebook.metadata, "the notebook itself does not change"


def test_the_first_page_tells_what_came_out(finished: Run, tmp_path: Path) -> None:
    trial = page(picture(True))
    html = index_page([trial], finished)
    summary = Summary.of(finished)
    text = unescape(html)
    for card in summary.cards:
        assert card.label in text and card.value in text and card.beside in text
    trained = finished.train_result()
    mean = f"{trained.accuracy('test').mean():.1%}"
    assert summary.cards[0].value == mean and summary.sentence in text
    assert summary.sentence.endswith(f"parameters serves two domains: mean test accuracy {mean}.")
    assert summary.drawing is None, "there is nothing to compare the run with"
    assert summary.rows[0].test == trained.accuracy("test")["a"]
    assert summary.rows[1].path == finished.search_result().paths["b"].arch
    assert finished.search_result().verdict()[1:] in text
    assert "A dot." in html and "What it is about." in html
    assert "steps=6" in html, "changes from the profile are shown"
    (tmp_path / "trial.html").touch()
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    alone(tmp_path / "index.html")


def swept(folder: Path, search: dict[str, Any] | None = None) -> Run:
    """A finished run with a bundle and random paths in its sweep."""
    run = Run(folder / "run", data="tiny:suite", space="tiny:space")
    run.search(tiny.search_config())
    run.train(tiny.train_config())
    chosen = cells([MPNAS(), Bundle(), RandomPaths()], [Prioritizations.parse("abdp")])
    Sweep(run, chosen, search, {"steps": 2} if search else None).run()
    return run


def test_the_first_page_compares_the_run_with_its_references(tmp_path: Path) -> None:
    run = swept(tmp_path)
    summary, text = Summary.of(run), unescape(index_page([], run))
    assert "than two separate models" in summary.sentence
    assert "random paths of the same cost" in summary.sentence
    accuracy, parameters, compute, gain = summary.cards
    trained, bundle = run.train_result(), Run.read(next((run.folder / "cells").glob("bundle*")))
    test, other = (r.accuracy("test") for r in (trained, bundle.train_result()))
    assert accuracy.value == f"{test.mean():.1%}", "the cell of the run is the run itself"
    assert f"difference to two separate models, {other.mean():.1%} (" in accuracy.beside
    assert parameters.beside.split()[1] in ("fewer", "more", "many")
    assert compute.label == "Multiply-adds per image" and "two separate models" in compute.beside
    assert gain.label == "Searched against random paths" and "random paths" in gain.beside
    for row in summary.rows:
        assert row.against is not None
        assert row.against.points == signed(test[row.domain] - other[row.domain])
        assert f"<small>{row.against.interval}</small>" in text
    exact = {float(value) for value in re.findall(r'<td class="number" data-value="([^"]*)', text)}
    assert exact >= {*test, *trained.accuracy("val")}, "what is saved as CSV is not rounded"
    assert summary.drawing is not None and text.count("Dot plot of parameters") == 2
    assert any("test images alone" in note for note in summary.notes)
    assert [command for _, command in summary.commands] == [
        f'mpnas sweep --run {run.folder} --approaches "mpnas, bundle, random_paths" --seeds "0,1,2"'
    ]
    cell = Summary.of(bundle)
    assert cell.sentence.startswith("Two separate models of ") and not cell.commands
    control = Summary.of(Run.read(next((run.folder / "cells").glob("random*"))))
    assert "than two separate models" in control.sentence, "a cell has the others of its sweep"


def test_cells_with_another_budget_are_not_compared_with_the_run(tmp_path: Path) -> None:
    run = swept(tmp_path, {"steps": 2})
    summary = Summary.of(run)
    assert f"mean test accuracy {run.train_result().accuracy().mean():.1%}." in summary.sentence
    assert "3 finished runs of the sweep had another budget" in " ".join(summary.notes)
    assert summary.cards[0].beside.startswith("from ")
    assert [command for _, command in summary.commands] == [
        f'mpnas sweep --run {run.folder} --approaches "mpnas, bundle, random_paths" --seeds "0"'
    ]


def test_a_sweep_that_cannot_be_read_is_named_on_the_first_page(finished: Run) -> None:
    broken = finished.folder / "cells" / "broken"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    try:
        summary = Summary.of(finished)
    finally:
        shutil.rmtree(broken)
    assert summary.sentence == "" and len(summary.cards) == 4
    assert "cannot be read" in summary.warnings[0] and "broken" in summary.warnings[0]


def test_a_run_without_stages_says_what_comes_next(tmp_path: Path) -> None:
    run = Run(tmp_path / "my run", data="tiny:suite", space="tiny:space")
    run.begin()
    summary = Summary.of(run)
    assert (summary.title, summary.sentence) == ("A run of 2 domains", "")
    assert summary.notes == ["no stage of this run is finished."]
    assert summary.commands[0][1] == f"mpnas search --run '{run.folder}'"
    run.search(tiny.search_config())
    assert Summary.of(run).commands[0][1] == f"mpnas train --run '{run.folder}'"


def test_only_what_a_reader_must_act_on_is_a_warning(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Summary.of(finished).warnings == [], "nobody acts on a quick run"
    monkeypatch.setitem(PROFILES, "quick", replace(PROFILES["quick"], is_result=True))
    found = finished.search_result()
    undecided = (~found.decisions()["decided"]).mean()
    (warning,) = Summary.of(finished).warnings
    assert undecided > 0.1 and warning.startswith(found.verdict())
    assert warning.endswith("Search for more steps, or read its paths with care.")


def test_a_training_of_fewer_domains_is_not_called_one_of_all(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite", space="tiny:space")
    run.search(tiny.search_config())
    found = run.search_result()
    other = next(p for p in tiny.all_paths(run.space) if p != found.paths["a"])
    run.train(tiny.train_config(), paths={"a": other})
    summary = Summary.of(run)
    text = unescape(index_page([page()], run))
    assert summary.title == "One network for 1 domain" and f"<h1>{summary.title}</h1>" in text
    assert " parameters serves a: mean test accuracy" in summary.sentence
    assert "1 of the 2 domains were trained." in summary.notes
    assert any(note.startswith("No search has found the paths.") for note in summary.notes)
    assert [row.path for row in summary.rows] == [other.arch, None]
    assert [row.cost for row in summary.rows] == [None, None]
    assert "the training has other paths than the search found." in summary.notes


def test_separate_models_are_not_called_one_network(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", data="tiny:suite", space="tiny:space", approach="bundle")
    run.search(run.search_config(steps=2, batch_size=8, reward_batch=8, threads=1))
    run.train(run.train_config(steps=2, batch_size=8, threads=1))
    summary = Summary.of(run)
    assert summary.title == "2 networks for 2 domains"
    assert summary.sentence.startswith("Two separate models of ")
    assert any(n.endswith("Every path was trained as a model of its own.") for n in summary.notes)
    sizes = {card.label: card.beside for card in summary.cards}
    assert sizes["Parameters"].startswith("not fewer than the paths as separate models")


def test_a_run_that_takes_a_search_says_whose(finished: Run) -> None:
    taking = finished.sibling(finished.folder.parent / "taking", search_from=finished.folder)
    taking.train(tiny.train_config())
    summary = Summary.of(taking)
    words = " ".join([*summary.notes, *summary.warnings])
    assert finished.search_result().verdict() in words
    assert "It is the search of the run ../run" in words
    assert summary.rows[0].cost is not None


def test_links_to_pages_with_odd_names(finished: Run, tmp_path: Path) -> None:
    odd = Page("a #1?50% b:c", page().notebook)
    for html in (index_page([odd], finished), notebook_page(odd, [odd], finished)):
        assert 'href="a%20%231%3F50%25%20b%3Ac.html"' in html


def test_the_stamp_stands_on_quick_pages_only(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [page()]
    assert "not a result" in index_page(pages, finished)
    assert "not a result" in notebook_page(pages[0], pages, finished)
    full = Run.read(finished.folder)
    full.description = replace(full.description, profile="full")
    assert "not a result" not in index_page(pages, full)
    assert "not a result" not in notebook_page(pages[0], pages, full)


def test_a_report_without_finished_stages_says_so(tmp_path: Path) -> None:
    opened = Run(tmp_path / "run", domains="digits,icons")
    html = index_page([page()], opened)
    assert "no stage of this run is finished" in unescape(html).lower()


def test_the_style_knows_light_dark_and_paper() -> None:
    style = (report_pages.TEMPLATES / "style.css").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in style and "@media print" in style
