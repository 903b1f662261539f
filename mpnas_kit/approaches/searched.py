"""Approaches that search their paths.

Those of the MPNAS paper are from Wang et al., WACV 2021, arXiv 2010.04904.
"""

from dataclasses import dataclass
from typing import Annotated

from mpnas_kit.approaches.approach import Context, Plan
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.config import SCALE
from mpnas_kit.settings import check


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
        alone = {"private_from": 0, "prioritization": Uniform()}
        search = {**alone, "cost_scope": "domain"}
        if self.scale != 1:
            search["cost_scale"] = self.scale
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
