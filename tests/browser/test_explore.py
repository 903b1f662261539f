"""The explorers in a real JupyterLab: every control is used, and the kernel reports its state."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tabs import AXE_SCRIPT, Tab, new_tab

from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.runs import sweep
from mpnas_kit.runs.run import Run

pytestmark = pytest.mark.xdist_group("browser")
STEPS = {"steps": 10, "policy_snapshots": 5, "batch_size": 8, "threads": 1}
LIVE = {"steps": 400, "batch_size": 8, "paths_per_step": 1, "reward_batch": 8, "threads": 1}
INCLUDED = """async () => {
  const found = await axe.run({ include: [['.mpnas']] }, { resultTypes: ['violations'] });
  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
    .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 150)} ${n.failureSummary}`));
}"""

OUTSIDE = """() => [...document.querySelectorAll(".mpnas, .mpnas *:not(svg *)")]
  .filter((one) => {
    const box = one.getBoundingClientRect();
    for (let around = one.parentElement; around.closest(".mpnas"); around = around.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(around).overflowX)) return false;
    return box.width && box.right > one.closest(".jp-Cell").getBoundingClientRect().right + 1;
  })
  .map((one) => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def clicks() -> Iterator[ModuleType]:
    """The benchmark that starts JupyterLab on a run."""
    place = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, place)
    import clicks

    yield clicks
    sys.path.remove(place)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three domains with one cell around it, as short as possible."""
    folder = tmp_path_factory.mktemp("explored") / "run"
    pipeline = Run(folder, domains="digits,icons,textures")
    pipeline.search(pipeline.search_config(**STEPS, controller_delay=0.2, warmup_share=0.1))
    pipeline.train(pipeline.train_config(**{**STEPS, "policy_snapshots": None}, evaluate_every=0))
    small = {"steps": 4, "batch_size": 8}
    sweep.sweep_of(pipeline, approaches="random_paths", seeds="0", search=small, train=small).run()
    return folder


@pytest.fixture(scope="module")
def explored(browser: Browser, clicks: ModuleType, run: Path) -> Iterator[Tab]:
    """The notebook of that run with all cells run."""
    with (
        clicks.server(run) as address,
        new_tab(browser, viewport={"width": 1400, "height": 1000}) as tab,
    ):
        clicks.run_all(tab.page, address)
        yield tab


def asked(page: Page, code: str) -> str:
    """Return what the kernel prints for an expression, which is typed into the last cell."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").last
    cell.scroll_into_view_if_needed()
    prompt = cell.locator(".jp-InputPrompt")
    expect(prompt).not_to_have_text("[*]:", timeout=20_000)  # it may wait for cells before it
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"print('=>', {code})")
    before = prompt.inner_text()
    page.keyboard.press("Control+Enter")
    expect(prompt).not_to_have_text(before, timeout=20_000)
    output = cell.locator(".jp-OutputArea-output").filter(has_text="=>").last
    expect(output).to_be_visible(timeout=20_000)
    return output.inner_text().split("=>", 1)[1].strip()


def shot(page: Page, what: Locator, name: str) -> None:
    """Save a picture if a folder for pictures is given (`SHOTS=folder`)."""
    if "SHOTS" in os.environ:
        what.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        what.screenshot(path=Path(os.environ["SHOTS"]) / f"{name}.png")


def output(page: Page, selector: str) -> Locator:
    """Return the first output area that contains an element of this kind."""
    return page.locator(".jp-Cell-outputArea").filter(has=page.locator(selector)).first


def test_every_cell_ran_and_nothing_went_wrong(explored: Tab) -> None:
    page = explored.page
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".mpnas.problem").count() == 0
    for selector in (".mpnas.paths", "table.matrix", ".mpnas.chart", ".mpnas .gallery"):
        assert page.locator(selector).count() >= 1, selector
    explored.check()


def test_paths_react_to_pointer_and_keys_and_python_reads_the_selection(explored: Tab) -> None:
    page = explored.page
    paths = page.locator(".mpnas.paths").first
    card, nodes = paths.locator(".card"), paths.locator(".node")
    nodes.nth(0).hover()
    expect(card).to_contain_text("stem conv3")
    expect(card).to_contain_text("parameters")
    nodes.nth(0).click()
    expect(nodes.nth(0)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert paths.locator(".node[aria-pressed=true]").count() == 2
    paths.locator("input[type=checkbox]").nth(1).click()
    expect(paths.locator("g[data-domain]")).to_have_count(2)
    selected = asked(page, "explorer.selected")
    assert selected.count("Node(layer=") == 2 and "Node(layer=0, block='conv3'" in selected
    assert "domains=('digits', 'textures')" in selected
    slider = paths.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert asked(page, "explorer.at") == "0"
    for select, domain in zip(paths.locator("select").all(), ("digits", "icons"), strict=True):
        select.select_option(domain)
    expect(paths.locator("g[data-domain]")).to_have_count(2)
    assert "domains=('digits', 'icons')" in asked(page, "explorer.selected")
    shot(page, output(page, ".mpnas.paths"), "paths")


def test_a_cell_of_the_matrix_opens_the_two_paths(explored: Tab) -> None:
    page = explored.page
    area = output(page, "table.matrix")
    area.locator("table.matrix [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(area.get_by_role("gridcell", selected=True)).to_have_count(1)
    expect(area.locator(".mpnas.paths g[data-domain]")).to_have_count(2)
    pair = asked(page, "similarity.selected")
    chosen = [s.input_value() for s in area.locator(".mpnas.paths select").all()]
    assert pair == repr(tuple(chosen))
    shot(page, area, "similarity")


def test_sliders_move_the_replayed_weights_and_leave_the_recorded_ones(explored: Tab) -> None:
    page = explored.page
    area = page.locator(".jp-Cell-outputArea").filter(has=page.get_by_label("schedule"))
    row = area.locator(".values tbody tr").first
    column = (
        area.locator(".values thead th")
        .all_inner_texts()
        .index("weight of the loss, with the sliders")
    )
    values = row.locator("td").all_inner_texts()
    handle = area.locator(".noUi-handle").nth(1)
    handle.focus()
    page.keyboard.press("Home")
    expect(row.locator("td").nth(column)).not_to_have_text(values[column])
    del values[column]
    others = row.locator("td").all_inner_texts()
    del others[column]
    assert others == values
    before = float(asked(page, "prioritization.prioritization.end"))
    assert before < 0.25
    area.get_by_label("schedule").select_option("constant")
    assert "constant" in asked(page, "prioritization.prioritization")
    asked(page, "setattr(prioritization.end, 'value', 0.25)")
    shot(page, area, "prioritization")


def test_points_of_the_results_are_selected_and_read(explored: Tab) -> None:
    page = explored.page
    area = page.locator(".jp-Cell-outputArea").filter(has=page.get_by_label("cost", exact=True))
    area.get_by_label("cost", exact=True).select_option(index=3)
    expect(area.locator(".scatter > svg")).to_contain_text("multiply-adds of the union")
    area.get_by_role("button", name=re.compile("^mpnas: ")).focus()
    page.keyboard.press("Enter")
    expect(area.locator("tr.chosen")).to_have_count(1)
    assert "'approach': 'mpnas'" in asked(page, "results.selected")
    area.get_by_label("split").select_option("val")
    expect(area.locator(".scatter > svg")).to_contain_text("val top-1, mean over domains")
    shot(page, area, "results")


def test_images_mistakes_and_the_images_behind_a_cell(explored: Tab) -> None:
    page = explored.page
    area = output(page, ".mpnas .gallery")
    area.get_by_label("domain", exact=True).select_option("icons")
    expect(area.locator("table.matrix th[scope=row]")).to_have_count(22)
    area.get_by_label("show", exact=True).select_option("wrong")
    images = area.locator(".gallery button")
    expect(area.locator(".gallery button:not(:has(.wrong))")).to_have_count(0)
    images.first.click()
    expect(area.get_by_role("dialog")).to_contain_text("of the test split of icons")
    page.keyboard.press("Escape")
    expect(images.first).to_be_focused()
    area.get_by_label("show", exact=True).select_option("all")
    behind = area.get_by_role("gridcell", name=re.compile(r": [1-9]\d* images")).first
    label, predicted = re.fullmatch(  # type: ignore[union-attr]
        r"(.+), (.+): \d+ images .*", str(behind.get_attribute("aria-label"))
    ).groups()
    behind.click()
    wanted = re.compile(re.escape(f"class {label}, predicted {predicted}"))
    expect(images.first).to_have_attribute("aria-label", wanted)
    shot(page, area, "images")


def test_explorers_have_no_serious_accessibility_findings(explored: Tab) -> None:
    explored.page.evaluate(AXE_SCRIPT)
    found = explored.page.evaluate(INCLUDED)
    assert not found, "\n".join(found)


def test_explorers_are_legible_at_200_percent(explored: Tab) -> None:
    """In half a window, what does not fit scrolls in its own frame; no text is cut."""
    page = explored.page
    page.set_viewport_size({"width": 700, "height": 500})
    try:
        page.keyboard.press("Control+b")  # a reader who enlarges the page hides the side bar
        outside = page.evaluate(OUTSIDE)
        shot(page, page.locator(".mpnas.paths").first, "paths-200")
        assert outside == [], "\n".join(outside)
    finally:
        page.set_viewport_size({"width": 1400, "height": 1000})


def test_explorers_in_the_dark(
    browser: Browser, clicks: ModuleType, run: Path, explored: Tab
) -> None:
    """Text has enough contrast in JupyterLab's dark theme, too."""
    with (
        clicks.server(run, "JupyterLab Dark") as address,
        new_tab(browser, viewport={"width": 1400, "height": 1000}) as tab,
    ):
        clicks.run_all(tab.page, address)
        tab.page.evaluate(AXE_SCRIPT)
        found = tab.page.evaluate(INCLUDED)
        assert not found, "\n".join(found)
        for name, selector in (("paths", ".mpnas.paths"), ("images", ".mpnas .gallery")):
            shot(tab.page, output(tab.page, selector), f"{name}-dark")


def test_a_running_search_is_watched_paused_resumed_and_stopped(
    browser: Browser, clicks: ModuleType, tmp_path: Path
) -> None:
    """The kernel stays free. After a stop, the folder has a checkpoint of the last step."""
    pipeline = Run(tmp_path / "live", domains="digits,icons")

    class Left(Exception):
        """Leaves a search after its first step."""

    def leave(event: object) -> None:
        raise Left

    with pytest.raises(Left):
        pipeline.search(**LIVE, callbacks=[leave])
    with (
        clicks.server(tmp_path / "live") as address,
        new_tab(browser, viewport={"width": 1400, "height": 1000}) as tab,
    ):
        page = tab.page
        clicks.begin_all(page, address)
        status = page.locator(".mpnas.stage [role=status]").first
        state = page.locator(".mpnas.stage .badge").first
        expect(status).to_contain_text("step", timeout=120_000)
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
        expect(state).to_have_text("paused")
        size = status.inner_text()
        page.wait_for_timeout(1500)
        assert status.inner_text() == size
        page.get_by_role("button", name="Resume", exact=True).press("Enter")
        expect(status).not_to_have_text(size)
        assert page.locator(".mpnas.policy .cell").count() > 0
        shot(page, output(page, ".mpnas.chart"), "monitor")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(state).to_have_text("stopped", timeout=20_000)
        step = int(re.findall(r"after step (\d+)", status.inner_text())[0])
        stderr = page.locator("[data-mime-type='application/vnd.jupyter.stderr']")
        error = page.locator("[data-mime-type='application/vnd.jupyter.error']")
        expect(stderr.or_(error).first).to_contain_text("the search was stopped", timeout=20_000)
        assert asked(page, "1 + 1") == "2"
    left = StageFolder(tmp_path / "live" / "search").load_checkpoint()
    assert left is not None and left.step == step < LIVE["steps"]
