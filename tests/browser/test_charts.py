"""Time charts, policy maps and controls of monitors in Chromium, each view in a page of its own."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from tabs import Tab, findings
from views import changed, show, state

from mpnas_kit.space.spaces import pocket_space
from mpnas_kit.widgets.lines import Group, Lines, Panel
from mpnas_kit.widgets.monitor import Controls
from mpnas_kit.widgets.policy import Policy

pytestmark = pytest.mark.xdist_group("browser")
DOMAINS = ["digits", "letters", "textures"]
INK = """() => [...document.querySelectorAll('.plot canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + data[i + 3]) % 1000003;
  return sum;
})"""


def chart(steps: int = 100, domains: Sequence[str] = DOMAINS) -> Lines:
    """Straight lines: at step s, domain k has reward k + s / 100 and, mostly, cost 10 (k + 1)."""
    made, at = Lines(domains), np.arange(1, steps + 1)
    reward = np.arange(len(domains))[:, None] + at / 100
    cost = np.tile(10.0 * (np.arange(len(domains))[:, None] + 1), steps)
    cost[0, :2] = 0, -1
    few = at[9::40]
    made.show(
        [
            Panel("reward", at, [Group(reward)]),
            Panel("cost", at, [Group(cost)], references={"target": 20.0}),
            Panel("accuracy", few, [Group(reward[:, 9::40] / 10)], percent=True),
        ]
    )
    return made


def over(page: Page, panel: int) -> Locator:
    return page.locator(".plot .u-over").nth(panel)


def point(page: Page, panel: int, x: float, y: float = 0.5) -> None:
    """Move the pointer to a place in a panel. x, y: shares of its width and height."""
    box = over(page, panel).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def caption(page: Page) -> Locator:
    return page.locator(".values caption")


def cells(page: Page, domain: str) -> list[str]:
    return page.locator(".values tbody tr", has_text=domain).locator("td").all_inner_texts()


def shot(page: Page, name: str) -> None:
    if "SHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SHOTS"]) / f"{name}.png", full_page=True)


@pytest.fixture
def shown(tab: Tab) -> Page:
    show(tab.page, chart())
    expect(tab.page.locator(".plot canvas")).to_have_count(3)
    return tab.page


def test_the_crosshair_shows_the_values_of_all_lines_in_all_panels(tab: Tab, shown: Page) -> None:
    expect(caption(shown)).to_have_text("at the last step 100")
    before = shown.locator(".readout").bounding_box()
    point(shown, 0, 0.5, 0.5)
    expect(caption(shown)).to_have_text(re.compile("at step 5[01]"))
    step = int(caption(shown).inner_text().rsplit(" ", 1)[1])
    for k, domain in enumerate(DOMAINS):
        reward, cost, accuracy = cells(shown, domain)
        assert float(reward) == pytest.approx(k + step / 100, abs=0.01)
        assert float(cost) == 10 * (k + 1)
        assert accuracy == f"{10 * (k + 0.5):.1f} %"  # the last evaluation, at step 50
    expect(shown.locator(".plot .near").first).to_have_text(f"letters: 1.5 at {step}")
    expect(shown.locator(".values td.near")).to_have_text("1.5")
    assert shown.locator(".readout").bounding_box() == before
    shown.mouse.move(0, 0)
    expect(caption(shown)).to_have_text("at the last step 100")
    tab.check()


def test_a_drag_zooms_all_panels_and_a_double_click_shows_all(shown: Page) -> None:
    before = shown.evaluate(INK)
    point(shown, 0, 0.25)
    shown.mouse.down()
    point(shown, 0, 0.5)
    shown.mouse.up()
    expect(shown.get_by_role("button", name="All steps")).to_be_enabled()
    first, last = state(shown, "zoom")
    assert first == pytest.approx(26, abs=2) and last == pytest.approx(50, abs=2)
    assert all(a != b for a, b in zip(before, shown.evaluate(INK), strict=True))
    assert state(shown, "step") is None
    part = shown.locator(".overview .part").bounding_box()
    whole = shown.locator(".overview").bounding_box()
    assert part is not None and whole is not None
    assert part["width"] / whole["width"] == pytest.approx(0.25, abs=0.03)
    over(shown, 1).dblclick()
    expect(shown.get_by_role("button", name="All steps")).to_be_disabled()
    assert state(shown, "zoom") == [] and shown.evaluate(INK) == before


def test_the_wheel_zooms_with_ctrl_and_the_page_scrolls_without(shown: Page) -> None:
    point(shown, 0, 0.5)
    shown.mouse.wheel(0, -300)
    shown.wait_for_timeout(100)
    assert state(shown, "zoom") == []
    shown.keyboard.down("Control")
    shown.mouse.wheel(0, -300)
    shown.keyboard.up("Control")
    expect(shown.get_by_role("button", name="All steps")).to_be_enabled()
    first, last = state(shown, "zoom")
    assert 1 < first < 50 < last < 100


def test_the_overview_chooses_and_moves_the_part(shown: Page) -> None:
    box = shown.locator(".overview").bounding_box()
    assert box is not None

    def drag(start: float, end: float) -> None:
        shown.mouse.move(box["x"] + start * box["width"], box["y"] + 15)
        shown.mouse.down()
        shown.mouse.move(box["x"] + end * box["width"], box["y"] + 15, steps=3)
        shown.mouse.up()

    drag(0.2, 0.4)
    first, last = state(shown, "zoom")
    drag(0.3, 0.5)
    moved = state(shown, "zoom")
    assert moved == pytest.approx([first + 20, last + 20], abs=1)


def test_keys_move_the_crosshair_choose_a_line_zoom_and_mark(shown: Page) -> None:
    plot = shown.get_by_role("application", name="reward over the steps")
    plot.focus()
    plot.press("ArrowLeft")
    expect(caption(shown)).to_have_text("at step 99")
    plot.press("Shift+ArrowLeft")
    expect(caption(shown)).to_have_text("at step 89")
    plot.press("ArrowUp")
    plot.press("ArrowUp")
    expect(shown.locator(".plot .near").first).to_have_text("letters: 1.89 at 89")
    expect(shown.get_by_role("status")).to_have_text("letters: 1.89 at 89")
    plot.press("Enter")
    assert state(shown, "step") == 89
    plot.press("+")
    first, last = state(shown, "zoom")
    assert last - first == pytest.approx(99 / 2) and first <= 89 <= last
    plot.press("Home")
    expect(caption(shown)).to_have_text(f"at step {round(first)}")
    plot.press("Escape")
    assert state(shown, "step") is None and state(shown, "zoom") != []
    plot.press("Escape")
    assert state(shown, "zoom") == []


def test_a_key_hides_its_line_and_shows_it_alone(shown: Page) -> None:
    before = shown.evaluate(INK)
    letters = shown.get_by_role("switch", name="letters")
    letters.click()
    expect(letters).to_have_attribute("aria-checked", "false")
    assert state(shown, "hidden") == ["letters"] and shown.evaluate(INK) != before
    letters.press("Enter")
    assert state(shown, "hidden") == []
    letters.dblclick()
    assert state(shown, "hidden") == ["digits", "textures"]
    letters.dblclick()
    assert state(shown, "hidden") == []


def test_a_row_chooses_its_domain_and_a_click_marks_the_step(shown: Page) -> None:
    row = shown.locator(".values").get_by_role("button", name="textures")
    before = shown.evaluate(INK)
    row.click()
    assert state(shown, "domain") == "textures" and shown.evaluate(INK) != before
    expect(row).to_have_attribute("aria-pressed", "true")
    changed(shown, domain="digits", step=40)  # as another explorer would
    expect(row).to_have_attribute("aria-pressed", "false")
    expect(caption(shown)).to_have_text("at the marked step 40")
    expect(shown.locator(".plot .marked").first).to_be_visible()
    point(shown, 0, 0.2)
    shown.mouse.down()
    shown.mouse.up()
    assert state(shown, "step") == pytest.approx(21, abs=1)


def test_a_log_axis_counts_what_it_cannot_show(shown: Page) -> None:
    before = shown.evaluate(INK)
    shown.get_by_label("log axis").check()
    assert state(shown, "log") is True and shown.evaluate(INK)[:2] != before[:2]
    expect(shown.locator(".plot").nth(1)).to_contain_text("2 values at or below 0 are not on")
    shown.get_by_label("log axis").uncheck()
    assert shown.evaluate(INK) == before


def test_new_numbers_keep_what_was_set(tab: Tab) -> None:
    page, lines = tab.page, chart(50)
    show(page, lines)
    page.get_by_label("smoothing").fill("0.9")
    page.get_by_role("switch", name="digits").click()
    changed(page, zoom=[10, 20])
    before = page.evaluate(INK)
    changed(page, content=chart(100).content)
    expect(caption(page)).to_contain_text("at the last step 100")
    assert state(page, "zoom") == [10, 20] and state(page, "hidden") == ["digits"]
    assert state(page, "smoothing") == 0.9
    assert page.evaluate(INK) == before  # the same lines between steps 10 and 20
    expect(page.get_by_role("switch", name="digits")).to_have_attribute("aria-checked", "false")
    tab.check()


def test_a_panel_without_values_says_so_until_they_come(tab: Tab) -> None:
    page, empty = tab.page, Lines(DOMAINS)
    panels = chart().panels
    empty.show([replace(p, steps=[], groups=[Group(np.zeros((3, 0)))]) for p in panels])
    show(page, empty)
    expect(page.get_by_text("No values yet.")).to_have_count(3)
    expect(caption(page)).to_have_text("no values yet")
    point(page, 0, 0.5)
    page.locator(".plot .canvas").first.press("ArrowLeft")
    changed(page, content=chart().content)
    expect(page.get_by_text("No values yet.")).to_have_count(0)
    expect(caption(page)).to_contain_text("step")
    tab.check()


def test_colours_follow_the_theme(shown: Page) -> None:
    before = shown.evaluate(INK)
    shown.evaluate("document.body.dataset.jpThemeLight = 'false'")
    shown.wait_for_timeout(100)
    assert all(a != b for a, b in zip(before, shown.evaluate(INK), strict=True))


def test_a_chart_in_a_hidden_tab_is_drawn_when_the_tab_is_shown(tab: Tab) -> None:
    page = tab.page
    show(page, Lines(DOMAINS))
    page.evaluate("document.getElementById('view').style.display = 'none'")
    changed(page, content=chart().content)
    page.wait_for_timeout(100)
    expect(page.locator(".plot canvas")).to_have_count(0)
    page.evaluate("document.getElementById('view').style.display = ''")
    expect(page.locator(".plot canvas")).to_have_count(3)
    expect(page.locator(".overview canvas")).to_have_count(1)
    tab.check()


@pytest.mark.parametrize("width", [600, 1400, 2560])
def test_a_chart_fills_the_page_and_no_more(tab: Tab, width: int) -> None:
    page = tab.page
    page.set_viewport_size({"width": width, "height": 900})
    show(page, chart())
    expect(page.locator(".plot canvas")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.plot, .readout')]"
        ".map((e) => e.getBoundingClientRect().right))"
    )
    assert 0.85 * width < right <= width
    wide = page.locator(".plot").first.bounding_box()
    page.set_viewport_size({"width": width - 100, "height": 900})
    page.wait_for_timeout(200)
    narrow, canvas = (page.locator(s).first.bounding_box() for s in (".plot", ".plot canvas"))
    assert wide is not None and narrow is not None and canvas is not None
    assert canvas["width"] == pytest.approx(narrow["width"], abs=1)
    shot(page, f"chart-{width}")


# Policy maps and controls -------------------------------------------------------------------------


def policy(domains: Sequence[str] = DOMAINS) -> Policy:
    """The first domain is decided, the second leans to the second choice, the third has ties."""
    space = pocket_space(32)
    made = Policy(space, domains)
    most = max(len(d.choices) for d in space.decisions)
    values = np.zeros((len(domains), len(space.decisions), most), dtype=np.float32)
    for k, decision in enumerate(space.decisions):
        n = len(decision.choices)
        values[:, k, :n] = 1 / n
        values[0, k, :n] = [0.98, *[0.02 / (n - 1)] * (n - 1)]
        values[1, k, :n] = [0.9 / n, 1.1 / n, *[1 / n] * (n - 2)]
    made.show(values, "policy after step 7")
    return made


def test_policy_maps_show_values_and_ties_as_undecided(tab: Tab) -> None:
    page = tab.page
    show(page, policy())
    maps = page.locator(".policies svg")
    first = policy().decisions[0]
    assert f"{first.name} {first.choices[0]}" in str(maps.nth(0).get_attribute("aria-label"))
    leaning = f"{first.name} {first.choices[1]} (undecided)"
    assert leaning in str(maps.nth(1).get_attribute("aria-label"))
    tied = str(maps.nth(2).get_attribute("aria-label"))
    assert f"{first.name} undecided" in tied and first.choices[0] not in tied
    expect(maps.nth(2).locator("circle:visible")).to_have_count(0)
    expect(maps.nth(0)).to_contain_text(first.name)
    maps.nth(0).locator(".cell").first.hover()
    expect(page.get_by_role("status")).to_contain_text(f"digits, {first.name}")
    expect(page.get_by_role("status")).to_contain_text("98.0 %")
    tab.check()


def test_a_cell_chooses_a_node_for_all_views(tab: Tab) -> None:
    page, made = tab.page, policy()
    show(page, made)
    cell = page.locator(".policies svg").nth(1).locator(".cell").first
    cell.focus()
    page.keyboard.press("Enter")
    first = made.decisions[0]
    assert state(page, "domain") == "letters"
    assert state(page, "node") == [first.layer, first.choices[0]]
    expect(page.locator(".cell[aria-pressed=true]")).to_have_count(3)  # in the map of every domain
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert state(page, "node") == [3, first.choices[0]]  # the next layer that has this block
    page.keyboard.press("Enter")
    assert state(page, "node") == [] and state(page, "domain") == ""


@pytest.mark.parametrize("light", [True, False])
def test_views_have_no_serious_accessibility_findings(tab: Tab, light: bool) -> None:
    page = tab.page
    controls = Controls("search", lambda what: None)
    views: list[Any] = [chart(), policy(), controls]
    for view, mood in zip([*views, controls], ["", "", "running", "paused"], strict=True):
        if mood:
            controls.say(mood, "step 3 of 9", 0.3)
        show(page, view, light)
        page.wait_for_timeout(200)
        shot(page, f"{type(view).__name__}{mood}-{'light' if light else 'dark'}")
        found = findings(page)
        assert not found, "\n".join(found)
