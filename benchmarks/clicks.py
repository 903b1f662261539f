"""Time the app of a run in a real JupyterLab: from a click or a hover to the changed picture.

    python benchmarks/clicks.py RUN [--repeats 7]      # a finished run; needs Debian's chromium
    python benchmarks/clicks.py --many                 # 50 domains and 20 layers, made for this

Opens `mpnas explore` on the run in headless Chromium, runs all cells, and operates every explorer.
Each line is the time in milliseconds from the event to the paint of the last change that it causes
anywhere in the app: median, smallest and largest of the repeats. So a line includes the answers of
Python and of all explorers that follow the choice. Goals for the median on two cores: 100 ms, with
`--many` 200 ms. The exit status is 1 if a line misses its goal. The last column is the processor
time of Chromium, JupyterLab and the kernel together: it is the same on a busy machine.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import many
import psutil
from playwright.sync_api import Locator, Page, sync_playwright

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
APP = ".mpnas-app"
IDLE = "Python 3 (ipykernel) | Idle"
GOAL, GOAL_MANY = 100, 200  # milliseconds
QUIET = 300  # after so many ms without a change the answer is complete
CLICK, HOVER = ["click", "change", "keydown"], ["pointerover", "pointermove"]

RAN = """() => {
  const prompts = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell .jp-InputPrompt")];
  return prompts.length > 0 && prompts.every((one) => /\\[\\d+\\]/.test(one.textContent));
}"""
# What is said to screen readers comes later on purpose, and does not count.
WATCH = """([selector, kinds]) => {
  const seen = { began: 0, last: 0 };
  window.mpnasSeen = seen;
  const begin = (event) => { seen.began ||= event.timeStamp; };
  for (const kind of kinds) addEventListener(kind, begin, { capture: true, once: true });
  const painted = new MessageChannel();
  painted.port1.onmessage = () => { seen.last = performance.now(); };
  const note = (changes) => {
    const counts = ({ target }) => !(target.closest ? target : target.parentNode)?.closest(".said");
    if (seen.began && changes.some(counts))
      requestAnimationFrame(() => painted.port2.postMessage(""));
  };
  seen.observer = new MutationObserver(note);
  const every = { subtree: true, childList: true, attributes: true, characterData: true };
  seen.observer.observe(document.querySelector(selector), every);
}"""
TAKEN = """async ([quiet, limit]) => {
  const seen = window.mpnasSeen, since = performance.now();
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  while (performance.now() - since < limit) {
    const now = performance.now();
    if (seen.last ? now - seen.last > quiet : now - since > 5 * quiet) break;
    await pause(10);
  }
  seen.observer.disconnect();
  return seen.last ? seen.last - seen.began : -1;
}"""


class Line(NamedTuple):
    """What is measured.

    name: name of the line.
    tab: name of the tab in which it happens.
    act: does the action for the n-th time.
    events: kinds of the events with which the time begins.
    """

    name: str
    tab: str
    act: Callable[[int], None]
    events: Sequence[str] = CLICK


@contextmanager
def server(run: Path, theme: str = "JupyterLab Light", trust: bool = False) -> Iterator[str]:
    """Run `mpnas explore` on a run without opening a browser; yield the address of the notebook.

    JupyterLab gets a temporary settings folder: no token, no news, the given theme, and all cells
    of a notebook in the page.

    theme: name of a JupyterLab theme. trust: whether modules that the run names are imported.
    """
    with tempfile.TemporaryDirectory() as place:
        user = Path(place) / "lab/user-settings/@jupyterlab"
        settings, tracker = user / "apputils-extension", user / "notebook-extension"
        for folder in (settings, tracker):
            folder.mkdir(parents=True)
        whole = {"windowingMode": "none"}  # cells outside the window stay in the page
        (tracker / "tracker.jupyterlab-settings").write_text(json.dumps(whole))
        news = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
        (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
        ours = {"allow_root": True, "port_retries": 0}
        config = {"ServerApp": ours, "IdentityProvider": {"token": ""}}
        (Path(place) / "jupyter_server_config.json").write_text(json.dumps(config))
        port = _free_port()
        command = [sys.executable, "-m", "mpnas_kit", "explore", str(run), "--no-browser"]
        trusted = ["--trust"] if trust else []
        with (Path(place) / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port), *trusted],
                env={**os.environ, "JUPYTER_CONFIG_DIR": place},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(f"{address}/api", process)
            yield f"{address}/lab/tree/explore.ipynb?reset"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            _wait_until_gone(port)


def _free_port() -> int:
    """Return a free port, below the range that the system gives to other programs."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise SystemExit("no free port for JupyterLab")


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("JupyterLab did not start")


def _wait_until_gone(port: int) -> None:
    """Wait until the port is free. JupyterLab ends later than the command that started it."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)


def begin_all(page: Page, address: str) -> None:
    """Open the notebook and start all its cells."""
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_selector(f"text={IDLE}", timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def run_all(page: Page, address: str) -> None:
    """Open the notebook, run all its cells, and wait for the end."""
    begin_all(page, address)
    page.wait_for_function(RAN, timeout=300_000)
    page.wait_for_selector(f"text={IDLE}", timeout=60_000)


def explorer(page: Page, name: str) -> Locator:
    """Return an explorer of the app by its name, such as "Paths"."""
    head = page.locator(".mpnas.bar h3", has_text=re.compile(f"^{name}$"))
    return page.locator(f"{APP} .mpnas-explorer").filter(has=head)


def open_tab(page: Page, name: str) -> Locator:
    """Open a tab of the app, and return its explorer."""
    page.locator(f"{APP} .lm-TabBar-tab").filter(has_text=re.compile(f"^{name}$")).click()
    opened = explorer(page, name)
    opened.wait_for(state="visible")
    return opened


def answered(page: Page, act: Callable[[], None], events: Sequence[str]) -> tuple[float, float]:
    """Return the milliseconds from an action to the paint of its last change in the app.

    The second number is the processor time of all processes, in milliseconds.

    act: the action. events: kinds of the events with which the time begins.
    """
    page.evaluate(WATCH, [APP, events])
    before = _processor()
    act()
    clock = float(page.evaluate(TAKEN, [QUIET, 10_000]))
    used = sum(seconds - before.get(pid, 0.0) for pid, seconds in _processor().items())
    return clock, 1000 * used


def _processor() -> dict[int, float]:
    """Return the processor time of Chromium, JupyterLab and the kernel, in seconds by process."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            times = child.cpu_times()
            found[child.pid] = times.user + times.system
    return found


def lines(page: Page) -> list[Line]:
    """Return what is measured."""
    search, paths, similarity, training, weights, results, images = (
        explorer(page, name)
        for name in (
            "Search",
            "Paths",
            "Similarity",
            "Training",
            "Prioritization",
            "Results",
            "Images",
        )
    )
    chips = page.locator(f"{APP} .mpnas.focus .chip")
    nodes, cells = paths.locator(".node"), similarity.locator("table.matrix td[tabindex]")
    middle = nodes.count() // 2

    def across(chart: Locator, panel: int = 0) -> Callable[[int], None]:
        """Move the pointer over a time chart."""

        def move(n: int) -> None:
            over = chart.locator(".u-over").nth(panel)
            over.scroll_into_view_if_needed()
            box = over.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + (0.2 + 0.08 * (n % 8)) * box["width"], box["y"] + 60)

        return move

    def mark(n: int) -> None:
        across(search)(n)
        page.mouse.down()
        page.mouse.up()

    def slide(n: int) -> None:
        paths.get_by_label("step of the search").press("ArrowLeft" if n % 8 < 5 else "ArrowRight")

    def move(n: int) -> None:
        """Move the chosen domain to the two first nodes of a layer in turn."""
        nodes.nth(middle + n % 2).press("Shift+Enter")

    def near(n: int) -> None:
        plot = results.locator(".scatter svg").first
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 100 + 20 * (n % 8), box["y"] + 90)

    def choose(name: str, options: Sequence[int]) -> Callable[[int], None]:
        inside = images if name in ("show", "split of the images") else results
        control = inside.get_by_label(name.removesuffix(" of the images"), exact=True)
        return lambda n: _select(control, options[n % len(options)])

    def click(target: Locator) -> Callable[[int], None]:
        return lambda n: target.click()

    def enlarge(n: int) -> None:
        if n % 2:
            images.get_by_role("dialog").get_by_role("button", name="Close").click()
        else:
            images.locator(".gallery button").nth(n % 6).click()

    turn = images.get_by_label("pages of images").get_by_role("button")
    return [
        Line("search: values at the pointer", "Search", across(search), HOVER),
        Line("search: hide a line", "Search", click(search.locator(".keys button").nth(1))),
        Line(
            "search: a cell of the policy, on hover",
            "Search",
            lambda n: search.locator(".policy .cell").nth(3 + n % 5).hover(),
            HOVER,
        ),
        Line("search: mark a step, in all", "Search", mark),
        Line(
            "search: choose a node, in all",
            "Search",
            lambda n: search.locator(".policy .cell").nth(1 + n % 4).click(),
        ),
        Line(
            "paths: a node, on hover",
            "Paths",
            lambda n: nodes.nth(middle + n % 5).hover(),
            HOVER,
        ),
        Line("paths: pin a node, in all", "Paths", lambda n: nodes.nth(middle + n % 5).click()),
        Line(
            "paths: hide a domain",
            "Paths",
            click(paths.locator(".chip input").nth(1)),
        ),
        Line("paths: choose a domain, in all", "Paths", lambda n: chips.nth(2 + n % 5).click()),
        Line("paths: move the domain", "Paths", move),
        Line("paths: slide through the search, in all", "Paths", slide),
        Line(
            "similarity: a cell, on hover", "Similarity", lambda n: cells.nth(n % 5).hover(), HOVER
        ),
        Line("similarity: compare two, in all", "Similarity", lambda n: cells.nth(n % 5).click()),
        Line("training: values at the pointer", "Training", across(training), HOVER),
        Line(
            "training: log axis",
            "Training",
            click(training.get_by_label("log axis")),
        ),
        Line("prioritization: values at the pointer", "Prioritization", across(weights), HOVER),
        Line(
            "prioritization: another temperature",
            "Prioritization",
            lambda n: weights.get_by_label("end temperature").press("ArrowRight"),
        ),
        Line(
            "prioritization: another schedule",
            "Prioritization",
            lambda n: _select(weights.get_by_label("schedule", exact=True), (n + 1) % 3),
        ),
        Line("results: values at the pointer", "Results", near, HOVER),
        Line("results: another cost", "Results", choose("cost", [1, 2, 3, 0])),
        Line("results: another domain, in all", "Results", choose("domain", [1, 2, 3, 0])),
        Line(
            "images: a cell of the confusion, on hover",
            "Images",
            lambda n: images.locator("table.matrix td[tabindex]").nth(n % 5).hover(),
            HOVER,
        ),
        Line("images: another split", "Images", choose("split of the images", [1, 2])),
        Line("images: another domain, in all", "Images", lambda n: chips.nth(2 + n % 5).click()),
        Line("images: mistakes", "Images", choose("show", [2, 0])),
        Line("images: another page", "Images", lambda n: turn.nth(2 - n % 2).click()),
        Line("images: enlarge one, and close", "Images", enlarge),
    ]


def _select(control: Locator, index: int) -> None:
    control.select_option(index=index)


def measure(page: Page, repeats: int) -> Iterable[tuple[str, list[tuple[float, float]]]]:
    """Yield the times of every line, as of `answered`, by its name."""
    for line in lines(page):
        open_tab(page, line.tab)
        page.wait_for_timeout(QUIET)
        yield (
            line.name,
            [answered(page, lambda n=n, act=line.act: act(n), line.events) for n in range(repeats)],
        )


def row(name: str, found: Sequence[tuple[float, float]], goal: float) -> tuple[str, bool]:
    """Return the text of a line, and whether its median reaches the goal.

    found: times as of `answered`. A repeat without any change in the page (below 0) misses it.
    """
    clock, used = ([one[i] for one in found] for i in (0, 1))
    median = statistics.median(clock)
    reached = median <= goal and min(clock) >= 0
    values = (median, min(clock), max(clock), statistics.median(used))
    figures = " ".join(f"{value:7.0f}" for value in values)
    return f"{name:44} {figures}  {'' if reached else 'MISSED'}".rstrip(), reached


@contextmanager
def opened(run: Path, trust: bool = False) -> Iterator[Page]:
    """Open the notebook of a run, with all cells run, and yield its page."""
    with server(run, trust=trust) as address, sync_playwright() as playwright:
        path = shutil.which("chromium")
        chrome = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = chrome.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        run_all(page, address)
        yield page
        chrome.close()


def main(given: Sequence[str] | None = None) -> None:
    """Measure every explorer and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--many", action="store_true", help="a run of 50 domains and 20 layers")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(given)
    if (options.run is None) != options.many:
        parser.error("expected either a run folder or --many")
    with tempfile.TemporaryDirectory() as place:
        run = many.build(Path(place) / "many") if options.many else options.run
        goal = GOAL_MANY if options.many else GOAL
        missed = []
        with opened(run, trust=options.many) as page:
            print(
                f"{'line':44} {'median':>7} {'least':>7} {'most':>7} {'busy':>7}  ms; goal: {goal}"
            )
            for name, found in measure(page, options.repeats):
                text, reached = row(name, found, goal)
                print(text, flush=True)
                missed += [] if reached else [name]
    if missed:
        raise SystemExit(f"{len(missed)} lines miss the goal of {goal} ms: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
