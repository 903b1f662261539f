"""The approaches that the MPNAS paper compares, and the kit's own controls.

The paper: Wang et al., WACV 2021, arXiv 2010.04904.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from mpnas_kit.approaches.approach import Approach, Context, Plan
from mpnas_kit.errors import MpnasError
from mpnas_kit.network.building import owned
from mpnas_kit.parts import Kind, by_text_name, lacks_attributes, shown, to_text
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.settings import check, require
from mpnas_kit.space.costs import CostModel, MultiplyAdds, path_costs
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import Node, Path, SearchSpace
from mpnas_kit.values import SEED, Range

RANDOM_TOLERANCE = 0.05  # share by which the cost of a random path may differ from its target


@dataclass(frozen=True)
class MPNAS:
    """Multi-path NAS: one controller per domain, searched together (the paper's method).

    If two paths use the same node, they share its weights. Source: Wang et al., WACV 2021,
    arXiv 2010.04904.

    >>> mk.MPNAS().plan(mk.Context(space, suite.names, mk.SearchConfig()))
    Plan(paths=None, search={}, train={}, pretrained=False)
    """

    text_name = "mpnas"
    searches = True
    weighs = True

    def plan(self, context: Context) -> Plan:
        """Return a plan that changes no setting of the run."""
        return Plan()


@dataclass(frozen=True)
class Bundle:
    """Domain-independent NAS: every domain has its own search and its own model.

    Nothing is shared. All searches run in one loop, on private nodes. Every domain has weight 1,
    and the cost target holds for each domain alone. Source: a baseline of the paper (Wang et al.,
    WACV 2021, arXiv 2010.04904).

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> mk.Bundle().plan(context).train
    {'private_from': 0, 'prioritization': Uniform()}
    """

    searches = True
    weighs = False

    def plan(self, context: Context) -> Plan:
        """Return a plan without shared layers and with uniform weights."""
        alone = {"private_from": 0, "prioritization": Uniform()}
        return Plan(search={**alone, "cost_scope": "domain"}, train=alone)


@dataclass(frozen=True)
class MultiHead:
    """Multi-head NAS: one path for all domains, searched by one controller on the mean reward.

    The domains share all weights except the classifiers. The cost target holds for the path.
    Source: a baseline of the paper (Wang et al., WACV 2021, arXiv 2010.04904).

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> mk.MultiHead().plan(context).search
    {'controllers': 'one', 'cost_scope': 'domain'}
    """

    searches = True
    weighs = True

    def plan(self, context: Context) -> Plan:
        """Return a plan with one controller."""
        return Plan(search={"controllers": "one", "cost_scope": "domain"})


@dataclass(frozen=True)
class SinglePath:
    """Single-path multi-head: one fixed path for all domains, without a search.

    The path is first trained on the largest domain alone, for as many steps as the training takes.
    If the run has no start, all weights then have the full learning rate.
    Source: a baseline of the paper (Wang et al., WACV 2021, arXiv 2010.04904). There the path is
    that of MobileNetV3 (Howard et al., ICCV 2019, arXiv 1905.02244).

    frozen: whether only the classifiers are trained after that. The paper does not say it, but its
    accuracy suggests it. Default: all weights are trained.
    path: arch string of the path. None: the uniform path whose cost is nearest to the cost target.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> plan = mk.SinglePath(path="row row row row").plan(context)
    >>> plan.paths["planted0"].arch, plan.pretrained
    ('row row row row', True)
    """

    frozen: bool = False
    path: str | None = None

    searches = False
    weighs = True

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan with one path, pre-trained.

        Raises `MpnasError` if `path` is not a path of the space, or if it is None and the space has
        no uniform path.
        """
        path = given_or_uniform_path(context, self.path)
        paths = dict.fromkeys(context.domains, path)
        rate = {} if context.started else {"loaded_rate": 1.0}
        return Plan(paths, train={"frozen": self.frozen, **rate}, pretrained=True)


@dataclass(frozen=True)
class Backbone:
    """One pretrained backbone for all domains: what a practitioner tries first, as a baseline.

    All domains have the path of the network that the space is built around. Without a start, only
    `tuned="all"` is possible, and the weights begin at random.

    tuned: what is trained. `all`: every weight. `norms`: batch norms and classifiers, as in Bilen
    and Vedaldi 2017 (arXiv 1701.07275); with per-domain norms these are the simplest residual
    adapters of Rebuffi et al. 2017 (arXiv 1705.08045). `heads`: the classifiers, on features that
    are exactly those of the start.
    shared: whether the domains share the backbone. If not, each has a network of its own, all of it
    trained.
    path: arch string of the path. None: `space.original`.

    Raises `MpnasError` if `shared` is False and not all is trained.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), started=True)
    >>> plan = mk.Backbone(tuned="heads", path="row row row row").plan(context)
    >>> plan.train["frozen"], plan.train["frozen_norms"]
    (True, 'start')
    """

    tuned: Literal["all", "norms", "heads"] = "all"
    shared: bool = True
    path: str | None = None

    searches = False
    matches = False

    def __post_init__(self) -> None:
        check(self)
        require(
            self.shared or self.tuned == "all",
            f"backbone: networks that are not shared are trained as a whole, so shared=False and "
            f"tuned={self.tuned!r} do not go together: expected tuned='all'.",
        )

    @property
    def weighs(self) -> bool:
        """Whether domains share what is trained."""
        return self.shared and self.tuned == "all"

    def plan(self, context: Context) -> Plan:
        """Return a plan with one path.

        Raises `MpnasError` if `path` is not a path of the space, if it is None and the space has no
        original network, or if weights of a start are to stay and there is none.
        """
        require(
            context.started or self.tuned == "all",
            f"{label(self)} keeps the weights of a start, and the run has none: expected a start "
            "(--start), or backbone with tuned='all'.",
        )
        space = context.space
        path = space.original if self.path is None else space.parse(self.path)
        if path is None:
            raise MpnasError(
                f"space {space.name!r} is not built around an original network: expected a path, "
                "as in backbone(path='...')."
            )
        return Plan(dict.fromkeys(context.domains, path), train=self._settings())

    def _settings(self) -> dict[str, Any]:
        """Return the settings of the training."""
        if not self.shared:
            return {"private_from": 0, "prioritization": Uniform()}
        if self.tuned == "all":
            return {"frozen": False}
        norms = "tuned" if self.tuned == "norms" else "start"
        return {"frozen": True, "frozen_norms": norms, "prioritization": Uniform()}


@dataclass(frozen=True)
class RandomPaths:
    """Random multi-path: one random path per domain, as a control for the search (ours).

    If two paths use the same node, they share its weights. The multiply-adds of a path are within
    5 % of those of the same domain's path in the MPNAS run that this run is matched to. Without
    such a run they are within 5 % of the cost target, as in `EvenPaths`.

    draw: number of the random draw, 0 to 2**32 - 1. Each number gives other paths.
    prior: probability of every choice of the space's original path, as in a search. None: all
    choices are equally likely.

    Raises `MpnasError` if a number is out of its range.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), matched=found.paths)
    >>> sorted(mk.RandomPaths(draw=1).plan(context).paths)
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

        Raises `MpnasError` if no path of such a cost is found.
        """
        if context.matched is None:
            return EvenPaths(self.draw, self.prior).plan(context)
        costs = path_costs(MultiplyAdds(), context.space, context.matched)
        return Plan(_random(context, MultiplyAdds(), costs, self.draw, self.prior))


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
        if not hasattr(model, "price"):
            raise MpnasError(
                f"{label(self)} draws each path by its own cost, but the cost {shown(model)} of a "
                "path depends on the paths of all domains: expected a cost model with price(use), "
                "or random_paths with an MPNAS run as `matched_to`."
            )
        return Plan(_random(context, model, context.targets, self.draw, self.prior))


@dataclass(frozen=True)
class SharedTrunk:
    """Shared trunk, private tails: one fixed path, shared up to a layer, as a control (ours).

    The layer is chosen so that the union has about as many parameters (without batch norms and
    classifiers) as that of the MPNAS run that this run is matched to.

    path: arch string of the path. None: the uniform path whose cost is nearest to the cost target.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), matched=found.paths)
    >>> plan = mk.SharedTrunk(path="row row row row").plan(context)
    >>> list(plan.train)
    ['private_from']
    """

    path: str | None = None

    searches = False
    weighs = True

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan with one path, and with the first layer that is private.

        Raises `MpnasError` if there is no run to match, if `path` is not a path of the space, or if
        it is None and the space has no uniform path.
        """
        if context.matched is None:
            raise MpnasError(
                "shared_trunk needs an MPNAS run to match its size: expected its folder as "
                "`matched_to`."
            )
        space = context.space
        path = given_or_uniform_path(context, self.path)
        paths = dict.fromkeys(context.domains, path)
        target = space.union_cost(context.matched.values()).parameters
        sizes = {i: union_parameters(space, paths, i) for i in range(len(space.layers) + 1)}
        nearest = min(sizes, key=lambda i: abs(math.log(sizes[i] / target)))
        return Plan(paths, train={"private_from": nearest})


@dataclass(frozen=True)
class Grown:
    """Domains added to a trained network, whose domains stay as they are (ours).

    Paths of the new domains are searched through frozen nodes and new ones (see `GrownSpace`).
    `Run.grow` begins such a run.

    >>> mk.Grown().plan(mk.Context(space, suite.names, mk.SearchConfig()))
    Plan(paths=None, search={}, train={}, pretrained=False)
    """

    searches = True
    weighs = True

    def plan(self, context: Context) -> Plan:
        """Return a plan that changes no setting of the run."""
        return Plan()


def _random(
    context: Context,
    model: CostModel,
    costs: Mapping[str, float],
    draw: int,
    prior: float | None,
) -> dict[str, Path]:
    """Return a random path for every domain, with nearly its cost in `costs`."""
    generator = torch.Generator().manual_seed(draw)
    return {
        d: sample_at_cost(
            context.space.of(d), model, costs[d], RANDOM_TOLERANCE, generator, prior=prior
        )
        for d in context.domains
    }


def given_or_uniform_path(context: Context, arch: str | None) -> Path:
    """Return the path of an arch string, or a uniform path.

    arch: arch string. None: the uniform path whose cost is nearest to the cost target.

    Raises `MpnasError` if `arch` is not a path of the space, or if it is None and the space has no
    uniform path.
    """
    space, domains = context.space, context.domains
    if arch is not None:
        return space.parse(arch)
    costs = {
        path: sum(path_costs(context.search.cost, space, {d: path})[d] for d in domains)
        for path in space.uniform_paths()
    }
    if not costs:
        raise MpnasError(
            f"space {space.name!r} has no uniform path, since no block is in all its layers: "
            "expected a path, as in single_path(path='...') or shared_trunk(path='...')."
        )
    target = sum(context.targets.values())
    return min(costs, key=lambda path: abs(math.log(costs[path] / target)))


def union_parameters(space: SearchSpace, paths: Mapping[str, Path], private_from: int) -> int:
    """Return the parameters of the union if layers from `private_from` on are private.

    Batch norms and classifiers do not count. If paths share a node, they must use it at the same
    widths.
    """
    sizes: dict[Node, int] = {}
    lent: dict[Node, int] = {}  # 1x1 convolutions, by the node that lends them
    for domain, path in paths.items():
        for use in (u for u in space.uses(path) if u is not None):
            borrowed = use.borrowed_parameters
            sizes[owned(use.node, domain, private_from)] = use.cost.parameters - borrowed
            if use.pointwise is not None:
                lent[owned(use.pointwise, domain, private_from)] = borrowed
    return sum(sizes.values()) + sum(n for node, n in lent.items() if node not in sizes)


def label(approach: Approach) -> str:
    """Return the name of an approach in tables: its text form, without default values."""
    return to_text(approach, defaults=False)


def _lacks(value: Any) -> str | None:
    """Return what `value` lacks to be an approach."""
    return lacks_attributes(value, "searches", "weighs", "plan(context)")


APPROACH = Kind(
    "approach",
    by_text_name(
        MPNAS,
        Bundle,
        MultiHead,
        SinglePath,
        Backbone,
        RandomPaths,
        EvenPaths,
        SharedTrunk,
        Grown,
    ),
    _lacks,
)
