"""The first page of a report, from the finished stages of a run.

A run has domains, but its training may serve fewer of them, on paths that no search has found. So
what the page says about the network comes from the training, not from the description of the run.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import Unavailable
from mpnas_kit.files import exists
from mpnas_kit.runs.run import Run
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.space import Path
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
    path: arch string of the path that was trained, or else of the one that the search found.
    cost: cost of one image on the path, as text; None: no search has found this path.
    undecided: number of decisions that the search left undecided; None as for `cost`.
    val, test: top-1 accuracy, 0 to 1.
    macro: mean recall over the classes on test, 0 to 1; None also if it was not recorded.
    """

    domain: str
    classes: int
    images: int
    path: str | None
    cost: str | None
    undecided: int | None
    val: float | None
    test: float | None
    macro: float | None


@dataclass(frozen=True)
class Summary:
    """The results of a run.

    title: what the run made, in a few words.
    lead: how it was made, in sentences; empty if no training is finished.
    cards: figures in large type.
    rows: one row per domain.
    verdict: a sentence that says whether the search decided.
    decided: whether the search decided every choice, and its paths were trained if any were.
    unit: unit of the costs; empty if the run has no finished search.
    """

    title: str
    lead: str
    cards: list[Card]
    rows: list[Row]
    verdict: str
    decided: bool
    unit: str

    @classmethod
    def of(cls, run: Run) -> "Summary":
        """Return the summary of the finished stages of a run."""
        found = _search_of(run)
        trained = run.train_result() if run.finished("train") else None
        cards = [_domains_card(run, trained)]
        val, test = (trained.accuracy(s) if trained else None for s in ("val", "test"))
        known = trained is not None and trained.recalls is not None
        macro = trained.macro_accuracy("test") if trained is not None and known else None
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
        paths = trained.paths if trained else found.paths if found else {}
        searched = {d for d, p in paths.items() if found and _has(found.paths, d, p)}
        frozen = run.description.frozen
        as_found = searched | set(frozen) == set(paths)
        rows = [
            Row(
                domain=d.name,
                classes=len(d.classes),
                images=d.train,
                path=paths[d.name].arch if d.name in paths else None,
                cost=amount(found.costs[d.name]) if found and d.name in searched else None,
                undecided=int(undecided.get(d.name, 0)) if d.name in searched else None,
                val=float(val[d.name]) if val is not None and d.name in val else None,
                test=float(test[d.name]) if test is not None and d.name in test else None,
                macro=float(macro[d.name]) if macro is not None and d.name in macro else None,
            )
            for d in run.description.domains
        ]
        return cls(
            title=_title(run, trained),
            lead=_lead(trained, found, as_found, frozen) if trained else "",
            cards=cards,
            rows=rows,
            verdict=_verdict(run, found, trained, as_found),
            decided=bool(undecided) and not any(undecided.values()) and as_found,
            unit=found.cost_unit if found else "",
        )


def _search_of(run: Run) -> SearchResult | None:
    """Return the finished search of a run, or of the run whose search it takes; None: none."""
    other = run.description.search_from
    if other is None:
        return run.search_result() if run.finished("search") else None
    there = exists(os.path.join(run.folder, other, "run.json"))
    return _search_of(run.other) if there and run.other is not None else None


def _has(paths: Mapping[str, Path], domain: str, path: Path) -> bool:
    return domain in paths and paths[domain].arch == path.arch


def _count(number: int) -> str:
    return f"{number} domain{'s' if number != 1 else ''}"


def _title(run: Run, trained: TrainResult | None) -> str:
    if trained is None:
        return f"A run of {_count(len(run.domains))}"
    models = len(trained.paths) if trained.config.private_from == 0 else 1
    network = "One network" if models == 1 else f"{models} networks"
    return f"{network} for {_count(len(trained.paths))}"


def _domains_card(run: Run, trained: TrainResult | None) -> Card:
    if trained is None:
        return Card("Domains", str(len(run.domains)), "no training is finished")
    count = len(trained.paths)
    if count < len(run.domains):
        return Card("Domains trained", str(count), f"of the {len(run.domains)} of the run")
    separate = trained.config.private_from == 0 and count > 1
    beside = "one network for each of them" if separate else "one network for all of them"
    return Card("Domains", str(count), beside)


def _lead(
    trained: TrainResult, found: SearchResult | None, searched: bool, frozen: Sequence[str]
) -> str:
    """Return how the network was made: where its paths are from, and what they share.

    frozen: domains that were there before the others were added.
    """
    if frozen:
        search = "searched" if searched and found is not None else "chosen"
        return (
            f"The trained network of {', '.join(frozen)} stays as it is. Paths of the other "
            f"domains were {search} through its nodes and new ones, and what is new was trained."
        )
    if found is None or not searched:
        paths = "No search has found the paths."
    elif found.config.controllers == "one":
        paths = "One controller searched one path for all domains."
    elif found.config.private_from == 0:
        paths = "The controller of each domain searched a path through a supernet of its own."
    else:
        paths = "The controller of each domain searched a path through one supernet."
    private_from = trained.config.private_from
    if private_from == 0:
        return f"{paths} Every path was trained as a model of its own."
    network = f"{paths} The union of the paths was trained as one model."
    if len(trained.paths) == 1:
        return f"{paths} The path was trained as one model."
    layers = trained.space.layers
    where = (
        ""
        if private_from is None or private_from >= len(layers)
        else f" before layer {layers[private_from].name}"
    )
    return f"{network} If two paths use the same node{where}, they share its weights."


def _sizes(trained: TrainResult) -> list[Card]:
    try:
        sizes = account(trained.structure, trained.paths)
    except Unavailable:  # a block of a third party that is not installed
        return []
    union = sizes.parameters()
    alone = int(sizes.domains[["parameters", "norm", "head"]].to_numpy().sum())
    if union < alone:
        beside = f"{1 - union / alone:.0%} fewer than the paths as separate models"
    else:
        beside = "not fewer than the paths as separate models"
    mean = float(sizes.domains["multiply_adds"].mean())
    return [
        Card("Parameters", amount(union), f"{beside} ({amount(alone)})"),
        Card("Multiply-adds per image", amount(mean), "mean over the domains"),
    ]


def _verdict(
    run: Run, found: SearchResult | None, trained: TrainResult | None, searched: bool
) -> str:
    other = run.description.search_from
    if found is not None:
        whose = "" if other is None else f" (It is the search of the run {other}.)"
        trained_others = "" if searched else " The training has other paths than the search found."
        return f"{found.verdict()}{whose}{trained_others}"
    if trained is None:
        return "no stage of this run is finished."
    if other is not None:
        return f"the search of this run is that of the run {other}, which is not there."
    return f"this run has no finished search. Its approach is {run.description.approach}."
