"""A figure as SVG that takes the colours of its page, light or dark.

Draw the figure under the settings `PAGE`. Then text, thin lines and background have two reserved
colours. In the SVG, they and the colours of domains become variables of the report's style sheet.
If a page does not have these variables, the figure is dark on white. JupyterLab is such a page: it
shows an SVG as an image.
"""

import io
import re
from hashlib import sha256
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mpnas_kit.plots import style

_INK, _PAPER = "#1c2129", "#fefdfc"  # reserved: no figure uses them otherwise
_NAMED = {
    _INK: "var(--ink, #1c2128)",
    _PAPER: "var(--card, #ffffff)",
    style.ACCENT: f"var(--accent, {style.ACCENT})",
    **{tone: style.variable(slot) for slot, tone in enumerate(style.LIGHT_TONES)},
}
PAGE: dict[Any, str] = {
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), _PAPER),
}
"""Settings for `plt.rc_context` or `plt.rcParams.update` to draw figures for `svg`."""


def svg(figure: Figure, alt: str) -> str:
    """Return the figure as an `<svg>` element.

    Text stays text: it can be searched, selected and read aloud. The ids inside an element are
    unique, so a page can have many figures. The same figure always gives the same element. It is as
    wide as the figure at most, and not so narrow that its smallest text has less than 9 pixels.

    figure: a figure that was drawn under `PAGE`.
    alt: description in words, for readers who cannot see the figure.
    """
    file = io.StringIO()
    with (
        mpl.rc_context({"svg.hashsalt": "mpnas", "svg.fonttype": "none"}),
        style.without_glyph_warnings(),
    ):
        about = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.1, metadata=about)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Two decimals are enough, and make the element smaller.
    text = re.sub(r'\bd="[^"]*"', lambda d: re.sub(r"(\.\d\d)\d+", r"\1", d[0]), text)
    text = re.sub(r"; font-family: [^\";]*|font-family: [^\";]*; ", "", text)
    text = re.sub(r' transform="rotate\(-0[^"]*\)"', "", text)
    for color, name in _NAMED.items():
        text = text.replace(color, name)
    prefix = "f" + sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    assert box is not None
    width = round(float(box[1]) * 96 / 72)
    smallest = min(map(float, re.findall(r"font-size: ([\d.]+)px", text)), default=_LEAST)
    narrow = min(width, round(float(box[1]) * _LEAST / smallest))
    css = (
        f"display: block; margin: 0 auto; width: {width}px; min-width: {narrow}px; "
        f"max-width: 100%; height: auto; font-family: {_FONTS}"
    )
    label = f'role="img" aria-label="{escape(alt)}"'
    inside = text[text.index(">") + 1 :].strip()
    return f'<svg {label} viewBox="{box[0][9:-1]}" style="{css}" {_NAMESPACES}>{inside}'


# The widths of texts are those of DejaVu Sans. Verdana has nearly the same.
_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_LEAST = 9.0  # pixels of the smallest text
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
