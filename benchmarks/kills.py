"""Check that commands stopped at 100 random points end bit for bit like undisturbed ones.

    python benchmarks/kills.py [--only KIND] [--kills 100] [--seed 0]     # 18 minutes on two cores

Each kind below stops one process of a command by a signal, at a random moment. Then the same
command is given again, until the kind has its points. At the end, `mpnas check` must find all in
order, and all files but times and checkpoints must equal those of an undisturbed run.

The table counts, per kind: points; those after which the command could continue; files that
differ; processes that still run `PATIENCE` seconds after their parent; files that were left
unfinished; other faults: a traceback, a parent that hangs, or a run that is not in order.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from mpnas_kit.cli.commands import main as mpnas
from mpnas_kit.files import UNFINISHED

MARK = "MPNAS_KILLS"  # environment variable with the run folder: finds all processes of a command
PATIENCE = 5.0  # seconds that processes may run longer than their parent
LONGEST = 90.0  # seconds in which a command must end after its process was stopped
TIMES = ("timing.json", "environment.json", "checkpoint.pt")  # these may differ
DATA = ["--data", "planted(count=2, train=64, test=16)", "--space", "planted"]
COMMON = {"steps": "12", "checkpoint_every": "4", "threads": "1", "batch_size": "8"}
SEARCH = {**COMMON, "reward_batch": "8", "paths_per_step": "2"}
KIT = [sys.executable, "-m", "mpnas_kit"]
RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COLUMNS = ("points", "resumed", "differing", "orphans", "leftovers", "faults")
Command = list[str]
Commands = Callable[[Path], list[Command]]
Process = subprocess.Popen[bytes]


def stages(run: Path) -> list[Command]:
    """Return the commands of a search and a training."""
    search, train = (
        [word for name, value in settings.items() for word in (_option(name), value)]
        for settings in (SEARCH, COMMON)
    )
    return [
        [*KIT, "search", "--run", str(run), *DATA, *search],
        [*KIT, "train", "--run", str(run), *train],
    ]


def in_ranks(run: Path) -> list[Command]:
    """Return the commands of a search and a training in two processes."""
    return [[*RANKS, "-m", "--", "mpnas_kit", *command[len(KIT) :]] for command in stages(run)]


def sweep(run: Path) -> list[Command]:
    """Return the command of a sweep of three cells in two jobs. One cell waits for another."""
    search, train = (
        [word for pair in settings.items() for word in (stage, *pair)]
        for stage, settings in (("--search", SEARCH), ("--train", COMMON))
    )
    chosen = ["--approaches", "mpnas, bundle, random_paths", "--prioritizations", "uniform"]
    jobs = ["--seeds", "0", "--jobs", "2"]
    return [[*KIT, "sweep", "--run", str(run), *DATA, *chosen, *jobs, *search, *train]]


def report(run: Path) -> list[Command]:
    """Return the command of a report of two small notebooks on a finished run."""
    notebooks = [str(run / f"{name}.ipynb") for name in ("one", "two")]
    return [[*KIT, "report", *notebooks, "--run", str(run / "run"), "--out", str(run / "pages")]]


def export(run: Path) -> list[Command]:
    """Return the command that writes a finished run as ONNX files."""
    return [[*KIT, "export", "--run", str(run / "run"), "--out", str(run / "all.onnx")]]


def pair(run: Path) -> list[Command]:
    """Return the command of two searches at once that both prepare the same images in one cache."""
    search = [word for name, value in SEARCH.items() for word in (_option(name), value)]
    images = ["--data", str(run.parent / "images"), "--resolution", "16", "--space", "planted"]
    once = [*KIT, "search", "--run", str(run / "run"), *images, *search]
    return [[sys.executable, __file__, "--pair", str(run / "too"), *once]]


def both(run: str, command: Command) -> int:
    """Do a command and at the same time the same for another run. Return the larger status.

    run: folder of the other run. The folder that it is in also holds the cache of both.
    """
    os.environ["MPNAS_CACHE"] = str(Path(run).parent / "cache")
    place = command.index("--run") + 1
    others = [*command[:place], run, *command[place + 1 :]]
    processes = [subprocess.Popen(each) for each in (command, others)]
    return max(abs(process.wait()) for process in processes) and 1


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


# Processes ----------------------------------------------------------------------------------------


def processes(run: Path) -> dict[int, str]:
    """Return the command lines of the processes of a run, by their number."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                if f"{MARK}={run}\0".encode() in (place / "environ").read_bytes():
                    words = (place / "cmdline").read_bytes().decode(errors="replace")
                    if words:  # a process that waits for its parent has none
                        found[int(place.name)] = words.replace("\0", " ")
    return found


def with_words(*words: str) -> Callable[[Process, Path], list[int]]:
    """Return a function that finds the processes of a run with these words in their command."""

    def victims(process: Process, run: Path) -> list[int]:
        every = {n: line for n, line in processes(run).items() if n != process.pid}
        return [n for n, line in every.items() if all(w in line for w in words)]

    return victims


def parent(process: Process, run: Path) -> list[int]:
    """Return the process of the command itself."""
    return [process.pid]


def beginning(process: Process, run: Path) -> list[int]:
    """Return the process of the command as soon as it has made the run folder."""
    return [process.pid] if run.exists() else []


def group(process: Process, run: Path) -> list[int]:
    """Return the process group of the command, as a negative number."""
    return [-process.pid]


@dataclass(frozen=True)
class Kind:
    """A way to stop a command.

    commands: commands, each to be done before the next.
    victims: processes, one of which is stopped.
    signals: one of them is sent.
    share: share of all points.
    ends: exit statuses that the command may have then.
    soon: whether the signal is sent as soon as there is a victim, not at a random moment.
    """

    commands: Commands
    victims: Callable[[Process, Path], list[int]]
    signals: Sequence[signal.Signals]
    share: int
    ends: Sequence[int]
    soon: bool = False


KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
KILLED = (-KILL,)
STOPPED = (0, 128 + TERM, 128 + INT, -TERM, -INT)  # 0: just done; negative: not yet begun
FAILED = (0, 1, 2)  # 1: torchrun
KINDS = {
    "stage killed": Kind(stages, parent, [KILL], 17, KILLED),
    "stage stopped": Kind(stages, parent, [TERM, INT], 16, STOPPED),
    "run begun": Kind(stages, beginning, [KILL], 20, KILLED, soon=True),
    "rank killed": Kind(in_ranks, with_words("-m mpnas_kit"), [KILL], 6, FAILED),
    "torchrun stopped": Kind(in_ranks, parent, [TERM], 4, (*STOPPED, *FAILED)),
    "torchrun killed": Kind(in_ranks, parent, [KILL], 4, KILLED),
    "worker killed": Kind(sweep, with_words("LokyProcess"), [KILL], 5, FAILED),
    "sweep killed": Kind(sweep, parent, [KILL], 4, KILLED),
    "sweep stopped": Kind(sweep, parent, [TERM], 4, STOPPED),
    "sweep group": Kind(sweep, group, [TERM, INT, KILL], 4, (*STOPPED, *KILLED)),
    "report killed": Kind(report, parent, [KILL], 3, KILLED),
    "kernel killed": Kind(report, with_words("ipykernel"), [KILL], 3, FAILED),
    "report stopped": Kind(report, parent, [TERM], 3, STOPPED),
    "export killed": Kind(export, parent, [KILL], 3, KILLED),
    "cache killed": Kind(pair, with_words("-m mpnas_kit"), [KILL], 4, FAILED),
}


def start(command: Command, run: Path, errors: Path) -> Process:
    """Start a command in its own process group, and return its process."""
    with errors.open("wb") as file:
        return subprocess.Popen(
            command,
            env={**os.environ, MARK: str(run), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )


def hit(process: Process, run: Path, kind: Kind, after: float, draw: random.Random) -> bool:
    """Send the signal after some seconds, when there is a victim. Return whether it was sent."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    while process.poll() is None:
        victims = kind.victims(process, run)
        if victims:
            if kind.soon:
                time.sleep(draw.uniform(0, 0.01))
            number, sent = draw.choice(victims), draw.choice(kind.signals)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(-number, sent) if number < 0 else os.kill(number, sent)
                return True
        time.sleep(0.001 if kind.soon else 0.02)
    return False


def orphans(run: Path) -> dict[int, str]:
    """Return the processes that still run `PATIENCE` seconds after their parent, and end them."""
    until = time.monotonic() + PATIENCE
    while (left := processes(run)) and time.monotonic() < until:
        time.sleep(0.1)
    for number in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, KILL)
    return left


# One kind -----------------------------------------------------------------------------------------


class Table:
    """What happened, by kind."""

    def __init__(self) -> None:
        self.rows: dict[str, Counter[str]] = {}

    def note(self, kind: str, column: str, what: str = "", count: int = 1) -> None:
        """Count something. what: a line about it, if it is a fault."""
        self.rows.setdefault(kind, Counter())[column] += count
        if what:
            print(f"{kind}: {column}: {what}", flush=True)

    @property
    def faulty(self) -> bool:
        """Whether there is a fault, or a point after which a command could not continue."""
        wrong = any(row[c] for row in self.rows.values() for c in COLUMNS[2:])
        return wrong or any(row["points"] != row["resumed"] for row in self.rows.values())

    def __str__(self) -> str:
        rows = {**self.rows, "all": sum(self.rows.values(), Counter())}
        lines = ["| kind | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for name, row in rows.items():
            lines.append("| " + " | ".join([name, *(str(row[c]) for c in COLUMNS)]) + " |")
        return "\n".join(lines)


def disturbed(
    name: str, points: int, places: Mapping[Commands, Path], draw: random.Random, table: Table
) -> None:
    """Stop the commands of a kind at random moments, and compare how they end.

    places: folders of undisturbed runs, by their commands.
    """
    kind = KINDS[name]
    whole = places[kind.commands]
    seconds, number, done = json.loads((whole / "seconds").read_text()), 0, 0
    while done < points:
        number += 1
        run = whole.parent / f"{name.replace(' ', '-')}-{number}"
        prepare(kind.commands, places[stages], run)
        before, status = done, 0
        for command, taken in zip(kind.commands(run), seconds, strict=True):
            sent = status == 0
            while sent:
                after = 0.0 if kind.soon else draw.uniform(0, 1.2 * taken)
                wait = after if done < points else None
                sent, status = once(name, command, run, wait, draw, table)
                done += sent
        if status == 0:
            table.note(name, "resumed", count=done - before)
            compare(name, run, whole, table)
        shutil.rmtree(run)


def once(
    name: str, command: Command, run: Path, after: float | None, draw: random.Random, table: Table
) -> tuple[bool, int]:
    """Do a command, and stop it `after` seconds; None: do not stop it.

    Returns whether it was stopped, and its exit status.
    """
    kind, errors = KINDS[name], run.parent / "errors"
    process = start(command, run, errors)
    sent = after is not None and hit(process, run, kind, after, draw)
    try:
        status = process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        table.note(name, "faults", f"it hangs after {LONGEST:.0f} s")
        process.kill()
        status = process.wait()
    table.note(name, "points", count=int(sent))
    for number, line in orphans(run).items():
        table.note(name, "orphans", f"{number} {line}")
    said = errors.read_text(errors="replace")
    when = f"{process.args} ended with {status}, stopped after {after} s"
    traced = "Traceback" in said and "/mpnas_kit/" in said
    if traced or status not in (kind.ends if sent else [0]):
        table.note(name, "faults", f"{when}: {said[-3000:]}")
    for page in run.glob("pages/*.html"):
        if not is_whole(page):
            table.note(name, "differing", f"{page.name} is not whole")
    return sent, status


def is_whole(page: Path) -> bool:
    """Return whether a page is there from its first to its last tag."""
    text = page.read_text().strip().lower()
    return text.startswith("<!doctype html>") and text.endswith("</html>")


def compare(name: str, run: Path, whole: Path, table: Table) -> None:
    """Compare the files of a run with those of an undisturbed run, and check it."""
    ours, theirs = contents(run), contents(whole)
    for file in sorted(ours.keys() | theirs.keys()):
        if file.endswith(UNFINISHED):
            table.note(name, "leftovers", f"{run.name}/{file}")
        elif ours.get(file) != theirs.get(file):
            table.note(name, "differing", f"{run.name}/{file}")
    for folder in [file.parent for file in run.glob("*/run.json")] or [run]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = mpnas(["check", str(folder)])
        if status != 0:
            table.note(name, "faults", said.getvalue())


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run that must be equal; of pages and notebooks only the names.

    A search that continues may ask the cache for named domains, which is another list in `suites`.
    """
    files = [f for f in run.rglob("*") if f.is_file() and f.name not in (*TIMES, "seconds")]
    files = [f for f in files if f.parent.name != "suites" or f.name.endswith(UNFINISHED)]
    named_only = (".html", ".ipynb")
    return {
        str(f.relative_to(run)): b"" if f.suffix in named_only else f.read_bytes() for f in files
    }


# Undisturbed --------------------------------------------------------------------------------------


def undisturbed(commands: Commands, run: Path) -> None:
    """Do commands, and write the time of each in seconds beside the results."""
    seconds = []
    for command in commands(run):
        began = time.monotonic()
        if start(command, run, run.parent / "errors").wait() != 0:
            raise SystemExit(f"{command} failed: {(run.parent / 'errors').read_text()}")
        seconds.append(time.monotonic() - began)
    (run / "seconds").write_text(json.dumps(seconds))


def prepare(commands: Commands, finished: Path, place: Path) -> None:
    """Make what commands need before they begin.

    finished: a finished run. place: folder of the commands.
    """
    if commands in (report, export):
        shutil.copytree(finished, place / "run", ignore=shutil.ignore_patterns("seconds"))
    if commands is report:
        write_notebooks(place)
    if commands is pair and not (place.parent / "images").exists():
        write_photos(place.parent / "images", 400)


def write_photos(folder: Path, count: int) -> None:
    """Write large images of noise in two classes. Decoding them takes some seconds."""
    draw = np.random.default_rng(0)
    for i in range(count):
        place = folder / "photos" / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        small.resize((1200, 900)).save(place / f"{i}.jpg")


def write_notebooks(place: Path) -> None:
    """Write two small notebooks."""
    cells = [
        nbformat.v4.new_code_cell('run = "runs/quick"', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("len(run)"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for name in ("one", "two"):
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, place / f"{name}.ipynb")


def main() -> None:
    """Stop commands and compare. The exit status is 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=KINDS, action="append", help="may be given several times")
    parser.add_argument("--kills", type=int, default=100, help="points, over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pair", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pair:
        sys.exit(both(given.pair[0], given.pair[1:]))
    # A shell lets a background process ignore SIGINT, and its children would inherit that.
    signal.signal(INT, signal.default_int_handler)
    chosen = given.only or list(KINDS)
    total, began = sum(KINDS[name].share for name in chosen), time.monotonic()
    table = Table()
    with tempfile.TemporaryDirectory() as place:
        places: dict[Commands, Path] = {}
        for commands in dict.fromkeys([stages, *(KINDS[name].commands for name in chosen)]):
            places[commands] = Path(place) / f"whole-{commands.__name__}"
            prepare(commands, places.get(stages, Path()), places[commands])
            undisturbed(commands, places[commands])
        for name in chosen:
            points = max(1, round(given.kills * KINDS[name].share / total))
            disturbed(name, points, places, random.Random(f"{given.seed} {name}"), table)
            print(f"{name}: {dict(table.rows[name])}, {time.monotonic() - began:.0f} s", flush=True)
    print(table)
    sys.exit(table.faulty)


if __name__ == "__main__":
    main()
