"""The policy of one domain's controller: at the end, and over the search."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style
from mpnas_kit.search.result import SearchResult
from mpnas_kit.space.space import ZERO, SearchSpace


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
    probabilities = _final(result, domain)
    decisions = result.space.decisions
    table = probability_table(result.space, probabilities)
    choices = choice_rows(result.space)
    width = max(7.0, 2.2 + 0.34 * len(decisions))
    ax = style.axes(ax, width, max(3.2, 1.7 + 0.26 * len(choices)))
    image = ax.imshow(
        np.ma.masked_invalid(table),
        cmap="viridis",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="none",
    )
    bar = ax.figure.colorbar(image, ax=ax, pad=0.015, format=style.percent(), label="probability")
    bar.outline.set_visible(False)
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
            marked, heights, s=34, linewidths=1.3, label="decided" if sure else "open", **how
        )
    names = [d.name if sure else f"{d.name} ?" for d, sure in zip(decisions, decided, strict=True)]
    dense = len(decisions) > 30
    ax.set_xticks(
        range(len(names)), names, rotation=90 if dense else 40, fontsize=7 if dense else 9
    )
    for tick in ax.get_xticklabels():
        tick.set(ha="center" if dense else "right", rotation_mode="default" if dense else "anchor")
    ax.set_yticks(range(len(choices)), choices, fontsize=9)
    for axis, count in ((ax.xaxis, len(decisions)), (ax.yaxis, len(choices))):
        axis.set_ticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(which="minor", color=ax.get_facecolor(), linewidth=1.0)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="decision", ylabel="choice")
    ax.set_title(
        f"Final policy of {domain!r}: {sum(decided)} of {len(decided)} decisions made\n"
        "disc: chosen; ring: most likely choice of a decision that was not made (?)",
        fontsize=11,
    )
    return ax


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
    ax = style.axes(ax, 8.0, 4.0)
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
