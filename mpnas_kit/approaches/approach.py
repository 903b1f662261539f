"""What an approach is: which paths the domains take, and what they share.

An approach is a setting of the same two calls, `search` and `train`. Steps, batches, augmentation,
space and cost target are those of the run. An approach without a search takes less time in all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from mpnas_kit.errors import MpnasError, RaisedBy, short
from mpnas_kit.parts import shown, to_text
from mpnas_kit.prioritization.abdp import Uniform
from mpnas_kit.search.config import SearchConfig, resolve_targets
from mpnas_kit.search.landmarks import Landmarks
from mpnas_kit.search.merging import Front
from mpnas_kit.settings import check
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.values import convert_list, require_type


@dataclass(frozen=True)
class Context:
    """What an approach can use for its plan.

    space: search space of the run.
    domains: names of all domains that the network serves.
    search: settings of the run's search. Their cost and cost target hold for all approaches.
    matched: path of every domain in the MPNAS run that a control is matched to, by domain. None:
    there is no such run.
    started: whether all weights begin with those of a start. Default: they begin at random.
    landmarks: landmarks of the MPNAS run that a control is matched to. None: it has none.
    front: front of the merge pass of that MPNAS run. None: it had no merge pass.

    Raises `MpnasError` for a value of a wrong type.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig(cost_target=3e5))
    >>> context.target
    300000.0
    """

    space: SearchSpace
    domains: tuple[str, ...]
    search: SearchConfig
    matched: Mapping[str, Path] | None = None
    started: bool = False
    landmarks: Landmarks | None = None
    front: Front | None = None

    def __post_init__(self) -> None:
        require_type(self.space, SearchSpace, "context: space")
        require_type(self.search, SearchConfig, "context: search")
        if self.landmarks is not None:
            require_type(self.landmarks, Landmarks, "context: landmarks")
        names = convert_list(self.domains, "context: domains", "names")
        object.__setattr__(self, "domains", names)

    @cached_property
    def targets(self) -> dict[str, float]:
        """Cost target of every domain, by domain, in the unit of the run's cost model.

        Raises `MpnasError` if no path can have this cost.
        """
        return resolve_targets(self.space, self.search, self.domains)

    @property
    def target(self) -> float:
        """Cost target of the run: the mean over domains of `targets`."""
        return sum(self.targets.values()) / len(self.targets)

    def require_matched(self, approach: str, what: str) -> Mapping[str, Path]:
        """Return `matched`.

        approach: name of the approach that needs it.
        what: what it matches, such as `size`.

        Raises `MpnasError` if there is no MPNAS run to match.
        """
        if self.matched is None:
            raise MpnasError(
                f"{approach} needs an MPNAS run to match its {what}: expected its folder as "
                "`matched_to`."
            )
        return self.matched


@dataclass(frozen=True)
class Plan:
    """What an approach asks for.

    paths: path of every domain, by domain. None: the search finds them.
    search: fields of `SearchConfig` that the approach sets. Default: none.
    train: fields of `TrainConfig` that the approach sets. Default: none.
    pretrained: whether the training starts with the weights of the same path, trained on the
    largest domain alone. Default: it does not.

    Raises `MpnasError` for a value of a wrong type.

    >>> context = mk.Context(space, suite.names, mk.SearchConfig())
    >>> mk.MultiHead().plan(context).search
    {'controllers': 'one', 'cost_scope': 'domain'}
    """

    paths: Mapping[str, Path] | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False

    def __post_init__(self) -> None:
        check(self, "plan")
        for name in ("search", "train"):
            require_type(getattr(self, name), Mapping, f"plan: {name}")
        if self.paths is not None:
            require_type(self.paths, Mapping, "plan: paths")
            for domain, path in self.paths.items():
                require_type(path, Path, f"plan: the path of domain {short(domain)}")


class Approach(Protocol):
    """A way to serve several domains. A frozen dataclass with these three members is enough.

    In a sweep, an approach that does not search is matched to an MPNAS cell, whose paths are in
    `Context.matched`. One whose attribute `matches` is False needs none. An approach with the same
    search as another one has that as its attribute `searched_as`: a sweep then searches once.

    >>> approach = mk.SinglePath(path="row row row row")
    >>> plan = approach.plan(mk.Context(space, suite.names, mk.SearchConfig()))
    >>> approach.searches, plan.paths["planted1"].arch
    (False, 'row row row row')
    """

    @property
    def searches(self) -> bool:
        """Whether the paths are searched."""
        ...

    @property
    def weighs(self) -> bool:
        """Whether the domains share weights, so that a prioritization has an effect."""
        ...

    def plan(self, context: Context) -> Plan:
        """Return the paths, and the fields of the configs that the approach sets."""
        ...


def label(approach: Approach) -> str:
    """Return the name of an approach in tables: its text form, without default values."""
    return to_text(approach, defaults=False)


def separate_models() -> dict[str, Any]:
    """Return the settings of a training in which domains share nothing, each with weight 1."""
    return {"private_from": 0, "prioritization": Uniform()}


def is_matched(approach: Approach) -> bool:
    """Return whether a sweep matches an approach to an MPNAS cell."""
    return not approach.searches and bool(getattr(approach, "matches", True))


def plan_of(approach: Approach, context: Context) -> Plan:
    """Return the plan of an approach, checked.

    An error of its own code gets a note that names the approach.

    approach: the approach.
    context: what it can use.

    Raises `MpnasError` if it returns something else than a plan for all domains.
    """
    with RaisedBy(lambda: f"plan of the approach {shown(approach)}"):
        plan: Any = approach.plan(context)
    where = f"plan of the approach {shown(approach)}"
    if not isinstance(plan, Plan):
        raise MpnasError(f"{where} returns {short(plan)}: expected a Plan.")
    if plan.paths is not None:
        for domain in context.domains:
            if domain not in plan.paths:
                raise MpnasError(f"{where} has no path for domain {domain!r}: expected one each.")
            context.space.require(plan.paths[domain])
    return plan
