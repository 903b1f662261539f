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
from typing import Literal, ParamSpec, TypeVar
from zlib import crc32

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullLocator, PercentFormatter

from mpnas_kit.domains.pocket_suite import POCKET_DOMAINS
from mpnas_kit.errors import MpnasError, unknown

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
ACCENT = "#b42d00"

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

    light: selector of what has a light ground. dark: selector of what has a dark ground, or a
    condition that begins with `@media`, under which the selector `light` has it.

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


def plain(ax: Axes, grid: Literal["x", "y"] | None = "y") -> None:
    """Hide the upper and the right spine, and draw a faint grid along the axis `grid`."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(axis=grid, color=OUTLINE, alpha=0.25, linewidth=0.6)


def percent() -> Formatter:
    """Return a formatter that writes shares (0 to 1) as percentages."""
    return PercentFormatter(1.0, decimals=None)


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


def legend_outside(ax: Axes, *, across: float = 1.01, upwards: bool = False) -> None:
    """Draw the legend on the right, outside the axes.

    across: horizontal position, in widths of the axes.
    upwards: whether the first entry is the lowest one.
    """
    handles, labels = ax.get_legend_handles_labels()
    order = -1 if upwards else 1
    ax.legend(
        handles[::order],
        labels[::order],
        loc="upper left",
        bbox_to_anchor=(across, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=9,
    )
