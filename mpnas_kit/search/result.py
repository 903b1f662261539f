"""The result of a search: paths, history, and whether the search decided."""

import math
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpnas_kit.engine.finished import read_finished, read_history
from mpnas_kit.engine.records import FrontFile, Results, SearchResults
from mpnas_kit.engine.stage_folder import RESULTS, StageFolder
from mpnas_kit.engine.start_table import read_start_table
from mpnas_kit.errors import MpnasError
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.merging import Front
from mpnas_kit.space.grown import GrownSpace
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace

FRONT = "front.json"
UNDECIDED = 0.5  # entropy / log(choices) above which a decision counts as undecided


def likeliest(space: SearchSpace, policy: NDArray[np.float32]) -> list[Path]:
    """Return the most likely path of every domain.

    policy: probabilities, float32 (domains, decisions, choices).
    """
    counts = [len(decision.choices) for decision in space.decisions]
    return [
        space.path([int(row[:n].argmax()) for row, n in zip(one, counts, strict=True)])
        for one in policy
    ]


def _searched_space(
    space: SearchSpace, config: SearchConfig, frozen: Mapping[str, str] | None
) -> SearchSpace:
    """Return the space in which a search chose: with frozen nodes, if it has added domains.

    frozen: arch string of every domain that was there before; None: there was none.
    """
    if frozen is None:
        return space
    paths = {domain: space.read(arch) for domain, arch in frozen.items()}
    return GrownSpace(space, paths, config.private)


def read_front(stage: StageFolder, space: SearchSpace) -> Front | None:
    """Return the front of a finished search, or None if it had no merge pass."""
    if FRONT not in (stage.read_json(RESULTS, Results).files or ()):
        return None
    return Front.read(stage.read_json(FRONT, FrontFile), space)


def snapshot_every(config: SearchConfig) -> int:
    """Return the number of steps from one snapshot of the policies to the next."""
    return max(1, config.steps // config.policy_snapshots)


def target_record(targets: Mapping[str, float]) -> dict[str, Any]:
    """Return the cost targets as fields of results.json: the mean, and each if they differ.

    targets: cost target of every domain.
    """
    if len(set(targets.values())) == 1:
        return {"cost_target": next(iter(targets.values()))}
    return {"cost_target": float(np.mean(list(targets.values()))), "cost_targets": dict(targets)}


def _read_taus(record: Mapping[str, float | None] | None) -> dict[str, float] | None:
    """Return what `tau_record` recorded."""
    if record is None:
        return None
    return {d: math.nan if tau is None else tau for d, tau in record.items()}


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult:
    """The result of a search. `search` returns it, and `load` reads it from a stage folder.

    space: search space of the search; a `GrownSpace` if it has added domains to a network.
    config: settings of the search.
    paths: path of every domain, by domain: the most likely one, or the best one of a re-ranking
    (setting `rerank`).
    costs: cost of every domain's path, by domain, in `cost_unit`.
    cost_targets: cost target of every domain, by domain, in `cost_unit`. They differ only if the
    images of the domains differ in size.
    cost_unit: unit of the cost model, in words.
    history: metrics, one row per step and drawn domain. Columns: step (from 1), domain, loss (nats,
    without label smoothing), weight, accuracy (on the training batch, 0 to 1), entropy (of the
    policy, divided by log(choices), mean over decisions, 0 to 1). Steps in which the controllers
    learn also have reward, quality (on the reward batch, 0 to 1) and cost (in `cost_unit`), as
    means over the sampled paths. With `exact_cost`, cost and the cost term of the reward are those
    of the policy. With `two_phases`, steps on frozen weights lack loss, weight and accuracy.
    With landmarks, quality is that of `PathValues.mix`.
    policy: choice probabilities, float32 (snapshots, domains, decisions, choices). A decision with
    fewer choices than the largest one has 0 for those it lacks.
    start_table: what the start gave, one row per tensor, all columns as text (see `Loaded`). None:
    the search had no start.
    landmark_tau: Kendall's tau of the landmarks' prediction on sets that were left out, by domain
    (see `PathValues.tau`). None: the search had no landmarks.
    front: sets of paths that share more and more nodes, from `paths` to one path for all domains.
    None: the search had no merge pass (setting `merge`), or layers are private.

    >>> sorted(found.paths), found.cost_unit
    (['planted0', 'planted1'], 'multiply-adds')
    >>> found.policy.shape
    (4, 2, 4, 3)
    """

    space: SearchSpace
    config: SearchConfig
    paths: dict[str, Path]
    costs: dict[str, float]
    cost_targets: dict[str, float]
    cost_unit: str
    history: pd.DataFrame
    policy: NDArray[np.float32]
    start_table: pd.DataFrame | None = None
    landmark_tau: dict[str, float] | None = None
    front: Front | None = None

    @classmethod
    def load(
        cls,
        folder: str | pathlib.Path,
        *,
        space: SearchSpace | None = None,
        config: SearchConfig | None = None,
        trust: bool = False,
    ) -> "SearchResult":
        """Return the result of a finished search from its stage folder. Nothing is computed.

        folder: stage folder, such as `runs/quick/search`.
        space: search space of the search. None: the space that the folder records.
        config: settings of the search. None: the settings that the folder records.
        trust: whether modules that the folder names are imported.

        Raises `MpnasError` if the search is not finished or a file is damaged, and `Unavailable` if
        the space cannot be made from the folder.
        """
        read = read_finished(folder, SearchConfig, SearchResults, space, config, trust)
        stage, config, results = read.folder, read.config, read.results
        space = _searched_space(read.space, config, read.content.record.frozen)
        paths = {d: space.read(arch) for d, arch in results.paths.items()}
        found = cls(
            space,
            config,
            paths,
            results.costs,
            results.cost_targets or dict.fromkeys(paths, results.cost_target),
            read.content.record.cost_unit or config.cost.unit,
            read_history(stage, config.steps),
            stage.read_array("policy.npy"),
            read_start_table(stage),
            _read_taus(results.landmark_tau),
            read_front(stage, space),
        )
        found._check(stage)
        return found

    def _check(self, stage: StageFolder) -> None:
        """Raise `MpnasError` if the files of a finished search do not fit each other."""
        most = max([len(d.choices) for d in self.space.decisions], default=1)
        shape = (len(self.policy_steps), len(self.paths), len(self.space.decisions), most)
        fits = self.policy.dtype == np.float32 and self.policy.shape == shape
        if not fits or not np.isfinite(self.policy).all():
            raise MpnasError(
                f"{stage.folder / 'policy.npy'} is not the policy of this search: expected finite "
                f"float32 numbers of shape {shape}, not {self.policy.dtype} {self.policy.shape}."
            )
        has_all = self.costs.keys() == self.paths.keys() == self.cost_targets.keys()
        likely = self.config.rerank > 0 or self.paths_at(-1) == self.paths
        if not has_all or not likely:
            raise MpnasError(
                f"{stage.folder / 'results.json'} does not fit policy.npy: expected costs and the "
                "likeliest path of every domain."
            )
        if self.front is not None:
            self.front.require(self.paths, stage.folder / FRONT)

    @property
    def cost_target(self) -> float:
        """Cost target of the search, mean over domains, in `cost_unit`."""
        return float(target_record(self.cost_targets)["cost_target"])

    @property
    def policy_steps(self) -> tuple[int, ...]:
        """Number of the step after which each snapshot of the policy was taken, from 1."""
        every, steps = snapshot_every(self.config), self.config.steps
        return tuple(dict.fromkeys([*range(every, steps + 1, every), steps]))

    def paths_at(self, snapshot: int) -> dict[str, Path]:
        """Return the most likely path of every domain at a snapshot of the policy.

        snapshot: index of the snapshot. -1 is the last one, which gives `paths` if there is no
        re-ranking.
        """
        return dict(zip(self.paths, likeliest(self.space, self.policy[snapshot]), strict=True))

    def decisions(self) -> pd.DataFrame:
        """Return whether the search decided: one row per domain and decision.

        Columns: domain, decision, choice (the most likely one), probability (of that choice, 0 to
        1), entropy (divided by log(choices): 0 certain, 1 undecided), decided (whether the entropy
        is at most 0.5).
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
        """Return one sentence that says whether the search decided."""
        if not self.space.decisions:
            return f"there was nothing to decide: space {self.space.name!r} has a single path."
        table = self.decisions()
        undecided = table[~table["decided"]]
        if len(undecided) == 0:
            return f"the search decided all {len(table)} choices."
        worst = undecided.groupby("domain").size().sort_values(ascending=False)
        counts = ", ".join(f"{d} {n}" for d, n in worst.items())
        return (
            f"the search did not decide {len(undecided)} of {len(table)} choices "
            f"(entropy above {UNDECIDED} of its maximum): {counts}."
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{d}</td><td><code>{p.arch}</code></td><td>{_figure(self.costs[d])}</td></tr>"
            for d, p in self.paths.items()
        )
        head = f"<tr><th>domain</th><th>path</th><th>cost ({escape(self.cost_unit)})</th></tr>"
        verdict = escape(self.verdict())
        return (
            f"<table><caption>{verdict}</caption><thead>{head}</thead><tbody>{rows}</tbody></table>"
        )

    def __repr__(self) -> str:
        return (
            f"SearchResult({len(self.paths)} paths through {self.space.name!r}; {self.verdict()})"
        )


def _figure(cost: float) -> str:
    """Return a cost as text: a count in full, a time with three digits."""
    return f"{cost:,.0f}" if cost >= 1000 else f"{cost:.3g}"
