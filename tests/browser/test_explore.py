"""The app of a run in a real JupyterLab: linked choices, exports, live stages, and its looks.

What one view does by itself is tested in the files of the views.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tabs import AXE_SCRIPT, Tab, new_tab

from mpnas_kit.engine.stage_folder import StageFolder
from mpnas_kit.runs import sweep
from mpnas_kit.runs.run import Run

pytestmark = pytest.mark.xdist_group("browser")
DOMAINS = ["digits", "icons", "textures"]
STEPS = {"steps": 10, "policy_snapshots": 5, "batch_size": 8, "threads": 1}
LIVE = {"steps": 300, "batch_size": 8, "threads": 1}
NAMES = ["Search", "Paths", "Similarity", "Training", "Prioritization", "Results", "Images"]
SIZE = {"width": 1400, "height": 1000}

FINDINGS = """async () => {
  const found = await axe.run({ include: [['.mpnas-app']] }, { resultTypes: ['violations'] });
  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
    .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 150)} ${n.failureSummary}`));
}"""
OUTSIDE = """() => [...document.querySelectorAll(".mpnas-app, .mpnas-app *:not(svg *)")]
  .filter((one) => {
    const box = one.getBoundingClientRect(), cell = one.closest(".jp-Cell");
    for (let over = one.parentElement; over.closest(".mpnas-app"); over = over.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(over).overflowX)) return false;
    return box.width && box.right > cell.getBoundingClientRect().right + 1;
  })
  .map((one) => one.outerHTML.slice(0, 200))"""
# What every explorer shows as chosen, by its name.
CHOSEN = """() => {
  const text = (one) => one?.textContent.replaceAll("\u00a0", " ").trim() ?? "";
  const all = (root, selector) => [...root.querySelectorAll(selector)];
  const pressed = (root, selector) =>
    text(all(root, selector).find((one) => one.ariaPressed === "true"));
  const choice = (root) => {
    const label = all(root, ".widget-label").find((one) => text(one) === "domain");
    return { domain: text(label?.parentElement.querySelector("select")?.selectedOptions[0]) };
  };
  const chart = (root) => ({
    domain: text(root.querySelector(".values tr.chosen th")),
    step: text(root.querySelector(".values caption")).replace(/[^0-9]*([0-9]+).*/, "$1"),
  });
  const readers = {
    Search: (root) => ({ ...chart(root), node: all(root, ".policy .cell.chosen").length > 0 }),
    Paths: (root) => ({
      domain: pressed(root, ".chip button"),
      node: all(root, ".node[aria-pressed=true]").length > 0,
      pair: all(root, ".compare select").map((one) => one.value).join(),
    }),
    Similarity: (root) => ({ domain: text(root.querySelector("th.on[scope=row]")) }),
    Training: chart, Prioritization: chart, Results: choice, Images: choice,
  };
  const found = { app: { domain: pressed(document, ".mpnas.focus .chip") } };
  for (const head of document.querySelectorAll(".mpnas-app .mpnas.bar h3"))
    found[text(head)] ??= readers[text(head)](head.closest(".mpnas-explorer"));
  return found;
}"""


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
    pipeline = Run(folder, domains=",".join(DOMAINS))
    pipeline.search(pipeline.search_config(**STEPS, controller_delay=0.2, warmup_share=0.1))
    pipeline.train(pipeline.train_config(**{**STEPS, "policy_snapshots": None}, evaluate_every=0))
    small = {"steps": 4, "batch_size": 8}
    sweep.sweep_of(pipeline, approaches="random_paths", seeds="0", search=small, train=small).run()
    return folder


@pytest.fixture(scope="module")
def lab(browser: Browser, clicks: ModuleType, run: Path) -> Iterator[Tab]:
    """The notebook of that run with all cells run."""
    allowed = ["clipboard-read", "clipboard-write"]
    with (
        clicks.server(run) as address,
        new_tab(browser, viewport=SIZE, permissions=allowed) as tab,
    ):
        clicks.run_all(tab.page, address)
        tab.page.keyboard.press("Control+b")  # without the side bar
        yield tab
        tab.check()


@pytest.fixture
def page(lab: Tab) -> Iterator[Page]:
    """The page of the notebook, with nothing chosen."""
    page = lab.page
    clear = page.locator(".mpnas.focus").first.get_by_role("button", name="Clear")
    if clear.is_enabled():
        clear.click()
    yield page
    page.set_viewport_size(SIZE)


@pytest.fixture
def open_tab(page: Page, clicks: ModuleType) -> Callable[[str], Locator]:
    """Opens a tab of the app by its name, and returns the explorer in it."""
    return lambda name: clicks.open_tab(page, name)


def typed(page: Page, code: str) -> Locator:
    """Type code into a new cell below the others, run it, and return the cell."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    cells.last.locator(".jp-InputPrompt").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    count = cells.count()
    cell = cells.nth(count - 1)
    cell.locator(".cm-content").click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Control+Enter")
    return cell


def asked(page: Page, code: str) -> str:
    """Return what the kernel prints for an expression, which is typed into the last cell."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").last
    prompt = cell.locator(".jp-InputPrompt")
    expect(prompt).not_to_have_text("[*]:", timeout=20_000)  # it may wait for cells before it
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"print('=>', {code})")
    before = prompt.inner_text()
    page.keyboard.press("Control+Enter")
    expect(prompt).to_have_text(re.compile(r"\d"), timeout=20_000)
    expect(prompt).not_to_have_text(before, timeout=20_000)
    output = cell.locator(".jp-OutputArea-output").filter(has_text="=>").last
    expect(output).to_be_visible(timeout=20_000)
    return output.inner_text().split("=>", 1)[1].strip()


def settled(page: Page, what: str, wanted: dict[str, Any]) -> None:
    """Wait until the explorers show this, by explorer: a value of `CHOSEN`."""
    found: dict[str, Any] = {}
    for _ in range(60):
        state = page.evaluate(CHOSEN)
        found = {name: state[name].get(what) for name in wanted}
        if found == wanted:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{what}: {found} instead of {wanted}")


def chosen_everywhere(page: Page, domain: str) -> None:
    """Check that all explorers show this domain as chosen; empty: none."""
    none = {"Results": "mean over domains"} if not domain else {}
    names = ["app", *NAMES[:-1], *(["Images"] if domain else [])]
    settled(page, "domain", {name: none.get(name, domain) for name in names})


def test_the_notebook_ran_and_has_all_explorers(lab: Tab) -> None:
    page = lab.page
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".mpnas .problem:visible").count() == 0
    heads = page.locator(".mpnas-app .mpnas.bar h3").all_text_contents()
    assert heads == NAMES
    lab.check()


def test_a_domain_chosen_in_any_explorer_is_chosen_in_all(
    page: Page, open_tab: Callable[[str], Locator]
) -> None:
    page.locator(".mpnas.focus .chip", has_text="icons").click()
    chosen_everywhere(page, "icons")
    assert "domain='icons'" in asked(page, "app.selected")
    row = open_tab("Training").locator(".values tbody button", has_text="digits")
    row.click()
    chosen_everywhere(page, "digits")
    open_tab("Search").locator(".policy .cell").last.click()
    chosen_everywhere(page, "textures")
    open_tab("Paths").locator("svg .end", has_text="icons").click()
    chosen_everywhere(page, "icons")
    open_tab("Similarity").get_by_role("rowheader", name="digits").click()
    chosen_everywhere(page, "digits")
    open_tab("Results").get_by_role("columnheader", name="textures").click()
    chosen_everywhere(page, "textures")
    open_tab("Images").get_by_label("domain", exact=True).select_option("icons")
    chosen_everywhere(page, "icons")
    assert "domain='icons'" in asked(page, "app.selected")
    asked(page, "setattr(app.focus, 'domain', 'textures')")
    chosen_everywhere(page, "textures")
    page.locator(".mpnas.focus").get_by_role("button", name="Clear").click()
    chosen_everywhere(page, "")
    nothing = "Selected(domain=None, pair=None, node=None, search_step=None, train_step=None)"
    assert asked(page, "app.selected") == nothing


def test_a_node_and_a_pair_are_chosen_in_all(
    page: Page, open_tab: Callable[[str], Locator]
) -> None:
    both = {"Search": True, "Paths": True}
    open_tab("Search").locator(".policy .cell").nth(2).click()
    settled(page, "node", both)
    expect(open_tab("Search").locator(".plots")).to_contain_text("probability of ")
    assert "node=Node(layer=1," in asked(page, "app.selected")
    page.locator(".mpnas.focus").get_by_role("button", name="Clear").click()
    settled(page, "node", dict.fromkeys(both, False))
    open_tab("Paths").locator(".node").nth(5).click()
    settled(page, "node", both)
    page.locator(".mpnas.focus").get_by_role("button", name="Clear").click()
    cell = open_tab("Similarity").locator("table.matrix td[tabindex]").nth(1)
    two = str(cell.get_attribute("aria-label")).split(":")[0].split(", ")
    cell.click()
    settled(page, "pair", {"Paths": ",".join(two)})
    expect(page.locator(".mpnas.focus [role=status]")).to_have_text(" and ".join(two))
    assert f"pair={tuple(two)!r}" in asked(page, "app.selected")
    paths = open_tab("Paths")
    other = next(d for d in DOMAINS if d not in two)
    paths.get_by_label("compare: second domain").select_option(other)
    opened = open_tab("Similarity").get_by_role("gridcell", selected=True)
    expect(opened).to_have_attribute(
        "aria-label", re.compile(f"{two[0]}, {other}|{other}, {two[0]}")
    )


def test_a_step_is_chosen_in_all(page: Page, open_tab: Callable[[str], Locator]) -> None:
    chart = open_tab("Search").get_by_role("application").first
    chart.focus()
    for key in ("Home", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".mpnas.focus [role=status]")).to_contain_text("of the search")
    step = int(asked(page, "app.selected.search_step"))
    assert asked(page, "app['paths'].steps[app['paths'].at]") <= str(step)
    expect(open_tab("Similarity").locator(".grid .card").first).to_contain_text("After step")
    second = int(asked(page, "app['paths'].steps[1]"))
    open_tab("Paths").get_by_label("step of the search").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    settled(page, "step", {"Search": str(second)})
    assert asked(page, "app.selected.search_step") == str(second)
    open_tab("Training").get_by_role("application").first.focus()
    for key in ("End", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".mpnas.focus [role=status]")).to_contain_text("step 9 of the training")
    settled(page, "step", {"Training": "9", "Prioritization": "9", "Search": str(second)})


def test_explorers_side_by_side_follow_too(page: Page) -> None:
    arrangement = page.locator(".mpnas-app").get_by_role("button", name="side by side")
    arrangement.click()
    try:
        expect(page.locator(".mpnas-grid .mpnas.bar:visible")).to_have_count(len(NAMES))
        page.locator(".mpnas-grid .mpnas.paths").first.locator("svg .end").first.click()
        chosen_everywhere(page, DOMAINS[0])
    finally:
        page.locator(".mpnas-app").get_by_role("button", name="tabs").click()
    expect(page.locator(".mpnas-app .lm-TabBar-tab")).to_have_count(len(NAMES))


def test_figures_data_and_code_are_taken_along(
    page: Page, open_tab: Callable[[str], Locator]
) -> None:
    paths = open_tab("Paths")
    paths.locator(".node").nth(3).click()
    files = {}
    for kind in ("SVG", "PNG", "CSV"):
        with page.expect_download() as saved:
            paths.get_by_role("button", name=kind, exact=True).click()
        assert saved.value.suggested_filename == f"paths.{kind.lower()}"
        files[kind] = Path(saved.value.path()).read_bytes()
    assert b"<svg" in files["SVG"] and files["PNG"].startswith(b"\x89PNG")
    assert files["CSV"].decode().startswith("step,domain,layer,block,parameters,")
    paths.get_by_role("button", name="Copy as Python").click()
    expect(paths.locator(".bar [role=status]")).to_have_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    again = asked(page, f"(made := {{}}, exec({code!r}, made), made['explorer'].pinned)[-1]")
    assert again == asked(page, "app['paths'].pinned") != "[]"


def test_an_error_in_a_callback_is_shown_until_the_next_answer(
    page: Page, open_tab: Callable[[str], Locator]
) -> None:
    results = open_tab("Results")
    asked(page, "(kept := app['results'].matrix, setattr(app['results'], 'matrix', None))")
    problem = results.locator(".problem")
    results.get_by_label("split").select_option("val")
    expect(problem).to_contain_text("AttributeError: 'NoneType' object has no attribute")
    expect(problem).to_have_attribute("role", "alert")
    asked(page, "setattr(app['results'], 'matrix', kept)")
    results.get_by_label("split").select_option("test")
    expect(problem).to_be_hidden()
    expect(results.locator(".scatter")).to_contain_text("test top-1")


def test_paths_are_edited_with_the_keyboard_alone_and_python_has_them(page: Page) -> None:
    before = asked(page, "app.paths['icons'].arch")
    page.locator(".mpnas.focus .chip").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    chosen_everywhere(page, "icons")
    tab = page.locator(".mpnas-app .lm-TabBar-tab[tabindex='0']")
    for _ in range(8):  # the other domain, Clear, the arrangement, and the tabs
        page.keyboard.press("Tab")
        if tab.evaluate("one => one === document.activeElement"):
            break
    expect(tab).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    paths = page.locator(".mpnas-app .mpnas.paths:visible")
    expect(paths).to_have_count(1)
    node = paths.locator(".node[tabindex='0']")
    for _ in range(20):
        page.keyboard.press("Tab")
        if node.evaluate("one => one === document.activeElement"):
            break
    expect(node).to_be_focused()
    page.keyboard.press("ArrowRight")
    here = paths.locator(".node:focus")
    for key in ("ArrowDown", "ArrowUp"):  # to a node that the domain does not use
        if "icons" in str(here.get_attribute("aria-label")):
            page.keyboard.press(key)
    block = str(here.get_attribute("aria-label")).split(":")[0].split()[-1]
    page.keyboard.press("Shift+Enter")
    expect(paths.locator(".edited")).to_have_text("edited: 1 move")
    after = asked(page, "app.paths['icons'].arch")
    both = zip(before.split(), after.split(), strict=True)
    assert [new for old, new in both if new != old] == [block]
    paths.get_by_role("button", name="Undo").click()
    assert asked(page, "app.paths['icons'].arch") == before


@pytest.mark.parametrize("width", [600, 1400, 2560])
def test_everything_stays_in_its_cell_and_charts_fill_it(
    page: Page, open_tab: Callable[[str], Locator], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    for name in NAMES:
        explorer = open_tab(name)
        page.wait_for_timeout(100)
        outside = page.evaluate(OUTSIDE)
        assert outside == [], (name, *outside)
        if name in ("Search", "Training", "Prioritization"):
            whole, chart = explorer.bounding_box(), explorer.locator(".chart").bounding_box()
            assert whole is not None and chart is not None
            assert chart["width"] > 0.95 * whole["width"]
    texts = page.locator(".mpnas-app .lm-TabBar-tabLabel")
    assert texts.evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth + 1)")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_there_are_no_serious_accessibility_findings(page: Page, theme: str) -> None:
    body = page.locator("body")
    app = page.locator(".mpnas-app")
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).hover()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^JupyterLab {theme}$")).click()
    expect(body).to_have_attribute("data-jp-theme-name", f"JupyterLab {theme}")
    page.locator(".mpnas.focus .chip").first.click()
    app.get_by_role("button", name="side by side").click()
    try:
        expect(page.locator(".mpnas-grid .mpnas.bar:visible")).to_have_count(len(NAMES))
        page.wait_for_timeout(300)
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE_SCRIPT)
        found = page.evaluate(FINDINGS)
        assert not found, "\n".join(found)
    finally:
        app.get_by_role("button", name="tabs").click()


def test_a_search_is_paused_stopped_and_continued_and_a_training_is_live(
    page: Page, tmp_path: Path
) -> None:
    """The kernel stays free. After a stop, the folder has a checkpoint of the last step."""
    folder = tmp_path / "live"

    class Left(Exception):
        """Leaves a search after its first step."""

    def leave(event: object) -> None:
        raise Left

    with pytest.raises(Left):
        Run(folder, domains="digits,icons").search(**LIVE, callbacks=[leave])
    cell = typed(page, f"live = mk.explore({str(folder)!r})\ndisplay(live)\nawait live.finish()")
    app = cell.locator(".mpnas-app")
    status, state = app.locator(".stage [role=status]").first, app.locator(".stage .badge").first
    expect(status).to_contain_text("step", timeout=60_000)
    app.get_by_role("button", name="Pause", exact=True).click()
    expect(state).to_have_text("paused")
    seen = status.inner_text()
    page.wait_for_timeout(1000)
    assert status.inner_text() == seen
    app.get_by_role("button", name="Resume", exact=True).press("Enter")
    expect(status).not_to_have_text(seen)
    assert app.locator(".policy .cell").count() > 0
    app.get_by_role("button", name="Stop", exact=True).click()
    expect(state).to_have_text("stopped", timeout=20_000)
    step = int(re.findall(r"after step (\d+)", status.inner_text())[0])
    expect(cell).to_contain_text("the search was stopped", timeout=20_000)
    checkpoint = StageFolder(folder / "search").load_checkpoint()
    assert checkpoint is not None and checkpoint.step == step < LIVE["steps"]
    again = typed(page, "await live.finish()")
    expect(state).to_have_text("finished", timeout=60_000)
    app.locator(".lm-TabBar-tab", has_text="Training").click()
    training = app.locator(".mpnas-explorer:visible").filter(has_text="loss (nats)").first
    expect(training.locator(".stage [role=status]")).to_contain_text("step", timeout=60_000)
    expect(training.locator(".values caption")).to_contain_text("at the last step")
    training.get_by_role("button", name="Stop", exact=True).click()
    expect(training.locator(".badge")).to_have_text("stopped", timeout=20_000)
    expect(again).to_contain_text("the training was stopped", timeout=20_000)


def test_a_search_of_another_process_is_watched_and_stopped(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    options = ["--domains", "digits,icons", "--steps", "5000", "--batch-size", "8"]
    command = [sys.executable, "-m", "mpnas_kit", "search", "--run", str(folder), *options]
    with (tmp_path / "log").open("w") as log:
        other = subprocess.Popen([*command, "--threads", "1"], stdout=log, stderr=log)
    try:
        for _ in range(600):
            if (folder / "search" / "metrics.jsonl").exists():
                break
            page.wait_for_timeout(100)
        cell = typed(page, f"seen = mk.explore({str(folder)!r})\nseen")
        app = cell.locator(".mpnas-app")
        stage = app.locator(".stage").first
        expect(stage.get_by_role("status")).to_contain_text("s per step", timeout=30_000)
        expect(stage).to_contain_text("Another process runs it")
        stage.get_by_role("button", name="Stop", exact=True).click()
        assert other.poll() is None
        stage.get_by_role("button", name="Stop it").click()
        expect(stage.locator(".badge")).to_have_text("stopped", timeout=30_000)
        assert other.wait(20) != 0
    finally:
        other.kill()
        other.wait()
    checkpoint = StageFolder(folder / "search").load_checkpoint()
    assert checkpoint is not None and checkpoint.step > 0
    assert "stopped" in (tmp_path / "log").read_text()
