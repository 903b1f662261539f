"""A report page in a browser: tables fit; its script sorts, saves, compares and shows values."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import tiny
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from playwright.sync_api import Browser, Page
from tabs import Tab, findings, new_tab

from mpnas_kit.notebook import tables
from mpnas_kit.notebook.html_table import table_html
from mpnas_kit.notebook.show import SVG
from mpnas_kit.report import pages as report_pages
from mpnas_kit.runs.run import Run

pytestmark = pytest.mark.xdist_group("browser")

WIDTHS = [900, 1280, 1440, 1920, 2560]
A4 = 673  # CSS pixels of 178 mm: a sheet without its margins
PHONE = 375
DOMAINS = ["digits", "letters", "icons", "textures", "fashion", "landcover", "scripts", "scene"]
DOMAINS += ["watch", "emoji"]
APPROACHES = ["mpnas", "bundle", "multi_head", "single_path", "single_path(frozen=True)"]
APPROACHES += ["random_paths", "random_paths(seed=2)", "even_paths", "shared_trunk"]

SORTED = pd.DataFrame(
    {"domain": ["a, b", "c", "d"], "test": [1 / 3, 0.9, float("nan")], "sd": [0.01, 0.02, 0.03]}
)
FIGURE = """<svg role="img" aria-label="Two dots of domains" viewBox="0 0 300 150"
style="display: block; width: 400px; max-width: 100%; height: auto"
xmlns="http://www.w3.org/2000/svg"><rect width="300" height="150" fill="var(--card, #ffffff)"/>
<text x="20" y="20" style="fill: var(--ink, #1c2128)">accuracy</text>
<g class="tip"><title>digits: 91.2 %</title><circle cx="60" cy="80" r="8" fill="#2f5fb3"/></g>
<g class="tip"><title>letters: 80.4 %</title><circle cx="200" cy="80" r="8" fill="#8a5a00"/></g>
</svg>"""


def comparison() -> pd.DataFrame:
    """A results table as `tables.comparison_table` returns it, at its widest."""
    row = {"test": 0.7612, "spread": 0.0123, "macro": 0.7234, "val": 0.7711, "params": 123_456.0}
    row |= {"ratio": 3.4, "all_params": 156_789.0, "image": 1.23e6, "union": 4.56e6}
    row |= {"all_images": 1.23e7, "disk": 654_321.0}
    more = {"prioritization": "abdp > uniform", "norm": "per_domain", "seeds": 3}
    return pd.DataFrame([{"approach": name, **row, **more} for name in APPROACHES])


def wide_tables() -> list[str]:
    """The widest tables that the notebooks show."""
    by_approach = {name: [0.7654] * len(DOMAINS) for name in APPROACHES}
    paths = pd.DataFrame(
        {
            "domain": DOMAINS,
            "path": ["k3e2se k5e1 zero k7e2 k3e4 k5e6 k3e2se zero k5e2 k3e2 k3e1 k5e2"] * 10,
            "cost": [456_789] * 10,
            "of_target": [1.03] * 10,
            "undecided": [9] * 10,
        }
    )
    sizes = {name: [123_456] * 10 for name in ("parameters", "shared", "private", "norm", "head")}
    notes = pd.DataFrame({"what to look at": ["digits: 12 images are copies of others. " * 5]})
    return [
        table_html(comparison(), "The results. " * 12, tables.COMPARISON_FORMATS),
        table_html(pd.DataFrame({"domain": DOMAINS, **by_approach}), "By domain."),
        table_html(paths, "The most likely path of every domain.", {"of_target": "{:.0%}"}),
        table_html(pd.DataFrame({"domain": DOMAINS, **sizes}), "Sizes."),
        table_html(
            comparison()[["approach", "test", "spread", "params"]],
            best={"test": "max"},
            spread={"test": "spread"},
        ),
        table_html(notes),
    ]


def html_output(html: str) -> Any:
    return new_output("display_data", {"text/html": html})


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of a notebook and the first page of a report on two runs."""
    home = tmp_path_factory.mktemp("pages")
    runs = []
    for seed in (0, 3):
        run = Run(home / f"run{seed}", data="tiny:suite", domains="a,b", space="tiny:space")
        run.search(tiny.search_config())
        run.train(tiny.train_config(seed=seed))
        runs.append(run)
    sorted_table = table_html(
        SORTED,
        "To sort. It has three rows.",
        {"test": "{:.1%}"},
        best={"test": "max"},
        spread={"test": "sd"},
    )
    figure = new_output("display_data", {SVG: FIGURE}, metadata={SVG: {"caption": "Two dots."}})
    cells = [
        new_markdown_cell("# Trial: a page\n\nThis page shows it.\n\n## Tables"),
        new_code_cell("", outputs=[html_output(sorted_table)]),
        new_code_cell("", outputs=[html_output(one) for one in wide_tables()]),
        new_markdown_cell("## Figures\n\nWords."),
        new_code_cell("", outputs=[figure]),
    ]
    page = report_pages.Page("trial", new_notebook(cells=cells))
    (home / "trial.html").write_text(report_pages.notebook_page(page, [page], runs[0]), "utf-8")
    (home / "index.html").write_text(report_pages.index_page([page], runs[0], runs), "utf-8")
    return home


@pytest.fixture
def tab(browser: Browser, pages: Path) -> Iterator[Tab]:
    """The page of the notebook."""
    with new_tab(browser, offline=True) as opened:
        opened.page.goto((pages / "trial.html").as_uri())
        yield opened
        opened.check()


@pytest.fixture
def page(tab: Tab) -> Page:
    return tab.page


CUT = """() => [...document.querySelectorAll(".table, .table :is(th, td)")]
    .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1
        || one.getBoundingClientRect().right > innerWidth + 1)
    .map(one => `${one.tagName} ${one.scrollWidth} in ${one.clientWidth}: ${one.innerText}`)"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["trial", "index"])
def test_no_table_is_cut_or_scrolled(page: Page, pages: Path, name: str, width: int) -> None:
    page.goto((pages / f"{name}.html").as_uri())
    page.set_viewport_size({"width": width, "height": 900})
    assert page.locator("table").count() >= 2
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("name", ["trial", "index"])
def test_no_table_is_cut_on_a4(page: Page, pages: Path, name: str) -> None:
    page.goto((pages / f"{name}.html").as_uri())
    page.set_viewport_size({"width": A4, "height": 950})
    page.emulate_media(media="print")
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= A4
    assert page.locator(".tools button:visible, select:visible").count() == 0
    broken = page.evaluate(
        """() => [...document.querySelectorAll("figure, tr")]
            .filter(one => getComputedStyle(one).breakInside !== "avoid").length"""
    )
    assert broken == 0, "a figure stays with its caption, and a row on one sheet"


def test_a_wide_window_has_no_wide_gaps(page: Page) -> None:
    page.set_viewport_size({"width": 2560, "height": 900})
    frame = page.locator(".table").first.bounding_box()
    figure = page.locator("figure").bounding_box()
    assert frame and frame["width"] < 700, "a table is as wide as its content"
    assert figure and figure["width"] < 500, "a figure is not blown up"
    boxes = [one.bounding_box() for one in page.locator(".table").all()[1:]]
    right = max(box["x"] + box["width"] for box in boxes if box)
    assert right > 1500, "tables stand beside each other"


def test_a_phone_scrolls_inside_the_frame_and_the_first_column_stays(page: Page) -> None:
    page.set_viewport_size({"width": PHONE, "height": 700})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE
    frame = page.locator(".table").nth(1)
    assert frame.get_attribute("tabindex") == "0", "keys can scroll it"
    first = frame.locator("tbody th").first
    before = first.bounding_box()
    frame.evaluate("one => { one.scrollLeft = 150 }")
    after = first.bounding_box()
    assert before and after and abs(before["x"] - after["x"]) <= 1
    assert findings(page, "scrollable-region-focusable") == []


def domains_of(page: Page) -> list[str]:
    return page.locator(".table").first.locator("tbody th").all_inner_texts()


def test_a_heading_sorts_by_pointer_and_by_keyboard(page: Page) -> None:
    head = page.get_by_role("button", name="test").first
    head.click()
    assert domains_of(page) == ["c", "a, b", "d"]
    assert page.locator("th[aria-sort=descending]").count() == 1
    head.focus()
    page.keyboard.press("Enter")
    assert domains_of(page) == ["a, b", "c", "d"]
    page.keyboard.press("Space")
    assert page.locator("th[aria-sort]").count() == 0


def saved(page: Page, label: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.get_by_role("button", name=label).first.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_saved_table_has_the_exact_values(page: Page) -> None:
    name, content = saved(page, "Save this table as CSV")
    assert name == "trial-to-sort.csv"
    read = pd.read_csv(io.BytesIO(content))
    assert read["domain"].tolist() == SORTED["domain"].tolist()
    assert read["test"].iloc[:2].tolist() == SORTED["test"].iloc[:2].tolist(), "to the last bit"
    assert read["test spread"].tolist() == SORTED["sd"].tolist()
    assert pd.isna(read["test"].iloc[2])
    rows = list(csv.reader(io.StringIO(content.decode())))
    assert [len(row) for row in rows] == [3] * 4


def test_a_saved_figure_needs_no_page(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    name, content = saved(page, "Save this figure as SVG")
    assert name == "trial-two-dots.svg"
    text = content.decode()
    assert "var(" not in text and "#1c2128" in text, "the colours are those of a light page"
    root = ElementTree.fromstring(text)
    assert (root.get("width"), root.get("height")) == ("400", "200")
    assert "font-family" in (root.get("style") or "")
    titles = [one.text for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["digits: 91.2 %", "letters: 80.4 %"]


def test_a_saved_picture_has_twice_the_pixels(page: Page) -> None:
    name, content = saved(page, "Save this figure as PNG")
    assert name == "trial-two-dots.png"
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (800, 400)
        pixels = image.convert("RGB")
        assert pixels.getpixel((790, 390)) == (255, 255, 255)
        assert pixels.getpixel((160, 213)) == (0x2F, 0x5F, 0xB3)


def test_a_value_is_shown_at_once_and_nothing_moves(page: Page) -> None:
    figure, tip = page.locator("figure"), page.locator(".tip-box")
    figure.scroll_into_view_if_needed()
    before = page.evaluate("[document.body.scrollHeight, scrollY]")
    page.locator(".tip circle").first.hover()
    assert tip.inner_text() == "digits: 91.2 %" and tip.is_visible()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    figure.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert tip.inner_text() == "letters: 80.4 %"
    box = tip.bounding_box()
    assert box and box["x"] >= 0 and box["y"] >= 0
    assert page.evaluate("[document.body.scrollHeight, scrollY]") == before
    assert findings(page) == []


def test_a_touch_shows_a_value(browser: Browser, pages: Path) -> None:
    with new_tab(browser, has_touch=True, viewport={"width": PHONE, "height": 700}) as tab:
        tab.page.goto((pages / "trial.html").as_uri())
        tab.page.locator(".tip circle").first.tap()
        assert tab.page.locator(".tip-box").inner_text() == "digits: 91.2 %"
        tab.page.locator("figcaption").tap()
        assert not tab.page.locator(".tip-box").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["trial", "index"])
def test_axe_finds_nothing_serious(page: Page, pages: Path, name: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto((pages / f"{name}.html").as_uri())
    assert findings(page) == []


def test_two_runs_are_compared(page: Page, pages: Path) -> None:
    page.goto((pages / "index.html").as_uri())
    data = json.loads(page.locator("#compared-runs").text_content() or "")
    area = page.locator(".compare")
    assert area.get_by_role("combobox").count() == 2
    values = [next(r["value"] for r in one["results"] if r["name"] == "test: b") for one in data]
    row = area.locator("tr", has=page.get_by_role("rowheader", name="test: b"))
    cells = row.locator("td").all_inner_texts()
    assert cells[:2] == [f"{value:.1%}" for value in values]
    difference = 100 * (values[1] - values[0])
    assert (
        cells[2].replace("−", "-").removesuffix(" points")
        == f"{difference:{'+' * (abs(difference) >= 0.05)}.1f}"
    )
    assert "train: seed" in area.inner_text() and "train: steps" not in area.inner_text()
    area.get_by_role("combobox").nth(1).select_option("run0")
    assert "These runs have the same settings." in area.inner_text()


def test_a_page_can_be_read_without_its_script(browser: Browser, pages: Path) -> None:
    with new_tab(browser, java_script_enabled=False) as tab:
        for name in ("trial", "index"):
            tab.page.goto((pages / f"{name}.html").as_uri())
            assert tab.page.locator("table:visible").count() >= 2
            assert tab.page.locator("button, select").count() == 0
        assert "run3" in tab.page.locator("main").inner_text()


def test_a_page_can_load_and_run_nothing_else(browser: Browser, pages: Path) -> None:
    with new_tab(browser) as tab:
        tab.page.goto((pages / "trial.html").as_uri())
        loaded = tab.page.evaluate(
            """async () => {
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
                const image = new Image();
                const seen = new Promise(done => { image.onload = image.onerror = done; });
                image.src = "http://127.0.0.1:9/x.png";
                await seen;
                const fetched = await fetch("http://127.0.0.1:9/").then(() => true, () => false);
                return [window.ran ?? false, fetched];
            }"""
        )
        assert loaded == [False, False]
        assert tab.outgoing == [] and all("Content Security" in e for e in tab.errors)
        assert len(tab.errors) >= 3
