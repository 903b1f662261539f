"""Let every change of a file fail, one at a time, and check that nothing is lost.

    python benchmarks/faults.py [--only KIND]     # about eight minutes on one core

A tiny search, training, sweep and report run in this process (a notebook in its kernel). In turn,
each of their changes of a file fails: creating, writing, syncing, renaming, linking, cutting, and
making a folder. Once the disk is full (it stays so), once it has an error (only then). Each time
there must be one sentence with the path and the reason of the system, no unfinished file may be
left, and the same command must then end with the bytes of an undisturbed one.

The table counts, per kind: changes; those that ended in a sentence; unfinished files; commands that
could be repeated; files that differ.
"""

import mpnas_kit  # noqa: F401  (before torch: it sets how threads wait)

# isort: split
import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import faults as disk
import whole
from kills import contents

from mpnas_kit.approaches.random_draws import RandomPaths
from mpnas_kit.approaches.searched import MPNAS
from mpnas_kit.errors import MpnasError
from mpnas_kit.files import UNFINISHED
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.report.build import build_report
from mpnas_kit.runs.run import Run
from mpnas_kit.runs.sweep import Cell, Prioritizations, Sweep

ERRORS = {"full": disk.FULL, "error": disk.BROKEN}
COLUMNS = ("changes", "sentences", "unfinished", "repeated", "differing")
SEARCH = {"steps": 2, "warmup_share": 0.0, "policy_snapshots": 1, "batch_size": 4, "threads": 1}
TRAIN = {"steps": 2, "evaluate_every": 0, "batch_size": 4, "threads": 1}


def search(folder: Path) -> None:
    """Search in a new folder, or continue there."""
    whole.run("search", folder)


def train(folder: Path) -> None:
    """Train in a new folder, or continue there."""
    whole.run("train", folder)


def sweep(folder: Path) -> None:
    """Run two cells around a new run, or continue them. The second waits for the first."""
    run = Run(folder, data="tiny:suite(count=2)", space="tiny:space")
    none = Prioritizations(Uniform(), Uniform())
    Sweep(run, [Cell(MPNAS(), none), Cell(RandomPaths(), none)], SEARCH, TRAIN).run()


def report(folder: Path) -> None:
    """Make a report of one notebook without results."""
    notebook = folder.parent / "one.ipynb"
    cells = [nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    run = folder.parent / "run"
    Run(run, data="tiny:suite(count=2)", space="tiny:space").begin()
    build_report([notebook], run=run, out=folder)


KINDS: dict[str, Callable[[Path], None]] = {
    "search": search,
    "train": train,
    "sweep": sweep,
    "report": report,
}


def faulty(name: str, error: int, place: Path, row: Counter[str]) -> None:
    """Let every change of a kind fail, and count what happens.

    place: empty folder.
    """
    do, undisturbed = KINDS[name], place / "undisturbed"
    do(undisturbed)
    expected, number = contents(undisturbed), 0
    while True:
        number += 1
        folder = place / f"{name}{number}"
        with disk.failing(folder, number, error) as count:
            said = outcome(do, folder)
        if count.changes < number:
            return
        row["changes"] += 1
        reason = os.strerror(error).lower()
        good = reason in said and str(folder) in said and "no sentence" not in said
        row["sentences"] += good
        left = [f for f in folder.rglob(f"*{UNFINISHED}")]
        row["unfinished"] += len(left)
        again = outcome(do, folder)
        row["repeated"] += not again
        found = contents(folder)
        differing = [f for f in expected | found if expected.get(f) != found.get(f)]
        row["differing"] += len(differing)
        if not good or left or again or differing:
            print(f"{name}, change {number}, {reason}: {said or 'no error'}", flush=True)
            print(f"  unfinished {left}, repeated: {again or 'yes'}, differing {differing}")
        shutil.rmtree(folder)


def outcome(do: Callable[[Path], None], folder: Path) -> str:
    """Return the sentence with which a command ends; empty if it is done."""
    try:
        do(folder)
    except MpnasError as error:
        return str(error)
    except Exception as error:
        return f"no sentence, but {error!r}"
    return ""


def main() -> None:
    """Let changes fail and compare. The exit status is 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=KINDS, action="append", help="may be given several times")
    chosen = parser.parse_args().only or list(KINDS)
    began = time.monotonic()
    rows: dict[str, Counter[str]] = {}
    for name in chosen:
        for kind, error in ERRORS.items():
            row = rows[f"{name}, {kind}"] = Counter()
            with tempfile.TemporaryDirectory() as place:
                faulty(name, error, Path(place), row)
            print(f"{name}, {kind}: {dict(row)}, {time.monotonic() - began:.0f} s", flush=True)
    print("| kind | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, row in rows.items():
        print("| " + " | ".join([name, *(str(row[c]) for c in COLUMNS)]) + " |")
    wrong = [r for r in rows.values() if r["unfinished"] or r["differing"]]
    wrong += [r for r in rows.values() if not r["changes"] == r["sentences"] == r["repeated"]]
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
