"""Policies by candidate: how likely each is, and in which layers a domain is undecided."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mpnas_kit.search.result import UNDECIDED, likeliest
from mpnas_kit.settings import require
from mpnas_kit.space.space import SearchSpace

TIE = 0.01  # difference of probabilities below which two choices count as equally likely


@dataclass(frozen=True, eq=False)
class LayerPolicies:
    """Policies by layer and candidate. Returned by `layer_policies`.

    probabilities: for every layer the probability of each candidate, float64 (snapshots, domains,
    candidates). If a layer has several decisions, that of a candidate is the sum over their choices
    that lead to it. A layer with one candidate has probability 1.
    undecided: in which layers each domain is undecided, bool (snapshots, domains, layers). There
    the likeliest candidate says little: it may be the first one by chance.
    """

    probabilities: tuple[NDArray[np.float64], ...]
    undecided: NDArray[np.bool_]


def layer_policies(
    space: SearchSpace, policy: NDArray[np.float32], tie: float = TIE
) -> LayerPolicies:
    """Return policies by layer and candidate.

    A domain is undecided in a layer if one of its decisions about the candidate is, by the rule of
    `SearchResult.decisions` (entropy above 0.5 of its maximum), or if its two likeliest choices are
    equally likely (ours). Decisions about widths do not count, nor do those that do not matter
    because the likeliest path skips the layer.

    space: the search space.
    policy: probabilities of choices, float32 (snapshots, domains, decisions, choices), as in
    `SearchResult`.
    tie: difference of probabilities below which two choices count as equally likely.

    Raises `MpnasError` if `policy` has another shape than the decisions of the space need.

    >>> policies = mk.analysis.layer_policies(space, found.policy)
    >>> policies.probabilities[1].shape, policies.undecided.shape
    ((4, 2, 3), (4, 2, 5))
    """
    most = max((len(decision.choices) for decision in space.decisions), default=1)
    shape = np.shape(policy)
    require(
        len(shape) == 4 and shape[2:] == (len(space.decisions), most),
        f"layer_policies: policy must have the shape (snapshots, domains, {len(space.decisions)}, "
        f"{most}) for space {space.name!r}, not {shape}.",
    )
    unsure = _unsure(space, policy, tie)
    undecided = np.zeros((*policy.shape[:2], len(space.layers)), dtype=bool)
    probabilities = []
    for layer, (places, picks) in enumerate(_picks(space)):
        shape = (*policy.shape[:2], len(space.layers[layer].candidates))
        sums = np.zeros(shape, dtype=np.float64)
        for choices, pick in picks.items():
            chances = [policy[:, :, p, c] for p, c in zip(places, choices, strict=True)]
            sums[..., pick] += np.prod(chances, axis=0, dtype=np.float64) if chances else 1.0
        probabilities.append(sums)
        for number, place in enumerate(places):
            if _matters(number, picks):
                undecided[:, :, layer] |= unsure[:, :, place]
    return LayerPolicies(tuple(probabilities), undecided)


def _unsure(space: SearchSpace, policy: NDArray[np.float32], tie: float) -> NDArray[np.bool_]:
    """Return which decisions that matter are undecided (snapshots, domains, decisions)."""
    unsure = np.zeros(policy.shape[:3], dtype=bool)
    for i, count in enumerate(len(decision.choices) for decision in space.decisions):
        p = np.sort(policy[:, :, i, :count].astype(np.float64), axis=-1)
        entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(-1) / np.log(max(count, 2))
        unsure[:, :, i] = entropy > UNDECIDED
        if count > 1:
            unsure[:, :, i] |= p[..., -1] - p[..., -2] < tie
    for snapshot, probabilities in enumerate(policy):
        for domain, path in enumerate(likeliest(space, probabilities)):
            unsure[snapshot, domain] &= space.active(path.choices)
    return unsure


def _picks(space: SearchSpace) -> Iterator[tuple[list[int], dict[tuple[int, ...], int]]]:
    """Yield for every layer the places of its decisions, and the candidate of all their choices."""
    choices = [0] * len(space.decisions)
    for layer in range(len(space.layers)):
        places = list(space.deciding(layer))
        picks = {}
        for own in product(*(range(len(space.decisions[i].choices)) for i in places)):
            for place, choice in zip(places, own, strict=True):
                choices[place] = choice
            picks[own] = space.candidate_indices(choices)[layer]
        for place in places:
            choices[place] = 0
        yield places, picks


def _matters(number: int, picks: dict[tuple[int, ...], int]) -> bool:
    """Return whether a decision of a layer changes its candidate. number: index among them."""
    first: dict[tuple[int, ...], int] = {}
    return any(
        first.setdefault((*own[:number], *own[number + 1 :]), pick) != pick
        for own, pick in picks.items()
    )
