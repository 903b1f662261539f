"""The two profiles, as plain data: what every stage and every sweep is asked for.

`quick` shows that everything works, in minutes on two cores; its figures are no results. `full` is
the run behind the results: all domains, the defaults of both configs but for a larger reward
budget. Both hold the mean cost over domains to half of what random paths cost: where compute is
short it matters which domain has it.
"""

from dataclasses import dataclass, field
from typing import Any

from mpnas_kit.domains.pocket import POCKET_DOMAINS
from mpnas_kit.errors import unknown

COST: dict[str, Any] = {"cost_scope": "joint", "cost_level": 0.42}


@dataclass(frozen=True)
class Profile:
    """Domains and settings of a run.

    search, train: the fields of `SearchConfig` and `TrainConfig` that differ from their defaults.
    approaches, weightings, seeds: the cells of the comparison, of the ablation, and their repeats;
    cell_search, cell_train: settings of cells that differ from those of the run they are around.
    trust_domain, trust_paths, trust_steps: the random paths that the supernet is tried on, and for
    how long each is trained (None: as the run).
    is_result: whether figures of this profile may be read as results.
    """

    name: str
    about: str
    domains: tuple[str, ...]
    suite: str = "pocket"
    space: str = "pocket"
    search: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    approaches: tuple[str, ...] = (
        "mpnas",
        "bundle",
        "multi_head",
        "single_path",
        "single_path(frozen=True)",
        "random_paths",
        "random_paths(draw=1)",
        "random_paths(draw=2)",
        "even_paths",
        "even_paths(draw=1)",
        "even_paths(draw=2)",
        "shared_trunk",
    )
    weightings: tuple[str, ...] = (
        "abdp",
        "uniform",
        "abdp > uniform",
        "uniform > abdp",
        "abdp(start=0.25, end=1.0)",
        "boosted",
        "uncertainty",
        "dwa",
        "dynamic_task_priority",
        "random_weights",
        "famo",
        "geometric_mean",
    )
    seeds: tuple[int, ...] = (0, 1, 2)
    cell_search: dict[str, Any] = field(default_factory=dict)
    cell_train: dict[str, Any] = field(default_factory=dict)
    trust_domain: str = "fashion"
    trust_paths: int = 20
    trust_steps: int | None = None
    is_result: bool = True


QUICK = Profile(
    name="quick",
    about="four domains and few steps: shows that everything works, in minutes",
    domains=("digits", "letters", "icons", "textures"),
    search={**COST, "steps": 180, "policy_snapshots": 60},
    train={"steps": 180, "evaluate_every": 60},
    approaches=(
        "mpnas",
        "bundle",
        "multi_head",
        "single_path",
        "single_path(frozen=True)",
        "random_paths",
        "even_paths",
        "shared_trunk",
    ),
    seeds=(0,),
    weightings=(  # on the paths of two searches: one for each would take too long
        "abdp",
        "uniform",
        "abdp > uniform",
        "uniform > abdp",
        "abdp > boosted",
        "abdp > uncertainty",
        "abdp > dwa(epoch=4)",
        "abdp > dynamic_task_priority",
        "abdp > random_weights",
        "abdp > famo",
        "abdp > geometric_mean",
    ),
    cell_search={"steps": 16},
    cell_train={"steps": 20, "evaluate_every": 0},
    trust_domain="digits",
    trust_steps=15,
    is_result=False,
)

FULL = Profile(
    name="full",
    about="all ten domains at full length: the run behind the results",
    domains=POCKET_DOMAINS,
    search={**COST, "paths_per_step": 8},
    train={"evaluate_every": 100},
)

PROFILES: dict[str, Profile] = {p.name: p for p in (QUICK, FULL)}


def profile(name: str) -> Profile:
    """The profile of that name."""
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]
