"""The approaches that the article compares, and the controls it lacks (method: section 6).

Each is a setting of the same two calls, `search` and `train`: it says which paths are searched or
taken, and from which layer on domains share no weights. Steps, batches, augmentation, space and
cost target are those of the run, so that all have the same budget.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import torch

from mpnas_kit.errors import MpnasError
from mpnas_kit.network.net import owned
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.config import SearchConfig, resolve_target
from mpnas_kit.settings import check, from_text, require, to_text
from mpnas_kit.space.costs import MultiplyAdds
from mpnas_kit.space.sampling import sample_at_cost
from mpnas_kit.space.space import Path, SearchSpace

RANDOM_TOLERANCE = 0.05  # of the cost of the path that a random one is matched to


@dataclass(frozen=True)
class Context:
    """What an approach may go by.

    domains: all that the network is to serve. search: the settings of the run's search, of which
    cost and cost target hold for all approaches. like: the paths of the MPNAS run that a control is
    matched to; None: there is none.
    """

    space: SearchSpace
    domains: tuple[str, ...]
    search: SearchConfig
    like: Mapping[str, Path] | None = None

    @cached_property
    def target(self) -> float:
        """The cost target in force."""
        return resolve_target(self.space, self.search, len(self.domains))


@dataclass(frozen=True)
class Plan:
    """What an approach asks for.

    paths: those of the domains; None: they are searched. search, train: the fields of
    `SearchConfig` and `TrainConfig` that make the approach what it is. pretrained: whether the
    training starts with the weights of the same path, trained on the largest domain alone.
    """

    paths: dict[str, Path] | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False


class _Approach(ABC):
    """A way to serve several domains."""

    searches = True
    """Whether the paths are searched."""
    weighs = True
    """Whether domains compete, so that a prioritization matters."""
    article: str = ""
    """What the article calls it, with its parameters, GFLOPS and mean top-1; empty: a control."""

    @abstractmethod
    def plan(self, context: Context) -> Plan:
        """What to search and to train."""


@dataclass(frozen=True)
class MPNAS(_Approach):
    """One controller a domain, searched together; weights are shared where paths meet."""

    text_name = "mpnas"
    article = "MPNAS: 1.3x parameters, 0.73 GFLOPS, 71.8"

    def plan(self, context: Context) -> Plan:
        """See the class."""
        return Plan()


@dataclass(frozen=True)
class Bundle(_Approach):
    """Domain-independent NAS: a search and a model for every domain, alone; nothing is shared.

    All of them run in one loop, on nodes of their own. Alone, a domain has nothing to be weighed
    against, so its weight is 1 whatever the prioritization. Each has the cost target for itself.
    """

    weighs = False
    article = "domain-independent NAS: 5.7x parameters, 1.08 GFLOPS, 69.9"

    def plan(self, context: Context) -> Plan:
        """See the class."""
        alone = {"private_from": 0, "priority": Uniform()}
        return Plan(search={**alone, "cost_scope": "domain"}, train=alone)


@dataclass(frozen=True)
class MultiHead(_Approach):
    """Multi-head NAS: one path for all, searched by one controller on the mean reward.

    So every domain has the cost target.
    """

    article = "multi-head NAS: 0.7x parameters, 0.04 GFLOPS, 45.2"

    def plan(self, context: Context) -> Plan:
        """See the class."""
        return Plan(search={"controllers": "one", "cost_scope": "domain"})


@dataclass(frozen=True)
class SinglePath(_Approach):
    """Single-path multi-head: one path by hand for all domains, pre-trained on the largest one.

    frozen: only the classifiers are then trained (as the article's accuracy suggests); False: all
    is fine-tuned. path: its arch string; None: the path with the same block in every layer that
    comes nearest to the cost target. The pre-training takes as many steps again.
    """

    frozen: bool = False
    path: str | None = None

    searches = False
    article = "single-path multi-head: 1.0x parameters, 0.09 GFLOPS, 35.2"

    def plan(self, context: Context) -> Plan:
        """See the class."""
        path = by_hand(context, self.path)
        paths = dict.fromkeys(context.domains, path)
        return Plan(paths, train={"frozen": self.frozen}, pretrained=True)


@dataclass(frozen=True)
class RandomPaths(_Approach):
    """Random multi-path: a random path for every domain, shared where they meet (ours, a control).

    Each costs within 5 % of what the same domain's path costs in the MPNAS run it is matched to, or
    of the cost target where there is none. draw: which random paths.
    """

    draw: int = 0

    searches = False

    def __post_init__(self) -> None:
        check(self, "random_paths")
        require(self.draw >= 0, f"random_paths: draw must not be below 0, not {self.draw}.")

    def plan(self, context: Context) -> Plan:
        """See the class."""
        if context.like is None:
            return EvenPaths(self.draw).plan(context)
        wanted = MultiplyAdds().costs(context.space, context.like)
        return Plan(_random(context, wanted, self.draw))


@dataclass(frozen=True)
class EvenPaths(_Approach):
    """Random multi-path with the compute shared out evenly (ours, a control).

    Every path costs within 5 % of the cost target. Where a search holds the mean over domains to
    it, these tell what it gained by giving some domains more than others; `random_paths` tell what
    it gained beyond that. draw: which random paths.
    """

    draw: int = 0

    searches = False

    def __post_init__(self) -> None:
        check(self, "even_paths")
        require(self.draw >= 0, f"even_paths: draw must not be below 0, not {self.draw}.")

    def plan(self, context: Context) -> Plan:
        """See the class."""
        require(
            isinstance(context.search.cost, MultiplyAdds),
            "random paths without a run to match need a cost target in multiply-adds.",
        )
        wanted = dict.fromkeys(context.domains, context.target)
        return Plan(_random(context, wanted, self.draw))


@dataclass(frozen=True)
class SharedTrunk(_Approach):
    """Shared trunk, private tails: one path by hand, shared up to a layer (ours, a control).

    The layer is the one at which the union comes nearest to the parameters of the MPNAS run it is
    matched to (without batch norm and classifiers). path: as in `single_path`.
    """

    path: str | None = None

    searches = False

    def plan(self, context: Context) -> Plan:
        """See the class."""
        if context.like is None:
            raise MpnasError(
                "shared_trunk needs an MPNAS run whose size it is matched to: expected `like`."
            )
        space = context.space
        path = by_hand(context, self.path)
        paths = dict.fromkeys(context.domains, path)
        wanted = space.union_cost(context.like.values()).parameters
        sizes = {i: union_parameters(space, paths, i) for i in range(len(space.layers) + 1)}
        nearest = min(sizes, key=lambda i: abs(math.log(sizes[i] / wanted)))
        return Plan(paths, train={"private_from": nearest})


Approach = MPNAS | Bundle | MultiHead | SinglePath | RandomPaths | EvenPaths | SharedTrunk


def _random(context: Context, wanted: Mapping[str, float], draw: int) -> dict[str, Path]:
    """A random path for every domain, of nearly the multiply-adds that are wanted."""
    generator = torch.Generator().manual_seed(draw)
    cost, space = MultiplyAdds(), context.space  # a path's own, whatever the search's cost model
    return {
        d: sample_at_cost(space, cost, wanted[d], RANDOM_TOLERANCE, generator)
        for d in context.domains
    }


def by_hand(context: Context, arch: str | None) -> Path:
    """The path written as `arch`; None: that of `SearchSpace.alike` nearest to the cost target.

    Raises `MpnasError` where the space has no such path.
    """
    space = context.space
    if arch is not None:
        return space.parse(arch)
    costs = {path: context.search.cost.costs(space, {"": path})[""] for path in space.alike()}
    if not costs:
        raise MpnasError(
            f"no block is in all layers of {space.name!r}: expected a path, as "
            "single_path(path='...') or shared_trunk(path='...')."
        )
    return min(costs, key=lambda path: abs(math.log(costs[path] / context.target)))


def union_parameters(space: SearchSpace, paths: Mapping[str, Path], private_from: int) -> int:
    """Parameters of the union where layers from `private_from` on are every domain's own.

    Without batch norms and classifiers; for paths that are alike where they meet.
    """
    nodes = {
        owned(use.node, domain, private_from): use.cost.parameters
        for domain, path in paths.items()
        for use in space.uses(path)
        if use is not None
    }
    return sum(nodes.values())


def read_approach(text: str) -> Approach:
    """The approach written as `text`: `mpnas`, `single_path(frozen=True)`."""
    made: Approach = from_text(text, get_args(Approach), "approach")
    return made


def label(approach: Approach) -> str:
    """How an approach is named in tables: its text form without what is as by default."""
    return to_text(approach, defaults=False)
