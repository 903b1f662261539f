"""The results table: approaches, prioritizations and norms side by side, from finished runs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from mpnas_kit.analysis.sharing import account
from mpnas_kit.errors import MpnasError, Unavailable, unknown
from mpnas_kit.training.result import TrainResult

NO_PRIORITIZATION = "none"  # for an approach in which domains do not compete
KEY = ("approach", "prioritization", "norm")  # identifies a row of the table; seeds are repeats
READINGS = {"per image": "per_image", "union": "union", "N images": "n_images"}
Split = Literal["test", "val"]
NO_SIZES = "a block of the space comes from a module that was not imported (--trust, trust=True)."
_COUNTS = ("parameters", "parameters_all", *READINGS.values())
_SIZES = (*_COUNTS, "bytes")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Finished runs side by side, as two tidy tables. Returned by `compare`.

    cells: one row per run. Columns:

        approach, prioritization, norm, seed: identify the run.
        parameters: count without batch norms and classifiers.
        parameters_all: count of all parameters.
        per_image, union, n_images: the three readings of multiply-adds (see `Accounting`).
        bytes: size of the weights on disk.
        models: number of networks: 1, or one per domain if domains share no weights.
        val, test: top-1 accuracy, 0 to 1, mean over domains.
        test_macro: macro accuracy (mean recall over classes) on test, mean over domains.

    Parameters and multiply-adds are nan if a block comes from a module that was not imported, bytes
    if the folder does not have the weights. The macro accuracy is nan if an earlier release, which
    did not record it, trained.

    domains: one row per run, domain and split. Columns approach, prioritization, norm, seed,
    domain, split (`val` or `test`), images (their number), accuracy (top-1, 0 to 1).

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> comparison = mk.analysis.compare([outcome])
    >>> comparison.table()[["approach", "prioritization"]].iloc[0].tolist()
    ['mpnas', 'abdp']
    """

    cells: pd.DataFrame
    domains: pd.DataFrame

    @property
    def has_sizes(self) -> bool:
        """Whether all parameters and multiply-adds are known."""
        return bool(self.cells[list(_COUNTS)].notna().all(axis=None))

    def table(self, base: str = "single_path") -> pd.DataFrame:
        """Return means over seeds: one row per approach, prioritization and norm.

        base: approach with parameter_ratio 1, without its options. If it was not run, the ratios
        are nan.

        Columns:

            approach, prioritization, norm: identify the row.
            seeds: number of seeds.
            parameter_ratio: parameters divided by those of `base`. In the article the single path
            has 1.0.
            parameters, parameters_all, per_image, union, n_images, bytes, val, test, test_macro: as
            in `cells`, mean over seeds.
            val_spread, test_spread: standard deviation over seeds; nan with one seed.

        """
        groups = self.cells.groupby(list(KEY), sort=False)
        means = groups[[*_SIZES, "val", "test", "test_macro"]].mean()
        means.insert(0, "seeds", groups["seed"].nunique())
        for split in ("val", "test"):
            means[f"{split}_spread"] = groups[split].std()
        table = means.reset_index()
        of_base = table[table["approach"].map(family) == base]["parameters"]
        one = float(of_base.iloc[0]) if len(of_base) else float("nan")
        table.insert(4, "parameter_ratio", table["parameters"] / one)
        return table

    def by_domain(self, split: str = "test") -> pd.DataFrame:
        """Return the accuracy of every domain, 0 to 1, mean over seeds.

        split: `val` or `test`.

        One row per approach, prioritization and norm. Columns approach, prioritization, norm, and
        one per domain. Raises `MpnasError` if `split` is unknown.
        """
        rows = self._of_split(split)
        means = rows.groupby([*KEY, "domain"], sort=False)["accuracy"].mean()
        order = list(dict.fromkeys(rows["domain"]))
        kinds = list(dict.fromkeys(tuple(key[:-1]) for key in means.index))
        return means.unstack()[order].loc[kinds].rename_axis(columns=None).reset_index()

    def paired(self, approach: str, split: str = "test") -> pd.DataFrame:
        """Return how every other approach differs from `approach`, seed by seed.

        approach: the approach to compare with.
        split: `val` or `test`.

        A pair has the same prioritization, norm and seed. An approach without a prioritization is
        compared under each prioritization of `approach`. One row per other approach,
        prioritization and norm. Columns:

            approach, prioritization, norm: identify the row.
            seeds: number of pairs.
            difference: other minus `approach`, in accuracy (0 to 1). First the mean over domains,
            then the mean over seeds.
            spread: standard deviation of the difference over seeds; nan with one seed.
            better: number of domains in which the other has the higher mean accuracy over seeds.

        Raises `MpnasError` if `approach` was not run or `split` is unknown.
        """
        rows = self._of_split(split)
        if approach not in set(rows["approach"]):
            raise unknown("approach of this comparison", approach, set(rows["approach"]))
        keys = ["prioritization", "norm", "seed", "domain"]
        own = rows[rows["approach"] == approach][[*keys, "accuracy"]]
        others = rows[rows["approach"] != approach]
        free = others["prioritization"] == NO_PRIORITIZATION
        every = [others[free].assign(prioritization=w) for w in own["prioritization"].unique()]
        others = pd.concat([others[~free], *every])
        both = others.merge(own, on=keys, suffixes=("", "_base"))
        both["difference"] = both["accuracy"] - both["accuracy_base"]
        result = []
        for key, group in both.groupby(list(KEY), sort=False):
            by_seed = group.groupby("seed")["difference"].mean()
            by_domain = group.groupby("domain")["difference"].mean()
            result.append(
                {
                    **dict(zip(KEY, key, strict=True)),
                    "seeds": len(by_seed),
                    "difference": by_seed.mean(),
                    "spread": by_seed.std(),
                    "better": int((by_domain > 0).sum()),
                }
            )
        columns = [*KEY, "seeds", "difference", "spread", "better"]
        return pd.DataFrame(result, columns=columns)

    def pareto(self, cost: str = "parameters", split: Split = "test") -> pd.DataFrame:
        """Return the rows of `table` that no other row beats in both mean accuracy and `cost`.

        cost: parameters, parameters_all, per_image, union, n_images or bytes.
        split: `val` or `test`.

        Rows are in order of ascending cost. Raises `MpnasError` if `cost` or `split` is unknown,
        and `Unavailable` if no run has this cost.
        """
        table = self.table()
        if cost not in _SIZES:
            raise unknown("cost of a comparison", cost, _SIZES)
        if split not in ("val", "test"):
            raise unknown("split", split, ("val", "test"))
        known = table[table[cost].notna()]
        if known.empty:
            raise Unavailable(f"no run has the cost {cost}: {NO_SIZES}")
        ordered = known.sort_values([cost, split], ascending=[True, False])
        best = ordered[split].cummax().shift(fill_value=-1.0)
        return ordered[ordered[split] > best].reset_index(drop=True)

    def where(self, **wanted: str | int | Sequence[str | int]) -> "Comparison":
        """Return a comparison of the runs that have the given values only.

        wanted: one value or several for approach, prioritization, norm or seed, such as
        `prioritization=["abdp", "uniform"]`.

        Raises `MpnasError` if a name is not one of these four.
        """
        parts = {"cells": self.cells, "domains": self.domains}
        for name, value in wanted.items():
            if name not in (*KEY, "seed"):
                raise unknown("column of a comparison", name, (*KEY, "seed"))
            values = [value] if isinstance(value, str | int) else list(value)
            parts = {part: rows[rows[name].isin(values)] for part, rows in parts.items()}
        return Comparison(**{part: rows.reset_index(drop=True) for part, rows in parts.items()})

    def _of_split(self, split: str) -> pd.DataFrame:
        rows = self.domains[self.domains["split"] == split]
        if rows.empty:
            raise unknown("split", split, set(self.domains["split"]))
        return rows

    def _repr_html_(self) -> str:
        return str(self.table().to_html())

    def __repr__(self) -> str:
        return f"Comparison({len(self.cells)} runs of {len(self.table())} kinds)"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run, as a row of the results table.

    approach: name of the approach, such as `mpnas` or `single_path(frozen=True)`.
    prioritization: text form of the prioritization; `none` if domains do not compete.
    trained: result of its training.
    bytes: size of its weights on disk; None: the folder does not have them.

    >>> mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000).approach
    'mpnas'
    """

    approach: str
    prioritization: str
    trained: TrainResult
    bytes: int | None


def compare(outcomes: Iterable[Outcome]) -> Comparison:
    """Return finished runs side by side.

    outcomes: at least one, all with the same domains in the same order.

    Raises `MpnasError` if there is no run, if the domains differ, or if two runs have the same
    approach, prioritization, norm and seed.

    >>> mk.analysis.compare([mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)])
    Comparison(1 runs of 1 kinds)
    """
    outcomes = list(outcomes)
    if not outcomes:
        raise MpnasError("there is no finished run to compare: expected at least one.")
    domains = {tuple(o.trained.paths) for o in outcomes}
    if len(domains) > 1:
        named = " against ".join(", ".join(d) for d in sorted(domains))
        raise MpnasError(
            f"runs of different domains cannot be compared: {named}. Expected the same domains in "
            "the same order."
        )
    cells = pd.DataFrame([_cell(o) for o in outcomes])
    twice = cells[cells.duplicated([*KEY, "seed"])]
    if len(twice):
        what = ", ".join(str(twice.iloc[0][k]) for k in (*KEY, "seed"))
        raise MpnasError(
            f"the cell {what} (approach, prioritization, norm, seed) is given twice: expected each "
            "cell once."
        )
    rows = [
        {
            **_key(o),
            "domain": r.domain,
            "split": r.split,
            "images": r.images,
            "accuracy": r.accuracy,
        }
        for o in outcomes
        for r in o.trained.evaluation.itertuples()
    ]
    return Comparison(cells, pd.DataFrame(rows))


def _key(outcome: Outcome) -> dict[str, str | int]:
    config = outcome.trained.config
    return {
        "approach": outcome.approach,
        "prioritization": outcome.prioritization,
        "norm": config.norm,
        "seed": config.seed,
    }


def _cell(outcome: Outcome) -> Mapping[str, object]:
    trained = outcome.trained
    return {
        **_key(outcome),
        **_sizes(trained),
        "bytes": math.nan if outcome.bytes is None else outcome.bytes,
        "models": len(trained.paths) if trained.config.private.every else 1,
        "val": trained.accuracy("val").mean(),
        "test": trained.accuracy("test").mean(),
        "test_macro": trained.macro_accuracy("test").mean(),
    }


def _sizes(trained: TrainResult) -> dict[str, float]:
    """Return parameters and multiply-adds; nan if a block cannot be built."""
    try:
        sizes = account(trained.structure, trained.paths)
    except Unavailable:
        return dict.fromkeys(_COUNTS, math.nan)
    readings = sizes.multiply_adds.set_index("reading")["multiply_adds"]
    return {
        "parameters": sizes.parameters(batch_norm=False, heads=False),
        "parameters_all": sizes.parameters(),
        **{column: float(readings[reading]) for reading, column in READINGS.items()},
    }


def kind_names(table: pd.DataFrame) -> list[str]:
    """Return one name per row: of approach, prioritization and norm those that differ.

    table: rows with the columns of `KEY`.
    """
    prioritizations = set(table["prioritization"]) - {NO_PRIORITIZATION}
    counts = {"approach": table["approach"].nunique(), "prioritization": len(prioritizations)}
    counts["norm"] = table["norm"].nunique()
    parts = [part for part, count in counts.items() if count > 1] or ["approach"]
    names = [[v for v in row if v != NO_PRIORITIZATION] for row in table[parts].to_numpy()]
    return [", ".join(name) for name in names]


def family(approach: str) -> str:
    """Return the name of an approach without its options."""
    return approach.partition("(")[0]
