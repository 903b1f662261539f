"""The figures in large type on the first page of a report, each beside what to compare it with."""

from typing import NamedTuple

from mpnas_kit.analysis.answer import Answer, Difference, Peer, change, compared
from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.units import amount, count
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


def cards_of(
    run: Run, trained: TrainResult | None, answer: Answer | None, found: SearchResult | None
) -> list[Card]:
    """Return the figures in large type, each beside its reference.

    trained: result of the training; None: it is not finished.
    answer: what the run found; None: its sweep cannot be read, or it is not finished.
    found: result of the search; None: the run has none.
    """
    if trained is None:
        cards = [Card("Domains", str(len(run.domains)), "no training is finished")]
        return cards if found is None else [*cards, _decided_card(found)]
    test = trained.accuracy("test")
    spread = f"from {test.idxmin()} {test.min():.1%} to {test.idxmax()} {test.max():.1%}"
    bundle, random = (answer.bundle, answer.random) if answer is not None else (None, None)
    sizes = _sizes(trained)
    if answer is None or bundle is None:
        cards = [Card("Mean test accuracy", f"{test.mean():.1%}", spread)]
        cards += _cards_alone(*sizes) if sizes else []
    else:
        other = answer.separate_models()
        seeds = f", {count(answer.seeds)} seeds" if answer.seeds > 1 else ""
        cards = [
            Card(
                f"Mean test accuracy{seeds}",
                f"{answer.accuracy:.1%}",
                f"{_clearly(bundle.difference)} to {other}, {bundle.accuracy:.1%} "
                f"({bundle.difference.points} points, {bundle.difference.interval})",
            ),
            *_cards_beside(answer, bundle, other),
        ]
    if random is not None:
        cards.append(
            Card(
                "Searched against random paths",
                f"{random.difference.points} points",
                f"{random.difference.interval}: {_clearly(random.difference)} to random paths of "
                f"the same cost per image, {random.accuracy:.1%}",
            )
        )
    elif found is not None:
        cards.append(_decided_card(found))
    else:
        served = "one network for each" if answer is not None and answer.models > 1 else ""
        cards.append(Card("Domains", str(len(test)), served or "one network for all of them"))
    return cards


def _decided_card(found: SearchResult) -> Card:
    """Return how many choices the search decided."""
    table = found.decisions()
    share = f"{int(table['decided'].sum())} of {len(table)}"
    return Card("Choices decided", share, "entropy at most half of its maximum")


def _cards_beside(answer: Answer, bundle: Peer, other: str) -> list[Card]:
    """Return the cards of the sizes that are known, beside those of the bundle."""
    cards = []
    for label, own, reference in (
        ("Parameters", answer.parameters, bundle.parameters),
        ("Multiply-adds per image", answer.multiply_adds, bundle.multiply_adds),
    ):
        percent = change(own, reference)
        if percent is not None:
            words = compared(percent, "fewer", "more", "as many")
            cards.append(Card(label, amount(own), f"{words} {other}, {amount(reference)}"))
    return cards


def _cards_alone(union: int, alone: int, mean: float) -> list[Card]:
    """Return the cards of the sizes of a run without a bundle (see `_sizes`)."""
    if union < alone:
        beside = f"{1 - union / alone:.0%} fewer than the paths as separate models"
    else:
        beside = "not fewer than the paths as separate models"
    return [
        Card("Parameters", amount(union), f"{beside}, {amount(alone)}"),
        Card("Multiply-adds per image", amount(mean), "mean over the domains"),
    ]


def _sizes(trained: TrainResult) -> tuple[int, int, float] | None:
    """Return the parameters of the network and of its paths alone, and multiply-adds per image.

    None: a block comes from a module of a third party that is not there.
    """
    try:
        sizes = account(trained.structure, trained.paths)
    except Unavailable:
        return None
    alone = int(sizes.domains[["parameters", "norm", "head"]].to_numpy().sum())
    return sizes.parameters(), alone, float(sizes.domains["multiply_adds"].mean())


def _clearly(found: Difference) -> str:
    """Return in words whether the sign of a difference is known."""
    return "a clear difference" if found.is_clear else "no clear difference"
