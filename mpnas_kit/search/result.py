"""What a search gives back: paths, their history, and whether the search decided."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpnas_kit.search.config import SearchConfig
from mpnas_kit.space.space import Path, SearchSpace

UNDECIDED = 0.5  # entropy over log(choices) above which a decision counts as not made


def likeliest(space: SearchSpace, policy: NDArray[np.float32]) -> list[Path]:
    """The most likely path by every policy of (controllers, decisions, choices)."""
    counts = [len(decision.choices) for decision in space.decisions]
    return [
        space.path([int(row[:n].argmax()) for row, n in zip(one, counts, strict=True)])
        for one in policy
    ]


@dataclass(frozen=True)
class SearchResult:
    """What a search gives back.

    paths: the most likely path of every domain. cost_target: in the unit of `config.cost`.
    history: a row a step and domain: loss (nats), weight, accuracy (training batch), and once
    controllers learn reward, quality (accuracy on the reward batch), cost, all mean over the
    sampled paths, and entropy (over log(choices), mean over decisions).
    policy: float32 (snapshots, domains, decisions, choices), probabilities, 0 where a decision has
    fewer choices; policy_steps: the step of each snapshot.
    """

    space: SearchSpace
    config: SearchConfig
    paths: dict[str, Path]
    cost_target: float
    history: pd.DataFrame
    policy: NDArray[np.float32]
    policy_steps: tuple[int, ...]

    def paths_at(self, snapshot: int) -> dict[str, Path]:
        """The most likely path of every domain at a snapshot of the policy; -1 is the last one."""
        return dict(zip(self.paths, likeliest(self.space, self.policy[snapshot]), strict=True))

    @property
    def costs(self) -> dict[str, float]:
        """The cost of every domain's path, in the unit of `config.cost`."""
        return self.config.cost.costs(self.space, self.paths)

    def decisions(self) -> pd.DataFrame:
        """Whether the search decided: a row a domain and decision.

        Columns domain, decision, choice (the most likely one), probability, entropy (over
        log(choices): 1 undecided, 0 certain), decided (entropy at most 0.5).
        """
        rows = []
        for domain, probabilities in zip(self.paths, self.policy[-1], strict=True):
            for decision, p in zip(self.space.decisions, probabilities, strict=True):
                p = p[: len(decision.choices)].astype(np.float64)
                entropy = float(-(p * np.log(np.maximum(p, 1e-30))).sum() / np.log(len(p)))
                best = decision.choices[int(p.argmax())]
                rows.append(
                    {
                        "domain": domain,
                        "decision": decision.name,
                        "choice": best,
                        "probability": float(p.max()),
                        "entropy": entropy,
                        "decided": entropy <= UNDECIDED,
                    }
                )
        columns = ["domain", "decision", "choice", "probability", "entropy", "decided"]
        return pd.DataFrame(rows, columns=columns).astype({"decided": bool})

    def verdict(self) -> str:
        """One sentence: whether the search decided."""
        table = self.decisions()
        open_ = table[~table["decided"]]
        if len(open_) == 0:
            return f"the search decided all {len(table)} choices."
        worst = open_.groupby("domain").size().sort_values(ascending=False)
        named = ", ".join(f"{d} {n}" for d, n in worst.items())
        return (
            f"the search did not decide {len(open_)} of {len(table)} choices "
            f"(entropy above {UNDECIDED} of its maximum): {named}."
        )

    def __repr__(self) -> str:
        return (
            f"SearchResult({len(self.paths)} paths through {self.space.name!r}; {self.verdict()})"
        )
