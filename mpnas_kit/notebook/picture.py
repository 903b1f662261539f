"""A figure as SVG that stands in a page and takes the page's colours, light or dark.

Draw it under `PAGE`: then text, thin lines and the ground have two colours of their own, for which
the SVG has names of the report's style sheet. Where those are not known, as in JupyterLab, which
shows an SVG as a picture of its own, the figure is dark on white.
"""

import io
import re
from hashlib import sha256
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_INK, _PAPER = "#1c2129", "#fefdfc"  # no figure has them by chance
_NAMED = {
    _INK: "var(--ink, #1c2128)",
    _PAPER: "var(--card, #ffffff)",
}
PAGE: dict[Any, str] = {
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), _PAPER),
}
"""Settings for `plt.rc_context` or `plt.rcParams.update`, under which such figures are drawn."""


def svg(figure: Figure, alt: str) -> str:
    """The figure as an `<svg>` element. alt: what it shows, in words, for who cannot see it.

    Text is drawn as shapes, so that it is the same everywhere. Names inside it are its own, so many
    can stand on one page. One figure gives the same text always.
    """
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "mpnas", "svg.fonttype": "path"}):
        about = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.1, metadata=about)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bd="[^"]*"', lambda d: re.sub(r"(\.\d\d)\d+", r"\1", d[0]), text)  # smaller
    for color, name in _NAMED.items():
        text = text.replace(color, name)
    own = "f" + sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", text)
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    assert box is not None
    width = round(float(box[1]) * 96 / 72)
    look = f"display: block; margin: 0 auto; width: {width}px; max-width: 100%; height: auto"
    said = f'role="img" aria-label="{escape(alt)}"'
    inside = text[text.index(">") + 1 :].strip()
    return f'<svg {said} viewBox="{box[0][9:-1]}" style="{look}" {_NAMESPACES}>{inside}'


_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
