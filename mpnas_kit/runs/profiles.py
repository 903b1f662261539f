"""The two profiles: settings of the stages and of the sweep, as plain data.

`quick` shows that everything works, in minutes on two cores. Its figures are not results. Its cost
target holds for the mean over domains and is half of what random paths cost.

`full` is the run behind the results. It has all domains, and the space in which paths of equal cost
differ most (`benchmarks/path_spread.py`). Every domain has the same cost target, 0.45 million
multiply-adds, so that approaches are compared at equal cost. The recipe of the training is that of
`benchmarks/recipe.py`. `benchmarks/levers.py` compares the settings of the search with others. All
approaches have the same ones.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from mpnas_kit.domains.pocket_suite import POCKET_DOMAINS
from mpnas_kit.errors import unknown
from mpnas_kit.space.space import SearchSpace

COST: dict[str, Any] = {"cost_scope": "joint", "cost_level": 0.42}
PLAIN: dict[str, Any] = {  # of a search whose only evidence is the supernet
    "sampling": "policy",
    "warmup_share": 0.25,
    "two_phases": False,
    "controller_delay": 0.25,
    "controller_spread": 1.5,
    "quality": "task",
    "reward": "absolute",
    "exact_cost": False,
    "landmarks": 0,
    "merge": False,
}
GROWTH: dict[str, dict[str, Any]] = {  # of a run that adds domains, besides those of its profile
    "search": {
        **PLAIN,
        "reward": "linear",
        "cost": "added_parameters",
        "cost_scope": "domain",
        "cost_level": 1.0,
    },
    "train": {},
}

FINE_TUNING: dict[str, Any] = {
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "loaded_rate": 1.0,
    "weight_decay": 0.05,
}
STARTED: dict[str, dict[str, Any]] = {  # of a run that begins with pretrained weights
    "search": {**FINE_TUNING, "warmup_share": 0.0, "controller_delay": 0.2},
    "train": FINE_TUNING,
}
AROUND: dict[str, dict[str, Any]] = {  # of such a run, in a space around a known network
    "search": {
        "prior": 0.9,
        "controller_spread": 1.0,
        "cost": "footprint",
        "cost_scope": "domain",
    },
    "train": {"collapse": True},
}


def of_start(stage: str, space: SearchSpace, given: Collection[str]) -> dict[str, Any]:
    """Return the settings of a run with a start, besides those of its profile (ours).

    In a space around a known network, the cost target is the cost of that network: what a domain
    has for itself alone must be saved elsewhere.

    stage: `search` or `train`.
    space: search space of the run.
    given: names of the settings that a person gives. With a cost of their own, there is no target.
    """
    values = dict(STARTED[stage])
    if space.original is None:
        return values
    values |= AROUND[stage]
    if stage == "search":
        if any(name.startswith("cost") for name in given):
            del values["cost"], values["cost_scope"]
        else:
            values["cost_target"] = float(space.cost(space.original).multiply_adds)
    return values


@dataclass(frozen=True)
class Profile:
    """Domains and settings of a run and its sweep.

    name: name of the profile.
    about: one line for the help of the commands.
    domains: names of the domains.
    data: text form of the suite.
    space: text form of the search space.
    search, train: fields of `SearchConfig` and `TrainConfig` that differ from their defaults.
    approaches: approaches of the comparison, each with ABDP.
    prioritizations: prioritizations of the ablation, each with MPNAS; empty: no ablation.
    seeds: seeds of every cell.
    trust_domain: domain on which `supernet_trust` compares paths.
    trust_paths: number of random paths in that comparison; 0: no comparison.
    is_result: whether figures of this profile may be read as results.
    """

    name: str
    about: str
    domains: tuple[str, ...]
    data: str = "pocket"
    space: str = "pocket"
    search: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    approaches: tuple[str, ...] = ("mpnas",)
    prioritizations: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    trust_domain: str = "fashion"
    trust_paths: int = 20
    is_result: bool = True


QUICK = Profile(
    name="quick",
    about="four domains and few steps: shows that everything works, in minutes",
    domains=("digits", "letters", "fashion", "watch"),
    search={**COST, "steps": 300, "batch_size": 16, "reward_batch": 16, "policy_snapshots": 60},
    train={"steps": 240, "evaluate_every": 80},
    approaches=("mpnas", "bundle", "random_paths", "random_paths(draw=1)"),
    trust_domain="digits",
    trust_paths=0,
    is_result=False,
)

FULL = Profile(
    name="full",
    about="all ten domains at full length: the run behind the results",
    domains=POCKET_DOMAINS,
    space="pocket_strided",
    search={
        "cost_scope": "domain",
        "cost_level": 0.33,
        "steps": 500,
        "sampling": "fair",
        "warmup_share": 0.0,
        "two_phases": True,
        "controller_delay": 0.4,
        "controller_spread": 4.0,
        "paths_per_step": 8,
        "quality": "probability",
        "reward": "absolute(beta=-1.0)",
        "exact_cost": True,
        "landmarks": 12,
        "landmark_steps": 200,
        "landmark_weight": 0.8,
        "merge": True,
    },
    train={"steps": 2000, "learning_rate": 0.2, "warmup": 0.3, "evaluate_every": 500},
    approaches=(
        "mpnas",
        "bundle",
        "private_paths",
        "random_paths",
        "mpnas(private_until=2)",
        "merged(parameters=16000)",
        "random_paths(draw=1)",
        "random_paths(draw=2)",
        "random_search",
        "best_landmarks",
        "random_paths(match='size')",
        "random_paths(shared=False)",
        "bundle(scale=0.5)",
        "multi_head",
        "single_path",
        "single_path(match='size')",
        "shared_trunk",
        "shared_trunk(private_from=4)",
        "shared_trunk(private_from=8)",
    ),
    prioritizations=(
        "abdp",
        "uniform",
        "abdp > uniform",
        "uniform > abdp",
        "abdp > abdp(start=0.25, end=1.0)",
        "abdp > boosted",
        "abdp > uncertainty",
        "abdp > dwa",
        "abdp > dynamic_task_priority",
        "abdp > random_weights",
        "abdp > famo",
        "abdp > geometric_mean",
    ),
    seeds=(0, 1, 2, 3, 4),
)

PROFILES: dict[str, Profile] = {p.name: p for p in (QUICK, FULL)}


def profile(name: str) -> Profile:
    """Return the profile called `name`. Raises `MpnasError` if there is none."""
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]
