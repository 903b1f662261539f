"""The explorers of results, similarity and images in a real browser, linked to Python."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from linked import Linked
from playwright.sync_api import Browser, Locator, Page, expect
from tabs import Tab, findings, new_tab

from mpnas_kit.analysis.comparison import Comparison
from mpnas_kit.domains.domain import Domain, DomainSuite
from mpnas_kit.domains.split import TensorSplit
from mpnas_kit.search.result import SearchResult
from mpnas_kit.search.stage import search
from mpnas_kit.training.result import TrainResult
from mpnas_kit.training.stage import train
from mpnas_kit.widgets import DomainBrowser, ResultsExplorer, SimilarityExplorer
from mpnas_kit.widgets.view import Explorer

pytestmark = pytest.mark.xdist_group("browser")
WIDTHS = (600, 1400, 2560)


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(tiny.suite(3), tiny.space(), tiny.search_config(steps=8, policy_snapshots=4))


@pytest.fixture(scope="module")
def trained(found: SearchResult) -> TrainResult:
    return train(tiny.suite(3), found.space, found.paths, tiny.train_config(steps=8))


@pytest.fixture(scope="module")
def many(found: SearchResult) -> DomainBrowser:
    """A browser of 300 classes."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> TensorSplit:
        images = torch.randint(0, 255, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
        return TensorSplit(images, torch.arange(count) % 300)

    names = tuple(f"kind {i}" for i in range(300))
    suite = DomainSuite((Domain("a", names, part(300), part(300), part(2000)),), "wide")
    path = {"a": found.paths["a"]}
    return DomainBrowser(suite, train(suite, found.space, path, tiny.train_config(steps=1)))


def comparison() -> Comparison:
    """Ten approaches with three seeds each, most of them close together."""
    random = np.random.default_rng(0)
    cells, domains = [], []
    for i, approach in enumerate(
        ("mpnas", "bundle", *(f"random_paths(draw={k})" for k in range(8)))
    ):
        size = 180e3 if approach == "bundle" else 7e4 + 900 * i
        for seed in range(3):
            key = {"approach": approach, "prioritization": "abdp", "norm": "shared", "seed": seed}
            sizes = dict.fromkeys(("parameters", "parameters_all", "bytes", "per_image"), size)
            sizes |= dict.fromkeys(("union", "n_images"), size)
            accuracies = {d: 0.6 + random.normal(0, 0.01) for d in ("digits", "icons", "scene")}
            mean = float(np.mean(list(accuracies.values())))
            cells.append({**key, **sizes, "val": mean, "test": mean, "test_macro": mean})
            for split in ("val", "test"):
                for domain, accuracy in accuracies.items():
                    own = {"domain": domain, "split": split, "accuracy": accuracy}
                    domains.append({**key, **own})
    return Comparison(pd.DataFrame(cells), pd.DataFrame(domains))


@pytest.fixture
def wide(browser: Browser) -> Iterator[Tab]:
    with new_tab(browser, viewport={"width": 1400, "height": 1000}) as tab:
        yield tab
        tab.check()


def boxes(found: Locator) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of texts, without their halo of 3 pixels."""
    sizes = [one.bounding_box() for one in found.all() if one.is_visible()]
    ends = [(b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in sizes if b]
    return [(x0 + 3, y0 + 3, x1 - 3, y1 - 3) for x0, y0, x1, y1 in ends]


def test_a_point_selects_its_row_and_a_row_its_point(wide: Tab) -> None:
    page, results = wide.page, ResultsExplorer(comparison())
    Linked(page, results)
    point = page.get_by_role("button", name=re.compile("^bundle:"))
    point.click()
    expect(page.locator("tr.chosen")).to_have_count(1)
    expect(page.locator("tr.chosen th")).to_have_text("bundle")
    assert results.selected is not None and results.selected["approach"] == "bundle"
    page.locator("table.rows").get_by_role("button", name="mpnas", exact=True).click()
    expect(point).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".point[aria-pressed=true]")).to_have_attribute(
        "aria-label", re.compile("^mpnas:")
    )
    page.locator(".point[aria-pressed=true]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("tr.chosen th")).not_to_have_text("mpnas")
    page.get_by_role("gridcell", name=re.compile("^bundle, icons: ")).click()
    expect(page.locator("tr.chosen th")).to_have_text("bundle")
    expect(page.get_by_label("domain", exact=True)).to_have_value("2")
    expect(page.locator(".scatter svg").first).to_contain_text("test top-1, icons")
    assert results.focus.domain == "icons"


def test_headers_sort_with_mouse_and_keys(wide: Tab) -> None:
    page = wide.page
    Linked(page, ResultsExplorer(comparison()))
    head = page.get_by_role("columnheader")
    names = page.locator("table.rows tbody th")
    expect(head.nth(1)).to_have_attribute("aria-sort", "descending")
    best = names.first.inner_text()
    head.nth(1).get_by_role("button").press("Enter")
    expect(head.nth(1)).to_have_attribute("aria-sort", "ascending")
    expect(names.last).to_have_text(best)
    head.nth(2).get_by_role("button").click()
    expect(names.first).to_have_text("bundle")


def test_the_plot_zooms_and_its_labels_do_not_overlap(wide: Tab) -> None:
    page = wide.page
    Linked(page, ResultsExplorer(comparison()))
    labels = page.locator(".scatter .label:not(.spare) text")
    expect(labels.first).to_be_visible()
    for zoomed in (False, True):
        if zoomed:
            area = page.locator(".scatter > svg").bounding_box()
            assert area is not None
            page.mouse.move(area["x"] + 70, area["y"] + 40)
            expect(page.locator(".aim text")).to_have_count(2)
            page.mouse.down()
            page.mouse.move(area["x"] + 260, area["y"] + 260, steps=4)
            page.mouse.up()
            expect(page.get_by_role("button", name="See all")).to_be_enabled()
        places = boxes(labels)
        assert len(places) >= 3
        for i, (x0, y0, x1, y1) in enumerate(places):
            for a0, b0, a1, b1 in places[i + 1 :]:
                assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0
    assert page.locator(".point:not([visibility=hidden])").count() < 10
    page.get_by_role("button", name="See all").click()
    expect(page.locator(".point:not([visibility=hidden])")).to_have_count(10)


def test_a_cell_of_the_similarity_is_read_and_chosen_with_keys(
    wide: Tab, found: SearchResult
) -> None:
    page, explorer = wide.page, SimilarityExplorer(found)
    Linked(page, explorer)
    names = explorer.matrix.content["rows"]
    grid = page.get_by_role("grid")
    expect(grid.locator("[tabindex='0']")).to_have_count(1)
    grid.locator("[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".grid .card")).to_contain_text(f"{names[0]}, {names[2]}: ")
    page.keyboard.press("Enter")
    expect(grid.locator("[aria-selected=true]")).to_have_count(1)
    assert explorer.focus.pair == (names[0], names[2])
    grid.get_by_role("rowheader", name=names[1]).click()
    expect(grid.get_by_role("rowheader", name=names[1])).to_have_class("on")
    assert explorer.focus.domain == names[1]


def test_images_are_paged_enlarged_and_filtered(wide: Tab, trained: TrainResult) -> None:
    page, browser = wide.page, DomainBrowser(tiny.suite(3), trained)
    Linked(page, browser)
    page.set_viewport_size({"width": 600, "height": 900})
    images = page.locator(".gallery button")
    page.get_by_label("split").select_option("train")
    position = page.locator(".images").get_by_role("status")
    expect(position).to_have_text("images 1 to 15 of 36")
    page.get_by_role("button", name="Last").click()
    expect(position).to_have_text("images 31 to 36 of 36")
    assert browser.selected == list(range(30, 36))
    page.get_by_role("button", name="Previous", exact=True).click()
    expect(position).to_have_text("images 16 to 30 of 36")
    images.nth(13).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Image 28 of the train split of a")
    expect(dialog.locator("table.likely tr")).to_have_count(3)
    assert dialog.locator("img").evaluate("one => one.decode().then(() => one.naturalWidth)") == 16
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("Image 29 of the train split of a")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("Image 30 of")  # on the next page
    assert not findings(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(images.nth(0)).to_be_focused()
    page.get_by_label("show").select_option("wrong")
    right = int((~browser.table()["right"]).sum())
    expect(position).to_contain_text(f"of {right}")
    expect(page.locator(".gallery button:not(:has(.wrong))")).to_have_count(0)


def test_a_cell_of_the_confusion_matrix_opens_its_images(wide: Tab, trained: TrainResult) -> None:
    page, browser = wide.page, DomainBrowser(tiny.suite(3), trained)
    Linked(page, browser)
    cell = page.get_by_role("gridcell", name=re.compile(r": [1-9]\d* images")).first
    label, predicted, count = re.fullmatch(  # type: ignore[union-attr]
        r"(.+), (.+): (\d+) images .*", str(cell.get_attribute("aria-label"))
    ).groups()
    cell.click()
    images = page.locator(".gallery button")
    expect(images).to_have_count(int(count))
    alt = re.compile(f"^class {label}, predicted {predicted}, ")
    expect(images.first).to_have_attribute("aria-label", alt)
    cell.click()
    expect(images).to_have_count(12)
    page.locator("table.rows").get_by_role("button", name="class1").click()
    expect(images).to_have_count(4)
    expect(page.get_by_label("class", exact=True)).to_have_value("2")


def test_the_map_of_many_classes_zooms_and_opens_images(wide: Tab, many: DomainBrowser) -> None:
    page = wide.page
    Linked(page, many)
    canvas, card = page.locator("canvas"), page.locator(".map .card")
    canvas.focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(card).to_contain_text("kind 0 predicted as kind 10: ")
    many_images = many.table()
    first = many_images[many_images["label"] == 0].iloc[0]
    while f"as kind {first['predicted']}:" not in card.inner_text():
        right = int(card.inner_text().split("kind ")[2].split(":")[0]) < first["predicted"]
        page.keyboard.press("ArrowRight" if right else "ArrowLeft")
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    expect(page.locator(".gallery button").first).to_have_attribute(
        "aria-label", re.compile(f"^class kind 0, predicted kind {first['predicted']}, ")
    )
    page.get_by_label("find a class").fill("kind 29")
    expect(page.locator(".listing").get_by_role("status")).to_contain_text("of 300")
    page.locator("table.rows").get_by_role("button", name="kind 299", exact=True).click()
    expect(page.locator(".gallery button").first).to_have_attribute(
        "aria-label", re.compile("^class kind 299, ")
    )
    expect(page.get_by_role("rowheader", name="kind 299", exact=True).first).to_be_visible()


def outside(page: Page) -> list[str]:
    """Return elements that are wider than the page and do not scroll in a frame of their own."""
    found: list[str] = page.evaluate("""() => [...document.querySelectorAll("main *:not(svg *)")]
      .filter((one) => !one.closest(".scroll") || one.matches(".scroll"))
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .map((one) => one.outerHTML.slice(0, 120))""")
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_explorers_fit_all_widths_without_accessibility_findings(
    browser: Browser, found: SearchResult, trained: TrainResult, many: DomainBrowser, dark: bool
) -> None:
    explorers: list[Explorer] = [
        ResultsExplorer(comparison()),
        SimilarityExplorer(found),
        DomainBrowser(tiny.suite(3), trained),
        many,
    ]
    for explorer in explorers:
        with new_tab(browser, viewport={"width": WIDTHS[0], "height": 900}) as tab:
            Linked(tab.page, explorer, dark)
            for width in WIDTHS:
                tab.page.set_viewport_size({"width": width, "height": 900})
                tab.page.wait_for_timeout(150)
                assert outside(tab.page) == [], (explorer.bar.title, width)
            assert not findings(tab.page), explorer.bar.title
            tab.check()
