"""The path explorer in Chromium: pins, moves, keys, and how it fits and reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live import open_view, push, until
from playwright.sync_api import Locator, Page, expect
from tabs import AXE_SCRIPT, Tab

import mpnas_kit as mk
from mpnas_kit.search.result import likeliest
from mpnas_kit.widgets import PathExplorer

pytestmark = pytest.mark.xdist_group("browser")
NAMES = ("digits", "letters", "icons", "textures", "scene")
SERIOUS = """async () => {
  const found = await axe.run({ include: [['.mpnas']] }, { resultTypes: ['violations'] });
  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
    .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 150)} ${n.failureSummary}`));
}"""
FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"


def explorer(names: tuple[str, ...] = NAMES, space: Any = None) -> PathExplorer:
    """Five snapshots of a search: at first all choices are equally likely, at last most are not."""
    space = mk.pocket_space(32) if space is None else space
    draw = np.random.default_rng(0)
    most = max(len(d.choices) for d in space.decisions)
    policy = np.zeros((5, len(names), len(space.decisions), most), dtype=np.float32)
    for i, decision in enumerate(space.decisions):
        count = len(decision.choices)
        logits = draw.normal(0, 2.5, count) + draw.normal(0, 1.5, (len(names), count))
        for snapshot in range(5):
            odds = np.exp(snapshot * logits)
            policy[snapshot, :, i, :count] = odds / odds.sum(-1, keepdims=True)
    snapshots = [dict(zip(names, likeliest(space, p), strict=True)) for p in policy]
    targets = dict.fromkeys(names, 6e5)
    return PathExplorer(space, snapshots, (0, 10, 20, 30, 40), policy=policy, targets=targets)


@pytest.fixture
def paths() -> PathExplorer:
    return explorer()


@pytest.fixture
def view(page: Page, tmp_path: Path, paths: PathExplorer, tab: Tab) -> Iterator[Page]:
    """The explorer in a page of 1400 pixels."""
    page.set_viewport_size({"width": 1400, "height": 900})
    open_view(page, tmp_path, paths.view)
    yield page
    tab.check()


def node(page: Page, paths: PathExplorer, layer: int, block: str) -> Locator:
    name = f"{paths.space.layers[layer].name} {block}:"
    return page.locator(f'.node[aria-label^="{name}"]')


def other_block(paths: PathExplorer, domain: str, layer: int) -> str:
    """A block of a layer that the domain does not take."""
    taken = paths.paths[domain].arch.split()[layer - 1]
    return next(b for b in paths.space.layers[layer].choices if b not in (taken, "zero"))


def test_a_pin_highlights_the_paths_through_a_node_and_keeps_its_card(
    view: Page, paths: PathExplorer
) -> None:
    layer = 3
    block = paths.found["digits"].arch.split()[layer - 1]
    through = [d for d in NAMES if paths.found[d].arch.split()[layer - 1] == block]
    node(view, paths, layer, block).click()
    until(view, lambda: paths.pinned == [[layer, block]])
    view.locator(".node").first.hover()
    expect(view.locator(".card b")).to_contain_text("stem")
    view.locator("h4").hover()
    expect(view.locator(".card b")).to_have_text(f"{paths.space.layers[layer].name} {block}")
    lit = view.locator(".stack .lines").nth(1).locator("g")
    expect(lit).to_have_count(len(through))
    expect(view.locator(".card .pins")).to_contain_text(through[0])
    view.locator("input[type=range]").focus()
    view.keyboard.press("Home")
    expect(view.locator(".card")).to_contain_text("Probability at step 0")
    expect(view.locator(".card")).not_to_contain_text("Shared by")
    until(view, lambda: paths.at == 0)
    expect(view.locator(".picture .node.shared")).to_have_count(2)  # stem and head: no choice
    expect(view.locator(".picture .node.undecided")).not_to_have_count(0)


def test_a_line_is_dragged_to_another_node(view: Page, paths: PathExplorer) -> None:
    layer = 4
    before, block = paths.found["icons"], other_block(paths, "icons", layer)
    view.locator(".chip button", has_text="icons").click()
    start = node(view, paths, layer, before.arch.split()[layer - 1]).locator(".body").bounding_box()
    end = node(view, paths, layer, block).locator(".body").bounding_box()
    assert start is not None and end is not None
    view.mouse.move(start["x"] + 8, start["y"] + 8)
    view.mouse.down()
    view.mouse.move(end["x"] + 8, end["y"] + 6, steps=5)
    expect(view.locator(".node.target")).to_have_count(1)
    view.mouse.up()
    expect(view.locator(".edited")).to_have_text("edited: 1 move")
    assert paths.moved() == [("icons", layer)] and paths.pinned == []
    assert paths.paths["icons"].arch.split()[layer - 1] == block
    change = paths.measure().parameters - paths.measure(paths.found).parameters
    row = view.locator(".sizes tr", has_text="parameters, union")
    expect(row).to_contain_text("−" if change < 0 else "+" if change else "no change")
    view.get_by_role("button", name="Undo").click()
    expect(view.locator(".edited")).to_have_text("")
    assert paths.paths == paths.found


def test_everything_works_with_the_keyboard_alone(view: Page, paths: PathExplorer) -> None:
    view.keyboard.press("Tab")  # the domains
    view.keyboard.press("ArrowRight")
    view.keyboard.press("Enter")
    until(view, lambda: paths.domain == "digits")
    view.keyboard.press("ArrowRight")
    view.keyboard.press("Space")
    until(view, lambda: paths.shown == ["digits", *NAMES[2:]])
    focused = "() => document.activeElement.getAttribute('aria-label')"
    for _ in range(20):
        view.keyboard.press("Tab")
        if str(view.evaluate(focused)).startswith("stem"):
            break
    view.keyboard.press("ArrowRight")
    view.keyboard.press("ArrowUp")
    layer, block = 1, str(view.evaluate(focused)).split()[1].rstrip(":")
    view.keyboard.press("Shift+Enter")
    expect(view.locator(".card")).to_contain_text("moved here")
    assert paths.paths["digits"].arch.split()[0] == block
    view.keyboard.press("Enter")
    until(view, lambda: paths.pinned == [[layer, block]])
    choices = list(paths.space.layers[layer].choices)
    listed = view.locator(".take select")
    expect(listed).to_have_value(str(choices.index(block)))
    listed.focus()
    view.keyboard.press("ArrowDown" if block != choices[-1] else "ArrowUp")
    expect(listed).not_to_have_value(str(choices.index(block)))
    until(view, lambda: paths.paths["digits"].arch.split()[0] != block)
    view.keyboard.press("Control+z")
    view.keyboard.press("Control+z")
    expect(view.locator(".edited")).to_have_text("")
    assert paths.moved() == []
    view.keyboard.press("Escape")
    until(view, lambda: paths.pinned == [])


def test_a_refused_move_is_explained(view: Page, paths: PathExplorer) -> None:
    node(view, paths, 1, "k3e1").click(modifiers=["Shift"])
    expect(view.get_by_role("alert")).to_contain_text("Choose a domain first")
    paths.view.refused = "no path has it."
    push(view, paths.view, "refused")
    expect(view.get_by_role("alert")).to_have_text("no path has it.")
    assert paths.moved() == [] and paths.pinned == []


@pytest.mark.parametrize("width", [600, 1400, 2560])
def test_the_graph_fits_its_page(
    page: Page, tmp_path: Path, paths: PathExplorer, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_view(page, tmp_path, paths.view)
    assert page.evaluate(FITS)
    board, stack = (page.locator(s).bounding_box() for s in (".graph", ".stack"))
    assert board is not None and stack is not None
    if width > 1000:
        assert 0.9 * board["width"] <= stack["width"] <= board["width"]
    rows = page.locator(".rows")
    page.locator(".graph .scroll").evaluate("(e) => { e.scrollLeft = 200; }")
    at = rows.bounding_box()
    assert at is not None and at["x"] == pytest.approx(board["x"], abs=1)  # names of rows stay


def test_fifty_domains_and_twenty_layers_fit_too(page: Page, tmp_path: Path) -> None:
    names = tuple(f"domain{i:02d}" for i in range(50))
    many = explorer(names, mk.mobilenet_v3_like(32))
    page.set_viewport_size({"width": 1400, "height": 900})
    open_view(page, tmp_path, many.view)
    assert page.evaluate(FITS)
    ends = page.locator("g[data-domain] .end")
    expect(ends).to_have_count(50)
    tops = ends.evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().top)")
    assert min(np.diff(tops)) >= 12
    page.locator(".chip button", has_text="domain07").click()
    expect(page.locator(".end.bold")).to_have_count(1)


@pytest.mark.parametrize("dark", [False, True])
def test_the_explorer_has_no_serious_accessibility_findings(
    page: Page, tmp_path: Path, paths: PathExplorer, dark: bool
) -> None:
    paths.pinned, paths.domain = [[2, "k3e1"]], "icons"
    paths.move("icons", 4, other_block(paths, "icons", 4))
    open_view(page, tmp_path, paths.view, dark)
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate(SERIOUS)
    assert not found, "\n".join(found)
