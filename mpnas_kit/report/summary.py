"""The figures on the first page of a report, from the finished stages of a run."""

from dataclasses import dataclass
from typing import NamedTuple

from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import Unavailable
from mpnas_kit.runs.run import Run
from mpnas_kit.search.result import SearchResult
from mpnas_kit.training.result import TrainResult


class Card(NamedTuple):
    """A figure in large type.

    label: what the figure is.
    value: the figure with its unit.
    beside: what to compare it with.
    """

    label: str
    value: str
    beside: str


class Row(NamedTuple):
    """A domain and its results. A result is None if its stage is not finished.

    domain: name.
    classes: number of classes.
    images: number of training images.
    path: arch string.
    cost: cost of one image, as text.
    undecided: number of decisions that the search left undecided.
    val, test: top-1 accuracy, 0 to 1.
    """

    domain: str
    classes: int
    images: int
    path: str | None
    cost: str | None
    undecided: int | None
    val: float | None
    test: float | None


@dataclass(frozen=True)
class Summary:
    """The results of a run.

    cards: figures in large type.
    rows: one row per domain.
    verdict: a sentence that says whether the search decided.
    decided: whether the search decided every choice.
    unit: unit of the costs; empty if the run has no finished search.
    """

    cards: list[Card]
    rows: list[Row]
    verdict: str
    decided: bool
    unit: str

    @classmethod
    def of(cls, run: Run) -> "Summary":
        """Return the summary of the finished stages of a run."""
        found = run.search_result() if run.finished("search") else None
        trained = run.train_result() if run.finished("train") else None
        cards = [Card("Domains", str(len(run.domains)), "one network for all of them")]
        val, test = (trained.accuracy(s) if trained else None for s in ("val", "test"))
        undecided: dict[str, int] = {}
        if trained is not None and val is not None and test is not None:
            low, high = test.idxmin(), test.idxmax()
            spread = f"from {low} {test.min():.1%} to {high} {test.max():.1%}"
            cards.append(Card("Mean test accuracy", f"{test.mean():.1%}", spread))
            cards += _sizes(trained)
        if found is not None:
            table = found.decisions()
            undecided = (~table["decided"]).groupby(table["domain"]).sum().to_dict()
            share = f"{int(table['decided'].sum())} of {len(table)}"
            cards.append(Card("Choices decided", share, "entropy at most half of its maximum"))
        paths = found.paths if found else trained.paths if trained else {}
        rows = [
            Row(
                domain=d.name,
                classes=len(d.classes),
                images=d.train,
                path=paths[d.name].arch if d.name in paths else None,
                cost=amount(found.costs[d.name]) if found else None,
                undecided=int(undecided[d.name]) if found else None,
                val=float(val[d.name]) if val is not None and d.name in val else None,
                test=float(test[d.name]) if test is not None and d.name in test else None,
            )
            for d in run.description.domains
        ]
        return cls(
            cards=cards,
            rows=rows,
            verdict=_verdict(run, found),
            decided=found is not None and not any(undecided.values()),
            unit=found.cost_unit if found else "",
        )


def _sizes(trained: TrainResult) -> list[Card]:
    try:
        sizes = account(trained.structure, trained.paths)
    except Unavailable:  # a block of a third party that is not installed
        return []
    union = sizes.parameters()
    alone = int(sizes.domains[["parameters", "norm", "head"]].to_numpy().sum())
    fewer = f"{1 - union / alone:.0%} fewer than the paths as separate models"
    mean = float(sizes.domains["multiply_adds"].mean())
    return [
        Card("Parameters", amount(union), f"{fewer} ({amount(alone)})"),
        Card("Multiply-adds per image", amount(mean), "mean over the domains"),
    ]


def _verdict(run: Run, found: SearchResult | None) -> str:
    if found is not None:
        return found.verdict()
    if run.finished("train"):
        return "this run has no search stage: its paths were given."
    return "no stage of this run is finished."
