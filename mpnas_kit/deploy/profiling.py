"""Latency tables: every unit of work of a space is timed, and then whole paths to compare with.

A table is written after every group of units, so a stopped measurement continues.

For a machine that does not run Python, such as a phone, the networks are written as ONNX files.
When a person has timed them there, the table is computed from those times.
"""

import datetime
import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pandas as pd

import mpnas_kit
from mpnas_kit import files
from mpnas_kit.analysis.latency import LatencyCheck
from mpnas_kit.deploy.chain_networks import Networks, Runtime, ThisMachine
from mpnas_kit.deploy.chains import Chain, Chains, Timer, chain_words, spread_paths
from mpnas_kit.deploy.metadata import optional
from mpnas_kit.errors import MpnasError, short
from mpnas_kit.runs.description import place
from mpnas_kit.space.costs import path_costs
from mpnas_kit.space.latency import LatencyTable
from mpnas_kit.space.latency_file import (
    CALL,
    LatencyFile,
    Milliseconds,
    Time,
    csv_line,
    noted_rows,
    read_latency_file,
)
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import Range, checked, convert_plain, require_type

GROUP = 64  # units that are timed in turns with each other
NETWORKS = "networks.csv"
_NOTED = ("device", "runtime", "threads", "batch")  # all times of a table have these in common
_PATHS = ("space", "resolution", "arch", "measured")
_COLUMNS = ("network", "pieces", "milliseconds")
Classes = Annotated[int, Range(2, 100_000)]
Count = Annotated[int, Range(1, 10_000)]
Tell = Callable[[str], object]


@checked("measure_latency")
def measure_latency(
    space: SearchSpace,
    out: Any,
    *,
    runtime: Runtime | None = None,
    threads: Annotated[int, Range(1, 1024)] = 1,
    batch: Annotated[int, Range(1, 65_536)] = 1,
    classes: Classes = 10,
    rounds: Count = 60,
    paths: Count = 20,
    tell: Tell = lambda line: None,
) -> LatencyCheck:
    """Measure the latency of every block of a space on the CPU of this machine, into a table.

    Blocks have the form that `export` writes. They are timed in small networks, in turns (see
    `docs/deploy.md`). Then random paths are timed whole and compared with their sums. An existing
    table of this machine gets the rows that it lacks, such as those of another resolution.

    space: search space, for images of its resolution.
    out: the table, a file that ends with `.csv`. The measured paths are beside it, in a file that
    ends with `.paths.csv`.
    runtime: `onnx` (onnxruntime) or `torch` (eager); None: onnx if it is installed, otherwise
    torch.
    threads: number of threads, 1 to 1024.
    batch: images per call, 1 to 65,536. Times in the table are per image.
    classes: number of classes of the classifier, 2 to 100,000.
    rounds: samples per network, 1 to 10,000. More give steadier times on a busy machine.
    paths: number of whole paths to compare with, 1 to 10,000.
    tell: called with lines of text about the progress.

    Raises `MpnasError` if a package is missing, a block cannot be exported, the table is of another
    machine or of other settings, or a file cannot be written.

    >>> check = mk.measure_latency(mk.pocket_space(), "latency.csv")  # doctest: +SKIP
    >>> check.spearman, check.median_error  # doctest: +SKIP
    (0.99, 0.011)
    """
    require_type(space, SearchSpace, "space")
    file = _csv_file(out)
    chains = Chains.of(space, classes)
    timer = ThisMachine(Networks(chains.uses), runtime or default_runtime(), threads, batch, rounds)
    return fill_table(space, file, chains, timer, timer.notes, paths, tell)


@checked("measure_paths")
def measure_paths(
    space: SearchSpace,
    paths: Mapping[str, Path],
    *,
    runtime: Runtime | None = None,
    threads: Annotated[int, Range(1, 1024)] = 1,
    batch: Annotated[int, Range(1, 65_536)] = 1,
    classes: Classes = 10,
    rounds: Count = 60,
) -> dict[str, float]:
    """Return the measured latency of whole paths on the CPU of this machine, ms for one image.

    space: search space of the paths.
    paths: paths by name, such as those that a search found.
    runtime, threads, batch, classes, rounds: as in `measure_latency`.

    Raises `MpnasError` if a package is missing, a block cannot be exported, or a path does not lead
    through the space.

    >>> found = mk.Run("runs/mine").search_result()  # doctest: +SKIP
    >>> mk.measure_paths(found.space, found.paths)  # doctest: +SKIP
    {'digits': 0.0592, 'letters': 0.0601}
    """
    require_type(space, SearchSpace, "space")
    require_type(paths, Mapping, "paths")
    chains = Chains.of(space, classes)
    whole = {name: chains.whole(space, path) for name, path in paths.items()}
    timer = ThisMachine(Networks(chains.uses), runtime or default_runtime(), threads, batch, rounds)
    measured = timer(list(dict.fromkeys(whole.values())))
    return {name: measured[chain].milliseconds for name, chain in whole.items()}


def default_runtime() -> Runtime:
    """Return `onnx` if onnxruntime and the exporter are installed, otherwise `torch`."""
    try:
        optional("onnx", "onnx", "onnxscript", "onnxruntime")
    except MpnasError:
        return "torch"
    return "onnx"


def fill_table(
    space: SearchSpace,
    file: pathlib.Path,
    chains: Chains,
    timer: Timer,
    notes: Mapping[str, str],
    paths: int,
    tell: Tell = lambda line: None,
    *,
    again: bool = False,
) -> LatencyCheck:
    """Time what a latency table lacks, write it, and compare whole paths with their sums.

    space: search space.
    file: the table. If it exists, its times stay.
    chains: chains of the space.
    timer: returns the times of chains.
    notes: what the times hold for.
    paths: number of whole paths.
    tell: called with lines of text about the progress.
    again: whether times that are known are computed again. They must be the same.

    Raises `MpnasError` if the table has other notes or times, or a file cannot be written.
    """
    table = _continued(file, chains, notes)
    times = dict(table.times)
    for unit in chains.formulas if again else ():
        known, formula = times.get(unit), chains.formulas[unit]
        if known is not None:
            now = formula.time(timer(list(formula.chains))).milliseconds
            if f"{now:.6g}" != f"{known.milliseconds:.6g}":
                raise MpnasError(
                    f"{file} has {known.milliseconds:.6g} ms for {short(unit.block)}, but the "
                    f"networks give {now:.6g}: use another file, or remove this one."
                )
    left = [unit for unit in chains.formulas if times.get(unit) is None]
    for begin in range(0, len(left), GROUP):
        group = left[begin : begin + GROUP]
        tell(f"measuring blocks: {begin} of {len(left)} are done")
        needed = dict.fromkeys(c for unit in group for c in chains.formulas[unit].chains)
        measured = timer(list(needed))
        for unit in group:
            times[unit] = chains.formulas[unit].time(measured)
        files.make_folder(file.parent)
        files.write_text(file, LatencyFile(table.notes, times).text())
    return _compared(space, file, chains, timer, paths, new=again or bool(left), tell=tell)


def _continued(file: pathlib.Path, chains: Chains, notes: Mapping[str, str]) -> LatencyFile:
    """Return the table as it is, or a new one without rows."""
    if not files.exists(file):
        origin = {"written by": f"mpnas_kit {mpnas_kit.__version__}"}
        return LatencyFile({**notes, "date": str(datetime.date.today()), **origin}, {})
    table = read_latency_file(file)
    for name in _NOTED:
        if table.notes.get(name) != notes.get(name):
            raise MpnasError(
                f"{file} was measured with {name} {table.notes.get(name)!r}, not "
                f"{notes.get(name)!r}: use another file, or the same setting."
            )
    for unit in (u for u in table.times if (u.block, u.resolution) == (CALL, chains.resolution)):
        if unit.out_channels != chains.classes:
            raise MpnasError(
                f"{file} was measured with {unit.out_channels} classes at {unit.resolution} px, "
                f"not {chains.classes}: use another file, or the same number."
            )
    return table


# Whole paths --------------------------------------------------------------------------------------


def paths_file(table: pathlib.Path) -> pathlib.Path:
    """Return the file with the measured paths of a table: `latency.paths.csv` of `latency.csv`."""
    return table.with_suffix(".paths.csv")


def _compared(
    space: SearchSpace,
    file: pathlib.Path,
    chains: Chains,
    timer: Timer,
    count: int,
    *,
    new: bool,
    tell: Tell,
) -> LatencyCheck:
    """Return the comparison of whole paths. Paths that are in their file are not timed again.

    new: whether the table has new times, so that its paths are timed again too.
    """
    beside = paths_file(file)
    known = _read_paths(beside) if files.exists(beside) else {}
    key = (space.name, space.resolution)
    own = {} if new else {arch: time for (of, arch), time in known.items() if of == key}
    if not own:
        chosen = spread_paths(space, count)
        tell(f"measuring {len(chosen)} whole paths")
        whole = {path: chains.whole(space, path) for path in chosen}
        measured = timer(list(dict.fromkeys(whole.values())))
        own = {path.arch: measured[chain].milliseconds for path, chain in whole.items()}
        others = {at: time for at, time in known.items() if at[0] != key}
        _write_paths(beside, {**others, **{(key, arch): time for arch, time in own.items()}})
    table = LatencyTable(str(file))
    sums = path_costs(table, space, {arch: space.parse(arch) for arch in own})
    rows = [{"arch": a, "sum": sums[a], "measured": time} for a, time in own.items()]
    return LatencyCheck(space.resolution, pd.DataFrame(rows))


_Paths = dict[tuple[tuple[str, int], str], float]  # by space, resolution and arch string


def _read_paths(file: pathlib.Path) -> _Paths:
    _, rows = noted_rows(files.read_bytes(file), file, _PATHS)
    return {
        (
            (row["space"], convert_plain(row["resolution"], int, f"{where}: resolution")),
            row["arch"],
        ): convert_plain(row["measured"], Milliseconds, f"{where}: measured")
        for where, row in rows
    }


def _write_paths(file: pathlib.Path, paths: _Paths) -> None:
    rows = [(*key, arch, f"{time:.6g}") for (key, arch), time in paths.items()]
    lines = [csv_line(_PATHS), *map(csv_line, rows)]
    files.write_text(file, "\n".join(lines) + "\n")


# Other machines -----------------------------------------------------------------------------------


@checked("latency_template")
def latency_template(space: SearchSpace, out: Any, *, classes: Classes = 10) -> int:
    """Write a latency table without times, to be filled in by hand. Return its number of rows.

    space: search space, for images of its resolution.
    out: file to write; it ends with `.csv` and must not exist.
    classes: number of classes of the classifier, 2 to 100,000.

    Raises `MpnasError` if the file exists or cannot be written.

    >>> mk.latency_template(mk.pocket_space(), "phone.csv")  # doctest: +SKIP
    59
    """
    require_type(space, SearchSpace, "space")
    file = _csv_file(out)
    if files.exists(file):
        raise MpnasError(f"{file} exists: expected a new file.")
    units = Chains.of(space, classes).formulas
    files.make_folder(file.parent)
    table = LatencyFile(dict.fromkeys(_NOTED, ""), dict.fromkeys(units))
    files.write_text(file, table.text())
    return len(units)


@checked("write_networks")
def write_networks(
    space: SearchSpace,
    folder: Any,
    *,
    classes: Classes = 10,
    paths: Count = 20,
    tell: Tell = lambda line: None,
) -> pathlib.Path:
    """Write the networks that `measure_latency` times as ONNX files, to be timed elsewhere.

    Beside them is `networks.csv`. A person times every file on the other machine and writes the
    milliseconds into it; `latency_from_networks` then computes the table. The batch size of the
    files is free. Packages of the extra `onnx` are needed.

    space: search space, for images of its resolution.
    folder: new or empty folder.
    classes: number of classes of the classifier, 2 to 100,000.
    paths: number of whole paths to compare with, 1 to 10,000.
    tell: called with lines of text about the progress.

    Returns the path of `networks.csv`.

    Raises `MpnasError` if a package is missing, a block cannot be exported, or the folder is not
    empty.
    """
    require_type(space, SearchSpace, "space")
    target = place(folder, "folder")
    if files.names_in(target):
        raise MpnasError(f"{target} is not empty: expected a new folder.")
    optional("onnx", "onnx", "onnxscript")
    chains = Chains.of(space, classes)
    whole = [chains.whole(space, path) for path in spread_paths(space, paths)]
    needed = dict.fromkeys([*(c for f in chains.formulas.values() for c in f.chains), *whole])
    networks = Networks(chains.uses)
    files.make_folder(target)
    lines = [*(f"# {name}: " for name in _NOTED), csv_line(_COLUMNS)]
    tell(f"exporting {len(chains.uses)} blocks")
    networks.prepare(needed)
    tell(f"writing {len(needed)} networks")
    for number, chain in enumerate(needed):
        name = f"{number:05d}.onnx"
        files.write_bytes(target / name, networks.content(chain))
        lines.append(csv_line((name, chain_words(chain), "")))
    return files.write_text(target / NETWORKS, "\n".join(lines) + "\n")


@checked("latency_from_networks")
def latency_from_networks(
    space: SearchSpace,
    networks: Any,
    out: Any,
    *,
    classes: Classes = 10,
    paths: Count = 20,
) -> LatencyCheck:
    """Compute a latency table from networks that were timed on another machine.

    space: search space of the networks.
    networks: the filled `networks.csv` of `write_networks`. Its notes, such as `# device: Pixel 8`,
    go into the table. `# batch` is the number of images per call; empty: 1.
    out, classes, paths: as in `measure_latency` and `write_networks`.

    Raises `MpnasError` if a file cannot be read, a network has no time, or the table has others.
    """
    require_type(space, SearchSpace, "space")
    source = place(networks, "networks")
    notes, times = _timed(source)
    chains = Chains.of(space, classes)

    def timer(needed: list[Chain]) -> dict[Chain, Time]:
        found = {}
        for chain in needed:
            words = chain_words(chain)
            if words not in times:
                raise MpnasError(
                    f"{source} has no row for the network {words}: expected the networks that were "
                    "written with the same space, resolution, classes and paths."
                )
            found[chain] = Time(times[words])
        return found

    return fill_table(space, _csv_file(out), chains, timer, notes, paths, again=True)


def _timed(file: pathlib.Path) -> tuple[dict[str, str], dict[str, float]]:
    """Return the notes of a filled `networks.csv`, and the time for one image by pieces."""
    notes, rows = noted_rows(files.read_bytes(file), file, _COLUMNS)
    batch = convert_plain(
        notes.get("batch") or "1", Annotated[int, Range(1, 65_536)], f"{file}: batch"
    )
    times: dict[str, float] = {}
    for where, row in rows:
        if not row["milliseconds"]:
            raise MpnasError(
                f"{where}: {row['network']} has no milliseconds: expected the time of every file."
            )
        if row["pieces"] in times:
            raise MpnasError(f"{where} repeats a network: expected one row per file.")
        time = convert_plain(row["milliseconds"], Milliseconds, f"{where}: milliseconds")
        times[row["pieces"]] = time / batch
    return {name: notes.get(name, "") for name in (*_NOTED, *notes)}, times


def _csv_file(out: Any) -> pathlib.Path:
    path = place(out, "out")
    if path.suffix != ".csv":
        raise MpnasError(f"out must be a file that ends with .csv, not {str(path)!r}.")
    return path
