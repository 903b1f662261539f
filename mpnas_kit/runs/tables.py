"""The tables of a run: what its finished stages found, as tidy DataFrames."""

import io
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mpnas_kit import files
from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.result import SearchResult
from mpnas_kit.settings import to_dict
from mpnas_kit.space.costs import path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.training.result import TrainResult
from mpnas_kit.values import checked

if TYPE_CHECKING:
    from mpnas_kit.runs.run import Run

Format = Literal["csv", "parquet"]
_KEY = {"approach": "str", "prioritization": "str", "norm": "str", "seed": "int64"}
_FLOATS = "float64"
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "settings": (
        "settings of the stages",
        {"stage": "str", "setting": "str", "value": "str", "changed": "bool"},
    ),
    "search_history": (
        "metrics of every step of the search",
        {"step": "int64", "domain": "str"}
        | dict.fromkeys(
            ("loss", "weight", "accuracy", "entropy", "reward", "quality", "cost"), _FLOATS
        ),
    ),
    "policy": (
        "probabilities of all choices through the search",
        {"step": "int64", "domain": "str", "decision": "str", "choice": "str"}
        | {"probability": _FLOATS},
    ),
    "decisions": (
        "whether the search decided",
        {"domain": "str", "decision": "str", "choice": "str"}
        | {"probability": _FLOATS, "entropy": _FLOATS, "decided": "bool"},
    ),
    "paths": (
        "path of every domain, with its cost",
        {"domain": "str", "arch": "str", "cost": _FLOATS, "cost_target": _FLOATS}
        | {"cost_unit": "str"},
    ),
    "similarity": (
        "Jaccard similarity of every two paths",
        {"first": "str", "second": "str", "similarity": _FLOATS, "excess": _FLOATS},
    ),
    "training_history": (
        "metrics of every step of the training",
        {"step": "int64", "domain": "str"}
        | dict.fromkeys(("loss", "weight", "accuracy", "val_accuracy"), _FLOATS),
    ),
    "evaluation": (
        "accuracy of every domain",
        {"domain": "str", "split": "str", "images": "int64"}
        | dict.fromkeys(("accuracy", "loss", "macro_accuracy"), _FLOATS),
    ),
    "recalls": (
        "recall of every class",
        {"domain": "str", "split": "str", "label": "str", "images": "int64", "recall": _FLOATS},
    ),
    "sizes": (
        "parameters and multiply-adds of every domain's path",
        {"domain": "str"}
        | dict.fromkeys(
            ("parameters", "shared", "private", "norm", "head", "multiply_adds"), "int64"
        ),
    ),
    "cells": (
        "finished runs of the sweep, one row each",
        _KEY
        | dict.fromkeys(
            ("parameters", "parameters_all", "per_image", "union", "n_images", "bytes"), _FLOATS
        )
        | {"models": "int64"}
        | dict.fromkeys(("val", "test", "test_macro"), _FLOATS),
    ),
    "cell_domains": (
        "accuracy of every domain in the finished runs of the sweep",
        {**_KEY, "domain": "str", "split": "str", "images": "int64", "accuracy": _FLOATS},
    ),
}
"""Content of every table in words, and its columns with their types, by name."""


@dataclass(frozen=True, eq=False, repr=False)
class RunTables:
    """All tables of a run, as tidy DataFrames. `Run.tables` returns it.

    A table is read or computed when it is first used. If its stage is not finished, it has no rows
    and the same columns. Values that do not exist are nan. Steps count from 1, accuracies, recalls,
    probabilities and entropies are 0 to 1, losses are nats, costs are in `cost_unit`.

    run: the run.

    settings: columns stage, setting, value (as text), changed (whether it differs from the
    profile). A stage need not have begun.
    search_history: columns step, domain and the metrics of `SearchResult.history`.
    policy: columns step (of the snapshot), domain, decision, choice, probability.
    decisions: what `SearchResult.decisions` returns.
    paths: columns domain, arch, cost, cost_target, cost_unit. Paths that no search found have no
    target.
    similarity: columns first, second, similarity, excess (see `Similarity.table`).
    training_history: columns step, domain and the metrics of `TrainResult.history`.
    evaluation: columns domain, split, images, accuracy, loss, macro_accuracy.
    recalls: columns domain, split, label, images, recall.
    sizes: the table `domains` of `Accounting`.
    cells, cell_domains: the tables `cells` and `domains` of `Comparison`.

    >>> tables = mk.Run("runs/mine").tables  # doctest: +SKIP
    >>> tables.search_history.groupby("domain")["reward"].mean()  # doctest: +SKIP
    >>> tables.write("tables")  # doctest: +SKIP
    """

    run: "Run"

    @cached_property
    def settings(self) -> pd.DataFrame:
        """Settings of the stages."""
        rows = []
        for config in (self.run.search_config(), self.run.train_config()):
            changed = set(self.run.changes(config))
            rows += [
                {"stage": config.stage, "setting": k, "value": str(v), "changed": k in changed}
                for k, v in to_dict(config).items()
                if config.stage == "train" or self._has_search
            ]
        return _tidy("settings", rows)

    @cached_property
    def search_history(self) -> pd.DataFrame:
        """Metrics of every step of the search."""
        return _tidy("search_history", None if self._found is None else self._found.history)

    @cached_property
    def policy(self) -> pd.DataFrame:
        """Probabilities of all choices through the search."""
        found = self._found
        rows: Iterable[Mapping[str, Any]] = ()
        if found is not None:
            rows = (
                {"step": step, "domain": d, "decision": decision.name, "choice": c}
                | {"probability": float(p)}
                for step, snapshot in zip(found.policy_steps, found.policy, strict=True)
                for d, own in zip(found.paths, snapshot, strict=True)
                for decision, row in zip(found.space.decisions, own, strict=True)
                for c, p in zip(decision.choices, row, strict=False)
            )
        return _tidy("policy", list(rows))

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """Whether the search decided."""
        return _tidy("decisions", None if self._found is None else self._found.decisions())

    @cached_property
    def paths(self) -> pd.DataFrame:
        """Path of every domain, with its cost."""
        found, paths = self._found, self._paths
        if found is not None:
            costs: Mapping[str, float] = found.costs
            targets, unit = found.cost_targets, found.cost_unit
        else:
            cost = self.run.origin.search_config().cost
            costs = path_costs(cost, self.run.space, paths) if paths else {}
            targets, unit = {}, cost.unit if paths else ""
        rows = [
            {"domain": d, "arch": path.arch, "cost": costs.get(d), "cost_target": targets.get(d)}
            | {"cost_unit": unit}
            for d, path in paths.items()
        ]
        return _tidy("paths", rows)

    @cached_property
    def similarity(self) -> pd.DataFrame:
        """Jaccard similarity of every two paths."""
        space = self.run.space if self._found is None else self._found.space
        table = jaccard_matrix(space, self._paths).table() if self._paths else None
        return _tidy("similarity", table)

    @cached_property
    def training_history(self) -> pd.DataFrame:
        """Metrics of every step of the training."""
        return _tidy("training_history", None if self._trained is None else self._trained.history)

    @cached_property
    def evaluation(self) -> pd.DataFrame:
        """Accuracy of every domain."""
        return _tidy("evaluation", None if self._trained is None else self._trained.evaluation)

    @cached_property
    def recalls(self) -> pd.DataFrame:
        """Recall of every class."""
        return _tidy("recalls", None if self._trained is None else self._trained.recalls)

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Parameters and multiply-adds of every domain's path."""
        trained = self._trained
        table = None if trained is None else account(trained.structure, trained.paths).domains
        return _tidy("sizes", table)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Finished runs of the sweep, one row each."""
        return _tidy("cells", self._compared[0])

    @cached_property
    def cell_domains(self) -> pd.DataFrame:
        """Accuracy of every domain in the finished runs of the sweep."""
        return _tidy("cell_domains", self._compared[1])

    def all(self) -> dict[str, pd.DataFrame]:
        """Return all tables by name."""
        return {name: getattr(self, name) for name in TABLES}

    @checked("tables.write")
    def write(
        self, folder: str | pathlib.Path, *, format: Format = "csv"
    ) -> dict[str, pathlib.Path]:
        """Write every table into a file, such as `paths.csv`. All are written, or none.

        folder: folder of the files; it is made if it does not exist.
        format: `csv`, or `parquet`, which keeps the types of the columns (extra `parquet`).

        Returns the files by the name of their table. Raises `MpnasError` if a stage is damaged, if
        a file cannot be written, or if the package for `parquet` is missing.

        >>> mk.Run("runs/mine").tables.write("tables")["paths"]  # doctest: +SKIP
        PosixPath('tables/paths.csv')
        """
        place = files.as_path(folder, "folder of the tables")
        contents = {name: _content(table, format) for name, table in self.all().items()}
        files.make_folder(place)
        paths = {name: place / f"{name}.{format}" for name in contents}
        files.write_together({paths[name]: content for name, content in contents.items()})
        return paths

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><code>{name}</code></td><td>{escape(about)}</td>"
            f"<td>{escape(', '.join(columns))}</td></tr>"
            for name, (about, columns) in TABLES.items()
        )
        head = "<tr><th>table</th><th>content</th><th>columns</th></tr>"
        caption = f"<caption>Tables of {escape(str(self.run.folder))}</caption>"
        return f"<table>{caption}<thead>{head}</thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        return f"RunTables({str(self.run.folder)!r}: {', '.join(TABLES)})"

    @property
    def _has_search(self) -> bool:
        return self.run.searches or self.run.description.search_from is not None

    @cached_property
    def _found(self) -> SearchResult | None:
        """The finished search of the run, or the one that it takes; None: there is none."""
        run = self.run
        taken = run.other if run.description.search_from is not None else None
        return run.search_result() if (taken or run).finished("search") else None

    @cached_property
    def _trained(self) -> TrainResult | None:
        return self.run.train_result() if self.run.finished("train") else None

    @cached_property
    def _paths(self) -> Mapping[str, Path]:
        if self._found is not None:
            return self._found.paths
        if self._trained is not None:
            return self._trained.paths
        return {} if self._has_search else self.run.paths()

    @cached_property
    def _compared(self) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        from mpnas_kit.runs.sweep import finished_runs

        if not finished_runs(self.run):
            return None, None
        comparison = self.run.compare()
        return comparison.cells, comparison.domains


def _tidy(name: str, content: pd.DataFrame | list[dict[str, Any]] | None) -> pd.DataFrame:
    """Return a table with all columns that it always has, in order, and further ones behind them.

    content: the table or its rows; None or empty: it has no rows.
    """
    types = TABLES[name][1]
    table = pd.DataFrame() if content is None else pd.DataFrame(content)
    more = [column for column in table.columns if column not in types]
    table = table.reindex(columns=[*types, *more])
    return table.astype(types)


def _content(table: pd.DataFrame, format: Format) -> bytes:
    if format == "csv":
        return bytes(table.to_csv(index=False).encode("utf-8", "replace"))
    stream = io.BytesIO()
    try:
        table.to_parquet(stream, index=False)
    except ImportError:
        raise MpnasError(
            "Parquet files need a package that is not installed: pip install 'mpnas-kit[parquet]'."
        ) from None
    return stream.getvalue()
