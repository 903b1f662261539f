"""Colours and small helpers of all figures. Nothing here changes matplotlib's settings.

Figures follow the active style, such as `plt.style.context("dark_background")`: text and thin lines
take its text colour. A figure that is drawn in `plt.rc_context(TRANSPARENT)` is readable on light
and on dark pages.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from itertools import count
from typing import Any, Literal, ParamSpec, TypeVar
from zlib import crc32

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from seaborn.utils import relative_luminance

from mpnas_kit.domains.pocket_suite import POCKET_DOMAINS
from mpnas_kit.errors import MpnasError, unknown
from mpnas_kit.plots.hover import hover_areas, hover_columns

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn", Axes, Figure)

# Twelve colours, found by search, each in a tone for light and in one for dark pages. Any two of
# the first ten have an OKLab distance of at least 0.097 in normal vision and in simulated
# protanopia, deuteranopia and tritanopia (Machado et al. 2009, doi 10.1109/TVCG.2009.113), and of
# 0.13 in normal vision. For matplotlib's ten colours the least distance is 0.007. The contrast to
# the grounds of pages is at least 3. tests/plots/test_palette.py measures both, and has the search.
LIGHT_TONES = (
    "#a965a7",
    "#849369",
    "#654677",
    "#8d0e32",
    "#b04801",
    "#1b7a60",
    "#500072",
    "#448de9",
    "#0d2ab4",
    "#881bfc",
    "#621600",
    "#c97502",
)
DARK_TONES = (
    "#cb82b6",
    "#a8ee46",
    "#f8dcff",
    "#f9abac",
    "#ec4e1f",
    "#009e72",
    "#8e5a98",
    "#84bffd",
    "#425fd9",
    "#977bfe",
    "#b34645",
    "#ee8e18",
)
_DISTINCT = 10  # the first colours are used before the others, which are less distinct
_SLOTS = {domain: slot for slot, domain in enumerate(POCKET_DOMAINS)}

SHARED, PRIVATE, OUTLINE = "#4a525c", "#d3d8de", "#8a929c"  # greys for light and dark pages
TEXT_ON_SHARED, TEXT_ON_PRIVATE = "#ffffff", "#22272e"
ACCENT, DARK_ACCENT = "#2f5fb3", "#8db4ff"  # of the run itself; the accent of pages
GREY = "#747c86"  # of what a run is compared with: contrast of 3 on light and on dark grounds

TRANSPARENT = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#7d8590"
    ),
}
"""Settings for `plt.rc_context`: no background, and grey text, readable on white and on black."""


def domain_slots(domains: Sequence[str]) -> dict[str, int]:
    """Return the place of every domain in the cycle of colours, from 0. It follows from the name.

    The ten domains of the pocket suite have fixed places. Another name has the place of its hash,
    or the next one that is free. The last two places are taken when the first ten are, and a
    second round begins after twelve domains: from 12 on, the place is that of a colour plus 12.

    domains: names of all domains of a run, all different.

    Raises `MpnasError` if a name occurs twice.
    """
    if len(set(domains)) < len(domains):
        raise MpnasError(f"domains must be distinct, not {', '.join(domains)}.")
    slots = {d: _SLOTS[d] for d in domains if d in _SLOTS}
    taken = set(slots.values())
    for domain in domains:
        if domain not in slots:
            slots[domain] = next(slot for slot in _places(domain) if slot not in taken)
            taken.add(slots[domain])
    return {d: slots[d] for d in domains}


def _places(domain: str) -> Iterator[int]:
    """Return the places for a domain, best first, without end."""
    first = crc32(domain.encode())
    for start in count(0, len(LIGHT_TONES)):
        yield from (start + (first + i) % _DISTINCT for i in range(_DISTINCT))
        yield from range(start + _DISTINCT, start + len(LIGHT_TONES))


def domain_colors(domains: Sequence[str]) -> dict[str, str]:
    """Return a colour per domain, for light pages. It follows from the name (`domain_slots`).

    domains: names of all domains of a run, all different. After twelve domains the colours repeat.

    Raises `MpnasError` if a name occurs twice.

    >>> mk.plots.domain_colors(["fashion", "letters"])
    {'fashion': '#a965a7', 'letters': '#448de9'}
    """
    return {d: LIGHT_TONES[i % len(LIGHT_TONES)] for d, i in domain_slots(domains).items()}


def domain_variables(domains: Sequence[str]) -> dict[str, str]:
    """Return the colour of every domain as a variable of CSS, which `palette_css` defines.

    Without the definition, it is the colour for light pages.

    domains: names of all domains of a run, all different.

    Raises `MpnasError` if a name occurs twice.

    >>> mk.plots.domain_variables(["fashion"])
    {'fashion': 'var(--mpnas-d1, #a965a7)'}
    """
    return {d: variable(i % len(LIGHT_TONES)) for d, i in domain_slots(domains).items()}


def variable(slot: int) -> str:
    """Return the colour of a place of the cycle (from 0) as a variable of CSS."""
    return f"var(--mpnas-d{slot + 1}, {LIGHT_TONES[slot]})"


def palette_css(light: str, dark: str) -> str:
    """Return the rules of CSS that define the colours of domains, `--mpnas-d1` and so on.

    light: selector of what has a light ground.
    dark: selector of what has a dark ground, or a condition that begins with `@media`, under which
    the selector `light` has it.

    >>> mk.plots.style.palette_css(":root", "@media (prefers-color-scheme: dark)").splitlines()[0]
    ':root { --mpnas-d1: #a965a7; ...; --mpnas-d12: #c97502; }'
    """

    def rule(selector: str, tones: Sequence[str]) -> str:
        lines = " ".join(f"--mpnas-d{i}: {tone};" for i, tone in enumerate(tones, 1))
        return f"{selector} {{ {lines} }}"

    if dark.startswith("@media"):
        second = f"{dark} {{ {rule(light, DARK_TONES)} }}"
    else:
        second = rule(dark, DARK_TONES)
    return f"{rule(light, LIGHT_TONES)}\n{second}\n"


def drawn_colors(domains: Sequence[str]) -> dict[str, str]:
    """Return the colours of domains for the active style: those for dark pages if it is dark.

    domains: names of all domains of a run, all different.
    """
    tones = DARK_TONES if _is_dark() else LIGHT_TONES
    return {d: tones[i % len(tones)] for d, i in domain_slots(domains).items()}


def dashes(domains: Sequence[str]) -> dict[str, str | tuple[int, tuple[float, ...]]]:
    """Return a line style per domain: solid, or another one where a colour repeats.

    domains: names of all domains of a run, all different.
    """
    return {d: _DASHES[i // len(LIGHT_TONES) % 4] for d, i in domain_slots(domains).items()}


def markers(domains: Sequence[str]) -> dict[str, str]:
    """Return a marker per domain: a disc, or another one where a colour repeats.

    domains: names of all domains of a run, all different.
    """
    return {d: "osD^"[i // len(LIGHT_TONES) % 4] for d, i in domain_slots(domains).items()}


_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
)


def accent() -> str:
    """Return the colour of the run itself for the active style."""
    return DARK_ACCENT if _is_dark() else ACCENT


def _is_dark() -> bool:
    return min(to_rgb(ink())) > 0.6  # text is light


def tips(artist: Any, texts: Sequence[str]) -> None:
    """Give the marks of an artist values on hover: texts that a page shows under the pointer.

    artist: a line with markers, points (`scatter`), bars, a mesh (its cells by row), a sequence of
    patches, or one patch that is a line. It must be in axes.
    texts: one per mark, lines separated by line feeds; empty: no value.

    >>> import matplotlib.pyplot as plt
    >>> points = plt.figure().subplots().scatter([1, 2], [3, 4])
    >>> mk.plots.style.tips(points, ["digits: 3", "letters: 4"])
    """
    first = artist if isinstance(artist, Artist) else next(iter(artist), None)
    if first is not None:
        assert first.axes is not None
        first.axes.add_artist(hover_areas(artist, texts))


def tips_by_column(ax: Axes, xs: Sequence[float], texts: Sequence[str]) -> None:
    """Give axes values on hover: the text of the position that is the nearest to the pointer.

    ax: axes whose limits are set.
    xs: ascending horizontal positions, in data units.
    texts: one per position, lines separated by line feeds.
    """
    areas = hover_columns(ax, xs, texts)
    areas.set_zorder(999)  # below the values of marks
    ax.add_artist(areas)


def chosen_domains(wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the `wanted` domains; None: all known ones. Raises `MpnasError` if one is unknown."""
    for domain in wanted or ():
        if domain not in known:
            raise unknown("domain", domain, known)
    return list(known if wanted is None else wanted)


FALLBACKS = (  # fonts for scripts that matplotlib's own font lacks
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
)


@cache
def _fallbacks() -> tuple[str, ...]:
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FALLBACKS if name in installed)


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Inside, a character that no installed font has is drawn as a box, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def literal(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Decorate a function that draws a figure: its texts are shown as they are.

    Names of blocks, layers and spaces may have any characters. Matplotlib would read a pair of
    dollar signs as a formula, and fail if it is not one. Characters that its font lacks come from
    another installed font (`FALLBACKS`), if there is one.
    """

    @wraps(draw)
    def drawing(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        families = [*mpl.rcParams["font.family"], *_fallbacks()]
        with (
            mpl.rc_context({"text.parse_math": False, "font.family": families}),
            without_glyph_warnings(),
        ):
            drawn = draw(*args, **kwargs)
        _show_literally(drawn)
        return drawn

    return drawing


def _show_literally(drawn: Axes | Figure) -> None:
    for text in drawn.findobj(Text):
        text.set_parse_math(False)


def shortened(name: str, most: int = 28) -> str:
    """Return a name as a label of at most `most` characters. A longer one ends with `…`."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def in_legend(name: str) -> str:
    """Return a name as a label. Matplotlib omits labels that begin with `_` from a legend."""
    return f"\N{ZERO WIDTH SPACE}{name}" if name.startswith("_") else name


def readable_on(color: Any) -> str:
    """Return the colour of text on a coloured ground: black or white, whichever is clearer."""
    return "black" if relative_luminance(color) > 0.18 else "white"


def ink() -> str:
    """Return the text colour of the active style."""
    return str(mpl.rcParams["text.color"])


def axes(ax: Axes | None, width: float = 10.0, height: float = 4.5) -> Axes:
    """Return `ax`, or the axes of a new figure of this size (inches) if it is None."""
    if ax is not None:
        _show_literally(ax)
        return ax
    _, new = plt.subplots(figsize=(width, height), layout="constrained")
    return new


def panels(
    number: int, across: int, width: float, height: float, *, sharex: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a new figure with small axes in rows, and the axes in order of reading.

    number: number of axes.
    across: axes in a row.
    width, height: size of one, in inches.
    sharex: whether they have one horizontal axis, which only the lowest ones show.
    """
    down = -(-number // across)
    figure = plt.figure(figsize=(across * width + 0.3, down * height + 0.4), layout="constrained")
    grid: list[Axes] = []
    for i in range(number):
        ax = figure.add_subplot(down, across, i + 1, sharex=grid[0] if grid and sharex else None)
        if sharex and i + across < number:
            ax.tick_params(axis="x", labelbottom=False)
        grid.append(ax)
    return figure, grid


def plain(ax: Axes, grid: Literal["x", "y"] | None = "y") -> None:
    """Hide the upper and the right spine, and draw a faint grid along the axis `grid`."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(axis=grid, color=OUTLINE, alpha=0.25, linewidth=0.6)


def percent() -> Formatter:
    """Return a formatter that writes shares (0 to 1) as percentages."""
    return FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%")


class _Thousands(EngFormatter):
    def __call__(self, x: float, pos: int | None = None) -> str:
        return (
            f"{x:g}".replace("-", "\N{MINUS SIGN}") if abs(x) < 1000 else super().__call__(x, pos)
        )


def thousands() -> Formatter:
    """Return a formatter that writes numbers as 20 k or 3 M, and those below 1000 in full."""
    return _Thousands(sep=" ")


def log_ticks(axis: Axis) -> None:
    """Set the ticks of a logarithmic axis at 1, 2 and 5 times every power of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())


_AXIS_HEIGHT = 38.0  # of tick labels and label of a horizontal axis, 1/72 inch


def legend_below(ax: Axes, *, columns: int = 4) -> None:
    """Draw the legend below the axes and their label, `columns` entries in a line."""
    lower = ScaledTranslation(0, -_AXIS_HEIGHT / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=ax.transAxes + lower,
        ncols=columns,
        borderaxespad=0.0,
        frameon=False,
        fontsize=9,
        handlelength=1.6,
        columnspacing=1.2,
    )


_LEGEND_ROWS = 18  # of a legend beside the axes; more entries have several columns


def legend_outside(ax: Axes, *, upwards: bool = False) -> None:
    """Draw the legend on the right, outside the axes.

    upwards: whether the first entry is the lowest one.
    """
    handles, labels = ax.get_legend_handles_labels()
    order = -1 if upwards else 1
    ax.legend(
        handles[::order],
        labels[::order],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=9 if len(labels) <= _LEGEND_ROWS else 7,
        ncols=max(1, -(-len(labels) // _LEGEND_ROWS)),
    )
