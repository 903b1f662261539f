"""What is logged of a stage: numbers, settings, pictures and tables."""

import io
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpnas_kit import plots
from mpnas_kit.analysis.sharing import account
from mpnas_kit.analysis.similarity import jaccard_matrix
from mpnas_kit.engine.loop import StepEvent
from mpnas_kit.engine.trackers import StageStart
from mpnas_kit.plots import style
from mpnas_kit.runs.description import RunDescription
from mpnas_kit.search.config import SearchConfig
from mpnas_kit.search.result import UNDECIDED, SearchResult, likeliest, snapshot_every
from mpnas_kit.settings import to_dict
from mpnas_kit.space.layers import Path
from mpnas_kit.space.space import SearchSpace
from mpnas_kit.tracking.log import Scalar
from mpnas_kit.training.result import TrainResult

Drawing = Callable[[], Axes]
PAIRS = 200  # of random paths, for the value of chance in a picture


def of_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[Scalar]:
    """Return the metrics of steps, by domain, and their means over the drawn domains.

    rows: metrics as in metrics.jsonl.
    """
    for row in rows:
        step, sums = int(row["step"]), dict[str, list[float]]()
        for domain, figures in row["domains"].items():
            for metric, value in figures.items():
                sums.setdefault(metric, []).append(value)
                yield Scalar(f"{metric}/{domain}", step, float(value))
        for metric, values in sums.items():
            yield Scalar(f"mean/{metric}", step, float(np.mean(values)))


def rows_of(history: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a history as rows of metrics.jsonl. A value that a step does not have is left out."""
    rows: dict[int, dict[str, dict[str, float]]] = {}
    metrics = [column for column in history.columns if column not in ("step", "domain")]
    columns = {metric: history[metric].to_numpy() for metric in metrics}
    pairs = zip(history["step"], history["domain"], strict=True) if len(history) else ()
    for i, (step, domain) in enumerate(pairs):
        figures = {m: float(values[i]) for m, values in columns.items() if pd.notna(values[i])}
        rows.setdefault(int(step), {})[domain] = figures
    return [{"step": step, "domains": domains} for step, domains in rows.items()]


def search_now(start: StageStart, policy: NDArray[np.float32]) -> SearchResult:
    """Return a search as it is now, as far as its paths and its policy are concerned.

    policy: probability of every choice, float32 (domains, decisions, choices).
    """
    paths = dict(zip(start.domains, likeliest(start.space, policy), strict=True))
    assert isinstance(start.config, SearchConfig)
    return SearchResult(
        start.space, start.config, paths, {}, {}, "", pd.DataFrame(), policy[np.newaxis]
    )


def decided(space: SearchSpace, policy: NDArray[np.float32], step: int) -> Scalar:
    """Return the share of decisions that a search has made (see `SearchResult.decisions`).

    policy: probability of every choice, float32 (domains, decisions, choices).

    The share is 0 to 1; 1 if there are no decisions.
    """
    if not space.decisions:
        return Scalar("decided", step, 1.0)
    p = policy.astype(np.float64)
    most = np.log([len(decision.choices) for decision in space.decisions])
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(2) / most
    return Scalar("decided", step, float((entropy <= UNDECIDED).mean()))


def decided_in(start: StageStart, event: StepEvent) -> Iterator[Scalar]:
    """Return the share of decisions made, in the steps of which the search keeps the policy."""
    if not isinstance(start.config, SearchConfig):
        return
    if event.step % snapshot_every(start.config) and event.step != event.steps:
        return
    policy = event.policy()
    if policy is not None:
        yield decided(start.space, policy, event.step)


def of_result(start: StageStart, result: SearchResult | TrainResult) -> Iterator[Scalar]:
    """Return the numbers that sum up a finished stage, all in its last step."""
    step = result.config.steps
    if isinstance(result, SearchResult):
        for at, policy in zip(result.policy_steps, result.policy, strict=True):
            yield decided(start.space, policy, at)
        for domain, cost in result.costs.items():
            yield Scalar(f"path_cost/{domain}", step, float(cost))
            yield Scalar(f"of_target/{domain}", step, float(cost / result.cost_targets[domain]))
        return
    for split in ("val", "test"):
        own = result.evaluation[result.evaluation["split"] == split]
        for metric in ("accuracy", "macro_accuracy", "loss"):
            values = own[metric] if metric in own else pd.Series(dtype=float)
            for domain, value in zip(own["domain"], values, strict=False):
                yield Scalar(f"{split}/{metric}/{domain}", step, float(value))
            if len(values):
                yield Scalar(f"{split}/mean_{metric}", step, float(values.mean()))
    sizes = account(result.structure, result.paths)
    share = sizes.categories.set_index("category")["share"]["shared"]
    readings = sizes.multiply_adds.set_index("reading")["multiply_adds"]
    yield Scalar("size/parameters", step, float(sizes.parameters()))
    yield Scalar("size/shared", step, float(share))
    yield Scalar("size/multiply_adds_per_image", step, float(readings["per image"]))


GOALS = {
    "search": ("mean/reward", "mean/quality", "decided"),
    "train": ("test/mean_accuracy", "val/mean_accuracy", "size/parameters", "size/shared"),
}
"""Names of the numbers that sum up a stage, by stage."""


def settings_of(start: StageStart, run: pathlib.Path | None) -> dict[str, Any]:
    """Return the settings of a stage, with what the run is, as plain values.

    run: run folder; None: the stage belongs to no run.
    """
    about: dict[str, Any] = {"space": start.space.name, "domains": ", ".join(start.domains)}
    if run is not None:
        description = RunDescription.read(run)
        about |= {"approach": description.approach, "profile": description.profile}
    values = {**about, **to_dict(start.config)}
    return {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in values.items()}


# Pictures -----------------------------------------------------------------------------------------


def png(draw: Drawing) -> bytes:
    """Return a figure as a PNG file. Nothing is shown, and no figure stays open."""
    stream = io.BytesIO()
    figure = draw().get_figure(root=True)
    assert figure is not None
    try:
        with style.without_glyph_warnings():
            figure.savefig(stream, format="png", dpi=100, bbox_inches="tight")
    finally:
        plt.close(figure)
    return stream.getvalue()


def _of_paths(space: SearchSpace, paths: Mapping[str, Path]) -> Iterator[tuple[str, Drawing]]:
    yield "paths", lambda: plots.path_graph(space, paths)
    if len(paths) > 1:
        yield "similarity", lambda: plots.jaccard(jaccard_matrix(space, paths, pairs=PAIRS))


def pictures_of_search(
    found: SearchResult, step: int | None = None
) -> Iterator[tuple[str, Drawing]]:
    """Return the pictures of a search by name: its paths, their similarity, its policies.

    step: step after which the search is like this. None: it is finished.
    """
    yield from _of_paths(found.space, found.paths)
    for domain in found.paths if found.space.decisions else ():
        yield f"policy/{domain}", partial(_policy, found, domain, step)


def _policy(found: SearchResult, domain: str, step: int | None) -> Axes:
    ax = plots.policy_heatmap(found, domain)
    if step is not None:
        ax.set_title(f"Policy of {domain!r} after step {step}", fontsize=11)
    return ax


def pictures_of_training(trained: TrainResult) -> Iterator[tuple[str, Drawing]]:
    """Return the pictures of a training by name: its paths, their similarity, accuracies."""
    yield from _of_paths(trained.space, trained.paths)
    yield "accuracy", lambda: plots.accuracy_dots(trained.evaluation)


# Tables -------------------------------------------------------------------------------------------


def tables_of(result: SearchResult | TrainResult) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return the tables of a finished stage by name."""
    if isinstance(result, SearchResult):
        paths = pd.DataFrame(
            [
                {"domain": d, "arch": path.arch, "cost": result.costs[d]}
                | {"cost_target": result.cost_targets[d], "cost_unit": result.cost_unit}
                for d, path in result.paths.items()
            ]
        )
        yield "paths", paths
        yield "decisions", result.decisions()
    else:
        yield "evaluation", result.evaluation
        if result.recalls is not None:
            yield "recalls", result.recalls
        yield "sizes", account(result.structure, result.paths).domains
    if len(result.paths) > 1:
        yield "similarity", jaccard_matrix(result.space, result.paths).table()
