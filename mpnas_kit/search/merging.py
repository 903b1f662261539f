"""The merge pass: after a search, domains take nodes of other domains, one step at a time (ours).

Each step loses the least quality per parameter that it saves, as in agglomerative clustering. The
sets of paths on the way are a front: from the paths of the search, which share by chance, to one
path for all domains. No weight is trained on the way, so one search gives the whole front.
"""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations, product
from typing import Annotated, Any, NamedTuple

import pandas as pd

from mpnas_kit.engine.records import FrontFile
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.scoring import PathQuality
from mpnas_kit.space.costs import AdditiveCost, MultiplyAdds, path_costs
from mpnas_kit.space.layers import OWN, ZERO, Path, Use
from mpnas_kit.space.moves import move
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.space.unions import UnionParts
from mpnas_kit.values import Range, checked

TOLERANCE = 0.05  # share by which the cost of a path may exceed its target
IMAGES = 128  # reward images per domain on which a search measures the paths of the pass


@dataclass(frozen=True)
class FrontPoint:
    """A set of paths on a front.

    paths: path of every domain, by domain.
    parameters: parameters of their union, without batch norm and classifiers.
    quality: quality of the paths, mean over domains. It is in the unit of the function that
    measured it, so it compares points of one front only.
    """

    paths: Mapping[str, Path]
    parameters: int
    quality: float


@dataclass(frozen=True)
class Front:
    """What sharing costs: sets of paths from the largest union to the smallest (see `merge`).

    points: the sets of paths. The first one is that of the search. Each one has fewer parameters
    than the one before it. A point may lose to a later one in quality too.
    measured: number of paths whose quality was measured.

    >>> front = mk.Front((mk.FrontPoint(paths, 9000, 0.8), mk.FrontPoint(paths, 5000, 0.7)), 12)
    >>> front.at(6000).quality
    0.7
    """

    points: tuple[FrontPoint, ...]
    measured: int

    def table(self) -> pd.DataFrame:
        """Return one row per point.

        Columns: parameters (of the union), share (of the parameters of the first point), quality
        (mean over domains), distinct_paths (number of different paths).
        """
        first = self.points[0].parameters
        rows = [
            {
                "parameters": point.parameters,
                "share": point.parameters / first,
                "quality": point.quality,
                "distinct_paths": len(set(point.paths.values())),
            }
            for point in self.points
        ]
        return pd.DataFrame(rows)

    @checked("front.at")
    def at(self, parameters: Annotated[float, Range(0, 1e15)]) -> FrontPoint:
        """Return the point with the most parameters that has at most so many.

        parameters: parameters of the union, without batch norm and classifiers, 0 to 1e15.

        Raises `MpnasError` if all points have more.
        """
        for point in self.points:
            if point.parameters <= parameters:
                return point
        raise MpnasError(
            f"the front has no union of at most {parameters:,.0f} parameters: its smallest one has "
            f"{self.points[-1].parameters:,}, its largest one {self.points[0].parameters:,}."
        )

    def record(self) -> dict[str, Any]:
        """Return the content of front.json. Paths are arch strings."""
        points = [
            {
                "parameters": point.parameters,
                "quality": point.quality,
                "paths": {d: path.arch for d, path in point.paths.items()},
            }
            for point in self.points
        ]
        return {"measured": self.measured, "points": points}

    @classmethod
    def read(cls, content: FrontFile, space: SearchSpace) -> "Front":
        """Return the front that front.json holds.

        content: content of the file.
        space: search space of its paths.

        Raises `MpnasError` if the space has no such paths.
        """
        points = (
            FrontPoint({d: space.read(a) for d, a in p.paths.items()}, p.parameters, p.quality)
            for p in content.points
        )
        return cls(tuple(points), content.measured)

    def require(self, paths: Mapping[str, Path], file: pathlib.Path) -> None:
        """Raise `MpnasError` unless the front begins with these paths, and has paths for all.

        paths: path of every domain that the search found. file: file of the front.
        """
        sizes = [point.parameters for point in self.points]
        falls = all(a > b for a, b in pairwise(sizes))
        same = all(point.paths.keys() == paths.keys() for point in self.points)
        if not falls or not same or dict(self.points[0].paths) != dict(paths):
            raise MpnasError(
                f"{file} is not the front of this search: expected unions that become smaller, the "
                "first one with the paths of the search."
            )

    def __repr__(self) -> str:
        first, last = self.points[0].parameters, self.points[-1].parameters
        return f"Front({len(self.points)} unions of {first:,} to {last:,} parameters)"


def merged_paths(
    space: SearchSpace,
    paths: Mapping[str, Path],
    quality: PathQuality,
    config: SearchConfig,
    targets: Mapping[str, float],
) -> Front:
    """Return the front of a search that has found its paths (see `merge`).

    A path may cost up to 5 % more than the target. If the target holds for the mean over domains,
    or the cost of a path depends on the paths of all domains, it may cost up to 5 % more than what
    the search found for the domain, by the search's cost model or in multiply-adds.

    paths: path of every domain that the search found. config: settings of the search.
    targets: cost target of every domain. Other parameters are those of `merge`.
    """
    joint = hasattr(config.cost, "costs")
    cost: AdditiveCost = MultiplyAdds() if joint else config.cost  # type: ignore[assignment]
    base = targets
    if joint or config.cost_scope == "joint":
        base = path_costs(cost, space, paths)
    return merge(space, paths, quality, cost, {d: (1 + TOLERANCE) * base[d] for d in paths})


def merge(
    space: SearchSpace,
    paths: Mapping[str, Path],
    quality: PathQuality,
    cost: AdditiveCost,
    limits: Mapping[str, float],
) -> Front:
    """Return the unions from given paths to one path for all domains (ours).

    In a step, domains move together, so that what two of them share stays shared:

    - all domains that use a node of a layer take the node that others have there (if that is a
      private copy, all of them take the shared node with this block), or
    - all domains with the same path take the path of others.

    Of the steps that save parameters, the one with the least `loss / saved` is taken: `loss` is
    what the quality of the domains falls in sum, `saved` by how much the union shrinks. Equal steps
    are taken in the order of layers and domains. The pass ends when no step is left: with one path
    for all domains, unless a limit forbids it, or frozen nodes make other paths as small.

    space: search space.
    paths: path of every domain, by domain, at least one.
    quality: quality of paths of a domain. It is asked once for each path.
    cost: cost model that limits what a domain may move to.
    limits: largest cost of a path, by domain, in the unit of the cost model. A path of `paths` may
    cost more.
    """
    return _Merge(space, paths, quality, cost, limits).run()


class _Step(NamedTuple):
    """Domains with the paths that they move to, and the parameters that this saves."""

    moved: dict[str, Path]
    saved: int


class _Place(NamedTuple):
    """A node of a layer.

    block: name of the candidate that is shared, also if the node is a private copy of it.
    owner: domain that has a private copy; empty: the node is shared.
    """

    block: str
    owner: str

    @classmethod
    def of(cls, use: Use | None, domain: str) -> "_Place":
        """Return the node that a domain uses; None: it skips the layer."""
        if use is None:
            return cls(ZERO, "")
        shared = use.pointwise or use.node
        return cls(shared.block, domain if use.node.owner == OWN else "")


class _Merge:
    """A merge pass with all that it knows about paths."""

    def __init__(
        self,
        space: SearchSpace,
        paths: Mapping[str, Path],
        quality: PathQuality,
        cost: AdditiveCost,
        limits: Mapping[str, float],
    ) -> None:
        self.space, self.quality, self.cost, self.limits = space, quality, cost, limits
        self.union = UnionParts(space, paths)
        self.frozen = space.union_cost([]).parameters
        self.qualities: dict[str, dict[Path, float]] = {d: {} for d in paths}
        self._moves: dict[tuple[Path, int, str], Path | None] = {}
        self._costs: dict[tuple[str, Path], float] = {}
        self._prices: dict[Use, float] = {}

    def run(self) -> Front:
        self._measure([_Step(self.union.paths, 0)])
        points = [self._point()]
        while steps := list(self._steps()):
            self._measure(steps)
            self.union.take(min(steps, key=self._loss_per_parameter).moved)
            points.append(self._point())
        return Front(tuple(points), sum(map(len, self.qualities.values())))

    def _point(self) -> FrontPoint:
        paths = self.union.paths
        quality = sum(self.qualities[d][path] for d, path in paths.items()) / len(paths)
        return FrontPoint(dict(paths), self.frozen + self.union.parameters, quality)

    def _loss_per_parameter(self, step: _Step) -> float:
        paths = self.union.paths
        losses = (
            self.qualities[d][paths[d]] - self.qualities[d][path] for d, path in step.moved.items()
        )
        return sum(losses) / step.saved

    def _measure(self, steps: Sequence[_Step]) -> None:
        """Measure the quality of the paths that are new, each once."""
        new: dict[str, dict[Path, None]] = {}
        for domain, path in (pair for step in steps for pair in step.moved.items()):
            if path not in self.qualities[domain]:
                new.setdefault(domain, {})[path] = None
        for domain, paths in new.items():
            found = self.quality(domain, list(paths)).tolist()
            self.qualities[domain].update(zip(paths, found, strict=True))

    def _steps(self) -> Iterator[_Step]:
        """Yield the steps that save parameters and keep the limits."""
        for moved in (*self._to_nodes(), *self._to_paths()):
            if all(self._fits(domain, path) for domain, path in moved.items()):
                saved = self.union.saved(moved)
                if saved > 0:
                    yield _Step(moved, saved)

    def _fits(self, domain: str, path: Path) -> bool:
        """Return whether a path is within the limit, or costs no more than the domain's own."""
        limit = max(self.limits[domain], self._cost_of(domain, self.union.paths[domain]))
        return self._cost_of(domain, path) <= limit

    def _cost_of(self, domain: str, path: Path) -> float:
        key = domain, path
        if key not in self._costs:
            costs = path_costs(self.cost, self.space, {domain: path}, self._prices)
            self._costs[key] = costs[domain]
        return self._costs[key]

    def _to_nodes(self) -> Iterator[dict[str, Path]]:
        """Yield the moves of all users of a node to a node that others use in its layer."""
        uses = {d: self.space.uses(path) for d, path in self.union.paths.items()}
        for layer in self.space.searched:
            groups: dict[_Place, list[str]] = {}
            for domain, own in uses.items():
                groups.setdefault(_Place.of(own[layer], domain), []).append(domain)
            for (one, movers), (other, users) in product(groups.items(), repeat=2):
                domains = dict.fromkeys(movers if other.owner == "" else [*movers, *users])
                moved = self._moved(list(domains), layer, other.block)
                if moved is not None and (one != other or other.owner != ""):
                    yield moved

    def _moved(self, domains: Sequence[str], layer: int, block: str) -> dict[str, Path] | None:
        """Return the paths of some domains with another block; None: one of them cannot have it."""
        moved = {}
        for domain in domains:
            path = self.union.paths[domain]
            key = path, layer, block
            if key not in self._moves:
                self._moves[key] = self._path_with(path, layer, block)
            found = self._moves[key]
            if found is None:
                return None
            moved[domain] = found
        return moved

    def _path_with(self, path: Path, layer: int, block: str) -> Path | None:
        try:
            return move(self.space, path, layer, block)
        except MpnasError:  # no path has this block beside the others
            return None

    def _to_paths(self) -> Iterator[dict[str, Path]]:
        """Yield the moves of all domains with one path to the path of others."""
        groups: dict[Path, list[str]] = {}
        for domain, path in self.union.paths.items():
            groups.setdefault(path, []).append(domain)
        for one, other in permutations(groups, 2):
            yield dict.fromkeys(groups[one], other)
