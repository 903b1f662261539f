"""Approaches with fixed paths: baselines of the MPNAS paper, and the kit's own controls.

The paper: Wang et al., WACV 2021, arXiv 2010.04904.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mpnas_kit.approaches.approach import Context, Plan, label, separate_models
from mpnas_kit.approaches.same_size import path_of_size
from mpnas_kit.errors import MpnasError
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.settings import check, require
from mpnas_kit.space.costs import path_costs
from mpnas_kit.space.layers import Path
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.values import Range


@dataclass(frozen=True)
class SinglePath:
    """Single-path multi-head: one fixed path for all domains, without a search.

    Source: a baseline of the paper (Wang et al., WACV 2021, arXiv 2010.04904). There the path is
    that of MobileNetV3 (Howard et al., ICCV 2019, arXiv 1905.02244).

    frozen: whether only the classifiers are trained after a first training. The paper does not say
    it, but its accuracy suggests it. Default: all weights are trained.
    path: arch string of the path. None: the uniform path whose cost is nearest to the cost target.
    match: what the path has in common with the MPNAS run that this run is matched to. `cost`: its
    cost target. `size` (ours): its parameters, within 5 %, without batch norms and classifiers;
    then the path begins as a uniform path, and single choices are changed.
    pretrained: whether the path is first trained on the largest domain alone, for as many steps as
    the training takes. All weights then have the full learning rate, if the run has no start. So
    the domain is trained twice as long as in every other approach. None: only with `frozen`, which
    needs trained weights.

    Raises `MpnasError` if both `path` and `match="size"` are given.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> plan = mk.SinglePath(path="row row row row").plan(context)
    >>> plan.paths["planted0"].arch, plan.pretrained
    ('row row row row', False)
    """

    frozen: bool = False
    path: str | None = None
    match: Literal["cost", "size"] = "cost"
    pretrained: bool | None = None

    searches = False
    weighs = True

    def __post_init__(self) -> None:
        check(self)
        require(
            self.path is None or self.match == "cost",
            "single_path: a given path has its own size: expected path or match='size', not both.",
        )

    def plan(self, context: Context) -> Plan:
        """Return a plan with one path.

        Raises `MpnasError` if `path` is not a path of the space, or if it is None and the space has
        no uniform path. With `match="size"`, also if there is no run to match, or if no path of its
        size is found.
        """
        if self.match == "size":
            path = path_of_size(context, context.require_matched(label(self), "size"))
        else:
            path = given_or_uniform_path(context, self.path)
        paths = dict.fromkeys(context.domains, path)
        pretrained = self.frozen if self.pretrained is None else self.pretrained
        rate = {"loaded_rate": 1.0} if pretrained and not context.started else {}
        return Plan(paths, train={"frozen": self.frozen, **rate}, pretrained=pretrained)


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
            return separate_models()
        if self.tuned == "all":
            return {"frozen": False}
        norms = "tuned" if self.tuned == "norms" else "start"
        return {"frozen": True, "frozen_norms": norms, "prioritization": Uniform()}


@dataclass(frozen=True)
class SharedTrunk:
    """Shared trunk, private tails: one fixed path, shared up to a layer, as a control (ours).

    path: arch string of the path. None: the uniform path whose cost is nearest to the cost target.
    private_from: index of the first layer that is private (stem: 0), at most the number of layers.
    None: the layer for which the union has about as many parameters (without batch norms and
    classifiers) as that of the MPNAS run that this run is matched to.

    Raises `MpnasError` if `private_from` is out of its range.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), matched=found.paths)
    >>> mk.SharedTrunk(path="row row row row", private_from=2).plan(context).train
    {'private_from': 2}
    """

    path: str | None = None
    private_from: Annotated[int | None, Range(0, 10_000)] = None

    searches = False
    weighs = True

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan with one path, and with the first layer that is private.

        Raises `MpnasError` if `path` is not a path of the space, if it is None and the space has no
        uniform path, if the space has fewer layers than `private_from`, or if that is None and
        there is no run to match.
        """
        depths = range(len(context.space.layers) + 1)
        if self.private_from is not None and self.private_from not in depths:
            raise MpnasError(
                f"shared_trunk: private_from must be 0 to {depths[-1]}, not {self.private_from}: "
                f"space {context.space.name!r} has {depths[-1]} layers."
            )
        path = given_or_uniform_path(context, self.path)
        paths = dict.fromkeys(context.domains, path)
        chosen = self.private_from
        if chosen is None:
            chosen = self._nearest(context, path, depths)
        return Plan(paths, train={"private_from": chosen})

    def _nearest(self, context: Context, path: Path, depths: Iterable[int]) -> int:
        """Return the depth at which the union is nearest in size to the union of MPNAS."""
        space, users = context.space, [path] * len(context.domains)
        matched = context.require_matched(label(self), "size")
        target = space.union_cost(matched.values()).parameters
        tails = {i: PrivateLayers(since=i) for i in depths}
        sizes = {i: space.union_cost(users, private=tails[i]).parameters for i in depths}
        return min(sizes, key=lambda i: abs(math.log(sizes[i] / target)))


@dataclass(frozen=True)
class PrivatePaths:
    """Private paths: a separate model per domain, on the paths of an MPNAS run, a control (ours).

    Nothing is shared and nothing is searched. Every domain has weight 1. Against the MPNAS run it
    shows what sharing costs. Against the bundle it shows what other paths cost.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(), matched=found.paths)
    >>> plan = mk.PrivatePaths().plan(context)
    >>> plan.paths == found.paths, plan.train
    (True, {'private_from': 0, 'prioritization': Uniform()})
    """

    searches = False
    weighs = False

    def plan(self, context: Context) -> Plan:
        """Return a plan with the paths of the MPNAS run, without shared layers.

        Raises `MpnasError` if there is no run to match.
        """
        paths = context.require_matched(label(self), "paths")
        return Plan(dict(paths), train=separate_models())


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
