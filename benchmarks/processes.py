"""Compare two processes with one: paths, weights up to rounding, and time.

    python benchmarks/processes.py      # about three minutes; needs two free cores

1. The planted suite, searched by one process and by two (gloo) with the same micro-batches. The
   figures are the right choices of 12, and the largest difference of a weight, divided by the
   largest weight.
2. A search on the ten pocket domains. The figure is the time with one process, divided by the time
   with two. Both are measured in turn; printed are median, smallest and largest of `--repeats`.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch

from mpnas_kit.domains.planted import planted_suite
from mpnas_kit.domains.pocket_suite import pocket
from mpnas_kit.engine.team import joined
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.rewards import Absolute
from mpnas_kit.search.stage import search
from mpnas_kit.space.planted import planted_path, planted_space
from mpnas_kit.space.spaces import pocket_space

PLANTED = SearchConfig(
    steps=400,
    learning_rate=0.1,
    shift=0,
    prioritization=Uniform(),
    reward=Absolute(beta=0.0),
    micro_batches=2,
)
POCKET = SearchConfig(steps=40, cost_target=0.45e6, controller_delay=0.0, warmup_share=0.0)


def one(what: str, folder: str) -> None:
    """Run a search in this process, together with the other processes of torchrun."""
    with joined():
        if what == "planted":
            search(planted_suite(), planted_space(), PLANTED, folder=folder)
        else:
            search(pocket(), pocket_space(), POCKET, folder=folder)


def run(processes: int, what: str, folder: Path) -> dict[str, Any]:
    """Run a search in `processes` processes, and return the content of its timing.json."""
    team = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), __file__]
    command = team if processes > 1 else [__file__]
    subprocess.run([sys.executable, *command, what, str(folder)], check=True, capture_output=True)
    timing: dict[str, Any] = json.loads((folder / "timing.json").read_text())
    return timing


def main() -> None:
    """Run both parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("search", nargs="*", help="(for the processes that this file starts)")
    given = parser.parse_args()
    if given.search:
        one(*given.search)
        return
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / f"planted{n}" for n in (1, 2)]
        for n, folder in enumerate(folders, 1):
            run(n, "planted", folder)
        space = planted_space()
        for folder in folders:
            archs = json.loads((folder / "paths.json").read_text()).values()
            paths = [space.parse(a) for a in archs]
            right = [
                a == b
                for i, p in enumerate(paths)
                for a, b in zip(p.choices, planted_path(space, i).choices, strict=True)
            ]
            print(f"{folder.name}: {sum(right)} of {len(right)} choices right")
        weights = [safetensors.torch.load_file(f / "supernet.safetensors") for f in folders]
        apart = max(float((weights[0][n] - weights[1][n]).abs().max()) for n in weights[0])
        largest = max(float(w.abs().max()) for w in weights[0].values())
        print(f"largest difference of a weight over the largest weight: {apart / largest:.2g}")
        ratios = []
        for repeat in range(given.repeats):
            alone, two = (
                run(n, "pocket", Path(place) / f"pocket{repeat}_{n}")["seconds"] for n in (1, 2)
            )
            ratios.append(alone / two)
        low, high = min(ratios), max(ratios)
        print(f"time of one over two: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
