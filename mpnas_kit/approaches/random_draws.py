"""Approaches with random paths: controls for the search (ours)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch

from mpnas_kit.approaches.approach import Context, Plan, label, separate_models
from mpnas_kit.approaches.same_size import TOLERANCE, moved_to_size
from mpnas_kit.domains.seeds import derived_seed
from mpnas_kit.errors import MpnasError
from mpnas_kit.parts import shown
from mpnas_kit.settings import check, require
from mpnas_kit.space.costs import CostModel, MultiplyAdds, path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.values import SEED, Range


@dataclass(frozen=True)
class RandomPaths:
    """Random multi-path: one random path per domain, as a control for the search (ours).

    If two paths use the same node, they share its weights. The multiply-adds of a path are within
    5 % of those of the same domain's path in the MPNAS run that this run is matched to. Without
    such a run they are within 5 % of the cost target, as in `EvenPaths`.

    draw: number of the random draw, 0 to 2**32 - 1. Each number gives other paths, and so does each
    seed of the search whose costs are matched.
    prior: probability of every choice of the space's original path, as in a search. None: all
    choices are equally likely.
    match: what the paths have in common with those of the MPNAS run. `cost`: multiply-adds. `size`:
    also the parameters of the union, within 5 %, without batch norms and classifiers. So as much is
    shared as in the MPNAS run, but by chance.
    shared: whether paths share their common nodes. False: a separate model per domain, with weight
    1, as in `PrivatePaths`. Against it, this shows what a search finds if nothing is shared.

    Raises `MpnasError` if a number is out of its range, or if separate models are to match a size.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), matched=found.paths)
    >>> sorted(mk.RandomPaths(draw=1).plan(context).paths)
    ['planted0', 'planted1']
    >>> mk.RandomPaths(shared=False).plan(context).train
    {'private_from': 0, 'prioritization': Uniform()}
    """

    draw: Annotated[int, SEED] = 0
    prior: Annotated[float | None, Range(0, 1, above=True, below=True)] = None
    match: Literal["cost", "size"] = "cost"
    shared: bool = True

    searches = False

    def __post_init__(self) -> None:
        check(self)
        require(
            self.shared or self.match == "cost",
            "random_paths: separate models have no union, so shared=False and match='size' do not "
            "go together: expected match='cost'.",
        )

    @property
    def weighs(self) -> bool:
        """Whether domains share weights."""
        return self.shared

    def plan(self, context: Context) -> Plan:
        """Return a plan with random paths.

        Raises `MpnasError` if no paths of such costs, or of such a size, are found. With
        `match="size"`, also if there is no run to match.
        """
        plan = self._drawn(context)
        return plan if self.shared else replace(plan, train=separate_models())

    def _drawn(self, context: Context) -> Plan:
        if self.match == "size":
            matched = context.require_matched(label(self), "size")
        elif context.matched is None:
            return EvenPaths(self.draw, self.prior).plan(context)
        else:
            matched = context.matched
        costs = path_costs(MultiplyAdds(), context.space, matched)
        generator = _generator(context, self.draw)

        def fresh() -> dict[str, Path]:
            return _random(context, MultiplyAdds(), costs, generator, self.prior)

        if self.match == "size":
            return Plan(moved_to_size(context, matched, fresh, generator))
        return Plan(fresh())


@dataclass(frozen=True)
class EvenPaths:
    """Random multi-path with the same compute for every domain, as a control (ours).

    The cost of every path is within 5 % of the cost target, by the cost model of the search. A
    search with a cost target for the mean over domains can give some domains more compute than
    others. `EvenPaths` shows what it gains by that. `RandomPaths` shows what it gains beyond that.

    draw: number of the random draw, 0 to 2**32 - 1. Each number gives other paths.
    prior: as in `RandomPaths`.

    Raises `MpnasError` if a number is out of its range.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(cost_target=330_000))
    >>> sorted(mk.EvenPaths(draw=1).plan(context).paths)
    ['planted0', 'planted1']
    """

    draw: Annotated[int, SEED] = 0
    prior: Annotated[float | None, Range(0, 1, above=True, below=True)] = None

    searches = False
    weighs = True

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan with random paths.

        Raises `MpnasError` if the cost model is joint, or if no path of such a cost is found.
        """
        model = context.search.cost
        if hasattr(model, "costs"):
            raise MpnasError(
                f"{label(self)} draws each path by its own cost, but the cost {shown(model)} of a "
                "path depends on the paths of all domains: expected a cost model with price(use), "
                "or random_paths with an MPNAS run as `matched_to`."
            )
        generator = _generator(context, self.draw)
        return Plan(_random(context, model, context.targets, generator, self.prior))


def _generator(context: Context, draw: int) -> torch.Generator:
    """Return the source of all random numbers of a draw. Runs with other seeds have other ones."""
    return torch.Generator().manual_seed(derived_seed(context.search.seed, draw))


def _random(
    context: Context,
    model: CostModel,
    costs: Mapping[str, float],
    generator: torch.Generator,
    prior: float | None,
) -> dict[str, Path]:
    """Return a random path for every domain, with nearly its cost in `costs`."""
    return {
        d: sample_at_cost(context.space.of(d), model, costs[d], TOLERANCE, generator, prior=prior)
        for d in context.domains
    }
