"""Approaches that search their paths.

Those of the MPNAS paper are from Wang et al., WACV 2021, arXiv 2010.04904.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from mpnas_kit.approaches.approach import Context, Plan, separate_models
from mpnas_kit.search.config import SCALE
from mpnas_kit.settings import check
from mpnas_kit.space.private_layers import PrivateLayers
from mpnas_kit.values import Range


def scaled(scale: float) -> dict[str, Any]:
    """Return the setting of a search that multiplies its cost target; none if `scale` is 1."""
    return {} if scale == 1 else {"cost_scale": scale}


@dataclass(frozen=True)
class MPNAS:
    """Multi-path NAS: one controller per domain, searched together (the paper's method).

    If two paths use the same node, they share its weights. Source: Wang et al., WACV 2021,
    arXiv 2010.04904. The options are ours.

    scale: factor of the cost target of every domain, above 0 and up to 1000. Sharing saves
    parameters, so larger paths may still need fewer than separate models.
    private_until: index of the first layer that domains share in the training (stem: 0). The first
    layers have few parameters, and see what differs most between domains. The search is the same.

    Raises `MpnasError` if an option is out of its range.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> mk.MPNAS().plan(context)
    Plan(paths=None, search={}, train={}, pretrained=False)
    >>> mk.MPNAS(scale=2.0).plan(context).search
    {'cost_scale': 2.0}
    """

    text_name = "mpnas"

    scale: Annotated[float, SCALE] = 1.0
    private_until: Annotated[int, Range(0, 10_000)] = 0

    searches = True
    weighs = True

    @property
    def searched_as(self) -> "MPNAS":
        """The approach whose search it takes."""
        return MPNAS(self.scale)

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan that changes no setting of the run but those of its options.

        Raises `MpnasError` if the space does not have more layers than `private_until`.
        """
        PrivateLayers(self.private_until).require_within(len(context.space.layers))
        train = {"private_until": self.private_until} if self.private_until else {}
        return Plan(search=scaled(self.scale), train=train)


@dataclass(frozen=True)
class Bundle:
    """Domain-independent NAS: every domain has its own search and its own model.

    Nothing is shared. All searches run in one loop, on private nodes. Every domain has weight 1,
    and the cost target holds for each domain alone. Source: a baseline of the paper (Wang et al.,
    WACV 2021, arXiv 2010.04904). The option `scale` is ours.

    scale: factor of the cost target of every model, above 0 and up to 1000. Models of a smaller
    target show what a bundle of fewer parameters reaches.

    Raises `MpnasError` if `scale` is out of its range.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> mk.Bundle().plan(context).train
    {'private_from': 0, 'prioritization': Uniform()}
    >>> mk.Bundle(scale=0.5).plan(context).search["cost_scale"]
    0.5
    """

    scale: Annotated[float, SCALE] = 1.0

    searches = True
    weighs = False

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan without shared layers and with uniform weights."""
        alone = separate_models()
        search = {**alone, "cost_scope": "domain", **scaled(self.scale)}
        return Plan(search=search, train=alone)


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
class RandomSearch:
    """Random paths, re-ranked as a search can re-rank its own: a control for the policy (ours).

    The controllers never learn. Of many random paths of the cost target, the best one by the same
    measure is taken: quality on the supernet, mixed with the landmarks if the search has them.

    candidates: random paths of every domain, 1 to 100,000.

    Raises `MpnasError` if `candidates` is out of its range.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> mk.RandomSearch().plan(context).search
    {'controller_spread': 0.0, 'rerank': 256}
    """

    candidates: Annotated[int, Range(1, 100_000)] = 256

    searches = True
    weighs = True

    def __post_init__(self) -> None:
        check(self)

    def plan(self, context: Context) -> Plan:
        """Return a plan in which only the re-ranking chooses."""
        return Plan(search={"controller_spread": 0.0, "rerank": self.candidates})


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
