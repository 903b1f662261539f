"""Time the charts and policy maps of explorers in Chromium, without JupyterLab.

    python benchmarks/charts.py [--repeats 20]      # needs Debian's chromium

A chart has five panels with 2,000 steps, a policy map 20 layers. Each line is the processor time of
Chromium per action, in milliseconds, and the median time on the clock from the action to the next
frame. Goal: 100 ms each with 10 domains, 200 ms with 50. The last lines are those of Python: the
answer to a slider of the prioritization explorer.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from playwright.sync_api import Page, sync_playwright

import mpnas_kit as mk
from mpnas_kit.domains.task import Classification, Task
from mpnas_kit.network.net import MultiPathNet
from mpnas_kit.training.result import TrainResult
from mpnas_kit.widgets.lines import Group, Lines, Panel
from mpnas_kit.widgets.policy import Policy
from mpnas_kit.widgets.prioritization import PrioritizationExplorer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from views import plain, show  # noqa: E402

STEPS = 2000
ACT = """async ([all, times]) => {
  const changes = all.map(revive), took = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    model.set(changes[i % changes.length]);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    took.push(performance.now() - began);
  }
  return took;
}"""
HOVER = """async ([selector, times]) => {
  const over = document.querySelector(selector), box = over.getBoundingClientRect(), took = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now(), clientX = box.left + box.width * (0.1 + (0.8 * i) / times);
    const clientY = box.top + box.height / 2;
    const at = document.elementFromPoint(clientX, clientY) ?? over;
    for (const [kind, Kind] of [["mousemove", MouseEvent], ["pointerover", PointerEvent]])
      at.dispatchEvent(new Kind(kind, { clientX, clientY, bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    took.push(performance.now() - began);
  }
  return took;
}"""


def chart(domains: Sequence[str], seed: int) -> Lines:
    """Return a chart of five panels of noisy lines."""
    made, random, at = Lines(domains), np.random.default_rng(seed), np.arange(1, STEPS + 1)
    curve = np.linspace(0.3, 0.95, len(domains))[:, None] * (1 - np.exp(-at / 500))
    lines = [curve + 0.06 * random.normal(size=curve.shape) for _ in range(5)]
    made.show([Panel(f"panel {i}", at, [Group(line)]) for i, line in enumerate(lines)])
    made.smoothing = 0.9
    return made


def policy(domains: Sequence[str], seed: int) -> Policy:
    """Return policy maps of a space with 20 layers."""
    layers = [mk.Layer("stem", 2, (8,), (mk.Conv(3),))]
    blocks = tuple(mk.InvertedBottleneck(k, e) for k in (3, 5, 7) for e in (2, 3))
    layers += [mk.Layer(f"layer {i}", 1, (8,), (None, *blocks)) for i in range(20)]
    layers += [mk.Layer("head", 1, (16,), (mk.Conv(1),))]
    made = Policy(mk.LayerwiseSpace("long", tuple(layers), 32), domains)
    shape = len(domains), 20, len(blocks) + 1
    values = np.random.default_rng(seed).dirichlet(np.ones(shape[2]), shape[:2])
    made.show(values.astype(np.float32), f"policy after step {seed}")
    return made


def measured(page: Page, code: str, given: Any, times: int) -> tuple[float, float]:
    """Return the processor time of Chromium and the median time on the clock, in milliseconds."""
    before = _processor()
    took = page.evaluate(code, [given, times])
    used = sum(s - before.get(pid, 0.0) for pid, s in _processor().items())
    return 1000 * used / times, statistics.median(took)


def _processor() -> dict[int, float]:
    """Return the processor time of every process of the browser, in seconds."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        if "chrom" in child.name():
            times = child.cpu_times()
            found[child.pid] = times.user + times.system
    return found


def training(domains: Sequence[str]) -> TrainResult:
    """Return the result of a training of 2,000 steps, without its network."""
    random, steps = np.random.default_rng(0), np.arange(1, STEPS + 1)
    losses = 0.3 + 3 * np.exp(-steps / 600)[:, None] * random.uniform(0.5, 1, (STEPS, len(domains)))
    history = pd.DataFrame(
        {
            "step": np.repeat(steps, len(domains)),
            "domain": list(domains) * STEPS,
            "loss": losses.ravel(),
            "weight": 1.0,
            "accuracy": 1 - losses.ravel() / 4,
        }
    )
    tasks: dict[str, Task] = {d: Classification(10) for d in domains}
    space = mk.pocket_space(32)
    paths = dict.fromkeys(domains, space.path([0] * len(space.decisions)))
    config = mk.TrainConfig(steps=STEPS)
    return TrainResult(_no_network, paths, config, history, history, space, tasks)


def _no_network() -> MultiPathNet:
    raise NotImplementedError


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    times = parser.parse_args().repeats
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        for count in (10, 50):
            domains = [f"domain{i}" for i in range(count)]
            page = chrome.new_page(viewport={"width": 1400, "height": 1000})
            other = [{"content": plain(chart(domains, seed).content)} for seed in (1, 2)]
            maps = [{"content": plain(policy(domains, seed).content)} for seed in (1, 2)]
            one, layers = domains[0], [[3, "k3e2"], [4, "k5e3"]]
            acts: dict[str, tuple[str, Any]] = {
                "chart: hover": (HOVER, ".u-over"),
                "chart: zoom": (ACT, [{"zoom": [200, 900]}, {"zoom": []}]),
                "chart: hide a line": (ACT, [{"hidden": [one]}, {"hidden": []}]),
                "chart: choose a domain": (ACT, [{"domain": one}, {"domain": ""}]),
                "chart: mark a step": (ACT, [{"step": 500}, {"step": 900}]),
                "chart: smooth": (ACT, [{"smoothing": 0.5}, {"smoothing": 0.9}]),
                "chart: log axis": (ACT, [{"log": True}, {"log": False}]),
                "chart: other numbers": (ACT, other),
                "policy: hover": (HOVER, ".policies svg"),
                "policy: choose a node": (ACT, [{"node": node} for node in layers]),
                "policy: other numbers": (ACT, maps),
            }
            print(f"{count} domains{'':19} {'CPU':>7} {'clock':>7}  ms")
            for name, (code, given) in acts.items():
                if name in ("chart: hover", "policy: hover"):
                    show(page, (chart if name.startswith("chart") else policy)(domains, 0))
                    page.wait_for_timeout(1000)
                used, median = measured(page, code, given, times)
                print(f"{name:28} {used:7.0f} {median:7.0f}", flush=True)
            page.close()
            explorer, took = PrioritizationExplorer(training(domains)), []
            for i in range(times):
                began = time.process_time()
                explorer.end.value = 0.3 + 0.01 * i
                took.append(1000 * (time.process_time() - began))
            print(f"{'prioritization: slider':28} {statistics.median(took):7.0f}", flush=True)
        chrome.close()


if __name__ == "__main__":
    main()
