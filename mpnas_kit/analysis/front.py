"""Which rows of a comparison are the front of accuracy and size, and which are clearly below it."""

import math
from dataclasses import dataclass

import pandas as pd

from mpnas_kit.analysis.comparison import KEY, Comparison, Split, kind_names
from mpnas_kit.analysis.standings import ranking, t_interval
from mpnas_kit.analysis.units import amount
from mpnas_kit.values import require_type

FRONT, UNCLEAR, BELOW = "front", "unclear", "below"


@dataclass(frozen=True, eq=False)
class AccuracyFront:
    """The rows of a comparison, and whether they are the front. Returned by `accuracy_front`.

    table: one row per approach, prioritization and norm, in order of ascending cost. Columns:

        approach, prioritization, norm: identify the row.
        name: what differs between the rows, as one text.
        seeds: number of seeds.
        cost: mean over seeds.
        accuracy: mean over domains and seeds, 0 to 1.
        low, high: 95 % t interval over seeds; nan with one seed.
        place: `front`, `unclear` or `below` (see `accuracy_front`).
        beaten_by: name of the row that is clearly better and costs no more, by the largest
        difference; empty: there is none.

    cost: name of the cost, such as `parameters`.
    split: `val` or `test`.
    """

    table: pd.DataFrame
    cost: str
    split: str

    def sentence(self) -> str:
        """Return one sentence that says which rows are the front."""

        def listed(place: str, sizes: bool) -> str:
            rows = self.table[self.table["place"] == place]
            names = [
                f"{r.name_} ({r.accuracy:.1%} with {amount(r.cost)})" if sizes else str(r.name_)
                for r in rows.rename(columns={"name": "name_"}).itertuples()
            ]
            return ", ".join(names)

        what = f"The front of {self.split} accuracy and {self.cost.replace('_', ' ')}"
        parts = [f"{what}: {listed(FRONT, sizes=True)}"]
        unclear, below = listed(UNCLEAR, sizes=False), listed(BELOW, sizes=False)
        parts += [f"below it, but not clearly: {unclear}"] if unclear else []
        parts += [f"clearly below it: {below}"] if below else []
        return "; ".join(parts) + "."

    def _repr_html_(self) -> str:
        return str(self.table.to_html())

    def __repr__(self) -> str:
        return self.sentence()


def accuracy_front(
    comparison: Comparison, cost: str = "parameters", split: Split = "test"
) -> AccuracyFront:
    """Return which rows of a comparison are the front of accuracy and cost.

    comparison: finished runs.
    cost: parameters (without batch norms and classifiers), parameters_all, per_image, union,
    n_images or bytes.
    split: `val` or `test`.

    A row is the `front` if no other row has a higher mean accuracy and no higher cost, or the same
    accuracy and a lower cost (`Comparison.pareto`). Another row is `below` if a row that costs no
    more is clearly better: the 95 % t interval of the difference, over the seeds that both have, is
    above 0 (ours). Otherwise it is `unclear`. With one seed no difference is clear.

    Raises `MpnasError` if there are no runs, or `cost` or `split` is unknown, and `Unavailable` if
    no run has this cost.

    >>> outcome = mk.analysis.Outcome("mpnas", "abdp", trained, bytes=1000)
    >>> mk.analysis.accuracy_front(mk.analysis.compare([outcome]), "bytes")
    The front of test accuracy and bytes: mpnas (...% with 1 k).
    """
    require_type(comparison, Comparison, "accuracy_front: comparison")
    ranked = ranking(comparison, split).drop(columns="place")
    best = {tuple(key) for key in comparison.pareto(cost, split)[list(KEY)].to_numpy()}
    table = ranked.assign(cost=comparison.table()[cost], name=kind_names(ranked))
    table = table[table["cost"].notna()].sort_values("cost", kind="stable", ignore_index=True)
    groups = comparison.cells.groupby(list(KEY), sort=False)
    seeds = {key: own.set_index("seed")[split] for key, own in groups}
    keys = [tuple(key) for key in table[list(KEY)].to_numpy()]
    places, beaten_by = [], []
    for key, size in zip(keys, table["cost"], strict=True):
        ahead = {}
        for other, name, other_size in zip(keys, table["name"], table["cost"], strict=True):
            difference = (seeds[other] - seeds[key]).dropna()
            if other_size <= size and t_interval(difference)[0] > 0:
                ahead[name] = difference.mean()
        places.append(FRONT if key in best else BELOW if ahead else UNCLEAR)
        beaten_by.append(max(ahead, key=lambda name: ahead.get(name, -math.inf), default=""))
    columns = [*KEY, "name", "seeds", "cost", "accuracy", "low", "high", "place", "beaten_by"]
    return AccuracyFront(table.assign(place=places, beaten_by=beaten_by)[columns], cost, split)
