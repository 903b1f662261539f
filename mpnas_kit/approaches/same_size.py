"""Paths whose union has as many parameters as that of an MPNAS run (ours).

Parameters are counted without batch norms and classifiers.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import torch

from mpnas_kit.approaches.approach import Context
from mpnas_kit.errors import MpnasError
from mpnas_kit.space.costs import MultiplyAdds, Parameters, path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace

TOLERANCE = 0.05  # by which a cost or a size may differ from that of the MPNAS run
WALKS, TRIES = 10, 4000  # from random paths to a size, and changes in each
MOST_CHANGES = 3  # choices of a path that one try changes
SLACK = (0.1, 0.001)  # distance from the size that is forgiven, at the start and end of a walk
COPIES = 100  # one change of so many takes the whole path of another domain


def path_of_size(context: Context, matched: Mapping[str, Path]) -> Path:
    """Return a path for all domains whose union has the size of the union of `matched`.

    It begins as the uniform path of the nearest size, or the largest path if there is no uniform
    one. Then the choice is changed, again and again, that brings the size nearest. No random
    numbers are used.

    context: space and domains.
    matched: path of every domain of the MPNAS run.

    Raises `MpnasError` if no path within `TOLERANCE` is found.
    """
    space, target = context.space, context.space.union_cost(matched.values()).parameters

    def size(path: Path) -> int:
        return space.union_cost([path] * len(context.domains)).parameters

    def nearest(paths: Iterable[Path]) -> Path:
        return min(paths, key=lambda path: _distance(size(path), target))

    path = nearest(space.uniform_paths() or space.extremes(Parameters().price))
    while _distance(size(path), target) > math.log1p(TOLERANCE):
        better = nearest(_changed_once(context, path))
        if _distance(size(better), target) >= _distance(size(path), target):
            raise MpnasError(
                f"space {space.name!r} has no path of {target:,} parameters, the size of the MPNAS "
                f"union, within {TOLERANCE:.0%}: the nearest that was found has {size(path):,}. "
                "Expected another MPNAS run, or single_path with match='cost'."
            )
        path = better
    return path


def moved_to_size(
    context: Context,
    matched: Mapping[str, Path],
    fresh: Callable[[], Mapping[str, Path]],
    generator: torch.Generator,
) -> dict[str, Path]:
    """Return random paths whose union has the size of the union of `matched`.

    A walk begins with random paths. Each try changes up to three choices of one domain, to those of
    another domain or to random ones, and rarely all of them to those of another domain. In every
    other try, the domains that have the same choice change it as well, so that shared nodes move
    without being split. A change is kept if the multiply-adds stay within `TOLERANCE` of those of
    the matched paths and the size gets nearer to the target. Changes away from it are kept with a
    probability that falls (simulated annealing, Kirkpatrick et al. 1983,
    doi:10.1126/science.220.4598.671). A walk that does not get there is followed by another one.

    context: space and domains.
    matched: path of every domain of the MPNAS run.
    fresh: returns new random paths with the multiply-adds of `matched`.
    generator: source of all random numbers.

    Raises `MpnasError` if no such paths are found in `WALKS` walks.
    """
    space = context.space
    target, nearest = space.union_cost(matched.values()).parameters, 0
    for _ in range(WALKS):
        paths = _walk(space, matched, fresh(), target, generator)
        size = space.union_cost(paths.values()).parameters
        if _distance(size, target) <= math.log1p(TOLERANCE):
            return paths
        nearest = min(size, nearest, key=lambda size: _distance(size, target))
    raise MpnasError(
        f"no random paths with the costs of the MPNAS paths have a union of {target:,} parameters "
        f"within {TOLERANCE:.0%}: the nearest of {WALKS * TRIES:,} tries has {nearest:,}. Expected "
        "another draw, or random_paths with match='cost'."
    )


def _walk(
    space: SearchSpace,
    matched: Mapping[str, Path],
    first: Mapping[str, Path],
    target: int,
    generator: torch.Generator,
) -> dict[str, Path]:
    """Return the paths at the end of a walk from `first` (see `moved_to_size`)."""
    paths, names = dict(first), list(first)
    costs = path_costs(MultiplyAdds(), space, matched)

    def draw(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    def changed() -> dict[str, Path]:
        domain, together = names[draw(len(names))], draw(2) == 1
        old = paths[domain]
        if draw(COPIES) == 0:
            return {domain: paths[names[draw(len(names))]]}
        new = {name: list(path.choices) for name, path in paths.items()}
        for _ in range(1 + draw(MOST_CHANGES) if old.choices else 0):
            index, other = draw(len(old.choices)), paths[names[draw(len(names))]]
            random = draw(len(space.decisions[index].choices))
            choice = other.choices[index] if draw(2) else random
            for name, path in paths.items():
                if name == domain or (together and path.choices[index] == old.choices[index]):
                    new[name][index] = choice
        return {n: space.path(c) for n, c in new.items() if tuple(c) != paths[n].choices}

    def affordable(new: Mapping[str, Path]) -> bool:
        found = path_costs(MultiplyAdds(), space, new)
        return all(_distance(found[n], costs[n]) <= math.log1p(TOLERANCE) for n in new)

    size, (begin, end) = space.union_cost(paths.values()).parameters, SLACK
    for number in range(TRIES):
        if _distance(size, target) <= math.log1p(TOLERANCE):
            break
        slack = begin * (end / begin) ** (number / TRIES)
        new = changed()
        if not affordable(new):
            continue
        proposed = space.union_cost({**paths, **new}.values()).parameters
        further = _distance(proposed, target) - _distance(size, target)
        if further <= 0 or float(torch.rand((), generator=generator)) < math.exp(-further / slack):
            paths, size = {**paths, **new}, proposed
    return paths


def _changed_once(context: Context, path: Path) -> Iterable[Path]:
    """Yield the path, and every path that differs from it in one choice."""
    yield path
    for index, decision in enumerate(context.space.decisions):
        for choice in range(len(decision.choices)):
            choices = list(path.choices)
            choices[index] = choice
            yield context.space.path(choices)


def _distance(value: float, target: float) -> float:
    """Return how far a value is from a target, as the absolute logarithm of their ratio."""
    return abs(math.log(value / target)) if value > 0 else math.inf
