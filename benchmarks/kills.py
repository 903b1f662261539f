"""Check that a run killed at 30 random points ends bit for bit like an undisturbed run.

    python benchmarks/kills.py [--kills 30] [--seed 0]      # about four minutes

The command line searches and trains two domains. Each process gets SIGKILL at a random moment
between its start and a little after its end. Then the same command is given again, until that many
processes have been killed. Results, metrics, policy, paths and weights are compared byte by byte.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

COMMAND = [sys.executable, "-m", "mpnas_kit"]
SETTINGS = ["--steps", "40", "--checkpoint-every", "7", "--threads", "1"]
FILES = {
    "search": ("results.json", "metrics.jsonl", "policy.npy", "paths.json", "supernet.safetensors"),
    "train": ("results.json", "metrics.jsonl", "paths.json", "model.safetensors"),
}


def start(stage: str, run: Path) -> "subprocess.Popen[bytes]":
    """Start the command of a stage, and return its process."""
    domains = ["--domains", "digits,icons"] if stage == "search" else []
    arguments = [*COMMAND, stage, "--run", str(run), *SETTINGS, *domains]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def whole(run: Path) -> dict[str, float]:
    """Run both stages undisturbed, and return the time of each in seconds."""
    taken = {}
    for stage in FILES:
        began = time.monotonic()
        if start(stage, run).wait() != 0:
            raise SystemExit(f"mpnas {stage} failed")
        taken[stage] = time.monotonic() - began
    return taken


def killed(stage: str, run: Path, after: float) -> bool:
    """Start a stage and kill it `after` seconds; return whether it was still running then."""
    process = start(stage, run)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def logged(stage: str, run: Path) -> int:
    """Return the number of steps in the metrics file."""
    file = run / stage / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def main() -> None:
    """Kill and compare. The exit status is 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, points, differing, runs = random.Random(given.seed), Counter(), [], 0
    with tempfile.TemporaryDirectory() as place:
        taken = whole(Path(place) / "whole")
        while sum(points.values()) < given.kills:
            runs += 1
            run = Path(place) / f"run{runs}"
            for stage, names in FILES.items():
                while killed(stage, run, chance.uniform(0, 1.3 * taken[stage])):
                    points[stage] += 1
                    print(f"{stage} killed with {logged(stage, run)} steps logged", flush=True)
                for name in names:
                    one, other = (Path(place) / r / stage / name for r in ("whole", run.name))
                    if one.read_bytes() != other.read_bytes():
                        differing.append(f"{run.name}/{stage}/{name}")
    print(f"{sum(points.values())} kills {dict(points)} in {runs} runs; differing: {differing}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
