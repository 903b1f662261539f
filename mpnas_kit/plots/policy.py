"""The policies of the controllers: at the end, and over the search."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.layers import ZERO
from mpnas_kit.space.space import SearchSpace

_MOST_BESIDE = 20  # decisions of a panel that has another one beside it
_DENSE = 0.125  # inches of a decision in a panel
_BAR = 3.2  # inches of the colour bar at most
_LEVEL = 4  # characters of a name that needs no rotation
_MOST_TOLD = 5  # choices in the value of a decision


@style.literal
def policies(
    result: SearchResult, *, domains: Sequence[str] | None = None, columns: int | None = None
) -> Figure:
    """Draw the final policies of several domains as small panels with the same axes.

    Each panel is a `policy_heatmap`. Its title says how many decisions were made. Returns the
    figure.

    result: result of a search.
    domains: names of the domains to draw, in order; None: all.
    columns: panels beside each other, at least 1; None: two if they fit.

    Raises `MpnasError` if a domain is unknown, no policy was recorded, or `columns` is below 1.
    """
    names = style.chosen_domains(domains, list(result.paths))
    decisions, choices = len(result.space.decisions), choice_rows(result.space)
    if columns is not None and columns < 1:
        raise MpnasError(f"policies needs at least one column, not {columns}.")
    across = min(len(names), columns or (2 if decisions <= _MOST_BESIDE else 1))
    down = -(-len(names) // across)
    width = across * max(2.6, _DENSE * decisions) + 1.5
    height = down * (0.42 + 0.15 * len(choices)) + 1.1
    figure, grid = plt.subplots(
        down,
        across,
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(width, height),
        layout="constrained",
    )
    for domain, ax in zip(names, grid.flat, strict=False):
        image, made = _draw(result, domain, ax)
        ax.set_title(f"{domain}: {made} of {decisions} decided", fontsize=9, loc="left")
    for ax in grid.flat[len(names) :]:
        ax.set_axis_off()
        above = grid[down - 2, across - 1]  # the last panel of its column has the names
        above.tick_params(axis="x", labelbottom=True)
    for ax in grid[max(0, down - 2) :].flat:
        _name_decisions(ax, [d.name for d in result.space.decisions], 7)
    for ax in grid[:, 0]:
        ax.set_yticks(range(len(choices)), choices, fontsize=7)
    _colorbar(figure, image, list(grid.flat))
    figure.supxlabel("decision", fontsize=9)
    return figure


@style.literal
def policy_heatmap(result: SearchResult, domain: str, ax: Axes | None = None) -> Axes:
    """Draw the final probability of every choice (rows) in every decision (columns) of one domain.

    A disc marks the chosen choice if the search made the decision. A ring marks the most likely
    choice if it did not: the entropy is above half of its maximum, and the name of the decision has
    a question mark. Decisions inside a skipped layer have no mark, because they have no effect. A
    blank cell: the decision has no such choice.

    result: result of a search.
    domain: name of the domain.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if the domain is unknown or no policy was recorded.
    """
    _row(result, domain)
    decisions, choices = result.space.decisions, choice_rows(result.space)
    width = max(6.4, 2.2 + 0.34 * len(decisions))
    ax = style.axes(ax, width, max(3.2, 1.7 + 0.26 * len(choices)))
    image, made = _draw(result, domain, ax)
    rows = result.decisions()
    decided = rows.loc[rows["domain"] == domain, "decided"]
    names = [d.name if sure else f"{d.name} ?" for d, sure in zip(decisions, decided, strict=True)]
    _name_decisions(ax, names, 9)
    ax.set_yticks(range(len(choices)), choices, fontsize=9)
    _colorbar(ax.figure, image, [ax])
    ax.set(xlabel="decision", ylabel="choice")
    ax.set_title(
        f"Final policy of {domain!r}: {made} of {len(decisions)} decisions made\n"
        "disc: chosen; ring: most likely choice of a decision that was not made (?)",
        fontsize=11,
    )
    return ax


def _draw(result: SearchResult, domain: str, ax: Axes) -> tuple[AxesImage, int]:
    """Draw one policy without names. Returns the image, and how many decisions were made."""
    table = probability_table(result.space, _final(result, domain))
    decisions, choices = result.space.decisions, choice_rows(result.space)
    image = ax.imshow(
        np.ma.masked_invalid(table),
        cmap="viridis",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="none",
    )
    rows = result.decisions()
    decided = list(rows.loc[rows["domain"] == domain, "decided"])
    path = result.paths[domain]
    active = result.space.active(path.choices)
    for sure in (True, False):
        marked = [i for i, d in enumerate(decided) if d == sure and active[i]]
        heights = [choices.index(decisions[i].choices[path.choices[i]]) for i in marked]
        shades = [
            "black" if table[y, i] > 0.6 else "white" for i, y in zip(marked, heights, strict=True)
        ]
        how: dict[str, Any] = {"facecolors": shades if sure else "none", "edgecolors": shades}
        ax.scatter(
            marked, heights, s=24, linewidths=1.2, label="decided" if sure else "open", **how
        )
    for axis, count in ((ax.xaxis, len(decisions)), (ax.yaxis, len(choices))):
        axis.set_ticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(which="minor", color=ax.get_facecolor(), linewidth=0.7)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    texts = []
    for i, (decision, sure) in enumerate(zip(decisions, decided, strict=True)):
        order = np.argsort(-np.nan_to_num(table[:, i], nan=-1.0), kind="stable")
        likely = [f"{choices[k]} {table[k, i]:.0%}" for k in order[: len(decision.choices)]]
        state = "decided" if sure else "not decided"
        texts.append("\n".join([f"{domain}, {decision.name}: {state}", *likely[:_MOST_TOLD]]))
    style.tips_by_column(ax, range(len(decisions)), texts)
    return image, sum(decided)


def _name_decisions(ax: Axes, names: Sequence[str], size: int) -> None:
    dense = len(names) > _MOST_BESIDE
    level = max(map(len, names)) <= _LEVEL
    how: dict[str, Any] = {"rotation": 90 if dense else 0, "fontsize": 7 if dense else size}
    if not dense and not level:
        how |= {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(len(names)), names, **how)


def _colorbar(figure: Figure | SubFigure, image: AxesImage, of: Sequence[Axes]) -> None:
    height = (of[0].bbox.y1 - of[-1].bbox.y0) / of[0].figure.dpi
    bar = figure.colorbar(
        image,
        ax=of,
        pad=0.015,
        shrink=min(1.0, _BAR / height),
        anchor=(0.0, 1.0),
        format=style.percent(),
        label="probability",
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)


@style.literal
def policy_over_time(
    result: SearchResult, domain: str, decision: str, ax: Axes | None = None
) -> Axes:
    """Draw the probabilities of one decision's choices over the search, stacked to 100 %.

    result: result of a search.
    domain: name of the domain.
    decision: name of the decision. In a space with one decision per layer, it is the name of the
    layer, such as `2.1`.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if the domain or the decision is unknown, or no policy was recorded.
    """
    names = [d.name for d in result.space.decisions]
    if decision not in names:
        raise unknown("decision", decision, names)
    index = names.index(decision)
    choices = result.space.decisions[index].choices
    series = result.policy[:, _row(result, domain), index, : len(choices)].astype(np.float64)
    ax = style.axes(ax, 6.4, 3.6)
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 1.0, len(choices)))
    chosen = choices[int(series[-1].argmax())]
    labels = [style.in_legend(f"{c}  (chosen)" if c == chosen else c) for c in choices]
    edge = ax.get_facecolor()
    ax.stackplot(
        result.policy_steps, series.T, colors=shades, labels=labels, edgecolor=edge, linewidth=0.6
    )
    ax.set(xlabel="step", ylabel="probability", ylim=(0, 1))
    ax.set_xlim(result.policy_steps[0], max(result.policy_steps[-1], result.policy_steps[0] + 1))
    ax.yaxis.set_major_formatter(style.percent())
    style.plain(ax, grid=None)
    style.legend_outside(ax, upwards=True)
    texts = [
        "\n".join([f"step {step:,}", *(f"{c} {p:.0%}" for c, p in zip(choices, row, strict=True))])
        for step, row in zip(result.policy_steps, series, strict=True)
    ]
    style.tips_by_column(ax, result.policy_steps, texts)
    ax.set_title(f"Policy of {domain!r} in decision {decision!r} over the search", fontsize=11)
    return ax


def choice_rows(space: SearchSpace) -> list[str]:
    """Return the distinct choices of all decisions, in order of first appearance, `zero` last."""
    names = dict.fromkeys(c for d in space.decisions for c in d.choices)
    return sorted(names, key=lambda n: n == ZERO)


def probability_table(
    space: SearchSpace, probabilities: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the probabilities by choice and decision: float64 (choices, decisions).

    probabilities: (decisions, choices), in the order of each decision's own choices. nan: the
    decision has no such choice.
    """
    rows = choice_rows(space)
    table = np.full((len(rows), len(space.decisions)), np.nan)
    for column, (decision, p) in enumerate(zip(space.decisions, probabilities, strict=True)):
        for choice, value in zip(decision.choices, p, strict=False):
            table[rows.index(choice), column] = value
    return table


def _row(result: SearchResult, domain: str) -> int:
    """Return the index of a domain in the policy."""
    if domain not in result.paths:
        raise unknown("domain", domain, result.paths)
    if not len(result.policy):
        raise MpnasError("the search recorded no policy: expected at least one policy snapshot.")
    return list(result.paths).index(domain)


def _final(result: SearchResult, domain: str) -> NDArray[np.float32]:
    row = _row(result, domain)
    return np.asarray(result.policy[-1, row], dtype=np.float32)
