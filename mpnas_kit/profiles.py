"""The two profiles of the pipeline, as plain data: what every stage is asked for.

`quick` shows that everything works, in minutes on two cores; its figures are no results. `full` is
the run behind the results: all domains, the defaults of both configs.
"""

from dataclasses import dataclass, field
from typing import Any

from mpnas_kit.domains.pocket import POCKET_DOMAINS
from mpnas_kit.errors import unknown


@dataclass(frozen=True)
class Profile:
    """Domains and settings of a run.

    search, train: the fields of `SearchConfig` and `TrainConfig` that differ from their defaults.
    is_result: whether figures of this profile may be read as results.
    """

    name: str
    about: str
    domains: tuple[str, ...]
    suite: str = "pocket"
    space: str = "pocket"
    search: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    is_result: bool = True


QUICK = Profile(
    name="quick",
    about="four domains and few steps: shows that everything works, in minutes",
    domains=("digits", "letters", "icons", "textures"),
    search={"steps": 240, "policy_snapshots": 60},
    train={"steps": 240, "evaluate_every": 60},
    is_result=False,
)

FULL = Profile(
    name="full",
    about="all ten domains at full length: the run behind the results",
    domains=POCKET_DOMAINS,
    train={"evaluate_every": 100},
)

PROFILES: dict[str, Profile] = {p.name: p for p in (QUICK, FULL)}


def profile(name: str) -> Profile:
    """The profile of that name."""
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]
