"""The first screen of a report in a browser: the answer stands on it, at every width."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from playwright.sync_api import Browser
from tabs import new_tab

from mpnas_kit.approaches.random_draws import RandomPaths
from mpnas_kit.approaches.searched import MPNAS, Bundle
from mpnas_kit.report.pages import index_page
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import Prioritizations, Sweep, cells

pytestmark = pytest.mark.xdist_group("browser")

SEEN = """() => {
    const box = name => document.querySelector(name).getBoundingClientRect();
    const drawings = [...document.querySelectorAll(".on-wide svg, .on-narrow svg")];
    const shown = drawings.filter(one => one.getBoundingClientRect().width > 0);
    return {
        shown: shown.map(one => one.parentElement.className),
        drawing: shown.map(one => one.getBoundingClientRect().bottom)[0],
        scale: shown.map(one => one.getBoundingClientRect().width / one.viewBox.baseVal.width)[0],
        answer: box(".answer").bottom,
        side: shown.map(one => one.closest("figure").getBoundingClientRect().right)[0],
        cards: [box(".cards").left, box(".cards").top, box(".cards").bottom],
        cut: [...document.querySelectorAll(".table")]
            .filter(one => one.scrollWidth > one.clientWidth).length,
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    };
}"""
SMALLEST = 8.5  # size of the smallest text of the drawing, in the unit of its viewBox


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    run = Run(folder / "run", data="tiny:suite", space="tiny:space")
    run.search(tiny.search_config())
    run.train(tiny.train_config())
    ways = [MPNAS(), Bundle(), RandomPaths()]
    Sweep(run, cells(ways, [Prioritizations.parse("abdp")])).run()
    file = folder / "index.html"
    file.write_text(index_page([], run), encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("width", "height", "media", "drawing"),
    [
        (1280, 900, "screen", "on-wide"),
        (2560, 1300, "screen", "on-wide"),
        (900, 1024, "screen", "on-wide"),
        (769, 1024, "screen", "on-wide"),
        (768, 1024, "screen", "on-narrow"),
        (375, 812, "screen", "on-narrow"),
        (673, 1001, "print", "on-wide"),
    ],
)
def test_the_answer_and_its_picture_are_on_the_first_screen(
    browser: Browser, index: Path, width: int, height: int, media: Any, drawing: str, scheme: Any
) -> None:
    with new_tab(browser, offline=True) as tab:
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.page.emulate_media(media=media, color_scheme=scheme)
        tab.page.goto(index.as_uri())
        seen = tab.page.evaluate(SEEN)
        tab.check()
    assert seen["shown"] == [drawing]
    assert seen["answer"] < height and seen["drawing"] < height
    left, top, bottom = seen["cards"]
    if media == "screen" and width >= 1280:
        assert left > seen["side"] and bottom < height, "the cards stand beside the picture"
    else:
        assert top > seen["drawing"], "the cards follow the picture"
    assert SMALLEST * seen["scale"] >= 9, "text of the picture is too small"
    assert seen["overflow"] <= 0
    assert width < 900 and media == "screen" or not seen["cut"], "a column is cut off"
