"""Metrics over the steps of a search or a training, one line per domain."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.search.result import UNDECIDED, SearchResult
from mpnas_kit.training.result import TrainResult

SEARCH_METRICS = {
    "reward": "reward",
    "quality": "quality: accuracy on reward images",
    "cost": "cost",
    "entropy": "policy entropy / log(choices)",
    "loss": "loss (nats)",
    "weight": "weight of the domain's loss",
    "accuracy": "accuracy on training batches",
}
TRAINING_METRICS = {
    "loss": "loss (nats)",
    "weight": "weight of the domain's loss",
    "accuracy": "accuracy on training batches",
    "val_accuracy": "accuracy on validation images",
}
_MEASURED = 250  # raw values that are drawn at most; more could not be told apart
_HOVERED = 60  # steps that have values on hover
_NAMED = 16  # domains that these values name
_SHARES = ("quality", "accuracy", "val_accuracy")


@style.literal
def search_course(result: SearchResult, metrics: Sequence[str] | None = None) -> Figure:
    """Draw several metrics of a search over its steps, one small panel each.

    Each panel is drawn by `search_curves`. Returns the figure.

    result: result of a search.
    metrics: metrics to draw, in order; None: reward, cost, entropy, loss, and the weight of the
    domains' losses if it is not always the same.

    Raises `MpnasError` if a metric is unknown or was not recorded.
    """
    chosen = _shown(result.history, ("reward", "cost", "entropy", "loss", "weight"), metrics)
    return _course(chosen, lambda metric, ax: search_curves(result, metric, ax))


@style.literal
def training_course(result: TrainResult, metrics: Sequence[str] | None = None) -> Figure:
    """Draw several metrics of a training over its steps, one small panel each.

    Each panel is drawn by `training_curves`. Returns the figure.

    result: result of a training.
    metrics: metrics to draw, in order; None: loss, validation accuracy if it was measured, and the
    weight of the domains' losses if it is not always the same.

    Raises `MpnasError` if a metric is unknown or was not recorded.
    """
    chosen = _shown(result.history, ("loss", "val_accuracy", "weight"), metrics)
    return _course(chosen, lambda metric, ax: training_curves(result, metric, ax))


def _shown(history: pd.DataFrame, usual: Sequence[str], metrics: Sequence[str] | None) -> list[str]:
    """Return the metrics to draw: those that are asked for, or those of `usual` with values."""
    if metrics is not None:
        return list(metrics)
    least = {"weight": 2}  # equal weights are no news
    return [m for m in usual if m in history and history[m].nunique() >= least.get(m, 1)]


def _course(metrics: Sequence[str], draw: Callable[[str, Axes], Axes]) -> Figure:
    """Return a figure with a panel per metric, and one legend of all lines below."""
    across = min(2, len(metrics))
    figure, grid = style.panels(len(metrics), across, 3.8, 2.3)
    entries: dict[str, Artist] = {}
    for metric, ax in zip(metrics, grid, strict=True):
        draw(metric, ax)
        ax.set_title("")
        ax.set_title(ax.get_ylabel(), fontsize=9, loc="left")
        ax.set_ylabel("")
        ax.tick_params(labelsize=8)
        lines, names = ax.get_legend_handles_labels()
        entries |= dict(zip(names, lines, strict=True))
        ax.legend().remove()
    for ax in grid[:-across]:
        ax.set_xlabel("")
    figure.legend(
        entries.values(),
        entries,
        loc="outside lower center",
        ncols=min(5, len(entries)),
        frameon=False,
        fontsize=9,
    )
    return figure


@style.literal
def search_curves(
    result: SearchResult,
    metric: str = "reward",
    ax: Axes | None = None,
    *,
    domains: Sequence[str] | None = None,
    window: int | None = None,
) -> Axes:
    """Draw one metric of a search over its steps: smoothed, with the raw values faint behind it.

    Of more than 250 raw values, every n-th is drawn. Dashed are the cost target (metric `cost`) and
    the entropy below which a decision counts as made (metric `entropy`).

    result: result of a search.
    metric: `reward`, `quality`, `cost`, `entropy`, `loss`, `weight` or `accuracy`.
    ax: axes to draw into; None: a new figure.
    domains: names of the domains to draw, in order; None: all.
    window: steps of the centred moving mean, at least 1 (1: not smoothed); None: 1/25 of the steps.

    Raises `MpnasError` if the metric or a domain is unknown, the metric was not recorded, or
    `window` is below 1.
    """
    if metric not in SEARCH_METRICS:
        raise unknown("metric of a search", metric, SEARCH_METRICS)
    label = SEARCH_METRICS[metric]
    if metric == "cost":
        label = f"cost of the sampled paths ({result.cost_unit})"
    ax = domain_curves(result.history, list(result.paths), metric, label, ax, domains, window)
    if metric == "cost":
        ax.yaxis.set_major_formatter(style.thousands())
        sizes = {t: result.space.of(d).resolution for d, t in result.cost_targets.items()}
        for target, size in sizes.items():
            level(ax, target, "target" if len(sizes) == 1 else f"target, {size} pixels")
    elif metric == "entropy":
        level(ax, UNDECIDED, "decided below")
    ax.set_title(f"Search: {label.partition(' (')[0]} by domain", fontsize=11)
    return ax


@style.literal
def training_curves(
    result: TrainResult,
    metric: str = "loss",
    ax: Axes | None = None,
    *,
    domains: Sequence[str] | None = None,
    window: int | None = None,
) -> Axes:
    """Draw one metric of a training over its steps: smoothed, with the raw values faint behind it.

    result: result of a training.
    metric: `loss`, `weight`, `accuracy` (on training batches) or `val_accuracy` (never smoothed;
    recorded if `evaluate_every` is above 0).
    ax: axes to draw into; None: a new figure.
    domains: names of the domains to draw, in order; None: all.
    window: steps of the centred moving mean, at least 1 (1: not smoothed); None: 1/25 of the steps.

    Raises `MpnasError` if the metric or a domain is unknown, the metric was not recorded, or
    `window` is below 1.
    """
    if metric not in TRAINING_METRICS:
        raise unknown("metric of a training", metric, TRAINING_METRICS)
    label = TRAINING_METRICS[metric]
    if metric == "val_accuracy":
        window = 1
    ax = domain_curves(result.history, list(result.paths), metric, label, ax, domains, window)
    ax.set_title(f"Training: {label.partition(' (')[0]} by domain", fontsize=11)
    return ax


def smoothed(values: pd.Series, window: int) -> pd.Series:
    """Return the centred moving mean over `window` values; over fewer values at the ends."""
    return values.rolling(window, center=True, min_periods=1).mean()


def domain_curves(
    history: pd.DataFrame,
    known: Sequence[str],
    metric: str,
    label: str,
    ax: Axes | None,
    domains: Sequence[str] | None,
    window: int | None,
) -> Axes:
    """Draw one column of a history, one line per domain.

    history: table with the columns step, domain and `metric`.
    known: all domains of the run, in order; they fix the colours.
    metric: name of the column. label: label of the vertical axis.
    ax, domains, window: as in `search_curves`.

    Raises `MpnasError` if the column is missing or empty, a domain is unknown, or `window` is below
    1.
    """
    names, colors = style.chosen_domains(domains, known), style.drawn_colors(known)
    dashes, markers = style.dashes(known), style.markers(known)
    if metric not in history or history[metric].isna().all():
        raise MpnasError(
            f"{metric!r} was not measured in this run: expected a search with steps after its "
            "controller_delay, or a training with evaluate_every above 0."
        )
    if window is not None and window < 1:
        raise MpnasError(f"window must be at least 1 step, not {window}.")
    ax = style.axes(ax, 7.0, 3.8)
    shown: dict[str, pd.Series] = {}
    measured = history.dropna(subset=[metric])
    for name in names:
        rows = measured[measured["domain"] == name]
        steps, values = rows["step"], rows[metric]
        width = window or max(1, len(rows) // 25)
        color = colors[name]
        if width > 1:
            every = slice(None, None, max(1, -(-len(rows) // _MEASURED)))
            faint: dict[str, Any] = {"alpha": 0.18, "linewidth": 0.6, "label": "_measured"}
            ax.plot(steps.iloc[every], values.iloc[every], color=color, **faint)
            values = smoothed(values, width)
        marker = markers[name] if len(rows) <= 30 else None
        how: dict[str, Any] = {"color": color, "label": style.in_legend(name)}
        how |= {"linestyle": dashes[name], "marker": marker, "markersize": 4}
        ax.plot(steps, values, linewidth=1.8, **how)
        shown[name] = pd.Series(values.to_numpy(), steps)
    ax.set(xlabel="step", ylabel=label)
    ax.margins(x=0.01)
    if metric in _SHARES:
        ax.yaxis.set_major_formatter(style.percent())
    style.plain(ax)
    style.legend_outside(ax)
    _tell(ax, pd.DataFrame(shown), metric)
    return ax


def _tell(ax: Axes, values: pd.DataFrame, metric: str) -> None:
    """Show the values of a step on hover, one line per domain. values: by step and domain."""
    places = np.unique(np.linspace(0, len(values) - 1, min(_HOVERED, len(values))).round())
    texts = []
    for step, row in values.iloc[places.astype(int)].iterrows():
        known = row.dropna()
        lines = [
            f"{name} {value:.1%}" if metric in _SHARES else f"{name} {value:,.4g}"
            for name, value in known.iloc[:_NAMED].items()
        ]
        if len(known) > _NAMED:
            lines.append(f"and {len(known) - _NAMED} more domains")
        texts.append("\n".join([f"step {step:,}", *lines]))
    style.tips_by_column(ax, values.index[places.astype(int)], texts)


def level(ax: Axes, value: float, name: str) -> None:
    """Draw a dashed horizontal line and name it in the legend."""
    ax.axhline(value, color=style.ink(), linewidth=1.2, linestyle=(0, (3, 2)), label=name)
    style.legend_outside(ax)
