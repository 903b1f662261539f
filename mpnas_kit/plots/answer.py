"""The answer of a run in one picture: size against accuracy, zoomed to the data."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mpnas_kit.analysis.answer import Answer, Peer, approach_of, compared_cells
from mpnas_kit.analysis.comparison import Comparison, family
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import Unavailable
from mpnas_kit.plots import style
from mpnas_kit.plots.comparison import MARKERS, OTHER_MARKERS
from mpnas_kit.plots.labels import Box, label_points
from mpnas_kit.values import require_type

_NEAR = 0.05  # approaches this far below all main ones would flatten the picture
_LOG_ABOVE = 4  # largest over smallest size above which the axis is logarithmic
_MOST = 9  # approaches that a picture can name


def shown_peers(answer: Answer) -> list[Peer]:
    """Return the approaches that `size_and_accuracy` draws beside the run.

    Left out are approaches of unknown size, those with options if the same approach without options
    is there, and those that are far below all others: more than 5 points below the least accurate
    of the run, its bundle, random paths and the single path.

    answer: what a run found.
    """
    known = [p for p in answer.peers.values() if not math.isnan(p.parameters)]
    names = {p.approach for p in known}
    plain = [
        p for p in known if p.approach == family(p.approach) or family(p.approach) not in names
    ]
    main = [p.accuracy for p in plain if p.approach in ("bundle", "random_paths", "single_path")]
    least = min([answer.accuracy, *main]) - _NEAR
    return [p for p in plain if p.accuracy >= least][:_MOST]


def left_out(answer: Answer) -> list[Peer]:
    """Return the approaches of known size that `size_and_accuracy` does not draw."""
    shown = shown_peers(answer)
    return [p for p in answer.peers.values() if p not in shown and not math.isnan(p.parameters)]


@style.literal
def size_and_accuracy(
    comparison: Comparison, answer: Answer, ax: Axes | None = None, *, narrow: bool = False
) -> Axes:
    """Draw the number of parameters against the mean test accuracy: a run and the other approaches.

    A large mark is the mean of an approach, a small one of the same shape is a single run of it.
    The dashed line is the accuracy of the run. A bar is the interval of the difference to the run
    (`Difference`): if it crosses the line, the difference is not clear. Bars may reach beyond the
    picture.

    comparison: finished runs, those that `answer` was made of.
    answer: what a run found.
    ax: axes to draw into; None: a new figure.
    narrow: whether the new figure fits a telephone: less wide, with shorter labels.

    Raises `Unavailable` if the size of the run is not known or there is no other approach.

    >>> ax = mk.plots.size_and_accuracy(comparison, answer)  # doctest: +SKIP
    """
    require_type(comparison, Comparison, "size_and_accuracy: comparison")
    require_type(answer, Answer, "size_and_accuracy: answer")
    peers = shown_peers(answer)
    if math.isnan(answer.parameters) or not peers:
        raise Unavailable("there are no two approaches of known size: expected them for a picture.")
    ax = style.axes(ax, *((3.45, 3.3) if narrow else (8.0, 3.6)))
    accent = style.accent()
    grey: dict[str, Any] = {"color": style.GREY, "markersize": 8, "linestyle": "none"}
    ax.axhline(answer.accuracy, color=accent, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
    lines: list[Box] = []
    others = iter(OTHER_MARKERS)
    markers = {p.approach: MARKERS.get(p.approach) or next(others) for p in peers}
    for peer in peers:
        low, high = _ends(answer, peer)
        bar: dict[str, Any] = {"ecolor": style.GREY, "elinewidth": 1.1, "capsize": 3}
        reach = [[peer.accuracy - low], [high - peer.accuracy]]
        ax.errorbar(peer.parameters, peer.accuracy, yerr=reach, fmt="none", zorder=2, **bar)
        (mark,) = ax.plot(peer.parameters, peer.accuracy, markers[peer.approach], zorder=3, **grey)
        against = f"\nthis run: {peer.difference.points} points, {peer.difference.interval}"
        style.tips(mark, [_label(peer.name, peer.parameters, peer.accuracy, False) + against])
        lines.append((peer.parameters, low, peer.parameters, high))
    (own,) = ax.plot(answer.parameters, answer.accuracy, "o", color=accent, markersize=11, zorder=5)
    style.tips(own, [_label("this run", answer.parameters, answer.accuracy, False)])
    seeds = _seeds(comparison, answer, list(markers))
    for approach, rows in seeds.groupby("peer", sort=False):
        color = accent if approach == answer.approach else style.GREY
        if len(rows) > 1:
            small: dict[str, Any] = {"color": color, "markersize": 3.5, "linestyle": "none"}
            at = rows["parameters_all"].to_numpy(), rows["test"].to_numpy()
            (marks,) = ax.plot(*at, markers.get(str(approach), "o"), zorder=4, **small)
            named = [f"{r.approach}, seed {r.seed}" for r in rows.itertuples()]
            values = zip(named, *at, strict=True)
            style.tips(marks, [_label(name, x, y, False) for name, x, y in values])
            lines += [(x, y, x, y) for x, y in zip(*at, strict=True)]
    _zoom(ax, answer, peers, seeds)
    ax.set(xlabel="parameters", ylabel="mean test accuracy")
    ax.xaxis.set_major_formatter(style.thousands())
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    style.plain(ax)
    points = [(p.parameters, p.accuracy) for p in peers]
    texts = [_label(p.name, p.parameters, p.accuracy, narrow) for p in peers]
    texts.append(_label("this run", answer.parameters, answer.accuracy, narrow))
    points.append((answer.parameters, answer.accuracy))
    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    lines = [(x, max(y, low), x, min(end, high)) for x, y, _, end in lines]
    lines.append((left, answer.accuracy, right, answer.accuracy))
    label_points(ax, points, texts, lines)
    return ax


def alt_text(answer: Answer) -> str:
    """Return the picture in words, for readers who cannot see it."""
    rows = [("this run", answer.parameters, answer.accuracy)]
    rows += [(p.name, p.parameters, p.accuracy) for p in shown_peers(answer)]
    words = "; ".join(f"{name} {amount(size)}, {accuracy:.1%}" for name, size, accuracy in rows)
    return f"Dot plot of parameters and mean test accuracy: {words}."


def _label(name: str, parameters: float, accuracy: float, narrow: bool) -> str:
    return name if narrow else f"{name}\n{accuracy:.1%}, {amount(parameters)}"


def _ends(answer: Answer, peer: Peer) -> tuple[float, float]:
    """Return the interval of the difference to the run, around the accuracy of the peer."""
    found = peer.difference
    return peer.accuracy + found.value - found.high, peer.accuracy + found.value - found.low


def _seeds(comparison: Comparison, answer: Answer, peers: Sequence[str]) -> pd.DataFrame:
    """Return the runs behind the marks, with the approach that each counts for (`peer`)."""
    cells = compared_cells(comparison, answer.prioritization, answer.norm)
    cells = cells.assign(peer=cells["approach"].map(approach_of))
    cells.loc[cells["approach"] == answer.approach, "peer"] = answer.approach
    return cells[cells["peer"].isin([answer.approach, *peers])]


def _zoom(ax: Axes, answer: Answer, peers: Sequence[Peer], seeds: pd.DataFrame) -> None:
    """Set the limits of the axes by the data. A long interval must not flatten the differences."""
    values = [answer.accuracy, *(p.accuracy for p in peers), *seeds["test"]]
    low, high = min(values), max(values)
    reach = max(1.5 * (high - low), 0.03)
    ends = [end for p in peers for end in _ends(answer, p)]
    low, high = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    room = 0.07 * max(high - low, 0.01)
    ax.set_ylim(max(low - room, -0.02), min(high + room, 1.02))
    sizes = [answer.parameters, *(p.parameters for p in peers), *seeds["parameters_all"]]
    if max(sizes) > _LOG_ABOVE * min(sizes):
        ax.set_xscale("log")
        style.log_ticks(ax.xaxis)
        ax.set_xlim(min(sizes) / 1.35, max(sizes) * 1.35)
    else:
        beside = 0.2 * max(max(sizes) - min(sizes), 0.2 * max(sizes))
        ax.set_xlim(min(sizes) - beside, max(sizes) + beside)
