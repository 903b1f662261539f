"""Runs that the first page of a report compares, two at a time: their settings and results."""

import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mpnas_kit.analysis.comparison import Comparison, compare
from mpnas_kit.analysis.units import amounts
from mpnas_kit.errors import MpnasError
from mpnas_kit.notebook.html_table import table_html
from mpnas_kit.report.origin import data_of, space_of, without_folders
from mpnas_kit.runs.run import STAGES, Run
from mpnas_kit.runs.sweep import finished_runs, outcome
from mpnas_kit.settings import to_dict

_SIZES = {
    "parameters_all": "parameters",
    "per_image": "multiply-adds per image",
    "union": "multiply-adds of the union",
    "bytes": "bytes of the weights",
}


@dataclass(frozen=True)
class Beside:
    """Runs to compare.

    runs: one dict per run, for the script of the page: `name`; `settings`, a dict of texts;
    `results`, a list of dicts with `name`, `kind` (`accuracy` or `size`), `value` and `text`.
    table: all runs as an HTML table, for readers without a script.
    """

    runs: list[dict[str, Any]]
    table: str

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Beside | None":
        """Return the finished ones of these runs, side by side; None: fewer than two."""
        runs = [run for run in runs if run.finished("train")]
        if len(runs) < 2:
            return None
        compared = [compare([outcome(run)]) for run in runs]
        names = _names(runs)
        return cls(
            [
                {"name": name, "settings": _settings(run), "results": _results(comparison)}
                for name, run, comparison in zip(names, runs, compared, strict=True)
            ],
            _table(names, compared),
        )


def runs_beside(run: Run, others: Sequence[str | pathlib.Path]) -> list[Run]:
    """Return a run, its finished cells, and other runs.

    others: folders of the other runs.

    Raises `MpnasError` if one of the others cannot be read or has no finished training.
    """
    found = finished_runs(run)
    for folder in others:
        other = Run.read(folder, trust=run.trust)
        if not other.finished("train"):
            raise MpnasError(
                f"{folder} has no finished training, so it cannot be compared: run `mpnas train "
                f"--run {folder}` first."
            )
        if all(not os.path.samefile(other.folder, one.folder) for one in found):
            found.append(other)
    return found


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the folders; a name that two runs have gets the path before it."""
    short = [os.path.basename(os.path.abspath(run.folder)) for run in runs]
    return [
        str(run.folder) if short.count(name) > 1 else name
        for name, run in zip(short, runs, strict=True)
    ]


def _settings(run: Run) -> dict[str, str]:
    about = run.description
    settings = {
        "approach": about.approach,
        "profile": about.profile,
        "data": data_of(run),
        "domains": ", ".join(run.domains),
        "space": space_of(run),
        "start": without_folders(about.start.text or "in memory") if about.start else "none",
    }
    for stage in STAGES:
        if run.finished(stage):
            values = to_dict(run.config(stage))
            settings |= {f"{stage}: {n}": without_folders(str(v)) for n, v in values.items()}
    return settings


def _results(comparison: Comparison) -> list[dict[str, Any]]:
    cell = comparison.cells.iloc[0]
    results = [
        _accuracy("test accuracy, mean over domains", cell["test"]),
        _accuracy("validation accuracy, mean over domains", cell["val"]),
        _accuracy("macro accuracy on test, mean over domains", cell["test_macro"]),
    ]
    for column, name in _SIZES.items():
        value = _known(cell[column])
        text = f"{value:,.0f}" if value is not None else "–"
        results.append({"name": name, "kind": "size", "value": value, "text": text})
    test = comparison.domains[comparison.domains["split"] == "test"]
    return results + [_accuracy(f"test: {r.domain}", r.accuracy) for r in test.itertuples()]


def _accuracy(name: str, value: float) -> dict[str, Any]:
    known = _known(value)
    text = f"{known:.1%}" if known is not None else "–"
    return {"name": name, "kind": "accuracy", "value": known, "text": text}


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _table(names: Sequence[str], compared: Sequence[Comparison]) -> str:
    cells = pd.concat([one.cells for one in compared], ignore_index=True)
    shown = cells[["approach", "test", "val", "parameters_all"]]
    shown = shown.rename(columns={"parameters_all": "parameters"})
    shown.insert(0, "run", list(names))
    return table_html(
        shown,
        "Test, val: top-1 accuracy, mean over domains. Parameters: all of the network.",
        {"test": "{:.1%}", "val": "{:.1%}", "parameters": amounts(shown["parameters"])},
    )
