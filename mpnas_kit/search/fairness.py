"""Strict fairness: the paths that train the weights take every candidate equally often.

Source: FairNAS, Chu et al., ICCV 2021, arXiv 1907.01845. There, a step trains as many paths as a
layer has candidates, each candidate once. Here the domains of a step take different candidates
(ours).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace

MOST_KNOWN = 10_000  # rounds of decisions that are kept, so that they are drawn once
_FAIR = 7  # tells the numbers apart from other draws with the same seed


class FairPaths:
    """Paths in which every choice of a decision is taken equally often.

    Per decision of `K` choices, the steps of a controller form rounds of `K`. In a round it takes
    every choice once. The order is random, and is the same for all controllers, but each of them
    begins at another place. So in a step, too, no choice is taken twice before each was taken once.

    `choice[c, t] = order[(place[c] + t) mod K]`, with a random permutation `order` of the choices,
    a random permutation `place` of the controllers, and the step `t` of the round.

    Each decision has permutations of its own, and new ones in every round. They follow from the
    seed and the number of the round, so there is no state. If a controller does not draw in every
    step, it continues its own rounds, and a step as a whole is balanced in the mean only.

    space: search space of the paths.
    names: names of the controllers.
    seed: seed of all permutations.

    >>> fair = FairPaths(space, ["a", "b", "c"], seed=0)
    >>> sorted(path.choices[0] for path in fair.draw({"a": 0, "b": 0, "c": 0}).values())
    [0, 1, 2]
    """

    def __init__(self, space: SearchSpace, names: Sequence[str], seed: int) -> None:
        self.space, self.seed = space, seed
        self._row = {name: row for row, name in enumerate(names)}
        self._rounds: dict[tuple[int, int], tuple[list[int], list[int]]] = {}

    def draw(self, drawn: Mapping[str, int]) -> dict[str, Path]:
        """Return a path for some controllers, by name.

        drawn: how many paths each of these controllers has drawn before.
        """
        return {name: self._path(self._row[name], earlier) for name, earlier in drawn.items()}

    def _path(self, row: int, earlier: int) -> Path:
        choices = []
        for index, decision in enumerate(self.space.decisions):
            number, step = divmod(earlier, len(decision.choices))
            order, places = self._round(index, number)
            choices.append(order[(places[row] + step) % len(order)])
        return self.space.path(choices)

    def _round(self, index: int, number: int) -> tuple[list[int], list[int]]:
        """Return order and places of a round. index: of the decision. number: of the round."""
        key = index, number
        if key not in self._rounds:
            if len(self._rounds) > MOST_KNOWN:
                self._rounds.clear()
            generator = np.random.default_rng((self.seed, _FAIR, index, number))
            sizes = len(self.space.decisions[index].choices), len(self._row)
            order, places = (generator.permutation(size).tolist() for size in sizes)
            self._rounds[key] = order, places
        return self._rounds[key]
