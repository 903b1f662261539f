"""The figures on a report's first page, from the finished stages of a run."""

from dataclasses import dataclass
from typing import NamedTuple

from mpnas_kit.analysis.sharing import account
from mpnas_kit.notebook.tables import amount
from mpnas_kit.runs.run import Pipeline
from mpnas_kit.search.result import SearchResult


class Card(NamedTuple):
    """A figure that stands large: what it is, the figure, what to compare it with."""

    label: str
    value: str
    beside: str


class Row(NamedTuple):
    """A domain: what it is and what came out; None where a stage is missing."""

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
    """What a run came to: cards, a row a domain, and the search's own verdict."""

    cards: list[Card]
    rows: list[Row]
    verdict: str
    decided: bool
    unit: str

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Summary":
        """The summary of the stages that are finished."""
        found = pipeline.found() if pipeline.finished("search") else None
        trained = pipeline.trained() if pipeline.finished("train") else None
        cards = [Card("Domains", str(len(pipeline.suite)), "one network for all of them")]
        val, test = (trained.accuracy(s) if trained else None for s in ("val", "test"))
        undecided: dict[str, int] = {}
        if trained is not None and val is not None and test is not None:
            low, high = test.idxmin(), test.idxmax()
            spread = f"{low} {test.min():.1%} to {high} {test.max():.1%}"
            cards.append(Card("Mean test accuracy", f"{test.mean():.1%}", spread))
            sizes = account(trained.net, trained.paths)
            union = sizes.parameters()
            alone = int(sizes.domains[["parameters", "norm", "head"]].to_numpy().sum())
            fewer = f"{1 - union / alone:.0%} fewer than the paths as separate models"
            cards.append(Card("Parameters", amount(union), f"{fewer} ({amount(alone)})"))
            mean = float(sizes.domains["multiply_adds"].mean())
            cards.append(Card("Multiply-adds an image", amount(mean), "mean over the domains"))
        if found is not None:
            table = found.decisions()
            undecided = (~table["decided"]).groupby(table["domain"]).sum().to_dict()
            done = f"{int(table['decided'].sum())} of {len(table)}"
            cards.append(Card("Choices decided", done, "entropy at most half of its maximum"))
        paths = found.paths if found else trained.paths if trained else {}
        rows = [
            Row(
                domain=d.name,
                classes=len(d.classes),
                images=len(d.train),
                path=paths[d.name].arch if d.name in paths else None,
                cost=amount(found.costs[d.name]) if found else None,
                undecided=int(undecided[d.name]) if found else None,
                val=float(val[d.name]) if val is not None and d.name in val else None,
                test=float(test[d.name]) if test is not None and d.name in test else None,
            )
            for d in pipeline.suite
        ]
        return cls(
            cards=cards,
            rows=rows,
            verdict=_verdict(pipeline, found),
            decided=found is not None and not any(undecided.values()),
            unit=found.config.cost.unit if found else "",
        )


def _verdict(pipeline: Pipeline, found: SearchResult | None) -> str:
    if found is not None:
        return found.verdict()
    if pipeline.finished("train"):
        return "the paths were given: this run has no search stage."
    return "no stage of this run is finished."
