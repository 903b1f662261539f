"""Accuracy of random paths of equal cost over their parameters, with the range over seeds."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpnas_kit.analysis.spread import PathSpread
from mpnas_kit.analysis.units import amount
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots import style


@style.literal
def path_spreads(spread: PathSpread, *, columns: int = 2) -> Figure:
    """Draw `path_spread` of all domains as small panels with one horizontal axis.

    Returns the figure.

    spread: result of `analysis.read_path_spread`.
    columns: panels beside each other, at least 1.

    Raises `MpnasError` if `columns` is below 1.
    """
    if columns < 1:
        raise MpnasError(f"path_spreads needs at least one column, not {columns}.")
    names = list(spread.rows["domain"].unique())
    across = min(columns, len(names))
    figure, grid = style.panels(len(names), across, 3.5, 1.75)
    for domain, ax in zip(names, grid, strict=True):
        path_spread(spread, domain, ax)
        ax.set(xlabel="", ylabel="")
        ax.tick_params(labelsize=8)
    for ax in grid[-across:]:
        ax.set_xlabel("parameters", fontsize=9)
    figure.supylabel("validation accuracy", fontsize=9)
    return figure


@style.literal
def path_spread(spread: PathSpread, domain: str, ax: Axes | None = None) -> Axes:
    """Draw the validation accuracy of random paths of one domain over their parameters.

    A dot is a path at its first seed. A line is the range over the seeds of a path that has
    several. The title gives sigma, the deviation over paths, and the deviation over seeds.

    spread: result of `analysis.read_path_spread`.
    domain: name of the domain.
    ax: axes to draw into; None: a new figure.

    Raises `MpnasError` if the domain is unknown.
    """
    if domain not in (names := list(spread.rows["domain"].unique())):
        raise unknown("domain", domain, names)
    ax = style.axes(ax, 4.4, 3.2)
    color = style.drawn_colors(names)[domain]
    own = spread.rows[spread.rows["domain"] == domain].sort_values("seed")
    parse, cost = spread.space.parse, spread.space.cost
    own = own.assign(parameters=[cost(parse(arch)).parameters for arch in own["arch"]])
    for _, seeds in own.groupby("path"):
        if len(seeds) > 1:
            ends = seeds["accuracy"].min(), seeds["accuracy"].max()
            ax.plot([seeds["parameters"].iloc[0]] * 2, ends, color=color, lw=1.4)
    first = own.groupby("path").first()
    (dots,) = ax.plot(first["parameters"], first["accuracy"], "o", color=color, ms=4)
    style.tips(
        dots,
        [
            f"{domain}: {r.accuracy:.1%}, {amount(r.parameters)} parameters\n{r.arch}"
            for r in first.itertuples()
        ],
    )
    row = spread.table().set_index("domain").loc[domain]
    ax.set_xscale("log")
    style.log_ticks(ax.xaxis)
    ax.xaxis.set_major_formatter(style.thousands())
    ax.yaxis.set_major_formatter(style.percent())
    style.plain(ax)
    ax.set_title(
        f"{domain}: paths \N{PLUS-MINUS SIGN}{100 * row['sigma']:.1f}, "
        f"seeds \N{PLUS-MINUS SIGN}{100 * row['over_seeds']:.1f}",
        fontsize=9,
        loc="left",
    )
    ax.set(xlabel="parameters", ylabel="validation accuracy")
    return ax
