"""The committed report in a browser without a network: it is complete and accessible."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tabs import Tab, findings, new_tab

from mpnas_kit.report.build import PIPELINE

pytestmark = pytest.mark.xdist_group("browser")

REPORT = Path(__file__).parents[2] / "reports" / "reference"
PAGES = sorted(REPORT.glob("*.html"))
LARGEST = {"index": 1_500_000, "page": 2_500_000}  # bytes; the first page must load at once
WIDE, HALF = 1280, 640  # CSS pixels: a usual window, and the same at 200 %


@pytest.fixture(scope="module", params=PAGES, ids=[file.stem for file in PAGES])
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Tab]:
    """A tab for every page of the report, offline."""
    with new_tab(browser, offline=True) as tab:
        tab.page.goto(request.param.as_uri())
        yield tab


@pytest.fixture
def page(opened: Tab) -> Page:
    """The page on a screen, light, in a window of usual width."""
    opened.page.set_viewport_size({"width": WIDE, "height": 800})
    opened.page.emulate_media(media="screen", color_scheme="light")
    return opened.page


def test_the_report_has_its_pages() -> None:
    assert {"index", *PIPELINE} <= {file.stem for file in PAGES}


def test_nothing_is_loaded_from_elsewhere_and_nothing_fails(opened: Tab) -> None:
    opened.check()
    loaded = opened.page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert all(address.startswith("data:") for address in loaded)


def test_a_page_is_small_enough(page: Page, opened: Tab) -> None:
    file = REPORT / page.url.rpartition("/")[2]
    assert file.stat().st_size <= LARGEST["index" if file.stem == "index" else "page"]


def test_every_figure_is_visible_and_described(page: Page) -> None:
    figures = page.evaluate(
        """() => [...document.querySelectorAll("svg:not([aria-hidden]), img, figure")]
            .filter(one => !one.parentElement.closest("svg"))
            .filter(one => !one.closest(".on-narrow"))
            .map(one => {
                const box = one.getBoundingClientRect();
                const picture = one.matches("figure") ? one.querySelector("svg, img") : one;
                const said = picture?.matches("img")
                    ? picture.alt
                    : picture?.getAttribute("role") === "img" && picture.ariaLabel;
                const caption = one.closest("figure")?.querySelector("figcaption")?.innerText;
                return {
                    what: one.outerHTML.slice(0, 200),
                    area: box.width * box.height,
                    drawn: picture?.matches("img") ? picture.naturalWidth
                        : picture?.querySelectorAll("path, use, image, rect").length,
                    said: said || "",
                    caption: caption ?? "none",
                };
            })"""
    )
    assert figures
    for one in figures:
        assert one["area"] > 1000, f"no size: {one['what']}"
        assert one["drawn"], f"nothing in it: {one['what']}"
        assert len(one["said"].split()) >= 3, f"nothing said: {one['what']}"
        assert one["caption"].strip(), f"an empty caption: {one['what']}"


def test_headings_are_in_order_and_the_contents_lead_to_them(page: Page) -> None:
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1])"
    )
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids)), "an id stands for one element"
    inside = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => decodeURIComponent(a.hash))"
    )
    assert {link.removeprefix("#") for link in inside} <= set(ids)
    headings = page.evaluate("[...document.querySelectorAll('main h2')].map(h => h.id)")
    contents = page.evaluate(
        "[...document.querySelectorAll('.contents a')].map(a => decodeURIComponent(a.hash))"
    )
    if not page.url.endswith("index.html"):
        assert [link.removeprefix("#") for link in contents] == headings


def test_links_lead_to_existing_pages(page: Page) -> None:
    links = set(page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.pathname)"))
    assert {str(REPORT / f"{name}.html") for name in ("index", *PIPELINE)} <= links
    assert all(Path(link).exists() for link in links)


def test_tables_have_a_header_cell_for_every_column(page: Page) -> None:
    tables = page.evaluate(
        """() => [...document.querySelectorAll("table")].map(table => ({
            head: [...[...table.tHead?.rows ?? []].at(-1)?.cells ?? []]
                .map(cell => [cell.tagName, cell.textContent.trim()]),
            columns: [...table.tBodies].flatMap(b => [...b.rows]).map(row => row.cells.length),
        }))"""
    )
    assert tables
    for table in tables:
        assert table["head"] and all(tag == "TH" and text for tag, text in table["head"])
        assert table["columns"] and set(table["columns"]) == {len(table["head"])}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert findings(page) == []
    assert ground(page) == scheme


def test_a_page_is_legible_at_200_percent(page: Page) -> None:
    page.set_viewport_size({"width": HALF, "height": 400})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= HALF
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    outside = page.evaluate(
        """() => [...document.querySelectorAll("body *:not(svg *)")]
            .filter(one => {
                let box = one.getBoundingClientRect();
                for (let around = one.parentElement; around; around = around.parentElement)
                    if (getComputedStyle(around).overflowX === "auto") return false;
                return box.width && box.right > innerWidth + 1;
            })
            .map(one => one.outerHTML.slice(0, 200))"""
    )
    assert outside == [], "wide things scroll inside a frame of their own"
    assert page.evaluate("document.scrollingElement.scrollWidth") <= HALF
    assert findings(page, "scrollable-region-focusable") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_can_be_printed(page: Page, scheme: str) -> None:
    page.emulate_media(media="print", color_scheme=scheme)
    assert ground(page) == "light", "paper is white"
    shown = page.evaluate(
        """() => Object.fromEntries(["h1", "main h2", "main p", "figure", "table"].map(what => [
            what,
            [...document.querySelectorAll(what)].filter(one => !one.closest("details"))
                .filter(one => !one.checkVisibility({ visibilityProperty: true })
                    || !one.getBoundingClientRect().height)
                .map(one => one.outerHTML.slice(0, 200)),
        ]))"""
    )
    assert shown == dict.fromkeys(shown, [])
    assert not page.is_visible(".bar nav"), "links to other pages are of no use on paper"
    assert findings(page, "color-contrast") == []


def ground(page: Page) -> str:
    """Return whether the background of the page is light or dark, with text of the opposite."""
    red = page.evaluate(
        """() => ["backgroundColor", "color"].map(
            what => +getComputedStyle(document.body)[what].match(/\\d+/)[0])"""
    )
    return "light" if red[0] > 200 and red[1] < 60 else "dark" if red[0] < 60 else f"neither: {red}"
