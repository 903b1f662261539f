"""Time the explorers in a real JupyterLab: from a click to the changed picture.

    python benchmarks/clicks.py RUN [--repeats 7]      # a finished run; needs Debian's chromium

Opens `mpnas explore` on the run in headless Chromium, runs all cells, and operates every explorer.
Each line is the time in milliseconds from the event to the last change of the page that the event
causes: median, smallest and largest of the repeats. Lines marked "(kernel)" need an answer of
Python. Goal: 200 ms each on two cores.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
GALLERY = ".mpnas .gallery button"
IDLE = "Python 3 (ipykernel) | Idle"
QUIET = 60  # after so many ms without a change the answer is complete

WATCH = """(selector) => {
  const all = [...document.querySelectorAll(selector)];
  const seen = { last: 0, began: performance.now() };
  window.mpnasSeen = seen;
  const note = () => { seen.last = performance.now(); };
  seen.observer = new MutationObserver(note);
  const every = { subtree: true, childList: true, attributes: true, characterData: true };
  for (const node of all) seen.observer.observe(node, every);
}"""
TAKEN = """async ([quiet, limit]) => {
  const seen = window.mpnasSeen;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  while (performance.now() - seen.began < limit) {
    if (seen.last && performance.now() - seen.last > quiet) break;
    await pause(5);
  }
  seen.observer.disconnect();
  return seen.last ? seen.last - seen.began : -1;
}"""


@contextmanager
def server(run: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """Run `mpnas explore` on a run without opening a browser; yield the address of the notebook.

    JupyterLab gets a temporary settings folder: no token, no news, the given theme, and all cells
    of a notebook in the page.

    theme: name of a JupyterLab theme.
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
        with (Path(place) / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port)],
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
    page.wait_for_selector(GALLERY, timeout=180_000)
    page.wait_for_selector(f"text={IDLE}", timeout=60_000)


def answered(page: Page, act: Callable[[], None], where: str) -> float:
    """Return the milliseconds from an action to its last change in the elements `where`.

    act: the action. where: a CSS selector.
    """
    page.evaluate(WATCH, where)
    act()
    return float(page.evaluate(TAKEN, [QUIET, 5000]))


def acts(page: Page) -> dict[str, tuple[str, Callable[[int], None]]]:
    """Return what is measured, by name of the line.

    Each value has a CSS selector of the elements that should change, and a function that does the
    action for the n-th time.
    """
    boxes = page.locator(".mpnas.paths").nth(0).locator("input[type=checkbox]")
    paths, other = page.locator(".mpnas.paths").nth(0), ".mpnas.paths"
    cells = page.locator("table.matrix").nth(0).locator("td[tabindex]")
    cost = page.get_by_label("cost", exact=True)
    show, domain = (page.get_by_label(n, exact=True) for n in ("show", "domain"))

    def slide(n: int) -> None:
        paths.locator("input[type=range]").evaluate(
            "(e, n) => { e.value = n; e.dispatchEvent(new Event('input')); }", n % 40
        )

    return {
        "paths: pin a node": (other, lambda n: paths.locator(".node.shared").nth(1).click()),
        "paths: hide a domain": (
            other,
            lambda n: boxes.nth(1).click(),
        ),
        "paths: slide through the search": (other, slide),
        "similarity: open a cell (kernel)": (
            other,
            lambda n: cells.nth(1 + n % 5).evaluate("e => e.click()"),
        ),
        "prioritization: schedule (kernel)": (
            ".mpnas.chart",
            lambda n: page.get_by_label("schedule", exact=True).select_option(index=(1 + n) % 3),
        ),
        "results: another cost (kernel)": (
            ".mpnas.scatter",
            lambda n: cost.select_option(index=1 + n % 4),
        ),
        "images: another domain (kernel)": (
            ".mpnas.images",
            lambda n: domain.select_option(index=1 + n % 2),
        ),
        "images: mistakes (kernel)": (
            ".mpnas.images",
            lambda n: show.select_option(index=2 - 2 * (n % 2)),
        ),
    }


def main() -> None:
    """Measure every explorer and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    with server(given.run) as address, sync_playwright() as playwright:
        chrome = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        page = chrome.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        run_all(page, address)
        print(f"{'line':36} {'median':>7} {'least':>7} {'most':>7}  ms")
        for name, (where, act) in acts(page).items():
            found = [answered(page, lambda n=n, a=act: a(n), where) for n in range(given.repeats)]
            figures = statistics.median(found), min(found), max(found)
            print(f"{name:36} {figures[0]:7.0f} {figures[1]:7.0f} {figures[2]:7.0f}", flush=True)
        chrome.close()


if __name__ == "__main__":
    main()
