"""The results table: approaches, weightings and norms beside each other, from finished runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from mpnas_kit.analysis.sharing import account
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.training.stage import TrainResult

NO_WEIGHTING = "none"  # that of an approach in which domains do not compete
KEY = ("approach", "weighting", "norm")  # what a row of the table is; seeds are repeats of it
READINGS = {"per image": "per_image", "union": "union", "N images": "n_images"}
Split = Literal["test", "val"]
_SIZES = ("parameters", "parameters_all", *READINGS.values(), "bytes")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Finished runs beside each other. Both tables are tidy; accuracies are top-1, 0 to 1.

    cells: a row a run: approach, weighting, norm, seed; parameters (without batch norms and
    classifiers), parameters_all (with); per_image, union, n_images (the three readings of
    multiply-adds, see `Accounting`); bytes (of the weights on disk); val and test (mean accuracy
    over domains).
    domains: a row a run, domain and split: approach, weighting, norm, seed, domain, split,
    accuracy.
    """

    cells: pd.DataFrame
    domains: pd.DataFrame

    def table(self, base: str = "single_path") -> pd.DataFrame:
        """A row an approach, weighting and norm: mean over seeds, and the deviation over them.

        Columns: approach, weighting, norm, seeds (how many), parameter_ratio (to the approach
        `base`, without batch norms and classifiers; in the article the single path is 1.0x),
        parameters, parameters_all, per_image, union, n_images, bytes, val, test, val_spread and
        test_spread (standard deviations over seeds; nan with one). A base that was not run: ratios
        are nan.
        """
        groups = self.cells.groupby(list(KEY), sort=False)
        means = groups[[*_SIZES, "val", "test"]].mean()
        means.insert(0, "seeds", groups["seed"].nunique())
        for split in ("val", "test"):
            means[f"{split}_spread"] = groups[split].std()
        table = means.reset_index()
        of_base = table[table["approach"].map(_family) == base]["parameters"]
        one = float(of_base.iloc[0]) if len(of_base) else float("nan")
        table.insert(4, "parameter_ratio", table["parameters"] / one)
        return table

    def by_domain(self, split: str = "test") -> pd.DataFrame:
        """Mean accuracy over seeds: a row an approach, weighting and norm, a column a domain."""
        rows = self._of_split(split)
        means = rows.groupby([*KEY, "domain"], sort=False)["accuracy"].mean()
        order = list(dict.fromkeys(rows["domain"]))
        kinds = list(dict.fromkeys(tuple(key[:-1]) for key in means.index))
        return means.unstack()[order].loc[kinds].rename_axis(columns=None).reset_index()

    def paired(self, approach: str, split: str = "test") -> pd.DataFrame:
        """How every other approach differs from `approach`, seed by seed.

        Of the same weighting, norm and seed only; an approach without a weighting is compared under
        each. Columns: approach, weighting, norm, seeds,
        difference (mean of the paired differences of the mean accuracy), spread (their standard
        deviation; nan with one seed), better (domains in which it is better, mean over seeds).
        Raises `MpnasError` for an approach that was not run.
        """
        rows = self._of_split(split)
        if approach not in set(rows["approach"]):
            raise unknown("approach of this comparison", approach, set(rows["approach"]))
        keys = ["weighting", "norm", "seed", "domain"]
        own = rows[rows["approach"] == approach][[*keys, "accuracy"]]
        others = rows[rows["approach"] != approach]
        free = others["weighting"] == NO_WEIGHTING
        every = [others[free].assign(weighting=w) for w in own["weighting"].unique()]
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
        """The rows of `table` that no other row beats in both mean accuracy and `cost`."""
        table = self.table()
        if cost not in _SIZES:
            raise unknown("cost of a comparison", cost, _SIZES)
        ordered = table.sort_values([cost, split], ascending=[True, False])
        best = ordered[split].cummax().shift(fill_value=-1.0)
        return ordered[ordered[split] > best].reset_index(drop=True)

    def where(self, **wanted: str | int | Sequence[str | int]) -> "Comparison":
        """Only the runs with this value, or one of these: `weighting=["abdp", "uniform"]`."""
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

    def __repr__(self) -> str:
        return f"Comparison({len(self.cells)} runs of {len(self.table())} kinds)"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run and what it is called in the table. bytes: of its weights on disk."""

    approach: str
    weighting: str
    trained: TrainResult
    bytes: int


def compare(outcomes: Iterable[Outcome]) -> Comparison:
    """Put finished runs beside each other.

    Raises `MpnasError` where there are none, where they serve different domains, and where two are
    the same cell.
    """
    outcomes = list(outcomes)
    if not outcomes:
        raise MpnasError("there is no finished run to compare.")
    domains = {tuple(o.trained.paths) for o in outcomes}
    if len(domains) > 1:
        named = " against ".join(", ".join(d) for d in sorted(domains))
        raise MpnasError(f"runs of different domains cannot be compared: {named}.")
    cells = pd.DataFrame([_cell(o) for o in outcomes])
    twice = cells[cells.duplicated([*KEY, "seed"])]
    if len(twice):
        what = ", ".join(str(twice.iloc[0][k]) for k in (*KEY, "seed"))
        raise MpnasError(f"the cell {what} (approach, weighting, norm, seed) is there twice.")
    rows = [
        {**_key(o), "domain": r.domain, "split": r.split, "accuracy": r.accuracy}
        for o in outcomes
        for r in o.trained.evaluation.itertuples()
    ]
    return Comparison(cells, pd.DataFrame(rows))


def _key(outcome: Outcome) -> dict[str, str | int]:
    config = outcome.trained.config
    return {
        "approach": outcome.approach,
        "weighting": outcome.weighting,
        "norm": config.norm,
        "seed": config.seed,
    }


def _cell(outcome: Outcome) -> Mapping[str, object]:
    trained = outcome.trained
    sizes = account(trained.net, trained.paths)
    readings = sizes.multiply_adds.set_index("reading")["multiply_adds"]
    return {
        **_key(outcome),
        "parameters": sizes.parameters(batch_norm=False, heads=False),
        "parameters_all": sizes.parameters(),
        **{column: float(readings[reading]) for reading, column in READINGS.items()},
        "bytes": outcome.bytes,
        "val": trained.accuracy("val").mean(),
        "test": trained.accuracy("test").mean(),
    }


def _family(approach: str) -> str:
    """An approach's name without its options: `single_path(frozen=True)` -> `single_path`."""
    return approach.partition("(")[0]


_CONTROLS = {  # by family
    "random_paths": "random paths of the same cost, domain by domain,",
    "even_paths": "random paths that all cost the target",
}


def claims(comparison: Comparison) -> list[str]:
    """What the article claims, and what its controls say, as sentences with this run's figures.

    Only of approaches that are there; of the first weighting and norm of MPNAS.
    """
    table = comparison.table()
    own = table[table["approach"] == "mpnas"]
    if own.empty:
        return []
    mpnas = own.iloc[0]
    alike = table[
        (table["norm"] == mpnas["norm"])
        & table["weighting"].isin([mpnas["weighting"], NO_WEIGHTING])
    ].set_index("approach")
    sentences = []
    if "bundle" in alike.index:
        bundle = alike.loc["bundle"]
        sentences.append(
            f"MPNAS has {_change(mpnas, bundle, 'parameters')} parameters and "
            f"{_change(mpnas, bundle, 'union')} multiply-adds (union) than the bundle of single "
            f"models, and {_points(mpnas['test'] - bundle['test'])} of mean test accuracy "
            f"({_seeds(mpnas)}; the article: 78% fewer, 32% fewer, +1.9 points)."
        )
    for family, what in _CONTROLS.items():
        random = alike[alike.index.map(_family) == family]
        if len(random):
            sentences.append(
                f"{what} reach {_points(random['test'].mean() - mpnas['test'])} against the "
                f"searched ones ({len(random)} draw{'s' if len(random) > 1 else ''}, "
                f"{random['test'].min():.1%} to {random['test'].max():.1%}; MPNAS "
                f"{mpnas['test']:.1%})."
            )
    best = alike["test"].idxmax()
    smallest = alike["parameters"].idxmin()
    sentences.append(
        f"the most accurate approach is {best} ({alike.loc[best, 'test']:.1%}), the smallest "
        f"{smallest} ({alike.loc[smallest, 'test']:.1%} with "
        f"{alike.loc[smallest, 'parameters']:,.0f} parameters)."
    )
    return sentences


def _change(one: pd.Series, other: pd.Series, column: str) -> str:
    share = one[column] / other[column] - 1
    return f"{abs(share):.0%} {'fewer' if share < 0 else 'more'}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def _seeds(row: pd.Series) -> str:
    return "one seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
